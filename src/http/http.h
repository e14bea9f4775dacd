/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * http.h - figures for people and for Prometheus, over HTTP (-o http).
 *
 *   /             a page that shows what goes on
 *   /metrics      for Prometheus
 *   /stats.json   all figures
 *   /healthz      200 while every worker comes round, else 503
 *
 * It has a thread and an event loop of its own and only reads, so no worker is disturbed,
 * and nobody can change anything through it. Everything that a stranger could make grow
 * has a bound: connections, headers, bodies, time.
 *
 * All functions are called by one thread, the main one.
 */
#ifndef LARDER_HTTP_HTTP_H
#define LARDER_HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/admin.h"

#define HTTP_CONNECTIONS_MAX 32u
#define HTTP_HEADERS_MAX     8192u /* bytes of a request's line and headers */
#define HTTP_BODY_MAX        1024u /* which is read only to be refused */
/* Seconds in which a connection must bring a request to its end, or the next one. */
#define HTTP_PATIENCE 20u

struct http;

/* A namespace besides the default one. */
struct http_space {
    const char *name;
    struct admin *admin;
};

struct http_parts {
    struct admin *admin; /* of the default namespace */
    const struct http_space *spaces; /* the others; borrowed, as all of this */
    unsigned nspaces;
    int fd;            /* a listening socket, not blocking; taken, also on failure */
    bool local;        /* a unix socket: no browser comes that way, any Host will do */
    const char *names; /* names that are ours, joined by commas, or NULL; see host.h */
    void *context;
    /* How many workers have not come round for some seconds. Called by http's thread. */
    unsigned (*stalled)(void *context);
};

/* Prepares it; what `parts` points to is borrowed until http_stop(). NULL with errno. */
struct http *http_create(const struct http_parts *parts);
/* Starts its thread. 0 or -errno. */
int http_start(struct http *http) __attribute__((warn_unused_result));
/* Ends the thread, if it runs, and frees everything. NULL is allowed. */
void http_stop(struct http *http);

/*
 * Opens the socket that `where` names: "[address:]port" (the address is 127.0.0.1 if none
 * is given, in brackets if it is IPv6), or "unix:path", with the permissions `mask`. Sets
 * *local_out for the latter. Returns a descriptor, or -1 after a line on stderr.
 */
int http_listen(const char *where, unsigned mask, bool *local_out);

#endif
