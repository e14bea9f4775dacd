/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/sum.h"

#include <string.h>

/* A multiplication takes three or four steps of the CPU, but one can begin at each: so many
 * run side by side. */
#define LANES 8u
#define LANE_WORDS (SUM_BLOCK / 8 / LANES)

/* Odd numbers with bits all over: the digits of pi, e and the golden ratio. */
#define PI UINT64_C(0x243f6a8885a308d3)
#define E UINT64_C(0xb7e151628aed2a6b)
#define PHI UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
rotate(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

/* The rotation brings down what the multiplication has carried up, so that each bit comes to
 * touch every other. One to one in `word` as well as in `sum`. */
static uint64_t
mix(uint64_t sum, uint64_t word)
{
    return rotate((sum ^ word) * PHI, 29);
}

/* The same on every machine. */
static uint64_t
word_at(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint64_t
sum_block(const unsigned char *block)
{
    uint64_t lanes[LANES], seen = 0, sum = E;

    for (unsigned i = 0; i < LANES; i++)
        lanes[i] = PI + i;
    for (unsigned row = 0; row < LANE_WORDS; row++) {
        for (unsigned i = 0; i < LANES; i++) {
            uint64_t word = word_at(block + i * 8);

            seen |= word;
            lanes[i] = mix(lanes[i], word);
        }
        block += (size_t)LANES * 8;
    }
    if (seen == 0)
        return 0;
    for (unsigned i = 0; i < LANES; i++)
        sum = mix(sum, lanes[i]);
    sum ^= sum >> 32;
    sum *= E;
    return sum ^ sum >> 29;
}

uint64_t
sum_blocks(const void *data, uint64_t first, uint64_t n)
{
    const unsigned char *at = data;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++, at += SUM_BLOCK)
        sum += sum_block(at) * (2 * (first + i) + 1);
    return sum;
}
