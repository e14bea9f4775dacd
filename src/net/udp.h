/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * udp.h - requests of one datagram each, and their answers; inside src/net only.
 *
 * Nothing is kept between two datagrams: each gets a session of its own, which ends with
 * it. Every worker has sockets of its own for an address.
 *
 *   udp_open -> udp_start -> (workers run) -> udp_stop, after the workers -> udp_close
 *
 * These are called by the thread of net_create(); udp_each() by any.
 */
#ifndef LARDER_NET_UDP_H
#define LARDER_NET_UDP_H

#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/options.h"
#include "base/service.h"
#include "net/net.h"

struct taken;
struct worker;

struct udp_socket {
    struct event event;
    struct worker *worker; /* NULL before udp_start() */
    int fd;
    int port;
    bool any_port;         /* no port was asked for */
    bool given;            /* another process has it now */
    uint8_t space; /* in worker->spaces */
    uint32_t overhead; /* FRAME_OVERHEAD_... */
    struct peer peer;  /* of all its datagrams */
    char address[ADDRESS_TEXT_MAX];
    _Atomic uint32_t last_request; /* second */
};

struct udp {
    unsigned n, size;
    struct udp_socket *at; /* `size` of them, the first `n` are open */
    struct taken *taken;   /* what another process had; to be set before udp_open() */
};

/* Opens what -U asks for at the addresses of -l, as far as it has not been taken. 0, or the
 * status to exit with; the reason was printed. */
int udp_open(struct udp *udp, const struct options *options);
void udp_close(struct udp *udp);
/* The lines of MEMCACHED_PORT_FILENAME. */
void udp_publish(const struct udp *udp, FILE *file);

/* Gives the sockets to the workers, whose threads do not run yet. False: out of memory. */
bool udp_start(struct udp *udp, struct worker *workers, unsigned nworkers, uint32_t now);
/* Takes them back; the threads have ended. */
void udp_stop(struct udp *udp);

/* Shows the sockets with descriptors from `fd_min` to `fd_max`. */
void udp_each(const struct udp *udp, int fd_min, int fd_max, uint32_t now, net_conn_fn fn,
    void *context);

/* For udp.c, called by libevent: the sockets of a worker have datagrams. */
void udp_ready(int fd, short what, void *context);

#endif
