/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/document.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/json.h"

#define PREFIXES_TOP 20u

static void
put_field(struct json *json, const struct fields *fields, const struct field *field)
{
    struct slice name = field_name(fields, field), value = field_value(fields, field);
    char text[STAT_NAME_MAX + 1];

    if (field->type == STAT_TYPE_TEXT) {
        json_text(json, name, value);
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)name.len, name.data);
    if (field->type == STAT_TYPE_YES)
        json_bool(json, text, slice_equal(value, SLICE("yes")));
    else
        json_number(json, text, "%.*s", (int)value.len, value.data);
}

static void
put_run(struct json *json, const char *name, const struct fields *fields,
    enum view_report report, unsigned id)
{
    const struct field_run *run = &fields->runs[report][id];

    json_open(json, name, '{');
    for (uint32_t i = run->first; i < run->first + run->n; i++)
        put_field(json, fields, &fields->at[i]);
    json_close(json, '}');
}

static void
put_classes(struct json *json, const char *name, const struct fields *fields,
    enum view_report report)
{
    char number[16];

    json_open(json, name, '{');
    for (unsigned id = 1; id < FIELDS_CLASSES; id++) {
        if (fields->runs[report][id].n == 0)
            continue;
        snprintf(number, sizeof number, "%u", id);
        put_run(json, number, fields, report, id);
    }
    json_close(json, '}');
}

static void
put_prefixes(struct json *json, struct admin *admin)
{
    struct prefix_figures top[PREFIXES_TOP];
    unsigned n = view_shows_keys(admin) ? view_prefixes(admin, top, PREFIXES_TOP) : 0;

    json_open(json, "prefixes", '[');
    for (unsigned i = 0; i < n; i++) {
        json_open(json, NULL, '{');
        json_key(json, slice_of(top[i].text, top[i].len));
        json_number(json, "get", "%" PRIu64, top[i].gets);
        json_number(json, "hit", "%" PRIu64, top[i].hits);
        json_number(json, "set", "%" PRIu64, top[i].sets);
        json_number(json, "del", "%" PRIu64, top[i].deletes);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void
put_hot(struct json *json, const char *name, const struct hotkeys_top *top,
    enum hotkeys_by by)
{
    json_open(json, name, '[');
    for (unsigned i = 0; i < top->n[by]; i++) {
        const struct hot_key *hot = &top->keys[by][i];
        json_open(json, NULL, '{');
        json_key(json, slice_of(hot->key, hot->len));
        json_number(json, "count", "%" PRIu64, hot->count);
        json_number(json, "error", "%" PRIu64, hot->error);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* False: out of memory. */
static bool
put_hotkeys(struct json *json, struct admin *admin)
{
    struct hotkeys_top *top = calloc(1, sizeof *top); /* ten KiB */
    bool shown = view_shows_keys(admin);

    if (top == NULL || (shown && !admin_hotkeys(admin, top))) {
        free(top);
        return false;
    }
    json_open(json, "hotkeys", '{');
    json_number(json, "sample", "%u", top->mean);
    json_number(json, "samples", "%" PRIu64, top->samples);
    json_number(json, "seconds", "%u", top->seconds);
    put_hot(json, "requests", top, HOTKEYS_BY_REQUESTS);
    put_hot(json, "bytes", top, HOTKEYS_BY_BYTES);
    json_close(json, '}');
    free(top);
    return true;
}

static void
put_histogram(struct json *json, const char *name, const struct latency_count *count)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 },
        { "p999", 0.999 } };

    json_open(json, name, '{');
    json_number(json, "count", "%" PRIu64, latency_total(count));
    json_number(json, "sum", "%" PRIu64, count->sum_ns);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
        json_number(
            json, quantiles[i].name, "%" PRIu64, latency_quantile(count, quantiles[i].q));
    json_open(json, "buckets", '[');
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        if (count->buckets[i] == 0)
            continue;
        json_open(json, NULL, '[');
        json_number(json, NULL, "%" PRIu64, latency_bound(i));
        json_number(json, NULL, "%" PRIu64, count->buckets[i]);
        json_close(json, ']');
    }
    json_close(json, ']');
    json_close(json, '}');
}

/* Nanoseconds; the page takes the difference of two answers. */
static bool
put_latency(struct json *json, struct admin *admin)
{
    struct latency_counts *counts = calloc(1, sizeof *counts);

    if (counts == NULL)
        return false;
    admin_latency(admin, counts);
    json_open(json, "latency", '{');
    for (unsigned id = 0; id < LATENCY_CLASS_COUNT; id++)
        put_histogram(json, latency_name((enum latency_class)id), &counts->classes[id]);
    json_close(json, '}');
    free(counts);
    return true;
}

/* The general figures of all namespaces but the default one. False: out of memory. */
static bool
put_spaces(struct json *json, const struct http_parts *parts)
{
    bool done = true;

    if (parts->nspaces == 0)
        return true;
    json_open(json, "namespaces", '{');
    for (unsigned i = 0; done && i < parts->nspaces; i++) {
        struct fields fields;
        done = fields_init_of(&fields, parts->spaces[i].admin, VIEW_GENERAL);
        if (done)
            put_run(json, parts->spaces[i].name, &fields, VIEW_GENERAL,
                FIELDS_CLASS_NONE);
        fields_fini(&fields);
    }
    json_close(json, '}');
    return done;
}

bool
document_put(
    struct evbuffer *out, const struct fields *fields, const struct http_parts *parts)
{
    struct json json = { .out = out };

    json_open(&json, NULL, '{');
    json_number(&json, "stalled_threads", "%u", parts->stalled(parts->context));
    json_bool(&json, "keys_shown", view_shows_keys(parts->admin));
    put_run(&json, "general", fields, VIEW_GENERAL, FIELDS_CLASS_NONE);
    put_run(&json, "settings", fields, VIEW_SETTINGS, FIELDS_CLASS_NONE);
    put_run(&json, "slab_totals", fields, VIEW_SLABS, FIELDS_CLASS_NONE);
    put_classes(&json, "slabs", fields, VIEW_SLABS);
    put_classes(&json, "items", fields, VIEW_ITEMS);
    put_prefixes(&json, parts->admin);
    bool done = put_hotkeys(&json, parts->admin) && put_latency(&json, parts->admin) &&
                put_spaces(&json, parts);
    json_close(&json, '}');
    return done && !json.failed;
}
