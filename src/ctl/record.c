/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/record.h"

#include <inttypes.h>

#include "base/base64.h"
#include "base/num.h"
#include "ctl/show.h"

void
record_put_begin(FILE *to, uint64_t unix_time)
{
    fprintf(to, "larder-dump 1 %" PRIu64 "\n", unix_time);
}

void
record_put(FILE *to, const struct record *record)
{
    fputs("item ", to);
    show_key(to, slice_of(record->key, record->key_len));
    fprintf(to, " %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", record->flags, record->expires,
        record->bytes);
}

void
record_put_end(FILE *to, uint64_t items)
{
    fprintf(to, "end %" PRIu64 "\n", items);
}

/* Takes the next word off `text`; empty: there is none, or more than one blank. */
static struct slice
word(struct slice *text)
{
    const char *blank = memchr(text->data, ' ', text->len);
    size_t len = blank != NULL ? (size_t)(blank - text->data) : text->len;
    struct slice found = slice_of(text->data, len);

    len += blank != NULL;
    *text = slice_of(text->data + len, text->len - len);
    return found;
}

static bool
number(struct slice *text, uint64_t max, uint64_t *number_out)
{
    return num_u64(word(text), NUM_U64_MAX, number_out) && *number_out <= max;
}

static bool
parse_item(struct slice rest, struct record *record)
{
    char key[SHOW_ROOM(RECORD_KEY_MAX)];
    struct slice shown = word(&rest);
    uint64_t flags;

    if (shown.len > sizeof key || !show_decode(key, shown, &record->key_len) ||
        record->key_len == 0 || record->key_len > RECORD_KEY_MAX)
        return false;
    if (!number(&rest, UINT32_MAX, &flags) ||
        !number(&rest, INT64_MAX, &record->expires) ||
        !number(&rest, INT32_MAX, &record->bytes) || rest.len > 0)
        return false;
    memcpy(record->key, key, record->key_len);
    record->flags = (uint32_t)flags;
    return true;
}

enum record_kind
record_parse(struct slice line, struct record *record, uint64_t *number_out)
{
    struct slice rest = line, kind = word(&rest);
    uint64_t version;

    if (line.len > 0 && line.data[line.len - 1] == ' ')
        return RECORD_BAD;
    if (slice_equal(kind, SLICE("item")))
        return parse_item(rest, record) ? RECORD_ITEM : RECORD_BAD;
    if (slice_equal(kind, SLICE("end")))
        return number(&rest, UINT64_MAX, number_out) && rest.len == 0 ? RECORD_END
                                                                      : RECORD_BAD;
    if (!slice_equal(kind, SLICE("larder-dump")) || !number(&rest, UINT64_MAX, &version))
        return RECORD_BAD;
    if (version != 1)
        return RECORD_TOO_NEW;
    return number(&rest, UINT64_MAX, number_out) && rest.len == 0 ? RECORD_BEGIN
                                                                  : RECORD_BAD;
}

char *
record_command(char *to, const char *verb, const struct record *record, bool *binary)
{
    struct slice key = slice_of(record->key, record->key_len);

    *binary = !show_is_word(key);
    if (*binary && BASE64_TEXT(key.len) > RECORD_KEY_MAX)
        return NULL;
    memcpy(to, verb, strlen(verb));
    to += strlen(verb);
    *to++ = ' ';
    if (*binary)
        return base64_encode(to, key);
    memcpy(to, key.data, key.len);
    return to + key.len;
}
