/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.h - the classic text protocol: lines of bytes become commands.
 *
 * Pure functions on (pointer, length); nothing is remembered and nothing is read past the
 * end. The caller finds the line's LF; a data block behind a storage line is up to it.
 */
#ifndef LARDER_PROTO_TEXT_H
#define LARDER_PROTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/command.h"

/* More than this without an LF ends the connection, except for text_is_open_get(). */
#define TEXT_LINE_MAX 2048u

/* Parses one line of `len` bytes, the last of which is its LF. */
void text_parse(const char *line, size_t len, struct command *command_out);

/*
 * Is this beginning of an unfinished, over-long line that of a `get` or `gets`, which may
 * have any number of keys? Then the verb and the beginning of `rest` are set. After
 * leading blanks, which `get` may not have, `error` says what the line will be answered.
 */
bool text_is_open_get(const char *data, size_t len, struct command *command_out);

/* Bytes text_rewrite_store() writes at most: verb, key, four numbers, noreply. */
#define TEXT_STORE_ROOM (8 + COMMAND_KEY_MAX + 10 + 20 + 10 + 20 + 8 + 7)

/* Writes the line of a good storage command anew, without what a client may add to it in
 * blanks, zeros and words. Returns its length, LF included. */
size_t text_rewrite_store(const struct command *command, char *to);

enum text_key {
    TEXT_KEY,      /* *key_out is set, *cursor stands behind it */
    TEXT_KEY_NONE, /* the line is over, *cursor stands behind its LF */
    TEXT_KEY_CUT,  /* the end of this key has not arrived; *cursor stands at its start */
    TEXT_KEY_LONG, /* over COMMAND_KEY_MAX bytes; *cursor stands at its start */
};

/* The next word of a retrieval line whose rest is *cursor .. end. */
enum text_key text_next_key(const char **cursor, const char *end, struct slice *key_out);

/* Is no word of `keys`, the `rest` of a retrieval line, too long for a key? */
bool text_keys_fit(struct slice keys);

/* What a set says in the form in which nearly all of them come. */
struct text_set {
    struct slice key;
    uint32_t client_flags, exptime, value_len;
};

/*
 * Reads "set <key> <flags> <exptime> <length>\r\n", one blank between words, numbers of up to
 * nine digits, from `line` on. Returns what is behind its LF. NULL: something else stands
 * there, or too close to the end to be sure; text_parse() tells.
 */
const char *text_plain_set(const char *line, const char *end, struct text_set *set_out);

/* Where the word that begins at `at` ends: at the first blank or LF, or at `end`. */
const char *text_word_end(const char *at, const char *end);

#endif
