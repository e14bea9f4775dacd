/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * binary.h - the binary protocol: packets become commands.
 *
 *   0      1      2       4       5     6        8      12      16     24
 *   | 0x80 |opcode|key len|ext len| -   | -      | body |opaque | CAS  | extras key value
 *
 * Everything that can be wrong with a packet can be told from its header, so a header is
 * all that is needed to refuse one. Pure functions on bytes; nothing is remembered.
 */
#ifndef LARDER_PROTO_BINARY_H
#define LARDER_PROTO_BINARY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/command.h"

#define BINARY_HEADER 24u
/* The first byte of each request. */
#define BINARY_MAGIC 0x80u
/* The longest header, extras and key that are read at all. */
#define BINARY_HEAD_MAX 16384u
/* The longest body that a header may announce. */
#define BINARY_BODY_MAX (1u << 30)
/* This expiry in incr and decr: do not create the item. */
#define BINARY_DONT_CREATE UINT32_MAX

/* What a packet asks for; `verb` tells the kinds of retrieval, storage and counting
 * apart. */
enum packet_kind {
    PACKET_UNKNOWN,
    PACKET_GET,
    PACKET_GETK, /* the reply repeats the key */
    PACKET_TOUCH,
    PACKET_STORE,
    PACKET_DELETE,
    PACKET_ARITH,
    PACKET_QUIT,
    PACKET_FLUSH,
    PACKET_NOOP,
    PACKET_VERSION,
    PACKET_STAT,
    PACKET_MECHANISMS,
    PACKET_LOGIN,
    PACKET_LOGIN_STEP,
};

struct packet {
    enum packet_kind kind;
    enum verb verb;
    uint8_t opcode;
    bool quiet;
    uint32_t opaque;   /* as it came, to be sent back */
    uint32_t head_len; /* header, extras and key */
    uint32_t body_len; /* extras, key and value */
    uint32_t value_len;
    uint8_t extras_len;
    uint16_t key_len;
    uint64_t cas;            /* 0: no condition */
    enum outcome_code error; /* OUTCOME_NONE: it is well formed */
    bool hang_up;            /* with an error: the connection closes behind the reply */
    bool lies; /* with an error: lengths contradict; said before anything else is asked */
};

/* Reads BINARY_HEADER bytes. False: they do not begin a packet. */
bool binary_parse(const char *header, struct packet *packet_out);

/* Does this opcode keep silent about success (a retrieval: about a miss)? */
bool binary_is_quiet(uint8_t opcode);
/* Is it one of the gets, which don't touch? In a loop that looks at every packet. */
static inline bool
binary_is_get(uint8_t opcode)
{
    return opcode == 0x00 || opcode == 0x09 || opcode == 0x0c || opcode == 0x0d;
}

/* Does a hit of this opcode repeat the key? */
bool binary_repeats_key(uint8_t opcode);

/* Fills the command of a packet without an error, whose head_len bytes are at `head`. */
void binary_command(
    const struct packet *packet, const char *head, struct command *command_out);

/* The key of the packet that begins at `at`, of which `len` bytes have come, and in
 * *next_out how far it is to the next packet, which may be beyond those bytes. Empty if
 * there is none or it is not there. 0 in *next_out: nothing can be seen. */
struct slice binary_peek(const char *at, size_t len, size_t *next_out);

#endif
