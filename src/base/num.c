/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/num.h"

/* Nineteen digits can't overflow 64 bits; only a longer text needs checked arithmetic. */
#define DIGITS_SAFE 19u

bool
num_u64(struct slice text, size_t chars_max, uint64_t *number_out)
{
    uint64_t number = 0;

    if (text.len == 0 || text.len > chars_max)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';

        if (digit > 9)
            return false;
        if (i < DIGITS_SAFE) {
            number = number * 10 + digit;
            continue;
        }
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    *number_out = number;
    return true;
}

bool
num_i64(struct slice text, size_t chars_max, int64_t *number_out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t size;

    if (negative) {
        if (chars_max == 0)
            return false;
        text = slice_of(text.data + 1, text.len - 1);
        chars_max--;
    }
    if (!num_u64(text, chars_max, &size) || size > limit)
        return false;
    /* Minus 2^63 has no positive twin, so the sign is applied in unsigned arithmetic. */
    *number_out = (int64_t)(negative ? 0 - size : size);
    return true;
}

char *
num_put(char *to, uint64_t number)
{
    char digits[NUM_U64_MAX];
    char *first = digits + NUM_U64_MAX;
    size_t len;

    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    len = (size_t)(digits + NUM_U64_MAX - first);
    for (size_t i = 0; i < len; i++)
        to[i] = first[i];
    return to + len;
}
