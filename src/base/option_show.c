/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option_show.c - what the options say, as text: for --help, for --check-config, and for
 * telling what a file that was read again would change.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/option_rows.h"

static const char *
protocol_text(enum protocol_choice protocol)
{
    switch (protocol) {
    case PROTOCOL_ASCII:
        return "ascii";
    case PROTOCOL_BINARY:
        return "binary";
    case PROTOCOL_AUTO:
        break;
    }
    return "auto";
}

static void
show_sizes(const struct options *options, char *to, size_t size)
{
    size_t at = 0;

    for (unsigned i = 0; i < options->nslab_sizes && at < size; i++)
        at += (size_t)snprintf(
            to + at, size - at, i == 0 ? "%u" : "-%u", options->slab_sizes[i]);
}

/* A list as words of -o, where commas divide: a,http_name=b. */
static void
show_list(const char *list, const char *name, char *to, size_t size)
{
    size_t at = 0;

    for (; list != NULL && *list != '\0' && at < size; list++)
        at += (size_t)(*list == ',' ? snprintf(to + at, size - at, ",%s=", name) :
                                      snprintf(to + at, size - at, "%c", *list));
}

static void
show_listeners(const struct options *options, char *to, size_t size)
{
    char text[OPTIONS_TEXT_MAX];
    size_t at = 0;

    for (unsigned i = 0; i < options->nlisteners && at < size; i++) {
        option_listener_show(options, i, text, sizeof text);
        at += (size_t)snprintf(to + at, size - at, i == 0 ? "%s" : " %s", text);
    }
}

/* Rows with a function of their own. Those that stand for other rows are not shown. */
static void
show_other(const struct options *options, const struct option_row *row, char *to,
    size_t size)
{
    if (row->set == option_set_port) {
        snprintf(to, size, "%d", row->letter == 'p' ? options->port : options->udp_port);
    } else if (row->set == option_set_listen) {
        snprintf(to, size, "%s", options->listen == NULL ? OPTION_LISTEN_DEFAULT
                                                       : options->listen);
    } else if (row->set == option_set_listener) {
        show_listeners(options, to, size);
    } else if (row->set == option_set_mask) {
        snprintf(to, size, "%o", options->unix_mask);
    } else if (row->set == option_set_memory) {
        snprintf(to, size, "%llu", (unsigned long long)options->memory_max >> 20);
    } else if (row->set == option_set_memory_total) {
        snprintf(to, size, "%llu", (unsigned long long)options->memory_total >> 20);
    } else if (row->set == option_set_eviction) {
        snprintf(to, size, "%s", options->evict_lru ? "lru" : "segmented");
    } else if (row->set == option_set_handover) {
        static const char *const words[] = { [HANDOVER_OFF] = "off",
            [HANDOVER_MANAGER] = "manager", [HANDOVER_PROCESS] = "process" };
        snprintf(to, size, "%s", words[options->handover]);
    } else if (row->set == option_set_item_size) {
        snprintf(to, size, "%llu", (unsigned long long)options->item_size_max);
    } else if (row->set == option_set_protocol) {
        snprintf(to, size, "%s", protocol_text(options->protocol));
    } else if (row->set == option_set_verbose) {
        snprintf(to, size, "%d", options->verbose);
    } else if (row->set == option_set_prefix) {
        snprintf(to, size, "%.1s", options->detail_enabled ? &options->prefix_delimiter
                                                           : "");
    } else if (row->set == option_set_hash) {
        snprintf(to, size, "%s", options->hash_algorithm);
    } else if (row->set == option_set_hash_power) {
        snprintf(to, size, "%d", options->hash_power);
    } else if (row->set == option_set_chunk_max && row->argument != NULL) {
        snprintf(to, size, "%llu", (unsigned long long)options->slab_chunk_max >> 10);
    } else if (row->set == option_set_slab_sizes) {
        show_sizes(options, to, size);
    } else if (row->set == option_set_automove && row->argument != NULL) {
        snprintf(to, size, "%d", options->slab_automove);
    } else if (row->set == option_set_temporary_ttl) {
        snprintf(to, size, "%u", options->temporary_ttl);
    } else if (row->set == option_set_http) {
        snprintf(to, size, "%s", options->http == NULL ? "" : options->http);
    } else if (row->set == option_set_http_name) {
        show_list(options->http_names, row->name, to, size);
    } else if (row->set == option_set_flush_prefix) {
        show_list(options->flush_prefixes, row->name, to, size);
    } else if (row->set == option_set_sandbox && row->argument != NULL) {
        static const char *const words[] = { [SANDBOX_OFF] = "off", [SANDBOX_LOG] = "log",
            [SANDBOX_ON] = "on", [SANDBOX_STRICT] = "strict" };
        snprintf(to, size, "%s", words[options->sandbox]);
    }
}

void
option_show(const struct options *options, const struct option_row *row, char *to,
    size_t size)
{
    const void *field = (const char *)options + row->offset;
    uint32_t unit = row->unit == 0 ? 1 : row->unit;

    assert(size > 0);
    *to = '\0';
    switch (row->kind) {
    case OPTION_FLAG:
        snprintf(to, size, "%s", *(const bool *)field == row->value ? "on" : "off");
        return;
    case OPTION_INT:
        snprintf(to, size, "%d", *(const int *)field);
        return;
    case OPTION_U32:
        snprintf(to, size, "%u", *(const uint32_t *)field / unit);
        return;
    case OPTION_U64:
        snprintf(to, size, "%llu", (unsigned long long)(*(const uint64_t *)field / unit));
        return;
    case OPTION_REAL:
        snprintf(to, size, "%g", *(const double *)field);
        return;
    case OPTION_TEXT:
        if (*(char *const *)field != NULL)
            snprintf(to, size, "%s", *(char *const *)field);
        return;
    case OPTION_OTHER:
        show_other(options, row, to, size);
        return;
    case OPTION_GROUP:
    case OPTION_ACT:
    case OPTION_NOTHING:
    case OPTION_LATER:
        return;
    }
}

