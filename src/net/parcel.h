/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parcel.h - the bytes that go with a descriptor to another process; inside src/net only.
 *
 *   | "LNET" | version | kind | what is to be known, by kind |
 *
 * Numbers are little-endian. Names of sockets are as the kernel gives them, since both
 * processes run on one kernel. What another version has written is refused, and so is
 * everything that does not end where it should: nothing that is read here can name memory
 * beyond its bytes.
 */
#ifndef LARDER_NET_PARCEL_H
#define LARDER_NET_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum parcel_kind { PARCEL_LISTENER = 'L', PARCEL_UDP = 'U', PARCEL_CONN = 'C' };

/* A socket's own address. */
struct parcel_name {
    socklen_t len;
    struct sockaddr_storage at; /* all zero behind `len` */
};

/* Longest name of a kind that is passed on: a path that fills its room, and the zero that the
 * kernel adds. */
#define PARCEL_NAME_MAX (sizeof(struct sockaddr_un) + 1)

/* A socket that listens or takes datagrams. */
struct parcel_socket {
    bool any_port; /* no port was asked for */
    bool owned;    /* a unix socket whose file is removed in the end: this one */
    uint64_t device, inode;
};

/* A connection. */
struct parcel_conn {
    struct parcel_name listener; /* it came through the one with this name */
    uint32_t idle;    /* seconds since its last command */
    uint32_t waited;  /* seconds since a command began to arrive, and 1; 0: none has */
    uint32_t arrived; /* bytes of it */
    bool runnable;    /* `kept` is to be run without waiting for more */
    const char *state; /* the session's, SERVICE_STATE_MAX at most */
    size_t state_len;
    const char *kept; /* input that the session left, CONN_KEPT_MAX at most */
    size_t kept_len;
};

/* Bytes that parcel_put_socket() and parcel_put_conn() may write. */
#define PARCEL_SOCKET_ROOM 32u
#define PARCEL_CONN_ROOM(conn)                                                            \
    (32u + PARCEL_NAME_MAX + (conn)->state_len + (conn)->kept_len)

/* They return how many they wrote. */
size_t parcel_put_socket(
    char *to, enum parcel_kind kind, const struct parcel_socket *socket);
size_t parcel_put_conn(char *to, const struct parcel_conn *conn);

/* False: the bytes are none of ours. */
bool parcel_get_kind(const char *bytes, size_t len, enum parcel_kind *kind_out);
bool parcel_get_socket(const char *bytes, size_t len, struct parcel_socket *socket_out);
/* `state` and `kept` point into the bytes. */
bool parcel_get_conn(const char *bytes, size_t len, struct parcel_conn *conn_out);

/* The name that is this address. */
struct parcel_name parcel_name_from(const struct sockaddr *at, socklen_t len);
/* The name of a socket. False: it has none that is passed on. */
bool parcel_name_of(int fd, struct parcel_name *name_out);
/* Do two names say the same? */
bool parcel_name_equal(const struct parcel_name *a, const struct parcel_name *b);
/* Would the kernel refuse to bind one beside the other? False if they are equal. */
bool parcel_name_clash(const struct parcel_name *a, const struct parcel_name *b);
/* The port, 0: it has none. */
uint16_t parcel_name_port(const struct parcel_name *name);
void parcel_name_set_port(struct parcel_name *name, uint16_t port);

#endif
