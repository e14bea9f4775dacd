/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acceptor.c - takes clients in and hands them to the workers in turn.
 *
 * Two things suspend it: the limit of -c without maxconns_fast, until a client leaves; and
 * running out of descriptors or memory, for RETRY_MS. The kernel's queue (-b) holds those
 * who come meanwhile. `-c` counts clients and nothing else.
 *
 * A worker that loses its client must not miss that we wait for it: it takes one off
 * `clients` and then looks at `full`; we set `full` and then look at `clients`. Both are
 * sequentially consistent, so one of the two sees the other.
 */
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/wake.h"
#include "net/inside.h"

#define ACCEPT_BATCH   16
#define RETRY_MS       100
#define DISCARD_ROUNDS 16

/* False: the kernel or libevent has no memory, and all doors are shut. */
static bool
open_doors(struct acceptor *acceptor)
{
    bool open = true;

    for (unsigned i = 0; open && i < acceptor->listeners.n; i++)
        open = event_add(&acceptor->doors[i].event, NULL) == 0;
    for (unsigned i = 0; !open && i < acceptor->listeners.n; i++)
        event_del(&acceptor->doors[i].event);
    return open;
}

static void
pause_accepting(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    if (atomic_load(&acceptor->paused))
        return;
    for (unsigned i = 0; i < acceptor->listeners.n; i++)
        event_del(&acceptor->doors[i].event);
    counter_add(&acceptor->pauses, 1);
    atomic_store(&acceptor->paused_since, clock_micros());
    atomic_store(&acceptor->paused, true);
}

static void
resume_accepting(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    if (!atomic_load(&acceptor->paused) || !open_doors(acceptor))
        return; /* if they do not open, the next tick tries again */
    counter_add(&acceptor->paused_us,
        clock_micros() - atomic_load(&acceptor->paused_since));
    atomic_store(&acceptor->paused, false);
}

static int64_t
clients_max(const struct net *net)
{
    return net->parts.options->connections_max;
}

static void
resume_if_room(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    if (!atomic_load(&acceptor->full) ||
        atomic_load(&acceptor->clients) >= clients_max(net))
        return;
    atomic_store(&acceptor->full, false);
    resume_accepting(net);
}

void
acceptor_client_gone(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;
    atomic_fetch_sub(&acceptor->clients, 1);
    if (atomic_load(&acceptor->full))
        wake_up(acceptor->wake_fd);
}

static void
on_wake(evutil_socket_t fd, short what, void *context)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);

    (void)got;
    (void)what;
    resume_if_room(context);
}

static void
on_retry(evutil_socket_t fd, short what, void *context)
{
    struct net *net = context;

    (void)fd;
    (void)what;
    if (!atomic_load(&net->acceptor.full))
        resume_accepting(net);
}

/* Says why, and closes. What the client has sent already is read, because otherwise the
 * kernel would send a reset that can overtake the reply. */
static void
refuse(struct net *net, int fd, unsigned listener)
{
    const char *reply = net->parts.service->full_reply;
    char rubbish[4096];

    /* First, so that whoever has seen the reply finds it counted. */
    counter_add(&net->acceptor.rejected, 1);
    /* Where TLS is spoken nothing can be said without all of a handshake. */
    if (net->acceptor.listeners.at[listener].tls == TLS_NEVER) {
        ssize_t put = send(fd, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0)
            shutdown(fd, SHUT_WR);
    }
    for (int i = 0; i < DISCARD_ROUNDS; i++)
        if (recv(fd, rubbish, sizeof rubbish, MSG_DONTWAIT) != sizeof rubbish)
            break;
    close(fd);
}

/* A process whose user may not speak there hears nothing but the end. */
static bool
is_welcome(struct net *net, int fd, unsigned index)
{
    const struct listener *listener = &net->acceptor.listeners.at[index];
    uid_t user;

    if (local_is_welcome(&listener->users, fd, &user))
        return true;
    counter_add(&net->acceptor.rejected, 1);
    log_line(LOG_NOTICE, "%s: user %ld may not connect", listener->address,
        user == (uid_t)-1 ? -1L : (long)user);
    return false;
}

static void
suspend_if_full(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    if (net->parts.options->maxconns_fast ||
        atomic_load(&acceptor->clients) < clients_max(net))
        return;
    pause_accepting(net);
    atomic_store(&acceptor->full, true);
    resume_if_room(net);
}

