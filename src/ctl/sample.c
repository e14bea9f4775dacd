/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/sample.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"
#include "ctl/show.h"

/* Takes the part before the first colon off `name`. */
static bool
cut_colon(struct slice *name, struct slice *part)
{
    const char *colon = memchr(name->data, ':', name->len);

    if (colon == NULL)
        return false;
    *part = slice_of(name->data, (size_t)(colon - name->data));
    *name = slice_of(colon + 1, name->len - part->len - 1);
    return true;
}

/* Keys come escaped, and more than need be: a:b as a%3Ab. */
static void
set_key(struct sample_hot *hot, struct slice escaped)
{
    char bytes[SAMPLE_KEY_MAX], shown[SHOW_ROOM(SAMPLE_KEY_MAX)];
    size_t len;

    if (escaped.len < sizeof bytes && show_decode(bytes, escaped, &len))
        escaped = slice_of(shown,
            (size_t)(show_key_put(shown, slice_of(bytes, len)) - shown));
    show_line_put(hot->key, sizeof hot->key, escaped);
}

/* requests:1:key a%20b, requests:1:count 7; ranks come in order and without gaps. */
void
sample_add_hot(struct sample *sample, const struct report *report)
{
    sample->has_hot = true;
    sample->hot_requests = (double)report_u64(report, "samples") *
        (double)report_u64(report, "hotkeys_sample");
    for (size_t i = 0; i < report->n; i++) {
        struct slice name = report->rows[i].name, value = report->rows[i].value;
        struct slice ranking, number;
        uint64_t rank;

        if (!cut_colon(&name, &ranking) || !cut_colon(&name, &number) ||
            !num_u64(number, 3, &rank) || rank == 0 || rank > SAMPLE_HOT_MAX)
            continue;
        unsigned by = slice_equal(ranking, SLICE("bytes")) ? SAMPLE_BY_BYTES
                                                            : SAMPLE_BY_REQUESTS;
        struct sample_hot *hot = &sample->hot[by][rank - 1];
        if (slice_equal(name, SLICE("key")))
            set_key(hot, value);
        else if (!slice_equal(name, SLICE("count")) ||
            !num_u64(value, NUM_U64_MAX, &hot->count))
            continue;
        if (rank > sample->n_hot[by])
            sample->n_hot[by] = (unsigned)rank;
    }
}

/* The place of a class of commands; NULL: there are too many. */
static struct sample_latency *
find_latency(struct sample *sample, struct slice name)
{
    char shown[sizeof sample->latency[0].name];
    struct sample_latency *free_one;

    show_line_put(shown, sizeof shown, name);
    for (unsigned i = 0; i < sample->n_latency; i++)
        if (strcmp(sample->latency[i].name, shown) == 0)
            return &sample->latency[i];
    if (sample->n_latency == SAMPLE_LATENCY_MAX)
        return NULL;
    free_one = &sample->latency[sample->n_latency++];
    memcpy(free_one->name, shown, sizeof shown);
    return free_one;
}

/* get:samples 12, get:p50_us 3.5, ... */
void
sample_add_latency(struct sample *sample, const struct report *report)
{
    for (size_t i = 0; i < report->n; i++) {
        struct slice name = report->rows[i].name, value = report->rows[i].value, part;
        struct sample_latency *latency;

        if (!cut_colon(&name, &part))
            continue;
        latency = find_latency(sample, part);
        if (latency == NULL)
            continue;
        if (slice_equal(name, SLICE("samples")))
            latency->samples = (uint64_t)report_parse_real(value);
        else if (slice_equal(name, SLICE("p50_us")))
            latency->p50_us = report_parse_real(value);
        else if (slice_equal(name, SLICE("p99_us")))
            latency->p99_us = report_parse_real(value);
        else if (slice_equal(name, SLICE("p999_us")))
            latency->p999_us = report_parse_real(value);
    }
}

