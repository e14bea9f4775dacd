/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_table.c - protects: the index finds what was put in and nothing else, through
 * overflow chains, removals and splits; its slots stay dense; it gives back what it took;
 * and where it can't grow any more it says so and stays whole.
 *
 * Items are headers with a key in a bare arena; the test chooses their hashes.
 */
#include <pthread.h>

#include "store/table.h"
#include "store_kit.h"

#define ITEM_STEP 64 /* bytes from item to item */

struct fixture {
    struct arena arena;
    struct table table;
    unsigned nitems;
    uint64_t *hashes; /* of each item */
    bool *linked;
};

static struct fixture *
open_table(unsigned power, uint64_t buckets_max, uint64_t overflow_max, unsigned items_max)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct arena_sizes sizes = { .descriptors = 64,
        .buckets = buckets_max * sizeof(struct bucket),
        .overflow = overflow_max * sizeof(struct overflow),
        .pages = items_max * ITEM_STEP / PAGE_BYTES + 1 };
    const char *why;

    ck_assert_ptr_nonnull(fixture);
    ck_assert_int_eq(arena_init(&fixture->arena, &sizes, false, &why), 0);
    table_init(&fixture->table, &fixture->arena, power, false, buckets_max, overflow_max);
    fixture->hashes = calloc(items_max, sizeof *fixture->hashes);
    fixture->linked = calloc(items_max, sizeof *fixture->linked);
    return fixture;
}

static void
close_table(struct fixture *fixture)
{
    arena_fini(&fixture->arena);
    free(fixture->hashes);
    free(fixture->linked);
    free(fixture);
}

static struct item *
item_number(struct fixture *fixture, unsigned n)
{
    return (struct item *)(void *)(fixture->arena.pages + (size_t)n * ITEM_STEP);
}

static struct slice
key_number(struct fixture *fixture, unsigned n)
{
    return slice_of(item_number(fixture, n)->data, sizeof n);
}

static bool
insert(struct fixture *fixture, unsigned n, uint64_t hash)
{
    struct item *item = item_number(fixture, n);
    struct table_spot spot;

    memcpy(item->data, &n, sizeof n);
    item_set_info(item, info_make(sizeof n, 1, KIND_ITEM));
    fixture->hashes[n] = hash;
    spot = table_find(&fixture->table, hash, key_number(fixture, n));
    fixture->linked[n] = table_insert(&fixture->table, &spot,
        arena_ref(&fixture->arena, item));
    if (n >= fixture->nitems)
        fixture->nitems = n + 1;
    return fixture->linked[n];
}

static void
take_out(struct fixture *fixture, unsigned n)
{
    struct table_spot spot = table_find(&fixture->table, fixture->hashes[n],
        key_number(fixture, n));

    ck_assert_ptr_eq(spot.item, item_number(fixture, n));
    table_remove(&fixture->table, &spot);
    fixture->linked[n] = false;
}

/* Each item is found if it is linked, by its key and by its reference, else not. */
static void
expect_findable(struct fixture *fixture)
{
    unsigned wrong = 0;

    for (unsigned n = 0; n < fixture->nitems; n++) {
        struct item *item = item_number(fixture, n);
        struct item *wanted = fixture->linked[n] ? item : NULL;

        wrong += table_find(&fixture->table, fixture->hashes[n],
                     key_number(fixture, n)).item != wanted;
        wrong += table_find_ref(&fixture->table, fixture->hashes[n],
                     arena_ref(&fixture->arena, item)).item != wanted;
    }
    ck_assert_uint_eq(wrong, 0);
}

/* The full slots of `n`, which come before the empty ones. */
static unsigned
count_dense(const _Atomic uint64_t *slots, unsigned n)
{
    unsigned full = 0;

    while (full < n && slots[full] != 0)
        full++;
    for (unsigned slot = full; slot < n; slot++)
        if (slots[slot] != 0)
            ck_abort_msg("a hole before slot %u", slot);
    return full;
}

