/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * auth.h - the passwords that -Y and -S ask for.
 *
 * Opened while there is one thread; the hook it fills is for all workers.
 */
#ifndef LARDER_MAIN_AUTH_H
#define LARDER_MAIN_AUTH_H

#include "base/options.h"
#include "cmd/auth_hook.h"

struct auth;

/*
 * Reads password files, whose paths may be relative to the directory of this moment. 0
 * with *auth_out set, or NULL in it if clients need not log in; otherwise the status to
 * exit with, and the reason was printed.
 */
int auth_open(const struct options *options, struct auth **auth_out);
/* Prepares what checks them. 0 or a status. */
int auth_start(struct auth *auth);
/* Starts its threads, if it has any. 0 or a status. */
int auth_start_threads(struct auth *auth);
/* No session may use its hook any more. */
void auth_close(struct auth *auth);

/* After auth_start(); valid as long as `auth` is. */
const struct auth_hook *auth_hook(struct auth *auth);

/* Does a library check passwords by its own means, which need files and sockets? */
bool auth_is_foreign(const struct auth *auth);
/* The file that auth_reload() opens, by an absolute path; NULL: none. Borrowed. */
const char *auth_path(const struct auth *auth);

/* SIGHUP: reads the password file again, if there is one; the log says how that went. */
void auth_reload(struct auth *auth);

#endif
