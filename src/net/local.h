/* SPDX-License-Identifier: BSD-3-Clause */
/* local.h - unix sockets: their files, and who may connect; inside src/net only. */
#ifndef LARDER_NET_LOCAL_H
#define LARDER_NET_LOCAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/options.h"

/* Users whose processes may connect. Zeroed: all. */
struct local_users {
    uid_t *at;
    unsigned n;
};

/* Where its file is: that of `listener`, or of -s if it is NULL. */
const char *local_path(
    const struct options *options, const struct option_listener *listener);

/* Opens one for `listener`, or that of -s if it is NULL. A descriptor that listens, or -1
 * after a line on stderr. */
int local_open(const struct options *options, const struct option_listener *listener);

/* Makes the file of a socket that another process has opened what is wanted now. */
void local_adjust(const struct options *options, const struct option_listener *listener);

/* Finds the users that the listener names. False after a line on stderr. */
bool local_users_find(
    struct local_users *users_out, const struct option_listener *listener);
/* Are there the users and the group that it names? False after a line on stderr. */
bool local_check(const struct option_listener *listener);
void local_users_forget(struct local_users *users);
/* May whoever is at the other end of `fd` speak? `*user_out` is who it is, or -1. */
bool local_is_welcome(const struct local_users *users, int fd, uid_t *user_out);

#endif
