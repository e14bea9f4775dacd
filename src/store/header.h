/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * header.h - what an arena's file says of itself: may somebody take it over, and how.
 *
 *   | header | sections of the arena (arena.h) ...   | saved state |
 *   0                                                arena.bytes
 *
 * The header lies at the file's beginning. It says IN_USE from the moment the file is made or
 * taken over; only store_leave(), as its last act, makes that WHOLE. So what a crash leaves
 * behind is never taken for good. The saved state (state.h) is there between leaving and
 * taking over only.
 */
#ifndef LARDER_STORE_HEADER_H
#define LARDER_STORE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "store/arena.h"

/* Counts up with every change of anything that lies in the file: item.h, slab.h, table.h,
 * ghost.h, the list in saved.c, this. */
#define HEADER_VERSION 2u

enum section { SECTION_DESCRIPTORS, SECTION_BUCKETS, SECTION_OVERFLOW, SECTION_GHOSTS,
    SECTION_PAGES, SECTIONS };

enum header_mark { MARK_IN_USE = 0x45535520, MARK_WHOLE = 0x454c4f48 };

struct header {
    char magic[16];
    uint32_t version;
    uint32_t order; /* of the machine's bytes */
    uint32_t item_bytes;
    uint16_t bucket_bytes, overflow_bytes;
    uint32_t descriptor_bytes, ghost_bytes, page_bits;
    uint32_t mark;
    struct arena_sizes sizes;
    uint64_t state_bytes, state_sum;
    uint64_t summed;         /* bits of the sections whose sums are kept */
    uint64_t sums[SECTIONS]; /* see section_sum() */
    uint64_t sum;            /* of what stands above */
};

/* A header for this build and this arena: in use, no sums. */
void header_init(struct header *header, const struct arena *arena);
/* Of all but its sum. */
uint64_t header_sum(const struct header *header);
/* Puts it into the arena's first page with its own sum. */
void header_put(struct header *header, struct arena *arena);
/* Reads and checks that of a file: true if it says that the file was left whole, by a build
 * that laid it out as this one does, and the file is as long as it has to be. */
bool header_read(struct header *header, int fd, const char **why_out);

/* Shows a run of bytes of a section that holds data, at a distance from the section's start.
 * Runs are multiples of SUM_BLOCK. False: ends the walk. */
typedef bool (*section_fn)(void *context, const char *data, uint64_t at, uint64_t bytes);
/*
 * Sums up a section and, unless `fn` is NULL, shows it in pieces that are still in the CPU's
 * caches. Holes of the file are passed over: they hold zeros. 0; -errno; -ECANCELED: `fn` has
 * ended the walk.
 */
int section_sum(const struct arena *arena, enum section section, section_fn fn, void *context,
    uint64_t *sum_out);

#endif
