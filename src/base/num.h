/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * num.h - decimal numbers in bytes that have no terminator.
 *
 * Clients send numbers, so nothing here reads past the slice, skips blanks or knows a
 * locale. Formatting is by hand because a reply line is on the hot path.
 */
#ifndef LARDER_BASE_NUM_H
#define LARDER_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Bytes the longest unsigned 64-bit number takes. */
#define NUM_U64_MAX 20u

/* Reads digits and nothing else, at most `chars_max` of them. False: empty, another
 * byte, too long, or over 2^64-1. */
bool num_u64(struct slice text, size_t chars_max, uint64_t *number_out)
    __attribute__((warn_unused_result));

/* The same with an optional minus sign, which counts as a character. False also beyond
 * 64 signed bits. */
bool num_i64(struct slice text, size_t chars_max, int64_t *number_out)
    __attribute__((warn_unused_result));

/* Writes the digits of `number`, at most NUM_U64_MAX bytes, and returns their end. */
char *num_put(char *to, uint64_t number);

#endif