/* ---- A whole set of options ------------------------------------------------------------ */

static bool
is_setting(const struct option_row *row)
{
    switch (row->kind) {
    case OPTION_FLAG:
    case OPTION_INT:
    case OPTION_U32:
    case OPTION_U64:
    case OPTION_REAL:
    case OPTION_TEXT:
        return true;
    case OPTION_OTHER:
        return row->set == option_set_verbose || (row->argument != NULL &&
            row->set != option_set_words && row->set != option_set_config);
    case OPTION_GROUP:
    case OPTION_ACT:
    case OPTION_NOTHING:
    case OPTION_LATER:
        break;
    }
    return false;
}

/* `maxconns_fast` and `no_maxconns_fast` are one setting; the first of them stands for it. */
static bool
is_second_name(const struct option_row *rows, const struct option_row *row)
{
    if (row->kind != OPTION_FLAG)
        return false;
    for (const struct option_row *other = rows; other < row; other++)
        if (other->kind == OPTION_FLAG && other->offset == row->offset)
            return true;
    return false;
}

/* Listeners one by one, as there may be too many for a text. */
static bool
listeners_differ(const struct options *old, const struct options *new,
    options_differ_fn fn, void *context)
{
    unsigned n = old->nlisteners > new->nlisteners ? old->nlisteners : new->nlisteners;
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        char before[OPTIONS_TEXT_MAX] = "", after[OPTIONS_TEXT_MAX] = "";
        if (i < old->nlisteners)
            option_listener_show(old, i, before, sizeof before);
        if (i < new->nlisteners)
            option_listener_show(new, i, after, sizeof after);
        if (strcmp(before, after) == 0)
            continue;
        fn(context, "listener", before, after);
        any = true;
    }
    return any;
}

static bool
rows_differ(const struct option_row *rows, const struct options *old,
    const struct options *new, options_differ_fn fn, void *context)
{
    char before[OPTIONS_TEXT_MAX], after[OPTIONS_TEXT_MAX];
    bool any = false;

    for (const struct option_row *row = rows; !option_row_is_last(row); row++) {
        if (!is_setting(row) || is_second_name(rows, row) ||
            row->set == option_set_listener)
            continue;
        option_show(old, row, before, sizeof before);
        option_show(new, row, after, sizeof after);
        if (strcmp(before, after) == 0)
            continue;
        fn(context, row->name == NULL ? "D" : row->name, before, after);
        any = true;
    }
    return any;
}

bool
options_differ(const struct options *old, const struct options *new, options_differ_fn fn,
    void *context)
{
    bool any = rows_differ(option_rows, old, new, fn, context);

    any = listeners_differ(old, new, fn, context) || any;
    return rows_differ(option_words, old, new, fn, context) || any;
}

/* A value that the reader of files would take apart otherwise. */
static void
print_value(const char *text)
{
    if (*text != '\0' && *text != '=' && strpbrk(text, " \t\r\v\f#\"'\\") == NULL) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void
print_setting(const struct option_row *row, const char *text, bool usual)
{
    fputs(usual ? "# " : "", stdout);
    if (row->set == option_set_verbose) {
        putchar('-');
        for (int i = 0; i < (*text == '0' ? 1 : *text - '0'); i++)
            putchar('v');
        putchar('\n');
        return;
    }
    if (row->letter == 0)
        printf("-o %s%s", row->name, row->argument == NULL ? "" : "=");
    else if (row->name == NULL)
        printf("-%c ", row->letter);
    else
        printf("%s%s", row->name, row->argument == NULL ? "" : " ");
    if (row->argument != NULL && *text != '\0')
        print_value(text);
    putchar('\n');
}

static void
print_settings(const struct option_row *row, const struct options *options,
    const struct options *usual)
{
    char text[OPTIONS_TEXT_MAX], usual_text[OPTIONS_TEXT_MAX];

    for (; !option_row_is_last(row); row++) {
        if (row->kind == OPTION_GROUP)
            printf("\n## %s\n", row->help);
        if (!is_setting(row))
            continue;
        for (unsigned i = 0; row->set == option_set_listener && i < options->nlisteners;
             i++) {
            option_listener_show(options, i, text, sizeof text);
            print_setting(row, text, false);
        }
        if (row->set == option_set_listener && options->nlisteners > 0)
            continue;
        option_show(options, row, text, sizeof text);
        option_show(usual, row, usual_text, sizeof usual_text);
        bool same = strcmp(text, usual_text) == 0;
        print_setting(
            row, text, same || (row->kind == OPTION_FLAG && strcmp(text, "on") != 0));
    }
}

void
options_print(const struct options *options)
{
    struct options usual;

    options_init(&usual);
    printf("# " PACKAGE_NAME " " OPTIONS_VERSION ", as --config reads it. What begins with "
           "one # is the default.\n");
    print_settings(option_rows, options, &usual);
    print_settings(option_words, options, &usual);
    options_fini(&usual);
}
