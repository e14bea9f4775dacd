/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_flood.c - protects: nobody can aim keys at one bucket of the index.
 *
 * An attacker who knows the hash function makes thousands of keys offline that share a
 * bucket, and every access to one of them walks past all the others. The keys are made
 * here as an attacker would make them: by trying, against functions without a secret. The
 * control shows that the attack works where the secret is known; then the same keys meet
 * a key drawn as at the server's start. Judged by the buckets that a lookup walks, not by
 * time.
 */
#include "../support/quick_check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "store/table.h"
#include "store/item.h"

#define KEYS     2000u
#define KEY_SIZE 16u
#define STEP     64u /* bytes from item to item */
#define POWER    TABLE_POWER_MIN
/* Of 2000 keys in 4096 buckets at random more than 14, which is two buckets of a chain,
 * meet in one less than once in 10^12 runs. */
#define CHAIN_MAX 2u

typedef uint64_t (*function_fn)(const char *data, size_t len);

static uint64_t
fnv1a(const char *data, size_t len)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    return hash;
}

static uint64_t
xxh3_without_seed(const char *data, size_t len)
{
    return hash_bytes(&(struct hash_key){ .fast = true }, data, len);
}

static uint64_t
siphash_of_zeros(const char *data, size_t len)
{
    return hash_bytes(&(struct hash_key){ .fast = false }, data, len);
}

static const struct attack {
    const char *name;
    function_fn function;
    bool fast; /* which of ours it is, for the control */
    bool ours;
} attacks[] = {
    { "XXH3 without a seed, memcached's", xxh3_without_seed, true, true },
    { "SipHash under a key of zeros", siphash_of_zeros, false, true },
    { "FNV-1a", fnv1a, false, false },
};

/* Keys that share all bits which choose a bucket. */
static void
make_keys(function_fn function, char keys[][KEY_SIZE])
{
    unsigned n = 0;

    for (unsigned tried = 0; n < KEYS; tried++) {
        int len = snprintf(keys[n], KEY_SIZE, "user:%u", tried);
        if ((function(keys[n], (size_t)len) & ((1u << POWER) - 1)) == 0)
            n++;
    }
}

/* The longest chain of buckets of an index that holds them, hashed under `key`. */
static unsigned
longest_chain(char keys[][KEY_SIZE], const struct hash_key *key)
{
    struct arena arena;
    struct arena_sizes sizes = { .descriptors = 64,
        .buckets = (1u << POWER) * sizeof(struct bucket),
        .overflow = KEYS * sizeof(struct overflow),
        .pages = KEYS * STEP / PAGE_BYTES + 1 };
    struct table *table = calloc(1, sizeof *table);
    unsigned longest = 0;
    const char *why;

    ck_assert_ptr_nonnull(table);
    ck_assert_int_eq(arena_init(&arena, &sizes, false, &why), 0);
    table_init(table, &arena, POWER, true, 1u << POWER, KEYS);
    for (unsigned n = 0; n < KEYS; n++) {
        struct item *item = (struct item *)(void *)(arena.pages + (size_t)n * STEP);
        uint64_t hash = hash_bytes(key, keys[n], strlen(keys[n]));
        struct table_spot spot = table_find(table, hash, slice_of("", 0));

        ck_assert(table_insert(table, &spot, arena_ref(&arena, item)));
    }
    for (uint32_t i = 0; i < table_count(table); i++) {
        unsigned length = 1;
        uint32_t next = meta_overflow(table->buckets[i].meta);
        for (; next != 0; next = meta_overflow(table->overflow[next].meta))
            length++;
        longest = length > longest ? length : longest;
    }
    arena_fini(&arena);
    free(table);
    return longest;
}

START_TEST(keys_that_collide_in_a_known_function_are_spread_by_a_secret_key)
{
    const struct attack *attack = &attacks[_i];
    char(*keys)[KEY_SIZE] = calloc(KEYS, sizeof *keys);
    unsigned char bytes[16];
    struct hash_key secret;

    ck_assert_ptr_nonnull(keys);
    if (attack->fast && !hash_has_fast()) {
        free(keys);
        return;
    }
    make_keys(attack->function, keys);
    if (attack->ours) { /* the control: whoever knows the key has them all in one chain */
        struct hash_key known = { .fast = attack->fast };
        ck_assert_uint_ge(longest_chain(keys, &known), KEYS / OVERFLOW_SLOTS);
    }
    for (unsigned start = 0; start < 5; start++) {
        ck_assert_int_eq(getrandom(bytes, sizeof bytes, 0), sizeof bytes);
        hash_key_init(&secret, bytes, false);
        unsigned longest = longest_chain(keys, &secret);
        ck_assert_msg(longest <= CHAIN_MAX, "%s: %u", attack->name, longest);
    }
    free(keys);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("flood");
    TCase *tcase = tcase_create("flood");

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase,
        keys_that_collide_in_a_known_function_are_spread_by_a_secret_key, 0,
        (int)(sizeof attacks / sizeof *attacks));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
