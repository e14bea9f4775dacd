/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn.c - reading, running and answering for one client.
 *
 * For a client that asks and reads its answers, a turn is one recv() and one send() and
 * nothing else: no memory is taken, no event changed, and seldom a clock read.
 *
 * Bounds: a read is CONN_READ_SIZE bytes, or what the service wants in its own memory; a
 * connection keeps at most CONN_KEPT_MAX of input and one outbox of output; while it has
 * output it reads nothing; it runs -R commands in a turn, or ROUNDS_ALONE times as many
 * while nobody else is waiting.
 */
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/journal.h"
#include "base/log.h"
#include "net/address.h"
#include "net/hold.h"
#include "net/inside.h"

#define WANT_MAX       16   /* places of the service for one read */
#define ROUNDS_ALONE   32u
#define ROUNDS_SHARED  2u   /* outboxes of one long reply while others wait */
#define PARTIAL_RENEW  65536u /* bytes for which a command gets its time once more */
#define DISCARD_ROUNDS 64

/* ---- Coming and going --------------------------------------------------------------- */

/* False: the kernel has no memory. */
static bool
await(struct conn *conn, enum poller_want want)
{
    return poller_change(&conn->worker->poller, conn->fd, conn, want);
}

void
conn_pause(struct conn *conn)
{
    (void)await(conn, POLLER_NOTHING); /* changing to less takes no memory */
}

bool
conn_resume(struct conn *conn)
{
    if (await(conn, POLLER_READ))
        return true;
    conn_close(conn);
    return false;
}

/* A handshake has the time that a command has. False: out of memory. */
static bool
time_handshake(struct conn *conn)
{
    struct hold *hold = hold_get(conn);

    if (hold != NULL)
        hold->began = conn->worker->now;
    return hold != NULL;
}

/* What a connection of another process was in the middle of. False: out of memory. */
static bool
restore(struct conn *conn, const struct parcel_conn *from)
{
    struct worker *worker = conn->worker;
    uint32_t now = worker->now;
    uint32_t last = now > from->idle ? now - from->idle : 0;
    bool midway = from->kept_len > 0 || worker->service->midway(conn->session);

    atomic_init(&conn->last_command, last);
    if (from->runnable)
        conn->next = SERVICE_AGAIN;
    if (!hold_keep(conn, from->kept, from->kept_len))
        return false;
    if (midway && !from->runnable) {
        uint32_t waited = from->waited > 0 ? from->waited - 1 : 0;
        struct hold *hold = hold_get(conn);
        if (hold == NULL)
            return false;
        hold->began = now > waited ? now - waited : 1;
        hold->arrived = from->arrived;
        hold->moved = hold->began > last ? hold->began : last;
    }
    enum conn_state state =
        from->kept_len > 0 ? CONN_READ : worker->service->state(conn->session);
    atomic_init(&conn->shown, (uint8_t)state);
    return true;
}

static void *
make_session(
    const struct conn *conn, const struct peer *peer, const struct passenger *from)
{
    const struct service *service = conn->worker->service;
    void *lane = conn->worker->spaces[conn->space].lane;

    if (from == NULL)
        return service->open(lane, peer);
    return service->unpack(lane, peer, from->about.state, from->about.state_len);
}

/* An empty connection. NULL: out of memory. */
static struct conn *
conn_create(struct worker *worker, int fd, uint8_t listener)
{
    const struct listener *way = &worker->net->acceptor.listeners.at[listener];
    struct conn *conn = slots_get(&worker->slots);

    if (conn == NULL)
        return NULL;
    if (way->tls != TLS_NEVER &&
        (conn->stream = calloc(1, sizeof *conn->stream)) == NULL) {
        slots_put(&worker->slots, conn);
        return NULL;
    }
    conn->worker = worker;
    conn->fd = fd;
    conn->listener = listener;
    conn->space = way->space & 15u;
    conn->next = SERVICE_READ;
    atomic_init(&conn->last_command, worker->now);
    atomic_init(&conn->shown, CONN_WAITING);
    return conn;
}

static void
conn_free(struct conn *conn)
{
    free(conn->stream);
    slots_put(&conn->worker->slots, conn);
}

static void
log_client(int fd, const char *what)
{
    char address[ADDRESS_TEXT_MAX];

    if (!log_shows(LOG_CLIENT))
        return; /* to ask for the address costs as much as all else that a new client needs */
    address_of(fd, true, address, sizeof address);
    log_line(LOG_CLIENT, "<%d %s %s", fd, what, address);
}

