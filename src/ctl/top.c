/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * top.c - see top.h.
 *
 * One connection is kept and asked for all reports each round; two rounds make rates. On
 * the full screen keys are heard also while the server is waited for, and a server that
 * goes away is tried again each round: that is when people watch. Without a screen the
 * first failure is the end, so that scripts learn of it.
 */
#include "ctl/top.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ask.h"
#include "ctl/page.h"
#include "ctl/screen.h"

#define PLAIN_ROWS    40u
#define PLAIN_COLUMNS 120u
#define INTERVAL_MIN_MS 100u
#define INTERVAL_MAX_MS 60000u
/* A pressed key that does not let up shall not keep a round from being done. */
#define KEYS_AT_ONCE 64

struct top {
    struct args args; /* a copy: its link listens to the keyboard */
    const struct login *login;
    struct link *link; /* NULL: not connected */
    struct sample samples[2];
    struct sample *now, *before; /* NULL: not there yet */
    struct rates rates;
    struct page page;
    struct page_view view;
    char message[CTL_WHY_MAX];
    bool quit;
    bool hurry; /* do the next round at once */
};

/* Connects if need be and takes a sample. */
static enum ctl_status
take_sample(struct top *top)
{
    const struct server *server = &top->args.servers[0];
    struct sample *next = top->now == &top->samples[0] ? &top->samples[1]
                                                       : &top->samples[0];
    enum ctl_status status = CTL_OK;

    if (top->before != NULL)
        sample_free(top->before);
    top->before = NULL;
    if (top->link == NULL)
        status = ask_open(&top->link, server, &top->args, top->login, top->message);
    if (status == CTL_OK)
        status = sample_fetch(next, top->link, top->message);
    if (status != CTL_OK) {
        if (top->link != NULL)
            link_close(top->link);
        top->link = NULL;
        return status;
    }
    top->message[0] = '\0';
    top->before = top->now;
    top->now = next;
    sample_rates(&top->rates, top->before, top->now);
    return CTL_OK;
}

static void
draw(struct top *top)
{
    unsigned rows, columns;

    screen_size(&rows, &columns);
    top->view.sample = top->now;
    page_make(&top->page, rows, columns, &top->view);
    screen_draw(&top->page);
}

static void
change_interval(struct top *top, bool longer)
{
    uint32_t ms = longer ? top->view.interval_ms * 2 : top->view.interval_ms / 2;

    if (ms >= INTERVAL_MIN_MS && ms <= INTERVAL_MAX_MS)
        top->view.interval_ms = ms;
}

static void
press(struct top *top, int key)
{
    static const struct {
        int key;
        enum args_sort sort;
    } SORTS[] = { { 'c', ARGS_SORT_CLASS }, { 'i', ARGS_SORT_ITEMS },
        { 'm', ARGS_SORT_MEMORY }, { 'e', ARGS_SORT_EVICTED } };

    for (size_t i = 0; i < sizeof SORTS / sizeof SORTS[0]; i++)
        if (SORTS[i].key == key)
            top->view.sort = SORTS[i].sort;
    if (key == 'q' || key == 'Q')
        top->quit = true;
    else if (key == 'h')
        top->view.ranking = top->view.ranking == SAMPLE_BY_BYTES ? SAMPLE_BY_REQUESTS
                                                                 : SAMPLE_BY_BYTES;
    else if (key == '+' || key == '-')
        change_interval(top, key == '+');
    else if (key == ' ')
        top->hurry = true;
}

/* Does what was pressed. True: the end. The link calls it while it waits, too. */
static bool
hear(void *context)
{
    struct top *top = context;
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    bool anything = false;

    for (int i = 0; i < KEYS_AT_ONCE; i++) {
        int key = screen_key();

        if (key == SCREEN_NOTHING)
            break;
        press(top, key);
        anything = true;
    }
    /* A terminal that hung up is readable for ever. */
    if (poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
        top->quit = true;
    if (anything && !top->quit)
        draw(top);
    return top->quit;
}

/* Until the next round is due. */
static void
pause_on_screen(struct top *top, uint64_t began)
{
    top->hurry = false;
    while (!top->quit && !top->hurry) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        uint64_t due = began + (uint64_t)top->view.interval_ms * 1000;
        uint64_t now = clock_micros();

        if (now >= due)
            return;
        if (poll(&input, 1, (int)((due - now + 999) / 1000)) != 0)
            hear(top);
    }
}

static enum ctl_status
run_on_screen(struct top *top)
{
    uint32_t rounds = 0;

    top->args.link.wake_fd = STDIN_FILENO;
    top->args.link.wake = hear;
    top->args.link.wake_context = top;
    top->view.interactive = true;
    draw(top);
    while (!top->quit) {
        uint64_t began = clock_micros();

        if (rounds++ > 0)
            (void)take_sample(top); /* the page says what went wrong */
        if (top->quit || (top->args.count > 0 && rounds > top->args.count))
            break;
        draw(top);
        pause_on_screen(top, began);
    }
    screen_close();
    return CTL_OK;
}

