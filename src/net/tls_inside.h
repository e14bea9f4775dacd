/* SPDX-License-Identifier: BSD-3-Clause */
/* tls_inside.h - what tls.c and tls_stream.c share; nobody else sees OpenSSL. */
#ifndef LARDER_NET_TLS_INSIDE_H
#define LARDER_NET_TLS_INSIDE_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* A new SSL with the rules in force, verifying as `demand` says. NULL: out of memory. */
SSL *tls_new(struct tls *tls, enum tls_demand demand);

/* Appends what OpenSSL complained of first, as a few words, to `why`, and empties its
 * queue. Its queue is the thread's and must be empty before each call that can fail. */
void tls_complaint(char why[TLS_WHY_MAX]);

#endif
