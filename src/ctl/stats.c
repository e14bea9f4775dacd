/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/stats.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/classes.h"
#include "ctl/show.h"

/* Longer words of a report are no report's. */
#define WHAT_MAX 512

/* "get 1 hit 2 set 3 del 4" as members. */
static void
json_words(struct json *json, struct slice text)
{
    struct slice words[2] = { { 0 } };
    unsigned n = 0;

    while (text.len > 0) {
        const char *blank = memchr(text.data, ' ', text.len);
        size_t len = blank != NULL ? (size_t)(blank - text.data) : text.len;

        words[n++ % 2] = slice_of(text.data, len);
        len += blank != NULL;
        text = slice_of(text.data + len, text.len - len);
        if (n % 2 == 0) {
            json_name(json, words[0]);
            json_word(json, words[1]);
        }
    }
}

static bool
ends_in_key(struct slice name)
{
    return name.len > 4 && memcmp(name.data + name.len - 4, ":key", 4) == 0;
}

static void
json_rows(struct json *json, const struct report *report, enum report_kind kind)
{
    for (size_t i = 0; i < report->n; i++) {
        const struct report_row *row = &report->rows[i];

        if (row->kind != kind)
            continue;
        if (kind == REPORT_STAT) {
            json_name(json, row->name);
            /* Those of `stats hotkeys`. */
            if (ends_in_key(row->name))
                json_escaped(json, row->value);
            else
                json_word(json, row->value);
            continue;
        }
        json_begin(json, '{');
        json_pair_text(json, kind == REPORT_PREFIX ? "prefix" : "key", row->name);
        if (kind == REPORT_PREFIX)
            json_words(json, row->value);
        else
            json_pair_text(json, "item", row->value);
        json_end(json, '}');
    }
}

static bool
has(const struct report *report, enum report_kind kind)
{
    for (size_t i = 0; i < report->n; i++)
        if (report->rows[i].kind == kind)
            return true;
    return false;
}

static void
print_json(const struct server *server, const struct report *report)
{
    struct json json = { .to = stdout };

    ask_json(&json, server);
    json_name(&json, SLICE("stats"));
    json_begin(&json, '{');
    json_rows(&json, report, REPORT_STAT);
    json_end(&json, '}');
    if (has(report, REPORT_PREFIX)) {
        json_name(&json, SLICE("prefixes"));
        json_begin(&json, '[');
        json_rows(&json, report, REPORT_PREFIX);
        json_end(&json, ']');
    }
    if (has(report, REPORT_ITEM)) {
        json_name(&json, SLICE("items"));
        json_begin(&json, '[');
        json_rows(&json, report, REPORT_ITEM);
        json_end(&json, ']');
    }
    ask_json_end(&json);
}

static void
print_rows(const struct report *report)
{
    size_t width = 0;

    for (size_t i = 0; i < report->n; i++)
        if (report->rows[i].name.len > width && report->rows[i].name.len <= 40)
            width = report->rows[i].name.len;
    for (size_t i = 0; i < report->n; i++) {
        const struct report_row *row = &report->rows[i];
        size_t pad = row->name.len < width ? width - row->name.len : 0;

        /* Names are words or keys; keys of `detail dump` may hold blanks. */
        show_line(stdout, row->name);
        printf("%*s  ", (int)pad, "");
        show_line(stdout, row->value);
        putchar('\n');
    }
}

static enum ctl_status
print_report(const struct args *args, const struct login *login, const char *what)
{
    enum ctl_status status = CTL_OK;

    for (unsigned i = 0; i < args->n_servers; i++) {
        struct report report;
        enum ctl_status one;

        if (!args->json)
            ask_heading(args, i);
        one = ask_report(&report, &args->servers[i], args, login, what);
        status = ctl_worse(status, one);
        if (one != CTL_OK)
            continue;
        if (args->json)
            print_json(&args->servers[i], &report);
        else
            print_rows(&report);
        report_free(&report);
    }
    return ctl_worse(status, ask_printed());
}

/* Puts the words together. A line end in one would begin another command. */
static bool
join(char what[WHAT_MAX], const struct args *args)
{
    size_t len = 0;

    what[0] = '\0';
    for (int i = 0; i < args->n_words; i++) {
        size_t word = strlen(args->words[i]);

        if (len + word + 2 > WHAT_MAX || !show_is_word(slice_of(args->words[i], word)))
            return false;
        if (i > 0)
            what[len++] = ' ';
        memcpy(what + len, args->words[i], word + 1);
        len += word;
    }
    return true;
}

enum ctl_status
stats_run(const struct args *args, const struct login *login)
{
    char what[WHAT_MAX];

    if (!join(what, args)) {
        ctl_complain("stats: a report is named by short words without blanks");
        return CTL_USAGE;
    }
    return print_report(args, login, what);
}

enum ctl_status
stats_run_settings(const struct args *args, const struct login *login)
{
    return print_report(args, login, "settings");
}

static void
print_classes(const struct classes *classes)
{
    puts("  #  Item_Size  Max_age   Pages   Count   Full?  Evicted Evict_Time OOM");
    for (unsigned id = 0; id < CLASSES_MAX; id++) {
        const struct class_row *row = &classes->at[id];
        char size[32];

        if (!row->there || (row->pages == 0 && row->items == 0))
            continue;
        if (row->chunk_size < 1024)
            snprintf(size, sizeof size, "%" PRIu64 "B", row->chunk_size);
        else
            snprintf(size, sizeof size, "%.1fK", (double)row->chunk_size / 1024);
        printf("%3u %10s %7" PRIu64 "s %7" PRIu64 " %7" PRIu64 " %7s %8" PRIu64
               " %10" PRIu64 " %3" PRIu64 "\n",
            id, size, row->age, row->pages, row->items, classes_full(row) ? "yes" : "no",
            row->evicted, row->evicted_time, row->outofmemory);
    }
}

static void
print_json_classes(const struct server *server, const struct classes *classes)
{
    struct json json = { .to = stdout };

    ask_json(&json, server);
    json_name(&json, SLICE("classes"));
    json_begin(&json, '[');
    for (unsigned id = 0; id < CLASSES_MAX; id++) {
        const struct class_row *row = &classes->at[id];

        if (!row->there)
            continue;
        json_begin(&json, '{');
        json_pair_u64(&json, "class", id);
        for (const struct class_field *field = class_fields;
             field->slabs != NULL || field->items != NULL; field++)
            json_pair_u64(&json, field->slabs != NULL ? field->slabs : field->items,
                classes_field(row, field));
        json_name(&json, SLICE("full"));
        json_bool(&json, classes_full(row));
        json_end(&json, '}');
    }
    json_end(&json, ']');
    json_pair_u64(&json, "total_malloced", classes->total_malloced);
    ask_json_end(&json);
}

enum ctl_status
stats_run_items(const struct args *args, const struct login *login)
{
    enum ctl_status status = CTL_OK;

    for (unsigned i = 0; i < args->n_servers; i++) {
        const struct server *server = &args->servers[i];
        char why[CTL_WHY_MAX];
        struct classes classes;
        struct link *link;
        enum ctl_status one = ask_open(&link, server, args, login, why);

        if (!args->json)
            ask_heading(args, i);
        if (one == CTL_OK) {
            one = classes_fetch(&classes, link, why);
            link_close(link);
        }
        if (one != CTL_OK)
            ask_failed(args, server, one, why);
        else if (args->json)
            print_json_classes(server, &classes);
        else
            print_classes(&classes);
        status = ctl_worse(status, one);
    }
    return ctl_worse(status, ask_printed());
}
