/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrus.c - the Cyrus library behind the auth_hook.
 *
 *   worker:  start() -> PENDING                poll() -> GOOD
 *                \ job               done, wake() /
 *   helper:       +-> sasl_server_start() --
 *
 * With a password file of our own a password is looked up in memory and the worker does
 * it itself. Otherwise the library may read databases, ask a daemon or have PAM wait for
 * seconds, so that HELPERS threads do it: a talk is handed to them whole and comes back
 * whole, and only `done` is looked at meanwhile. A talk whose client goes away before is
 * freed by the helper.
 *
 * Each exchange has a connection object of its own in the library. A client that has
 * logged in fails once before it may log in again, as with memcached, whose library
 * object refuses a second success.
 */
#include "main/cyrus.h"

#include <pthread.h>
#include <sasl/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"

#define HELPERS 2
/* Talks waiting for a helper; others fail at once. */
#define JOBS_MAX 1024u
/* The name of the service, and of the library's configuration file. */
#define SERVICE_NAME "memcached"
#define MECHANISM_MAX 64u

struct auth_talk {
    struct cyrus *cyrus;
    sasl_conn_t *conn; /* NULL: none yet, or the last exchange is over */
    bool started;      /* a mechanism is waiting for the client's answer */
    bool logged_in;    /* the last exchange went well */

    /* What to do, and how it went. */
    bool is_start;
    char mechanism[MECHANISM_MAX];
    char *data; /* owned; wiped when it goes */
    size_t len;
    enum auth_result result;
    const char *challenge;
    unsigned challenge_len;

    /* Guarded by cyrus->lock while a helper may have it. */
    struct auth_talk *next;
    void (*wake)(void *handle);
    void *wake_handle;
    bool busy;      /* queued, or with a helper */
    bool abandoned; /* its client is gone: the helper frees it */
};

struct cyrus {
    struct authfile *passwords; /* NULL: helpers */
    char *host; /* this machine's name; NULL: not known yet, the library looks it up */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct auth_talk *first, **last;
    unsigned waiting;
    bool stop;
    unsigned nhelpers;
    pthread_t helpers[HELPERS];
    sasl_callback_t callbacks[5];
};

/* ---- What the library asks for --------------------------------------------------- */

static void *
mutex_new(void)
{
    pthread_mutex_t *mutex = malloc(sizeof *mutex);

    if (mutex != NULL && pthread_mutex_init(mutex, NULL) != 0) {
        free(mutex);
        mutex = NULL;
    }
    return mutex;
}

