/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net.h - connections: bytes between sockets and a struct service.
 *
 * One thread, that of `base`, accepts and hands connections to the workers in turn. Each
 * worker has an event loop of its own and keeps its connections until they end. `net`
 * knows nothing of commands.
 *
 *   net_create -> net_listen -> net_start -> (run the base's loop) -> net_stop -> net_destroy
 *
 * With net_leave() in place of net_stop() clients go on in another process, which has called
 * net_take() before net_listen().
 *
 * All of these are called by the base's thread; the functions that tell numbers by any.
 */
#ifndef LARDER_NET_NET_H
#define LARDER_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/options.h"
#include "base/service.h"

struct event_base;
struct journal;
struct net;
struct tls;

/* What net_figures() shows that is counted since the start. */
struct net_totals {
    uint64_t total, rejected;
    uint64_t pauses, paused_us; /* listen_disabled and listen_disabled_us */
};

/* One of the things that the service can be about. A listener belongs to one of them, and so
 * do its connections; a worker has a lane for each. */
struct net_space {
    void *context;           /* for lane_open() */
    struct journal *journal; /* where connections that come and go are told; or NULL */
};
#define NET_SPACES_MAX OPTION_SPACES_MAX

struct net_parts {
    const struct options *options; /* of which all but the listening part is about bounds */
    const struct clock *clock;
    const struct service *service;
    const struct net_space *spaces; /* whom clients may be served for */
    unsigned nspaces;               /* 1 to NET_SPACES_MAX */
    struct event_base *base;
    struct tls *tls; /* NULL: all clients are served in plain bytes */
    /* Listening sockets that a service manager has passed. */
    const int *activated;
    unsigned nactivated;
    /* What processes before this one have counted; NULL: nothing. */
    const struct net_totals *totals_before;
    const struct counts *counts_before;
};

/* What can be told of listeners before any is opened: false, after a line on stderr, if one
 * names users or a group that there are not. */
bool net_check(const struct options *options);

/* Everything in `parts` is borrowed until net_destroy(). NULL with errno set. */
struct net *net_create(const struct net_parts *parts);
void net_destroy(struct net *net);

/*
 * Opens the listening sockets that the options ask for, or takes those that a service
 * manager passed (LISTEN_FDS), and writes the file named by MEMCACHED_PORT_FILENAME.
 * 0, or the status to exit with; the reason was printed to stderr.
 */
int net_listen(struct net *net) __attribute__((warn_unused_result));

/* Starts the workers and accepts clients. 0 or -errno. */
int net_start(struct net *net) __attribute__((warn_unused_result));

/* Accepts no more, has replies sent that are ready (for at most NET_STOP_MS), closes all
 * connections and ends the workers. */
void net_stop(struct net *net);
#define NET_STOP_MS 600u

/*
 * A parcel: a descriptor, and the bytes that another process needs to go on with it, which
 * mean nothing to anybody but net. The function owns `fd` from then on; the bytes, at most
 * NET_PARCEL_MAX, are lent for the call.
 */
typedef void (*net_parcel_fn)(void *context, int fd, const void *bytes, size_t len);
#define NET_PARCEL_MAX (48u * 1024u)

/*
 * In place of net_stop(): accepts no more, lets commands that have begun end (for at most
 * NET_LEAVE_MS) and then gives away what can go on elsewhere: listening sockets that no
 * service manager passed, sockets for UDP, connections that stand between two commands or
 * in a part of one that has arrived. All others are closed as by net_stop(): those who speak
 * TLS or watch at once, those who are in the middle of something in the end. The workers
 * have ended when `fn` is called, by this thread.
 */
void net_leave(struct net *net, net_parcel_fn fn, void *context);
#define NET_LEAVE_MS 1000u

/*
 * Before net_listen(): a parcel of another process. Takes `fd` in any case. net_listen() uses
 * sockets whose address is asked for and closes others; net_start() goes on with the
 * connections of listeners that there are. False: it was not understood, and `fd` is closed.
 * The bytes may be anybody's.
 */
bool net_take(struct net *net, int fd, const void *bytes, size_t len);

struct net_figures {
    uint64_t current;            /* client connections open now */
    uint64_t total;              /* ever accepted and served */
    uint64_t rejected;           /* told that there are too many */
    uint64_t listen_disabled;    /* times accepting was suspended */
    uint64_t listen_disabled_us; /* for how long in all, microseconds */
    uint64_t reserved_fds;       /* descriptors for the server's own use, about */
    uint64_t kept_count;         /* connections with part of a command */
    uint64_t kept_bytes;         /* memory for those parts */
    uint64_t backlog_count;      /* connections with replies that are not sent yet */
    uint64_t backlog_bytes;      /* memory for those replies, values apart */
    uint64_t buffer_count;       /* the workers' own buffers ... */
    uint64_t buffer_bytes;       /* ... and their size */
    bool accepting;
};
void net_figures(struct net *net, struct net_figures *figures_out);

/* Adds what the workers have counted (bytes, yields, kicks), and counts_before, to `sum`. */
void net_counts(struct net *net, struct counts *sum);

struct net_conn {
    int fd;
    const char *address;        /* borrowed for the call */
    const char *listen_address; /* NULL for what listens, which has no state either unless
                                 * it takes datagrams */
    bool datagram;              /* a socket for UDP */
    enum conn_state state;
    uint32_t idle;              /* seconds since the last command */
};
typedef void (*net_conn_fn)(void *context, const struct net_conn *conn);

/* Shows the listeners and connections with the NET_WALK lowest descriptors from `fd_min`
 * on, in any order. `fn` must not call anything of net. */
void net_each_conn(struct net *net, int fd_min, net_conn_fn fn, void *context);
#define NET_WALK 32

/* Changes -o idle_timeout, seconds, 0: off; heard at the next tick. Any thread. */
void net_set_idle_timeout(struct net *net, uint32_t seconds);

/* Has every worker ticked since this last said so? They do once a second. By the base's
 * thread. */
bool net_all_ticked(struct net *net);

/* How many workers have not ticked for more than `seconds`. Any thread. */
unsigned net_stalled(const struct net *net, uint32_t seconds);

/* The TCP port in use: that of the first listener which has one, else 0. */
int net_port(const struct net *net);

#endif
