/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_flush.c - protects: a flush is one moment for everybody. Nothing that was there
 * before it is seen after it, as it was or changed, whatever it met half way; what is
 * stored after it stays. The same for a flush of a prefix, of the keys that begin with it
 * and of no others.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "store/core.h"
#include "store_kit.h"

#define THREADS 3
#ifdef __SANITIZE_THREAD__
#define ROUNDS 2000
#else
#define ROUNDS 10000
#endif
/* Evictions a test waits for, at most. */
#define FILL_MAX 20000u

static const struct slice PREFIXES[] = { SLICE("a:"), SLICE("b:"), SLICE("a:long:"),
    SLICE("abcdefghijklmnopqrstuvwxyz") };

static struct store_options
options_with_prefixes(uint64_t memory_max)
{
    struct store_options options = kit_options(memory_max);

    options.flush_prefixes = PREFIXES;
    options.nflush_prefixes = sizeof PREFIXES / sizeof PREFIXES[0];
    return options;
}

static enum store_result
flush_prefix(struct kit *kit, const char *prefix)
{
    return store_flush_prefix(kit->store, slice_of(prefix, strlen(prefix)));
}

/* ---- Writes that look at what is there ------------------------------------------------- */

enum change { INCR, CAS, REPLACE, APPEND, PREPEND, MARK, MARK_EMPTY, CHANGES };

static uint64_t
unique_of(struct kit *kit, struct slice key)
{
    struct store_view view;

    if (store_find(kit->store, kit->thread, key, store_hash(kit->store, key), kit->now,
            STORE_PEEK, &view) != STORE_OK)
        return 1; /* no item's */
    return view.cas;
}

static enum store_result
change_mark(struct kit *kit, struct slice key, bool empty)
{
    struct store_mark mark = { .key = key, .hash = store_hash(kit->store, key),
        .stale = !empty, .empty = empty };
    uint8_t slab_class;

    return store_mark(kit->store, kit->thread, &mark, kit->now, &slab_class);
}

static enum store_result
change_value(struct kit *kit, struct slice key, enum change change, struct slice value)
{
    struct store_write write = { .mode = change == REPLACE ? STORE_REPLACE :
            change == APPEND ? STORE_APPEND : change == PREPEND ? STORE_PREPEND : STORE_SET };
    struct store_written written;

    if (change == CAS) {
        write.compare = true;
        write.cas_expected = unique_of(kit, key);
    }
    return kit_write_full(kit, &write, key, value, &written);
}

/* Each of them fails if the key is absent. */
static enum store_result
change_key(struct kit *kit, const char *key, enum change change, struct slice value)
{
    struct slice name = slice_of(key, strlen(key));
    uint64_t number;

    if (change == INCR)
        return kit_arith(kit, STORE_INCR, key, 1, &number);
    if (change == MARK || change == MARK_EMPTY)
        return change_mark(kit, name, change == MARK_EMPTY);
    return change_value(kit, name, change, value);
}

/* ---- A flush between a write's decision and its end -------------------------------------- */

struct trap {
    struct kit *kit;
    bool armed, sprung;
};

/* Called while a write looks for memory, its stripe held. A flush takes no stripe. */
static void
flush_now(void *context, const struct store_evicted *evicted)
{
    struct trap *trap = context;

    (void)evicted;
    if (!trap->armed)
        return;
    trap->armed = false;
    trap->sprung = true;
    store_flush(trap->kit->store, 0, trap->kit->now);
}

static void
moved(void *context, unsigned from, unsigned to)
{
    (void)context;
    (void)from;
    (void)to;
}

