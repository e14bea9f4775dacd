/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * login.h - who we are, and telling it to a server with -Y.
 *
 * A password comes from a file, the environment or the terminal, never from the command
 * line, which everybody on the machine can read. The file has the form of the server's
 * own, "user:password" a line, so that one file can serve both.
 */
#ifndef LARDER_CTL_LOGIN_H
#define LARDER_CTL_LOGIN_H

#include <stdbool.h>

#include "ctl/link.h"

/* Longest user and password together; more than any server takes. */
#define LOGIN_MAX 1024

struct login {
    bool there; /* false: nobody, which is right for a server without -Y */
    char user[LOGIN_MAX], password[LOGIN_MAX];
};

/*
 * Finds out who we are. `file` (NULL: none) is read first, then the variable LARDER_AUTH,
 * "user:password"; a `user` (NULL: none) who is in neither is asked for the password on the
 * terminal. False: `why` (CTL_WHY_MAX bytes) says what is the matter.
 */
bool login_find(struct login *login_out, const char *file, const char *user, char *why);

/* Takes one entry of `text`, the whole of a file: the first, or that of `user`. False:
 * there is none, or none that makes sense. */
bool login_parse(struct login *login_out, struct slice text, const char *user);

/* Wipes it. */
void login_forget(struct login *login);

/* Says it to a server; does nothing when nobody is there. False: refused, and `why` says
 * so, or the link failed. */
bool login_say(const struct login *login, struct link *link, char *why);

#endif
