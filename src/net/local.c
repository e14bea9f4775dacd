/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * local.c - unix sockets.
 *
 * The permissions of a socket's file decide who may connect, so it is never wider than asked
 * for, not for a moment: it is made with a mask and not by chmod(). A file that is to belong
 * to another group is its owner's alone until it does.
 */
#include "net/local.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/num.h"
#include "net/sockopt.h"

#define OWNER_ONLY 0700u

static int
refuse(const struct option_listener *listener, const char *key, const char *value,
    const char *why)
{
    fprintf(stderr, "--listener %s: %s=%s: %s\n", listener->address, key, value, why);
    return -1;
}

/* Names that are numbers mean those. False: it is none that would do. */
static bool
id_of(const char *text, uint32_t *id_out)
{
    uint64_t number;

    if (!num_u64(slice_of(text, strlen(text)), NUM_U64_MAX, &number) ||
        number >= UINT32_MAX)
        return false;
    *id_out = (uint32_t)number;
    return true;
}

/* A socket file that a server left behind is in the way; anything else is left alone. */
static void
remove_stale(const char *path)
{
    struct stat stat;

    if (lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode))
        unlink(path);
}

/* False after a line on stderr. */
static bool
find_group(const struct option_listener *listener, uint32_t *group_out)
{
    const struct group *entry = getgrnam(listener->group);

    if (entry != NULL)
        *group_out = entry->gr_gid;
    else if (!id_of(listener->group, group_out))
        return refuse(listener, "group", listener->group, "there is no such group") == 0;
    return true;
}

static int
give_to_group(const struct option_listener *listener, const char *path, unsigned mode)
{
    uint32_t group;

    if (!find_group(listener, &group))
        return -1;
    if (lchown(path, (uid_t)-1, group) != 0 || chmod(path, mode) != 0)
        return refuse(listener, "group", listener->group, strerror(errno));
    return 0;
}

/* 0 or -1 after a line on stderr. */
static int
bind_to(int fd, const char *path, unsigned mode)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    memcpy(name.sun_path, path, strlen(path));
    remove_stale(path);
    mode_t mask = umask(~(mode_t)mode & 0777);
    int bound = bind(fd, (struct sockaddr *)&name, sizeof name);
    int error = errno;
    umask(mask);
    if (bound == 0)
        return 0;
    fprintf(stderr, "bind(): %s\n", strerror(error));
    fprintf(stderr, "failed to listen on UNIX socket: %s: %s\n", path, strerror(error));
    return -1;
}

static int
listen_at(int fd, const char *path, int backlog)
{
    if (listen(fd, backlog) == 0)
        return 0;
    fprintf(stderr, "listen(): %s\n", strerror(errno));
    fprintf(stderr, "failed to listen on UNIX socket: %s: %s\n", path, strerror(errno));
    return -1;
}

const char *
local_path(const struct options *options, const struct option_listener *listener)
{
    return listener == NULL ? options->unix_socket : option_listener_path(listener);
}

/* The permissions that its file is to have. */
static unsigned
mode_of(const struct options *options, const struct option_listener *listener)
{
    return listener == NULL || listener->mode < 0 ? options->unix_mask
                                                  : (unsigned)listener->mode;
}

int
local_open(const struct options *options, const struct option_listener *listener)
{
    const char *path = local_path(options, listener);
    unsigned mode = mode_of(options, listener);
    bool given = listener != NULL && listener->group != NULL;
    struct sockaddr_un name;

    if (strlen(path) >= sizeof name.sun_path) {
        fprintf(stderr, "-s, --unix-socket: longer than %zu bytes: \"%s\"\n",
            sizeof name.sun_path - 1, path);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        perror("socket()");
        return -1;
    }
    sockopt_mark(fd, options->sock_cookie_id);
    if (bind_to(fd, path, given ? mode & OWNER_ONLY : mode) != 0) {
        close(fd);
        return -1;
    }
    if ((given && give_to_group(listener, path, mode) != 0) ||
        listen_at(fd, path, options->backlog) != 0) {
        remove_stale(path);
        close(fd);
        return -1;
    }
    return fd;
}

void
local_adjust(const struct options *options, const struct option_listener *listener)
{
    const char *path = local_path(options, listener);
    unsigned mode = mode_of(options, listener);
    struct stat stat;

    if (listener != NULL && listener->group != NULL) {
        /* Never open to more than asked for. */
        if (give_to_group(listener, path, mode) != 0 && chmod(path, mode & OWNER_ONLY) != 0)
            fprintf(stderr, "chmod(): %s: %s\n", path, strerror(errno));
    } else if (lstat(path, &stat) == 0 && (stat.st_mode & 0777) != mode &&
             chmod(path, mode) != 0)
        fprintf(stderr, "chmod(): %s: %s\n", path, strerror(errno));
}

/* ---- Users -------------------------------------------------------------------------- */

static bool
find_user(const struct option_listener *listener, const char *name, uid_t *user_out)
{
    const struct passwd *entry = getpwnam(name);
    uint32_t number;

    if (entry != NULL)
        *user_out = entry->pw_uid;
    else if (id_of(name, &number))
        *user_out = number;
    else
        return refuse(listener, "users", name, "there is no such user") == 0;
    return true;
}

bool
local_users_find(struct local_users *users, const struct option_listener *listener)
{
    char *copy, *rest, *word;
    bool found = true;

    *users = (struct local_users){ .n = 0 };
    if (listener->users == NULL)
        return true;
    copy = rest = strdup(listener->users);
    users->at = calloc(strlen(listener->users) + 1, sizeof *users->at);
    if (copy == NULL || users->at == NULL) {
        perror("--listener");
        free(copy);
        return false;
    }
    while (found && (word = strsep(&rest, "+")) != NULL)
        found = find_user(listener, word, &users->at[users->n++]);
    free(copy);
    return found;
}

bool
local_check(const struct option_listener *listener)
{
    struct local_users users;
    uint32_t group;
    bool found = local_users_find(&users, listener);

    local_users_forget(&users);
    return found && (listener->group == NULL || find_group(listener, &group));
}

void
local_users_forget(struct local_users *users)
{
    free(users->at);
    *users = (struct local_users){ .n = 0 };
}

bool
local_is_welcome(const struct local_users *users, int fd, uid_t *user_out)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    *user_out = (uid_t)-1;
    if (users->n == 0)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    *user_out = peer.uid;
    for (unsigned i = 0; i < users->n; i++)
        if (users->at[i] == peer.uid)
            return true;
    return false;
}