struct conn *
conn_open(struct worker *worker, int fd, uint8_t listener, const struct passenger *from)
{
    const struct listener *way = &worker->net->acceptor.listeners.at[listener];
    struct conn *conn = conn_create(worker, fd, listener);
    struct peer peer = {
        .fd = fd,
        .listener = listener,
        .protocol = way->protocol,
        .denied = way->denied,
        .wake = worker_wake_conn,
        .wake_handle = conn,
    };

    if (conn == NULL)
        goto out_fd;
    peer.place = conn->session;
    if (make_session(conn, &peer, from) == NULL)
        goto out;
    if (from != NULL && !restore(conn, &from->about))
        goto out_hold;
    if (conn->stream != NULL && !time_handshake(conn))
        goto out_session;
    if (!poller_add(&worker->poller, fd, conn))
        goto out_hold;
    if (!worker_add_conn(worker, conn)) {
        poller_drop(&worker->poller, fd);
        goto out_hold;
    }
    if (from == NULL) {
        log_client(fd, "new client");
        worker_tell_conn(worker, conn, NULL);
        return conn;
    }
    log_client(fd, "client taken over");
    worker->idle_next = 0; /* it may be the next whose time is up */
    if (conn->next == SERVICE_AGAIN)
        worker_note(worker, conn);
    return conn;
out_hold:
    hold_free(conn);
out_session:
    worker->service->close(conn->session);
out:
    conn_free(conn);
out_fd:
    close(fd);
    acceptor_client_gone(worker->net);
    return NULL;
}

int
conn_part(struct conn *conn)
{
    struct worker *worker = conn->worker;
    int fd = conn->fd;

    assert(!conn->queued);
    worker_remove_conn(worker, conn);
    poller_drop(&worker->poller, fd);
    worker->service->close(conn->session);
    worker_forget_woken(worker, conn);
    hold_free(conn);
    if (conn->stream != NULL)
        tls_stream_close(conn->stream);
    acceptor_client_gone(worker->net);
    conn_free(conn);
    return fd;
}

void
conn_close(struct conn *conn)
{
    struct worker *worker = conn->worker;

    log_line(LOG_CLIENT, "<%d closed", conn->fd);
    worker_tell_conn(
        worker, conn, worker->reason != NULL ? worker->reason : "normal");
    /* First the count and then the socket: who sees it close finds the place free. */
    close(conn_part(conn));
}

/* Closes after a last reply. Input that nobody read would make the kernel send a reset,
 * which can overtake that reply; so throw away what has come. */
static void
finish(struct conn *conn)
{
    char rubbish[4096];

    if (conn->stream != NULL)
        tls_stream_close(conn->stream);
    shutdown(conn->fd, SHUT_WR);
    for (int i = 0; i < DISCARD_ROUNDS; i++)
        if (recv(conn->fd, rubbish, sizeof rubbish, MSG_DONTWAIT) <= 0)
            break;
    conn_close(conn);
}

/* As conn_close(), for something that went wrong, or because it was idle for too long. */
static void
close_for(struct conn *conn, const char *reason)
{
    struct worker *worker = conn->worker;

    worker->reason = reason;
    conn_close(conn);
    worker->reason = NULL;
}

/* ---- Output -------------------------------------------------------------------------- */

static enum sending_result
push(struct conn *conn, struct sending *sending, size_t *sent_out)
{
    struct worker *worker = conn->worker;
    const struct pin_release *pins = &worker->spaces[conn->space].pins;

    if (conn->stream != NULL)
        return tls_stream_push(conn->stream, sending, worker->stage,
            worker->net->parts.options->ssl_wbuf_size, pins, sent_out);
    return sending_push(sending, conn->fd, pins, sent_out);
}

/* Sends the worker's outbox and leaves it empty. */
static enum sending_result
deliver(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct sending sending;
    size_t sent;

    if (outbox_empty(&worker->outbox))
        return SENDING_DONE;
    sending_begin(&sending, &worker->outbox);
    enum sending_result result = push(conn, &sending, &sent);
    counter_add(&worker->counters.bytes_written, sent);
    if (result == SENDING_STUCK && !hold_put_backlog(conn, &sending)) {
        counter_add(&worker->counters.response_obj_oom, 1);
        result = SENDING_BROKEN;
    }
    if (result == SENDING_BROKEN)
        sending_drop(&sending, &worker->spaces[conn->space].pins);
    worker->outbox.used = 0;
    worker->outbox.nrefs = 0;
    if (result == SENDING_STUCK && !await(conn, POLLER_WRITE))
        result = SENDING_BROKEN;
    return result;
}

