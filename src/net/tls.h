/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls.h - the certificates and rules by which clients are served over TLS (-Z).
 *
 * One for the server. What is in force can be replaced while it serves: connections keep
 * what they began with, new ones get the new. Any thread may call tls_refresh() and
 * tls_age(). A server built without OpenSSL has tls_absent.c in place of tls.c and
 * tls_stream.c.
 */
#ifndef LARDER_NET_TLS_H
#define LARDER_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"

#define TLS_WHY_MAX 512

struct tls;

/* What a listener asks of those who come through it. */
enum tls_demand {
    TLS_NEVER,       /* notls, and all unix sockets: plain bytes */
    TLS_AS_OPTIONS,  /* client certificates by -o ssl_verify_mode */
    TLS_WITHOUT_CERTIFICATE, /* btls */
    TLS_WITH_CERTIFICATE,    /* mtls */
};

/*
 * Reads certificates and key as the options say; they may belong to a user that the server
 * is about to leave. NULL: they can't be used, and `why` says so in one line without a
 * newline. Of `options` nothing is kept.
 */
struct tls *tls_create(const struct options *options, char why[TLS_WHY_MAX]);
/* No connection may be left. */
void tls_destroy(struct tls *tls);

/*
 * Reads them again, for connections to come. False: they can't be used, `why` says so, and
 * those that were in force stay. Files that have not changed since they were read are not
 * read again unless `always`, so that a client who repeats the command costs next to
 * nothing. Sessions that could be resumed before a change can't be after it: what a client
 * was admitted by may be gone.
 */
bool tls_refresh(struct tls *tls, bool always, char why[TLS_WHY_MAX]);

/* The files that tls_refresh() reads, by absolute paths, for `index` below TLS_FILES_MAX;
 * NULL: none. Borrowed. */
const char *tls_file(const struct tls *tls, unsigned index);
#define TLS_FILES_MAX 3u

/* Seconds since what is in force was read, or found unchanged by tls_refresh(). */
uint32_t tls_age(const struct tls *tls);

#endif
