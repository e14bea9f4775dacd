/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/net.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/address.h"
#include "net/inside.h"
#include "net/local.h"

static void
on_tick(evutil_socket_t fd, short what, void *context)
{
    struct net *net = context;

    (void)fd;
    (void)what;
    acceptor_tick(net);
    for (unsigned i = 0; i < net->nworkers; i++) {
        atomic_store(&net->workers[i].tick_due, true);
        worker_wake(&net->workers[i]);
    }
}

bool
net_check(const struct options *options)
{
    for (unsigned i = 0; i < options->nlisteners; i++)
        if (!local_check(&options->listeners[i]))
            return false;
    return true;
}

struct net *
net_create(const struct net_parts *parts)
{
    struct net *net = calloc(1, sizeof *net);
    int error = 0;

    if (net == NULL)
        return NULL;
    net->parts = *parts;
    atomic_init(&net->idle_timeout, (uint32_t)parts->options->idle_timeout);
    if (parts->totals_before != NULL)
        acceptor_resume(net, parts->totals_before);
    net->acceptor.wake_fd = -1;
    net->workers = calloc((size_t)parts->options->threads, sizeof *net->workers);
    if (net->workers == NULL)
        error = -ENOMEM;
    if (error == 0)
        error = acceptor_init(net);
    while (error == 0 && net->nworkers < (unsigned)parts->options->threads) {
        unsigned index = net->nworkers++;
        error = worker_init(&net->workers[index], net, index);
    }
    if (error == 0 && event_assign(&net->tick, parts->base, -1, EV_PERSIST, on_tick, net))
        error = -ENOMEM;
    if (error != 0) {
        net_destroy(net);
        errno = -error;
        return NULL;
    }
    return net;
}

void
net_destroy(struct net *net)
{
    taken_close(&net->taken);
    acceptor_fini(net);
    udp_stop(&net->udp);
    udp_close(&net->udp);
    for (unsigned i = 0; i < net->nworkers; i++)
        worker_fini(&net->workers[i]);
    free(net->workers);
    free(net);
}

int
net_listen(struct net *net)
{
    struct listeners *listeners = &net->acceptor.listeners;

    listeners->activated = net->parts.activated;
    listeners->nactivated = net->parts.nactivated;
    listeners->taken = net->udp.taken = &net->taken;
    int status = listeners_open(listeners, net->parts.options);
    if (status == 0)
        status = udp_open(&net->udp, net->parts.options);
    taken_close_sockets(&net->taken); /* nobody asks for them any more */
    if (status == 0)
        listeners_publish(listeners, &net->udp);
    return status;
}

int
net_start(struct net *net)
{
    const struct timeval second = { .tv_sec = 1 };
    uint32_t now = clock_seconds(net->parts.clock);
    int error = 0;

    if (!udp_start(&net->udp, net->workers, net->nworkers, now))
        error = -ENOMEM;
    for (unsigned i = 0; error == 0 && i < net->nworkers; i++)
        error = worker_start(&net->workers[i]);
    if (error == 0 && event_add(&net->tick, &second) != 0)
        error = -ENOMEM;
    if (error == 0) {
        taken_board(net);
        error = acceptor_start(net);
    }
    if (error != 0) {
        net_stop(net);
        return error;
    }
    net->ticking = true;
    return 0;
}

void
net_end_workers(struct net *net, bool leave)
{
    acceptor_stop(net);
    if (net->ticking)
        event_del(&net->tick);
    net->ticking = false;
    for (unsigned i = 0; i < net->nworkers; i++) {
        atomic_store(&net->workers[i].leave, leave);
        atomic_store(&net->workers[i].stop, true);
        worker_wake(&net->workers[i]);
    }
    for (unsigned i = 0; i < net->nworkers; i++)
        worker_join(&net->workers[i]);
    udp_stop(&net->udp);
}

void
net_stop(struct net *net)
{
    net_end_workers(net, false);
}

void
net_figures(struct net *net, struct net_figures *figures_out)
{
    struct acceptor *acceptor = &net->acceptor;
    int64_t clients = atomic_load(&acceptor->clients);
    struct net_figures figures = {
        .current = clients > 0 ? (uint64_t)clients : 0,
        .total = counter_get(&acceptor->total),
        .rejected = counter_get(&acceptor->rejected),
        .listen_disabled = counter_get(&acceptor->pauses),
        .listen_disabled_us = counter_get(&acceptor->paused_us),
        .reserved_fds = NET_FDS_BASE + NET_FDS_PER_WORKER * (uint64_t)net->nworkers,
        .buffer_count = 2 * (uint64_t)net->nworkers,
        .buffer_bytes = (uint64_t)net->nworkers * (WORKER_INPUT + OUTBOX_BYTES),
        .accepting = !atomic_load(&acceptor->paused),
    };

    if (!figures.accepting)
        figures.listen_disabled_us +=
            clock_micros() - atomic_load(&acceptor->paused_since);
    for (unsigned i = 0; i < net->nworkers; i++) {
        const struct worker *worker = &net->workers[i];
        figures.kept_count += counter_get(&worker->kept_count);
        figures.kept_bytes += counter_get(&worker->kept_bytes);
        figures.backlog_count += counter_get(&worker->backlog_count);
        figures.backlog_bytes += counter_get(&worker->backlog_bytes);
    }
    *figures_out = figures;
}

