/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/journal.h"
#include "base/wake.h"
#include "net/address.h"
#include "net/hold.h"
#include "net/inside.h"
#include "net/leave.h"

#define CACHE_LINE     64u
#define CONNS_FIRST    64u
#define ARRIVALS_FIRST 16u
/* New clients of a turn: thousands that come at once are not to keep the others waiting. */
#define ARRIVALS_PER_TURN 16u
/* A handshake can cost as much as a thousand commands: no more of them than this come
 * between two turns of the clients that are served already. */
#define HANDSHAKES_PER_TURN 2u
/* Turns for clients alone, before others that wait in the loop have one. */
#define TURNS_ALONE 4u

/* ---- Connections ---------------------------------------------------------------------- */

void
worker_note(struct worker *worker, struct conn *conn)
{
    if (conn->queued)
        return;
    conn->queued = true;
    assert(worker->nready < worker->capacity);
    worker->ready[worker->nready++] = conn;
}

void
worker_postpone(struct worker *worker, struct conn *conn)
{
    assert(!conn->queued);
    conn->queued = true;
    assert(worker->nagain < worker->capacity);
    worker->again[worker->nagain++] = conn;
    if (!conn->later)
        return;
    worker->again[worker->nagain - 1] = worker->again[worker->nlater];
    worker->again[worker->nlater++] = conn;
}

/* Makes a list of `n` longer; the old one stays if there is no memory. Not by realloc(),
 * which would copy, and so give memory to, all the room that was never used. */
static bool
lengthen(struct conn ***list, unsigned n, unsigned size)
{
    struct conn **longer = malloc(size * sizeof *longer);

    if (longer == NULL)
        return false;
    if (n > 0)
        memcpy(longer, *list, n * sizeof *longer);
    free(*list);
    *list = longer;
    return true;
}

static bool
lengthen_woken(struct worker *worker, unsigned size)
{
    pthread_mutex_lock(&worker->woken_mutex);
    bool done = lengthen(&worker->woken, worker->nwoken, size);
    pthread_mutex_unlock(&worker->woken_mutex);
    return done;
}

bool
worker_add_conn(struct worker *worker, struct conn *conn)
{
    bool done = true;

    pthread_mutex_lock(&worker->mutex);
    if (worker->nconns == worker->capacity) {
        unsigned size = worker->capacity == 0 ? CONNS_FIRST : 2 * worker->capacity;
        done = lengthen(&worker->conns, worker->nconns, size) &&
               lengthen(&worker->ready, worker->nready, size) &&
               lengthen(&worker->again, worker->nagain, size) &&
               lengthen(&worker->waiting, worker->nwaiting, size) &&
               lengthen_woken(worker, size);
        if (done)
            worker->capacity = size;
    }
    if (done) {
        conn->index = worker->nconns;
        worker->conns[worker->nconns++] = conn;
    }
    pthread_mutex_unlock(&worker->mutex);
    uint32_t due = worker->now + worker->idle_timeout + 1;
    if (worker->idle_next > due)
        worker->idle_next = due;
    return done;
}

void
worker_remove_conn(struct worker *worker, struct conn *conn)
{
    pthread_mutex_lock(&worker->mutex);
    assert(worker->conns[conn->index] == conn);
    struct conn *last = worker->conns[--worker->nconns];
    worker->conns[conn->index] = last;
    last->index = conn->index;
    pthread_mutex_unlock(&worker->mutex);
}

/* ---- Waiting -------------------------------------------------------------------------- */

static void
wait_to_be_woken(struct worker *worker, struct conn *conn)
{
    conn_pause(conn);
    conn->queued = true;
    worker->waiting[worker->nwaiting++] = conn;
}

/* Takes a connection off a list in which it may be. */
static bool
take_off(struct conn **list, unsigned *n, const struct conn *conn)
{
    for (unsigned i = 0; i < *n; i++) {
        if (list[i] == conn) {
            list[i] = list[--*n];
            return true;
        }
    }
    return false;
}

void
worker_wake_conn(void *handle)
{
    struct conn *conn = handle;
    struct worker *worker = conn->worker;
    bool known = false;

    pthread_mutex_lock(&worker->woken_mutex);
    for (unsigned i = 0; i < worker->nwoken && !known; i++)
        known = worker->woken[i] == conn;
    if (!known)
        worker->woken[worker->nwoken++] = conn;
    pthread_mutex_unlock(&worker->woken_mutex);
    if (!known)
        worker_wake(worker);
}

