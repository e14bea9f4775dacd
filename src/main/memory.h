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

/* Which store's. Both are borrowed until memory_leave(). */
struct memory_place {
    const char *name;        /* of its namespace; NULL: the default one */
    const char *memory_file; /* -e; NULL: none. Namespaces with a name have FILE.NAME */
};

struct memory {
    struct memory_place place;
    struct store *store; /* the caller's to destroy */
    struct note note;    /* of the server before; zeroed if there was none */
    bool taken_over;
};

/* What all stores of a server share. Of the clock: those that are taken over must have been
 * left together, otherwise the times of some would be wrong. */
struct memory_shared {
    struct clock *clock; /* started */
    bool resumed;        /* it goes on from that of ... */
    struct clock_stamp stamp;
    uint64_t promised; /* bytes that the files of -e before this one may still grow by */
};

/*
 * Makes the store. 0, or the status to exit with; the reason was printed.
 */
int memory_open(struct memory *memory, const struct memory_place *place,
    const struct store_options *wanted, struct predecessor *predecessor,
    struct memory_shared *shared) __attribute__((warn_unused_result));

/*
 * Leaves the store as it is for another server, and puts it into `baggage`, if that is not
 * NULL; only store_destroy() may follow. `note` is what goes with it. What fails is logged.
 */
void memory_leave(struct memory *memory, const struct note *note, struct baggage *baggage);

#endif