/* Sends more of the backlog. True: it is all sent and the connection reads again. False:
 * it waits, or it is gone. */
static bool
flush(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct hold *hold = conn->hold;
    size_t sent;

    enum sending_result result = push(conn, &hold->backlog->rest, &sent);
    counter_add(&worker->counters.bytes_written, sent);
    hold_sent(hold, sent);
    if (result == SENDING_STUCK)
        return false;
    hold_forget_backlog(hold);
    if (result == SENDING_DONE && conn->next == SERVICE_CLOSE) {
        finish(conn);
        return false;
    }
    if (result == SENDING_BROKEN || !await(conn, POLLER_READ)) {
        close_for(conn, "error");
        return false;
    }
    if (hold->began != 0) /* the client could not go on while we did not read */
        hold->began = worker->now;
    hold_settle(conn);
    return true;
}

/* ---- TLS ----------------------------------------------------------------------------- */

static void
tls_failed(const struct conn *conn, counter *errors, const char *why)
{
    struct worker *worker = conn->worker;
    struct journal_event event = {
        .kind = JOURNAL_TLS_ERROR,
        .stream = JOURNAL_CONNEVENTS,
        .fd = conn->fd,
    };

    if (worker_is_watched(worker, conn->space))
        journal_put(
            worker->spaces[conn->space].journal, &event, slice_of(why, strlen(why)));
    log_line(LOG_CLIENT, "<%d TLS: %s", conn->fd, why);
    counter_add(errors, 1);
}

/*
 * What a call of tls_stream.h has left: waits for what it wants or closes the connection,
 * which is counted in `errors` if the client is to blame. `waited`: the event waits for
 * POLLER_WRITE. True: go on.
 */
static bool
settle_tls(struct conn *conn, enum tls_result result, bool waited, counter *errors,
    const char *why)
{
    bool ok = true;

    switch (result) {
    case TLS_DONE:
    case TLS_WANTS_READ:
        ok = !waited || await(conn, POLLER_READ);
        break;
    case TLS_WANTS_WRITE:
        ok = waited || await(conn, POLLER_WRITE);
        break;
    case TLS_BROKEN:
        tls_failed(conn, errors, why);
        ok = false;
        break;
    case TLS_END:
        ok = false;
        break;
    }
    if (!ok && result == TLS_BROKEN)
        close_for(conn, "error");
    else if (!ok)
        conn_close(conn);
    return ok && result == TLS_DONE;
}

/* Goes on with the handshake, or in the next turn. True: it is done. False: it is not, or
 * the connection is gone. */
static bool
shake(struct conn *conn)
{
    struct worker *worker = conn->worker;
    const struct net *net = worker->net;
    bool waited = conn->stream->for_write;
    char text[TLS_WHY_MAX] = "";

    if (worker->handshakes == 0) {
        worker_postpone(worker, conn);
        return false;
    }
    worker->handshakes--;
    enum tls_result result = tls_stream_shake(conn->stream, net->parts.tls, conn->fd,
        (enum tls_demand)net->acceptor.listeners.at[conn->listener].tls, text);
    if (!settle_tls(
            conn, result, waited, &worker->counters.ssl_handshake_errors, text))
        return false;
    if (net->parts.options->ssl_session_cache && !tls_stream_resumed(conn->stream))
        counter_add(&worker->counters.ssl_new_sessions, 1);
    if (conn->stream->by_kernel)
        counter_add(&worker->counters.ssl_kernel_sessions, 1);
    if (log_shows(LOG_CLIENT)) {
        tls_stream_describe(conn->stream, text, sizeof text);
        log_line(LOG_CLIENT, "<%d %s", conn->fd, text);
    }
    assert(conn->hold != NULL); /* since time_handshake() */
    conn->hold->began = 0;
    hold_settle(conn);
    return true;
}

/* What read_plain() is to other connections. 0: nothing but the protocol's own has
 * come, or the connection is gone. */
static size_t
read_tls(struct conn *conn, const struct iovec *iov, unsigned n)
{
    char why[TLS_WHY_MAX];
    bool waited = conn->stream->for_write;
    size_t got;

    enum tls_result result = tls_stream_read(conn->stream, iov, n, &got, why);
    counter *errors = &conn->worker->counters.ssl_proto_errors;
    if (result == TLS_DONE && conn->stream->broken) /* the next call finds only the end */
        tls_failed(conn, errors, why);
    return settle_tls(conn, result, waited, errors, why) ? got : 0;
}

