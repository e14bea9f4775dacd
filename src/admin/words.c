/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/words.h"

#include <string.h>

#include "base/num.h"
#include "store/store.h"

#define DECIMAL_DIGITS_MAX 9u

void
words_split(struct words *words, struct slice args)
{
    size_t at = 0;

    words->n = 0;
    while (words->n < WORDS_MAX) {
        while (at < args.len && args.data[at] == ' ')
            at++;
        if (at == args.len)
            return;
        size_t start = at;
        while (at < args.len && args.data[at] != ' ')
            at++;
        words->at[words->n++] = slice_of(args.data + start, at - start);
    }
}

bool
words_is(const struct words *words, unsigned i, const char *text)
{
    return i < words->n && slice_equal(words->at[i], slice_of(text, strlen(text)));
}

bool
words_value(const struct words *words, unsigned i, const char *name, struct slice *value_out)
{
    size_t len = strlen(name);

    if (i >= words->n || !slice_starts(words->at[i], slice_of(name, len)))
        return false;
    *value_out = slice_of(words->at[i].data + len, words->at[i].len - len);
    return true;
}

/* Digits from *at on; how many there were. */
static unsigned
take_digits(struct slice word, size_t *at, double *number)
{
    unsigned n = 0;

    while (*at < word.len && word.data[*at] >= '0' && word.data[*at] <= '9') {
        *number = *number * 10 + (word.data[*at] - '0');
        (*at)++;
        n++;
    }
    return n;
}

bool
words_decimal(struct slice word, double *number_out)
{
    double whole = 0, part = 0, scale = 1;
    unsigned nwhole, npart = 0;
    size_t at = 0;
    bool negative = word.len > 0 && word.data[0] == '-';

    if (word.len > 0 && (word.data[0] == '-' || word.data[0] == '+'))
        at++;
    nwhole = take_digits(word, &at, &whole);
    if (at < word.len && word.data[at] == '.') {
        at++;
        npart = take_digits(word, &at, &part);
    }
    if (at != word.len || nwhole + npart == 0 || nwhole > DECIMAL_DIGITS_MAX ||
        npart > DECIMAL_DIGITS_MAX)
        return false;
    for (unsigned i = 0; i < npart; i++)
        scale *= 10;
    whole += part / scale;
    *number_out = negative ? -whole : whole;
    return true;
}

bool
words_classes(struct slice word, uint64_t *classes_out, bool *hash_out)
{
    bool hash = slice_equal(word, SLICE("hash"));
    uint64_t classes = 0;
    size_t at = 0;

    *hash_out = hash;
    if (hash || slice_equal(word, SLICE("all"))) {
        *classes_out = ~(uint64_t)1;
        return true;
    }
    while (at < word.len) {
        size_t start = at;
        uint64_t id;
        while (at < word.len && word.data[at] != ',')
            at++;
        if (at > start) {
            struct slice digits = slice_of(word.data + start, at - start);
            if (!num_u64(digits, NUM_U64_MAX, &id) || id == 0 || id >= SLAB_CLASSES_MAX)
                return false;
            classes |= (uint64_t)1 << id;
        }
        at++;
    }
    *classes_out = classes;
    return true;
}
