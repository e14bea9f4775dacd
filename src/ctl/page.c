/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/progress.h"
#include "ctl/show.h"

#define BAR_COLUMNS 20u
/* Lines of classes that hot keys leave them, at least. */
#define CLASSES_FEW 4u

char *
page_number(char to[PAGE_NUMBER_MAX], double number)
{
    static const char UNITS[] = "\0kMGTPE";
    unsigned unit = 0;

    if (!isfinite(number)) {
        memcpy(to, "-", 2);
        return to;
    }
    while (number >= (unit == 0 ? 99999.5 : 999.5) && unit + 2 < sizeof UNITS) {
        number /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(to, PAGE_NUMBER_MAX, "%.*f",
            number < 9.95 && number != floor(number) ? 1 : 0, number);
    else
        snprintf(to, PAGE_NUMBER_MAX, "%.*f%c", number < 99.95 ? 1 : 0, number, UNITS[unit]);
    return to;
}

/* Adds a line if there is room, cut to the width. */
__attribute__((format(printf, 3, 4))) static void
add(struct page *page, enum page_style style, const char *format, ...)
{
    char text[2 * PAGE_COLUMNS_MAX];
    va_list values;

    if (page->used == page->rows)
        return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    page->styles[page->used] = style;
    show_line_put(page->lines[page->used++], page->columns + 1,
        slice_of(text, strlen(text)));
}

static char *
percent(char to[PAGE_NUMBER_MAX], double ratio)
{
    if (isfinite(ratio))
        snprintf(to, PAGE_NUMBER_MAX, "%.1f %%", ratio * 100);
    else
        memcpy(to, "-", 2);
    return to;
}

static const char *
bar(char to[BAR_COLUMNS + 3], double ratio)
{
    unsigned full = isfinite(ratio) && ratio > 0
        ? (unsigned)((ratio < 1 ? ratio : 1) * BAR_COLUMNS + 0.5)
        : 0;

    to[0] = '[';
    memset(to + 1, '#', full);
    memset(to + 1 + full, '.', BAR_COLUMNS - full);
    memcpy(to + 1 + BAR_COLUMNS, "]", 2);
    return to;
}

static char *
size_rate(char to[PROGRESS_SIZE_MAX], double bytes)
{
    if (!isfinite(bytes))
        memcpy(to, "-", 2);
    else
        progress_size(to, (uint64_t)bytes);
    return to;
}

static void
add_title(struct page *page, const struct page_view *view)
{
    const struct report *general = &view->sample->general;
    struct slice version = report_find(general, "version");
    uint64_t up = report_u64(general, "uptime");

    add(page, PAGE_TITLE, "larderctl top  %s  %.*s  up %" PRIu64 "d %02u:%02u:%02u",
        view->server, (int)(version.len < 40 ? version.len : 40), version.data,
        up / 86400, (unsigned)(up / 3600 % 24), (unsigned)(up / 60 % 60),
        (unsigned)(up % 60));
}

static void
add_requests(struct page *page, const struct rates *rates)
{
    char all[PAGE_NUMBER_MAX], gets[PAGE_NUMBER_MAX], sets[PAGE_NUMBER_MAX],
        deletes[PAGE_NUMBER_MAX], counters[PAGE_NUMBER_MAX], touches[PAGE_NUMBER_MAX];
    char now[PAGE_NUMBER_MAX], ever[PAGE_NUMBER_MAX], drawn[BAR_COLUMNS + 3];

    add(page, PAGE_PLAIN,
        "Requests  %6s/s   get %s  set %s  delete %s  incr/decr %s  touch %s",
        page_number(all, rates->requests), page_number(gets, rates->gets),
        page_number(sets, rates->sets), page_number(deletes, rates->deletes),
        page_number(counters, rates->counters), page_number(touches, rates->touches));
    add(page, PAGE_PLAIN, "Hits      %8s   %s  %s since the start",
        percent(now, rates->hit_ratio), bar(drawn, rates->hit_ratio),
        percent(ever, rates->hit_ratio_ever));
}

static void
add_memory(struct page *page, const struct page_view *view)
{
    const struct report *general = &view->sample->general;
    uint64_t used = report_u64(general, "bytes");
    uint64_t limit = report_u64(general, "limit_maxbytes");
    double share = limit > 0 ? (double)used / (double)limit : NAN;
    char text[PAGE_NUMBER_MAX], drawn[BAR_COLUMNS + 3], size[PROGRESS_SIZE_MAX],
        most[PROGRESS_SIZE_MAX], items[PAGE_NUMBER_MAX];
    char evictions[PAGE_NUMBER_MAX], expired[PAGE_NUMBER_MAX];

    add(page, PAGE_PLAIN, "Memory    %8s   %s  %s of %s, %s items", percent(text, share),
        bar(drawn, share), progress_size(size, used), progress_size(most, limit),
        page_number(items, (double)report_u64(general, "curr_items")));
    add(page, PAGE_PLAIN,
        "Evictions %6s/s   %" PRIu64 " in all; %s/s expired; %" PRIu64
        " stores found no memory",
        page_number(evictions, view->rates->evictions), report_u64(general, "evictions"),
        page_number(expired, view->rates->expired),
        report_u64(general, "store_no_memory"));
}

static void
add_clients(struct page *page, const struct page_view *view)
{
    const struct report *general = &view->sample->general;
    const struct rates *rates = view->rates;
    char open[PAGE_NUMBER_MAX], new[PAGE_NUMBER_MAX], cpu[PAGE_NUMBER_MAX];
    char in[PROGRESS_SIZE_MAX], out[PROGRESS_SIZE_MAX];

    add(page, PAGE_PLAIN, "Clients   %8s   of %" PRIu64 "; %s/s new; %" PRIu64 " refused",
        page_number(open, (double)report_u64(general, "curr_connections")),
        report_u64(general, "max_connections"), page_number(new, rates->connections),
        report_u64(general, "rejected_connections"));
    add(page, PAGE_PLAIN, "CPU       %8s   in %s/s, out %s/s", percent(cpu, rates->cpu),
        size_rate(in, rates->bytes_read), size_rate(out, rates->bytes_written));
}

/* The classes of commands that were used, as many as there is room for. */
static void
add_latency(struct page *page, const struct sample *sample)
{
    char text[PAGE_COLUMNS_MAX + 1] = "";
    size_t len = 0;

    for (unsigned i = 0; i < sample->n_latency; i++) {
        const struct sample_latency *one = &sample->latency[i];
        char p50[PAGE_NUMBER_MAX], p99[PAGE_NUMBER_MAX], p999[PAGE_NUMBER_MAX], part[120];
        int n;

        if (one->samples == 0)
            continue;
        n = snprintf(part, sizeof part, "%s%s %s/%s/%s", len > 0 ? "   " : "", one->name,
            page_number(p50, one->p50_us), page_number(p99, one->p99_us),
            page_number(p999, one->p999_us));
        /* Half a number would be a wrong one. */
        if (n < 0 || (len > 0 && len + (size_t)n + 26 > page->columns))
            break;
        memcpy(text + len, part, (size_t)n + 1);
        len += (size_t)n;
    }
    if (len > 0)
        add(page, PAGE_PLAIN, "Latency   p50/99/99.9 us  %s", text);
    else
        add(page, PAGE_PLAIN, "Latency          -   %s",
            sample->n_latency > 0 ? "nothing was measured yet"
                                  : "this server does not measure it");
}

struct order {
    unsigned id;
    uint64_t weight;
};

/* The heaviest first; the smaller class among equals. */
static int
compare(const void *a, const void *b)
{
    const struct order *one = a, *other = b;

    if (one->weight != other->weight)
        return one->weight < other->weight ? 1 : -1;
    return one->id < other->id ? -1 : 1;
}

static unsigned
order_classes(struct order order[CLASSES_MAX], const struct page_view *view)
{
    unsigned n = 0;

    for (unsigned id = 0; id < CLASSES_MAX; id++) {
        const struct class_row *row = &view->sample->classes.at[id];
        uint64_t weight = 0;

        if (!row->there || (row->pages == 0 && row->items == 0))
            continue;
        switch (view->sort) {
        case ARGS_SORT_CLASS:
            break;
        case ARGS_SORT_ITEMS:
            weight = row->items;
            break;
        case ARGS_SORT_MEMORY:
            weight = row->used_chunks * row->chunk_size;
            break;
        case ARGS_SORT_EVICTED:
            weight = row->evicted;
            break;
        }
        order[n++] = (struct order){ id, weight };
    }
    qsort(order, n, sizeof *order, compare);
    return n;
}

static void
add_classes(struct page *page, const struct page_view *view, unsigned lines)
{
    static const char *const SORTS[] = { [ARGS_SORT_CLASS] = "class",
        [ARGS_SORT_ITEMS] = "items", [ARGS_SORT_MEMORY] = "memory",
        [ARGS_SORT_EVICTED] = "evicted" };
    struct order order[CLASSES_MAX];
    unsigned n = order_classes(order, view);

    add(page, PAGE_HEADER,
        "Class      Size  Pages    Memory   Items  Max age  Evicted/s  Evicted  by %s",
        SORTS[view->sort]);
    for (unsigned i = 0; i + 1 < lines; i++) {
        const struct class_row *row;
        char size[PROGRESS_SIZE_MAX], memory[PROGRESS_SIZE_MAX], items[PAGE_NUMBER_MAX],
            evicted[PAGE_NUMBER_MAX], rate[PAGE_NUMBER_MAX];

        if (i >= n) {
            add(page, PAGE_PLAIN, "%s", "");
            continue;
        }
        row = &view->sample->classes.at[order[i].id];
        add(page, PAGE_PLAIN, "%5u %9s %6" PRIu64 " %9s %7s %7" PRIu64 "s %10s %8s",
            order[i].id, progress_size(size, row->chunk_size), row->pages,
            progress_size(memory, row->used_chunks * row->chunk_size),
            page_number(items, (double)row->items), row->age,
            page_number(rate, view->rates->class_evictions[order[i].id]),
            page_number(evicted, (double)row->evicted));
    }
}

static void
add_hot(struct page *page, const struct page_view *view, unsigned lines)
{
    const struct sample *sample = view->sample;
    bool bytes = view->ranking == SAMPLE_BY_BYTES;

    add(page, PAGE_HEADER, "Rank   %s  Hot keys by %s", bytes ? "Sampled" : "  Share",
        bytes ? "bytes" : "requests");
    for (unsigned i = 0; i + 1 < lines; i++) {
        const struct sample_hot *hot = &sample->hot[view->ranking][i];
        char share[PAGE_NUMBER_MAX], size[PROGRESS_SIZE_MAX];

        if (i >= sample->n_hot[view->ranking] || i >= SAMPLE_HOT_MAX)
            break;
        add(page, PAGE_PLAIN, "%4u %9s  %s", i + 1,
            bytes ? progress_size(size, hot->count)
                  : percent(share, (double)hot->count / sample->hot_requests),
            hot->key);
    }
}

/* Parts what is left below the figures between the two lists. */
static void
add_lists(struct page *page, const struct page_view *view)
{
    unsigned bottom = view->interactive ? 1 : 0;
    unsigned left = page->rows > page->used + bottom ? page->rows - page->used - bottom : 0;
    unsigned hot = view->sample->has_hot ? left / 2 : 0;

    if (left < 2 * CLASSES_FEW)
        hot = 0;
    if (left - hot > 1)
        add_classes(page, view, left - hot);
    if (hot > 1)
        add_hot(page, view, hot);
}

void
page_make(struct page *page, unsigned rows, unsigned columns, const struct page_view *view)
{
    page->rows = rows < PAGE_ROWS_MAX ? rows : PAGE_ROWS_MAX;
    page->columns = columns < PAGE_COLUMNS_MAX ? columns : PAGE_COLUMNS_MAX;
    page->used = 0;
    if (view->sample == NULL) {
        add(page, PAGE_TITLE, "larderctl top  %s", view->server);
    } else {
        add_title(page, view);
        add_requests(page, view->rates);
        add_memory(page, view);
        add_clients(page, view);
        add_latency(page, view->sample);
    }
    if (view->message[0] != '\0' || view->interactive)
        add(page, view->message[0] != '\0' ? PAGE_WARNING : PAGE_PLAIN, "%s",
            view->message);
    if (view->sample != NULL)
        add_lists(page, view);
    if (!view->interactive)
        return;
    while (page->used + 1 < page->rows)
        add(page, PAGE_PLAIN, "%s", "");
    add(page, PAGE_TITLE,
        "q quit  c/i/m/e sort by class/items/memory/evicted  h hot keys  +/- %.1f s",
        view->interval_ms / 1000.0);
}