/* No empty slot before a full one, no empty overflow bucket, no odd sequence, and as many
 * overflow buckets as are said to be in use. Returns the number of full slots. */
static uint64_t
expect_dense(struct fixture *fixture)
{
    struct table *table = &fixture->table;
    uint64_t all = 0, overflows = 0;

    for (uint32_t i = 0; i < table_count(table); i++) {
        const struct bucket *bucket = &table->buckets[i];
        unsigned full = count_dense(bucket->slots, TABLE_SLOTS), room = TABLE_SLOTS;

        ck_assert((bucket->meta & 1) == 0);
        all += full;
        for (uint32_t next = meta_overflow(bucket->meta); next != 0;
             next = meta_overflow(table->overflow[next].meta)) {
            if (full < room)
                ck_abort_msg("bucket %u: an overflow bucket behind room", i);
            full = count_dense(table->overflow[next].slots, OVERFLOW_SLOTS);
            room = OVERFLOW_SLOTS;
            if (full == 0)
                ck_abort_msg("bucket %u: an empty overflow bucket", i);
            all += full;
            overflows++;
        }
    }
    ck_assert_uint_eq(overflows, table->overflow_used);
    return all;
}

static uint64_t
random_hash(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * UINT64_C(0x9e3779b97f4a7c15);
}

START_TEST(what_goes_in_is_found_and_what_goes_out_is_not)
{
    struct fixture *fixture = open_table(12, 8192, 8192, 20000);
    uint64_t seed = 1;

    for (unsigned n = 0; n < 20000; n++)
        ck_assert(insert(fixture, n, random_hash(&seed)));
    expect_findable(fixture);
    ck_assert_uint_eq(expect_dense(fixture), 20000);
    for (unsigned n = 0; n < 20000; n += 2)
        take_out(fixture, n);
    expect_findable(fixture);
    ck_assert_uint_eq(expect_dense(fixture), 10000);
    for (unsigned n = 1; n < 20000; n += 2)
        take_out(fixture, n);
    ck_assert_uint_eq(expect_dense(fixture), 0);
    ck_assert_uint_eq(fixture->table.overflow_used, 0);
    close_table(fixture);
}
END_TEST

/* One hash for all of them: everything hangs on one chain and tags tell nothing. */
START_TEST(keys_of_one_hash_are_told_apart_by_their_bytes)
{
    struct fixture *fixture = open_table(12, 4096, 4096, 3000);
    unsigned step = (unsigned[]){ 1, 7, 1499, 2999 }[_i];

    for (unsigned n = 0; n < 3000; n++)
        ck_assert(insert(fixture, n, 0x123456789abc));
    expect_findable(fixture);
    ck_assert_uint_eq(expect_dense(fixture), 3000);
    /* Removed from the front, the back and in between. */
    for (unsigned n = 0; n < 3000; n++) {
        take_out(fixture, n * step % 3000);
        if (n % 500 == 0)
            expect_findable(fixture);
    }
    ck_assert_uint_eq(expect_dense(fixture), 0);
    ck_assert_uint_eq(fixture->table.overflow_used, 0);
    close_table(fixture);
}
END_TEST

START_TEST(a_tag_alone_finds_nothing)
{
    struct fixture *fixture = open_table(12, 4096, 64, 10);

    insert(fixture, 0, 77);
    ck_assert_ptr_null(table_find(&fixture->table, 77, SLICE("\1\0\0\0")).item);
    ck_assert_ptr_null(table_find(&fixture->table, 77, SLICE("\0\0\0")).item);
    ck_assert_ptr_null(table_find(&fixture->table, 77, SLICE("\0\0\0\0\0")).item);
    ck_assert_ptr_nonnull(table_find(&fixture->table, 77, SLICE("\0\0\0\0")).item);
    /* Another bucket; the same bucket by another tag. */
    ck_assert_ptr_null(table_find(&fixture->table, 78, SLICE("\0\0\0\0")).item);
    ck_assert_ptr_null(table_find(&fixture->table, 77 + 4096, SLICE("\0\0\0\0")).item);
    close_table(fixture);
}
END_TEST

