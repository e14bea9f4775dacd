/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nearest.c - the optimal string alignment distance, in three rows of its table.
 *
 * A name is near if a third of the word's letters would have to change at most, and one
 * change in a short word; or if the word is the beginning of the name.
 */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

#define WORD_PART 3u /* one change for so many letters */

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool
same(char a, char b)
{
    return (a == '_' ? '-' : a) == (b == '_' ? '-' : b);
}

size_t
nearest_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAREST_WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    if (a_len > NEAREST_WORD_MAX || b_len > NEAREST_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1),
                least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len];
}

void
nearest_init(struct nearest *nearest, const char *word, size_t word_len)
{
    *nearest = (struct nearest){ .word = word, .word_len = word_len,
        .distance = SIZE_MAX };
}

void
nearest_show(struct nearest *nearest, const char *name)
{
    size_t len = strlen(name), word_len = nearest->word_len;
    size_t far = word_len < WORD_PART ? 1 : word_len / WORD_PART;
    size_t distance = nearest_distance(nearest->word, word_len, name, len);

    /* What goes on as a name does is nearer than any slip of the pen. */
    if (word_len >= WORD_PART && word_len < len &&
        strncmp(nearest->word, name, word_len) == 0)
        distance = least(distance, 1);
    if (word_len > 0 && distance <= far && distance < nearest->distance) {
        nearest->name = name;
        nearest->distance = distance;
    }
}
