/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.h - the sockets that clients connect to.
 *
 * A plain list of open sockets; accepting is acceptor.c's. Used by one thread.
 */
#ifndef LARDER_NET_LISTENER_H
#define LARDER_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/options.h"
#include "base/service.h"
#include "net/local.h"
#include "net/parcel.h"
#include "net/tls.h"

#define LISTENERS_MAX 64

struct taken;
struct udp;

struct listener {
    int fd;
    int port;          /* 0 for a unix socket */
    int family;        /* AF_INET, AF_INET6, AF_UNIX */
    uint8_t protocol;  /* enum protocol_choice */
    uint8_t tls;       /* enum tls_demand */
    uint8_t space;     /* in net_parts.spaces */
    uint8_t denied;    /* enum right, joined by | */
    struct local_users users; /* of a unix socket: who may connect */
    char address[ADDRESS_TEXT_MAX]; /* as `stats conns` shows it */
    struct parcel_name name;
    bool any_port;     /* no port was asked for */
    bool activated;    /* the service manager's: it gives it to the next process, too */
    bool given;        /* another process has it now */
    char *unlink_path; /* socket file to remove in the end, or NULL */
    dev_t device;      /* which file that was, lest another server's be removed */
    ino_t inode;
};

struct listeners {
    /* To be set before listeners_open(): sockets of another process, and of a service
     * manager. */
    struct taken *taken;
    const int *activated;
    unsigned nactivated;

    unsigned n;
    struct listener at[LISTENERS_MAX];
};

/* Opens what the options ask for, as far as it has not been taken, or uses what the service
 * manager passed. 0, or the status to exit with; the reason was printed. */
int listeners_open(struct listeners *listeners, const struct options *options);
/* Closes them and removes socket files, but for what was given away. */
void listeners_close(struct listeners *listeners);
/* Writes the ports to the file named by MEMCACHED_PORT_FILENAME, if it is set. */
void listeners_publish(const struct listeners *listeners, const struct udp *udp);

#endif
