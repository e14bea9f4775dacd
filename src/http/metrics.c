/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metrics.c - rows of metrics.def and histograms as text.
 *
 * The two forms differ little. OpenMetrics leaves "_total" out of a counter's name where
 * it tells the type, says "unknown" for "untyped", and ends with a line of its own.
 */
#include "http/metrics.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum metric_type { COUNTER_TYPE, GAUGE_TYPE, UNTYPED_TYPE };
#define COUNTER COUNTER_TYPE
#define GAUGE   GAUGE_TYPE
#define UNTYPED UNTYPED_TYPE

/* Where a row's field is. _EACH: in every size class, which becomes the label `slab`.
 * CRAWLER: among the settings, and shown only while the crawler is on. */
enum source { GENERAL, SETTINGS, CRAWLER, SLABS, SLABS_EACH, ITEMS_EACH };

struct metric {
    enum source source;
    enum metric_type type;
    const char *name, *labels, *stat, *help; /* stat NULL: see SET in metrics.def */
};

static const struct metric metrics[] = {
#define METRIC(source, type, name, labels, stat, help)                                   \
    { source, type, name, labels, stat, help },
#define SET(source, name, labels, help) { source, COUNTER, name, labels, NULL, help },
#include "http/metrics.def"
#undef METRIC
#undef SET
};
#define METRICS (sizeof metrics / sizeof *metrics)

struct writer {
    struct evbuffer *out;
    const struct fields *fields;
    bool openmetrics, failed;
    const char *family; /* whose head was written last */
};

static void put(struct writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct writer *writer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (evbuffer_add_vprintf(writer->out, format, args) < 0)
        writer->failed = true;
    va_end(args);
}

static void
put_bytes(struct writer *writer, struct slice text)
{
    if (evbuffer_add(writer->out, text.data, text.len) != 0)
        writer->failed = true;
}

/* HELP and TYPE, before the first sample of a name. */
static void
put_head(struct writer *writer, const char *name, const char *type, const char *help)
{
    int len = (int)strlen(name);
    bool counts = strcmp(type, "counter") == 0;

    if (writer->family != NULL && strcmp(writer->family, name) == 0)
        return;
    writer->family = name;
    if (writer->openmetrics && counts)
        len -= (int)strlen("_total");
    put(writer, "# HELP %.*s %s\n# TYPE %.*s %s\n", len, name, help, len, name,
        writer->openmetrics && strcmp(type, "untyped") == 0 ? "unknown" : type);
}

static const char *
type_name(enum metric_type type)
{
    switch (type) {
    case COUNTER_TYPE:
        return "counter";
    case GAUGE_TYPE:
        return "gauge";
    case UNTYPED_TYPE:
        break;
    }
    return "untyped";
}

/* The name and labels of a sample, and a blank. */
static void
put_name(struct writer *writer, const struct metric *metric, unsigned id)
{
    bool labels = *metric->labels != '\0';

    if (id == FIELDS_CLASS_NONE)
        put(writer, labels ? "%s{%s} " : "%s%s ", metric->name, metric->labels);
    else
        put(writer, "%s{slab=\"%u\"%s%s} ", metric->name, id, labels ? "," : "",
            metric->labels);
}

/* ---- Rows -------------------------------------------------------------------------- */

static enum view_report
report_of(enum source source)
{
    switch (source) {
    case SETTINGS:
    case CRAWLER:
        return VIEW_SETTINGS;
    case SLABS:
    case SLABS_EACH:
        return VIEW_SLABS;
    case ITEMS_EACH:
        return VIEW_ITEMS;
    case GENERAL:
        break;
    }
    return VIEW_GENERAL;
}

static uint64_t
number(
    const struct fields *fields, enum view_report report, unsigned id, const char *name)
{
    const struct field *field = fields_find(fields, report, id, name);
    uint64_t value = 0;

    if (field != NULL && !num_u64(field_value(fields, field), NUM_U64_MAX, &value))
        value = 0;
    return value;
}

