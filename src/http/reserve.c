/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/reserve.h"

#include <event2/event.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static alignas(max_align_t) char blocks[RESERVE_BLOCKS][RESERVE_SIZE];
static _Atomic uint64_t taken; /* a bit for each */
_Static_assert(RESERVE_BLOCKS == 64, "a word has their bits");

static bool
is_ours(const void *block)
{
    return (uintptr_t)block - (uintptr_t)blocks < sizeof blocks;
}

static void
give(const void *block)
{
    uintptr_t i = ((uintptr_t)block - (uintptr_t)blocks) / RESERVE_SIZE;

    atomic_fetch_and_explicit(&taken, ~(UINT64_C(1) << i), memory_order_release);
}

void *
reserve_take(size_t size)
{
    uint64_t now = atomic_load_explicit(&taken, memory_order_relaxed);

    if (size > RESERVE_SIZE)
        return NULL;
    while (now != UINT64_MAX) {
        unsigned i = (unsigned)__builtin_ctzll(~now);

        if (atomic_compare_exchange_weak_explicit(&taken, &now, now | UINT64_C(1) << i,
                memory_order_acquire, memory_order_relaxed))
            return blocks[i];
    }
    return NULL;
}

void *
reserve_malloc(size_t size)
{
    void *block = malloc(size);

    if (block == NULL)
        block = reserve_take(size);
    return block;
}

void *
reserve_realloc(void *block, size_t size)
{
    void *longer;

    if (block == NULL)
        return reserve_malloc(size);
    if (!is_ours(block))
        return realloc(block, size);
    if (size <= RESERVE_SIZE)
        return block;
    longer = malloc(size);
    if (longer != NULL) {
        memcpy(longer, block, RESERVE_SIZE);
        give(block);
    }
    return longer;
}

void
reserve_free(void *block)
{
    if (is_ours(block))
        give(block);
    else
        free(block);
}

void
reserve_install(void)
{
    event_set_mem_functions(reserve_malloc, reserve_realloc, reserve_free);
}
