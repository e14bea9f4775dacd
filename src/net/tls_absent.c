/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_absent.c - what is left of tls.h and tls_stream.h in a server without OpenSSL.
 *
 * The options refuse -Z there, so that no listener asks for TLS and nothing here runs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/tls.h"
#include "net/tls_stream.h"

struct tls *
tls_create(const struct options *options, char why[TLS_WHY_MAX])
{
    (void)options;
    snprintf(why, TLS_WHY_MAX, "This server is not built with TLS");
    return NULL;
}

void
tls_destroy(struct tls *tls)
{
    (void)tls;
    abort();
}

bool
tls_refresh(struct tls *tls, bool always, char why[TLS_WHY_MAX])
{
    (void)tls;
    (void)always;
    (void)why;
    abort();
}

const char *
tls_file(const struct tls *tls, unsigned index)
{
    (void)tls;
    (void)index;
    abort();
}

uint32_t
tls_age(const struct tls *tls)
{
    (void)tls;
    abort();
}

enum tls_result
tls_stream_shake(struct tls_stream *stream, struct tls *tls, int fd,
    enum tls_demand demand, char why[TLS_WHY_MAX])
{
    (void)stream;
    (void)tls;
    (void)fd;
    (void)demand;
    (void)why;
    abort();
}

bool
tls_stream_resumed(const struct tls_stream *stream)
{
    (void)stream;
    abort();
}

void
tls_stream_describe(const struct tls_stream *stream, char *to, size_t size)
{
    (void)stream;
    (void)to;
    (void)size;
    abort();
}

enum tls_result
tls_stream_read(struct tls_stream *stream, const struct iovec *iov, unsigned n,
    size_t *got_out, char why[TLS_WHY_MAX])
{
    (void)stream;
    (void)iov;
    (void)n;
    (void)got_out;
    (void)why;
    abort();
}

bool
tls_stream_pending(const struct tls_stream *stream)
{
    (void)stream;
    abort();
}

enum sending_result
tls_stream_push(struct tls_stream *stream, struct sending *sending, char *stage,
    size_t size, const struct pin_release *pins, size_t *sent_out)
{
    (void)stream;
    (void)sending;
    (void)stage;
    (void)size;
    (void)pins;
    (void)sent_out;
    abort();
}

void
tls_stream_close(struct tls_stream *stream)
{
    (void)stream;
    abort();
}
