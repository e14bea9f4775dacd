/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - where the store's memory comes from, and what becomes of it: new and gone with
 * the process, taken over from the server before, or in the file of -e.
 *
 * Whatever can't be taken over is said on stderr, and the server starts empty.
 */
#ifndef LARDER_MAIN_MEMORY_H
#define LARDER_MAIN_MEMORY_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/options.h"
#include "main/note.h"
#include "main/predecessor.h"
#include "store/store.h"

struct memory {
    struct store *store;
    struct note note; /* of the server before; zeroed if there was none */
    bool taken_over;
};

/*
 * Makes the store. `clock` was started, and goes on from that of the server before if its
 * store is taken over. 0, or the status to exit with; the reason was printed. The store is
 * the caller's to destroy.
 */
int memory_open(struct memory *memory, const struct store_options *wanted,
    const struct options *options, struct predecessor *predecessor, struct clock *clock)
    __attribute__((warn_unused_result));

/*
 * Leaves the store as it is for another server; only store_destroy() may follow. `note` is
 * what goes with it. *fd_out is the caller's. 0 or -errno, which was logged.
 */
int memory_leave(
    struct store *store, const struct note *note, const struct options *options, int *fd_out)
    __attribute__((warn_unused_result));

#endif
