/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_model.c - protects: every operation of the store does what its comment says, in any
 * order, with small and chained values, while items are evicted, pages move between
 * classes, the index grows, items expire and are flushed, all of them or by prefixes.
 *
 * Random operations run against the store and against the simplest model that can be
 * written down: an array of keys. Time is a number that the test moves. In a store large
 * enough every answer must agree; in a tiny one a miss is accepted if something was
 * evicted, but never a wrong value. The same where now and then the store is left in its
 * file, and another one goes on with it.
 */
#include <errno.h>
#include <stdio.h>

#include "store_kit.h"

#define KEYS 600
#define VALUE_MAX 70000

struct entry {
    bool present;
    char *value;
    uint32_t len;
    uint32_t flags;
    uint32_t exptime;
    uint64_t cas;
};

struct model {
    struct kit kit;
    struct entry entries[KEYS];
    uint64_t seed;
    bool evicts; /* misses are excused by evictions */
    uint64_t evictions;
    uint32_t flush_at;
    char scratch[2 * VALUE_MAX + 16];
};

static uint32_t
chance(struct model *model, uint32_t n)
{
    model->seed = model->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(model->seed >> 33) % n;
}

/* What begins with the third begins with the second too. */
static const struct slice PREFIXES[] = { SLICE("kkkkk"), SLICE("p"), SLICE("ppppppppppppppp"),
    SLICE("never") };
#define NPREFIXES (sizeof PREFIXES / sizeof PREFIXES[0])

/* Keys of many lengths: 1 to 250 bytes. */
static struct slice
key_of(unsigned id, char *text)
{
    size_t len = id % 10 == 9 ? 200 + id % 51 : 4 + id % 30;

    memset(text, id % 3 == 0 ? 'p' : 'k', len);
    for (size_t i = 0; i < 4; i++)
        text[len - 1 - i] = (char)('0' + (id >> (4 * i)) % 16);
    return slice_of(text, len);
}

/* Mostly small, some around the chunk boundaries, some chained. */
static uint32_t
random_len(struct model *model)
{
    switch (chance(model, 8)) {
    case 0:
        return chance(model, VALUE_MAX);
    case 1:
        return 8192 - 300 + chance(model, 600);
    case 2:
        return chance(model, 8192);
    default:
        return chance(model, 300);
    }
}

static bool
alive(const struct model *model, const struct entry *entry)
{
    return entry->present &&
        (entry->exptime == 0 || entry->exptime > model->kit.now);
}

static void
forget(struct entry *entry)
{
    free(entry->value);
    *entry = (struct entry){ .present = false };
}

static void
remember(struct entry *entry, const char *value, uint32_t len, uint32_t flags,
    uint32_t exptime, uint64_t cas)
{
    char *copy = malloc(len + 1);

    memcpy(copy, value, len);
    forget(entry);
    *entry = (struct entry){ true, copy, len, flags, exptime, cas };
}

static uint64_t
evictions(struct model *model)
{
    struct store_totals totals;

    store_totals(model->kit.store, &totals);
    return totals.evictions;
}

/* The store says a live key is gone: only eviction may be the reason. */
static void
excuse_miss(struct model *model, struct entry *entry)
{
    ck_assert(model->evicts);
    ck_assert_uint_gt(evictions(model), 0);
    forget(entry);
}

static bool
found(struct model *model, struct slice key)
{
    struct store_view view;

    return store_find(model->kit.store, model->kit.thread, key,
        store_hash(model->kit.store, key), model->kit.now, STORE_PEEK, &view) == STORE_OK;
}

/* Brings the model into line before an operation on a key: was it evicted? */
static bool
settle(struct model *model, struct entry *entry, struct slice key)
{
    bool present = found(model, key);

    if (alive(model, entry) && !present)
        excuse_miss(model, entry);
    ck_assert(alive(model, entry) == present);
    return alive(model, entry);
}

static void
do_get(struct model *model, struct entry *entry, struct slice key)
{
    struct store_view view;
    int64_t len = kit_read(&model->kit, key, model->scratch, &view);

    if (len < 0) {
        if (alive(model, entry))
            excuse_miss(model, entry);
        return;
    }
    ck_assert(alive(model, entry));
    ck_assert_int_eq(len, entry->len);
    ck_assert_mem_eq(model->scratch, entry->value, entry->len);
    ck_assert_uint_eq(view.client_flags, entry->flags);
    ck_assert_uint_eq(view.exptime, entry->exptime);
    ck_assert_uint_eq(view.cas, entry->cas);
}

