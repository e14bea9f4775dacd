/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server.h - where a server is: HOST, HOST:PORT, [IPV6]:PORT or unix:/PATH.
 *
 * HOST is a name, an IPv4 address or an IPv6 address; one with more than one colon needs
 * brackets only if a port follows. A path that begins with / or ./ needs no "unix:".
 */
#ifndef LARDER_CTL_SERVER_H
#define LARDER_CTL_SERVER_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/slice.h"

#define SERVER_HOST_MAX 256
#define SERVER_DEFAULT  "127.0.0.1:11211"

struct server {
    char host[SERVER_HOST_MAX]; /* "" for a unix socket */
    char port[6];               /* digits */
    char path[sizeof ((struct sockaddr_un *)0)->sun_path]; /* "" for TCP */
    char text[SERVER_HOST_MAX + 16]; /* as it is shown: with the port, IPv6 in brackets */
};

/* False: that is no address, and `why` says so. */
bool server_parse(struct slice text, struct server *server_out, const char **why);

#endif