START_TEST(a_slot_can_be_given_another_item)
{
    struct fixture *fixture = open_table(12, 4096, 64, 20);
    struct table_spot spot;
    uint32_t before;

    for (unsigned n = 0; n < 10; n++)
        insert(fixture, n, 99);
    spot = table_find(&fixture->table, 99, key_number(fixture, 8));
    before = meta_seq(spot.bucket->meta);
    memcpy(item_number(fixture, 15), item_number(fixture, 8), ITEM_STEP);
    table_replace(&spot, arena_ref(&fixture->arena, item_number(fixture, 15)));
    ck_assert_uint_eq(meta_seq(spot.bucket->meta), before + 2);
    ck_assert_ptr_eq(table_find(&fixture->table, 99, key_number(fixture, 8)).item,
        item_number(fixture, 15));
    close_table(fixture);
}
END_TEST

/* ---- Growing ------------------------------------------------------------------------- */

START_TEST(every_item_is_found_after_each_of_many_splits)
{
    struct fixture *fixture = open_table(12, 1 << 17, 1 << 16, 200000);
    uint64_t seed = 2;
    unsigned n = 0;

    while (table_count(&fixture->table) < 32768 + 5000 && n < 200000) {
        ck_assert(insert(fixture, n++, random_hash(&seed)));
        if (n % 3 == 0)
            take_out(fixture, n / 3);
        if (n % 4 == 0)
            ck_assert(table_grow(&fixture->table));
        if (n % 20000 == 0)
            expect_findable(fixture);
    }
    expect_findable(fixture);
    expect_dense(fixture);
    ck_assert_uint_eq(table_count(&fixture->table), 32768 + 5000);
    close_table(fixture);
}
END_TEST

/* Chains of one bucket that all go, all stay, or go by halves when it is split. */
START_TEST(a_split_shares_a_chain_by_one_bit)
{
    for (unsigned items = 0; items <= 60; items++) {
        struct fixture *fixture = open_table(12, 8192, 64, 100);

        for (unsigned n = 0; n < items; n++) {
            uint64_t bit = _i == 0 ? 0 : _i == 1 ? 1 : _i == 2 ? n & 1 : n % 7 == 0;
            ck_assert(insert(fixture, n, bit << 12 | (uint64_t)n << 20));
        }
        ck_assert(table_grow(&fixture->table));
        expect_findable(fixture);
        ck_assert_uint_eq(expect_dense(fixture), items);
        close_table(fixture);
    }
}
END_TEST

/* What table.h says an item costs, at each eighth of three doublings; a little more than the
 * most that chance gives on average. Overflow buckets that were used once count, too. */
START_TEST(an_item_costs_a_dozen_bytes_all_the_way)
{
    const unsigned least = (1 << 12) * TABLE_LOAD, most = 8 * least;
    struct fixture *fixture = open_table(12, 1 << 16, 1 << 16, most);
    struct table *table = &fixture->table;
    uint64_t seed = 4;

    for (unsigned n = 0; n < most; n++) {
        unsigned doubled = (n + 1) / least;

        ck_assert(insert(fixture, n, random_hash(&seed)));
        table->items++;
        if (table_wants_growth(table))
            ck_assert(table_grow(table));
        if (doubled == 0 || (n + 1) % (least / 8) != 0)
            continue;
        ck_assert_uint_le(table_bytes(table) * 100, (n + 1) * UINT64_C(1225));
        /* At a whole doubling all buckets hold as many on average. */
        if ((n + 1) % least == 0 && (doubled & (doubled - 1)) == 0)
            ck_assert_uint_le(table_bytes(table) * 100, (n + 1) * UINT64_C(1175));
    }
    ck_assert_uint_eq(expect_dense(fixture), most);
    ck_assert_uint_eq(table_count(table), most / TABLE_LOAD);
    close_table(fixture);
}
END_TEST

