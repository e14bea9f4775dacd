/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta.h - the meta protocol: mg ms md ma me; lines of bytes become commands.
 *
 *   ms  a2V5  5  b  T60  Oq17
 *   verb key  length, flags: a letter each, with its argument behind it
 *
 * All verbs share one set of flags; a letter that means nothing to a verb is checked and
 * ignored. Pure functions, as in text.h; doc/meta.md says what the flags do.
 */
#ifndef LARDER_PROTO_META_H
#define LARDER_PROTO_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/command.h"

/* Words of a line at most: verb, key, length and flags. */
#define META_WORDS_MAX 20u
#define META_FLAGS_MAX (META_WORDS_MAX - 2)
/* Bytes of an opaque, without its letter. */
#define META_OPAQUE_MAX 31u

/* The bit of a flag in meta_command.flags. */
#define META_FLAG(letter) (UINT64_C(1) << ((letter) - 'A'))

/* A number is only set if its flag is; nothing but `flags` and `nletters` always is. */
struct meta_command {
    uint64_t flags;
    uint64_t cas_expected;  /* C */
    uint64_t cas_new;       /* E */
    uint64_t delta;         /* D */
    uint64_t initial;       /* J */
    int32_t exptime;        /* T, as given; see clock_exptime() */
    int32_t vivify_exptime; /* N */
    int32_t recache;        /* R */
    uint32_t client_flags;  /* F */
    struct slice opaque;    /* O, without its letter; borrowed from the line */
    char mode;              /* M; 0 if it was empty */
    uint8_t nletters;
    char letters[META_FLAGS_MAX]; /* of the flags, in the order of the line */
    char key[COMMAND_KEY_MAX];    /* the key, if it came in base64 */
};

static inline bool
meta_has(const struct meta_command *meta, char letter)
{
    return (meta->flags & META_FLAG(letter)) != 0;
}

/*
 * Parses what follows the verb; command->verb is set and command->rest is the rest of the
 * line, without its end and the blanks before it. Sets the key (which may lie in *meta),
 * meta, value_len, client_flags, exptime, and error with swallow.
 */
void meta_parse(struct command *command, struct meta_command *meta_out);

/* The flags of an mg line alone, when its key is known: at .. end. Returns an error or
 * OUTCOME_NONE; *key may change. */
enum outcome_code meta_parse_get(const char *at, const char *end, struct slice *key,
    struct meta_command *meta_out);

/* Would this key, shown as it is, break a line of text apart, or a terminal? */
bool meta_key_unprintable(struct slice key);

/* Bytes meta_rewrite_store() writes at most. */
#define META_STORE_ROOM (3 + 336 + 1 + 10 + META_FLAGS_MAX * 23 + META_OPAQUE_MAX + 2)

/* Writes the line of a good ms anew, without what a client may add to it in blanks,
 * zeros, and flags that mean nothing. Returns its length, LF included. */
size_t meta_rewrite_store(const struct command *command, char *to);

#endif
