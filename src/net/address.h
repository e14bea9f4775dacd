/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * address.h - the entries of -l, and addresses as text.
 *
 *   [notls:|btls:|mtls:][proto[NAME]:][tag[NAME]:|tag_NAME_:]ADDRESS[:PORT]
 *
 * ADDRESS is a name, an IPv4 address, an IPv6 address (in brackets if a port follows) or
 * `*` for all addresses.
 */
#ifndef LARDER_NET_ADDRESS_H
#define LARDER_NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/slice.h"
#include "net/tls.h"

#define ADDRESS_HOST_MAX 256
#define ADDRESS_WHY_MAX  512

struct address {
    char host[ADDRESS_HOST_MAX]; /* "" for all addresses */
    int port;                    /* -1: none was given */
    int protocol;                /* enum protocol_choice; -1: none was given */
    enum tls_demand tls;         /* TLS_AS_OPTIONS: nothing was said */
};

/* Reads one entry. `tls`: the server speaks it, so entries may say how. False: it cannot be
 * used, and `why` says so in a line. */
bool address_parse(struct slice entry, bool tls, struct address *address_out,
    char why[ADDRESS_WHY_MAX]);

/* Takes the next entry off a list of them, NULL once that was the last, and reads it as
 * address_parse() does. */
bool address_next(const char **list, bool tls, struct address *address_out,
    char why[ADDRESS_WHY_MAX]);

/* As `stats conns` shows it: tcp:1.2.3.4:5, tcp6:[::1]:5, unix:/path. */
void address_text(const struct sockaddr *from, socklen_t len, char *to, size_t size);

/* The address of a socket's other end, or of its own. A client that has gone already has
 * none: ?:<AF 0>. Returns the family. */
int address_of(int fd, bool peer, char *to, size_t size);

#endif