START_TEST(it_wants_growth_beyond_its_load_unless_fixed)
{
    struct fixture *fixture = open_table(12, 8192, 64, 10);
    struct table *table = &fixture->table;

    ck_assert(!table_wants_growth(table));
    table->items = 4096 * TABLE_LOAD;
    ck_assert(!table_wants_growth(table));
    table->items++;
    ck_assert(table_wants_growth(table));
    table->items = -5; /* threads count in batches: it may run below zero */
    ck_assert(!table_wants_growth(table));
    table->items = 1 << 30;
    table->fixed = true;
    ck_assert(!table_wants_growth(table));
    close_table(fixture);
}
END_TEST

START_TEST(it_stops_growing_at_the_end_of_its_section)
{
    struct fixture *fixture = open_table(12, 4096 + 10, 64, 10);
    struct table *table = &fixture->table;

    table->items = 1 << 30;
    for (unsigned i = 0; i < 10; i++)
        ck_assert(table_grow(table));
    ck_assert(!table_wants_growth(table));
    ck_assert(!table_grow(table));
    ck_assert_uint_eq(table_count(table), 4096 + 10);
    close_table(fixture);
}
END_TEST

/* The bucket of a hash, as linear hashing defines it. */
START_TEST(a_bucket_number_is_the_low_bits_that_exist)
{
    uint64_t seed = 3;

    for (uint32_t n = 4096; n < 40000; n += 101) {
        uint32_t half = 4096;
        uint64_t hash = random_hash(&seed);
        uint32_t wanted;

        while (half * 2 <= n)
            half *= 2;
        wanted = (uint32_t)(hash % (half * 2));
        if (wanted >= n)
            wanted -= half;
        ck_assert_uint_eq(table_bucket(hash, n), wanted);
        /* A bucket and its stripe agree on the low bits. */
        ck_assert_uint_eq(table_bucket(hash, n) % TABLE_STRIPES, hash % TABLE_STRIPES);
    }
    ck_assert_uint_eq(table_bucket(UINT64_MAX, UINT32_C(1) << 31), UINT32_MAX >> 1);
    ck_assert_uint_eq(table_bucket(UINT64_MAX, UINT32_MAX), UINT32_MAX >> 1);
}
END_TEST

/* ---- Exhausted ----------------------------------------------------------------------- */

START_TEST(without_overflow_buckets_an_insertion_fails_and_harms_nothing)
{
    struct fixture *fixture = open_table(12, 4096, 3, 100);
    unsigned n = 0;

    while (insert(fixture, n, 5))
        n++;
    ck_assert_uint_eq(n, TABLE_SLOTS + 2 * OVERFLOW_SLOTS);
    expect_findable(fixture);
    ck_assert_uint_eq(expect_dense(fixture), n);
    /* Others go on where there is room ... */
    ck_assert(insert(fixture, 50, 6));
    /* ... and so does this one after a removal. */
    take_out(fixture, 3);
    ck_assert(insert(fixture, 51, 5));
    ck_assert(!insert(fixture, 52, 5));
    expect_findable(fixture);
    close_table(fixture);
}
END_TEST

/* The overflow bucket that a split frees is somebody else's at once: here the other takes
 * it before the split, which then can't be done. */
START_TEST(a_split_without_overflow_buckets_is_not_begun)
{
    struct fixture *fixture = open_table(12, 8192, 4, 200);
    const unsigned movers = TABLE_SLOTS + OVERFLOW_SLOTS;
    unsigned n = 0;

    /* Bucket 0: what would go, all of it. Bucket 9 has all that is left. */
    for (; n < movers; n++)
        ck_assert(insert(fixture, n, UINT64_C(1) << 12 | (uint64_t)n << 20));
    while (insert(fixture, n, 9))
        n++;
    ck_assert(!table_grow(&fixture->table));
    ck_assert_uint_eq(table_count(&fixture->table), 4096);
    expect_findable(fixture);
    expect_dense(fixture);
    /* Later it can. */
    for (unsigned i = movers; i < n; i++)
        take_out(fixture, i);
    ck_assert(table_grow(&fixture->table));
    expect_findable(fixture);
    ck_assert_uint_eq(expect_dense(fixture), movers);
    close_table(fixture);
}
END_TEST

