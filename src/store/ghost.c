/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/ghost.h"

#include <stddef.h>

#include "store/table.h"

#define STEP_BITS 13
#define CLASS_BITS 6
/* The highest bits of the hash that a slot of the index has. */
#define FINGERPRINT_AT (TABLE_POWER_MIN + TABLE_TAG_BITS - FINGERPRINT_BITS)
#define FINGERPRINT_BITS 13
_Static_assert(FINGERPRINT_BITS + CLASS_BITS + STEP_BITS == 32, "an entry is 32 bits");
#define STEP_MASK (GHOST_STEPS - 1)

/* Fingerprint and class: all that has to be equal. The low bits of the hash have chosen the
 * set, so the fingerprint is of the highest that the index and its stripe know too. Never 0
 * as a whole, since classes are not. */
static uint32_t
name_of(uint64_t hash, unsigned slab_class)
{
    return (uint32_t)(hash >> FINGERPRINT_AT) << (STEP_BITS + CLASS_BITS) |
        slab_class << STEP_BITS;
}

/* Under the stripe: relaxed loads and stores, for the sake of the letter of C only. */
static uint64_t
word_of(const struct ghost_set *set, unsigned i)
{
    return atomic_load_explicit(&set->words[i], memory_order_relaxed);
}

static void
set_word(struct ghost_set *set, unsigned i, uint64_t word)
{
    atomic_store_explicit(&set->words[i], word, memory_order_relaxed);
}

void
ghost_add(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step)
{
    struct ghost_set *set = &ghost->sets[bucket];
    uint64_t pushed = name_of(hash, slab_class) | (step & STEP_MASK);

    GHOST_UNROLL
    for (unsigned i = 0; i < GHOST_WORDS; i++) {
        uint64_t word = word_of(set, i);

        set_word(set, i, word << 32 | pushed);
        pushed = word >> 32;
    }
}

/* Closes the gap that an entry leaves. */
static void
remove_entry(struct ghost_set *set, unsigned slot)
{
    unsigned i = slot / 2;
    uint64_t word = word_of(set, i), low = slot % 2 == 0 ? word >> 32 : (uint32_t)word;

    for (; i < GHOST_WORDS; i++) {
        uint64_t next = i + 1 < GHOST_WORDS ? word_of(set, i + 1) : 0;

        set_word(set, i, low | next << 32);
        low = next >> 32;
    }
}

bool
ghost_take(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step, uint32_t *age_out)
{
    struct ghost_set *set = &ghost->sets[bucket];
    uint64_t name = name_of(hash, slab_class), both = name << 32 | name, found;
    unsigned slot;

    /* What differs by less than a step's bits has the name. */
    GHOST_UNROLL
    for (unsigned i = 0; i < GHOST_WORDS; i++) {
        uint64_t off = word_of(set, i) ^ both;

        slot = 2 * i;
        found = (uint32_t)off;
        if (found < GHOST_STEPS)
            goto out;
        slot++;
        found = off >> 32;
        if (found < GHOST_STEPS)
            goto out;
    }
    return false;
out:
    *age_out = (step - (uint32_t)found) & STEP_MASK;
    remove_entry(set, slot);
    return true;
}
