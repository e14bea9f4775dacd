/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_threads.c - protects: what many threads may do to the store at once. No value is
 * ever torn or another key's, no increment is lost, an add has exactly one winner, while
 * items are evicted, pages move, the index grows and the memory limit changes.
 *
 * Run under ThreadSanitizer too; there it also protects the memory order of the seqlocks.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "store_kit.h"

#define THREADS 4
#ifdef __SANITIZE_THREAD__
#define ROUNDS 6000
#else
#define ROUNDS 40000
#endif

struct crowd;

struct member {
    struct crowd *crowd;
    struct kit kit;
    uint64_t seed;
    uint64_t done;
};

struct crowd {
    struct store *store;
    void (*work)(struct member *member);
    struct member members[THREADS];
    atomic_bool stop;
    atomic_uint now;
    bool limits; /* change the memory limit meanwhile */
    bool moves;  /* move pages at random meanwhile */
};

static uint32_t
chance(struct member *member, uint32_t n)
{
    member->seed = member->seed * UINT64_C(6364136223846793005) +
        UINT64_C(1442695040888963407);
    return (uint32_t)(member->seed >> 33) % n;
}

static void *
member_main(void *argument)
{
    struct member *member = argument;
    struct crowd *crowd = member->crowd;

    member->kit = (struct kit){ crowd->store, store_thread_open(crowd->store),
        CLOCK_FIRST + 1 };
    for (unsigned i = 0; i < ROUNDS; i++) {
        member->kit.now = atomic_load(&crowd->now);
        crowd->work(member);
    }
    store_thread_close(member->kit.thread);
    return NULL;
}

static void *
keeper_main(void *argument)
{
    struct crowd *crowd = argument;
    struct store_thread *thread = store_thread_open(crowd->store);
    unsigned round = 0;

    while (!atomic_load(&crowd->stop)) {
        store_maintain(crowd->store, thread, atomic_load(&crowd->now), 500);
        if (++round % 16 == 0)
            atomic_fetch_add(&crowd->now, 1);
        if (crowd->limits && round % 64 == 0)
            store_memory_limit(crowd->store, round % 128 == 0 ? 1 << 20 : 4 << 20);
        if (crowd->moves && round % 8 == 0)
            store_move_page(crowd->store, thread, -1, (int)(round % 40) + 1, 3);
        sched_yield();
    }
    store_thread_close(thread);
    return NULL;
}

static void mixed_work(struct member *member);

static struct crowd *
crowd_run(const struct store_options *options, void (*work)(struct member *member),
    bool limits)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    pthread_t threads[THREADS], keeper;
    const char *why;

    crowd->store = store_create(options, &why);
    ck_assert_ptr_nonnull(crowd->store);
    crowd->work = work;
    crowd->limits = limits;
    crowd->moves = work == mixed_work;
    atomic_store(&crowd->now, CLOCK_FIRST + 1);
    pthread_create(&keeper, NULL, keeper_main, crowd);
    for (unsigned i = 0; i < THREADS; i++) {
        crowd->members[i] = (struct member){ .crowd = crowd, .seed = i + 1 };
        pthread_create(&threads[i], NULL, member_main, &crowd->members[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&crowd->stop, true);
    pthread_join(keeper, NULL);
    store_check(crowd->store);
    return crowd;
}

static void
crowd_end(struct crowd *crowd)
{
    store_destroy(crowd->store);
    free(crowd);
}

/* ---- No value is torn ---------------------------------------------------------------- */

/* A value tells its key, its length, and repeats one random word throughout. */
static void
make_value(struct member *member, unsigned id, uint64_t *words, size_t n)
{
    uint64_t word = member->seed << 16 | id;

    for (size_t i = 0; i < n; i++)
        words[i] = word + n;
}

static void
check_value(unsigned id, const char *value, size_t len)
{
    uint64_t first, word;

    memcpy(&first, value, 8);
    ck_assert_uint_eq((first - len / 8) & 0xffff, id);
    for (size_t i = 8; i + 8 <= len; i += 8) {
        memcpy(&word, value + i, 8);
        ck_assert_uint_eq(word, first);
    }
}

static void
read_whole(struct member *member, unsigned id, struct slice key)
{
    static _Thread_local char value[65536];
    struct kit *kit = &member->kit;
    struct store_view view;
    uint64_t hash = store_hash(kit->store, key);
    unsigned tries = 0;

    while (store_find(kit->store, kit->thread, key, hash, kit->now, STORE_USE, &view) ==
        STORE_OK) {
        struct store_pin *pin;
        struct iovec iov;
        char *to = value;
        bool full;

        if (!view.large) {
            if (store_copy(kit->store, &view, value)) {
                check_value(id, value, view.value_len);
                return;
            }
            ck_assert_uint_lt(++tries, 1000000);
            continue;
        }
        pin = store_pin(kit->store, kit->thread, &view, &full);
        if (pin == NULL && full)
            return;
        if (pin == NULL)
            continue;
        if (chance(member, 4) == 0)
            sched_yield();
        for (; store_pin_next(pin, &iov, 1) == 1; to += iov.iov_len)
            memcpy(to, iov.iov_base, iov.iov_len);
        ck_assert_uint_eq((size_t)(to - value), view.value_len);
        check_value(id, value, view.value_len);
        store_unpin(kit->store, kit->thread, pin);
        return;
    }
}

static void
mixed_work(struct member *member)
{
    static _Thread_local uint64_t words[6000];
    unsigned id = chance(member, 3000);
    struct kit *kit = &member->kit;
    char text[32];
    struct slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "key-%u", id));
    struct store_write write = { .mode = STORE_SET };
    struct store_written written;
    size_t n;
    uint8_t class;

    switch (chance(member, 8)) {
    case 0:
        n = chance(member, 40) == 0 ? 1100 + chance(member, 4000) : 1 + chance(member, 60);
        make_value(member, id, words, n);
        write.exptime = chance(member, 4) == 0 ? kit->now + 1 + chance(member, 10) : 0;
        write.mode = chance(member, 4) == 0 ? STORE_ADD : STORE_SET;
        kit_write_full(kit, &write, key, slice_of((char *)words, n * 8), &written);
        break;
    case 1:
        if (chance(member, 4) == 0)
            store_delete(kit->store, kit->thread, key, store_hash(kit->store, key), false, 0,
                kit->now, &class);
        else if (chance(member, 1000) == 0)
            store_flush(kit->store, 0, kit->now);
        break;
    default:
        read_whole(member, id, key);
        break;
    }
}

