/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls.h - TLS for a link. Without OpenSSL at build time tls_open() says so.
 *
 * Reading and writing behave like recv() and send() on a socket that does not block: -1
 * with EAGAIN, and *events says what to poll for, which may be the other direction.
 */
#ifndef LARDER_CTL_TLS_H
#define LARDER_CTL_TLS_H

#include <sys/types.h>

#include "ctl/link.h"

struct tls;

/* True in a build with TLS. */
bool tls_there(void);

/* For a connected socket. NULL: `why` (CTL_WHY_MAX bytes) says why not. `host` is what
 * the certificate must be for unless the options name something else. */
struct tls *tls_open(int fd, const struct link_tls *options, const char *host, char *why);
/* Says goodbye if it can be said at once; does not close the socket. */
void tls_close(struct tls *tls);

/* One step of the handshake: 1 done, 0 poll for *events, -1 failed and `why` says why. */
int tls_shake(struct tls *tls, short *events, char *why);

ssize_t tls_read(struct tls *tls, char *to, size_t len, short *events);
ssize_t tls_write(struct tls *tls, const char *from, size_t len, short *events);

#endif
