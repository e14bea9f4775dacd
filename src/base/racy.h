/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * racy.h - copying memory that another thread may be writing.
 *
 * Readers of the store copy without a lock and check afterwards that nothing changed
 * (Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", MSPC 2012).
 * For that to be defined in C11 every access to the shared bytes has to be atomic, on both
 * sides; relaxed is enough, the order comes from the sequence number. Aligned eight-byte
 * words carry nearly all of it and compile to plain moves.
 */
#ifndef LARDER_BASE_RACY_H
#define LARDER_BASE_RACY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t
racy_word(const void *at)
{
    return __atomic_load_n((const uint64_t *)__builtin_assume_aligned(at, 8), __ATOMIC_RELAXED);
}

static inline void
racy_set_word(void *at, uint64_t word)
{
    __atomic_store_n((uint64_t *)__builtin_assume_aligned(at, 8), word, __ATOMIC_RELAXED);
}

static inline char
racy_byte(const char *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static inline void
racy_set_byte(char *at, char byte)
{
    __atomic_store_n(at, byte, __ATOMIC_RELAXED);
}

/* Eight bytes of private memory. */
static inline uint64_t
racy_private(const char *at)
{
    uint64_t word;

    memcpy(&word, at, 8);
    return word;
}

/*
 * Bytes at odd places are put together from the aligned words they lie in. Only words that
 * hold at least one of the bytes asked for are touched, so nothing outside of an aligned
 * chunk is. Where bytes of a word are counted from its other end it goes byte by byte.
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define RACY_WORDS 1
#else
#define RACY_WORDS 0
#endif

/* The eight bytes from `at` on, wherever that is. */
static inline uint64_t
racy_window(const char *at)
{
    unsigned shift = (unsigned)((uintptr_t)at & 7) * 8;
    const char *first = at - ((uintptr_t)at & 7);

    if (shift == 0)
        return racy_word(first);
    return racy_word(first) >> shift | racy_word(first + 8) << (64 - shift);
}

/* Copies out of shared memory. */
static inline void
racy_read(char *to, const char *from, size_t len)
{
    unsigned shift = (unsigned)((uintptr_t)from & 7) * 8;
    const char *word = from - ((uintptr_t)from & 7);
    size_t at = 0;

    if (!RACY_WORDS || len < 8) {
        for (; at < len; at++)
            to[at] = racy_byte(from + at);
        return;
    }
    if (shift == 0) {
        for (; at + 8 <= len; at += 8) {
            uint64_t part = racy_word(from + at);
            memcpy(to + at, &part, 8);
        }
    } else {
        uint64_t low = racy_word(word);
        for (; at + 8 <= len; at += 8) {
            uint64_t high = racy_word(word += 8), part = low >> shift | high << (64 - shift);
            memcpy(to + at, &part, 8);
            low = high;
        }
    }
    if (at < len) {
        /* The last eight bytes once more, now up to the very end. */
        uint64_t part = racy_window(from + len - 8);
        memcpy(to + len - 8, &part, 8);
    }
}

/* Copies into shared memory. Nobody else writes to the words touched. */
static inline void
racy_write(char *to, const char *from, size_t len)
{
    unsigned odd = (unsigned)((uintptr_t)to & 7);
    const char *end = from + len;

    if (!RACY_WORDS || len < 8) {
        for (; from < end; from++)
            racy_set_byte(to++, *from);
        return;
    }
    if (odd != 0) {
        uint64_t keep = (UINT64_C(1) << (odd * 8)) - 1;
        to -= odd;
        racy_set_word(to, (racy_word(to) & keep) | racy_private(from) << (odd * 8));
        to += 8;
        from += 8 - odd;
    }
    for (; end - from >= 8; from += 8, to += 8)
        racy_set_word(to, racy_private(from));
    if (from < end) {
        unsigned rest = (unsigned)(end - from);
        uint64_t mask = (UINT64_C(1) << (rest * 8)) - 1;
        racy_set_word(to,
            (racy_word(to) & ~mask) | racy_private(end - 8) >> ((8 - rest) * 8));
    }
}

/* Compares an aligned run of shared memory with private bytes. */
static inline bool
racy_equal(const char *shared, const char *bytes, size_t len)
{
    size_t at = 0;

    if (!RACY_WORDS || len < 8) {
        for (; at < len; at++)
            if (racy_byte(shared + at) != bytes[at])
                return false;
        return true;
    }
    for (; at + 8 <= len; at += 8)
        if (racy_word(shared + at) != racy_private(bytes + at))
            return false;
    return at == len || racy_window(shared + len - 8) == racy_private(bytes + len - 8);
}

#endif