/* A report that not every server has. */
static enum ctl_status
fetch_more(struct sample *sample, struct link *link, const char *what,
    void (*add)(struct sample *sample, const struct report *report), char *why)
{
    struct report report;
    enum ctl_status status = report_fetch(&report, link, what, why);

    if (status == CTL_OK) {
        add(sample, &report);
        report_free(&report);
    }
    /* A refusal is one line, so the conversation goes on; but so that garbage is not taken
     * for one, it has to look like one. */
    if (status == CTL_REFUSED &&
        (strncmp(why, "ERROR", 5) == 0 || strncmp(why, "CLIENT_ERROR", 12) == 0))
        return CTL_OK;
    return status;
}

enum ctl_status
sample_fetch(struct sample *sample, struct link *link, char *why)
{
    enum ctl_status status;

    *sample = (struct sample){ .at = clock_micros() };
    status = report_fetch(&sample->general, link, "", why);
    if (status != CTL_OK)
        return status;
    if (report_find(&sample->general, "version").len == 0) {
        snprintf(why, CTL_WHY_MAX, "the statistics make no sense");
        status = CTL_REFUSED;
    }
    if (status == CTL_OK)
        status = classes_fetch(&sample->classes, link, why);
    if (status == CTL_OK)
        status = fetch_more(sample, link, "hotkeys", sample_add_hot, why);
    if (status == CTL_OK)
        status = fetch_more(sample, link, "latency", sample_add_latency, why);
    if (status != CTL_OK)
        sample_free(sample);
    return status;
}

void
sample_free(struct sample *sample)
{
    report_free(&sample->general);
}

/* What came to a counter, a second. */
static double
rate(const struct sample *before, const struct sample *now, const char *name,
    double seconds)
{
    uint64_t old, new;

    if (before == NULL)
        return NAN;
    old = report_u64(&before->general, name);
    new = report_u64(&now->general, name);
    return new < old ? NAN : (double)(new - old) / seconds;
}

static double
ratio(double part, double rest)
{
    return part + rest > 0 ? part / (part + rest) : NAN;
}

static double
cpu_seconds(const struct sample *sample)
{
    return report_real(&sample->general, "rusage_user") +
        report_real(&sample->general, "rusage_system");
}

void
sample_rates(struct rates *rates, const struct sample *before, const struct sample *now)
{
    double seconds = before == NULL ? NAN : (double)(now->at - before->at) / 1e6;
    const struct report *general = &now->general;

#define RATE(name) rate(before, now, name, seconds)
    *rates = (struct rates){
        .seconds = seconds,
        .gets = RATE("cmd_get"),
        .sets = RATE("cmd_set"),
        .deletes = RATE("delete_hits") + RATE("delete_misses"),
        .counters = RATE("incr_hits") + RATE("incr_misses") + RATE("decr_hits") +
            RATE("decr_misses"),
        .touches = RATE("cmd_touch"),
        .hit_ratio = ratio(RATE("get_hits"), RATE("get_misses")),
        .hit_ratio_ever = ratio((double)report_u64(general, "get_hits"),
            (double)report_u64(general, "get_misses")),
        .evictions = RATE("evictions"),
        .expired = RATE("reclaimed") + RATE("crawler_reclaimed"),
        .connections = RATE("total_connections"),
        .bytes_read = RATE("bytes_read"),
        .bytes_written = RATE("bytes_written"),
        .cpu = NAN,
    };
#undef RATE
    rates->requests = rates->gets + rates->sets + rates->deletes + rates->counters +
        rates->touches;
    if (before != NULL && cpu_seconds(now) >= cpu_seconds(before))
        rates->cpu = (cpu_seconds(now) - cpu_seconds(before)) / seconds;
    for (unsigned id = 0; id < CLASSES_MAX; id++) {
        uint64_t new = now->classes.at[id].evicted;
        uint64_t old = before != NULL ? before->classes.at[id].evicted : 0;

        rates->class_evictions[id] = before == NULL || new < old
            ? NAN
            : (double)(new - old) / seconds;
    }
}