/* ---- Input --------------------------------------------------------------------------- */

/* recv() or readv(). 0: nothing has come, or the connection is gone. */
static size_t
read_plain(struct conn *conn, const struct iovec *iov, unsigned n)
{
    ssize_t got;

    do
        got = n == 1 ? recv(conn->fd, iov->iov_base, iov->iov_len, 0)
                     : readv(conn->fd, iov, (int)n);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return (size_t)got;
    if (got == 0) /* all that came before is answered: see conn_gather() */
        conn_close(conn);
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        close_for(conn, "error");
    return 0;
}

/* Reads once. What the service wants goes to its own memory, and what comes behind that
 * to `space`, all by one call. */
static bool
receive(struct conn *conn, char *space, struct job *job_out)
{
    struct worker *worker = conn->worker;
    struct hold *hold = conn->hold;
    struct iovec iov[WANT_MAX + 1];
    size_t kept = 0, wanted = 0, got;
    unsigned n = 0;

    if (hold != NULL && hold->len > 0) {
        kept = hold->len;
        memcpy(space, hold->bytes + hold->at, kept);
    } else if (hold != NULL) {
        n = worker->service->want(conn->session, iov, WANT_MAX);
        for (unsigned i = 0; i < n; i++)
            wanted += iov[i].iov_len;
    }
    iov[n] = (struct iovec){ space + kept, conn->bites ? CONN_BITE_SIZE : CONN_READ_SIZE };
    got = conn->stream != NULL ? read_tls(conn, iov, n + 1)
                               : read_plain(conn, iov, n + 1);
    if (got == 0)
        return false;
    counter_add(&worker->counters.bytes_read, got);
    if (hold != NULL) {
        hold->moved = worker->now;
        hold->arrived += (uint32_t)got;
    }
    job_out->direct = got < wanted ? got : wanted;
    job_out->data = space;
    job_out->len = kept + got - job_out->direct;
    return true;
}

bool
conn_gather(struct conn *conn, char *space, struct job *job_out)
{
    *job_out = (struct job){ .conn = conn, .data = space };
    if (conn->hold != NULL && conn->hold->backlog != NULL && !flush(conn))
        return false;
    /* A client that sends its last command and closes its side gets every answer: the end
     * of input is not seen before the session has nothing left to do. */
    if (conn->next == SERVICE_READ)
        return (conn->stream == NULL || conn->stream->ready || shake(conn)) &&
               receive(conn, space, job_out);
    if (conn->hold != NULL && conn->hold->len > 0) {
        job_out->data = conn->hold->bytes + conn->hold->at;
        job_out->len = conn->hold->len;
    }
    return true;
}

/* ---- A turn -------------------------------------------------------------------------- */

static void
note_next(struct conn *conn, enum service_next next)
{
    conn->bites = next == SERVICE_READ_BITE;
    conn->later = next == SERVICE_LATER;
    conn->next = (uint8_t)(conn->bites       ? SERVICE_READ
                           : conn->later ? SERVICE_AGAIN
                                         : next);
}

/* What is done and left during conn_run(). */
struct run {
    char *data;
    size_t len;
    bool replied;
    enum sending_result sent;
};

/* The bytes that went straight into the service's memory. True: go on with the others. */
static bool
run_direct(struct conn *conn, size_t direct, struct run *run)
{
    struct worker *worker = conn->worker;

    note_next(conn, worker->service->filled(conn->session, direct, &worker->outbox));
    run->replied = !outbox_empty(&worker->outbox);
    run->sent = deliver(conn);
    if (worker->measuring)
        worker_answered(worker, conn->space);
    if (run->sent != SENDING_DONE && run->len > 0 && conn->next == SERVICE_READ)
        conn->next = SERVICE_AGAIN; /* the rest is here already: no event will tell */
    return run->sent == SENDING_DONE && conn->next != SERVICE_CLOSE &&
           (run->len > 0 || conn->next != SERVICE_READ);
}