static void
admit(struct net *net, int fd, unsigned listener)
{
    struct acceptor *acceptor = &net->acceptor;
    const struct options *options = net->parts.options;

    if (!is_welcome(net, fd, listener)) {
        close(fd);
        return;
    }
    if (atomic_fetch_add(&acceptor->clients, 1) >= clients_max(net) &&
        options->maxconns_fast) {
        atomic_fetch_sub(&acceptor->clients, 1);
        refuse(net, fd, listener);
        return;
    }
    struct worker *worker = &net->workers[acceptor->next_worker];
    acceptor->next_worker = (acceptor->next_worker + 1) % net->nworkers;
    /* Before a worker has it, so that the client itself finds it counted. */
    counter_add(&acceptor->total, 1);
    const struct arrival arrival = { fd, (uint8_t)listener, NULL };
    if (!worker_give(worker, &arrival)) {
        atomic_fetch_sub(&acceptor->clients, 1);
        close(fd);
        return;
    }
    suspend_if_full(net);
}

bool
acceptor_take(struct net *net, struct passenger *passenger, unsigned listener)
{
    struct acceptor *acceptor = &net->acceptor;
    const struct arrival arrival = { passenger->fd, (uint8_t)listener, passenger };

    if (!is_welcome(net, passenger->fd, listener))
        return false;
    if (atomic_fetch_add(&acceptor->clients, 1) >= clients_max(net)) {
        atomic_fetch_sub(&acceptor->clients, 1);
        counter_add(&acceptor->rejected, 1);
        return false;
    }
    struct worker *worker = &net->workers[acceptor->next_worker];
    acceptor->next_worker = (acceptor->next_worker + 1) % net->nworkers;
    bool done = worker_give(worker, &arrival);
    if (!done)
        atomic_fetch_sub(&acceptor->clients, 1);
    return done;
}

static void
accept_failed(struct net *net, int error)
{
    const struct timeval time = { .tv_usec = RETRY_MS * 1000 };

    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        log_line(LOG_NOTICE, "accept: %s; trying again soon", strerror(error));
        pause_accepting(net);
        event_add(&net->acceptor.retry, &time);
        break;
    default: /* none is waiting, or the one that was has gone */
        break;
    }
}

static void
on_ready(evutil_socket_t fd, short what, void *context)
{
    const struct door *door = context;
    struct net *net = door->net;

    (void)what;
    for (int i = 0; i < ACCEPT_BATCH && !atomic_load(&net->acceptor.paused); i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            admit(net, client, door->index);
        } else if (errno != EINTR) {
            accept_failed(net, errno);
            return;
        }
    }
}

int
acceptor_init(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;
    struct event_base *base = net->parts.base;

    acceptor->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (acceptor->wake_fd < 0)
        return -errno;
    if (event_assign(&acceptor->wake_event, base, acceptor->wake_fd, EV_READ | EV_PERSIST,
            on_wake, net) != 0 ||
        event_add(&acceptor->wake_event, NULL) != 0 ||
        evtimer_assign(&acceptor->retry, base, on_retry, net) != 0)
        return -ENOMEM;
    return 0;
}

void
acceptor_resume(struct net *net, const struct net_totals *before)
{
    struct acceptor *acceptor = &net->acceptor;

    counter_add(&acceptor->total, before->total);
    counter_add(&acceptor->rejected, before->rejected);
    counter_add(&acceptor->pauses, before->pauses);
    counter_add(&acceptor->paused_us, before->paused_us);
}

int
acceptor_start(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    for (unsigned i = 0; i < acceptor->listeners.n; i++) {
        struct door *door = &acceptor->doors[i];
        door->net = net;
        door->index = i;
        if (event_assign(&door->event, net->parts.base, acceptor->listeners.at[i].fd,
                EV_READ | EV_PERSIST, on_ready, door) != 0)
            return -EINVAL;
    }
    if (!open_doors(acceptor))
        return -ENOMEM;
    acceptor->started = true;
    suspend_if_full(net); /* of those who came from another process */
    return 0;
}

void
acceptor_tick(struct net *net)
{
    if (!atomic_load(&net->acceptor.full))
        resume_accepting(net);
}

void
acceptor_stop(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    for (unsigned i = 0; acceptor->started && i < acceptor->listeners.n; i++)
        event_del(&acceptor->doors[i].event);
    acceptor->started = false;
    if (event_initialized(&acceptor->retry))
        event_del(&acceptor->retry);
}

void
acceptor_fini(struct net *net)
{
    struct acceptor *acceptor = &net->acceptor;

    acceptor_stop(net);
    listeners_close(&acceptor->listeners);
    if (event_initialized(&acceptor->wake_event))
        event_del(&acceptor->wake_event);
    if (acceptor->wake_fd >= 0)
        close(acceptor->wake_fd);
}
