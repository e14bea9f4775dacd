/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_stream.c - one client's bytes through OpenSSL, straight on the socket.
 *
 * Reading decrypts to where the bytes are wanted, the inside of an item if that is where a
 * value goes. Sending encrypts from where they lie when a whole record lies in one piece;
 * small pieces are put together first. OpenSSL demands that what it could not send is
 * offered again with the same bytes: next_piece() cuts by nothing but what is left to send,
 * so the backlog offers what the outbox did.
 *
 * Where the kernel encrypts what is sent (-o ssl_kernel_tls), data goes to the socket past
 * OpenSSL, as it would without TLS. Through it, OpenSSL would remember the address of what
 * the socket did not take and send from there later, when the reply to another client may
 * lie there (its issue 21202): what says that buffers may move does not reach that far.
 *
 * A client may send messages that are no data (key updates, alerts). Each costs work and
 * some an answer, so CONTROL_MAX of them in one read end the connection.
 */
#include "net/tls_stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "net/tls_inside.h"

#define CONTROL_MAX 32u

/* Called for each message of the protocol itself. */
static void
count_control(int write, int version, int type, const void *data, size_t len, SSL *ssl,
    void *context)
{
    struct tls_stream *stream = context;

    (void)write;
    (void)version;
    (void)data;
    (void)len;
    (void)ssl;
    if (type == SSL3_RT_HANDSHAKE || type == SSL3_RT_ALERT)
        stream->control++;
}

/* What a call that returned `rc`, no success, has left. */
static enum tls_result
failure(struct tls_stream *stream, int rc, char why[TLS_WHY_MAX])
{
    int error = errno;

    *why = '\0';
    switch (SSL_get_error(stream->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        stream->ended = true;
        return TLS_END;
    case SSL_ERROR_SYSCALL: /* reset, for one */
        stream->ended = stream->gone = true;
        snprintf(why, TLS_WHY_MAX, "%s", error == 0 ? "the client left" : strerror(error));
        ERR_clear_error();
        return TLS_END;
    default:
        stream->ended = stream->broken = true;
        tls_complaint(why);
        return TLS_BROKEN;
    }
}

/* ---- The handshake -------------------------------------------------------------------- */

static bool
begin(struct tls_stream *stream, struct tls *tls, int fd, enum tls_demand demand)
{
    assert(demand != TLS_NEVER);
    stream->ssl = tls_new(tls, demand);
    if (stream->ssl == NULL)
        return false;
    SSL_set_accept_state(stream->ssl);
    return SSL_set_fd(stream->ssl, fd) == 1;
}

static bool
sends_by_kernel(const struct tls_stream *stream)
{
#ifdef BIO_get_ktls_send
    return BIO_get_ktls_send(SSL_get_wbio(stream->ssl)) == 1;
#else
    (void)stream;
    return false;
#endif
}

enum tls_result
tls_stream_shake(struct tls_stream *stream, struct tls *tls, int fd,
    enum tls_demand demand, char why[TLS_WHY_MAX])
{
    if (stream->ssl == NULL && !begin(stream, tls, fd, demand)) {
        snprintf(why, TLS_WHY_MAX, "out of memory");
        ERR_clear_error();
        stream->broken = true;
        return TLS_BROKEN;
    }
    errno = 0;
    int rc = SSL_do_handshake(stream->ssl);
    enum tls_result result = rc == 1 ? TLS_DONE : failure(stream, rc, why);
    stream->for_write = result == TLS_WANTS_WRITE;
    if (result == TLS_END && BIO_number_read(SSL_get_rbio(stream->ssl)) > 0)
        result = TLS_BROKEN; /* it has begun, and then left */
    if (result != TLS_DONE)
        return result;
    stream->ready = true;
    stream->by_kernel = sends_by_kernel(stream);
    SSL_set_msg_callback(stream->ssl, count_control);
    SSL_set_msg_callback_arg(stream->ssl, stream);
    return TLS_DONE;
}

bool
tls_stream_resumed(const struct tls_stream *stream)
{
    return SSL_session_reused(stream->ssl) == 1;
}

void
tls_stream_describe(const struct tls_stream *stream, char *to, size_t size)
{
    snprintf(to, size, "%s %s%s%s", SSL_get_version(stream->ssl),
        SSL_get_cipher_name(stream->ssl), tls_stream_resumed(stream) ? ", resumed" : "",
        stream->by_kernel ? ", by the kernel" : "");
}

/* ---- Reading ------------------------------------------------------------------------- */

enum tls_result
tls_stream_read(struct tls_stream *stream, const struct iovec *iov, unsigned n,
    size_t *got_out, char why[TLS_WHY_MAX])
{
    size_t got = 0;

    *got_out = 0;
    *why = '\0';
    if (stream->broken) /* as the call before has said */
        return TLS_END;
    stream->control = 0;
    for (unsigned i = 0; i < n; i++) {
        char *at = iov[i].iov_base;
        size_t left = iov[i].iov_len, part;
        while (left > 0) {
            if (got > 0 && SSL_has_pending(stream->ssl) == 0)
                goto done;
            errno = 0;
            int rc = SSL_read_ex(stream->ssl, at, left, &part);
            if (stream->control > CONTROL_MAX) {
                stream->ended = stream->broken = true;
                snprintf(why, TLS_WHY_MAX, "too many messages without data");
                ERR_clear_error();
                return TLS_BROKEN;
            }
            if (rc != 1) {
                enum tls_result result = failure(stream, rc, why);
                if (got > 0)
                    goto done; /* the next call finds it again, or the stream is broken */
                stream->for_write = result == TLS_WANTS_WRITE;
                return result;
            }
            at += part;
            left -= part;
            got += part;
        }
    }
done:
    stream->for_write = false;
    *got_out = got;
    return TLS_DONE;
}

bool
tls_stream_pending(const struct tls_stream *stream)
{
    return stream->ended || (stream->ready && SSL_has_pending(stream->ssl) == 1);
}

/* ---- Sending ------------------------------------------------------------------------- */

enum sending_result
tls_stream_push(struct tls_stream *stream, struct sending *sending, char *stage,
    size_t size, const struct pin_release *pins, size_t *sent_out)
{
    char why[TLS_WHY_MAX];
    const char *piece;
    size_t len, part;

    *sent_out = 0;
    if (stream->broken || stream->gone)
        return SENDING_BROKEN;
    if (stream->by_kernel)
        return sending_push(sending, SSL_get_wfd(stream->ssl), pins, sent_out);
    while ((len = sending_piece(sending, stage, size, &piece)) > 0) {
        for (size_t at = 0; at < len; at += part) {
            errno = 0;
            int rc = SSL_write_ex(stream->ssl, piece + at, len - at, &part);
            if (rc != 1)
                return failure(stream, rc, why) == TLS_WANTS_WRITE ? SENDING_STUCK
                                                                   : SENDING_BROKEN;
            *sent_out += part;
            sending_advance(sending, part, pins);
        }
    }
    return SENDING_DONE;
}

void
tls_stream_close(struct tls_stream *stream)
{
    if (stream->ssl == NULL)
        return;
    if (stream->ready && !stream->broken && !stream->gone &&
        SSL_shutdown(stream->ssl) < 0)
        ERR_clear_error();
    SSL_free(stream->ssl);
    ERR_clear_error();
    *stream = (struct tls_stream){ .ssl = NULL };
}
