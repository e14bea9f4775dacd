/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker.h - a thread with an event loop and the connections it serves; inside src/net.
 *
 * A turn: the poller tells which connections are ready, and these are worked off in groups.
 * A group is read into successive places of one large buffer, shown to the service as a
 * whole (which may then fetch memory for all of it), and run one by one, each reply being
 * sent at once.
 *
 * The thread sleeps in libevent's loop, which has few events: the poller, the worker's own
 * eventfd, sockets for datagrams. While clients come in numbers the poller is asked first,
 * and the loop only when there are none and every few turns; so a turn is one system call
 * for waiting, as if the poller were all there is.
 */
#ifndef LARDER_NET_WORKER_H
#define LARDER_NET_WORKER_H

#include <event2/event_struct.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"
#include "base/journal.h"
#include "base/outbox.h"
#include "base/sample.h"
#include "base/service.h"
#include "net/conn.h"
#include "net/net.h"
#include "net/poller.h"
#include "net/sending.h"
#include "net/slots.h"

struct farewell;
struct net;
struct passenger;

/* A client on its way from the accepting thread. */
struct arrival {
    int fd;
    uint8_t listener;
    struct passenger *passenger; /* from another process; NULL: it is new */
};

/* What a worker has of a space. */
struct worker_space {
    void *lane;
    struct pin_release pins;
    struct journal_writer *journal; /* NULL: nothing can be watched */
    const _Atomic unsigned *wanted; /* its streams; NULL likewise */
};

struct worker {
    struct net *net;
    const struct service *service;
    unsigned index;
    pthread_t thread;
    bool running; /* the thread is to be joined */
    sem_t started; /* posted when the lanes are open, or could not be opened */
    bool opened;   /* they are; written before that */

    struct event_base *base;
    struct event wake_event, poller_event;
    int wake_fd;
    struct poller poller; /* the clients' sockets */
    bool crowded;         /* it told of several when it was last asked */
    unsigned turns;       /* since the loop was last asked */
    struct slots slots;   /* the clients' memory */
    _Atomic bool tick_due; /* a second has passed */
    _Atomic bool stop;
    _Atomic bool leave; /* set before `stop`: connections go on in another process */
    _Atomic bool ticked; /* for net_all_ticked(), which takes it back */
    _Atomic uint32_t ticked_at; /* clock_seconds() of the last tick, for net_stalled() */

    struct worker_space spaces[NET_SPACES_MAX]; /* as many as the net has; conn->space */
    unsigned nspaces;                           /* whose lanes are open */
    struct outbox outbox;
    char *input; /* WORKER_INPUT bytes */
    void *datagram; /* where the session of a datagram is for its moment */
    char *stage; /* -o ssl_wbuf_size bytes, where replies for TLS are put together */
    unsigned handshakes; /* steps of handshakes that this turn may still take */

    /* Connections to be worked off in this turn and in the next; room for all. */
    struct conn **ready, **again;
    unsigned nready, nagain;
    unsigned nlater; /* the first of `again`: they come before those who had their turn */
    /* Those that have said SERVICE_WAIT; they get their turn when they are woken. */
    struct conn **waiting;
    unsigned nwaiting;
    /* Those that somebody has woken since; room for all, each once. */
    pthread_mutex_t woken_mutex; /* guards the next two, and the room */
    struct conn **woken;
    unsigned nwoken;

    struct sample sample; /* groups that are measured */
    bool measuring;       /* this group is */
    uint64_t read_at_ns;  /* when its input had been read */

    const char *reason; /* why connections are closed, if not as usual */

    uint32_t now;       /* clock_seconds() as of the last tick */
    uint32_t idle_timeout; /* that of net, as of the last tick */
    uint32_t idle_next; /* no connection can have been idle for too long before */
    struct hold *holds;
    struct farewell *farewells; /* connections that have left; read when the thread has ended */

    pthread_mutex_t mutex; /* guards the next three, and conns from being closed */
    struct conn **conns;
    unsigned nconns, capacity; /* only the worker writes them */

    pthread_mutex_t arrivals_mutex; /* guards the next three */
    struct arrival *arrivals;
    unsigned narrivals, arrivals_size;

    struct counters counters;
    counter kept_count, kept_bytes, backlog_count, backlog_bytes; /* gauges */
};

#define WORKER_INPUT (512u * 1024u)
#define WORKER_GROUP 64u

/* Prepares a worker; 0 or -errno. It is to be ended by worker_fini() in either case. */
int worker_init(struct worker *worker, struct net *net, unsigned index);
/* Starts its thread and waits until it serves. 0 or -errno. */
int worker_start(struct worker *worker);
/* Hands over a client. False: out of memory, and what is in `arrival` is still the
 * caller's. */
bool worker_give(struct worker *worker, const struct arrival *arrival);
/* Has its thread look at tick_due, stop and arrivals. Any thread. */
void worker_wake(struct worker *worker);
/* Waits for a stopped worker's thread. */
void worker_join(struct worker *worker);
/* Releases everything; the thread has ended. */
void worker_fini(struct worker *worker);

/* For leave.c. Clients that were handed over become connections. */
void worker_take_arrivals(struct worker *worker);
/* One turn of the loop. `wait`: for something to do. */
void worker_turn(struct worker *worker, bool wait);
/* Nobody is in line for a turn any more. */
void worker_empty_lines(struct worker *worker);
/* For a timer of libevent's: sets the bool that it is given. */
void worker_time_is_over(int fd, short what, void *over);

/* For conn.c: a connection becomes known to the worker, or leaves it. */
bool worker_add_conn(struct worker *worker, struct conn *conn);
void worker_remove_conn(struct worker *worker, struct conn *conn);
/* In a measured group: what has run since the last call, all for one space, was handed to
 * the kernel now. */
void worker_answered(struct worker *worker, unsigned space);
/* For struct peer: the session of a connection has something to do. Any thread, until its
 * close() begins. */
void worker_wake_conn(void *conn);
/* ... which has ended: it is no longer to have a turn for that. */
void worker_forget_woken(struct worker *worker, const struct conn *conn);
/* Does anybody want to know of the connections of a space? */
static inline bool
worker_is_watched(const struct worker *worker, unsigned space)
{
    const _Atomic unsigned *wanted = worker->spaces[space].wanted;

    return wanted != NULL && (atomic_load_explicit(wanted, memory_order_relaxed) &
                                 JOURNAL_BIT(JOURNAL_CONNEVENTS)) != 0;
}
/* Tells those who watch of a connection that has come, or goes for `reason` (NULL: come). */
void worker_tell_conn(struct worker *worker, const struct conn *conn, const char *reason);
/* Notes a connection as ready. */
void worker_note(struct worker *worker, struct conn *conn);
/* Gives a connection of this turn one in the next, without waiting for its socket; before
 * the others if it is `later`. */
void worker_postpone(struct worker *worker, struct conn *conn);

#endif
