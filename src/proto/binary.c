/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * binary.c - reading packets.
 *
 * The order in which lengths are checked is part of the protocol: clients and tests can
 * tell a header that contradicts itself (0x81) from one that breaks its opcode's rule
 * (0x04). No length is added to another before it is known to be small.
 */
#include "proto/binary.h"

#include <endian.h>
#include <string.h>

#include "base/assert.h"

enum presence { NO, MAY, MUST };

struct opcode_row {
    uint8_t kind; /* PACKET_UNKNOWN: there is no such opcode */
    uint8_t verb;
    bool quiet;
    uint8_t extras;
    uint8_t key, value; /* enum presence */
};

static const struct opcode_row OPCODES[256] = {
#define OPCODE(code, kind, verb, quiet, extras, key, value) \
    [code] = { PACKET_##kind, VERB_##verb, quiet, extras, key, value },
#include "proto/opcodes.def"
#undef OPCODE
};

static uint16_t
read_16(const char *from)
{
    uint16_t number;

    memcpy(&number, from, sizeof number);
    return be16toh(number);
}

static uint32_t
read_32(const char *from)
{
    uint32_t number;

    memcpy(&number, from, sizeof number);
    return be32toh(number);
}

static uint64_t
read_64(const char *from)
{
    uint64_t number;

    memcpy(&number, from, sizeof number);
    return be64toh(number);
}

static bool
keeps_rule(const struct opcode_row *row, const struct packet *packet)
{
    bool flush = row->kind == PACKET_FLUSH;

    if (packet->extras_len != row->extras && !(flush && packet->extras_len == 0))
        return false;
    if (row->key == MUST ? packet->key_len == 0 : row->key == NO && packet->key_len > 0)
        return false;
    return row->value == MAY || packet->value_len == 0;
}

static void
refuse(struct packet *packet, enum outcome_code error, bool lies)
{
    packet->error = error;
    packet->hang_up = true;
    packet->lies = lies;
}

bool
binary_parse(const char *header, struct packet *packet)
{
    const struct opcode_row *row = &OPCODES[(unsigned char)header[1]];
    uint32_t before_value;

    if ((unsigned char)header[0] != BINARY_MAGIC)
        return false;
    *packet = (struct packet){
        .kind = (enum packet_kind)row->kind,
        .verb = row->kind == PACKET_UNKNOWN ? VERB_UNKNOWN : (enum verb)row->verb,
        .opcode = (uint8_t)header[1],
        .quiet = row->quiet,
        .key_len = read_16(header + 2),
        .extras_len = (uint8_t)header[4],
        .body_len = read_32(header + 8),
        .cas = read_64(header + 16),
    };
    memcpy(&packet->opaque, header + 12, sizeof packet->opaque);
    before_value = (uint32_t)packet->key_len + packet->extras_len;
    packet->head_len = BINARY_HEADER + before_value;
    if (before_value > packet->body_len) {
        refuse(packet, OUTCOME_UNKNOWN, true);
    } else if (packet->body_len > BINARY_BODY_MAX) {
        refuse(packet, OUTCOME_BAD_ARGUMENTS, true);
    } else {
        packet->value_len = packet->body_len - before_value;
        if (packet->key_len > COMMAND_KEY_MAX)
            refuse(packet, OUTCOME_BAD_ARGUMENTS, false);
        else if (row->kind == PACKET_UNKNOWN)
            packet->error = OUTCOME_UNKNOWN;
        else if (!keeps_rule(row, packet))
            refuse(packet, OUTCOME_BAD_ARGUMENTS, false);
    }
    return true;
}

bool
binary_is_quiet(uint8_t opcode)
{
    return OPCODES[opcode].quiet;
}

bool
binary_repeats_key(uint8_t opcode)
{
    return OPCODES[opcode].kind == PACKET_GETK;
}

/* Expiry times are 32 bits without a sign: -1 of another protocol is the year 2106. */
static void
read_extras(const struct packet *packet, const char *extras, struct command *command)
{
    switch (packet->extras_len) {
    case 4:
        command->exptime = read_32(extras);
        break;
    case 8:
        command->client_flags = read_32(extras);
        command->exptime = read_32(extras + 4);
        break;
    case 20:
        command->number = read_64(extras);
        command->initial = read_64(extras + 8);
        command->exptime = read_32(extras + 16);
        command->create = command->exptime != BINARY_DONT_CREATE;
        break;
    default:
        break;
    }
}

void
binary_command(const struct packet *packet, const char *head, struct command *command)
{
    const char *extras = head + BINARY_HEADER;

    assert(packet->error == OUTCOME_NONE);
    *command = (struct command){
        .verb = packet->verb,
        .value_len = packet->value_len,
        .compare = packet->cas != 0,
        .cas = packet->cas,
        .key = slice_of(extras + packet->extras_len, packet->key_len),
    };
    read_extras(packet, extras, command);
}

/* Looks at lengths only: a packet refused for another reason does no harm here. */
struct slice
binary_peek(const char *at, size_t len, size_t *next)
{
    uint32_t key_len, extras_len, body_len;

    *next = 0;
    if (len < BINARY_HEADER || (unsigned char)*at != BINARY_MAGIC)
        return slice_of(NULL, 0);
    key_len = read_16(at + 2);
    extras_len = (unsigned char)at[4];
    body_len = read_32(at + 8);
    if (key_len + extras_len > body_len || body_len > BINARY_BODY_MAX)
        return slice_of(NULL, 0);
    *next = (size_t)BINARY_HEADER + body_len;
    if (key_len > COMMAND_KEY_MAX || BINARY_HEADER + extras_len + key_len > len)
        return slice_of(NULL, 0);
    return slice_of(at + BINARY_HEADER + extras_len, key_len);
}
