/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_sweep.c - protects: memory comes back by itself. Expired and flushed items are
 * reclaimed without being asked for, wherever their expiry came from; a lowered memory
 * limit gives pages back to the system; and a flush takes effect at its second, once.
 */
#include <pthread.h>

#include <sys/stat.h>

#include "store/core.h"
#include "store_kit.h"

/* Runs maintenance until nothing is left to do in this second. */
static void
maintain(struct kit *kit)
{
    for (unsigned i = 0; i < 10000; i++)
        if (!store_maintain(kit->store, kit->thread, kit->now, 100000))
            return;
}

static void
fill(struct kit *kit, const char *name, unsigned n, size_t len, uint32_t exptime)
{
    char text[KIT_KEY_MAX];

    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(kit_set_sized(kit, kit_key(text, name, i), len, exptime),
            STORE_OK);
}

static unsigned
count_present(struct kit *kit, const char *name, unsigned n)
{
    char text[KIT_KEY_MAX];
    unsigned present = 0;

    for (unsigned i = 0; i < n; i++)
        present += kit_present(kit, kit_key(text, name, i));
    return present;
}

static void
touch(struct kit *kit, struct slice key, uint32_t exptime)
{
    struct store_touch change = { true, exptime };

    ck_assert_int_eq(store_touch(kit->store, kit->thread, key, store_hash(kit->store, key),
        &change, kit->now, NULL), STORE_OK);
}

/* ---- Expiry -------------------------------------------------------------------------- */

START_TEST(expired_items_are_reclaimed_without_being_asked)
{
    static const size_t lens[] = { 20, 500, 8000, 30000 };
    struct store_options options = kit_options(32 << 20);
    struct kit kit;
    uint64_t memory;

    kit_open(&kit, &options);
    fill(&kit, "lasting", 200, lens[_i], 0);
    memory = kit_totals(&kit).memory_bytes;
    fill(&kit, "short", 200, lens[_i], kit.now + 5);
    fill(&kit, "longer", 200, lens[_i], kit.now + 7);
    kit.now += 4;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 600);
    kit.now += 1;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 400);
    ck_assert_uint_eq(count_present(&kit, "longer", 200), 200);
    kit.now += 2;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 200);
    ck_assert_uint_eq(kit_totals(&kit).sweep_reclaimed, 400);
    ck_assert_uint_eq(kit_totals(&kit).expired_unfetched, 400);
    ck_assert_uint_eq(kit_totals(&kit).evictions, 0);
    /* Their pages too: at most one of each of a few classes stays for the next item. */
    ck_assert_uint_le(kit_totals(&kit).memory_bytes, memory + 4 * PAGE_BYTES);
    ck_assert_uint_eq(count_present(&kit, "lasting", 200), 200);
    kit_close(&kit);
}
END_TEST

/* Every way an expiry can come to an item. */
START_TEST(an_expiry_is_noticed_wherever_it_came_from)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];
    struct slice key;
    struct store_arith arith = { .op = STORE_INCR, .delta = 1, .set_exptime = true };
    struct store_summed summed;
    int classes[3];

    kit_open(&kit, &options);
    arith.exptime = kit.now + 3;
    /* Pages are known to hold nothing that expires. */
    fill(&kit, "touched", 10, 50, 0);
    fill(&kit, "stored over", 10, 50, 0);
    fill(&kit, "moved", 10, 3000, 0);
    for (unsigned i = 0; i < 10; i++)
        kit_write(&kit, STORE_SET, (kit_key(text, "number", i), text), "1");
    maintain(&kit);
    for (unsigned i = 0; i < 10; i++) {
        touch(&kit, kit_key(text, "touched", i), kit.now + 3);
        kit_set_sized(&kit, kit_key(text, "stored over", i), 50, kit.now + 3);
        touch(&kit, kit_key(text, "moved", i), kit.now + 3);
        key = kit_key(text, "number", i);
        arith.key = key;
        arith.hash = store_hash(kit.store, key);
        ck_assert_int_eq(store_arith(kit.store, kit.thread, &arith, kit.now, &summed),
            STORE_OK);
    }
    /* A page of the moved ones is given away; whoever is in use takes its expiry along. */
    for (unsigned i = 0; i < 10; i++)
        for (unsigned round = 0; round < 4; round++)
            (void)kit_has_sized(&kit, kit_key(text, "moved", i), 3000);
    classes[0] = (int)store_class_of(kit.store, 7, 0, 3000);
    fill(&kit, "others", 40, 3000, 0);
    (void)store_move_page(kit.store, kit.thread, classes[0], 1, kit.now);
    ck_assert_uint_eq(count_present(&kit, "moved", 10), 10);
    kit.now += 3;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items,
        count_present(&kit, "others", 40));
    kit_close(&kit);
}
END_TEST

