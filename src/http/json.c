/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/json.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdint.h>

#include "admin/escape.h"
#include "base/assert.h"
#include "store/store.h"

static void
put(struct json *json, const char *bytes, size_t len)
{
    if (evbuffer_add(json->out, bytes, len) != 0)
        json->failed = true;
}

/* The length of the UTF-8 sequence at the front of `text`, 0 if there is none. */
static size_t
utf8_len(struct slice text)
{
    static const struct {
        uint32_t least, most;
    } ranges[] = { { 0, 0x7f }, { 0x80, 0x7ff }, { 0x800, 0xffff },
        { 0x10000, 0x10ffff } };
    unsigned char first = (unsigned char)text.data[0];
    size_t len = first < 0x80   ? 1
                 : first < 0xc2 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                                : 4;
    uint32_t code = len == 1 ? first : first & (0x7fu >> len);

    if (len == 0 || len > text.len || first > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++) {
        unsigned char next = (unsigned char)text.data[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (next & 0x3fu);
    }
    if (code < ranges[len - 1].least || code > ranges[len - 1].most ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return len;
}

static bool
is_plain(unsigned char c)
{
    return c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' &&
           c != 0x7f;
}

static void
put_string(struct json *json, struct slice text)
{
    put(json, "\"", 1);
    while (text.len > 0) {
        size_t len = utf8_len(text);
        unsigned char c = (unsigned char)text.data[0];
        if (len == 0)
            put(json, "\\ufffd", 6);
        else if (len > 1 || is_plain(c))
            put(json, text.data, len);
        else if (evbuffer_add_printf(json->out, "\\u%04x", c) < 0)
            json->failed = true;
        len = len == 0 ? 1 : len;
        text = slice_of(text.data + len, text.len - len);
    }
    put(json, "\"", 1);
}

static void
begin(struct json *json, struct slice name)
{
    if (json->comma)
        put(json, ",", 1);
    json->comma = true;
    if (name.data == NULL)
        return;
    put_string(json, name);
    put(json, ":", 1);
}

static struct slice
named(const char *name)
{
    return slice_of(name, name == NULL ? 0 : strlen(name));
}

void
json_open(struct json *json, const char *name, char bracket)
{
    begin(json, named(name));
    put(json, &bracket, 1);
    json->comma = false;
}

void
json_close(struct json *json, char bracket)
{
    put(json, &bracket, 1);
    json->comma = true;
}

void
json_number(struct json *json, const char *name, const char *format, ...)
{
    va_list args;

    begin(json, named(name));
    va_start(args, format);
    if (evbuffer_add_vprintf(json->out, format, args) < 0)
        json->failed = true;
    va_end(args);
}

void
json_bool(struct json *json, const char *name, bool value)
{
    begin(json, named(name));
    put(json, value ? "true" : "false", value ? 4 : 5);
}

void
json_text(struct json *json, struct slice name, struct slice value)
{
    begin(json, name);
    put_string(json, value);
}

static bool
is_readable(struct slice text)
{
    while (text.len > 0) {
        size_t len = utf8_len(text);
        unsigned char c = (unsigned char)text.data[0];
        /* C1 controls begin with 0xc2 in UTF-8. */
        if (len == 0 || c < ' ' || c == 0x7f ||
            (c == 0xc2 && (unsigned char)text.data[1] < 0xa0))
            return false;
        text = slice_of(text.data + len, text.len - len);
    }
    return true;
}

void
json_key(struct json *json, struct slice key)
{
    char text[3 * KEY_LEN_MAX];

    assert(key.len <= KEY_LEN_MAX);
    if (is_readable(key)) {
        json_text(json, SLICE("key"), key);
        return;
    }
    const char *end = escape_percent(text, key);
    json_text(json, SLICE("key"), slice_of(text, (size_t)(end - text)));
    json_bool(json, "encoded", true);
}