START_TEST(no_value_is_torn_while_everything_changes)
{
    struct store_options options = kit_options(_i == 0 ? 64 << 20 : 3 << 20);

    crowd_end(crowd_run(&options, mixed_work, _i == 2));
}
END_TEST

/* ---- Counting ------------------------------------------------------------------------ */

static void
count_work(struct member *member)
{
    /* Odd ones expire one day, even ones don't. */
    struct store_write write = { .mode = STORE_ADD };
    struct store_written written;
    char text[32];
    uint64_t number;
    unsigned id = chance(member, 3);

    snprintf(text, sizeof text, "counter-%u", id);
    if (kit_arith(&member->kit, STORE_INCR, text, 1, &number) == STORE_MISS) {
        /* Whoever creates it counts itself; whoever fails to, increments. */
        write.exptime = id % 2 == 0 ? 0 : member->kit.now + 1000000;
        if (kit_write_full(&member->kit, &write, slice_of(text, strlen(text)),
                slice_of("1", 1), &written) == STORE_NOT_STORED)
            ck_assert_int_eq(kit_arith(&member->kit, STORE_INCR, text, 1, &number),
                STORE_OK);
    }
    member->done++;
}

START_TEST(no_increment_is_lost)
{
    struct store_options options = kit_options(16 << 20);
    struct crowd *crowd = crowd_run(&options, count_work, false);
    struct kit kit = { crowd->store, store_thread_open(crowd->store), crowd->now };
    uint64_t sum = 0, number;

    for (unsigned id = 0; id < 3; id++) {
        char text[32];
        snprintf(text, sizeof text, "counter-%u", id);
        ck_assert_int_eq(kit_arith(&kit, STORE_INCR, text, 0, &number), STORE_OK);
        sum += number;
    }
    ck_assert_uint_eq(sum, (uint64_t)THREADS * ROUNDS);
    store_thread_close(kit.thread);
    crowd_end(crowd);
}
END_TEST

/* Counters in use among a flood of other items: nothing of them may be lost either. */
static void
flood_work(struct member *member)
{
    char text[40];

    if (chance(member, 4) == 0) {
        count_work(member);
        return;
    }
    snprintf(text, sizeof text, "flood-%u-%u", chance(member, 1u << 30), chance(member, 9));
    kit_write(&member->kit, STORE_SET, text, "0123456789012345678901234567890123456789");
}

START_TEST(counters_in_use_survive_a_flood)
{
    struct store_options options = kit_options(2 << 20);
    struct crowd *crowd = crowd_run(&options, flood_work, false);
    struct kit kit = { crowd->store, store_thread_open(crowd->store), crowd->now };
    uint64_t sum = 0, number, done = 0;

    for (unsigned id = 0; id < 3; id++) {
        char text[32];
        snprintf(text, sizeof text, "counter-%u", id);
        ck_assert_int_eq(kit_arith(&kit, STORE_INCR, text, 0, &number), STORE_OK);
        sum += number;
    }
    for (unsigned i = 0; i < THREADS; i++)
        done += crowd->members[i].done;
    ck_assert_uint_eq(sum, done);
    store_thread_close(kit.thread);
    crowd_end(crowd);
}
END_TEST

/* ---- One winner ---------------------------------------------------------------------- */

static void
add_work(struct member *member)
{
    char text[32];

    /* All members walk through the same names. */
    snprintf(text, sizeof text, "name-%llu", (unsigned long long)member->seed++);
    if (kit_write(&member->kit, STORE_ADD, text, "x") == STORE_OK)
        member->done++;
}

START_TEST(an_add_has_one_winner_while_the_index_grows)
{
    struct store_options options = kit_options(64 << 20);
    struct crowd *crowd;
    uint64_t winners = 0;

    crowd = crowd_run(&options, add_work, false);
    for (unsigned i = 0; i < THREADS; i++)
        winners += crowd->members[i].done;
    /* Seeds start at 1 .. THREADS, so that many names are reached in all. */
    ck_assert_uint_eq(winners, ROUNDS + THREADS - 1);
    crowd_end(crowd);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/threads");
    TCase *tc = tcase_create("threads");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, no_value_is_torn_while_everything_changes, 0, 3);
    tcase_add_test(tc, no_increment_is_lost);
    tcase_add_test(tc, counters_in_use_survive_a_flood);
    tcase_add_test(tc, an_add_has_one_winner_while_the_index_grows);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
