/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/base64.h"

#include <stdint.h>

#define PAD 64u  /* what '=' stands for */
#define NONE 65u /* not of the alphabet */

static const char DIGITS[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_encode(char *to, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)(unsigned char)bytes.data[i] << 16;

        if (left > 1)
            bits |= (uint32_t)(unsigned char)bytes.data[i + 1] << 8;
        if (left > 2)
            bits |= (uint32_t)(unsigned char)bytes.data[i + 2];
        *to++ = DIGITS[bits >> 18 & 63u];
        *to++ = DIGITS[bits >> 12 & 63u];
        *to++ = left > 1 ? DIGITS[bits >> 6 & 63u] : '=';
        *to++ = left > 2 ? DIGITS[bits & 63u] : '=';
    }
    return to;
}

static unsigned
digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26u;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52u;
    if (c == '+')
        return 62u;
    if (c == '/')
        return 63u;
    return c == '=' ? PAD : NONE;
}

size_t
base64_decode(char *to, struct slice text)
{
    uint32_t bits = 0;
    unsigned digits = 0, pads = 0;
    size_t len = 0;
    bool over = false;

    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = digit_of(text.data[i]);

        if (digit == NONE)
            continue;
        digits++;
        if (over)
            continue; /* it still counts for the groups being whole */
        pads += digit == PAD;
        bits = bits << 6 | (digit & 63u);
        if (digits % 4 != 0)
            continue;
        if (pads > 2)
            return 0;
        to[len++] = (char)(bits >> 16);
        if (pads < 2)
            to[len++] = (char)(bits >> 8);
        if (pads < 1)
            to[len++] = (char)bits;
        over = pads > 0;
    }
    return digits % 4 == 0 ? len : 0;
}
