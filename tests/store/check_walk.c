/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_walk.c - protects: a walk shows every live item once while nobody writes, never a
 * torn or dead one while others do; and what the gauges say is what a walk finds.
 */
#include <pthread.h>

#include "store/core.h"
#include "store_kit.h"

#define ITEMS 5000

struct seen {
    struct kit *kit;
    unsigned times[ITEMS];
    uint64_t items, bytes;
    uint64_t class_items[SLAB_CLASSES_MAX], class_bytes[SLAB_CLASSES_MAX];
    uint64_t strange;
};

/* Lengths from nothing to chains, told by the number. */
static size_t
len_of(unsigned n)
{
    return n % 500 == 0 ? 9000 + n * 3 : n % 50 == 0 ? n : n % 97;
}

static void
note(void *context, const struct store_entry *entry)
{
    struct seen *seen = context;
    const struct store_view *view = &entry->view;
    char text[64] = { 0 };
    unsigned n;
    uint64_t bytes;

    memcpy(text, entry->key.data, entry->key.len < 63 ? entry->key.len : 63);
    if (sscanf(text, "item-%u", &n) != 1 || n >= ITEMS || view->value_len != len_of(n)) {
        seen->strange++;
        return;
    }
    seen->times[n]++;
    bytes = ITEM_HEADER + entry->key.len + (view->client_flags != 0 ? 4 : 0);
    if (view->large)
        bytes = ((bytes + 7) & ~UINT64_C(7)) + sizeof(struct chain);
    bytes += view->value_len;
    seen->items++;
    seen->bytes += bytes;
    seen->class_items[view->slab_class]++;
    seen->class_bytes[view->slab_class] += bytes;
}

static struct seen *
walk(struct kit *kit, uint64_t classes, unsigned budget)
{
    struct seen *seen = calloc(1, sizeof *seen);
    uint64_t cursor = 0;
    unsigned calls = 0;

    while (store_walk(kit->store, kit->thread, classes, &cursor, budget, kit->now, note,
        seen))
        ck_assert_uint_lt(++calls, 10000000);
    return seen;
}

static void
fill(struct kit *kit)
{
    char text[KIT_KEY_MAX];

    for (unsigned n = 0; n < ITEMS; n++)
        ck_assert_int_eq(kit_set_sized(kit, kit_key(text, "item", n), len_of(n), 0),
            STORE_OK);
}

START_TEST(a_quiet_store_shows_every_item_once)
{
    static const unsigned budgets[] = { 1, 7, 100, 1000000 };
    struct store_options options = kit_options(16 << 20);
    struct kit kit;
    struct seen *seen;

    kit_open(&kit, &options);
    fill(&kit);
    seen = walk(&kit, UINT64_MAX, budgets[_i]);
    ck_assert_uint_eq(seen->items, ITEMS);
    ck_assert_uint_eq(seen->strange, 0);
    for (unsigned n = 0; n < ITEMS; n++)
        if (seen->times[n] != 1)
            ck_abort_msg("item %u was shown %u times", n, seen->times[n]);
    free(seen);
    kit_close(&kit);
}
END_TEST

START_TEST(an_empty_store_shows_nothing)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;
    struct seen *seen;

    kit_open(&kit, &options);
    seen = walk(&kit, UINT64_MAX, 10);
    ck_assert_uint_eq(seen->items + seen->strange, 0);
    free(seen);
    fill(&kit);
    store_flush(kit.store, 0, kit.now);
    seen = walk(&kit, UINT64_MAX, 1000);
    ck_assert_uint_eq(seen->items + seen->strange, 0);
    free(seen);
    kit_close(&kit);
}
END_TEST

START_TEST(only_classes_that_are_asked_for_are_shown)
{
    struct store_options options = kit_options(16 << 20);
    struct kit kit;
    uint64_t sum = 0;

    kit_open(&kit, &options);
    fill(&kit);
    for (unsigned id = 0; id < 64; id++) {
        struct seen *seen = walk(&kit, UINT64_C(1) << id, 1000);

        ck_assert_uint_eq(seen->items, seen->class_items[id]);
        sum += seen->items;
        free(seen);
    }
    ck_assert_uint_eq(sum, ITEMS);
    kit_close(&kit);
}
END_TEST

