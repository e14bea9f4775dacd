/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sound.h - is what came from a file fit to be worked on?
 *
 * The sums of header.h tell whether it is what was left. This looks at what the code takes for
 * granted of descriptors, lists and buckets: that no list leads out of the arena or round
 * in circles, and that counts agree. It reads each descriptor and each bucket once or
 * twice and no item. No other thread may be inside the store.
 */
#ifndef LARDER_STORE_SOUND_H
#define LARDER_STORE_SOUND_H

#include "store/header.h"
#include "store/slab.h"
#include "store/table.h"

/* Pages: rings, free lists, the pool. */
bool sound_slab(const struct slab *slab);

/*
 * The index, by sections, as section_sum() shows their data:
 *
 *     sound_begin; section_sum(BUCKETS, sound_buckets); section_sum(OVERFLOW, sound_overflow);
 *     sound_end
 */
struct sound {
    const struct table *table;
    uint64_t ref_first, ref_end; /* where items may be */
    uint64_t *met;               /* overflow buckets that something leads to, a bit each */
    uint64_t links;              /* how many */
};
/* False: out of memory. */
bool sound_begin(struct sound *sound, const struct table *table, const struct slab *slab);
bool sound_buckets(void *sound, const char *data, uint64_t at, uint64_t bytes);
bool sound_overflow(void *sound, const char *data, uint64_t at, uint64_t bytes);
/* Frees what it needed: was everything met just once? */
bool sound_end(struct sound *sound);

#endif
