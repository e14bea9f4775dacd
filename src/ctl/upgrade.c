/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upgrade.c - asks who the server is, sends it SIGUSR2, and asks on until another process
 * answers in its place.
 *
 * A process is only signalled if it is on this machine and is a Larder that was started
 * with -o handover: for any other the signal would be its end. Every question is a
 * connection of its own, as those of new clients are, so the longest of them tells how long
 * a client had to wait.
 */
#include "ctl/upgrade.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ask.h"
#include "ctl/show.h"

#define ASK_PAUSE_NS 2000000
/* A new server reads its options and files before the old one stops. */
#define PATIENCE_US  UINT64_C(60000000)
#define VERSION_MAX  64
#define NAME_OF_SERVER "larder"

/* Who answers. */
struct who {
    uint64_t pid, takeovers, items, connections;
    char version[VERSION_MAX]; /* safe to show */
};

static enum ctl_status
ask_who(struct who *who, const struct server *server, const struct args *args,
    const struct login *login, const char *what, struct report *report, char *why)
{
    struct link *link;
    enum ctl_status status = ask_open(&link, server, args, login, why);

    if (status != CTL_OK)
        return status;
    status = report_fetch(report, link, what, why);
    link_close(link);
    if (status != CTL_OK || who == NULL)
        return status;
    who->pid = report_u64(report, "pid");
    who->takeovers = report_u64(report, "takeovers");
    who->items = report_u64(report, "curr_items");
    who->connections = report_u64(report, "curr_connections");
    show_line_put(who->version, sizeof who->version, report_find(report, "version"));
    report_free(report);
    return CTL_OK;
}

static bool
is_local(const struct server *server)
{
    return server->path[0] != '\0' || strncmp(server->host, "127.", 4) == 0 ||
           strcmp(server->host, "localhost") == 0 || strcmp(server->host, "::1") == 0;
}

/* Its name, as the kernel has it: the number might be that of a process elsewhere, in
 * a container for instance. */
static bool
is_larder(uint64_t pid)
{
    char path[64], name[32] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%" PRIu64 "/comm", pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(name, sizeof name, file) == NULL)
        name[0] = '\0';
    fclose(file);
    return strncmp(name, NAME_OF_SERVER, strlen(NAME_OF_SERVER)) == 0;
}

static enum ctl_status
check_settings(const struct server *server, const struct args *args,
    const struct login *login, char *why)
{
    struct report report;
    enum ctl_status status =
        ask_who(NULL, server, args, login, "settings", &report, why);

    if (status != CTL_OK)
        return status;
    struct slice handover = report_find(&report, "handover");
    bool off = slice_equal(handover, SLICE("off"));
    bool known = handover.len > 0;
    report_free(&report);
    if (known && !off)
        return CTL_OK;
    snprintf(why, CTL_WHY_MAX, known
            ? "it was started without -o handover, and can't hand over to another"
            : "it knows nothing of a handover");
    return CTL_REFUSED;
}

static enum ctl_status
send_signal(const struct server *server, uint64_t pid, char *why)
{
    if (!is_local(server)) {
        snprintf(why, CTL_WHY_MAX, "not an address of this machine, where its process is");
        return CTL_REFUSED;
    }
    if (pid == 0 || pid > INT32_MAX || !is_larder(pid)) {
        snprintf(why, CTL_WHY_MAX, "process %" PRIu64 " is no Larder seen from here", pid);
        return CTL_REFUSED;
    }
    if (kill((pid_t)pid, SIGUSR2) == 0)
        return CTL_OK;
    snprintf(why, CTL_WHY_MAX, "process %" PRIu64 ": %s", pid, strerror(errno));
    return CTL_REFUSED;
}

/* Asks until somebody else answers; the longest that an answer took is *longest_us. */
static enum ctl_status
wait_for_other(const struct who *before, struct who *after, uint64_t *longest_us,
    const struct server *server, const struct args *args, const struct login *login,
    char *why)
{
    const struct timespec pause = { .tv_nsec = ASK_PAUSE_NS };
    uint64_t began = clock_micros(), asked = began, answered;
    struct report report;
    enum ctl_status status = CTL_OK;

    *longest_us = 0;
    do {
        /* Refused connections prolong the time since the last answer. */
        if (status == CTL_OK)
            asked = clock_micros();
        status = ask_who(after, server, args, login, "", &report, why);
        answered = clock_micros();
        if (status == CTL_OK && answered - asked > *longest_us)
            *longest_us = answered - asked;
        if (status == CTL_OK && after->pid != before->pid)
            return CTL_OK;
        nanosleep(&pause, NULL);
    } while (answered - began < PATIENCE_US);
    if (status == CTL_OK)
        snprintf(why, CTL_WHY_MAX, "process %" PRIu64 " still serves; its log says why",
            before->pid);
    return status == CTL_OK ? CTL_REFUSED : status;
}

static void
print(const struct args *args, const struct server *server, const struct who *before,
    const struct who *after, uint64_t longest_us)
{
    struct json json = { .to = stdout };

    if (!args->json) {
        show_line(stdout, slice_of(server->text, strlen(server->text)));
        printf(": %s (process %" PRIu64 ") has taken over from %s (process %" PRIu64 "): ",
            after->version, after->pid, before->version, before->pid);
        if (after->takeovers > before->takeovers)
            printf("%" PRIu64 " items, %" PRIu64 " connections", after->items,
                after->connections);
        else
            printf("but not its items; its log says why");
        printf("; longest wait %.1f ms\n", (double)longest_us / 1000);
        return;
    }
    ask_json(&json, server);
    json_pair_text(&json, "version", slice_of(after->version, strlen(after->version)));
    json_pair_u64(&json, "pid", after->pid);
    json_pair_u64(&json, "pid_before", before->pid);
    json_pair_u64(&json, "takeovers", after->takeovers);
    json_pair_u64(&json, "items", after->items);
    json_pair_u64(&json, "connections", after->connections);
    json_pair_real(&json, "longest_wait_ms", (double)longest_us / 1000);
    ask_json_end(&json);
}

static enum ctl_status
upgrade(const struct args *args, const struct login *login, const struct server *server)
{
    struct who before, after;
    struct report report;
    uint64_t longest_us = 0;
    char why[CTL_WHY_MAX];
    enum ctl_status status = ask_who(&before, server, args, login, "", &report, why);

    if (status == CTL_OK)
        status = check_settings(server, args, login, why);
    if (status == CTL_OK)
        status = send_signal(server, before.pid, why);
    if (status == CTL_OK)
        status = wait_for_other(&before, &after, &longest_us, server, args, login, why);
    if (status != CTL_OK)
        return ask_failed(args, server, status, why);
    print(args, server, &before, &after, longest_us);
    return after.takeovers > before.takeovers ? CTL_OK : CTL_REFUSED;
}

enum ctl_status
upgrade_run(const struct args *args, const struct login *login)
{
    enum ctl_status status = CTL_OK;

    for (unsigned i = 0; i < args->n_servers && status == CTL_OK; i++)
        status = upgrade(args, login, &args->servers[i]);
    return ctl_worse(status, ask_printed());
}
