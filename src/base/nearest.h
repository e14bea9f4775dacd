/* SPDX-License-Identifier: BSD-3-Clause */
/* nearest.h - which name was meant: for messages about names that do not exist. */
#ifndef LARDER_BASE_NEAREST_H
#define LARDER_BASE_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

/* The best of the names shown so far. */
struct nearest {
    const char *word;  /* what was written; borrowed */
    size_t word_len;
    const char *name;  /* borrowed; NULL: none is near enough */
    size_t distance;   /* of `name` */
};

/* Longer words than this have no name near them. */
#define NEAREST_WORD_MAX 48u

void nearest_init(struct nearest *nearest, const char *word, size_t word_len);
/* Shows a name. Among equals the first stays. */
void nearest_show(struct nearest *nearest, const char *name);

/* How many letters have to be put in, left out, changed or swapped with their neighbour to
 * make one of the other; '-' and '_' are the same. SIZE_MAX if a length is over
 * NEAREST_WORD_MAX. */
size_t nearest_distance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
