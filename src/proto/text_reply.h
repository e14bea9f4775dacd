/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text_reply.h - outcomes become lines of the classic text protocol.
 */
#ifndef LARDER_PROTO_TEXT_REPLY_H
#define LARDER_PROTO_TEXT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outbox.h"
#include "base/slice.h"
#include "proto/outcome.h"

/* Bytes the longest line of an outcome takes. */
#define TEXT_LINE_ROOM 128u
/* Bytes the longest `VALUE` line takes: two numbers of 32 bits, one of 64. */
#define TEXT_VALUE_ROOM (sizeof("VALUE ") + 250 + 1 + 10 + 1 + 10 + 1 + 20 + 2)

/* The line of an outcome without a number; TEXT_LINE_ROOM bytes must be free. */
void text_put_line(struct outbox *out, enum outcome_code code);
/* Any outcome; the same room. */
void text_put_outcome(struct outbox *out, const struct outcome *outcome);
/* `VERSION <version>`, sizeof("VERSION ") + strlen(version) + 2 bytes. */
void text_put_version(struct outbox *out, const char *version);

/* What a `VALUE` line shows. */
struct text_value {
    struct slice key;
    uint32_t client_flags;
    uint32_t value_len;
    bool with_cas;
    uint64_t cas;
};

/* Writes the `VALUE` line to `to`, TEXT_VALUE_ROOM bytes, and returns its end. */
char *text_put_value(char *to, const struct text_value *value);

#endif
