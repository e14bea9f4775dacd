/* SPDX-License-Identifier: BSD-3-Clause */
/* upkeep.h - the thread that keeps the store's house: expiry, growth, returned pages. */
#ifndef LARDER_MAIN_UPKEEP_H
#define LARDER_MAIN_UPKEEP_H

#include "base/clock.h"
#include "main/bound.h"
#include "store/store.h"

struct journal;
struct upkeep;

/* Starts it; what it does is told to `journal`. NULL with errno set. All arguments are
 * borrowed until upkeep_stop(). */
struct upkeep *upkeep_start(struct store *store, const struct clock *clock,
    struct bound *bound, struct journal *journal);
/* Ends it and frees everything. */
void upkeep_stop(struct upkeep *upkeep);

#endif
