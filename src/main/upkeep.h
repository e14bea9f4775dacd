/* SPDX-License-Identifier: BSD-3-Clause */
/* upkeep.h - the thread that keeps the stores' house: expiry, growth, returned memory. */
#ifndef LARDER_MAIN_UPKEEP_H
#define LARDER_MAIN_UPKEEP_H

#include "main/bound.h"
#include "main/space.h"

struct upkeep;

/* Starts it; what it does is told to the journal of each. NULL with errno set. All
 * arguments are borrowed until upkeep_stop(). */
struct upkeep *upkeep_start(struct spaces *spaces, struct bound *bound);
/* Ends it and frees everything. */
void upkeep_stop(struct upkeep *upkeep);

#endif
