/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * record.h - the form of a dump; larderctl(1) describes it for others.
 *
 *   larder-dump 1 1790000000      version 1, made at this Unix time
 *   item KEY FLAGS EXPIRES BYTES  KEY as show.h has it; EXPIRES a Unix time, 0 for never
 *   the bytes of the value        exactly BYTES, then LF
 *   ...
 *   end 2                         so many items; nothing is missing
 *
 * Lengths stand before what they measure, so any bytes pass. Expiry is a date and not a
 * remainder, so that a dump ages like the items it holds. Dumps may follow one another.
 */
#ifndef LARDER_CTL_RECORD_H
#define LARDER_CTL_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"

#define RECORD_KEY_MAX 250u
/* Bytes of the longest line. */
#define RECORD_LINE_MAX 1024u

struct record {
    char key[RECORD_KEY_MAX];
    size_t key_len; /* at least 1 */
    uint32_t flags;
    uint64_t expires; /* Unix time; 0: never */
    uint64_t bytes;   /* at most INT32_MAX */
};

void record_put_begin(FILE *to, uint64_t unix_time);
/* The line before the value. */
void record_put(FILE *to, const struct record *record);
void record_put_end(FILE *to, uint64_t items);

enum record_kind { RECORD_BEGIN, RECORD_ITEM, RECORD_END, RECORD_BAD, RECORD_TOO_NEW };

/* Reads a line without its LF. RECORD_ITEM fills *record, RECORD_END and RECORD_BEGIN
 * *number. RECORD_TOO_NEW is a version that is not known here. */
enum record_kind record_parse(struct slice line, struct record *record, uint64_t *number);

/* The longest command for a key. */
#define RECORD_COMMAND_MAX 512u

/*
 * Puts `verb` and the key as meta commands take it: as it is if it is a word, else in
 * base64 with *binary set, for which the flag b must follow. Returns the end; NULL: there is
 * no way to write this key in a line (over 186 bytes with blanks or controls among them).
 */
char *record_command(char *to, const char *verb, const struct record *record,
    bool *binary);

#endif
