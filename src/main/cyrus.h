/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyrus.h - logging in by SASL (-S), with the Cyrus library.
 */
#ifndef LARDER_MAIN_CYRUS_H
#define LARDER_MAIN_CYRUS_H

#include "base/authfile.h"
#include "cmd/auth_hook.h"
#include "config.h"

struct cyrus;

#ifdef HAVE_SASL
/*
 * Starts the library and fills the hook. With `passwords` the mechanism is PLAIN and
 * those are the users; without, everything is as the library's configuration for "memcached"
 * says. `passwords` is borrowed. NULL: the reason was printed.
 */
struct cyrus *cyrus_open(struct authfile *passwords, struct auth_hook *hook_out);
/* Starts its threads, if it needs any. False: it can't. */
bool cyrus_start(struct cyrus *cyrus);
/* No talk is in use any more. */
void cyrus_close(struct cyrus *cyrus);
#else
/* Not built in: option_check.c has refused -S. */
static inline struct cyrus *
cyrus_open(struct authfile *passwords, struct auth_hook *hook)
{
    (void)passwords;
    (void)hook;
    return NULL;
}

static inline bool
cyrus_start(struct cyrus *cyrus)
{
    (void)cyrus;
    return false;
}

static inline void
cyrus_close(struct cyrus *cyrus)
{
    (void)cyrus;
}
#endif

#endif