static void
run_commands(struct conn *conn, bool alone, struct run *run)
{
    struct worker *worker = conn->worker;
    const struct service *service = worker->service;
    unsigned budget = (unsigned)worker->net->parts.options->requests_per_event;
    unsigned rounds = alone ? ROUNDS_ALONE : ROUNDS_SHARED;
    bool more, moved = false;

    do {
        size_t used = 0;
        note_next(conn, service->took(conn->session, run->data, run->len, budget, &used,
            &worker->outbox));
        assert(used <= run->len);
        run->data += used;
        run->len -= used;
        moved |= used > 0;
        run->replied |= !outbox_empty(&worker->outbox);
        run->sent = deliver(conn);
        if (worker->measuring)
            worker_answered(worker, conn->space);
        more = conn->next == SERVICE_DRAIN ||
               (conn->next == SERVICE_AGAIN && alone && !conn->later);
    } while (more && run->sent == SENDING_DONE && --rounds > 0);
    if (conn->next == SERVICE_AGAIN && !conn->later && run->sent == SENDING_DONE)
        counter_add(&worker->counters.conn_yields, 1); /* by -R, which reports don't have */
    conn->later &= !moved && !run->replied; /* else it has had something of this turn */
}

/* Starts or stops the time in which a command has to arrive. False: out of memory. */
static bool
time_command(struct conn *conn, bool replied)
{
    struct worker *worker = conn->worker;
    struct hold *hold = conn->hold;
    bool partial = conn->next == SERVICE_READ &&
                   ((hold != NULL && hold->len > 0) ||
                       worker->service->midway(conn->session));

    if (!partial) {
        if (hold != NULL)
            hold->began = 0;
        return true;
    }
    hold = hold_get(conn);
    if (hold == NULL)
        return false;
    if (hold->began == 0 || replied || hold->arrived >= PARTIAL_RENEW) {
        hold->began = worker->now;
        hold->arrived = 0;
    }
    return true;
}

static void
show(struct conn *conn, bool stuck)
{
    enum conn_state state = stuck ? CONN_WRITE
        : conn->hold != NULL && conn->hold->len > 0
        ? CONN_READ
        : conn->worker->service->state(conn->session);

    atomic_store_explicit(&conn->shown, (uint8_t)state, memory_order_relaxed);
    atomic_store_explicit(
        &conn->last_command, conn->worker->now, memory_order_relaxed);
}

bool
conn_run(const struct job *job, bool alone)
{
    struct conn *conn = job->conn;
    struct worker *worker = conn->worker;
    struct run run = { .data = job->data, .len = job->len, .sent = SENDING_DONE };

    assert(outbox_empty(&worker->outbox));
    atomic_store_explicit(&conn->shown, CONN_PARSE, memory_order_relaxed);
    if (job->direct == 0 || run_direct(conn, job->direct, &run))
        run_commands(conn, alone, &run);
    if (run.sent == SENDING_BROKEN) {
        close_for(conn, "error");
        return false;
    }
    bool stuck = run.sent == SENDING_STUCK;
    if (conn->next == SERVICE_CLOSE && !stuck) {
        finish(conn);
        return false;
    }
    if (!hold_keep(conn, run.data, conn->next == SERVICE_CLOSE ? 0 : run.len) ||
        !time_command(conn, run.replied)) {
        counter_add(&worker->counters.read_buf_oom, 1);
        close_for(conn, "error");
        return false;
    }
    show(conn, stuck);
    hold_settle(conn);
    if (stuck)
        return false;
    return conn->next != SERVICE_READ ||
           (conn->stream != NULL && tls_stream_pending(conn->stream));
}

/* ---- Once a second -------------------------------------------------------------------- */

void
conn_check_idle(struct conn *conn)
{
    struct worker *worker = conn->worker;
    uint32_t timeout = worker->idle_timeout;
    uint32_t last = atomic_load_explicit(&conn->last_command, memory_order_relaxed);

    if (conn->hold != NULL && conn->hold->moved > last)
        last = conn->hold->moved;
    if (atomic_load_explicit(&conn->shown, memory_order_relaxed) == CONN_WATCH)
        last = worker->now;
    if (!conn->queued && worker->now > last && worker->now - last > timeout) {
        counter_add(&worker->counters.idle_kicks, 1);
        close_for(conn, "idle_timeout");
    } else if (last + timeout + 1 < worker->idle_next) {
        worker->idle_next = last + timeout + 1;
    }
}

void
conn_check_hold(struct hold *hold)
{
    struct conn *conn = hold->conn;
    struct worker *worker = conn->worker;
    uint32_t now = worker->now;
    uint32_t timeout = (uint32_t)worker->net->parts.options->partial_timeout;
    uint32_t stalled = hold_stalled_for(hold, now);

    if (conn->queued)
        return;
    bool late = hold->began != 0 && hold->backlog == NULL && timeout > 0 &&
                now > hold->began && now - hold->began > timeout;
    if (late || (stalled > 0 && worker->service->give_up(conn->session, stalled))) {
        counter_add(&worker->counters.partial_kicks, 1);
        close_for(conn, "error");
    }
}
