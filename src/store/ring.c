/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/ring.h"

#include <stdlib.h>

#include "base/assert.h"

/* A block is a page of memory. */
#define BLOCK_ENTRIES 511u

struct ring_block {
    struct ring_block *next;
    uint64_t entries[BLOCK_ENTRIES];
};
_Static_assert(sizeof(struct ring_block) == 4096, "a block is a page");

/* Both are apart from what is done for each entry. */
__attribute__((noinline, cold)) static bool
add_block(struct ring *ring)
{
    struct ring_block *block = ring->spare;

    if (block != NULL)
        ring->spare = NULL;
    else
        block = malloc(sizeof *block);
    if (block == NULL)
        return false;
    block->next = NULL;
    if (ring->last != NULL) {
        ring->last->next = block;
    } else {
        ring->first = block;
        ring->first_at = 0;
    }
    ring->last = block;
    ring->last_at = 0;
    return true;
}

/* The first block has given all that it held. */
__attribute__((noinline, cold)) static void
drop_block(struct ring *ring)
{
    struct ring_block *block = ring->first;

    ring->first = block->next;
    ring->first_at = 0;
    if (ring->first == NULL)
        ring->last = NULL;
    if (ring->spare == NULL)
        ring->spare = block;
    else
        free(block);
}

bool
ring_push(struct ring *ring, uint64_t entry)
{
    if ((ring->last == NULL || ring->last_at == BLOCK_ENTRIES) && !add_block(ring))
        return false;
    ring->last->entries[ring->last_at++] = entry;
    ring->count++;
    return true;
}

bool
ring_pop(struct ring *ring, uint64_t *entry_out)
{
    if (ring->count == 0)
        return false;
    *entry_out = ring->first->entries[ring->first_at++];
    ring->count--;
    if (ring->first_at == BLOCK_ENTRIES || ring->count == 0)
        drop_block(ring);
    return true;
}

uint64_t
ring_ahead(const struct ring *ring, uint32_t pops)
{
    uint32_t at = ring->first_at + pops;

    return ring->count > pops && at < BLOCK_ENTRIES ? ring->first->entries[at] : 0;
}

void
ring_each(const struct ring *ring, void (*fn)(void *context, uint64_t *entries, uint32_t n),
    void *context)
{
    uint32_t from = ring->first_at;

    for (struct ring_block *block = ring->first; block != NULL; block = block->next) {
        uint32_t to = block == ring->last ? ring->last_at : BLOCK_ENTRIES;

        fn(context, block->entries + from, to - from);
        from = 0;
    }
}

void
ring_fini(struct ring *ring)
{
    while (ring->first != NULL)
        drop_block(ring);
    free(ring->spare);
    *ring = (struct ring){ .first = NULL };
}

uint64_t
ring_bytes(const struct ring *ring)
{
    uint64_t blocks = (ring->count + ring->first_at + BLOCK_ENTRIES - 1) / BLOCK_ENTRIES;

    return (blocks + (ring->spare != NULL ? 1 : 0)) * sizeof(struct ring_block);
}
