/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls.c - certificates, keys and rules, and replacing them while serving.
 *
 *   options --> SSL_CTX in force --(tls_new)--> each connection's SSL
 *                   ^ replaced as a whole, by a new one that has loaded completely
 *
 * A new context is made for each reload, never the old one changed: connections hold a
 * reference to theirs. A context has its own ticket keys and session cache, so a reload
 * ends the resumption of what came before; and each kind of listener has a session context
 * of its own, so that a session begun where no certificate is asked for opens no door that
 * asks for one.
 *
 * Renegotiation and compression are off. Buffers of connections with nothing to read or
 * send are given back (SSL_MODE_RELEASE_BUFFERS), which saves 34 KiB a connection. The
 * socket is read ahead of the record, which makes one system call of two.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/tls_inside.h"

/* Sessions that ssl_session_cache remembers; about 1 KiB each. */
#define SESSIONS_MAX 8192
/* Tickets for a TLS 1.3 client: it needs one to come back, and gets another then. */
#define TICKETS 1

enum { FILE_CHAIN, FILE_KEY, FILE_CA, FILES };
_Static_assert(FILES == TLS_FILES_MAX, "all of them are told");

/* How a file looked when it was read. All zero: there was none. */
struct look {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct tls {
    char *paths[FILES]; /* absolute, because -d changes the directory; NULL: not given */
    char *ciphers;      /* NULL: OpenSSL's */
    int key_format;     /* as OpenSSL numbers them */
    int verify;         /* SSL_VERIFY_... bits */
    int version_min;
    bool session_cache, kernel;

    pthread_mutex_t refreshing; /* one reload at a time; guards looks */
    struct look looks[FILES];
    pthread_mutex_t mutex; /* guards context; taken inside `refreshing` */
    SSL_CTX *context;
    _Atomic uint64_t loaded_us; /* clock_micros() */
};

void
tls_complaint(char why[TLS_WHY_MAX])
{
    unsigned long code = ERR_get_error();
    size_t len = strlen(why);
    const char *reason = NULL;

    if (code != 0)
        reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                        : ERR_reason_error_string(code);
    if (reason != NULL)
        snprintf(why + len, TLS_WHY_MAX - len, "%s%s", len > 0 ? ": " : "", reason);
    ERR_clear_error();
}

static bool __attribute__((format(printf, 2, 3)))
refuse(char why[TLS_WHY_MAX], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, TLS_WHY_MAX, format, arguments);
    va_end(arguments);
    tls_complaint(why);
    return false;
}

/* ---- A context ---------------------------------------------------------------------- */

/* Instead of OpenSSL's own, which asks whoever sits at the terminal, and waits. */
static int
no_passphrase(char *to, int size, int writing, void *context)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static bool
load_files(const struct tls *tls, SSL_CTX *context, char why[TLS_WHY_MAX])
{
    const char *chain = tls->paths[FILE_CHAIN], *key = tls->paths[FILE_KEY];
    const char *ca = tls->paths[FILE_CA];

    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1)
        return refuse(why, "Error loading the certificate chain: %s", chain);
    if (SSL_CTX_use_PrivateKey_file(context, key, tls->key_format) != 1)
        return refuse(why, "Error loading the key: %s", key);
    if (SSL_CTX_check_private_key(context) != 1)
        return refuse(why, "Error validating the certificate: %s", chain);
    if (ca == NULL)
        return true;
    if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
        return refuse(why, "Error loading the CA certificate: %s", ca);
    /* Clients are told whose certificates are taken, lest they send another. */
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
    if (names == NULL)
        return refuse(why, "Error loading the CA certificate: %s", ca);
    SSL_CTX_set_client_CA_list(context, names);
    return true;
}

static void
set_rules(const struct tls *tls, SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
            SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
            SSL_OP_IGNORE_UNEXPECTED_EOF);
#ifdef SSL_OP_ENABLE_KTLS
    if (tls->kernel)
        SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
#endif
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    /* A call ends after what one read from the socket brought, also if that was no data:
     * else a client could keep a worker inside one call. */
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_verify(context, tls->verify, NULL);
    SSL_CTX_set_session_cache_mode(
        context, tls->session_cache ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
    SSL_CTX_sess_set_cache_size(context, SESSIONS_MAX);
    SSL_CTX_set_num_tickets(context, TICKETS);
}

/* A context with all that the options say; NULL: `why` says why not. */
static SSL_CTX *
make_context(const struct tls *tls, char why[TLS_WHY_MAX])
{
    SSL_CTX *context;

    ERR_clear_error();
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        refuse(why, "Error preparing TLS");
        return NULL;
    }
    set_rules(tls, context);
    if (SSL_CTX_set_min_proto_version(context, tls->version_min) != 1)
        refuse(why, "Error setting the lowest version of TLS");
    else if (tls->ciphers != NULL && SSL_CTX_set_cipher_list(context, tls->ciphers) != 1)
        refuse(why, "Error setting the provided cipher(s): %s", tls->ciphers);
    else if (load_files(tls, context, why))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* ---- Files --------------------------------------------------------------------------- */

static void
look_at(const struct tls *tls, struct look looks[FILES])
{
    memset(looks, 0, FILES * sizeof *looks); /* padding too: they are compared whole */
    for (int i = 0; i < FILES; i++) {
        struct stat stat_of;
        if (tls->paths[i] == NULL || stat(tls->paths[i], &stat_of) != 0)
            continue;
        looks[i].device = stat_of.st_dev;
        looks[i].inode = stat_of.st_ino;
        looks[i].size = stat_of.st_size;
        looks[i].modified = stat_of.st_mtim;
        looks[i].changed = stat_of.st_ctim;
    }
}

