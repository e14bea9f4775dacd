/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sandbox.h - what the process gives up before it listens to anybody (-o sandbox).
 *
 * Entered once, while there is one thread, when everything is open that serving needs:
 * threads inherit it, and nothing takes it back. Four layers, each of use without the
 * others: no new privileges by execve, no capabilities, no system calls but those that
 * serving needs (seccomp), no files but those that are read again (Landlock).
 */
#ifndef LARDER_MAIN_SANDBOX_H
#define LARDER_MAIN_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"

#define SANDBOX_PATHS_MAX  48u
#define SANDBOX_LAYERS_MAX 96u

/* What must still be possible. Zeroed: nothing but serving. Paths are borrowed. */
struct sandbox_needs {
    enum sandbox_mode mode;
    /* SASL's library checks passwords: it may read any file and talk to any server. */
    bool foreign_logins;
    bool lock_memory; /* -k: what is allocated later is locked too */
    /* Files that are opened for reading again; replaced ones too, so that what becomes
     * readable is the directory of each, and of what it is a link to. */
    const char *read[SANDBOX_PATHS_MAX];
    unsigned nread;
    /* Files and sockets that are removed at the end; again by their directories. */
    const char *removed[SANDBOX_PATHS_MAX];
    unsigned nremoved;
};

/* NULL paths are left out. There must be room. */
void sandbox_will_read(struct sandbox_needs *needs, const char *path);
void sandbox_will_remove(struct sandbox_needs *needs, const char *path);

/*
 * Enters it. `layers_out` becomes the names of the layers in force, joined by commas, or
 * "none". What the kernel refuses is said on stderr and gone without; with SANDBOX_STRICT
 * that is an error. Returns 0 or the status to exit with.
 */
int sandbox_enter(
    const struct sandbox_needs *needs, char layers_out[static SANDBOX_LAYERS_MAX]);

/* Why this program can't be confined, whatever the kernel has: a word for what it was
 * built with; or NULL. */
const char *sandbox_unfit(void);

/* ---- Layers; private to the sandbox files ------------------------------------------- */

/* Each returns 0 when it is in force, or -errno. ENOTSUP: not built in. */
int sandbox_drop_capabilities(const struct sandbox_needs *needs);
int sandbox_limit_calls(const struct sandbox_needs *needs);
int sandbox_limit_paths(const struct sandbox_needs *needs);

#endif
