/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slice.h - a run of bytes that belongs to somebody else.
 *
 * A slice is borrowed for the call it is passed to unless a header says longer.
 * It is never terminated by a NUL.
 */
#ifndef LARDER_BASE_SLICE_H
#define LARDER_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *data;
    size_t len;
};

/* A slice of a string literal, without its terminating NUL. */
#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

static inline struct slice
slice_of(const char *data, size_t len)
{
    return (struct slice){ data, len };
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* True when `s` begins with `prefix`. */
static inline bool
slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && memcmp(s.data, prefix.data, prefix.len) == 0;
}

#endif
