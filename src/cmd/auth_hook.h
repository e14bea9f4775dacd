/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * auth_hook.h - how sessions find out whether a client is who it says it is.
 *
 * `main` installs one if the server demands authentication; sessions know neither
 * password files nor SASL libraries. Any worker may call these functions; an auth_talk
 * belongs to one connection and is used by one caller at a time.
 */
#ifndef LARDER_CMD_AUTH_HOOK_H
#define LARDER_CMD_AUTH_HOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* How clients log in; it decides which protocol they must speak. */
enum auth_way {
    AUTH_BY_TOKEN, /* -Y: `set` with "user password", in the text protocols */
    AUTH_BY_SASL,  /* -S: SASL packets, in the binary protocol */
};

enum auth_result {
    AUTH_GOOD,
    AUTH_MORE,    /* the client has to answer *challenge_out */
    AUTH_BAD,     /* whatever the reason */
    AUTH_PENDING, /* SASL: it takes time; ask poll() when woken */
};

/* A SASL exchange, for as long as its connection. */
struct auth_talk;

struct auth_hook {
    enum auth_way way;
    void *context;
    /* AUTH_BY_TOKEN: is this a user's password? Takes as long for any wrong one. */
    bool (*check)(void *context, struct slice user, struct slice password);

    /* AUTH_BY_SASL. NULL: out of memory. wake(wake_handle) is called, by any thread and not
     * after close(), when what was pending is no longer. */
    struct auth_talk *(*open)(
        void *context, void (*wake)(void *handle), void *wake_handle);
    /* Also while something is pending. */
    void (*close)(struct auth_talk *talk);
    /* Names of the mechanisms, with blanks between; borrowed until the next call. */
    struct slice (*mechanisms)(struct auth_talk *talk);
    /* Begins an exchange, in place of one that may be under way. The challenge is lent
     * until the next call for this talk. */
    enum auth_result (*start)(struct auth_talk *talk, struct slice mechanism,
        struct slice data, struct slice *challenge_out);
    enum auth_result (*step)(
        struct auth_talk *talk, struct slice data, struct slice *challenge_out);
    /* After AUTH_PENDING. */
    enum auth_result (*poll)(struct auth_talk *talk, struct slice *challenge_out);
};

#endif
