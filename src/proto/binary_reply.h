/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * binary_reply.h - outcomes become packets of the binary protocol.
 */
#ifndef LARDER_PROTO_BINARY_REPLY_H
#define LARDER_PROTO_BINARY_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outbox.h"
#include "base/slice.h"
#include "proto/command.h"
#include "proto/outcome.h"

/* Bytes that any reply without a key or a client's bytes takes. */
#define BINARY_REPLY_ROOM 128u
/* Bytes that the reply to a retrieval takes before the value. */
#define BINARY_HIT_ROOM (24 + 4 + COMMAND_KEY_MAX)

/* Status words. */
#define BINARY_OK        0x00u
#define BINARY_NOT_FOUND 0x01u
#define BINARY_AUTH_MORE 0x21u

/* Which request a reply belongs to. */
struct binary_tag {
    uint8_t opcode;
    uint32_t opaque; /* as it came */
};

/* A packet of any kind. Room for 24 bytes and all three parts must be free. */
struct binary_reply {
    uint16_t status;
    uint64_t cas;
    struct slice extras, key, value;
};
void binary_put(
    struct outbox *out, struct binary_tag tag, const struct binary_reply *reply);

/* How a command ended; BINARY_REPLY_ROOM. With `quiet` success has no packet. The verb
 * tells what it means that a value was not stored. */
void binary_put_outcome(struct outbox *out, struct binary_tag tag, bool quiet,
    enum verb verb, const struct outcome *outcome);

/* The beginning of a hit: all but the value. */
struct binary_hit {
    struct binary_tag tag;
    struct slice key; /* empty, unless it is to be repeated */
    uint32_t client_flags;
    uint32_t value_len;
    uint64_t cas;
};
/* Writes it to `to`, BINARY_HIT_ROOM bytes, and returns its end. */
char *binary_put_hit(char *to, const struct binary_hit *hit);

/* The beginning of one field of a report: its name; the value follows. Without a name and
 * a value it ends the report. 24 bytes and the name's. */
void binary_put_field(
    struct outbox *out, uint32_t opaque, struct slice name, size_t value_len);

#endif
