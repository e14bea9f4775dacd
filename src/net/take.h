/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * take.h - what another process has given and nobody has taken up yet; inside src/net only.
 *
 * Used by the thread of net_create(); a passenger passes to its worker.
 */
#ifndef LARDER_NET_TAKE_H
#define LARDER_NET_TAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/parcel.h"

struct net;

/* A socket that listens or takes datagrams. */
struct taken_socket {
    int fd; /* -1: it has been taken up, or closed */
    int type; /* SOCK_STREAM, SOCK_DGRAM */
    struct parcel_name name;
    struct parcel_socket about;
};

/* A client's connection on its way to a worker. */
struct passenger {
    struct passenger *next;
    int fd;
    struct parcel_conn about; /* its `state` and `kept` are in `bytes` */
    char bytes[];
};

struct taken {
    unsigned nsockets, size;
    struct taken_socket *sockets;
    struct passenger *passengers;
};

/* The socket with this name, whose descriptor is the caller's from now on; -1: none. */
int taken_claim(struct taken *taken, int type, const struct parcel_name *name,
    struct parcel_socket *about_out);
/* The port of a socket with this host that was asked for without a port; 0: none. */
uint16_t taken_port(
    const struct taken *taken, int type, const struct parcel_name *name);
/* Closes sockets that would keep one with this name from being bound. */
void taken_make_way(struct taken *taken, int type, const struct parcel_name *name);
/* Closes sockets that nobody has claimed. */
void taken_close_sockets(struct taken *taken);
/* Gives the connections to the workers, which run. */
void taken_board(struct net *net);
/* Closes all that is left. */
void taken_close(struct taken *taken);

#endif