void
net_counts(struct net *net, struct counts *sum)
{
    if (net->parts.counts_before != NULL)
        counts_add(sum, net->parts.counts_before);
    for (unsigned i = 0; i < net->nworkers; i++)
        counters_sum(&net->workers[i].counters, sum);
}

/* The NET_WALK lowest numbers that were put in, ascending. */
struct lowest {
    unsigned n;
    int at[NET_WALK];
};

static void
lowest_put(struct lowest *lowest, int fd)
{
    unsigned i;

    if (lowest->n == NET_WALK && lowest->at[NET_WALK - 1] <= fd)
        return;
    if (lowest->n < NET_WALK)
        lowest->n++;
    for (i = lowest->n - 1; i > 0 && lowest->at[i - 1] > fd; i--)
        lowest->at[i] = lowest->at[i - 1];
    lowest->at[i] = fd;
}

static int
highest_to_show(struct net *net, int fd_min)
{
    const struct listeners *listeners = &net->acceptor.listeners;
    struct lowest lowest = { .n = 0 };

    for (unsigned i = 0; i < listeners->n; i++)
        if (listeners->at[i].fd >= fd_min)
            lowest_put(&lowest, listeners->at[i].fd);
    for (unsigned i = 0; i < net->udp.n; i++)
        if (net->udp.at[i].fd >= fd_min)
            lowest_put(&lowest, net->udp.at[i].fd);
    for (unsigned i = 0; i < net->nworkers; i++) {
        struct worker *worker = &net->workers[i];
        pthread_mutex_lock(&worker->mutex);
        for (unsigned j = 0; j < worker->nconns; j++)
            if (worker->conns[j]->fd >= fd_min)
                lowest_put(&lowest, worker->conns[j]->fd);
        pthread_mutex_unlock(&worker->mutex);
    }
    return lowest.n == 0 ? -1 : lowest.at[lowest.n - 1];
}

static void
show_conn(const struct conn *conn, uint32_t now, net_conn_fn fn, void *context)
{
    char address[ADDRESS_TEXT_MAX], listen_address[ADDRESS_TEXT_MAX];
    uint32_t last = atomic_load_explicit(&conn->last_command, memory_order_relaxed);

    address_of(conn->fd, true, address, sizeof address);
    address_of(conn->fd, false, listen_address, sizeof listen_address);
    fn(context,
        &(struct net_conn){ .fd = conn->fd, .address = address,
            .listen_address = listen_address,
            .state = (enum conn_state)atomic_load_explicit(
                &conn->shown, memory_order_relaxed),
            .idle = now > last ? now - last : 0 });
}

void
net_each_conn(struct net *net, int fd_min, net_conn_fn fn, void *context)
{
    const struct listeners *listeners = &net->acceptor.listeners;
    uint32_t now = clock_seconds(net->parts.clock);
    int fd_max = highest_to_show(net, fd_min);

    for (unsigned i = 0; i < listeners->n; i++) {
        const struct listener *listener = &listeners->at[i];
        if (listener->fd >= fd_min && listener->fd <= fd_max)
            fn(context,
                &(struct net_conn){ .fd = listener->fd, .address = listener->address,
                    .idle = now });
    }
    udp_each(&net->udp, fd_min, fd_max, now, fn, context);
    for (unsigned i = 0; i < net->nworkers; i++) {
        struct worker *worker = &net->workers[i];
        pthread_mutex_lock(&worker->mutex);
        for (unsigned j = 0; j < worker->nconns; j++) {
            const struct conn *conn = worker->conns[j];
            if (conn->fd >= fd_min && conn->fd <= fd_max)
                show_conn(conn, now, fn, context);
        }
        pthread_mutex_unlock(&worker->mutex);
    }
}

void
net_set_idle_timeout(struct net *net, uint32_t seconds)
{
    atomic_store_explicit(&net->idle_timeout, seconds, memory_order_relaxed);
}

bool
net_all_ticked(struct net *net)
{
    for (unsigned i = 0; i < net->nworkers; i++)
        if (!atomic_load_explicit(&net->workers[i].ticked, memory_order_relaxed))
            return false;
    for (unsigned i = 0; i < net->nworkers; i++)
        atomic_store_explicit(&net->workers[i].ticked, false, memory_order_relaxed);
    return true;
}

unsigned
net_stalled(const struct net *net, uint32_t seconds)
{
    uint32_t now = clock_seconds(net->parts.clock);
    unsigned n = 0;

    for (unsigned i = 0; i < net->nworkers; i++) {
        uint32_t at =
            atomic_load_explicit(&net->workers[i].ticked_at, memory_order_relaxed);
        n += at + seconds < now ? 1 : 0;
    }
    return n;
}

int
net_port(const struct net *net)
{
    const struct listeners *listeners = &net->acceptor.listeners;

    for (unsigned i = 0; i < listeners->n; i++)
        if (listeners->at[i].port != 0)
            return listeners->at[i].port;
    return 0;
}
