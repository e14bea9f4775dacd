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

/* Copies out of shared memory. */
static inline void
racy_read(char *to, const char *from, size_t len)
{
    for (; len > 0 && ((uintptr_t)from & 7) != 0; len--)
        *to++ = racy_byte(from++);
    for (; len >= 8; len -= 8, to += 8, from += 8) {
        uint64_t word = racy_word(from);
        memcpy(to, &word, 8);
    }
    if (len > 0) {
        /* The tail's whole word is ours to read: chunks are multiples of 8 bytes. */
        uint64_t word = racy_word(from);
        memcpy(to, &word, len);
    }
}

/* Copies into shared memory. */
static inline void
racy_write(char *to, const char *from, size_t len)
{
    for (; len > 0 && ((uintptr_t)to & 7) != 0; len--)
        racy_set_byte(to++, *from++);
    for (; len >= 8; len -= 8, to += 8, from += 8) {
        uint64_t word;
        memcpy(&word, from, 8);
        racy_set_word(to, word);
    }
    while (len-- > 0)
        racy_set_byte(to++, *from++);
}

/* Compares an aligned run of shared memory with private bytes. */
static inline bool
racy_equal(const char *shared, const char *bytes, size_t len)
{
    for (; len >= 8; len -= 8, shared += 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        if (racy_word(shared) != word)
            return false;
    }
    if (len > 0) {
        uint64_t word = 0, tail = racy_word(shared), mask;
        memcpy(&word, bytes, len);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        mask = (UINT64_C(1) << (8 * len)) - 1;
#else
        mask = ~((UINT64_C(1) << (64 - 8 * len)) - 1);
#endif
        return ((tail ^ word) & mask) == 0;
    }
    return true;
}

#endif