/* Heap memory; NULL: out of it. */
static char *
absolute(const char *path)
{
    char *directory, *whole = NULL;

    if (*path == '/')
        return strdup(path);
    directory = getcwd(NULL, 0);
    if (directory == NULL)
        return strdup(path);
    if (asprintf(&whole, "%s/%s", directory, path) < 0)
        whole = NULL;
    free(directory);
    return whole;
}

/* ---- For others ----------------------------------------------------------------------- */

static int
verify_bits(int mode)
{
    static const int bits[] = { SSL_VERIFY_NONE, SSL_VERIFY_PEER,
        SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE };

    assert(mode >= 0);
    assert(mode < (int)(sizeof bits / sizeof *bits));
    return bits[mode];
}

static int
version_of(int number)
{
    static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION,
        TLS1_3_VERSION };

    assert(number >= 0);
    assert(number < (int)(sizeof versions / sizeof *versions));
    return versions[number];
}

/* Copies what is needed of the options. False: out of memory. */
static bool
take_options(struct tls *tls, const struct options *options)
{
    const char *paths[FILES] = { options->ssl_chain_cert,
        /* One file may hold both. */
        options->ssl_key != NULL ? options->ssl_key : options->ssl_chain_cert,
        options->ssl_ca_cert };

    tls->key_format = options->ssl_keyformat;
    tls->verify = verify_bits(options->ssl_verify_mode);
    tls->version_min = version_of(options->ssl_min_version);
    tls->session_cache = options->ssl_session_cache;
    tls->kernel = options->ssl_kernel_tls;
    for (int i = 0; i < FILES; i++)
        if (paths[i] != NULL && (tls->paths[i] = absolute(paths[i])) == NULL)
            return false;
    return options->ssl_ciphers == NULL ||
           (tls->ciphers = strdup(options->ssl_ciphers)) != NULL;
}

struct tls *
tls_create(const struct options *options, char why[TLS_WHY_MAX])
{
    struct tls *tls;

    *why = '\0';
    if (options->ssl_chain_cert == NULL) {
        refuse(why, "Error loading the certificate chain: -o ssl_chain_cert is missing");
        return NULL;
    }
#if !defined(SSL_OP_ENABLE_KTLS) || defined(OPENSSL_NO_KTLS)
    if (options->ssl_kernel_tls) {
        refuse(why, "-o ssl_kernel_tls: the OpenSSL library has no kernel TLS");
        return NULL;
    }
#endif
    tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        refuse(why, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&tls->mutex, NULL);
    pthread_mutex_init(&tls->refreshing, NULL);
    if (!take_options(tls, options)) {
        refuse(why, "out of memory");
        tls_destroy(tls);
        return NULL;
    }
    look_at(tls, tls->looks);
    tls->context = make_context(tls, why);
    if (tls->context == NULL) {
        tls_destroy(tls);
        return NULL;
    }
    atomic_store(&tls->loaded_us, clock_micros());
    return tls;
}

void
tls_destroy(struct tls *tls)
{
    SSL_CTX_free(tls->context);
    for (int i = 0; i < FILES; i++)
        free(tls->paths[i]);
    free(tls->ciphers);
    pthread_mutex_destroy(&tls->mutex);
    pthread_mutex_destroy(&tls->refreshing);
    free(tls);
}

bool
tls_refresh(struct tls *tls, bool always, char why[TLS_WHY_MAX])
{
    struct look looks[FILES];
    SSL_CTX *context = NULL;

    *why = '\0';
    pthread_mutex_lock(&tls->refreshing);
    look_at(tls, looks);
    bool same = !always && memcmp(looks, tls->looks, sizeof looks) == 0;
    if (!same && (context = make_context(tls, why)) != NULL) {
        memcpy(tls->looks, looks, sizeof looks);
        pthread_mutex_lock(&tls->mutex);
        SSL_CTX *old = tls->context;
        tls->context = context;
        pthread_mutex_unlock(&tls->mutex);
        SSL_CTX_free(old); /* connections hold on to it */
        log_line(LOG_NOTICE, "TLS: certificates are read again");
    }
    if (same || context != NULL)
        atomic_store(&tls->loaded_us, clock_micros());
    else
        log_line(LOG_ALWAYS, "TLS: %s; the old certificates stay", why);
    pthread_mutex_unlock(&tls->refreshing);
    return same || context != NULL;
}

const char *
tls_file(const struct tls *tls, unsigned index)
{
    assert(index < FILES);
    return tls->paths[index];
}

uint32_t
tls_age(const struct tls *tls)
{
    return (uint32_t)((clock_micros() - atomic_load(&tls->loaded_us)) / 1000000);
}

/* ---- Connections ---------------------------------------------------------------------- */

SSL *
tls_new(struct tls *tls, enum tls_demand demand)
{
    /* A session is good only where it would have been begun. */
    const unsigned char kind = (unsigned char)demand;
    int verify = demand == TLS_WITHOUT_CERTIFICATE ? SSL_VERIFY_NONE
        : demand == TLS_WITH_CERTIFICATE
        ? tls->verify | SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        : tls->verify;

    pthread_mutex_lock(&tls->mutex);
    SSL *ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->mutex);
    if (ssl == NULL)
        return NULL;
    SSL_set_verify(ssl, verify, NULL);
    if (SSL_set_session_id_context(ssl, &kind, sizeof kind) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}
