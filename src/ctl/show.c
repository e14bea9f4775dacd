/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/show.h"

static const char HEX[] = "0123456789ABCDEF";

static bool
is_printable(unsigned char c)
{
    return c >= ' ' && c < 0x7f;
}

static char *
put_hex(char *to, unsigned char c)
{
    *to++ = '%';
    *to++ = HEX[c >> 4];
    *to++ = HEX[c & 15u];
    return to;
}

char *
show_key_put(char *to, struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char)key.data[i];

        if (is_printable(c) && c != ' ' && c != '%')
            *to++ = (char)c;
        else
            to = put_hex(to, c);
    }
    return to;
}

static void
show(FILE *to, struct slice text, const char *escaped)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char hex[3];

        if (is_printable(c) && strchr(escaped, c) == NULL) {
            putc_unlocked(c, to);
            continue;
        }
        put_hex(hex, c);
        fwrite(hex, 1, sizeof hex, to);
    }
}

void
show_key(FILE *to, struct slice key)
{
    show(to, key, " %");
}

void
show_line(FILE *to, struct slice line)
{
    show(to, line, "");
}

void
show_line_put(char *to, size_t size, struct slice line)
{
    char *end = to + size - 1;

    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];

        if (is_printable(c) && to < end)
            *to++ = (char)c;
        else if (!is_printable(c) && end - to >= 3)
            to = put_hex(to, c);
        else
            break;
    }
    *to = '\0';
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool
show_decode(char *to, struct slice text, size_t *len_out)
{
    char *start = to;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '%') {
            *to++ = text.data[i];
            continue;
        }
        if (text.len - i < 3)
            return false;
        int high = hex_digit(text.data[i + 1]), low = hex_digit(text.data[i + 2]);
        if (high < 0 || low < 0)
            return false;
        *to++ = (char)(high << 4 | low);
        i += 2;
    }
    *len_out = (size_t)(to - start);
    return true;
}

bool
show_is_word(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = (unsigned char)key.data[i];

        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return key.len > 0;
}
