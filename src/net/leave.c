/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leave.c - a process ends, its sockets and clients go on in another: see take.c.
 *
 *   acceptor stops     whoever connects waits in the listening socket
 *   workers            a connection that stands between two commands is not read again: what
 *                      its client sends waits in the socket, for who takes it
 *                      others have until the deadline: to bring the rest of a value, to
 *                      fetch their replies
 *   net_leave()        gives listeners, UDP's sockets and connections away
 *
 * Only whole replies are passed over, as bytes that the kernel has; so a client gets each
 * reply once, and no command is run twice or by nobody. What was read and not run goes along.
 * A worker has done when its last connection has gone, and does not wait for its deadline.
 */
#include "net/leave.h"

#include <event2/event.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "net/hold.h"
#include "net/inside.h"

/* ---- Connections, by their workers ------------------------------------------------------ */

/* Everything it has asked for is answered, to the last byte. `over`: in the end, what was
 * read and waits for a turn goes along. */
static bool
is_between_commands(const struct conn *conn, bool over)
{
    bool runnable = conn->next == SERVICE_AGAIN || conn->next == SERVICE_DRAIN;

    if (conn->stream != NULL || (conn->hold != NULL && conn->hold->backlog != NULL))
        return false;
    return !conn->queued && (conn->next == SERVICE_READ || (over && runnable));
}

static void
describe(const struct conn *conn, struct parcel_conn *to)
{
    const struct worker *worker = conn->worker;
    const struct hold *hold = conn->hold;
    uint32_t now = worker->now;
    uint32_t last = atomic_load_explicit(&conn->last_command, memory_order_relaxed);

    to->listener = worker->net->acceptor.listeners.at[conn->listener].name;
    to->idle = now > last ? now - last : 0;
    to->runnable = conn->next != SERVICE_READ;
    if (hold == NULL)
        return;
    if (hold->began != 0)
        to->waited = now > hold->began ? now - hold->began + 1 : 1;
    to->arrived = hold->arrived;
    to->kept = hold->bytes + hold->at;
    to->kept_len = hold->len;
}

/* True: it has left, and is gone here. */
static bool
send_off(struct conn *conn)
{
    struct worker *worker = conn->worker;
    char state[SERVICE_STATE_MAX];
    struct parcel_conn about = { .state = state };
    struct farewell *farewell;

    about.state_len = worker->service->pack(conn->session, state);
    assert(about.state_len <= sizeof state);
    if (about.state_len == 0)
        return false;
    describe(conn, &about);
    farewell = malloc(sizeof *farewell + PARCEL_CONN_ROOM(&about));
    if (farewell == NULL)
        return false;
    farewell->len = parcel_put_conn(farewell->bytes, &about);
    log_line(LOG_CLIENT, "<%d leaves", conn->fd);
    farewell->fd = conn_part(conn);
    farewell->next = worker->farewells;
    worker->farewells = farewell;
    return true;
}

/* It can't leave, and waiting would not change that: it is in the middle of nothing. */
static bool
is_stranded(const struct conn *conn)
{
    const struct service *service = conn->worker->service;
    const struct hold *hold = conn->hold;

    if (conn->queued || conn->next != SERVICE_READ ||
        (hold != NULL && (hold->backlog != NULL || hold->len > 0)))
        return false;
    return conn->stream != NULL ? !service->midway(conn->session)
                     : service->state(conn->session) == CONN_WATCH;
}

static void
settle(struct worker *worker, bool over)
{
    if (over)
        worker_empty_lines(worker);
    worker->reason = "shutdown";
    for (unsigned i = worker->nconns; i-- > 0;) { /* the last one takes a gone's place */
        struct conn *conn = worker->conns[i];
        if (is_between_commands(conn, over) && send_off(conn))
            continue;
        if (over || is_stranded(conn))
            conn_close(conn);
    }
}

void
leave_conns(struct worker *worker)
{
    const struct timeval time = { .tv_sec = NET_LEAVE_MS / 1000,
        .tv_usec = NET_LEAVE_MS % 1000 * 1000 };
    struct event timer;
    bool over = false;

    worker_take_arrivals(worker);
    for (unsigned i = worker->nconns; i-- > 0;)
        if (is_between_commands(worker->conns[i], false))
            (void)send_off(worker->conns[i]);
    /* The others are read once more, as far as something has come. */
    if (worker->nconns > 0)
        worker_turn(worker, false);
    evtimer_assign(&timer, worker->base, worker_time_is_over, &over);
    over = evtimer_add(&timer, &time) != 0;
    for (;;) {
        settle(worker, over);
        if (worker->nconns == 0)
            break;
        worker_turn(worker, true);
    }
    evtimer_del(&timer);
}

/* ---- Everything, by the base's thread --------------------------------------------------- */

static void
give_socket(int fd, enum parcel_kind kind, const struct parcel_socket *about,
    net_parcel_fn fn, void *context)
{
    char bytes[PARCEL_SOCKET_ROOM];

    fn(context, fd, bytes, parcel_put_socket(bytes, kind, about));
}

static void
give_sockets(struct net *net, net_parcel_fn fn, void *context)
{
    struct listeners *listeners = &net->acceptor.listeners;

    for (unsigned i = 0; i < listeners->n; i++) {
        struct listener *listener = &listeners->at[i];
        const struct parcel_socket about = {
            .any_port = listener->any_port,
            .owned = listener->unlink_path != NULL,
            .device = (uint64_t)listener->device,
            .inode = (uint64_t)listener->inode,
        };
        if (listener->activated || listener->given)
            continue;
        listener->given = true;
        give_socket(listener->fd, PARCEL_LISTENER, &about, fn, context);
    }
    for (unsigned i = 0; i < net->udp.n; i++) {
        struct udp_socket *socket = &net->udp.at[i];
        const struct parcel_socket about = { .any_port = socket->any_port };
        if (socket->given)
            continue;
        socket->given = true;
        give_socket(socket->fd, PARCEL_UDP, &about, fn, context);
    }
}

void
net_leave(struct net *net, net_parcel_fn fn, void *context)
{
    net_end_workers(net, true);
    give_sockets(net, fn, context);
    for (unsigned i = 0; i < net->nworkers; i++) {
        struct worker *worker = &net->workers[i];
        struct farewell *farewell;
        while ((farewell = worker->farewells) != NULL) {
            worker->farewells = farewell->next;
            fn(context, farewell->fd, farewell->bytes, farewell->len);
            free(farewell);
        }
    }
}
