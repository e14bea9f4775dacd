/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/ghost.h"

#include <stddef.h>
#include <string.h>

#include "store/table.h"

#define STEP_BITS 13
#define CLASS_BITS 6
/* The highest bits of the hash that a slot of the index has. */
#define FINGERPRINT_AT (TABLE_POWER_MIN + TABLE_TAG_BITS - FINGERPRINT_BITS)
#define FINGERPRINT_BITS 13
_Static_assert(FINGERPRINT_BITS + CLASS_BITS + STEP_BITS == 32, "an entry is 32 bits");
#define STEP_MASK (GHOST_STEPS - 1)
#define NAME_MASK (~STEP_MASK)

/* Fingerprint and class: all that has to be equal. The low bits of the hash have chosen the
 * set, so the fingerprint is of the highest that the index and its stripe know too. Never 0
 * as a whole, since classes are not. */
static uint32_t
name_of(uint64_t hash, unsigned slab_class)
{
    return (uint32_t)(hash >> FINGERPRINT_AT) << (STEP_BITS + CLASS_BITS) |
        slab_class << STEP_BITS;
}

/* Half a set, looked at at once by the vector instructions that every x86-64 and arm64 has: two by
 * two a look took 42 instructions and an addition 32, with them 32 and 15. */
typedef uint32_t lanes __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));
#define LANES 4
_Static_assert(2 * LANES == GHOST_SLOTS, "two looks see a set");

static lanes
lanes_at(const struct ghost_set *set, unsigned slot)
{
    lanes got;

    memcpy(&got, &set->entries[slot], sizeof got);
    return got;
}

static void
put_lanes(struct ghost_set *set, unsigned slot, lanes put)
{
    memcpy(&set->entries[slot], &put, sizeof put);
}

/* What differs by less than a step's bits has the name. */
static bool
is_noted(const struct ghost_set *set, uint32_t name)
{
    const lanes names = { name, name, name, name };
    const lanes mask = { NAME_MASK, NAME_MASK, NAME_MASK, NAME_MASK };
    halves found = (halves)((((lanes_at(set, 0) ^ names) & mask) == 0) |
        (((lanes_at(set, LANES) ^ names) & mask) == 0));

    return (found[0] | found[1]) != 0;
}

void
ghost_add(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step)
{
    struct ghost_set *set = &ghost->sets[bucket];
    lanes first = lanes_at(set, 0), last = lanes_at(set, LANES - 1);

    put_lanes(set, LANES, last);
    put_lanes(set, 1, first);
    set->entries[0] = name_of(hash, slab_class) | (step & STEP_MASK);
}

bool
ghost_take(struct ghost *ghost, uint32_t bucket, uint64_t hash, unsigned slab_class,
    uint32_t step, uint32_t *age_out)
{
    struct ghost_set *set = &ghost->sets[bucket];
    uint32_t name = name_of(hash, slab_class), *entry = set->entries;

    if (!is_noted(set, name))
        return false;
    while ((*entry ^ name) >= GHOST_STEPS)
        entry++;
    *age_out = (step - (*entry ^ name)) & STEP_MASK;
    memmove(entry, entry + 1, (size_t)(set->entries + GHOST_SLOTS - 1 - entry) * sizeof *entry);
    set->entries[GHOST_SLOTS - 1] = 0;
    return true;
}