START_TEST(a_touch_to_later_keeps_an_item)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    fill(&kit, "item", 300, 100, kit.now + 5);
    for (unsigned i = 0; i < 100; i++)
        touch(&kit, kit_key(text, "item", i), kit.now + 20);
    for (unsigned i = 100; i < 200; i++)
        touch(&kit, kit_key(text, "item", i), 0);
    kit.now += 6;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 200);
    kit.now += 14;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 100);
    kit.now += 100000;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 100);
    kit_close(&kit);
}
END_TEST

START_TEST(an_item_is_visible_until_its_second_and_not_in_it)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    kit_set_sized(&kit, kit_key(text, "item", 1), 10, kit.now + 1);
    ck_assert(kit_present(&kit, kit_key(text, "item", 1)));
    kit.now++;
    ck_assert(!kit_present(&kit, kit_key(text, "item", 1)));
    kit_set_sized(&kit, kit_key(text, "item", 2), 10, EXPTIME_PAST);
    ck_assert(!kit_present(&kit, kit_key(text, "item", 2)));
    kit_set_sized(&kit, kit_key(text, "item", 3), 10, kit.now);
    ck_assert(!kit_present(&kit, kit_key(text, "item", 3)));
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 0);
    kit_close(&kit);
}
END_TEST

START_TEST(a_sweep_that_is_switched_off_reclaims_nothing)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    store_sweep_enable(kit.store, false);
    fill(&kit, "item", 100, 100, kit.now + 1);
    kit.now += 5;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 100);
    ck_assert(!kit_totals(&kit).sweep_enabled);
    store_sweep_enable(kit.store, true);
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 0);
    ck_assert_uint_eq(kit_totals(&kit).sweep_runs, 1);
    kit_close(&kit);
}
END_TEST

/* One page at a time: with hardly any budget a sweep takes many calls and misses none. */
START_TEST(a_sweep_in_small_slices_reclaims_everything)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;
    unsigned calls = 0;

    kit_open(&kit, &options);
    fill(&kit, "item", 20000, 200, kit.now + 1);
    kit.now += 2;
    while (store_maintain(kit.store, kit.thread, kit.now, 5))
        ck_assert_uint_lt(++calls, 100000);
    ck_assert_uint_eq(kit_totals(&kit).items, 0);
    kit_close(&kit);
}
END_TEST

/* ---- Flushing ------------------------------------------------------------------------ */

START_TEST(a_flush_hides_at_once_and_the_sweep_reclaims)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    fill(&kit, "old", 3000, 300, 0);
    maintain(&kit);
    store_flush(kit.store, 0, kit.now);
    ck_assert_uint_eq(count_present(&kit, "old", 3000), 0);
    fill(&kit, "new", 10, 300, 0);
    ck_assert_uint_eq(count_present(&kit, "new", 10), 10);
    maintain(&kit);
    kit.now++;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, 10);
    ck_assert_uint_eq(count_present(&kit, "new", 10), 10);
    ck_assert_uint_le(kit_totals(&kit).memory_bytes, 2 * PAGE_BYTES);
    kit_close(&kit);
}
END_TEST