/* Nobody wakes it any more, because its session is closed. */
void
worker_forget_woken(struct worker *worker, const struct conn *conn)
{
    pthread_mutex_lock(&worker->woken_mutex);
    (void)take_off(worker->woken, &worker->nwoken, conn);
    pthread_mutex_unlock(&worker->woken_mutex);
}

static struct conn *
next_woken(struct worker *worker)
{
    struct conn *conn = NULL;

    pthread_mutex_lock(&worker->woken_mutex);
    if (worker->nwoken > 0)
        conn = worker->woken[--worker->nwoken];
    pthread_mutex_unlock(&worker->woken_mutex);
    return conn;
}

/* Those that were woken get a turn. One that waits for its socket to take more has it when
 * that is done, one that is in line for a turn has it anyway. */
static void
run_woken(struct worker *worker)
{
    for (struct conn *conn; (conn = next_woken(worker)) != NULL;) {
        if (take_off(worker->waiting, &worker->nwaiting, conn)) {
            conn->queued = false;
            if (!conn_resume(conn))
                continue;
        }
        if (conn->next == SERVICE_READ)
            conn->next = SERVICE_AGAIN;
        if (conn->hold == NULL || conn->hold->backlog == NULL)
            worker_note(worker, conn);
    }
}

/* ---- What is told ----------------------------------------------------------------------- */

void
worker_tell_conn(struct worker *worker, const struct conn *conn, const char *reason)
{
    struct journal_event event = {
        .kind = reason == NULL ? JOURNAL_CONN_NEW : JOURNAL_CONN_CLOSE,
        .stream = JOURNAL_CONNEVENTS,
        .word = reason,
        .fd = conn->fd,
    };
    char address[ADDRESS_TEXT_MAX];

    if (!worker_is_watched(worker, conn->space))
        return;
    event.status = address_of(conn->fd, false, address, sizeof address) == AF_UNIX
        ? "local"
        : "tcp";
    address_of(conn->fd, true, address, sizeof address);
    journal_put(
        worker->spaces[conn->space].journal, &event, slice_of(address, strlen(address)));
}

/* ---- Turns ------------------------------------------------------------------------------ */

/* Begins or ends the measuring of a group, whose input has just been read. */
static void
measure(struct worker *worker, bool on)
{
    worker->measuring = on;
    for (unsigned i = 0; i < worker->nspaces; i++)
        worker->service->measure(worker->spaces[i].lane, on);
    if (on)
        worker->read_at_ns = clock_nanos();
}

void
worker_answered(struct worker *worker, unsigned space)
{
    worker->service->answered(
        worker->spaces[space].lane, clock_nanos() - worker->read_at_ns);
}

/* `spaces` have had connections looked at, by their bits. */
static void
tell_looked(const struct worker *worker, unsigned spaces)
{
    for (unsigned i = 0; spaces != 0; i++, spaces >>= 1)
        if ((spaces & 1) != 0)
            worker->service->looked(worker->spaces[i].lane);
}

/* Works off ready connections from `at` on, as many as make a group. Returns where the
 * next group begins. */