START_TEST(a_write_that_a_flush_overtakes_is_flushed_too)
{
    enum change change = (enum change)_i;
    struct store_options options = kit_options(2 << 20);
    struct store_observer observer = { 1, 2, flush_now, moved };
    const _Atomic unsigned wanted = 1;
    char text[KIT_KEY_MAX], value[3000];
    struct kit kit;
    struct trap trap = { .kit = &kit };

    kit_open(&kit, &options);
    store_thread_observe(kit.thread, &wanted, &observer, &trap);
    memset(value, 'v', sizeof value);
    for (unsigned n = 0; n < FILL_MAX && !trap.sprung; n++) {
        kit_set_sized(&kit, kit_key(text, "fill", n), sizeof value, 0);
        if (kit_totals(&kit).evictions == 0)
            continue;
        ck_assert_int_eq(kit_write(&kit, STORE_SET, "k", "9"), STORE_OK);
        trap.armed = true;
        ck_assert_int_eq(change_key(&kit, "k", change, slice_of(value, sizeof value)),
            STORE_OK);
        trap.armed = false;
        ck_assert_msg(!trap.sprung || !kit_present(&kit, SLICE("k")),
            "what was flushed came back");
    }
    ck_assert(trap.sprung);
    store_thread_observe(kit.thread, NULL, NULL, NULL);
    kit_close(&kit);
}
END_TEST

struct late {
    struct kit kit;
    enum change change;
    const char *key;
    enum store_result result;
};

static void *
late_main(void *argument)
{
    struct late *late = argument;

    late->kit.thread = store_thread_open(late->kit.store);
    late->result = change_key(&late->kit, late->key, late->change, SLICE("10"));
    store_thread_close(late->kit.thread);
    return NULL;
}

/* A write that comes in the middle of a flush, before the item looks flushed, waits for it. */
static void
change_amid_flush(const char *prefix)
{
    for (int change = 0; change < CHANGES; change++) {
        struct store_options options = options_with_prefixes(2 << 20);
        struct late late = { .change = (enum change)change, .key = "a:k" };
        struct kit *kit = &late.kit, own;
        struct store *store;
        pthread_t thread;
        uint64_t horizon;

        kit_open(&own, &options);
        store = own.store;
        *kit = own;
        ck_assert_int_eq(kit_write(&own, STORE_SET, "a:k", "9"), STORE_OK);
        lock_take(&store->flush_lock);
        horizon = flush_begin_locked(store);
        pthread_create(&thread, NULL, late_main, &late);
        while ((atomic_load(&store->cas) & ~FLUSHING) == horizon)
            sched_yield();
        flush_end_locked(store,
            prefix == NULL ? &store->flushed : &store->flush_prefixes[0].horizon, horizon);
        lock_give(&store->flush_lock);
        pthread_join(thread, NULL);
        ck_assert_int_eq(late.result,
            change >= REPLACE && change <= PREPEND ? STORE_NOT_STORED : STORE_MISS);
        kit_expect(&own, "a:k", NULL);
        kit_close(&own);
    }
}

START_TEST(a_write_that_meets_a_flush_finds_nothing)
{
    change_amid_flush(NULL);
    change_amid_flush("a:");
}
END_TEST

/* ---- The same by chance ---------------------------------------------------------------- */

struct crowd {
    struct store *store;
    enum change change;
    atomic_bool stop;
    atomic_ullong flushes; /* begun */
};

static void *
changer_main(void *argument)
{
    struct crowd *crowd = argument;
    struct kit kit = { crowd->store, store_thread_open(crowd->store), CLOCK_FIRST + 10 };

    while (!atomic_load(&crowd->stop)) {
        (void)change_key(&kit, "a:k", crowd->change, SLICE("7"));
        (void)change_key(&kit, "b:k", crowd->change, SLICE("7"));
    }
    store_thread_close(kit.thread);
    return NULL;
}

/* While others go on changing what is there, it is not there after a flush; and other keys
 * are, if only a prefix is flushed. */
static void
flush_rounds(enum change change, bool by_prefix)
{
    struct store_options options = options_with_prefixes(8 << 20);
    struct crowd crowd = { .change = change };
    pthread_t threads[THREADS];
    struct kit kit;

    kit_open(&kit, &options);
    crowd.store = kit.store;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, changer_main, &crowd);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ck_assert_int_eq(kit_write(&kit, STORE_SET, "a:k", "100000000"), STORE_OK);
        ck_assert_int_eq(kit_write(&kit, STORE_SET, "b:k", "100000000"), STORE_OK);
        for (unsigned i = 0; i < round % 64; i++)
            lock_pause();
        if (by_prefix)
            ck_assert_int_eq(flush_prefix(&kit, "a:"), STORE_OK);
        else
            store_flush(kit.store, 0, kit.now);
        ck_assert_msg(!kit_present(&kit, SLICE("a:k")), "round %u", round);
        ck_assert_msg(kit_present(&kit, SLICE("b:k")) == by_prefix, "round %u", round);
    }
    atomic_store(&crowd.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    kit_close(&kit);
}

