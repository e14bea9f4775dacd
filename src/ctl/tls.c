/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/tls.h"

#include <stdio.h>

#include "config.h"
#include "ctl/ctl.h"

#ifdef HAVE_TLS

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>

struct tls {
    SSL_CTX *context;
    SSL *ssl;
};

bool
tls_there(void)
{
    return true;
}

static void
explain(char *why, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    snprintf(why, CTL_WHY_MAX, "%s: %s", what, reason != NULL ? reason : "unknown reason");
    ERR_clear_error();
}

static bool
load(SSL_CTX *context, const struct link_tls *options, char *why)
{
    const char *key = options->key != NULL ? options->key : options->cert;

    if (options->ca != NULL) {
        if (SSL_CTX_load_verify_locations(context, options->ca, NULL) != 1) {
            explain(why, options->ca);
            return false;
        }
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
        explain(why, "the system's certificates");
        return false;
    }
    if (options->cert == NULL)
        return true;
    if (SSL_CTX_use_certificate_chain_file(context, options->cert) != 1) {
        explain(why, options->cert);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        explain(why, key);
        return false;
    }
    return true;
}

/* An address is looked for among the certificate's addresses, and is not sent as the name
 * of the server, which must be one (RFC 6066). */
static bool
expect_name(SSL *ssl, const char *name, bool verify)
{
    unsigned char address[16];
    bool is_address = inet_pton(AF_INET, name, address) == 1 ||
        inet_pton(AF_INET6, name, address) == 1;

    if (!is_address && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (!verify)
        return true;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    return SSL_set1_host(ssl, name) == 1;
}

struct tls *
tls_open(int fd, const struct link_tls *options, const char *host, char *why)
{
    struct tls *tls = calloc(1, sizeof *tls);
    const char *name = options->name != NULL ? options->name : host;

    if (tls == NULL) {
        snprintf(why, CTL_WHY_MAX, "out of memory");
        return NULL;
    }
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->context == NULL) {
        explain(why, "TLS");
        goto failed;
    }
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    SSL_CTX_set_mode(tls->context,
        SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    /* memcached just closes. Nothing here takes an early end for a whole answer. */
    SSL_CTX_set_options(tls->context, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    SSL_CTX_set_verify(tls->context,
        options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!load(tls->context, options, why))
        goto failed;
    tls->ssl = SSL_new(tls->context);
    if (tls->ssl == NULL || SSL_set_fd(tls->ssl, fd) != 1 ||
        !expect_name(tls->ssl, name, !options->insecure)) {
        explain(why, "TLS");
        goto failed;
    }
    return tls;

failed:
    tls_close(tls);
    return NULL;
}

void
tls_close(struct tls *tls)
{
    if (tls->ssl != NULL && SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    ERR_clear_error();
    free(tls);
}

/* What a call that returned `result` waits for: 0 when it waits for nothing. */
static short
waits_for(struct tls *tls, int result)
{
    int error = SSL_get_error(tls->ssl, result);

    return (short)(error == SSL_ERROR_WANT_READ ? POLLIN
            : error == SSL_ERROR_WANT_WRITE     ? POLLOUT
                                                : 0);
}

int
tls_shake(struct tls *tls, short *events, char *why)
{
    long verified;

    ERR_clear_error();
    errno = 0;
    int result = SSL_connect(tls->ssl);
    if (result == 1)
        return 1;
    *events = waits_for(tls, result);
    if (*events != 0)
        return 0;
    verified = SSL_get_verify_result(tls->ssl);
    if (verified != X509_V_OK)
        snprintf(why, CTL_WHY_MAX, "the server's certificate: %s",
            X509_verify_cert_error_string(verified));
    else if (ERR_peek_error() == 0)
        snprintf(why, CTL_WHY_MAX, "the server broke off the TLS handshake");
    else
        explain(why, "TLS handshake");
    return -1;
}

/* As recv() and send() say it. */
static ssize_t
outcome(struct tls *tls, int result, short *events)
{
    int error;

    if (result > 0)
        return result;
    *events = waits_for(tls, result);
    if (*events != 0) {
        errno = EAGAIN;
        return -1;
    }
    error = SSL_get_error(tls->ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error != SSL_ERROR_SYSCALL || errno == 0)
        errno = EPROTO;
    return -1;
}

ssize_t
tls_read(struct tls *tls, char *to, size_t len, short *events)
{
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_read(tls->ssl, to, len > INT_MAX ? INT_MAX : (int)len), events);
}

ssize_t
tls_write(struct tls *tls, const char *from, size_t len, short *events)
{
    ERR_clear_error();
    errno = 0;
    return outcome(tls, SSL_write(tls->ssl, from, len > INT_MAX ? INT_MAX : (int)len),
        events);
}

#else

#include <errno.h>

bool
tls_there(void)
{
    return false;
}

struct tls *
tls_open(int fd, const struct link_tls *options, const char *host, char *why)
{
    (void)fd;
    (void)options;
    (void)host;
    snprintf(why, CTL_WHY_MAX, "built without TLS");
    return NULL;
}

void
tls_close(struct tls *tls)
{
    (void)tls;
}

int
tls_shake(struct tls *tls, short *events, char *why)
{
    (void)tls;
    (void)events;
    (void)why;
    return -1;
}

ssize_t
tls_read(struct tls *tls, char *to, size_t len, short *events)
{
    (void)tls;
    (void)to;
    (void)len;
    (void)events;
    errno = EPROTO;
    return -1;
}

ssize_t
tls_write(struct tls *tls, const char *from, size_t len, short *events)
{
    (void)tls;
    (void)from;
    (void)len;
    (void)events;
    errno = EPROTO;
    return -1;
}

#endif
