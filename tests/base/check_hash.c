/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_hash.c - protects: the hash is SipHash-1-3 as published, depends on every byte, the
 * length and the key, reads nothing beyond the bytes it is given, and spreads evenly.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"

#define LENGTHS 65

static const unsigned char KEY[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
    14, 15 };

/* Each algorithm that was built in: _i is 0 for SipHash, 1 for XXH3. */
static void
key_for(int fast, struct hash_key *key)
{
    hash_key_init(key, KEY, fast != 0);
}

static int
algorithms(void)
{
    return hash_has_fast() ? 2 : 1;
}

/* SipHash-1-3 written down once more, byte by byte, from its definition. */
static uint64_t
rotated(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void
plain_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

static uint64_t
plain_sip(const struct hash_key *key, const char *data, size_t len)
{
    uint64_t v[4] = { key->k0 ^ UINT64_C(0x736f6d6570736575),
        key->k1 ^ UINT64_C(0x646f72616e646f6d), key->k0 ^ UINT64_C(0x6c7967656e657261),
        key->k1 ^ UINT64_C(0x7465646279746573) };

    for (size_t at = 0; at <= len; at += 8) {
        uint64_t word = at + 8 > len ? (uint64_t)len << 56 : 0;
        for (size_t i = at; i < len && i < at + 8; i++)
            word |= (uint64_t)(unsigned char)data[i] << 8 * (i - at);
        v[3] ^= word;
        plain_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 3; i++)
        plain_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

START_TEST(siphash_gives_the_published_number)
{
    struct hash_key key;

    hash_key_init(&key, KEY, false);
    ck_assert_uint_eq(hash_bytes(&key, "", 0), UINT64_C(0xabac0158050fc4dc));
}
END_TEST

START_TEST(siphash_agrees_with_its_definition_at_every_length)
{
    struct hash_key key;
    char data[300];

    hash_key_init(&key, KEY, false);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 37 + 200);
    for (size_t len = 0; len <= sizeof data; len++)
        ck_assert_uint_eq(hash_bytes(&key, data, len), plain_sip(&key, data, len));
}
END_TEST

START_TEST(every_length_hashes_differently)
{
    struct hash_key key;
    char zeros[LENGTHS] = { 0 };
    uint64_t seen[LENGTHS];

    key_for(_i, &key);
    for (size_t len = 0; len < LENGTHS; len++) {
        seen[len] = hash_bytes(&key, zeros, len);
        for (size_t i = 0; i < len; i++)
            ck_assert_uint_ne(seen[i], seen[len]);
    }
}
END_TEST

START_TEST(every_byte_counts_and_none_beyond_the_length)
{
    struct hash_key key;
    char data[LENGTHS + 8];

    key_for(_i, &key);
    for (size_t len = 1; len < LENGTHS; len++) {
        uint64_t hash;

        memset(data, 'x', sizeof data);
        hash = hash_bytes(&key, data, len);
        for (size_t i = 0; i < len; i++) {
            data[i] ^= 1;
            ck_assert_uint_ne(hash_bytes(&key, data, len), hash);
            data[i] ^= 1;
        }
        data[len] ^= 1;
        ck_assert_uint_eq(hash_bytes(&key, data, len), hash);
    }
}
END_TEST

START_TEST(where_the_bytes_lie_does_not_matter)
{
    struct hash_key key;
    char data[LENGTHS + 16];

    key_for(_i, &key);
    for (size_t len = 0; len < LENGTHS; len++) {
        uint64_t hash = 0;

        for (size_t at = 0; at < 8; at++) {
            memset(data, 'y', sizeof data);
            for (size_t i = 0; i < len; i++)
                data[at + i] = (char)i;
            if (at == 0)
                hash = hash_bytes(&key, data, len);
            ck_assert_uint_eq(hash_bytes(&key, data + at, len), hash);
        }
    }
}
END_TEST

/* A key may be the last bytes of a mapping, or the first. */
START_TEST(nothing_outside_of_the_bytes_is_read)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct hash_key key;

    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map + page, page, PROT_READ | PROT_WRITE), 0);
    key_for(_i, &key);
    for (size_t len = 1; len < LENGTHS; len++)
        ck_assert_uint_eq(hash_bytes(&key, map + page, len),
            hash_bytes(&key, map + 2 * page - len, len));
    munmap(map, 3 * page);
}
END_TEST

START_TEST(every_bit_of_the_secret_counts)
{
    unsigned char bytes[16];
    struct hash_key key;
    uint64_t hash;

    hash_key_init(&key, KEY, false);
    hash = hash_bytes(&key, "some key", 8);
    for (unsigned bit = 0; bit < 128; bit++) {
        memcpy(bytes, KEY, sizeof bytes);
        bytes[bit / 8] = (unsigned char)(bytes[bit / 8] ^ 1u << bit % 8);
        hash_key_init(&key, bytes, false);
        ck_assert_uint_ne(hash_bytes(&key, "some key", 8), hash);
    }
}
END_TEST

/* Buckets, stripes and tags take different bits: all of them have to be even. */
START_TEST(all_bits_are_even_over_numbered_keys)
{
    struct hash_key key;
    unsigned ones[64] = { 0 };

    key_for(_i, &key);
    for (uint32_t n = 0; n < 16384; n++) {
        char text[10] = "key-";
        uint64_t hash;

        memcpy(text + 4, &n, sizeof n);
        hash = hash_bytes(&key, text, 8);
        for (unsigned bit = 0; bit < 64; bit++)
            ones[bit] += (unsigned)(hash >> bit & 1);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        ck_assert_uint_gt(ones[bit], 8192 - 400);
        ck_assert_uint_lt(ones[bit], 8192 + 400);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base/hash");
    TCase *tc = tcase_create("hash");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, siphash_gives_the_published_number);
    tcase_add_test(tc, siphash_agrees_with_its_definition_at_every_length);
    tcase_add_loop_test(tc, every_length_hashes_differently, 0, algorithms());
    tcase_add_loop_test(tc, every_byte_counts_and_none_beyond_the_length, 0, algorithms());
    tcase_add_loop_test(tc, where_the_bytes_lie_does_not_matter, 0, algorithms());
    tcase_add_loop_test(tc, nothing_outside_of_the_bytes_is_read, 0, algorithms());
    tcase_add_test(tc, every_bit_of_the_secret_counts);
    tcase_add_loop_test(tc, all_bits_are_even_over_numbered_keys, 0, algorithms());
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
