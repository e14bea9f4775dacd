/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/ghost.h"

#define STEP_BITS 13
#define CLASS_BITS 6
#define STEP_MASK (GHOST_STEPS - 1)

/* Fingerprint and class: all that has to be equal. The low bits of the hash have chosen the
 * set, so the fingerprint is of the highest. Never 0 as a whole, since classes are not. */
static uint32_t
name_of(uint64_t hash, unsigned slab_class)
{
    return (uint32_t)(hash >> 51) << (STEP_BITS + CLASS_BITS) | slab_class << STEP_BITS;
}

void
ghost_add(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step)
{
    struct ghost_set *set = &ghost->sets[bucket];
    uint32_t entry = name_of(hash, slab_class) | (step & STEP_MASK);

    /* Under the stripe: relaxed loads and stores, for the sake of the letter of C only. */
    for (unsigned i = 0; i < GHOST_SLOTS && entry != 0; i++) {
        uint32_t pushed = atomic_load_explicit(&set->entries[i], memory_order_relaxed);

        atomic_store_explicit(&set->entries[i], entry, memory_order_relaxed);
        entry = pushed;
    }
}

/* Closes the gap that an entry leaves. */
static void
remove_entry(struct ghost_set *set, unsigned i)
{
    for (; i + 1 < GHOST_SLOTS; i++)
        atomic_store_explicit(&set->entries[i],
            atomic_load_explicit(&set->entries[i + 1], memory_order_relaxed),
            memory_order_relaxed);
    atomic_store_explicit(&set->entries[GHOST_SLOTS - 1], 0, memory_order_relaxed);
}

bool
ghost_take(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step, uint32_t *age_out)
{
    struct ghost_set *set = &ghost->sets[bucket];
    uint32_t name = name_of(hash, slab_class);

    for (unsigned i = 0; i < GHOST_SLOTS; i++) {
        uint32_t entry = atomic_load_explicit(&set->entries[i], memory_order_relaxed);

        if (entry == 0)
            return false;
        if ((entry & ~STEP_MASK) != name)
            continue;
        *age_out = (step - entry) & STEP_MASK;
        remove_entry(set, i);
        return true;
    }
    return false;
}