/* ---- Threads ------------------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
#define CROWD_ROUNDS 3000
#else
#define CROWD_ROUNDS 30000
#endif

struct crowd {
    struct fixture *fixture;
    unsigned first;
    atomic_bool *stop;
};

/* Fills and empties long chains, so that overflow buckets change hands all the time. */
static void *
chain_worker(void *argument)
{
    struct crowd *crowd = argument;
    struct table *table = &crowd->fixture->table;

    for (unsigned round = 0; round < CROWD_ROUNDS; round++) {
        unsigned n = crowd->first + round % 40;
        uint64_t hash = crowd->fixture->hashes[n];
        struct slice key = key_number(crowd->fixture, n);
        struct table_spot spot;

        lock_take(table_stripe(table, hash));
        spot = table_find(table, hash, key);
        if (spot.item != NULL)
            table_remove(table, &spot);
        else
            (void)table_insert(table, &spot,
                arena_ref(&crowd->fixture->arena, item_number(crowd->fixture, n)));
        lock_give(table_stripe(table, hash));
    }
    return NULL;
}

static void *
grow_worker(void *argument)
{
    struct crowd *crowd = argument;

    while (!atomic_load(crowd->stop)) {
        (void)table_grow(&crowd->fixture->table);
        sched_yield();
    }
    return NULL;
}

/* Overflow buckets are scarce: insertions and splits fail at any point, none half-way. */
START_TEST(splits_and_writers_share_scarce_overflow_buckets)
{
    struct fixture *fixture = open_table(12, 8192 * 2, 9, 200);
    atomic_bool stop = false;
    struct crowd crowds[4];
    pthread_t threads[4];

    for (unsigned n = 0; n < 120; n++) {
        /* Three chains; every other item leaves at the first split. */
        struct item *item = item_number(fixture, n);
        memcpy(item->data, &n, sizeof n);
        item_set_info(item, info_make(sizeof n, 1, KIND_ITEM));
        fixture->hashes[n] = n / 40 | (uint64_t)(n & 1) << 12 | (uint64_t)n << 20;
    }
    for (unsigned i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){ fixture, i * 40, &stop };
        pthread_create(&threads[i], NULL, i == 3 ? grow_worker : chain_worker, &crowds[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    pthread_join(threads[3], NULL);
    expect_dense(fixture);
    close_table(fixture);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/table");
    TCase *tc = tcase_create("table");

    tcase_add_test(tc, what_goes_in_is_found_and_what_goes_out_is_not);
    tcase_add_loop_test(tc, keys_of_one_hash_are_told_apart_by_their_bytes, 0, 4);
    tcase_add_test(tc, a_tag_alone_finds_nothing);
    tcase_add_test(tc, a_slot_can_be_given_another_item);
    tcase_add_test(tc, every_item_is_found_after_each_of_many_splits);
    tcase_add_loop_test(tc, a_split_shares_a_chain_by_one_bit, 0, 4);
    tcase_add_test(tc, an_item_costs_a_dozen_bytes_all_the_way);
    tcase_add_test(tc, it_wants_growth_beyond_its_load_unless_fixed);
    tcase_add_test(tc, it_stops_growing_at_the_end_of_its_section);
    tcase_add_test(tc, a_bucket_number_is_the_low_bits_that_exist);
    tcase_add_test(tc, without_overflow_buckets_an_insertion_fails_and_harms_nothing);
    tcase_add_test(tc, a_split_without_overflow_buckets_is_not_begun);
    tcase_add_loop_test(tc, splits_and_writers_share_scarce_overflow_buckets, 0, 3);
    return kit_run(suite, tc);
}
