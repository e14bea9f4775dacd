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
 * All of these are called by the base's thread; the functions that tell numbers by any.
 */
#ifndef LARDER_NET_NET_H
#define LARDER_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/options.h"
#include "base/service.h"

struct event_base;
struct journal;
struct net;
struct tls;

struct net_parts {
    const struct options *options; /* of which all but the listening part is about bounds */
    const struct clock *clock;
    const struct service *service;
    void *service_context; /* for lane_open() */
    struct event_base *base;
    struct tls *tls; /* NULL: all clients are served in plain bytes */
    struct journal *journal; /* where connections that come and go are told; or NULL */
};

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

/* Adds what the workers have counted (bytes, yields, kicks) to `sum`. */
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
#define NET_WALK 256

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
