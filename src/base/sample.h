/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sample.h - which one of many is looked at more closely.
 *
 * The distance from one to the next is random, because a fixed one would fall into step
 * with clients that do the same things in turn and always see the same of them.
 */
#ifndef LARDER_BASE_SAMPLE_H
#define LARDER_BASE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

struct sample {
    uint32_t left;  /* how many until the next is due */
    uint32_t mean;  /* one in so many; 0: none */
    uint32_t state; /* of the random numbers */
};

/* How many on the next one is: 1 to 2 * mean - 1. */
static inline uint32_t
sample_distance(struct sample *sample)
{
    uint32_t x = sample->state;

    x ^= x << 13; /* Marsaglia's xorshift */
    x ^= x >> 17;
    x ^= x << 5;
    sample->state = x;
    return 1 + (uint32_t)(((uint64_t)x * (2 * (uint64_t)sample->mean - 1)) >> 32);
}

/* `seed` differs from thread to thread. */
static inline void
sample_init(struct sample *sample, uint32_t mean, uint32_t seed)
{
    *sample = (struct sample){ .mean = mean, .state = seed * 2654435761u | 1u };
    sample->left = mean == 0 ? 0 : sample_distance(sample);
}

/* True for one call in `mean`. */
static inline bool
sample_due(struct sample *sample)
{
    if (sample->left != 1) {
        sample->left -= sample->left != 0; /* it stays 0 where none is wanted */
        return false;
    }
    sample->left = sample_distance(sample);
    return true;
}

#endif
