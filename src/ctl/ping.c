/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/ping.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ask.h"
#include "ctl/show.h"

struct answer {
    double connect_ms, reply_ms;
    char version[128]; /* safe to show */
};

/* Asks over a link. */
static enum ctl_status
ask_version(struct link *link, struct answer *answer, char *why)
{
    uint64_t began = clock_micros();
    struct slice line;

    link_step(link);
    if (!link_put_text(link, "version\r\n") || !link_line(link, &line)) {
        snprintf(why, CTL_WHY_MAX, "%s", link_why(link));
        return CTL_UNREACHABLE;
    }
    answer->reply_ms = (double)(clock_micros() - began) / 1000;
    if (!slice_starts(line, SLICE("VERSION "))) {
        snprintf(why, CTL_WHY_MAX, "%.*s", (int)(line.len < 200 ? line.len : 200),
            line.data);
        return CTL_REFUSED;
    }
    show_line_put(answer->version, sizeof answer->version,
        slice_of(line.data + 8, line.len - 8));
    return CTL_OK;
}

static enum ctl_status
ask_server(const struct args *args, const struct login *login, const struct server *server,
    struct answer *answer)
{
    uint64_t began = clock_micros();
    char why[CTL_WHY_MAX];
    struct link *link;
    enum ctl_status status = ask_open(&link, server, args, login, why);

    if (status == CTL_OK) {
        answer->connect_ms = (double)(clock_micros() - began) / 1000;
        status = ask_version(link, answer, why);
        link_close(link);
    }
    return status == CTL_OK ? CTL_OK : ask_failed(args, server, status, why);
}

static void
print_answer(const struct args *args, const struct server *server,
    const struct answer *answer, bool times)
{
    struct json json = { .to = stdout };

    if (!args->json) {
        show_line(stdout, slice_of(server->text, strlen(server->text)));
        if (times)
            printf(": %s, connected in %.2f ms, answered in %.2f ms\n", answer->version,
                answer->connect_ms, answer->reply_ms);
        else
            printf(": %s\n", answer->version);
        return;
    }
    ask_json(&json, server);
    json_pair_text(&json, "version", slice_of(answer->version, strlen(answer->version)));
    if (times) {
        json_pair_real(&json, "connect_ms", answer->connect_ms);
        json_pair_real(&json, "reply_ms", answer->reply_ms);
    }
    ask_json_end(&json);
}

static enum ctl_status
ask_all(const struct args *args, const struct login *login, bool times)
{
    enum ctl_status status = CTL_OK;

    for (unsigned i = 0; i < args->n_servers; i++) {
        struct answer answer;
        enum ctl_status one = ask_server(args, login, &args->servers[i], &answer);

        if (one == CTL_OK)
            print_answer(args, &args->servers[i], &answer, times);
        status = ctl_worse(status, one);
    }
    return ctl_worse(status, ask_printed());
}

enum ctl_status
ping_run(const struct args *args, const struct login *login)
{
    const struct timespec pause = { .tv_sec = args->interval_ms / 1000,
        .tv_nsec = (long)(args->interval_ms % 1000) * 1000000 };
    uint32_t rounds = args->count_given ? args->count : 1;
    enum ctl_status status = CTL_OK;

    for (uint32_t i = 0; i < rounds && status != CTL_IO; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        status = ctl_worse(status, ask_all(args, login, true));
    }
    return status;
}

enum ctl_status
ping_run_version(const struct args *args, const struct login *login)
{
    return ask_all(args, login, false);
}