/* A flush, or a request for a sweep, that comes while the sweep is half-way through. */
START_TEST(what_is_asked_for_in_the_middle_of_a_sweep_is_done)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    fill(&kit, "lasting", 20000, 200, 0); /* of no interest to the first sweep ... */
    fill(&kit, "item", 20000, 200, kit.now + 1);
    kit.now += 2;
    ck_assert(store_maintain(kit.store, kit.thread, kit.now, 20));
    ck_assert(kit_totals(&kit).sweep_running);
    if (_i == 0) /* ... which has passed them by now */
        store_flush(kit.store, 0, kit.now);
    else
        store_sweep_now(kit.store, ~UINT64_C(0));
    maintain(&kit);
    kit.now++;
    maintain(&kit);
    ck_assert_uint_eq(kit_totals(&kit).items, _i == 0 ? 0 : 20000);
    ck_assert_uint_ge(kit_totals(&kit).sweep_checked, 40000);
    kit_close(&kit);
}
END_TEST

START_TEST(a_sweep_that_was_asked_for_looks_at_every_item_of_its_class)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;
    unsigned small, big;
    struct store_class_totals totals;

    kit_open(&kit, &options);
    fill(&kit, "small", 1000, 20, 0);
    fill(&kit, "big", 1000, 2000, 0);
    small = store_class_of(kit.store, 9, 0, 20);
    big = store_class_of(kit.store, 7, 0, 2000);
    maintain(&kit);
    store_sweep_now(kit.store, UINT64_C(1) << big);
    kit.now++;
    maintain(&kit);
    store_class_totals(kit.store, big, kit.now, &totals);
    ck_assert_uint_eq(totals.sweep_checked, 1000);
    store_class_totals(kit.store, small, kit.now, &totals);
    ck_assert_uint_eq(totals.sweep_checked, 0);
    kit.now++;
    maintain(&kit);
    store_class_totals(kit.store, big, kit.now, &totals);
    ck_assert_uint_eq(totals.sweep_checked, 1000);
    kit_close(&kit);
}
END_TEST

START_TEST(a_delayed_flush_comes_at_its_second_and_once)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    fill(&kit, "before", 50, 100, 0);
    store_flush(kit.store, kit.now + 3, kit.now);
    fill(&kit, "meanwhile", 50, 100, 0);
    kit.now += 2;
    ck_assert_uint_eq(count_present(&kit, "before", 50), 50);
    ck_assert_uint_eq(kit_totals(&kit).flushed_before, 0);
    kit.now += 1;
    /* The first to notice may be a write, a read, a counter, a removal or maintenance. */
    if (_i == 0)
        ck_assert_int_eq(kit_write(&kit, STORE_ADD, "before-1", "again"), STORE_OK);
    else if (_i == 1)
        ck_assert(!kit_present(&kit, kit_key(text, "before", 1)));
    else if (_i == 2)
        ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "before-1", 1, &(uint64_t){ 0 }),
            STORE_MISS);
    else if (_i == 3)
        ck_assert_int_eq(store_delete(kit.store, kit.thread, kit_key(text, "before", 1),
            store_hash(kit.store, kit_key(text, "before", 1)), false, 0, kit.now,
            &(uint8_t){ 0 }), STORE_MISS);
    else
        maintain(&kit);
    ck_assert_uint_eq(count_present(&kit, "before", 50), _i == 0 ? 1 : 0);
    ck_assert_uint_eq(count_present(&kit, "meanwhile", 50), 0);
    ck_assert_uint_eq(kit_totals(&kit).flushed_before, kit.now);
    fill(&kit, "after", 50, 100, 0);
    kit.now += 10;
    maintain(&kit);
    ck_assert_uint_eq(count_present(&kit, "after", 50), 50);
    kit_close(&kit);
}
END_TEST

START_TEST(a_later_flush_replaces_a_pending_one)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    store_flush(kit.store, kit.now + 3, kit.now);
    store_flush(kit.store, kit.now + 6, kit.now);
    fill(&kit, "item", 10, 100, 0);
    kit.now += 4;
    ck_assert_uint_eq(count_present(&kit, "item", 10), 10);
    store_flush(kit.store, 0, kit.now);
    fill(&kit, "after", 10, 100, 0);
    kit.now += 4;
    maintain(&kit);
    ck_assert_uint_eq(count_present(&kit, "item", 10), 0);
    ck_assert_uint_eq(count_present(&kit, "after", 10), 10);
    kit_close(&kit);
}
END_TEST

