/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * base64.h - any bytes as text, with the standard alphabet and padding.
 */
#ifndef LARDER_BASE_BASE64_H
#define LARDER_BASE_BASE64_H

#include <stddef.h>

#include "base/slice.h"

/* Characters that `bytes` bytes become. */
#define BASE64_TEXT(bytes) (((bytes) + 2) / 3 * 4)

/* Writes BASE64_TEXT(bytes.len) characters and returns their end. */
char *base64_encode(char *to, struct slice bytes);

/*
 * Reads text as clients of memcached have come to expect: characters that are not of the
 * alphabet are passed over; the rest must be whole groups of four; the first group with
 * padding ends the text, whatever follows. Writes at most text.len / 4 * 3 bytes and
 * returns how many; 0: not base64, or of no bytes.
 */
size_t base64_decode(char *to, struct slice text);

#endif
