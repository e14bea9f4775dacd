/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/escape.h"

#include <stdint.h>

static bool
is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        c == '-' || c == '.' || c == '_' || c == '~';
}

char *
escape_percent(char *to, struct slice text)
{
    static const char HEX[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (is_plain(c)) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = HEX[c >> 4];
            *to++ = HEX[c & 15u];
        }
    }
    return to;
}

char *
escape_base64(char *to, struct slice text)
{
    static const char DIGITS[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < text.len; i += 3) {
        size_t left = text.len - i;
        uint32_t bits = (uint32_t)(unsigned char)text.data[i] << 16;
        if (left > 1)
            bits |= (uint32_t)(unsigned char)text.data[i + 1] << 8;
        if (left > 2)
            bits |= (uint32_t)(unsigned char)text.data[i + 2];
        *to++ = DIGITS[bits >> 18 & 63u];
        *to++ = DIGITS[bits >> 12 & 63u];
        *to++ = left > 1 ? DIGITS[bits >> 6 & 63u] : '=';
        *to++ = left > 2 ? DIGITS[bits & 63u] : '=';
    }
    return to;
}
