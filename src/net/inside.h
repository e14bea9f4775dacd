/* SPDX-License-Identifier: BSD-3-Clause */
/* inside.h - what net.c, acceptor.c and the workers share; inside src/net only. */
#ifndef LARDER_NET_INSIDE_H
#define LARDER_NET_INSIDE_H

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/listener.h"
#include "net/net.h"
#include "net/take.h"
#include "net/udp.h"
#include "net/worker.h"

/* Descriptors of the server itself: standard streams, loops, logs, files of the moment. */
#define NET_FDS_BASE       16u
#define NET_FDS_PER_WORKER 6u

/* A listener's event. */
struct door {
    struct net *net;
    unsigned index; /* in listeners.at */
    struct event event;
};

/* Accepting clients; acceptor.c. Belongs to the base's thread; atomics are read by all. */
struct acceptor {
    struct listeners listeners;
    struct door doors[LISTENERS_MAX];
    struct event retry; /* after running out of descriptors */
    struct event wake_event; /* a connection has ended while we were full */
    int wake_fd;
    unsigned next_worker;
    bool started;

    _Atomic int64_t clients; /* open or on their way to a worker */
    _Atomic bool full;       /* accepting is suspended until a client leaves */
    _Atomic bool paused;     /* accepting is suspended, for this or another reason */
    _Atomic uint64_t paused_since; /* microseconds */
    counter total, rejected, pauses, paused_us;
};

struct net {
    struct net_parts parts;
    struct acceptor acceptor;
    struct udp udp;
    struct taken taken; /* empty once net_start() was called */
    struct event tick;
    bool ticking;
    unsigned nworkers;
    _Atomic uint32_t idle_timeout; /* seconds; SIGHUP may change it */
    struct worker *workers;
};

/* Accepts no more and ends the workers. `leave`: their connections leave (leave.h). */
void net_end_workers(struct net *net, bool leave);

int acceptor_init(struct net *net);
/* Counts on from here. */
void acceptor_resume(struct net *net, const struct net_totals *before);
int acceptor_start(struct net *net); /* 0 or -errno */
/* Gives a worker a client that comes from another process. False: there are too many, or no
 * memory, and it is still the caller's. */
bool acceptor_take(struct net *net, struct passenger *passenger, unsigned listener);
/* Once a second: takes clients again if that was suspended and could not be resumed. */
void acceptor_tick(struct net *net);
/* Stops accepting for good. The sockets stay open until acceptor_fini(), because workers
 * may be showing them. */
void acceptor_stop(struct net *net);
void acceptor_fini(struct net *net);
/* A client has left. Any thread. */
void acceptor_client_gone(struct net *net);

#endif
