/* SPDX-License-Identifier: BSD-3-Clause */
/* endpoint.h - -o http: its socket, and what it is told of the rest of the server. */
#ifndef LARDER_MAIN_ENDPOINT_H
#define LARDER_MAIN_ENDPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/options.h"
#include "http/http.h"
#include "main/space.h"
#include "net/net.h"

/* A worker that has not come round for so many seconds makes /healthz fail; they do every
 * second. */
#define ENDPOINT_STALLED 5u

/* Descriptors that it takes at most: its connections', its socket's, its loop's. */
#define ENDPOINT_FDS 40u

/* Zeroed: there is none. */
struct endpoint {
    struct http *http;
    struct http_space spaces[OPTION_SPACES_MAX]; /* all but the default one */
    const struct net *net;
    const char *path; /* of the socket's file, to be removed in the end, or NULL */
    dev_t device;     /* which file that was, lest another server's be removed */
    ino_t inode;
};

/* Opens the socket if the options ask for one. Everything is borrowed until
 * endpoint_close(). 0, or the status to exit with; the reason was printed. */
int endpoint_open(struct endpoint *endpoint, const struct options *options,
    const struct spaces *spaces, const struct net *net)
    __attribute__((warn_unused_result));
/* Starts answering. 0 or -errno. */
int endpoint_start(struct endpoint *endpoint) __attribute__((warn_unused_result));
/* Ends it, in whatever state it is. */
void endpoint_close(struct endpoint *endpoint);

/* The file to be removed, or NULL. */
const char *endpoint_path(const struct endpoint *endpoint);

#endif
