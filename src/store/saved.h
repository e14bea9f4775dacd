/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * saved.h - what of a store does not lie in its arena, and follows it to another process.
 */
#ifndef LARDER_STORE_SAVED_H
#define LARDER_STORE_SAVED_H

#include "store/core.h"
#include "store/state.h"

/*
 * Saves or loads, as the state says, everything. `sums`: totals of all threads. Loading
 * into a store that was set up from the options and the arena of the file: NULL, or what
 * does not fit them. Every number loaded is within what the code relies on, taken alone;
 * sound.h looks at them together.
 */
const char *saved_exchange(struct state *state, struct store *store,
    struct store_thread *sums);

#endif