static void
print_json(const struct top *top)
{
    static const char *const RANKINGS[] = { "hot_by_requests", "hot_by_bytes" };
    const struct report *general = &top->now->general;
    const struct rates *rates = &top->rates;
    struct json json = { .to = stdout };

    ask_json(&json, &top->args.servers[0]);
    json_pair_u64(&json, "time", report_u64(general, "time"));
    json_pair_real(&json, "seconds", rates->seconds);
    json_pair_real(&json, "requests_per_second", rates->requests);
    json_pair_real(&json, "gets_per_second", rates->gets);
    json_pair_real(&json, "sets_per_second", rates->sets);
    json_pair_real(&json, "deletes_per_second", rates->deletes);
    json_pair_real(&json, "counters_per_second", rates->counters);
    json_pair_real(&json, "touches_per_second", rates->touches);
    json_pair_real(&json, "hit_ratio", rates->hit_ratio);
    json_pair_real(&json, "hit_ratio_ever", rates->hit_ratio_ever);
    json_pair_real(&json, "evictions_per_second", rates->evictions);
    json_pair_real(&json, "expired_per_second", rates->expired);
    json_pair_real(&json, "connections_per_second", rates->connections);
    json_pair_real(&json, "bytes_read_per_second", rates->bytes_read);
    json_pair_real(&json, "bytes_written_per_second", rates->bytes_written);
    json_pair_real(&json, "cpu", rates->cpu);
    json_pair_u64(&json, "items", report_u64(general, "curr_items"));
    json_pair_u64(&json, "bytes", report_u64(general, "bytes"));
    json_pair_u64(&json, "bytes_limit", report_u64(general, "limit_maxbytes"));
    json_pair_u64(&json, "connections", report_u64(general, "curr_connections"));
    for (unsigned by = 0; top->now->has_hot && by < 2; by++) {
        json_name(&json, slice_of(RANKINGS[by], strlen(RANKINGS[by])));
        json_begin(&json, '[');
        for (unsigned i = 0; i < top->now->n_hot[by]; i++) {
            const struct sample_hot *hot = &top->now->hot[by][i];

            json_begin(&json, '{');
            json_name(&json, SLICE("key"));
            json_escaped(&json, slice_of(hot->key, strlen(hot->key)));
            json_pair_u64(&json, "count", hot->count);
            json_end(&json, '}');
        }
        json_end(&json, ']');
    }
    ask_json_end(&json);
}

static void
print_page(struct top *top)
{
    top->view.sample = top->now;
    page_make(&top->page, PLAIN_ROWS, PLAIN_COLUMNS, &top->view);
    for (unsigned i = 0; i < top->page.used; i++)
        if (top->page.lines[i][0] != '\0')
            puts(top->page.lines[i]);
    putchar('\n');
}

static enum ctl_status
run_plain(struct top *top)
{
    const struct timespec pause = { .tv_sec = top->args.interval_ms / 1000,
        .tv_nsec = (long)(top->args.interval_ms % 1000) * 1000000 };
    enum ctl_status status = CTL_OK;

    for (uint32_t i = 0; status == CTL_OK && (top->args.count == 0 || i < top->args.count);
         i++) {
        nanosleep(&pause, NULL);
        status = take_sample(top);
        if (status != CTL_OK)
            return ask_failed(&top->args, &top->args.servers[0], status, top->message);
        if (top->args.json)
            print_json(top);
        else
            print_page(top);
        status = ask_printed();
    }
    return status;
}

static enum ctl_status
run(struct top *top)
{
    enum ctl_status status = take_sample(top);

    if (status != CTL_OK)
        return ask_failed(&top->args, &top->args.servers[0], status, top->message);
    if (!top->args.json && !top->args.plain && screen_there()) {
        if (screen_open())
            return run_on_screen(top);
        ctl_complain("this terminal is of no known kind (TERM); printing plain text");
    }
    return run_plain(top);
}

enum ctl_status
top_run(const struct args *args, const struct login *login)
{
    struct top *top = calloc(1, sizeof *top);
    enum ctl_status status;

    if (top == NULL) {
        ctl_complain("out of memory");
        return CTL_IO;
    }
    top->args = *args;
    top->login = login;
    top->view = (struct page_view){ .server = args->servers[0].text, .rates = &top->rates,
        .message = top->message, .sort = args->sort, .interval_ms = args->interval_ms };
    status = run(top);
    if (top->link != NULL)
        link_close(top->link);
    if (top->now != NULL)
        sample_free(top->now);
    if (top->before != NULL)
        sample_free(top->before);
    free(top);
    return status;
}
