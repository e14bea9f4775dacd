/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * words.h - the words of an administration command.
 *
 * Everything here works on (pointer, length) and never looks past the end. Whole numbers
 * are read by base/num.h; only the few tuning factors need decimals.
 */
#ifndef LARDER_ADMIN_WORDS_H
#define LARDER_ADMIN_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* No command takes more; the text protocol indexes no more either. */
#define WORDS_MAX 24u

struct words {
    unsigned n;
    struct slice at[WORDS_MAX];
};

/* Cuts `args` at blanks (0x20 only). The slices point into `args`. Words after the first
 * WORDS_MAX are dropped. */
void words_split(struct words *words, struct slice args);

/* True when word number `i` is there and is exactly `text`. */
bool words_is(const struct words *words, unsigned i, const char *text);

/* When word number `i` begins with `name`, what follows that, in *value_out. */
bool words_value(
    const struct words *words, unsigned i, const char *name, struct slice *value_out);

/* Reads digits, optionally a sign before and a point and more digits behind: at most 9
 * digits on either side. False, and nothing written, for anything else. */
bool words_decimal(struct slice word, double *number_out);

/*
 * Reads a list of slab classes: "all", "hash", or ids from 1 to 63 with commas between.
 * Sets the bits of the classes; none are set for a list of commas only. `hash_out` tells
 * "hash" from "all". False: an id is not one.
 */
bool words_classes(struct slice word, uint64_t *classes_out, bool *hash_out);

#endif