START_TEST(nothing_changed_meanwhile_outlives_a_flush)
{
    flush_rounds((enum change)_i, false);
}
END_TEST

START_TEST(nothing_changed_meanwhile_outlives_a_flush_of_its_prefix)
{
    flush_rounds((enum change)_i, true);
}
END_TEST

static void *
flusher_main(void *argument)
{
    struct crowd *crowd = argument;

    while (!atomic_load(&crowd->stop)) {
        atomic_fetch_add(&crowd->flushes, 1);
        (void)store_flush_prefix(crowd->store, SLICE("a:"));
        for (unsigned i = 0; i < 200; i++)
            lock_pause();
    }
    return NULL;
}

/* An add that succeeds because of a flush is not hidden by that flush. */
START_TEST(one_flush_lets_one_add_succeed)
{
    struct store_options options = options_with_prefixes(8 << 20);
    struct crowd crowd = { .change = CAS };
    pthread_t thread;
    struct kit kit;
    uint64_t added = 0;

    kit_open(&kit, &options);
    crowd.store = kit.store;
    pthread_create(&thread, NULL, flusher_main, &crowd);
    for (unsigned round = 0; round < 10 * ROUNDS; round++) {
        enum store_result result = kit_write(&kit, STORE_ADD, "a:k", "1");

        ck_assert(result == STORE_OK || result == STORE_NOT_STORED);
        added += result == STORE_OK;
    }
    atomic_store(&crowd.stop, true);
    pthread_join(thread, NULL);
    ck_assert_uint_ge(added, 1);
    ck_assert_uint_le(added, atomic_load(&crowd.flushes) + 1);
    kit_close(&kit);
}
END_TEST

/* ---- Prefixes -------------------------------------------------------------------------- */

START_TEST(only_chosen_prefixes_can_be_flushed)
{
    struct store_options options = options_with_prefixes(2 << 20);
    uint64_t flushes;
    struct kit kit;

    kit_open(&kit, &options);
    kit_write(&kit, STORE_SET, "c:1", "one");
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(flush_prefix(&kit, "c:"), STORE_MISS);
        ck_assert_int_eq(flush_prefix(&kit, ""), STORE_MISS);
        ck_assert_int_eq(flush_prefix(&kit, "a"), STORE_MISS);
        ck_assert_int_eq(flush_prefix(&kit, "a:l"), STORE_MISS);
        ck_assert_int_eq(flush_prefix(&kit, "a:long:er"), STORE_MISS);
    }
    kit_expect(&kit, "c:1", "one");
    ck_assert_uint_eq(store_flush_prefixes(kit.store), 4);
    ck_assert_int_eq(flush_prefix(&kit, "b:"), STORE_OK);
    ck_assert_int_eq(flush_prefix(&kit, "b:"), STORE_OK);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert(slice_equal(store_flush_prefix_text(kit.store, i, &flushes), PREFIXES[i]));
        ck_assert_uint_eq(flushes, i == 1 ? 2 : 0);
    }
    kit_close(&kit);
}
END_TEST

