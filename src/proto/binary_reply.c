/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * binary_reply.c - the packets a binary client reads.
 *
 * Statuses and texts are memcached's to the full stop, because clients show them and
 * tests compare them. An error has no key, no extras and no CAS unique.
 */
#include "proto/binary_reply.h"

#include <endian.h>
#include <string.h>

#include "base/assert.h"
#include "proto/binary.h"

#define REPLY_MAGIC 0x81
#define OPCODE_STAT 0x10

struct status_row {
    uint16_t status;
    const char *text;
};

/* Codes that have no row are of other protocols alone. */
static const struct status_row STATUSES[] = {
    [OUTCOME_NONE] = { BINARY_OK, "" },
    [OUTCOME_STORED] = { BINARY_OK, "" },
    [OUTCOME_DELETED] = { BINARY_OK, "" },
    [OUTCOME_TOUCHED] = { BINARY_OK, "" },
    [OUTCOME_OK] = { BINARY_OK, "" },
    [OUTCOME_NUMBER] = { BINARY_OK, "" },
    [OUTCOME_LOGGED_IN] = { BINARY_OK, "Authenticated" },
    [OUTCOME_NOT_FOUND] = { BINARY_NOT_FOUND, "Not found" },
    [OUTCOME_EXISTS] = { 0x02, "Data exists for key." },
    [OUTCOME_TOO_LARGE] = { 0x03, "Too large." },
    [OUTCOME_REPLY_LONG] = { 0x03, "Too large." },
    [OUTCOME_BAD_ARGUMENTS] = { 0x04, "Invalid arguments" },
    [OUTCOME_NOT_STORED] = { 0x05, "Not stored." },
    [OUTCOME_NOT_A_NUMBER] = { 0x06, "Non-numeric server-side value for incr or decr" },
    [OUTCOME_FLUSH_DENIED] = { 0x20, "Auth failure." },
    [OUTCOME_NOT_ALLOWED] = { 0x20, "Not allowed on this listener" },
    [OUTCOME_UNAUTHENTICATED] = { 0x20, "Auth failure." },
    [OUTCOME_LOGIN_FAILED] = { 0x20, "Auth failure." },
    [OUTCOME_UNKNOWN] = { 0x81, "Unknown command" },
    [OUTCOME_NO_MEMORY] = { 0x82, "Out of memory incrementing value" },
    [OUTCOME_NO_MEMORY_CREATING] = { 0x82, "Out of memory allocating new item" },
    [OUTCOME_NO_MEMORY_STORING] = { 0x82, "Out of memory allocating item" },
    [OUTCOME_NO_MEMORY_READING] = { 0x82, "Out of memory" },
    [OUTCOME_NO_MEMORY_LOGIN] = { 0x82, "Out of memory" },
    [OUTCOME_NO_MEMORY_STATS] = { 0x82, "Out of memory generating stats" },
};

/* What it means that a condition did not hold depends on which it was: add wants no such
 * key, all others want one. */
static enum outcome_code
told_as(enum verb verb, enum outcome_code code)
{
    bool joins = verb == VERB_APPEND || verb == VERB_PREPEND;

    if (code == OUTCOME_NOT_STORED && verb == VERB_ADD)
        return OUTCOME_EXISTS;
    if (code == OUTCOME_NOT_STORED && verb == VERB_REPLACE)
        return OUTCOME_NOT_FOUND;
    if (code == OUTCOME_NOT_FOUND && joins)
        return OUTCOME_NOT_STORED;
    return code;
}

static const struct status_row *
find_status(enum verb verb, enum outcome_code code)
{
    size_t i = told_as(verb, code);

    if (i >= sizeof STATUSES / sizeof STATUSES[0] || STATUSES[i].text == NULL)
        i = OUTCOME_UNKNOWN;
    return &STATUSES[i];
}

static char *
put_16(char *to, uint16_t number)
{
    number = htobe16(number);
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

static char *
put_32(char *to, uint32_t number)
{
    number = htobe32(number);
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

static char *
put_64(char *to, uint64_t number)
{
    number = htobe64(number);
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

struct header {
    struct binary_tag tag;
    uint16_t status, key_len;
    uint8_t extras_len;
    uint32_t body_len;
    uint64_t cas;
};

static inline char *
put_header(char *to, const struct header *header)
{
    *to++ = (char)REPLY_MAGIC;
    *to++ = (char)header->tag.opcode;
    to = put_16(to, header->key_len);
    *to++ = (char)header->extras_len;
    *to++ = 0;
    to = put_16(to, header->status);
    to = put_32(to, header->body_len);
    memcpy(to, &header->tag.opaque, sizeof header->tag.opaque);
    return put_64(to + sizeof header->tag.opaque, header->cas);
}

static void
put_part(struct outbox *out, struct slice part)
{
    if (part.len > 0)
        outbox_put(out, part.data, part.len);
}

void
binary_put(struct outbox *out, struct binary_tag tag, const struct binary_reply *reply)
{
    size_t body = reply->extras.len + reply->key.len + reply->value.len;
    struct header header = {
        .tag = tag,
        .status = reply->status,
        .key_len = (uint16_t)reply->key.len,
        .extras_len = (uint8_t)reply->extras.len,
        .body_len = (uint32_t)body,
        .cas = reply->cas,
    };

    assert(outbox_room(out) >= BINARY_HEADER + body);
    put_header(outbox_tail(out), &header);
    outbox_grow(out, BINARY_HEADER);
    put_part(out, reply->extras);
    put_part(out, reply->key);
    put_part(out, reply->value);
}

void
binary_put_outcome(struct outbox *out, struct binary_tag tag, bool quiet, enum verb verb,
    const struct outcome *outcome)
{
    const struct status_row *row = find_status(verb, outcome->code);
    struct binary_reply reply = { .status = row->status };
    char number[8];

    if (row->status == BINARY_OK && quiet)
        return;
    reply.value = slice_of(row->text, strlen(row->text));
    if (row->status == BINARY_OK)
        reply.cas = outcome->cas;
    if (outcome->code == OUTCOME_NUMBER) {
        put_64(number, outcome->number);
        reply.value = slice_of(number, sizeof number);
    } else if (outcome->code == OUTCOME_TOUCHED) {
        put_32(number, outcome->client_flags);
        reply.extras = slice_of(number, 4);
    }
    binary_put(out, tag, &reply);
}

char *
binary_put_hit(char *to, const struct binary_hit *hit)
{
    struct header header = {
        .tag = hit->tag,
        .key_len = (uint16_t)hit->key.len,
        .extras_len = 4,
        .body_len = 4 + (uint32_t)hit->key.len + hit->value_len,
        .cas = hit->cas,
    };

    assert(hit->key.len <= COMMAND_KEY_MAX);
    to = put_header(to, &header);
    to = put_32(to, hit->client_flags);
    if (hit->key.len > 0)
        memcpy(to, hit->key.data, hit->key.len);
    return to + hit->key.len;
}

void
binary_put_field(struct outbox *out, uint32_t opaque, struct slice name, size_t value_len)
{
    struct header header = {
        .tag = { OPCODE_STAT, opaque },
        .key_len = (uint16_t)name.len,
        .body_len = (uint32_t)(name.len + value_len),
    };

    assert(outbox_room(out) >= BINARY_HEADER + name.len);
    put_header(outbox_tail(out), &header);
    outbox_grow(out, BINARY_HEADER);
    put_part(out, name);
}