static enum store_result
expected_of(enum store_mode mode, bool live, bool compare, bool equal)
{
    if (mode == STORE_ADD)
        return live ? STORE_NOT_STORED : STORE_OK;
    if (!live && mode >= STORE_APPEND)
        return STORE_NOT_STORED;
    if (!live)
        return compare ? STORE_MISS : mode == STORE_SET ? STORE_OK : STORE_NOT_STORED;
    return compare && !equal ? STORE_EXISTS : STORE_OK;
}

/* What the key holds after a write that succeeded. */
static void
model_write(struct model *model, struct entry *entry, const struct store_write *write,
    const char *value, uint32_t len, const struct store_written *written)
{
    bool joined = write->mode == STORE_APPEND || write->mode == STORE_PREPEND;
    char *whole;

    if (!joined) {
        remember(entry, value, len, write->client_flags, write->exptime, written->cas);
        return;
    }
    whole = malloc(entry->len + len + 1);
    memcpy(whole + (write->mode == STORE_APPEND ? 0 : len), entry->value, entry->len);
    memcpy(whole + (write->mode == STORE_APPEND ? entry->len : 0), value, len);
    remember(entry, whole, entry->len + len, entry->flags, entry->exptime, written->cas);
    free(whole);
    (void)model;
}

static void
do_write(struct model *model, struct entry *entry, struct slice key)
{
    struct store_write write = { .mode = (enum store_mode)chance(model, 5),
        .client_flags = chance(model, 3) ? 0 : chance(model, 1000),
        .exptime = chance(model, 3) ? 0 : model->kit.now + chance(model, 20),
        .compare = chance(model, 6) == 0,
        .cas_expected = chance(model, 2) ? entry->cas : 12345678 };
    struct store_written written = { 0 };
    uint32_t len = random_len(model);
    char *value = malloc(len + 1);
    bool live;
    enum store_result result, expected;

    /* Joined values stay below the scratch's size. */
    if (write.mode >= STORE_APPEND && entry->len > VALUE_MAX)
        write.mode = STORE_SET;
    memset(value, 'a' + (int)chance(model, 26), len);
    if (len > 8)
        memcpy(value, &model->seed, 8);
    live = settle(model, entry, key);
    expected = expected_of(write.mode, live, write.compare,
        live && entry->cas == write.cas_expected);
    result = kit_write_full(&model->kit, &write, key, slice_of(value, len), &written);
    if (result == STORE_OK && expected != STORE_OK) {
        /* Making room for the upload evicted this very key between the look and the write. */
        ck_assert(model->evicts && live && write.mode == STORE_ADD);
        model_write(model, entry, &write, value, len, &written);
    } else if (result == STORE_OK) {
        model_write(model, entry, &write, value, len, &written);
    } else if (result == STORE_NO_MEMORY ||
        (result == STORE_NOT_STORED && write.mode >= STORE_APPEND && live)) {
        /* Out of memory is only believable where memory is short. */
        ck_assert(model->evicts);
        if (write.mode == STORE_SET && !found(model, key))
            forget(entry);
    } else if (result != expected) {
        ck_assert(model->evicts && live);
        forget(entry);
    }
    free(value);
}

/* What strtoull() makes of a value, if a blank, a NUL or its end follows. */
static bool
is_number(struct entry *entry, struct slice key, uint64_t *number)
{
    char text[64];
    char *end;
    size_t len = entry->len < sizeof text - 1 ? entry->len : sizeof text - 1;

    memcpy(text, entry->value, len);
    text[len] = '\0';
    errno = 0;
    *number = strtoull(text, &end, 10);
    return !store_is_large(key.len, entry->len) && end != text && errno == 0 && strchr(" \t\n\v\f\r", *end) &&
        (strchr(text, '-') == NULL || strchr(text, '-') > end || *number == 0);
}