#ifdef __SANITIZE_THREAD__
#define FLUSH_ROUNDS 300
#else
#define FLUSH_ROUNDS 4000
#endif

struct flushers {
    struct store *store;
    pthread_barrier_t barrier;
    atomic_uint lost, seen;
    bool delayed;
};

/*
 * All see the flush's second at the same time. What one of them stores after its own look
 * at the clock is younger than the flush and stays, however late the others are; what was
 * there before is gone for each of them.
 */
static void *
flush_worker(void *argument)
{
    struct flushers *flushers = argument;
    struct kit kit = { .store = flushers->store,
        .thread = store_thread_open(flushers->store), .now = CLOCK_FIRST };
    char text[KIT_KEY_MAX], name[32];

    snprintf(name, sizeof name, "thread %p", (void *)&kit);
    for (unsigned round = 0; round < FLUSH_ROUNDS; round++) {
        if (pthread_barrier_wait(&flushers->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
            kit_set_sized(&kit, kit_key(text, "old", 1), 10, 0);
            if (flushers->delayed)
                store_flush(kit.store, kit.now + 1, kit.now);
        }
        pthread_barrier_wait(&flushers->barrier);
        kit.now++;
        if (!flushers->delayed)
            store_flush(kit.store, 0, kit.now);
        if (kit_present(&kit, kit_key(text, "old", 1)))
            atomic_fetch_add(&flushers->seen, 1);
        if (flushers->delayed) {
            kit_set_sized(&kit, kit_key(text, name, round), 10, 0);
            pthread_barrier_wait(&flushers->barrier);
            if (!kit_present(&kit, kit_key(text, name, round)))
                atomic_fetch_add(&flushers->lost, 1);
        }
    }
    store_thread_close(kit.thread);
    return NULL;
}

START_TEST(threads_that_see_a_flush_at_once_flush_once)
{
    struct store_options options = kit_options(64 << 20);
    struct flushers flushers = { .delayed = _i == 0 };
    pthread_t threads[3];
    const char *why;

    flushers.store = store_create(&options, &why);
    pthread_barrier_init(&flushers.barrier, NULL, 3);
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, flush_worker, &flushers);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(flushers.lost, 0);
    ck_assert_uint_eq(flushers.seen, 0);
    pthread_barrier_destroy(&flushers.barrier);
    store_check(flushers.store);
    store_destroy(flushers.store);
}
END_TEST

/* ---- The memory limit ---------------------------------------------------------------- */

