/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hash.h - keyed hashing of keys.
 *
 * SipHash-1-3 (Aumasson and Bernstein, INDOCRYPT 2012; the 1-3 round count as in Rust's and
 * Ruby's tables) under a key drawn at start, so that nobody outside can aim keys at one
 * bucket. XXH3 is offered where it was built in: faster by about 2 % of a pipelined get,
 * but seeded rather than keyed, so only for callers who are trusted.
 */
#ifndef LARDER_BASE_HASH_H
#define LARDER_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
    bool fast; /* XXH3 seeded with k0 */
};

/* True when the faster hash was built in. */
bool hash_has_fast(void);

/* From 16 random bytes. `fast` needs hash_has_fast(). */
void hash_key_init(struct hash_key *key, const unsigned char bytes[16], bool fast);

uint64_t hash_bytes(const struct hash_key *key, const char *data, size_t len);

#endif
