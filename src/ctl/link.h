/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - one connection to a server, over TCP, a unix socket or TLS.
 *
 *   in   [ taken | lines and values not yet taken | room ]      64 KiB
 *   out  [ not yet sent | room ]                                64 KiB
 *
 * The socket never blocks: while bytes wait to be sent, whatever arrives is read, so two
 * ends that both have much to say cannot lock each other out as long as the replies that
 * are outstanding fit into LINK_BYTES. Memory is bounded whatever the server sends.
 *
 * Time: every wait ends at a deadline. link_step() sets it anew, and is called before
 * each step that may take its time; a server that sends a byte now and then does not
 * extend it. Once a call has failed link_why() says why and all others fail too.
 * For one thread.
 */
#ifndef LARDER_CTL_LINK_H
#define LARDER_CTL_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "ctl/server.h"

/* Bytes of each buffer, and the longest line that is read. */
#define LINK_BYTES (64u * 1024)

struct link_tls {
    bool wanted;
    bool insecure;       /* do not look at the server's certificate */
    const char *ca;      /* file of certificates to trust; NULL: the system's */
    const char *cert;    /* to show; NULL: none */
    const char *key;     /* NULL: in the file of cert */
    const char *name;    /* to look for in the certificate; NULL: the host */
};

struct link_options {
    int timeout_ms;      /* for a connection and for each step */
    struct link_tls tls; /* not for unix sockets */
    /* Somebody else to listen to while waiting: when `wake_fd` (-1: nobody) is readable
     * `wake` is called; true ends the wait and fails the link. */
    int wake_fd;
    bool (*wake)(void *context);
    void *wake_context;
};

struct link;

/* Connects. NULL: `why` (CTL_WHY_MAX bytes) says why not. `options` and what it points to
 * must outlive the link. */
struct link *link_open(const struct server *server, const struct link_options *options,
    char *why);
void link_close(struct link *link);

/* Why a call failed; "" when none has. Part of it may be the server's words. */
const char *link_why(const struct link *link);

/* The next step begins: it has timeout_ms. */
void link_step(struct link *link);
/* From now on there is no hurry, until the next link_step(). */
void link_patience(struct link *link);

/* Takes bytes to be sent; sends when the buffer is full. */
bool link_put(struct link *link, const void *data, size_t len)
    __attribute__((warn_unused_result));
bool link_put_text(struct link *link, const char *text)
    __attribute__((warn_unused_result));
bool link_flush(struct link *link) __attribute__((warn_unused_result));

/* The next line without its LF or CR LF. It lives until the next call. */
bool link_line(struct link *link, struct slice *line_out)
    __attribute__((warn_unused_result));
/* Is a whole line here, so that link_line() would not wait? */
bool link_has_line(const struct link *link);
/* The next 1 to `max` bytes. They live until the next call. */
bool link_bytes(struct link *link, size_t max, struct slice *bytes_out)
    __attribute__((warn_unused_result));

#endif