static void
do_arith(struct model *model, struct entry *entry, struct slice key)
{
    struct store_arith arith = { .op = chance(model, 2) ? STORE_INCR : STORE_DECR,
        .key = key, .hash = store_hash(model->kit.store, key),
        .delta = chance(model, 4) ? chance(model, 1000) : UINT64_MAX - chance(model, 9) };
    struct store_summed summed;
    char text[32], *padded;
    uint64_t old = 0, sum;
    int len;
    bool live = settle(model, entry, key), number = live && is_number(entry, key, &old);
    enum store_result result = store_arith(model->kit.store, model->kit.thread, &arith,
        model->kit.now, &summed);

    if (!number) {
        ck_assert_int_eq(result, live ? STORE_NOT_A_NUMBER : STORE_MISS);
        return;
    }
    if (result == STORE_NO_MEMORY) {
        ck_assert(model->evicts);
        return;
    }
    ck_assert_int_eq(result, STORE_OK);
    sum = arith.op == STORE_INCR ? old + arith.delta :
        old > arith.delta                        ? old - arith.delta :
                                                   0;
    ck_assert_uint_eq(summed.number, sum);
    len = snprintf(text, sizeof text, "%llu", (unsigned long long)sum);
    padded = malloc(entry->len + sizeof text);
    memset(padded, ' ', entry->len);
    memcpy(padded, text, (size_t)len);
    remember(entry, padded, entry->len > (uint32_t)len ? entry->len : (uint32_t)len,
        entry->flags, entry->exptime, summed.cas);
    free(padded);
}

/* A number to count with. */
static void
do_set_number(struct model *model, struct entry *entry, struct slice key)
{
    struct store_write write = { .mode = STORE_SET, .client_flags = chance(model, 2) * 4,
        .exptime = model->kit.now + 5 + chance(model, 60) };
    struct store_written written;
    char text[32];
    int len = snprintf(text, sizeof text, "%u", chance(model, 1u << chance(model, 30)));

    if (kit_write_full(&model->kit, &write, key, slice_of(text, (size_t)len), &written) ==
        STORE_OK)
        remember(entry, text, (uint32_t)len, write.client_flags, write.exptime,
            written.cas);
    else if (!found(model, key))
        forget(entry);
}

static void
do_touch(struct model *model, struct entry *entry, struct slice key)
{
    struct store_touch touch = { true, chance(model, 2) ? 0 : model->kit.now + chance(model, 30) };
    bool live = settle(model, entry, key);
    enum store_result result = store_touch(model->kit.store, model->kit.thread, key,
        store_hash(model->kit.store, key), &touch, model->kit.now, NULL);

    ck_assert_int_eq(result, live ? STORE_OK : STORE_MISS);
    if (live)
        entry->exptime = touch.exptime;
}

static void
do_delete(struct model *model, struct entry *entry, struct slice key)
{
    bool live = settle(model, entry, key), compare = chance(model, 3) == 0;
    uint64_t cas = chance(model, 2) ? entry->cas : 77777777;
    uint8_t class;
    enum store_result result = store_delete(model->kit.store, model->kit.thread, key,
        store_hash(model->kit.store, key), compare, cas, model->kit.now, &class);

    if (!live) {
        ck_assert_int_eq(result, STORE_MISS);
    } else if (compare && cas != entry->cas) {
        ck_assert_int_eq(result, STORE_EXISTS);
    } else {
        ck_assert_int_eq(result, STORE_OK);
        forget(entry);
    }
}

static void
pass_time(struct model *model)
{
    model->kit.now += chance(model, 3);
    if (model->flush_at != 0 && model->kit.now >= model->flush_at) {
        for (unsigned i = 0; i < KEYS; i++)
            forget(&model->entries[i]);
        model->flush_at = 0;
        /* The store notices with its next call; no write has come between. */
    }
    store_maintain(model->kit.store, model->kit.thread, model->kit.now, 2000);
}

static void
do_flush(struct model *model)
{
    uint32_t when = chance(model, 2) ? 0 : model->kit.now + 1 + chance(model, 5);

    store_flush(model->kit.store, when, model->kit.now);
    model->flush_at = when;
    if (when == 0)
        for (unsigned i = 0; i < KEYS; i++)
            forget(&model->entries[i]);
}

