/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta_reply.h - the lines a meta client reads: a code, perhaps a length, and flags in
 * the order of the request.
 */
#ifndef LARDER_PROTO_META_REPLY_H
#define LARDER_PROTO_META_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/meta.h"

/* Bytes of the longest line: a key in base64, an opaque, sixteen numbers, marks. */
#define META_LINE_ROOM 768u

/* Which flags a reply shows of those that the request has. */
enum meta_echo {
    META_ECHO_KEY,   /* O k */
    META_ECHO_STORE, /* O k c s */
    META_ECHO_ARITH, /* O k c t */
    META_ECHO_GET,   /* all, and the marks */
};

/* What there is to be shown. Times are seconds of the server's clock, 0 is never. */
struct meta_shown {
    const char *code;        /* two letters */
    bool with_value;         /* the value's length follows the code */
    bool key_binary;         /* k in base64, with a b behind it */
    bool touched;            /* T acts, from where it stands in the line */
    bool created;            /* so does N */
    bool fetched;
    bool sent, stale, won;   /* the marks Z, X, W */
    uint32_t value_len;      /* of the value itself, which may not be what s shows */
    uint32_t size;           /* s */
    uint32_t client_flags;
    uint32_t now;
    uint32_t last_access;
    uint32_t exptime;        /* t, before T and N */
    uint32_t exptime_touched;
    uint32_t exptime_created;
    uint64_t cas;
};

/* Writes a line, at most META_LINE_ROOM bytes, and returns its end. */
char *meta_put_line(char *to, const struct meta_command *meta, struct slice key,
    enum meta_echo echo, const struct meta_shown *shown);

/* The answer to me. */
struct meta_debug {
    bool key_binary;
    bool fetched;
    uint8_t slab_class;
    uint32_t now;
    uint32_t exptime;
    uint32_t last_access;
    uint64_t cas;
    uint64_t size;
};

/* The same room. */
char *meta_put_debug(char *to, struct slice key, const struct meta_debug *debug);

#endif
