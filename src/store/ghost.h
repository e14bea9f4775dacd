/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ghost.h - what was evicted lately: 4 bytes for a key.
 *
 *   set, half a cache line   | entry | entry | ... 8 entries, the latest first
 *   entry, 4 bytes           | fingerprint 13 | class 6 | sequence 13 |
 *
 * Each bucket of the index has a set beside it, so the table grows with the index and a set
 * is guarded by the bucket's stripe. The fingerprint is of the keyed hash: nobody can aim
 * at another's entry. The sequence counts the evictions of the class, in steps that grow
 * with the class, so that the age of an entry is told in evictions. A key that is taken
 * for another (less than one in a thousand) is only kept a little longer than it deserves.
 * The fingerprint is of bits that the index has as well, so that who knows the slot of a
 * victim need not hash its key; beyond 8 million buckets it loses a bit with each doubling,
 * like the tags there.
 *
 * The idea is the ghost queue of S3-FIFO (Yang et al., SOSP 2023); entries as fingerprints
 * in sets are ours, and cost less than a queue.
 *
 * They lie in the arena, in a section that is committed by the first evictions.
 */
#ifndef LARDER_STORE_GHOST_H
#define LARDER_STORE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

#define GHOST_SLOTS 8

struct ghost_set {
    uint32_t entries[GHOST_SLOTS];
};

struct ghost {
    struct ghost_set *sets; /* as many as the index can have buckets; zeros at first */
};

/* Notes an eviction under the bucket's stripe. `step`: the class's eviction count, in its
 * present steps. */
void ghost_add(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step);
/* Forgets a key if it was noted for this class: true, and how many steps ago. */
bool ghost_take(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step, uint32_t *age_out);
/* Ages are told modulo this many steps. */
#define GHOST_STEPS (1u << 13)

#endif
