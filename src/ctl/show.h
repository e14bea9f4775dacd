/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * show.h - foreign bytes as text that is safe on a terminal and in JSON.
 *
 * Keys hold any bytes, escape sequences among them, and whoever can store a key can aim
 * one at the operator's terminal. One rule for everything that is shown:
 *
 *   printable ASCII but %   as it is
 *   everything else         %XX, as in URLs
 *
 * It is reversible (any percent decoder does it, show_decode() for one), it is one word
 * when it shows a key, and it is valid in any character set. UTF-8 is escaped too: it
 * can hold controls and text that runs backwards.
 */
#ifndef LARDER_CTL_SHOW_H
#define LARDER_CTL_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/slice.h"

/* Room for a key of `len` bytes. */
#define SHOW_ROOM(len) (3 * (len))

/* A key as one word: blanks are escaped too. Writes at most SHOW_ROOM(key.len) bytes and
 * returns the end. */
char *show_key_put(char *to, struct slice key);
void show_key(FILE *to, struct slice key);

/* A line of a server's own words, which may be escaped already: % stays. Not reversible. */
void show_line(FILE *to, struct slice line);
/* The same into at most `size` bytes, the NUL included; what does not fit is left out. */
void show_line_put(char *to, size_t size, struct slice line);

/* Takes %XX back. Writes at most text.len bytes. False: a % without two hex digits. */
bool show_decode(char *to, struct slice text, size_t *len_out)
    __attribute__((warn_unused_result));

/* Would this key travel in a command of the text protocol as it is? */
bool show_is_word(struct slice key);

#endif
