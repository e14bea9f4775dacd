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

/* -1: none. */
static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *
escape_undo(char *to, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high, low;

        if (text.data[i] != '%') {
            *to++ = text.data[i];
            continue;
        }
        if (text.len - i < 3)
            return NULL;
        high = hex_digit(text.data[i + 1]);
        low = hex_digit(text.data[i + 2]);
        if (high < 0 || low < 0)
            return NULL;
        *to++ = (char)(high << 4 | low);
        i += 2;
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
