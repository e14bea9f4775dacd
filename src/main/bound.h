/* SPDX-License-Identifier: BSD-3-Clause */
/* bound.h - one bound for all memory of the process (--memory-total). */
#ifndef LARDER_MAIN_BOUND_H
#define LARDER_MAIN_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "main/space.h"

struct bound {
    uint64_t total;    /* bytes; 0: there is no bound */
    uint64_t items;    /* -m: more than this items never get */
    int fd;            /* where the kernel says how much is resident */
};

/* Opens what has to be open before the process is confined. 0 or -errno. */
int bound_open(struct bound *bound, uint64_t total, uint64_t items);
void bound_close(struct bound *bound);

/*
 * Gives items what the rest of the process leaves: the limit of the store (of the default
 * namespace; what others are given is theirs, used or not) is lowered at once
 * when index, ghosts, connections and buffers grow, and raised when they have shrunk by a
 * sixty-fourth of the bound. To be called about once a second. The bound can be passed by what
 * grows in that second.
 */
void bound_keep(struct bound *bound, struct spaces *spaces);

/* The limit for items when `resident` bytes are in use by the process, `held` of them by
 * items; at least ITEMS_LEAST. */
uint64_t bound_for_items(const struct bound *bound, uint64_t resident, uint64_t held);

#endif