/* The server as a whole counts comparisons that missed among the sets; a size class
 * can't. */
static uint64_t
plain_sets(const struct fields *fields, enum view_report report, unsigned id)
{
    uint64_t sets = number(fields, report, id, "cmd_set");
    uint64_t compared = number(fields, report, id, "cas_hits") +
                        number(fields, report, id, "cas_badval") +
                        number(fields, report, id, "cas_misses");

    /* They are read one after the other while they grow. */
    return sets > compared ? sets - compared : 0;
}

static void
put_sample(struct writer *writer, const struct metric *metric, unsigned id)
{
    const struct fields *fields = writer->fields;
    enum view_report report = report_of(metric->source);
    const struct field *field =
        fields_find(fields, report, id, metric->stat == NULL ? "cmd_set" : metric->stat);

    if (field == NULL)
        return;
    const struct metric *first =
        metric; /* rows of one name share the help of the first */
    while (*first->help == '\0')
        first--;
    put_head(writer, metric->name, type_name(metric->type), first->help);
    put_name(writer, metric, id);
    if (metric->stat == NULL)
        put(writer, "%" PRIu64, plain_sets(fields, report, id));
    else if (field->type == STAT_TYPE_YES)
        put(writer, "%d", slice_equal(field_value(fields, field), SLICE("yes")));
    else
        put_bytes(writer, field_value(fields, field));
    put(writer, "\n");
}

static bool
crawler_is_on(const struct fields *fields)
{
    const struct field *field =
        fields_find(fields, VIEW_SETTINGS, FIELDS_CLASS_NONE, "lru_crawler");

    return field != NULL && slice_equal(field_value(fields, field), SLICE("yes"));
}

static void
put_rows(struct writer *writer)
{
    bool crawler = crawler_is_on(writer->fields);

    for (size_t i = 0; i < METRICS; i++) {
        const struct metric *metric = &metrics[i];
        bool each = metric->source == SLABS_EACH || metric->source == ITEMS_EACH;
        if (metric->source == CRAWLER && !crawler)
            continue;
        if (!each)
            put_sample(writer, metric, FIELDS_CLASS_NONE);
        for (unsigned id = 1; each && id < FIELDS_CLASSES; id++)
            put_sample(writer, metric, id);
    }
}

/* Always 1: the label is the news. */
static void
put_version(struct writer *writer)
{
    const struct field *field =
        fields_find(writer->fields, VIEW_GENERAL, FIELDS_CLASS_NONE, "version");

    put_head(writer, "memcached_up", "gauge", "1: whoever answers is there.");
    put(writer, "memcached_up 1\n");
    if (field == NULL)
        return;
    put_head(writer, "memcached_version", "gauge", "The version, as a label.");
    put(writer, "memcached_version{version=\"");
    put_bytes(writer, field_value(writer->fields, field));
    put(writer, "\"} 1\n");
}

static void
put_health(struct writer *writer, const struct http_parts *parts)
{
    put_head(writer, "larder_stalled_threads", "gauge",
        "Workers that have not come round for some seconds; /healthz fails over 0.");
    put(writer, "larder_stalled_threads %u\n", parts->stalled(parts->context));
}

/* ---- Namespaces -------------------------------------------------------------------- */

/* Of all but the default one, whose figures are those above. A line of each metric for
 * each of them, so the figures are kept until all have been asked. */
static const struct metric space_metrics[] = {
    { GENERAL, GAUGE, "larder_namespace_items", "", "curr_items",
        "Items of a namespace (--listener)." },
    { GENERAL, GAUGE, "larder_namespace_bytes", "", "bytes",
        "Bytes of its items: headers, keys and values." },
    { GENERAL, GAUGE, "larder_namespace_limit_bytes", "", "limit_maxbytes",
        "Memory for its items." },
    { GENERAL, COUNTER, "larder_namespace_evictions_total", "", "evictions",
        "Its items evicted to make room." },
    { GENERAL, COUNTER, "larder_namespace_get_hits_total", "", "get_hits",
        "Keys that a get has found in it." },
    { GENERAL, COUNTER, "larder_namespace_get_misses_total", "", "get_misses",
        "Keys that a get has not found in it." },
};
#define SPACE_METRICS (sizeof space_metrics / sizeof *space_metrics)

