/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sandbox_paths.c - the layer of files: Landlock, by its own system calls.
 *
 * Everything that this kernel's Landlock can deny is denied, and then the directories are
 * opened up again that hold what is read again or removed. Directories and not files,
 * because editors and secret stores put a new file in the place of the old. What is open
 * already stays usable. TCP: nothing can be bound or connected to any more; signals go to
 * this process only.
 *
 * The numbers are written here because the headers of Debian 12 know the first two
 * versions only; the kernel's version says which of them it understands.
 */
#include "main/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define CREATE_VERSION    1u
#define RULE_PATH_BENEATH 1

#define MAY_READ_FILE   (UINT64_C(1) << 2)
#define MAY_READ_DIR    (UINT64_C(1) << 3)
#define MAY_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_ABI_1        ((UINT64_C(1) << 13) - 1)
#define FS_REFER        (UINT64_C(1) << 13) /* version 2 */
#define FS_TRUNCATE     (UINT64_C(1) << 14) /* version 3 */
#define FS_IOCTL_DEV    (UINT64_C(1) << 15) /* version 5 */
#define NET_TCP         UINT64_C(3)         /* version 4: bind, connect */
#define SCOPE_ABSTRACT  UINT64_C(1)         /* version 6: abstract unix sockets */
#define SCOPE_SIGNAL    UINT64_C(2)         /* version 6 */

struct ruleset {
    uint64_t fs, net, scoped;
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

/* The service manager may listen on an abstract name. */
static bool
manager_is_abstract(void)
{
    const char *name = getenv("NOTIFY_SOCKET");

    return name != NULL && *name == '@';
}

static int
create(long abi, bool foreign_logins)
{
    struct ruleset rules = { .fs = FS_ABI_1 };
    size_t size = sizeof rules.fs;

    rules.fs |= abi >= 2 ? FS_REFER : 0;
    rules.fs |= abi >= 3 ? FS_TRUNCATE : 0;
    rules.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
    if (abi >= 4) {
        size += sizeof rules.net;
        rules.net = foreign_logins ? 0 : NET_TCP;
    }
    if (abi >= 6) {
        size += sizeof rules.scoped;
        rules.scoped = SCOPE_SIGNAL;
        if (!foreign_logins && !manager_is_abstract())
            rules.scoped |= SCOPE_ABSTRACT;
    }
    return (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0u);
}

/* What is not there now, or out of this user's reach, will not be found later either. */
static int
failure(void)
{
    return errno == ENOENT || errno == EACCES ? 0 : -errno;
}

/* Opens up one directory. */
static int
allow_directory(int ruleset, const char *directory, uint64_t allowed)
{
    struct path_rule rule = { .allowed = allowed };
    int error = 0;

    rule.parent_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return failure();
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0u) != 0)
        error = -errno;
    close(rule.parent_fd);
    return error;
}

/* `path` is given away. */
static int
allow_parent(int ruleset, char *path, uint64_t allowed)
{
    if (path == NULL)
        return failure();
    int error = allow_directory(ruleset, dirname(path), allowed);
    free(path);
    return error;
}

static int
allow_all(int ruleset, const struct sandbox_needs *needs)
{
    int error = 0;

    if (needs->foreign_logins)
        error = allow_directory(ruleset, "/", MAY_READ_FILE | MAY_READ_DIR);
    for (unsigned i = 0; i < needs->nread && error == 0; i++) {
        error = allow_parent(ruleset, strdup(needs->read[i]), MAY_READ_FILE);
        if (error == 0)
            error = allow_parent(ruleset, realpath(needs->read[i], NULL), MAY_READ_FILE);
    }
    for (unsigned i = 0; i < needs->nremoved && error == 0; i++)
        error = allow_parent(ruleset, strdup(needs->removed[i]), MAY_REMOVE_FILE);
    return error;
}

int
sandbox_limit_paths(const struct sandbox_needs *needs)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_VERSION);
    int error;

    if (abi < 0)
        return -errno;
    int ruleset = create(abi, needs->foreign_logins);
    if (ruleset < 0)
        return -errno;
    error = allow_all(ruleset, needs);
    if (error == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0u) != 0)
        error = -errno;
    close(ruleset);
    return error;
}
