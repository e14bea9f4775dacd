/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/escape.h"

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

bool
escape_is_word(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char)key.data[i];

        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return true;
}
