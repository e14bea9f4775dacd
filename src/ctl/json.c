/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/json.h"

#include <inttypes.h>
#include <math.h>

#include "base/base64.h"
#include "ctl/show.h"

/* Bytes for each call of the encoder; a multiple of 3. */
#define PIECE 3072u
/* Longer text counts as not escaped. */
#define ESCAPED_MAX 4096u

static void
separate(struct json *json)
{
    if (json->comma)
        putc_unlocked(',', json->to);
    json->comma = true;
}

void
json_begin(struct json *json, char bracket)
{
    separate(json);
    putc_unlocked(bracket, json->to);
    json->comma = false;
}

void
json_end(struct json *json, char bracket)
{
    putc_unlocked(bracket, json->to);
    json->comma = true;
}

void
json_line(struct json *json)
{
    putc_unlocked('\n', json->to);
    json->comma = false;
}

static void
quote(struct json *json, struct slice text)
{
    static const char HEX[] = "0123456789ABCDEF";
    FILE *to = json->to;

    putc_unlocked('"', to);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c == '"' || c == '\\') {
            putc_unlocked('\\', to);
            putc_unlocked(c, to);
        } else if (c >= ' ' && c < 0x7f && c != '%') {
            putc_unlocked(c, to);
        } else {
            putc_unlocked('%', to);
            putc_unlocked(HEX[c >> 4], to);
            putc_unlocked(HEX[c & 15u], to);
        }
    }
    putc_unlocked('"', to);
}

void
json_name(struct json *json, struct slice name)
{
    separate(json);
    quote(json, name);
    putc_unlocked(':', json->to);
    json->comma = false;
}

void
json_text(struct json *json, struct slice text)
{
    separate(json);
    quote(json, text);
}

void
json_escaped(struct json *json, struct slice text)
{
    char bytes[ESCAPED_MAX];
    size_t len;

    if (text.len <= sizeof bytes && show_decode(bytes, text, &len))
        json_text(json, slice_of(bytes, len));
    else
        json_text(json, text);
}

void
json_u64(struct json *json, uint64_t number)
{
    separate(json);
    fprintf(json->to, "%" PRIu64, number);
}

void
json_i64(struct json *json, int64_t number)
{
    separate(json);
    fprintf(json->to, "%" PRId64, number);
}

void
json_real(struct json *json, double number)
{
    separate(json);
    if (isfinite(number))
        fprintf(json->to, "%.3f", number);
    else
        fputs("null", json->to);
}

void
json_bool(struct json *json, bool value)
{
    separate(json);
    fputs(value ? "true" : "false", json->to);
}

static size_t
digits(struct slice text, size_t from)
{
    size_t i = from;

    while (i < text.len && text.data[i] >= '0' && text.data[i] <= '9')
        i++;
    return i - from;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?, not too long to mean anything. */
static bool
is_number(struct slice text)
{
    size_t at = text.len > 0 && text.data[0] == '-';
    size_t whole = digits(text, at);

    if (whole == 0 || whole > 20 || (whole > 1 && text.data[at] == '0'))
        return false;
    at += whole;
    if (at == text.len)
        return true;
    if (text.data[at] != '.')
        return false;
    size_t part = digits(text, at + 1);
    return part > 0 && part <= 20 && at + 1 + part == text.len;
}

void
json_word(struct json *json, struct slice text)
{
    if (!is_number(text)) {
        json_text(json, text);
        return;
    }
    separate(json);
    fwrite(text.data, 1, text.len, json->to);
}

void
json_base64_begin(struct json *json)
{
    separate(json);
    putc_unlocked('"', json->to);
}

static void
put_base64(struct json *json, struct slice bytes)
{
    char text[BASE64_TEXT(PIECE)];
    char *end = base64_encode(text, bytes);

    fwrite(text, 1, (size_t)(end - text), json->to);
}

void
json_base64_more(struct json *json, struct slice piece)
{
    while (piece.len > 0 && (json->n_carry > 0 || piece.len < 3)) {
        json->carry[json->n_carry++] = *piece.data;
        piece = slice_of(piece.data + 1, piece.len - 1);
        if (json->n_carry == 3) {
            put_base64(json, slice_of(json->carry, 3));
            json->n_carry = 0;
        }
    }
    while (piece.len >= 3) {
        size_t len = piece.len < PIECE ? piece.len / 3 * 3 : PIECE;

        put_base64(json, slice_of(piece.data, len));
        piece = slice_of(piece.data + len, piece.len - len);
    }
    for (size_t i = 0; i < piece.len; i++)
        json->carry[json->n_carry++] = piece.data[i];
}

void
json_base64_end(struct json *json)
{
    put_base64(json, slice_of(json->carry, json->n_carry));
    json->n_carry = 0;
    putc_unlocked('"', json->to);
}

static struct json *
named(struct json *json, const char *name)
{
    json_name(json, slice_of(name, strlen(name)));
    return json;
}

void
json_pair_text(struct json *json, const char *name, struct slice text)
{
    json_text(named(json, name), text);
}

void
json_pair_u64(struct json *json, const char *name, uint64_t number)
{
    json_u64(named(json, name), number);
}

void
json_pair_i64(struct json *json, const char *name, int64_t number)
{
    json_i64(named(json, name), number);
}

void
json_pair_real(struct json *json, const char *name, double number)
{
    json_real(named(json, name), number);
}