static unsigned
run_group(struct worker *worker, unsigned at)
{
    const struct service *service = worker->service;
    struct job jobs[WORKER_GROUP];
    unsigned njobs = 0;
    unsigned looked = 0; /* a bit for each space */
    size_t fill = 0;

    while (at < worker->nready && njobs < WORKER_GROUP &&
           fill + CONN_SPACE <= WORKER_INPUT) {
        struct conn *conn = worker->ready[at++];
        char *space = worker->input + fill;
        conn->queued = false;
        if (!conn_gather(conn, space, &jobs[njobs]))
            continue;
        const struct job *job = &jobs[njobs++];
        if (job->data == space)
            fill += (job->len + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    }
    for (unsigned i = 0; i < njobs; i++) {
        if (jobs[i].len == 0)
            continue;
        service->look(jobs[i].conn->session, jobs[i].data, jobs[i].len);
        looked |= 1u << jobs[i].conn->space;
    }
    tell_looked(worker, looked);
    if (njobs > 0 && sample_due(&worker->sample))
        measure(worker, true);
    bool alone = njobs == 1 && at == worker->nready && worker->nagain == 0;
    for (unsigned i = 0; i < njobs; i++) {
        if (!conn_run(&jobs[i], alone))
            continue;
        if (jobs[i].conn->next == SERVICE_WAIT) {
            wait_to_be_woken(worker, jobs[i].conn);
            continue;
        }
        worker_postpone(worker, jobs[i].conn);
    }
    if (worker->measuring)
        measure(worker, false);
    return at;
}

/* Those who want another turn at once come first in it. */
static void
run_turn(struct worker *worker)
{
    const struct service *service = worker->service;
    struct conn **list = worker->ready;

    worker->handshakes = HANDSHAKES_PER_TURN;
    for (unsigned i = 0; service->turn != NULL && i < worker->nspaces; i++)
        service->turn(worker->spaces[i].lane);
    for (unsigned at = 0; at < worker->nready;)
        at = run_group(worker, at);
    worker->ready = worker->again;
    worker->nready = worker->nagain;
    worker->again = list;
    worker->nagain = worker->nlater = 0;
}

static void
run_tick(struct worker *worker)
{
    uint32_t timeout =
        atomic_load_explicit(&worker->net->idle_timeout, memory_order_relaxed);
    struct hold *hold, *next;

    worker->now = clock_seconds(worker->net->parts.clock);
    atomic_store_explicit(&worker->ticked, true, memory_order_relaxed);
    atomic_store_explicit(&worker->ticked_at, worker->now, memory_order_relaxed);
    hold_return_memory();
    if (timeout != worker->idle_timeout)
        worker->idle_next = 0; /* everybody's end has moved */
    worker->idle_timeout = timeout;
    for (unsigned i = 0; i < worker->nspaces; i++)
        worker->service->lane_tick(worker->spaces[i].lane, worker->now);
    for (hold = worker->holds; hold != NULL; hold = next) {
        next = hold->next;
        conn_check_hold(hold);
    }
    if (timeout == 0 || worker->now < worker->idle_next)
        return;
    worker->idle_next = UINT32_MAX;
    for (unsigned i = worker->nconns; i-- > 0;) /* the last one takes the place of a gone */
        conn_check_idle(worker->conns[i]);
}

/* Those that were handed over first become connections. True: there are others. */
static bool
take_some(struct worker *worker)
{
    struct arrival some[ARRIVALS_PER_TURN];
    unsigned n, left;

    pthread_mutex_lock(&worker->arrivals_mutex);
    n = worker->narrivals < ARRIVALS_PER_TURN ? worker->narrivals : ARRIVALS_PER_TURN;
    left = worker->narrivals -= n;
    if (n > 0) {
        memcpy(some, worker->arrivals, n * sizeof *some);
        memmove(worker->arrivals, worker->arrivals + n, left * sizeof *some);
    }
    pthread_mutex_unlock(&worker->arrivals_mutex);
    for (unsigned i = 0; i < n; i++) {
        conn_open(worker, some[i].fd, some[i].listener, some[i].passenger);
        free(some[i].passenger);
    }
    return left > 0;
}

void
worker_take_arrivals(struct worker *worker)
{
    while (take_some(worker))
        continue;
}

static void
on_wake(evutil_socket_t fd, short what, void *context)
{
    struct worker *worker = context;
    uint64_t count;

    (void)what;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* EAGAIN: nothing is lost, the flags tell */
    if (take_some(worker))
        worker_wake(worker); /* the others after this turn */
    run_woken(worker);
    if (atomic_exchange(&worker->tick_due, false))
        run_tick(worker);
}

/*
 * Notes the clients that are ready. Their memory is asked for first, all of it at once: what
 * thousands of them have does not stay in the cache from one request to the next.
 */
static unsigned
collect(struct worker *worker)
{
    struct poller *poller = &worker->poller;
    unsigned n = poller_collect(poller);

    for (unsigned i = 0; i < n; i++) {
        __builtin_prefetch(poller->events[i].data.ptr, 1);
        __builtin_prefetch((char *)poller->events[i].data.ptr + CACHE_LINE, 1);
    }
    for (unsigned i = 0; i < n; i++) {
        struct conn *conn = poller->events[i].data.ptr;
        worker_note(worker, conn);
    }
    worker->crowded = n > 1;
    return n;
}

static void
on_clients(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    collect(context);
}

/* Everything but the clients, and clients if `wait` says so for want of anything else. */
static void
ask_loop(struct worker *worker, bool wait)
{
    worker->turns = 0;
    /* ONCE also where nothing is waited for: NONBLOCK alone returns only when no event is
     * active, and a connection that is read in the turn to come stays active until then. */
    event_base_loop(worker->base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK));
}