static int
mutex_lock(void *mutex)
{
    return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static int
mutex_unlock(void *mutex)
{
    return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL;
}

static void
mutex_free(void *mutex)
{
    pthread_mutex_destroy(mutex);
    free(mutex);
}

/* Traces and passwords are never written. With passwords of our own the library calls it
 * an error that it has no other way to check them. */
static int
write_log(void *context, int level, const char *text)
{
    const struct cyrus *cyrus = context;

    if ((level == SASL_LOG_ERR || level == SASL_LOG_WARN) && cyrus->passwords == NULL)
        log_line(LOG_NOTICE, "SASL: %s", text);
    else if (level >= SASL_LOG_ERR && level <= SASL_LOG_NOTE)
        log_line(LOG_DETAIL, "SASL: %s", text);
    return SASL_OK;
}

/* With passwords of our own nobody else's count, whatever the machine's configuration. */
static int
get_option(void *context, const char *plugin, const char *option, const char **result,
    unsigned *len)
{
    (void)context;
    (void)plugin;
    if (strcmp(option, "mech_list") == 0)
        *result = "PLAIN";
    else if (strcmp(option, "pwcheck_method") == 0)
        *result = "none";
    else
        return SASL_FAIL;
    if (len != NULL)
        *len = (unsigned)strlen(*result);
    return SASL_OK;
}

static int
check_password(sasl_conn_t *conn, void *context, const char *user, const char *password,
    unsigned len, struct propctx *properties)
{
    struct cyrus *cyrus = context;

    (void)conn;
    (void)properties;
    return authfile_check(cyrus->passwords, slice_of(user, strlen(user)),
               slice_of(password, len))
        ? SASL_OK
        : SASL_BADAUTH;
}

/* ---- One exchange ---------------------------------------------------------------- */

static bool
has_conn(struct auth_talk *talk)
{
    const sasl_security_properties_t properties = {
        .security_flags = SASL_SEC_NOANONYMOUS
    };

    if (talk->conn != NULL)
        return true;
    if (sasl_server_new(SERVICE_NAME, talk->cyrus->host, NULL, NULL, NULL, NULL, 0,
            &talk->conn) != SASL_OK) {
        talk->conn = NULL;
        return false;
    }
    return sasl_setprop(talk->conn, SASL_SEC_PROPS, &properties) == SASL_OK;
}

static void
forget_data(struct auth_talk *talk)
{
    if (talk->data != NULL)
        explicit_bzero(talk->data, talk->len);
    free(talk->data);
    talk->data = NULL;
}

/* The library has spoken; what came of it. */
static void
conclude(struct auth_talk *talk, int said)
{
    talk->started = said == SASL_CONTINUE;
    if (said == SASL_CONTINUE) {
        talk->result = AUTH_MORE;
        return;
    }
    talk->result = said == SASL_OK && !talk->logged_in ? AUTH_GOOD : AUTH_BAD;
    talk->logged_in = talk->result == AUTH_GOOD;
    sasl_dispose(&talk->conn);
    talk->challenge = NULL;
    talk->challenge_len = 0;
}

static void
run(struct auth_talk *talk)
{
    int said = SASL_FAIL;

    talk->challenge = NULL;
    talk->challenge_len = 0;
    if (talk->is_start && talk->started)
        sasl_dispose(&talk->conn);
    if (talk->is_start && has_conn(talk))
        said = sasl_server_start(talk->conn, talk->mechanism,
            talk->len > 0 ? talk->data : NULL, (unsigned)talk->len, &talk->challenge,
            &talk->challenge_len);
    else if (!talk->is_start && talk->started)
        said = sasl_server_step(talk->conn, talk->data, (unsigned)talk->len,
            &talk->challenge, &talk->challenge_len);
    forget_data(talk);
    conclude(talk, said);
}

static void
talk_free(struct auth_talk *talk)
{
    forget_data(talk);
    if (talk->conn != NULL)
        sasl_dispose(&talk->conn);
    free(talk);
}

/* ---- Helpers --------------------------------------------------------------------- */

static void *
help(void *context)
{
    struct cyrus *cyrus = context;

    pthread_setname_np(pthread_self(), "sasl");
    pthread_mutex_lock(&cyrus->lock);
    for (;;) {
        while (cyrus->first == NULL && !cyrus->stop)
            pthread_cond_wait(&cyrus->wake, &cyrus->lock);
        struct auth_talk *talk = cyrus->first;
        if (talk == NULL)
            break;
        cyrus->first = talk->next;
        if (cyrus->first == NULL)
            cyrus->last = &cyrus->first;
        cyrus->waiting--;
        bool run_it = !talk->abandoned && !cyrus->stop;
        pthread_mutex_unlock(&cyrus->lock);
        if (run_it)
            run(talk);
        pthread_mutex_lock(&cyrus->lock);
        talk->busy = false;
        if (talk->abandoned)
            talk_free(talk);
        else if (talk->wake != NULL) /* under the lock: talk_close() waits for it */
            talk->wake(talk->wake_handle);
    }
    pthread_mutex_unlock(&cyrus->lock);
    return NULL;
}

static enum auth_result
tell(struct auth_talk *talk, struct slice *challenge_out)
{
    *challenge_out = slice_of(talk->challenge, talk->challenge_len);
    return talk->result;
}

/* The talk's data is taken by it already. */
static enum auth_result
submit(struct auth_talk *talk, struct slice *challenge_out)
{
    struct cyrus *cyrus = talk->cyrus;
    bool accepted; /* from then on the talk is a helper's */

    if (cyrus->passwords != NULL) {
        run(talk);
        return tell(talk, challenge_out);
    }
    pthread_mutex_lock(&cyrus->lock);
    accepted = cyrus->waiting < JOBS_MAX;
    if (accepted) {
        talk->busy = true;
        talk->next = NULL;
        *cyrus->last = talk;
        cyrus->last = &talk->next;
        cyrus->waiting++;
        pthread_cond_signal(&cyrus->wake);
    }
    pthread_mutex_unlock(&cyrus->lock);
    if (accepted)
        return AUTH_PENDING;
    forget_data(talk);
    return AUTH_BAD;
}

static bool
take_data(struct auth_talk *talk, struct slice data)
{
    assert(talk->data == NULL);
    talk->len = data.len;
    talk->data = malloc(data.len + 1);
    if (talk->data == NULL)
        return false;
    memcpy(talk->data, data.data, data.len);
    talk->data[data.len] = '\0'; /* some mechanisms want it */
    return true;
}

/* ---- The hook -------------------------------------------------------------------- */

static struct auth_talk *
talk_open(void *context, void (*wake)(void *handle), void *wake_handle)
{
    struct auth_talk *talk = calloc(1, sizeof *talk);

    if (talk != NULL) {
        talk->cyrus = context;
        talk->wake = wake;
        talk->wake_handle = wake_handle;
    }
    return talk;
}

static void
talk_close(struct auth_talk *talk)
{
    struct cyrus *cyrus = talk->cyrus;
    bool busy;

    pthread_mutex_lock(&cyrus->lock);
    busy = talk->busy;
    talk->abandoned = busy;
    pthread_mutex_unlock(&cyrus->lock);
    if (!busy)
        talk_free(talk);
}

static struct slice
talk_mechanisms(struct auth_talk *talk)
{
    const char *names = NULL;
    unsigned len = 0;
    int count = 0;

    if (!has_conn(talk) ||
        sasl_listmech(talk->conn, NULL, "", " ", "", &names, &len, &count) != SASL_OK)
        return slice_of(NULL, 0);
    return slice_of(names, len);
}

static enum auth_result
talk_start(struct auth_talk *talk, struct slice mechanism, struct slice data,
    struct slice *challenge_out)
{
    if (mechanism.len >= MECHANISM_MAX || !take_data(talk, data))
        return AUTH_BAD;
    memcpy(talk->mechanism, mechanism.data, mechanism.len);
    talk->mechanism[mechanism.len] = '\0';
    talk->is_start = true;
    return submit(talk, challenge_out);
}

static enum auth_result
talk_step(struct auth_talk *talk, struct slice data, struct slice *challenge_out)
{
    if (!take_data(talk, data))
        return AUTH_BAD;
    talk->is_start = false;
    return submit(talk, challenge_out);
}

static enum auth_result
talk_poll(struct auth_talk *talk, struct slice *challenge_out)
{
    bool busy;

    pthread_mutex_lock(&talk->cyrus->lock);
    busy = talk->busy;
    pthread_mutex_unlock(&talk->cyrus->lock);
    return busy ? AUTH_PENDING : tell(talk, challenge_out);
}

/* ---- Beginning and end ----------------------------------------------------------- */

/* The library's callbacks have the types that go with their ids. */
static sasl_callback_t
callback(unsigned long id, int (*fn)(void), void *context)
{
    return (sasl_callback_t){ .id = id, .proc = fn, .context = context };
}

static void
set_callbacks(struct cyrus *cyrus)
{
    sasl_callback_t *at = cyrus->callbacks;

    *at++ = callback(SASL_CB_LOG, (int (*)(void))(void *)write_log, cyrus);
    if (cyrus->passwords != NULL) {
        *at++ = callback(SASL_CB_GETOPT, (int (*)(void))(void *)get_option, NULL);
        *at++ = callback(SASL_CB_SERVER_USERDB_CHECKPASS,
            (int (*)(void))(void *)check_password, cyrus);
    }
    *at++ = callback(SASL_CB_LIST_END, NULL, NULL);
    assert(at <= cyrus->callbacks + sizeof cyrus->callbacks / sizeof *cyrus->callbacks);
}

bool
cyrus_start(struct cyrus *cyrus)
{
    while (cyrus->passwords == NULL && cyrus->nhelpers < HELPERS) {
        if (pthread_create(&cyrus->helpers[cyrus->nhelpers], NULL, help, cyrus) != 0)
            return false;
        cyrus->nhelpers++;
    }
    return true;
}

/* Would any client find a way in? Keeps the machine's name as the library finds it: left to
 * itself it asks the name service for each client, and a worker waits for that. */
static bool
has_mechanism(struct cyrus *cyrus)
{
    struct auth_talk talk = { .cyrus = cyrus };
    bool found = talk_mechanisms(&talk).len > 0;
    const void *host = NULL;

    if (talk.conn != NULL && sasl_getprop(talk.conn, SASL_SERVERFQDN, &host) == SASL_OK &&
        host != NULL)
        cyrus->host = strdup(host);
    if (talk.conn != NULL)
        sasl_dispose(&talk.conn);
    return found;
}

struct cyrus *
cyrus_open(struct authfile *passwords, struct auth_hook *hook)
{
    struct cyrus *cyrus = calloc(1, sizeof *cyrus);
    int said;

    if (cyrus == NULL) {
        fprintf(stderr, "out of memory\n");
        return NULL;
    }
    cyrus->passwords = passwords;
    cyrus->last = &cyrus->first;
    pthread_mutex_init(&cyrus->lock, NULL);
    pthread_cond_init(&cyrus->wake, NULL);
    set_callbacks(cyrus);
    sasl_set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
    said = sasl_server_init(cyrus->callbacks, SERVICE_NAME);
    if (said != SASL_OK) {
        fprintf(stderr, "Error initializing sasl: %s\n",
            sasl_errstring(said, NULL, NULL));
        cyrus_close(cyrus);
        return NULL;
    }
    if (!has_mechanism(cyrus)) /* the library's plug-ins are packages of their own */
        fprintf(stderr, "WARNING: SASL offers no mechanism: nobody will be let in\n");
    hook->open = talk_open;
    hook->close = talk_close;
    hook->mechanisms = talk_mechanisms;
    hook->start = talk_start;
    hook->step = talk_step;
    hook->poll = talk_poll;
    hook->context = cyrus;
    return cyrus;
}

void
cyrus_close(struct cyrus *cyrus)
{
    pthread_mutex_lock(&cyrus->lock);
    cyrus->stop = true;
    pthread_cond_broadcast(&cyrus->wake);
    pthread_mutex_unlock(&cyrus->lock);
    while (cyrus->nhelpers > 0)
        pthread_join(cyrus->helpers[--cyrus->nhelpers], NULL);
    sasl_server_done();
    free(cyrus->host);
    pthread_cond_destroy(&cyrus->wake);
    pthread_mutex_destroy(&cyrus->lock);
    free(cyrus);
}
