/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/successor.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "main/predecessor.h"
#include "main/process.h"

#define PROGRAM_MAX 4096

/* ---- The launcher's process ----------------------------------------------------------- */

/* What it ignored must not be ignored by what it starts. */
static void
set_signals(void (*of_servers)(int))
{
    static const int numbers[] = { SIGHUP, SIGUSR1, SIGUSR2 };
    sigset_t none;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], of_servers);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
become_server(const char *program, const struct options *options, int link)
{
    char number[16];

    set_signals(SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    snprintf(number, sizeof number, "%d", link);
    if (options->directory != NULL && chdir(options->directory) != 0)
        perror("chdir");
    if (fcntl(link, F_SETFD, 0) == 0 && setenv(PREDECESSOR_VARIABLE, number, 1) == 0)
        execv(program, options->argv);
    fprintf(stderr, "%s: %s\n", program, strerror(errno));
    _exit(STATUS_OS);
}

/* Starts a server for each socket it is sent, until nobody is there to send any. */
static void
launcher_main(int socket, const char *program, const struct options *options)
{
    char text[16];
    int fds[BAGGAGE_RUN_MAX];
    size_t n;

    prctl(PR_SET_NAME, "larder-launcher");
    set_signals(SIG_IGN);
    signal(SIGCHLD, SIG_IGN); /* nobody asks how they ended */
    while (baggage_receive(socket, text, sizeof text, fds, &n) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (fork() == 0)
                become_server(program, options, fds[i]);
            close(fds[i]);
        }
    }
    _exit(0);
}

/* What this server holds is none of the launcher's: who is sent away must see it, and memory
 * that is let go of must be free. */
static void
keep_only(int fd)
{
    if (fd > STDERR_FILENO + 1)
        syscall(SYS_close_range, (unsigned)STDERR_FILENO + 1, (unsigned)fd - 1, 0u);
    syscall(SYS_close_range, (unsigned)fd + 1, ~0u, 0u);
}

int
successor_prepare(struct successor *successor, const struct options *options)
{
    static char program[PROGRAM_MAX];
    int ends[2];

    if (options->handover != HANDOVER_PROCESS)
        return 0;
    /* The path, not the file: a new version lies there by then. */
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    if (len <= 0 || len == sizeof program - 1 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        perror("-o handover=process");
        return STATUS_OS;
    }
    program[len] = '\0';
    pid_t child = fork();
    if (child == 0) {
        keep_only(ends[1]);
        launcher_main(ends[1], program, options);
    }
    close(ends[1]);
    if (child < 0) {
        perror("-o handover=process");
        close(ends[0]);
        return STATUS_OS;
    }
    successor->launcher = ends[0];
    return 0;
}

/* ---- The server's ------------------------------------------------------------------- */

/* Tells the next server, which may be late, that it is not to serve. */
static void
let_go(struct successor *successor)
{
    (void)baggage_send(successor->link, NULL, 0, SUCCESSOR_CANCEL, strlen(SUCCESSOR_CANCEL),
        NULL, 0);
    event_del(&successor->event);
    event_del(&successor->timer);
    close(successor->link);
    successor->link = -1;
}

static void
give_up(struct successor *successor, const char *why)
{
    log_line(LOG_ALWAYS, "handover: the new server %s; going on", why);
    let_go(successor);
}

static void
on_word(evutil_socket_t fd, short what, void *context)
{
    struct successor *successor = context;
    int fds[BAGGAGE_RUN_MAX];
    char text[16];
    size_t n;

    (void)fd;
    (void)what;
    long got = baggage_receive(successor->link, text, sizeof text, fds, &n);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
    if (got <= 0 || strcmp(text, SUCCESSOR_READY) != 0) {
        give_up(successor, "failed to start");
        return;
    }
    event_del(&successor->event);
    event_del(&successor->timer);
    successor->on_ready(successor->context);
}

static void
on_late(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    give_up(context, "is not ready in time");
}

void
successor_call(struct successor *successor, struct event_base *base,
    void (*on_ready)(void *context), void *context)
{
    const struct timeval patience = { .tv_sec = SUCCESSOR_WAIT_MS / 1000 };
    int ends[2];

    if (successor->launcher < 0 || successor->link >= 0) {
        log_line(LOG_ALWAYS, successor->link >= 0
                ? "handover: a new server is starting already"
                : "SIGUSR2: without -o handover there is nobody to hand over to");
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        log_line(LOG_ALWAYS, "handover: %s", strerror(errno));
        return;
    }
    /* A new server that hangs must not hold this one up. */
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    successor->link = ends[0];
    successor->on_ready = on_ready;
    successor->context = context;
    int error = baggage_send(successor->launcher, NULL, 0, "start", 5, &ends[1], 1);
    close(ends[1]);
    int added = event_assign(&successor->event, base, successor->link, EV_READ, on_word,
        successor);
    added |= evtimer_assign(&successor->timer, base, on_late, successor);
    assert(added == 0);
    if (error != 0 || event_add(&successor->event, NULL) != 0 ||
        event_add(&successor->timer, &patience) != 0)
        give_up(successor, "can't be started");
}

int
successor_give(struct successor *successor, const struct baggage *baggage)
{
    int fds[BAGGAGE_RUN_MAX], error = 0;
    const char *name = NULL;
    size_t at = 0, n;

    while (error == 0 && (n = baggage_run(baggage, &at, &name, fds)) > 0)
        error = baggage_send(successor->link, NULL, 0, name, strlen(name), fds, n);
    if (error == 0)
        error = baggage_send(
            successor->link, NULL, 0, SUCCESSOR_ALL, strlen(SUCCESSOR_ALL), NULL, 0);
    return error;
}

void
successor_fini(struct successor *successor)
{
    if (successor->link >= 0) /* after `all` nobody hears it */
        let_go(successor);
    if (successor->launcher >= 0)
        close(successor->launcher);
    *successor = (struct successor){ .launcher = -1, .link = -1 };
}