void
worker_turn(struct worker *worker, bool wait)
{
    bool busy = worker->nready > 0 || !wait;

    if (busy || worker->crowded)
        busy = collect(worker) > 0 || busy;
    if (!busy || !wait || ++worker->turns >= TURNS_ALONE)
        ask_loop(worker, !busy);
    run_turn(worker);
}

/* ---- The thread ------------------------------------------------------------------------- */

void
worker_time_is_over(int fd, short what, void *over)
{
    (void)fd;
    (void)what;
    *(bool *)over = true;
}

void
worker_empty_lines(struct worker *worker)
{
    for (unsigned i = 0; i < worker->nready; i++)
        worker->ready[i]->queued = false;
    worker->nready = 0;
    for (unsigned i = 0; i < worker->nwaiting; i++)
        worker->waiting[i]->queued = false;
    worker->nwaiting = 0;
}

/* Closes those who have nothing more to be sent, or all. */
static void
close_conns(struct worker *worker, bool all)
{
    if (all)
        worker_empty_lines(worker);
    worker->reason = "shutdown";
    for (unsigned i = worker->nconns; i-- > 0;) {
        struct conn *conn = worker->conns[i];
        bool busy = conn->queued || (conn->hold != NULL && conn->hold->backlog != NULL);
        if (all || !busy)
            conn_close(conn);
    }
}

/* Commands that have arrived are run and their replies sent, within NET_STOP_MS. */
static void
wind_up(struct worker *worker)
{
    const struct timeval time = { .tv_usec = NET_STOP_MS * 1000 };
    struct event timer;
    bool over = false;

    worker_turn(worker, false);
    evtimer_assign(&timer, worker->base, worker_time_is_over, &over);
    over = evtimer_add(&timer, &time) != 0;
    for (;;) {
        close_conns(worker, over);
        if (worker->nconns == 0)
            break;
        worker_turn(worker, true);
    }
    evtimer_del(&timer);
}

/* False: out of memory; some lanes may be open. */
static bool
open_lanes(struct worker *worker)
{
    const struct net_parts *parts = &worker->net->parts;

    for (; worker->nspaces < parts->nspaces; worker->nspaces++) {
        struct worker_space *space = &worker->spaces[worker->nspaces];
        space->lane = worker->service->lane_open(
            parts->spaces[worker->nspaces].context, worker->index);
        if (space->lane == NULL)
            return false;
        space->pins = (struct pin_release){ worker->service->release, space->lane };
    }
    return true;
}

static void
close_lanes(struct worker *worker)
{
    for (unsigned i = worker->nspaces; i-- > 0;)
        worker->service->lane_close(worker->spaces[i].lane);
}

