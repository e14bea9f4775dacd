/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hash.h"

#include <string.h>

#include "base/assert.h"

#ifdef HAVE_XXHASH
#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wswitch-enum"
#include <xxhash.h>
#pragma GCC diagnostic pop
#endif

/* Eight bytes, little endian as SipHash defines them. */
static inline uint64_t
load_le(const char *data)
{
    uint64_t word;

    memcpy(&word, data, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t
rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

#define SIP_ROUND(v0, v1, v2, v3)                                                          \
    do {                                                                                   \
        v0 += v1; v1 = rotate(v1, 13); v1 ^= v0; v0 = rotate(v0, 32);                      \
        v2 += v3; v3 = rotate(v3, 16); v3 ^= v2;                                           \
        v0 += v3; v3 = rotate(v3, 21); v3 ^= v0;                                           \
        v2 += v1; v1 = rotate(v1, 17); v1 ^= v2; v2 = rotate(v2, 32);                      \
    } while (0)

/* The last, partial word: the length's low byte on top, then the remaining bytes. */
static inline uint64_t
sip_tail(const char *data, size_t len, size_t rest)
{
    uint64_t word = (uint64_t)len << 56;

    if (rest == 0)
        return word;
    if (len >= 8) /* read backwards from the end, and push out what was hashed before */
        return word | load_le(data + rest - 8) >> (8 * (8 - rest));
    for (size_t i = 0; i < rest; i++)
        word |= (uint64_t)(unsigned char)data[i] << (8 * i);
    return word;
}

static uint64_t
sip13(const struct hash_key *key, const char *data, size_t len)
{
    uint64_t v0 = key->k0 ^ UINT64_C(0x736f6d6570736575);
    uint64_t v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = key->k0 ^ UINT64_C(0x6c7967656e657261);
    uint64_t v3 = key->k1 ^ UINT64_C(0x7465646279746573);
    const char *end = data + (len & ~(size_t)7);
    uint64_t word;

    for (; data < end; data += 8) {
        word = load_le(data);
        v3 ^= word;
        SIP_ROUND(v0, v1, v2, v3);
        v0 ^= word;
    }
    word = sip_tail(data, len, len & 7);
    v3 ^= word;
    SIP_ROUND(v0, v1, v2, v3);
    v0 ^= word;
    v2 ^= 0xff;
    SIP_ROUND(v0, v1, v2, v3);
    SIP_ROUND(v0, v1, v2, v3);
    SIP_ROUND(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

bool
hash_has_fast(void)
{
#ifdef HAVE_XXHASH
    return true;
#else
    return false;
#endif
}

void
hash_key_init(struct hash_key *key, const unsigned char bytes[16], bool fast)
{
    assert(!fast || hash_has_fast());
    memcpy(&key->k0, bytes, 8);
    memcpy(&key->k1, bytes + 8, 8);
    key->fast = fast;
}

uint64_t
hash_bytes(const struct hash_key *key, const char *data, size_t len)
{
#ifdef HAVE_XXHASH
    if (key->fast)
        return XXH3_64bits_withSeed(data, len, key->k0);
#endif
    return sip13(key, data, len);
}
