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

static const char PAIRS[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

static size_t
digits_of(uint64_t number)
{
    size_t digits = 1;

    for (; number >= 10000; number /= 10000)
        digits += 4;
    return digits + (number >= 10) + (number >= 100) + (number >= 1000);
}

char *
num_put(char *to, uint64_t number)
{
    char *end, *at;

    if (number < 10) {
        *to = (char)('0' + number);
        return to + 1;
    }
    end = at = to + digits_of(number);
    for (; number >= 100; number /= 100)
        memcpy(at -= 2, PAIRS + number % 100 * 2, 2);
    if (number >= 10)
        memcpy(at - 2, PAIRS + number * 2, 2);
    else
        at[-1] = (char)('0' + number);
    return end;
}
