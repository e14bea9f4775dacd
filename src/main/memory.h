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

/* Which store's. Both are borrowed until memory_fini(). */
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

/* The clock that all stores of a server share. Those that are taken over must have been left
 * together: otherwise the times of some would be wrong. */
struct memory_clock {
    struct clock *clock; /* started */
    bool resumed;        /* it goes on from that of ... */
    struct clock_stamp stamp;
};

/*
 * Makes the store. 0, or the status to exit with; the reason was printed.
 */
int memory_open(struct memory *memory, const struct memory_place *place,
    const struct store_options *wanted, struct predecessor *predecessor,
    struct memory_clock *clock) __attribute__((warn_unused_result));

/*
 * Leaves the store as it is for another server, and puts it into `baggage`, if that is not
 * NULL; only store_destroy() may follow. `note` is what goes with it. What fails is logged.
 */
void memory_leave(struct memory *memory, const struct note *note, struct baggage *baggage);

#endif
