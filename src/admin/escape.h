/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * escape.h - keys of any bytes as plain text.
 */
#ifndef LARDER_ADMIN_ESCAPE_H
#define LARDER_ADMIN_ESCAPE_H

#include <stdbool.h>

#include "base/slice.h"

/* Every byte but letters, digits, - . _ ~ as %XX. Writes at most 3 bytes for each of
 * `text` and returns the end. */
char *escape_percent(char *to, struct slice text);

/* Takes %XX back; other bytes stay. Writes at most text.len bytes and returns the end. NULL: a
 * % without two hex digits. */
char *escape_undo(char *to, struct slice text);

/* Would this key, shown as it is, stay one word of a line? The binary protocol and meta
 * commands take keys of any bytes. */
bool escape_is_word(struct slice key);

#endif