static void
do_flush_prefix(struct model *model)
{
    struct slice prefix = PREFIXES[chance(model, NPREFIXES)];
    char text[256];

    ck_assert_int_eq(store_flush_prefix(model->kit.store, prefix), STORE_OK);
    for (unsigned i = 0; i < KEYS; i++)
        if (slice_starts(key_of(i, text), prefix))
            forget(&model->entries[i]);
}

static void
step(struct model *model, unsigned keys)
{
    unsigned id = chance(model, keys);
    struct entry *entry = &model->entries[id];
    char text[256];
    struct slice key = key_of(id, text);

    switch (chance(model, 16)) {
    case 0: case 1: case 2: case 3: case 4:
        do_get(model, entry, key);
        break;
    case 5: case 6: case 7: case 8: case 9:
        do_write(model, entry, key);
        break;
    case 10: case 11:
        do_arith(model, entry, key);
        break;
    case 12:
        do_set_number(model, entry, key);
        break;
    case 13:
        do_touch(model, entry, key);
        break;
    case 14:
        do_delete(model, entry, key);
        break;
    default:
        if (chance(model, 50) == 0)
            do_flush(model);
        else if (chance(model, 20) == 0)
            do_flush_prefix(model);
        else if (chance(model, 10) == 0)
            pass_time(model);
        break;
    }
}

/* `hand_over`: after so many steps, again and again, another store goes on with the memory. */
static void
run(struct store_options *options, bool evicts, uint64_t seed, unsigned steps,
    unsigned hand_over)
{
    struct model *model = calloc(1, sizeof *model);

    options->flush_prefixes = PREFIXES;
    options->nflush_prefixes = NPREFIXES;
    kit_open(&model->kit, options);
    model->evicts = evicts;
    model->seed = seed;
    for (unsigned i = 0; i < steps; i++) {
        step(model, KEYS);
        if (i % (steps / 20) == 0)
            store_check(model->kit.store);
        if (hand_over != 0 && i % hand_over == hand_over - 1)
            kit_hand_over(&model->kit, options, i % (2 * hand_over) < hand_over);
    }
    for (unsigned i = 0; i < KEYS; i++)
        forget(&model->entries[i]);
    kit_close(&model->kit);
    free(model);
}

START_TEST(with_room_every_answer_agrees_with_the_model)
{
    struct store_options options = kit_options(64 << 20);

    run(&options, false, (uint64_t)_i + 1, 60000, 0);
}
END_TEST

START_TEST(in_a_tiny_store_items_vanish_but_never_lie)
{
    struct store_options options = kit_options(2 << 20);

    run(&options, true, (uint64_t)_i + 100, 60000, 0);
}
END_TEST

START_TEST(without_eviction_writes_fail_but_nothing_vanishes)
{
    struct store_options options = kit_options(2 << 20);

    options.evict = false;
    run(&options, true, (uint64_t)_i + 200, 30000, 0);
}
END_TEST

START_TEST(other_geometries_agree_as_well)
{
    static const uint32_t sizes[] = { 96, 200, 1000, 5000, 20000 };
    struct store_options options = kit_options(3 << 20);

    options.slab_sizes = _i == 0 ? sizes : NULL;
    options.nslab_sizes = 5;
    options.growth_factor = _i == 1 ? 1.01 : 2.0;
    options.chunk_max = _i == 2 ? 16384 : 65536;
    options.chunk_min = _i == 2 ? 500 : 1;
    options.hash_fixed = _i == 1;
    run(&options, true, (uint64_t)_i + 300, 30000, 0);
}
END_TEST

START_TEST(handed_from_store_to_store_it_agrees_with_the_model)
{
    struct store_options options = kit_options(_i % 2 == 0 ? 64 << 20 : 2 << 20);

    options.lru = _i == 5;
    run(&options, _i % 2 == 1, (uint64_t)_i + 400, 30000, _i < 2 ? 53 : 1500);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/model");
    TCase *tc = tcase_create("random operations");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, with_room_every_answer_agrees_with_the_model, 0, 4);
    tcase_add_loop_test(tc, in_a_tiny_store_items_vanish_but_never_lie, 0, 4);
    tcase_add_loop_test(tc, without_eviction_writes_fail_but_nothing_vanishes, 0, 2);
    tcase_add_loop_test(tc, other_geometries_agree_as_well, 0, 3);
    tcase_add_loop_test(tc, handed_from_store_to_store_it_agrees_with_the_model, 0, 6);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
