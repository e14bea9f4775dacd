/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/auth.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/authfile.h"
#include "base/log.h"
#include "main/process.h"
#include "main/cyrus.h"

/* Names the plain password file of -S, as it does for memcached. */
#define PASSWORDS_VARIABLE "MEMCACHED_SASL_PWDB"

struct auth {
    struct authfile *passwords; /* NULL: SASL has its own */
    struct cyrus *cyrus; /* NULL: -Y */
    struct auth_hook hook;
};

static bool
check(void *context, struct slice user, struct slice password)
{
    struct auth *auth = context;

    return authfile_check(auth->passwords, user, password);
}

static int
open_passwords(struct auth *auth, const char *path)
{
    char why[AUTHFILE_WHY_MAX];

    auth->passwords = authfile_open(path, why);
    if (auth->passwords != NULL)
        return 0;
    fprintf(stderr, "%s\n", why);
    return STATUS_FAILURE;
}

int
auth_open(const struct options *options, struct auth **auth_out)
{
    const char *path = options->auth_file;
    struct auth *auth;
    int status = 0;

    *auth_out = NULL;
    if (!options->sasl && path == NULL)
        return 0;
    if (options->sasl)
        path = getenv(PASSWORDS_VARIABLE);
    auth = calloc(1, sizeof *auth);
    if (auth == NULL) {
        fprintf(stderr, "out of memory\n");
        return STATUS_FAILURE;
    }
    auth->hook = (struct auth_hook){
        .way = options->sasl ? AUTH_BY_SASL : AUTH_BY_TOKEN,
        .context = auth,
        .check = check,
    };
    if (path != NULL && *path != '\0')
        status = open_passwords(auth, path);
    if (status != 0) {
        auth_close(auth);
        return status;
    }
    *auth_out = auth;
    return 0;
}

int
auth_start(struct auth *auth)
{
    if (auth->hook.way == AUTH_BY_TOKEN)
        return 0;
    auth->cyrus = cyrus_open(auth->passwords, &auth->hook);
    return auth->cyrus == NULL ? STATUS_FAILURE : 0;
}

int
auth_start_threads(struct auth *auth)
{
    if (auth->cyrus == NULL || cyrus_start(auth->cyrus))
        return 0;
    fprintf(stderr, "Error initializing sasl: no thread\n");
    return STATUS_FAILURE;
}

bool
auth_is_foreign(const struct auth *auth)
{
    return auth->hook.way == AUTH_BY_SASL && auth->passwords == NULL;
}

const char *
auth_path(const struct auth *auth)
{
    return auth->passwords == NULL ? NULL : authfile_path(auth->passwords);
}

void
auth_close(struct auth *auth)
{
    if (auth->cyrus != NULL)
        cyrus_close(auth->cyrus);
    if (auth->passwords != NULL)
        authfile_close(auth->passwords);
    free(auth);
}

const struct auth_hook *
auth_hook(struct auth *auth)
{
    return &auth->hook;
}

void
auth_reload(struct auth *auth)
{
    char why[AUTHFILE_WHY_MAX];

    if (auth->passwords == NULL)
        return;
    if (authfile_reload(auth->passwords, why))
        log_line(LOG_NOTICE, "SIGHUP: passwords read again");
    else
        log_line(LOG_ALWAYS, "SIGHUP: %s; the old passwords stay", why);
}