struct space_figures {
    uint64_t at[SPACE_METRICS];
};

/* False: out of memory. */
static bool
read_space(const struct http_space *space, struct space_figures *figures)
{
    struct fields fields;
    bool done = fields_init_of(&fields, space->admin, VIEW_GENERAL);

    for (size_t i = 0; done && i < SPACE_METRICS; i++)
        figures->at[i] =
            number(&fields, VIEW_GENERAL, FIELDS_CLASS_NONE, space_metrics[i].stat);
    fields_fini(&fields);
    return done;
}

static void
put_spaces(struct writer *writer, const struct http_parts *parts)
{
    struct space_figures *figures = calloc(parts->nspaces + 1, sizeof *figures);

    for (unsigned i = 0; i < parts->nspaces && figures != NULL; i++)
        if (!read_space(&parts->spaces[i], &figures[i]))
            writer->failed = true;
    if (figures == NULL)
        writer->failed = true;
    for (size_t row = 0; row < SPACE_METRICS && !writer->failed; row++) {
        const struct metric *metric = &space_metrics[row];
        if (parts->nspaces > 0)
            put_head(writer, metric->name, type_name(metric->type), metric->help);
        for (unsigned i = 0; i < parts->nspaces; i++)
            put(writer, "%s{namespace=\"%s\"} %" PRIu64 "\n", metric->name,
                parts->spaces[i].name, figures[i].at[row]);
    }
    free(figures);
}

/* ---- Histograms -------------------------------------------------------------------- */

/* Bounds are powers of two, which the histograms have as theirs: from a microsecond,
 * about, to eight seconds. */
#define BOUND_BIT_MIN 10u
#define BOUND_BIT_MAX 33u

static void
put_histogram(struct writer *writer, const char *name, const struct latency_count *count)
{
    static const char metric[] = "larder_command_duration_seconds";
    uint64_t below = 0;
    unsigned i = 0;

    for (unsigned bit = BOUND_BIT_MIN; bit <= BOUND_BIT_MAX; bit++) {
        uint64_t bound = UINT64_C(1) << bit;
        for (; i < LATENCY_BUCKETS && latency_bound(i) <= bound; i++)
            below += count->buckets[i];
        put(writer, "%s_bucket{command=\"%s\",le=\"%.10g\"} %" PRIu64 "\n", metric, name,
            (double)bound / 1e9, below);
    }
    put(writer, "%s_bucket{command=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", metric, name,
        latency_total(count));
    put(writer, "%s_sum{command=\"%s\"} %.9f\n", metric, name,
        (double)count->sum_ns / 1e9);
    put(writer, "%s_count{command=\"%s\"} %" PRIu64 "\n", metric, name,
        latency_total(count));
}

static void
put_latency(struct writer *writer, struct admin *admin)
{
    struct latency_counts *counts = calloc(1, sizeof *counts);

    if (counts == NULL) {
        writer->failed = true;
        return;
    }
    admin_latency(admin, counts);
    put_head(writer, "larder_command_duration_seconds", "histogram",
        "From the arrival of a command to its reply's, of the commands that are timed "
        "(-o latency_sample).");
    for (unsigned id = 0; id < LATENCY_CLASS_COUNT; id++)
        put_histogram(writer, latency_name((enum latency_class)id), &counts->classes[id]);
    free(counts);
}

bool
metrics_put(struct evbuffer *out, const struct fields *fields,
    const struct http_parts *parts, bool openmetrics)
{
    struct writer writer = { .out = out, .fields = fields, .openmetrics = openmetrics };

    put_version(&writer);
    put_rows(&writer);
    put_spaces(&writer, parts);
    put_health(&writer, parts);
    put_latency(&writer, parts->admin);
    if (openmetrics)
        put(&writer, "# EOF\n");
    return !writer.failed;
}
