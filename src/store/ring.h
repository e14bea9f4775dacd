/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h - a first-in first-out queue of references, growing and shrinking by blocks.
 *
 * It holds the probation segment of a size class: who came first leaves first. Blocks are
 * never copied, so a push takes the same time in a queue of ten and of ten million. No
 * locking: the class's lock guards it.
 */
#ifndef LARDER_STORE_RING_H
#define LARDER_STORE_RING_H

#include <stdbool.h>
#include <stdint.h>

struct ring_block;

/* All zero is an empty ring. */
struct ring {
    struct ring_block *first, *last, *spare; /* `spare`: an emptied block, kept for reuse */
    uint32_t first_at, last_at;              /* entries taken from, and put into, those */
    uint64_t count;
};

/* Appends; false: out of memory, and nothing changed. */
bool ring_push(struct ring *ring, uint64_t entry);
/* Removes the oldest entry; false: empty. */
bool ring_pop(struct ring *ring, uint64_t *entry_out);
/* The oldest entry after so many more pops; 0: not known, it is in another block. */
uint64_t ring_ahead(const struct ring *ring, uint32_t pops);
/* Shows all entries, the oldest first, in runs. */
void ring_each(const struct ring *ring,
    void (*fn)(void *context, uint64_t *entries, uint32_t n), void *context);
/* Empties it and frees its memory. */
void ring_fini(struct ring *ring);
/* Memory it holds, in bytes. */
uint64_t ring_bytes(const struct ring *ring);

#endif
