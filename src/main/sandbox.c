/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sandbox.c - the layers in their order, and what is said of them.
 *
 * Landlock before seccomp, whose filter knows none of Landlock's calls. Capabilities before
 * both: a root that stays root (-u root) is to be no more than another user.
 */
#include "main/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "main/process.h"

#define CAPABILITIES_MAX 64

#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                \
    __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#endif

const char *
sandbox_unfit(void)
{
#if defined(HAS_SANITIZER)
    return "a sanitizer"; /* it reads /proc, and starts a process to name functions */
#elif defined(LARDER_COVERAGE)
    return "coverage"; /* it is written to files at the end */
#else
    return NULL;
#endif
}

void
sandbox_will_read(struct sandbox_needs *needs, const char *path)
{
    if (path == NULL)
        return;
    assert(needs->nread < SANDBOX_PATHS_MAX);
    needs->read[needs->nread++] = path;
}

void
sandbox_will_remove(struct sandbox_needs *needs, const char *path)
{
    if (path == NULL)
        return;
    assert(needs->nremoved < SANDBOX_PATHS_MAX);
    needs->removed[needs->nremoved++] = path;
}

static int
forbid_new_privileges(const struct sandbox_needs *needs)
{
    (void)needs;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
}

/* Of the calling thread, which all others come from. */
int
sandbox_drop_capabilities(const struct sandbox_needs *needs)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    uint32_t kept = needs->lock_memory ? UINT32_C(1) << CAP_IPC_LOCK : 0;

    if (syscall(SYS_capget, &head, data) != 0)
        return -errno;
    /* Without the right to shrink the bounding set nothing can be gained from it either:
     * there are no new privileges. */
    for (int cap = 0; cap < CAPABILITIES_MAX; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    kept &= data[0].permitted;
    /* A unit that leaves none may also refuse capset(). */
    if (data[0].permitted == kept && data[1].permitted == 0 &&
        data[0].effective == kept && data[1].effective == 0 &&
        data[0].inheritable == 0 && data[1].inheritable == 0)
        return 0;
    memset(data, 0, sizeof data);
    data[0].effective = data[0].permitted = kept;
    return syscall(SYS_capset, &head, data) == 0 ? 0 : -errno;
}

struct layer {
    const char *name, *lost; /* and what is said where it can't be had */
    int (*enter)(const struct sandbox_needs *needs);
    bool only_denies; /* it has no way to tell and let through */
};

static const struct layer layers[] = {
    { "no_new_privs", "programs could raise their rights", forbid_new_privileges, false },
    { "capabilities", "they stay as they are", sandbox_drop_capabilities, false },
    { "landlock", "files are guarded by permissions only", sandbox_limit_paths, true },
    { "seccomp", "all system calls stay possible", sandbox_limit_calls, false },
};
#define LAYERS (sizeof layers / sizeof *layers)

static void
append(char text[static SANDBOX_LAYERS_MAX], const char *name)
{
    size_t len = strlen(text);

    snprintf(text + len, SANDBOX_LAYERS_MAX - len, "%s%s", len == 0 ? "" : ",", name);
}

static void
tell_loss(const struct layer *layer, int error, bool strict)
{
    if (strict)
        fprintf(stderr, "-o sandbox=strict: no %s: %s\n", layer->name, strerror(error));
    else
        log_line(error == ENOTSUP ? LOG_NOTICE : LOG_ALWAYS,
            "WARNING: sandbox: no %s: %s; %s", layer->name,
            error == ENOTSUP ? "not built in" : strerror(error), layer->lost);
}

/* A build that can't be confined, because of `what`. */
static int
do_without(const char *what, bool strict)
{
    if (strict) {
        fprintf(stderr, "-o sandbox=strict: not with %s\n", what);
        return STATUS_OS;
    }
    log_line(LOG_NOTICE, "sandbox: none, as this is built with %s", what);
    return 0;
}

int
sandbox_enter(
    const struct sandbox_needs *needs, char layers_out[static SANDBOX_LAYERS_MAX])
{
    bool strict = needs->mode == SANDBOX_STRICT;
    char in_force[SANDBOX_LAYERS_MAX] = "";

    snprintf(layers_out, SANDBOX_LAYERS_MAX, "none");
    if (needs->mode == SANDBOX_OFF)
        return 0;
    const char *unfit = sandbox_unfit();
    if (unfit != NULL)
        return do_without(unfit, strict);
    for (size_t i = 0; i < LAYERS; i++) {
        if (needs->mode == SANDBOX_LOG && layers[i].only_denies)
            continue;
        int error = -layers[i].enter(needs);
        if (error == 0) {
            append(in_force, layers[i].name);
            continue;
        }
        tell_loss(&layers[i], error, strict);
        if (strict)
            return STATUS_OS;
    }
    if (in_force[0] != '\0')
        snprintf(layers_out, SANDBOX_LAYERS_MAX, "%s", in_force);
    return 0;
}