/* After every kind of change the gauges, summed over threads, agree with a walk. */
START_TEST(gauges_agree_with_a_walk)
{
    struct store_options options = kit_options(_i == 0 ? 32 << 20 : 1 << 20);
    struct kit kit, other;
    struct seen *seen;
    uint64_t seed = 11;
    char text[KIT_KEY_MAX];

    kit_open(&kit, &options);
    other = kit;
    other.thread = store_thread_open(kit.store);
    fill(&kit);
    for (unsigned step = 0; step < 30000; step++) {
        struct kit *by = step % 3 == 0 ? &other : &kit;
        struct slice key;
        unsigned n;
        uint8_t class;

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        n = (unsigned)(seed >> 33) % ITEMS;
        key = kit_key(text, "item", n);
        switch ((seed >> 20) % 4) {
        case 0:
            (void)store_delete(by->store, by->thread, key, store_hash(by->store, key),
                false, 0, by->now, &class);
            break;
        case 1:
            (void)kit_has_sized(by, key, len_of(n));
            break;
        default:
            (void)kit_set_sized(by, key, len_of(n), 0);
            break;
        }
        if (step % 1000 == 0)
            (void)store_move_page(by->store, by->thread, -1, 0, by->now);
    }
    store_thread_close(other.thread);
    seen = walk(&kit, UINT64_MAX, 1000);
    ck_assert_uint_eq(seen->strange, 0);
    ck_assert_uint_eq(seen->items, kit_totals(&kit).items);
    ck_assert_uint_eq(seen->bytes, kit_totals(&kit).bytes);
    for (unsigned id = 1; id <= store_classes(kit.store); id++) {
        struct store_class_totals totals;

        store_class_totals(kit.store, id, kit.now, &totals);
        ck_assert_uint_eq(totals.items, seen->class_items[id]);
        ck_assert_uint_eq(totals.mem_requested, seen->class_bytes[id]);
        ck_assert_uint_eq(totals.used_chunks + totals.free_chunks, totals.chunks);
    }
    free(seen);
    kit_close(&kit);
}
END_TEST

/* ---- While others write -------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
#define WRITES 20000
#else
#define WRITES 150000
#endif

struct writer {
    struct store *store;
    atomic_bool done;
};

static void *
write_all(void *argument)
{
    struct writer *writer = argument;
    struct kit kit = { .store = writer->store,
        .thread = store_thread_open(writer->store), .now = CLOCK_FIRST + 10 };
    uint64_t seed = 17;
    char text[KIT_KEY_MAX];

    for (unsigned step = 0; step < WRITES; step++) {
        struct slice key;
        unsigned n;
        uint8_t class;

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        n = (unsigned)(seed >> 33) % ITEMS;
        key = kit_key(text, "item", n);
        if (seed >> 20 & 1)
            (void)kit_set_sized(&kit, key, len_of(n), 0);
        else
            (void)store_delete(kit.store, kit.thread, key, store_hash(kit.store, key),
                false, 0, kit.now, &class);
        if (step % 500 == 0)
            (void)store_move_page(kit.store, kit.thread, -1, (int)(step / 500 % 30),
                kit.now);
    }
    store_thread_close(kit.thread);
    atomic_store(&writer->done, true);
    return NULL;
}

START_TEST(nothing_is_shown_torn_while_others_write)
{
    struct store_options options = kit_options(2 << 20);
    struct kit kit;
    struct writer writer = { .done = false };
    pthread_t thread;
    uint64_t shown = 0;

    kit_open(&kit, &options);
    fill(&kit);
    writer.store = kit.store;
    pthread_create(&thread, NULL, write_all, &writer);
    while (!atomic_load(&writer.done)) {
        struct seen *seen = walk(&kit, UINT64_MAX, 500);

        ck_assert_uint_eq(seen->strange, 0);
        shown += seen->items;
        free(seen);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_gt(shown, 0);
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/walk");
    TCase *tc = tcase_create("walk");

    tcase_add_loop_test(tc, a_quiet_store_shows_every_item_once, 0, 4);
    tcase_add_test(tc, an_empty_store_shows_nothing);
    tcase_add_test(tc, only_classes_that_are_asked_for_are_shown);
    tcase_add_loop_test(tc, gauges_agree_with_a_walk, 0, 2);
    tcase_add_test(tc, nothing_is_shown_torn_while_others_write);
    return kit_run(suite, tc);
}