/* Bytes that the memory file really holds. */
static uint64_t
resident(struct kit *kit)
{
    struct stat status;

    ck_assert_int_eq(fstat(kit->store->arena.fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

START_TEST(a_lowered_limit_gives_memory_back)
{
    struct store_options options = kit_options(32 << 20);
    struct kit kit;
    uint64_t full;

    kit_open(&kit, &options);
    fill(&kit, "item", 40000, 600, 0);
    full = resident(&kit);
    ck_assert_uint_gt(full, 25 << 20);
    if (_i == 1) {
        /* All of it lies in the pool when the limit falls. */
        store_flush(kit.store, 0, kit.now);
        maintain(&kit);
        kit.now++;
        maintain(&kit);
        ck_assert_uint_gt(kit_totals(&kit).pages_free, 400);
    }
    ck_assert(store_memory_limit(kit.store, 8 << 20));
    ck_assert_uint_eq(kit_totals(&kit).limit_bytes, 8 << 20);
    maintain(&kit);
    ck_assert_uint_le(kit_totals(&kit).memory_bytes, 8 << 20);
    ck_assert_uint_lt(resident(&kit), full - (17 << 20));
    ck_assert_uint_gt(kit_totals(&kit).pages_free, 250);
    fill(&kit, "item", 40000, 600, 0);
    ck_assert_uint_le(kit_totals(&kit).memory_bytes, 8 << 20);
    ck_assert_uint_lt(resident(&kit), full - (17 << 20));
    /* And up again, beyond where it was. */
    ck_assert(store_memory_limit(kit.store, 48 << 20));
    fill(&kit, "item", 60000, 600, 0);
    ck_assert_uint_gt(kit_totals(&kit).memory_bytes, 36 << 20);
    ck_assert_uint_eq(count_present(&kit, "item", 60000), 60000);
    kit_close(&kit);
}
END_TEST

START_TEST(impossible_limits_are_refused)
{
    struct store_options options = kit_options(4 << 20);
    struct kit kit;

    options.memory_reserve = 16 << 20;
    kit_open(&kit, &options);
    ck_assert(!store_memory_limit(kit.store, 0));
    ck_assert(!store_memory_limit(kit.store, 65535));
    ck_assert(!store_memory_limit(kit.store, 17 << 20));
    ck_assert(!store_memory_limit(kit.store, UINT64_MAX));
    ck_assert(store_memory_limit(kit.store, 16 << 20));
    ck_assert(store_memory_limit(kit.store, 65536));
    kit_close(&kit);
}
END_TEST

/* -L: all of it is there from the start, and stays. */
START_TEST(preallocated_memory_has_one_limit)
{
    struct store_options options = kit_options(8 << 20);
    struct kit kit;
    const char *why = NULL;
    struct store *store;

    options.preallocate = true;
    store = store_create(&options, &why);
    if (store == NULL) { /* no huge pages here: there is a reason to show */
        ck_assert_ptr_nonnull(why);
        return;
    }
    store_destroy(store);
    kit_open(&kit, &options);
    ck_assert(!store_memory_limit(kit.store, 4 << 20));
    ck_assert(!store_memory_limit(kit.store, 16 << 20));
    fill(&kit, "item", 40000, 600, 0);
    ck_assert_uint_eq(kit_totals(&kit).memory_bytes, 8 << 20);
    kit_close(&kit);
}
END_TEST

/* Writing goes on while pages are taken away, down to a single one. */
START_TEST(writing_goes_on_while_the_limit_falls)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    for (uint64_t limit = 16 << 20; limit >= 1 << 20; limit /= 2) {
        ck_assert(store_memory_limit(kit.store, limit));
        for (unsigned i = 0; i < 20 / KIT_LESS; i++) {
            fill(&kit, "small", 2000, 100, 0);
            fill(&kit, "mid", 50, 4000, 0);
            fill(&kit, "large", 3, 100000, 0);
            store_maintain(kit.store, kit.thread, kit.now, 1000);
        }
        maintain(&kit);
        ck_assert_uint_le(kit_totals(&kit).memory_bytes, limit);
    }
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/sweep");
    TCase *tc = tcase_create("sweep");

    tcase_add_loop_test(tc, expired_items_are_reclaimed_without_being_asked, 0, 4);
    tcase_add_test(tc, an_expiry_is_noticed_wherever_it_came_from);
    tcase_add_test(tc, a_touch_to_later_keeps_an_item);
    tcase_add_test(tc, an_item_is_visible_until_its_second_and_not_in_it);
    tcase_add_test(tc, a_sweep_that_is_switched_off_reclaims_nothing);
    tcase_add_test(tc, a_sweep_in_small_slices_reclaims_everything);
    tcase_add_test(tc, a_flush_hides_at_once_and_the_sweep_reclaims);
    tcase_add_loop_test(tc, what_is_asked_for_in_the_middle_of_a_sweep_is_done, 0, 2);
    tcase_add_test(tc, a_sweep_that_was_asked_for_looks_at_every_item_of_its_class);
    tcase_add_loop_test(tc, a_delayed_flush_comes_at_its_second_and_once, 0, 5);
    tcase_add_test(tc, a_later_flush_replaces_a_pending_one);
    tcase_add_loop_test(tc, threads_that_see_a_flush_at_once_flush_once, 0, 2);
    tcase_add_loop_test(tc, a_lowered_limit_gives_memory_back, 0, 2);
    tcase_add_test(tc, impossible_limits_are_refused);
    tcase_add_test(tc, preallocated_memory_has_one_limit);
    tcase_add_test(tc, writing_goes_on_while_the_limit_falls);
    return kit_run(suite, tc);
}
