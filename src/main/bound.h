/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bound.h - how much memory the process may take: what is promised of it by -m, and
 * --memory-total, which makes items yield to all the rest.
 */
#ifndef LARDER_MAIN_BOUND_H
#define LARDER_MAIN_BOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "main/space.h"

/*
 * Bytes that the process has in memory at most, all in all, as things are: `stats` shows
 * it as memory_bound. Beside -m, the index and all else that the statistics tell, there
 * is a part for the program, its libraries and tables; parts for each worker, connection
 * and namespace are what they take at most. Clients that watch, 256 KiB each, come on
 * top. Any thread.
 */
uint64_t bound_stated(struct spaces *spaces);
/* The same with items as they are, not as many as there may be. */
uint64_t bound_expected(struct spaces *spaces);

struct bound {
    uint64_t total; /* bytes; 0: there is no bound */
    uint64_t items; /* -m: more than this items never get */
    int fd;         /* where the kernel says how much is resident */
};

/* Opens what has to be open before the process is confined. 0, or -errno if `total` can't
 * be kept. */
int bound_open(struct bound *bound, uint64_t total, uint64_t items);
void bound_close(struct bound *bound);
/* Bytes of the process that are in memory; 0: not known. */
uint64_t bound_resident(const struct bound *bound);

/*
 * Gives items what the rest of the process leaves: the limit of the store (of the default
 * namespace; what others are given is theirs, used or not) is lowered at once
 * when index, ghosts, connections and buffers grow, and raised when they have shrunk by a
 * sixty-fourth of the bound. To be called about once a second. The bound can be passed by
 * what grows in that second.
 */
void bound_keep(struct bound *bound, struct spaces *spaces);

#endif