START_TEST(a_store_without_prefixes_flushes_none)
{
    struct store_options options = kit_options(2 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    kit_write(&kit, STORE_SET, "a:1", "one");
    ck_assert_uint_eq(store_flush_prefixes(kit.store), 0);
    ck_assert_int_eq(flush_prefix(&kit, "a:"), STORE_MISS);
    ck_assert_int_eq(flush_prefix(&kit, ""), STORE_MISS);
    kit_expect(&kit, "a:1", "one");
    kit_close(&kit);
}
END_TEST

START_TEST(keys_go_with_any_prefix_they_begin_with)
{
    static const char *const keys[] = { "a:", "a:1", "a:long", "a:long:", "a:long:2", "a",
        "b:1", "A:1", "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz1",
        "abcdefghijklmnopqrstuvwxy", "xa:1" };
    /* Which of them live on, one letter a key. */
    static const char *const left[][2] = { { "a:long:", "yyynnyyyyyyy" },
        { "a:", "nnnnnyyyyyyy" }, { "b:", "nnnnnynyyyyy" },
        { "abcdefghijklmnopqrstuvwxyz", "nnnnnynynnyy" } };
    struct store_options options = options_with_prefixes(2 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        kit_write(&kit, STORE_SET, keys[i], "old");
    for (size_t step = 0; step < sizeof left / sizeof left[0]; step++) {
        ck_assert_int_eq(flush_prefix(&kit, left[step][0]), STORE_OK);
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            kit_expect(&kit, keys[i], left[step][1][i] == 'y' ? "old" : NULL);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        kit_write(&kit, STORE_SET, keys[i], "new");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        kit_expect(&kit, keys[i], "new");
    kit_close(&kit);
}
END_TEST

/* Bytes of any value, and uniques chosen by clients, which say nothing of the order. */
START_TEST(keys_may_be_binary_and_uniques_may_be_chosen)
{
    const struct slice prefixes[] = { { "\0\r\n\xff", 4 } };
    struct store_options options = kit_options(2 << 20);
    struct store_write write = { .mode = STORE_SET, .key_binary = true, .cas_given = true,
        .cas_new = UINT64_MAX };
    struct store_written written;
    struct slice in = slice_of("\0\r\n\xff\0x", 6), out = slice_of("\0\r\n\xfe\0x", 6);
    struct kit kit;

    options.flush_prefixes = prefixes;
    options.nflush_prefixes = 1;
    kit_open(&kit, &options);
    kit_write_full(&kit, &write, in, SLICE("in"), &written);
    kit_write_full(&kit, &write, out, SLICE("out"), &written);
    ck_assert_int_eq(store_flush_prefix(kit.store, prefixes[0]), STORE_OK);
    ck_assert(!kit_present(&kit, in));
    ck_assert(kit_present(&kit, out));
    write.cas_new = 1;
    kit_write_full(&kit, &write, in, SLICE("in"), &written);
    ck_assert(kit_present(&kit, in));
    ck_assert_uint_eq(unique_of(&kit, in), 1);
    kit_close(&kit);
}
END_TEST

START_TEST(what_a_prefix_hides_is_reclaimed_in_the_background)
{
    struct store_options options = options_with_prefixes(16 << 20);
    char text[KIT_KEY_MAX];
    struct kit kit;

    kit_open(&kit, &options);
    for (unsigned n = 0; n < 2000; n++)
        kit_set_sized(&kit, kit_key(text, n % 2 == 0 ? "a:" : "c:", n),
            n % 100 < 2 ? 20000 : n % 300, 0);
    ck_assert_uint_eq(kit_totals(&kit).items, 2000);
    flush_prefix(&kit, "a:");
    for (unsigned i = 0; i < 100 && kit_totals(&kit).items > 1000; i++) {
        kit.now++;
        store_maintain(kit.store, kit.thread, kit.now, 100000);
    }
    ck_assert_uint_eq(kit_totals(&kit).items, 1000);
    for (unsigned n = 1; n < 2000; n += 2)
        ck_assert(kit_has_sized(&kit, kit_key(text, "c:", n), n % 100 < 2 ? 20000 : n % 300));
    kit_close(&kit);
}
END_TEST

/* As if the items had been another store's, which had flushed some of them. */
START_TEST(horizons_come_back_by_their_texts)
{
    struct store_options options = options_with_prefixes(2 << 20);
    uint64_t flushes, horizon;
    struct kit kit;

    kit_open(&kit, &options);
    kit_write(&kit, STORE_SET, "b:1", "old");
    kit_write(&kit, STORE_SET, "gone:1", "old");
    horizon = atomic_load(&kit.store->cas);
    kit_write(&kit, STORE_SET, "a:1", "old");
    kit_write(&kit, STORE_SET, "b:2", "new");
    kit_write(&kit, STORE_SET, "gone:2", "new");
    flush_restore_prefix(kit.store, SLICE("gone:"), horizon, 7);
    flush_restore_prefix(kit.store, SLICE("b:"), horizon, 5);
    flush_restore_prefix(kit.store, SLICE("never:"), 0, 0);
    ck_assert(flush_restore_end(kit.store));
    ck_assert_uint_eq(store_flush_prefixes(kit.store), 4);
    ck_assert(slice_equal(store_flush_prefix_text(kit.store, 1, &flushes), SLICE("b:")));
    ck_assert_uint_eq(flushes, 5);
    kit_expect(&kit, "b:1", NULL);
    kit_expect(&kit, "gone:1", NULL);
    kit_expect(&kit, "a:1", "old");
    kit_expect(&kit, "b:2", "new");
    kit_expect(&kit, "gone:2", "new");
    ck_assert_int_eq(flush_prefix(&kit, "gone:"), STORE_MISS);
    ck_assert_int_eq(flush_prefix(&kit, "b:"), STORE_OK);
    kit_expect(&kit, "b:2", NULL);
    kit_close(&kit);
}
END_TEST

START_TEST(more_old_prefixes_than_there_is_room_for_hide_more)
{
    struct store_options options = options_with_prefixes(2 << 20);
    char text[KIT_KEY_MAX];
    uint64_t horizon;
    struct kit kit;

    kit_open(&kit, &options);
    kit_write(&kit, STORE_SET, "x:1", "old");
    horizon = atomic_load(&kit.store->cas);
    kit_write(&kit, STORE_SET, "x:2", "new");
    for (unsigned n = 0; n < FLUSH_SLOTS - 4; n++)
        flush_restore_prefix(kit.store, kit_key(text, "old", n), horizon, 1);
    ck_assert(flush_restore_end(kit.store));
    kit_expect(&kit, "x:1", "old");
    flush_restore_prefix(kit.store, SLICE("over"), horizon, 1);
    ck_assert(flush_restore_end(kit.store));
    kit_expect(&kit, "x:1", NULL);
    kit_expect(&kit, "x:2", "new");
    kit_close(&kit);
}
END_TEST

START_TEST(horizons_that_cannot_be_are_refused)
{
    struct store_options options = options_with_prefixes(2 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    ck_assert(flush_restore_end(kit.store));
    flush_restore_prefix(kit.store, SLICE("a:"), UINT64_MAX, 1);
    ck_assert(!flush_restore_end(kit.store));
    flush_restore_prefix(kit.store, SLICE("a:"), 0, 1);
    kit.store->cas |= FLUSHING;
    ck_assert(!flush_restore_end(kit.store));
    kit.store->cas &= ~FLUSHING;
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/flush");
    TCase *tc = tcase_create("flush");

    /* What takes no memory can't be overtaken this way. */
    tcase_add_loop_test(tc, a_write_that_a_flush_overtakes_is_flushed_too, CAS, MARK);
    tcase_add_test(tc, a_write_that_meets_a_flush_finds_nothing);
    tcase_add_loop_test(tc, nothing_changed_meanwhile_outlives_a_flush, 0, CHANGES);
    tcase_add_loop_test(tc, nothing_changed_meanwhile_outlives_a_flush_of_its_prefix, 0,
        CHANGES);
    tcase_add_test(tc, one_flush_lets_one_add_succeed);
    tcase_add_test(tc, only_chosen_prefixes_can_be_flushed);
    tcase_add_test(tc, a_store_without_prefixes_flushes_none);
    tcase_add_test(tc, keys_go_with_any_prefix_they_begin_with);
    tcase_add_test(tc, keys_may_be_binary_and_uniques_may_be_chosen);
    tcase_add_test(tc, what_a_prefix_hides_is_reclaimed_in_the_background);
    tcase_add_test(tc, horizons_come_back_by_their_texts);
    tcase_add_test(tc, more_old_prefixes_than_there_is_room_for_hide_more);
    tcase_add_test(tc, horizons_that_cannot_be_are_refused);
    return kit_run(suite, tc);
}
