/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_stream.h - TLS on one socket; inside src/net only.
 *
 * Stands between a connection and its socket where plain connections have recv() and
 * sendmsg(). It never waits: what would block is said by the result, and the connection
 * arms its event and calls again. Used by the connection's thread.
 */
#ifndef LARDER_NET_TLS_STREAM_H
#define LARDER_NET_TLS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "net/sending.h"
#include "net/tls.h"

/* Zeroed memory is one that has not begun: it owns nothing until the client's first byte
 * arrives, so that silent connections cost no more than plain ones. */
struct tls_stream {
    struct ssl_st *ssl; /* OpenSSL's; NULL: not begun */
    bool ready;      /* the handshake is done */
    bool by_kernel;  /* the kernel encrypts what is sent */
    bool ended;      /* the client has said that it sends no more, or is gone */
    bool gone;       /* the socket has failed: nothing can be sent */
    bool broken;     /* so has the protocol */
    bool for_write;  /* the last call waits for the socket to take bytes */
    unsigned control; /* messages other than data, during one tls_stream_read() */
};

enum tls_result {
    TLS_DONE,
    TLS_WANTS_READ,  /* when the socket is readable */
    TLS_WANTS_WRITE, /* when it is writable */
    TLS_END,         /* the client has left */
    TLS_BROKEN,      /* `why` says what was wrong */
};

/* Goes on with the handshake on `fd`. After TLS_DONE data can be read and sent. TLS_BROKEN
 * stands for a client that is refused. */
enum tls_result tls_stream_shake(struct tls_stream *stream, struct tls *tls, int fd,
    enum tls_demand demand, char why[TLS_WHY_MAX]);

/* True if the session was resumed; after the handshake. */
bool tls_stream_resumed(const struct tls_stream *stream);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", for the log. */
void tls_stream_describe(const struct tls_stream *stream, char *to, size_t size);

/* Fills the `n` places in their order as far as there is data, *got_out bytes in all, more
 * than 0 with TLS_DONE and none otherwise. If the stream is `broken` behind them, `why` says
 * so with TLS_DONE. */
enum tls_result tls_stream_read(struct tls_stream *stream, const struct iovec *iov,
    unsigned n, size_t *got_out, char why[TLS_WHY_MAX]);

/* True if there may be something to read of which the socket will not tell. */
bool tls_stream_pending(const struct tls_stream *stream);

/* As sending_push(). `stage` has room for `size` bytes, in which small pieces are put
 * together; both must be the same in each call for a connection. */
enum sending_result tls_stream_push(struct tls_stream *stream, struct sending *sending,
    char *stage, size_t size, const struct pin_release *pins, size_t *sent_out);

/* Says goodbye, if that can be done at once, and frees what the stream owns. The socket
 * stays open. */
void tls_stream_close(struct tls_stream *stream);

#endif