static void *
worker_main(void *context)
{
    struct worker *worker = context;
    const struct net_parts *parts = &worker->net->parts;
    char name[16];

    snprintf(name, sizeof name, "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    worker->now = clock_seconds(parts->clock);
    atomic_store_explicit(&worker->ticked_at, worker->now, memory_order_relaxed);
    worker->idle_timeout = (uint32_t)parts->options->idle_timeout;
    worker->opened = open_lanes(worker);
    bool opened = worker->opened;
    sem_post(&worker->started);
    if (opened) {
        while (!atomic_load(&worker->stop))
            worker_turn(worker, true);
        if (atomic_load(&worker->leave))
            leave_conns(worker);
        else
            wind_up(worker);
    }
    close_lanes(worker);
    return NULL;
}

static bool
open_journals(struct worker *worker)
{
    const struct net_parts *parts = &worker->net->parts;

    for (unsigned i = 0; i < parts->nspaces; i++) {
        struct worker_space *space = &worker->spaces[i];
        struct journal *journal = parts->spaces[i].journal;
        if (journal == NULL)
            continue;
        space->journal = journal_open(journal);
        if (space->journal == NULL)
            return false;
        space->wanted = journal_wanted(journal);
    }
    return true;
}

int
worker_init(struct worker *worker, struct net *net, unsigned index)
{
    worker->net = net;
    worker->service = net->parts.service;
    worker->index = index;
    worker->wake_fd = -1;
    worker->poller.fd = -1;
    slots_init(&worker->slots, sizeof(struct conn) + worker->service->session_size);
    sample_init(&worker->sample,
        worker->service->measure == NULL ? 0 : net->parts.options->latency_sample,
        index + 1);
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_mutex_init(&worker->arrivals_mutex, NULL);
    pthread_mutex_init(&worker->woken_mutex, NULL);
    sem_init(&worker->started, 0, 0);
    worker->input = malloc(WORKER_INPUT);
    worker->outbox.bytes = malloc(OUTBOX_BYTES);
    worker->datagram = malloc(worker->service->session_size);
    if (worker->input == NULL || worker->outbox.bytes == NULL || worker->datagram == NULL)
        return -ENOMEM;
    if (net->parts.tls != NULL &&
        (worker->stage = malloc(net->parts.options->ssl_wbuf_size)) == NULL)
        return -ENOMEM;
    if (!open_journals(worker))
        return -ENOMEM;
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake_fd < 0)
        return -errno;
    int error = poller_init(&worker->poller);
    if (error != 0)
        return error;
    /* Nothing here has timers, so libevent need not read the clock in every turn. */
    struct event_config *config = event_config_new();
    if (config == NULL)
        return -ENOMEM;
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    worker->base = event_base_new_with_config(config);
    event_config_free(config);
    if (worker->base == NULL ||
        event_assign(&worker->wake_event, worker->base, worker->wake_fd,
            EV_READ | EV_PERSIST, on_wake, worker) != 0 ||
        event_add(&worker->wake_event, NULL) != 0 ||
        event_assign(&worker->poller_event, worker->base, worker->poller.fd,
            EV_READ | EV_PERSIST, on_clients, worker) != 0 ||
        event_add(&worker->poller_event, NULL) != 0)
        return -ENOMEM;
    return 0;
}

int
worker_start(struct worker *worker)
{
    int error = pthread_create(&worker->thread, NULL, worker_main, worker);

    if (error != 0)
        return -error;
    worker->running = true;
    while (sem_wait(&worker->started) != 0)
        assert(errno == EINTR);
    return worker->opened ? 0 : -ENOMEM;
}

bool
worker_give(struct worker *worker, const struct arrival *arrival)
{
    bool done = true;

    pthread_mutex_lock(&worker->arrivals_mutex);
    if (worker->narrivals == worker->arrivals_size) {
        unsigned size = worker->arrivals_size == 0 ? ARRIVALS_FIRST
                                                   : 2 * worker->arrivals_size;
        struct arrival *longer = realloc(worker->arrivals, size * sizeof *longer);
        done = longer != NULL;
        if (done) {
            worker->arrivals = longer;
            worker->arrivals_size = size;
        }
    }
    if (done)
        worker->arrivals[worker->narrivals++] = *arrival;
    pthread_mutex_unlock(&worker->arrivals_mutex);
    if (done)
        worker_wake(worker);
    return done;
}

void
worker_wake(struct worker *worker)
{
    wake_up(worker->wake_fd);
}

void
worker_join(struct worker *worker)
{
    if (!worker->running)
        return;
    pthread_join(worker->thread, NULL);
    worker->running = false;
}

void
worker_fini(struct worker *worker)
{
    assert(worker->nconns == 0);
    assert(worker->holds == NULL);
    assert(worker->farewells == NULL);
    for (unsigned i = 0; i < worker->narrivals; i++) {
        close(worker->arrivals[i].fd);
        free(worker->arrivals[i].passenger);
    }
    if (worker->base != NULL) {
        if (event_initialized(&worker->wake_event))
            event_del(&worker->wake_event);
        if (event_initialized(&worker->poller_event))
            event_del(&worker->poller_event);
        event_base_free(worker->base);
    }
    poller_fini(&worker->poller);
    slots_fini(&worker->slots);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    free(worker->arrivals);
    free(worker->conns);
    free(worker->ready);
    free(worker->again);
    free(worker->waiting);
    free(worker->woken);
    free(worker->input);
    free(worker->datagram);
    free(worker->stage);
    free(worker->outbox.bytes);
    sem_destroy(&worker->started);
    pthread_mutex_destroy(&worker->mutex);
    pthread_mutex_destroy(&worker->arrivals_mutex);
    pthread_mutex_destroy(&worker->woken_mutex);
    for (unsigned i = 0; i < NET_SPACES_MAX; i++)
        if (worker->spaces[i].journal != NULL)
            journal_close(worker->spaces[i].journal);
}
