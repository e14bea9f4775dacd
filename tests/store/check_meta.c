/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects what only meta commands ask of the store: stale items and the election of who
 * renews them (of many, one, in every election), items created empty, CAS uniques chosen
 * by clients, 0 included, and that none of it confuses flush_all, large values or pins.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "store_kit.h"

static struct kit kit;

static void
setup(void)
{
    struct store_options options = kit_options(UINT64_C(8) << 20);

    kit_open(&kit, &options);
}

static void
teardown(void)
{
    kit_close(&kit);
}

/* ---- Short forms ------------------------------------------------------------------- */

static struct slice
name(const char *text)
{
    return slice_of(text, strlen(text));
}

static struct store_visit
visit_of(const char *key)
{
    struct store_visit visit = { .key = name(key), .use = STORE_USE };

    visit.hash = store_hash(kit.store, visit.key);
    return visit;
}

/* Visits and unlocks; "hit" and marks as a meta client would see them. */
static const char *
visit_shown(const struct store_visit *visit, struct store_visited *visited,
    struct store_view *view)
{
    static char text[16];
    enum store_result result =
        store_visit(kit.store, kit.thread, visit, kit.now, visited, view);

    if (result != STORE_OK)
        return result == STORE_MISS ? "miss" : "failed";
    ck_assert_int_eq(view->locked, !visited->created);
    if (view->locked)
        store_unlock(kit.store, view);
    snprintf(text, sizeof text, "hit%s%s%s", visited->sent ? " Z" : "",
        view->stale ? " X" : "", visited->won ? " W" : "");
    return text;
}

static void
expect_visit(const struct store_visit *visit, const char *expected)
{
    struct store_visited visited;
    struct store_view view;

    ck_assert_str_eq(visit_shown(visit, &visited, &view), expected);
}

static void
expect_plain(const char *key, const char *expected)
{
    struct store_visit visit = visit_of(key);

    expect_visit(&visit, expected);
}

static struct store_mark
mark_of(const char *key, bool stale, bool empty)
{
    struct store_mark mark = { .key = name(key), .stale = stale, .empty = empty };

    mark.hash = store_hash(kit.store, mark.key);
    return mark;
}

static enum store_result
mark(const struct store_mark *what)
{
    uint8_t slab_class;

    return store_mark(kit.store, kit.thread, what, kit.now, &slab_class);
}

static void
make_stale(const char *key)
{
    struct store_mark what = mark_of(key, true, false);

    ck_assert_int_eq(mark(&what), STORE_OK);
}

static struct store_view
look(const char *key)
{
    struct slice slice = name(key);
    uint64_t hash = store_hash(kit.store, slice);
    struct store_view view;

    ck_assert_int_eq(
        store_find(kit.store, kit.thread, slice, hash, kit.now, STORE_PEEK, &view),
        STORE_OK);
    return view;
}

static enum store_result
write_with(const char *key, const char *value, struct store_write write)
{
    struct store_written written;

    return kit_write_full(&kit, &write, name(key), name(value), &written);
}

/* ---- Elections --------------------------------------------------------------------- */

START_TEST(a_fresh_item_elects_nobody)
{
    kit_write(&kit, STORE_SET, "k", "v");
    expect_plain("k", "hit");
    expect_plain("absent", "miss");
}
END_TEST

START_TEST(the_first_visitor_of_a_stale_item_wins)
{
    kit_write(&kit, STORE_SET, "k", "v");
    make_stale("k");
    expect_plain("k", "hit X W");
    expect_plain("k", "hit Z X");
    expect_plain("k", "hit Z X");
    kit_expect(&kit, "k", "v");
    make_stale("k"); /* once more: a new election */
    expect_plain("k", "hit X W");
    expect_plain("k", "hit Z X");
    kit_write(&kit, STORE_SET, "k", "w");
    expect_plain("k", "hit");
}
END_TEST

START_TEST(what_is_not_there_is_created_once)
{
    struct store_visit visit = visit_of("k");
    struct store_visited visited;
    struct store_view view;

    visit.vivify = true;
    visit.vivify_exptime = kit.now + 30;
    visit.cas_given = true;
    visit.cas_new = 500;
    ck_assert_str_eq(visit_shown(&visit, &visited, &view), "hit W");
    ck_assert(visited.created);
    ck_assert_uint_eq(view.cas, 500);
    ck_assert_uint_eq(view.value_len, 0);
    ck_assert_uint_eq(view.exptime, kit.now + 30);
    ck_assert_str_eq(visit_shown(&visit, &visited, &view), "hit Z");
    ck_assert(!visited.created);
    kit_expect(&kit, "k", "");
    kit.now += 30;
    expect_plain("k", "miss");
    visit.vivify_exptime = kit.now + 30;
    expect_visit(&visit, "hit W");
}
END_TEST

START_TEST(an_item_about_to_expire_elects_whom_asks_to_renew)
{
    struct store_visit visit = visit_of("k");

    write_with("k", "v", (struct store_write){ .exptime = kit.now + 20 });
    visit.recache = true;
    visit.recache_below = kit.now + 20;
    expect_visit(&visit, "hit");
    visit.recache_below = kit.now + 21;
    expect_visit(&visit, "hit W");
    expect_visit(&visit, "hit Z");
    expect_plain("k", "hit Z");
    write_with("k", "v", (struct store_write){ .exptime = 0 });
    visit.recache_below = UINT32_MAX;
    expect_visit(&visit, "hit");
}
END_TEST

START_TEST(renewal_counts_with_the_new_expiry_if_asked_to)
{
    struct store_visit visit = visit_of("k");
    struct store_visited visited;
    struct store_view view;

    write_with("k", "v", (struct store_write){ .exptime = kit.now + 20 });
    visit.recache = visit.set_exptime = visit.recache_touched = true;
    visit.recache_below = kit.now + 30;
    visit.exptime = kit.now + 100;
    ck_assert_str_eq(visit_shown(&visit, &visited, &view), "hit");
    ck_assert_uint_eq(visited.exptime_before, kit.now + 20);
    ck_assert_uint_eq(view.exptime, kit.now + 100);
    visit.recache_touched = false;
    visit.recache_below = kit.now + 101;
    visit.exptime = kit.now + 200;
    ck_assert_str_eq(visit_shown(&visit, &visited, &view), "hit W");
    ck_assert_uint_eq(look("k").exptime, kit.now + 200);
}
END_TEST

START_TEST(a_visit_shows_the_item_as_it_was_before)
{
    struct store_visit visit = visit_of("k");
    struct store_visited visited;
    struct store_view view;

    kit_write(&kit, STORE_SET, "k", "v");
    visit.use = STORE_PEEK;
    (void)visit_shown(&visit, &visited, &view);
    ck_assert(!view.fetched);
    visit.use = STORE_USE;
    kit.now += 5;
    (void)visit_shown(&visit, &visited, &view);
    ck_assert(!view.fetched);
    ck_assert_uint_eq(view.last_access, kit.now - 5);
    (void)visit_shown(&visit, &visited, &view);
    ck_assert(view.fetched);
}
END_TEST

START_TEST(plain_writes_end_an_election_and_counting_in_place_does_not)
{
    uint64_t number;

    kit_write(&kit, STORE_SET, "k", "8");
    make_stale("k");
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "k", 1, &number), STORE_OK);
    expect_plain("k", "hit X W");
    ck_assert_int_eq(kit_arith(&kit, STORE_DECR, "k", 1, &number), STORE_OK);
    expect_plain("k", "hit Z X");
    ck_assert_int_eq(kit_arith(&kit, STORE_INCR, "k", 2, &number), STORE_OK);
    expect_plain("k", "hit");
    kit_expect(&kit, "k", "10");
    make_stale("k");
    kit_write(&kit, STORE_APPEND, "k", "x");
    expect_plain("k", "hit");
}
END_TEST

/* ---- Stores with a condition ------------------------------------------------------- */

START_TEST(an_older_unique_may_store_as_stale)
{
    struct store_write write = { .compare = true, .cas_expected = 49, .allow_stale = true,
        .client_flags = 2, .exptime = kit.now + 500, .cas_given = true, .cas_new = 51 };

    write_with("k", "a",
        (struct store_write){ .cas_given = true, .cas_new = 50, .client_flags = 1,
            .exptime = kit.now + 60 });
    ck_assert_int_eq(write_with("k", "b", write), STORE_OK);
    ck_assert_uint_eq(look("k").client_flags, 2);
    ck_assert_uint_eq(look("k").exptime, kit.now + 60);
    ck_assert_uint_eq(look("k").cas, 51);
    expect_plain("k", "hit X W");
    write.cas_expected = 50;
    write.cas_new = 52;
    ck_assert_int_eq(write_with("k", "c", write), STORE_OK);
    expect_plain("k", "hit Z X"); /* the winner's name is kept */
    write.cas_expected = 53;
    ck_assert_int_eq(write_with("k", "d", write), STORE_EXISTS);
    write.cas_expected = 52;
    ck_assert_int_eq(write_with("k", "e", write), STORE_OK);
    expect_plain("k", "hit");
    write.key = name("absent");
    ck_assert_int_eq(write_with("absent", "f", write), STORE_MISS);
}
END_TEST

START_TEST(zero_never_compares_equal)
{
    struct store_mark what = mark_of("k", true, false);
    struct store_write write = { .compare = true };

    kit_write(&kit, STORE_SET, "k", "v");
    what.cas_given = true;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_eq(look("k").cas, 0);
    ck_assert_int_eq(write_with("k", "w", write), STORE_EXISTS);
    write.allow_stale = true;
    ck_assert_int_eq(write_with("k", "w", write), STORE_EXISTS);
    kit_expect(&kit, "k", "v");
}
END_TEST

START_TEST(append_creates_if_asked_whatever_it_compares)
{
    struct store_write write = { .mode = STORE_APPEND, .compare = true,
        .cas_expected = 1 };

    ck_assert_int_eq(write_with("k", "v", write), STORE_NOT_STORED);
    write.vivify = true;
    write.vivify_exptime = kit.now + 9;
    ck_assert_int_eq(write_with("k", "v", write), STORE_OK);
    ck_assert_uint_eq(look("k").exptime, kit.now + 9);
    ck_assert_int_eq(write_with("k", "v", write), STORE_EXISTS);
    write.compare = false;
    write.mode = STORE_PREPEND;
    ck_assert_int_eq(write_with("k", "u", write), STORE_OK);
    kit_expect(&kit, "k", "uv");
}
END_TEST

/* ---- Marks ------------------------------------------------------------------------- */

START_TEST(marking_stale_keeps_all_but_the_unique)
{
    struct store_mark what = mark_of("k", true, false);
    uint64_t cas;

    write_with("k", "value", (struct store_write){ .client_flags = 4,
        .exptime = kit.now + 60 });
    cas = look("k").cas;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_ne(look("k").cas, cas);
    ck_assert_uint_eq(look("k").client_flags, 4);
    ck_assert_uint_eq(look("k").exptime, kit.now + 60);
    what.set_exptime = true;
    what.exptime = kit.now + 10;
    what.cas_given = true;
    what.cas_new = 21;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_eq(look("k").cas, 21);
    ck_assert_uint_eq(look("k").exptime, kit.now + 10);
    kit_expect(&kit, "k", "value");
    what.cas_given = false; /* in an item that has room for a chosen one */
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_ne(look("k").cas, 21);
    what.compare = true;
    what.cas_expected = 21;
    ck_assert_int_eq(mark(&what), STORE_EXISTS);
    what.exptime = 1;
    what.cas_expected = look("k").cas;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_int_eq(mark(&what), STORE_MISS);
}
END_TEST

START_TEST(emptying_makes_a_new_item_under_the_old_unique)
{
    struct store_mark what = mark_of("k", false, true);
    uint64_t cas;

    write_with("k", "value", (struct store_write){ .client_flags = 4,
        .exptime = kit.now + 60, .key_binary = true });
    make_stale("k");
    cas = look("k").cas;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_eq(look("k").cas, cas);
    ck_assert_uint_eq(look("k").client_flags, 0);
    ck_assert_uint_eq(look("k").exptime, 0);
    ck_assert(!look("k").key_binary);
    expect_plain("k", "hit");
    kit_expect(&kit, "k", "");
    what.client_flags = 8;
    what.set_exptime = what.stale = what.key_binary = true;
    what.exptime = kit.now + 5;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_ne(look("k").cas, cas);
    ck_assert_uint_eq(look("k").client_flags, 8);
    ck_assert_uint_eq(look("k").exptime, kit.now + 5);
    ck_assert(look("k").key_binary);
    expect_plain("k", "hit X W");
}
END_TEST

static char *
long_text(size_t len)
{
    char *text = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 23);
    text[len] = '\0';
    return text;
}

START_TEST(a_large_value_can_be_given_a_unique_while_it_is_sent)
{
    struct store_mark what = mark_of("k", true, false);
    char *value = long_text(300000), *got = malloc(300001);
    struct store_view view;
    struct store_pin *pin;
    struct iovec iov;
    bool full;

    kit_write(&kit, STORE_SET, "k", value);
    view = look("k");
    pin = store_pin(kit.store, kit.thread, &view, &full);
    ck_assert_ptr_nonnull(pin);
    what.cas_given = true;
    what.cas_new = 77;
    ck_assert_int_eq(mark(&what), STORE_OK);
    ck_assert_uint_eq(look("k").cas, 77);
    ck_assert_int_eq(store_pin_next(pin, &iov, 1), 1);
    ck_assert_int_eq(memcmp(iov.iov_base, value, iov.iov_len), 0);
    store_unpin(kit.store, kit.thread, pin);
    ck_assert_int_eq(kit_read(&kit, name("k"), got, &view), 300000);
    got[300000] = '\0';
    ck_assert_str_eq(got, value);
    what = mark_of("k", true, false);
    ck_assert_int_eq(mark(&what), STORE_OK); /* in place */
    ck_assert_int_eq(kit_read(&kit, name("k"), got, &view), 300000);
    what = mark_of("k", false, true);
    ck_assert_int_eq(mark(&what), STORE_OK);
    kit_expect(&kit, "k", "");
    free(value);
    free(got);
}
END_TEST

START_TEST(a_visit_pins_a_large_value_before_it_elects)
{
    char *value = long_text(200000);
    struct store_visit visit = visit_of("k");
    struct store_visited visited;
    struct store_view view;
    struct iovec iov;

    kit_write(&kit, STORE_SET, "k", value);
    make_stale("k");
    visit.pin = true;
    ck_assert_str_eq(visit_shown(&visit, &visited, &view), "hit X W");
    ck_assert_ptr_nonnull(visited.pin);
    ck_assert_int_eq(store_pin_next(visited.pin, &iov, 1), 1);
    ck_assert_int_eq(memcmp(iov.iov_base, value, iov.iov_len), 0);
    store_unpin(kit.store, kit.thread, visited.pin);
    free(value);
}
END_TEST

START_TEST(without_room_for_a_pin_nobody_wins)
{
    static char key[8];
    char *value = long_text(900000);
    struct store_pin *pins[16];
    struct store_visited visited;
    struct store_view view;
    unsigned held = 0;

    kit_write(&kit, STORE_SET, "k", value);
    make_stale("k");
    /* Pin others until the share of pins is used up. */
    for (bool full = false; !full && held < 16;) {
        snprintf(key, sizeof key, "o%u", held);
        ck_assert_int_eq(kit_write(&kit, STORE_SET, key, value), STORE_OK);
        view = look(key);
        pins[held] = store_pin(kit.store, kit.thread, &view, &full);
        if (pins[held] != NULL)
            held++;
    }
    {
        struct store_visit visit = visit_of("k");

        visit.pin = true;
        ck_assert_str_eq(visit_shown(&visit, &visited, &view), "failed");
        ck_assert(visited.pins_full);
        visit.pin = false;
        expect_visit(&visit, "hit X W");
    }
    for (unsigned i = 0; i < held; i++)
        store_unpin(kit.store, kit.thread, pins[i]);
    free(value);
}
END_TEST

/* ---- Uniques and flushing ---------------------------------------------------------- */

/* flush_all orders items by when they were stored; a chosen unique says nothing of it. */
START_TEST(chosen_uniques_are_flushed_and_outlive_flushes_like_others)
{
    struct store_mark what = mark_of("low", true, false);
    struct store_visit visit = visit_of("made");

    write_with("high", "v", (struct store_write){ .cas_given = true,
        .cas_new = UINT64_MAX });
    store_flush(kit.store, 0, kit.now);
    kit_expect(&kit, "high", NULL);
    write_with("low", "v", (struct store_write){ .cas_given = true, .cas_new = 1 });
    kit_expect(&kit, "low", "v");
    what.cas_given = true;
    ck_assert_int_eq(mark(&what), STORE_OK);
    kit_expect(&kit, "low", "v");
    what = mark_of("low", false, true);
    ck_assert_int_eq(mark(&what), STORE_OK);
    kit_expect(&kit, "low", "");
    visit.vivify = visit.cas_given = true;
    visit.cas_new = 1;
    expect_visit(&visit, "hit W");
    kit_expect(&kit, "made", "");
    store_flush(kit.store, 0, kit.now);
    kit_expect(&kit, "low", NULL);
    kit_expect(&kit, "made", NULL);
    ck_assert_int_eq(mark(&what), STORE_MISS);
}
END_TEST

static enum store_result
count(const struct store_arith *arith, struct store_summed *summed)
{
    return store_arith(kit.store, kit.thread, arith, kit.now, summed);
}

START_TEST(counting_takes_chosen_uniques)
{
    struct store_arith arith = { .op = STORE_INCR, .key = SLICE("n"), .delta = 1,
        .vivify = true, .initial = 9, .vivify_exptime = 0, .cas_given = true,
        .cas_new = 5 };
    struct store_summed summed;

    arith.hash = store_hash(kit.store, arith.key);
    ck_assert_int_eq(count(&arith, &summed), STORE_OK);
    ck_assert_uint_eq(look("n").cas, 5);
    arith.cas_new = 0; /* the number grows, too, and the expiry is set on the new item */
    arith.set_exptime = true;
    arith.exptime = kit.now + 7;
    ck_assert_int_eq(count(&arith, &summed), STORE_OK);
    ck_assert_uint_eq(look("n").cas, 0);
    ck_assert_uint_eq(look("n").exptime, kit.now + 7);
    ck_assert_uint_eq(summed.exptime_before, 0);
    kit_expect(&kit, "n", "10");
    arith.op = STORE_DECR;
    arith.cas_given = false;
    ck_assert_int_eq(count(&arith, &summed), STORE_OK);
    kit_expect(&kit, "n", "9 ");
    kit_write(&kit, STORE_SET, "n", "5                                ");
    arith.cas_given = true;
    arith.cas_new = 6;
    ck_assert_int_eq(count(&arith, &summed), STORE_OK);
    kit_expect(&kit, "n", "4                                ");
}
END_TEST

START_TEST(what_is_empty_is_no_number_whatever_is_compared)
{
    struct store_arith arith = { .key = SLICE("n"), .compare = true, .cas_expected = 1 };
    struct store_summed summed;

    arith.hash = store_hash(kit.store, arith.key);
    kit_write(&kit, STORE_SET, "n", "");
    ck_assert_int_eq(count(&arith, &summed),
        STORE_NOT_A_NUMBER);
    kit_write(&kit, STORE_SET, "n", "x");
    ck_assert_int_eq(count(&arith, &summed),
        STORE_EXISTS);
}
END_TEST

/* ---- Many at once ------------------------------------------------------------------ */

#define THREADS 4
#ifdef __SANITIZE_THREAD__
#define ELECTIONS 2000u
#else
#define ELECTIONS 20000u
#endif

enum election { BY_CREATING, BY_STALENESS, BY_RENEWAL };

struct crowd {
    struct store *store;
    enum election election;
    uint32_t now;
    pthread_barrier_t start;
    atomic_uint wins[ELECTIONS];
    atomic_uint made[ELECTIONS];
};

static void
key_of(char *key, unsigned i)
{
    snprintf(key, 16, "e%u", i);
}

static void *
elect(void *argument)
{
    struct crowd *crowd = argument;
    struct store_thread *thread = store_thread_open(crowd->store);

    pthread_barrier_wait(&crowd->start);
    for (unsigned i = 0; i < ELECTIONS; i++) {
        char key[16];
        struct store_visit visit = { .use = STORE_USE };
        struct store_visited visited;
        struct store_view view;

        key_of(key, i);
        visit.key = name(key);
        visit.hash = store_hash(crowd->store, visit.key);
        visit.vivify = crowd->election == BY_CREATING;
        visit.recache = crowd->election == BY_RENEWAL;
        visit.recache_below = UINT32_MAX;
        if (store_visit(crowd->store, thread, &visit, crowd->now, &visited, &view) !=
            STORE_OK)
            continue;
        if (view.locked)
            store_unlock(crowd->store, &view);
        if (visited.won)
            atomic_fetch_add(&crowd->wins[i], 1);
        if (visited.created)
            atomic_fetch_add(&crowd->made[i], 1);
    }
    store_thread_close(thread);
    return NULL;
}

START_TEST(of_many_visitors_exactly_one_wins)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    pthread_t threads[THREADS];
    char key[16];

    crowd->store = kit.store;
    crowd->election = (enum election)_i;
    crowd->now = kit.now;
    for (unsigned i = 0; crowd->election != BY_CREATING && i < ELECTIONS; i++) {
        key_of(key, i);
        write_with(key, "v", (struct store_write){ .exptime = kit.now + 10 });
        if (crowd->election == BY_STALENESS)
            make_stale(key);
    }
    pthread_barrier_init(&crowd->start, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, elect, crowd);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < ELECTIONS; i++) {
        ck_assert_uint_eq(crowd->wins[i], 1);
        ck_assert_uint_eq(crowd->made[i], crowd->election == BY_CREATING);
    }
    pthread_barrier_destroy(&crowd->start);
    free(crowd);
}
END_TEST

struct quarrel {
    struct store *store;
    uint32_t now;
    uint64_t seen[ELECTIONS * 2]; /* uniques of items that somebody won */
    atomic_uint nseen;
    atomic_bool over;
};

static void *
visit_on(void *argument)
{
    struct quarrel *quarrel = argument;
    struct store_thread *thread = store_thread_open(quarrel->store);
    struct store_visit visit = { .key = SLICE("k"), .use = STORE_USE };

    visit.hash = store_hash(quarrel->store, visit.key);
    for (bool last = false; !last;) {
        struct store_visited visited;
        struct store_view view;

        last = atomic_load(&quarrel->over);
        if (store_visit(quarrel->store, thread, &visit, quarrel->now, &visited, &view) !=
            STORE_OK)
            continue;
        store_unlock(quarrel->store, &view);
        if (visited.won)
            quarrel->seen[atomic_fetch_add(&quarrel->nseen, 1)] = view.cas;
        else
            sched_yield(); /* or who invalidates would wait for the lock for ever */
    }
    store_thread_close(thread);
    return NULL;
}

static int
by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Each invalidation has a unique of its own, so two winners of one election show. */
START_TEST(no_election_has_two_winners_while_others_invalidate)
{
    struct quarrel *quarrel = calloc(1, sizeof *quarrel);
    pthread_t threads[THREADS - 1];
    unsigned n;

    quarrel->store = kit.store;
    quarrel->now = kit.now;
    kit_write(&kit, STORE_SET, "k", "v");
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_create(&threads[i], NULL, visit_on, quarrel);
    for (unsigned i = 0; i < ELECTIONS; i++) {
        struct store_mark what = mark_of("k", true, false);

        what.cas_given = i % 3 == 0;
        what.cas_new = UINT64_MAX - i;
        ck_assert_int_eq(mark(&what), STORE_OK);
        if (i % 16 == 0)
            sched_yield();
    }
    atomic_store(&quarrel->over, true);
    for (unsigned i = 0; i < THREADS - 1; i++)
        pthread_join(threads[i], NULL);
    n = atomic_load(&quarrel->nseen);
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_le(n, ELECTIONS);
    qsort(quarrel->seen, n, sizeof quarrel->seen[0], by_number);
    for (unsigned i = 1; i < n; i++)
        ck_assert_uint_ne(quarrel->seen[i], quarrel->seen[i - 1]);
    free(quarrel);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/meta");
    TCase *tc = tcase_create("meta");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_fresh_item_elects_nobody);
    tcase_add_test(tc, the_first_visitor_of_a_stale_item_wins);
    tcase_add_test(tc, what_is_not_there_is_created_once);
    tcase_add_test(tc, an_item_about_to_expire_elects_whom_asks_to_renew);
    tcase_add_test(tc, renewal_counts_with_the_new_expiry_if_asked_to);
    tcase_add_test(tc, a_visit_shows_the_item_as_it_was_before);
    tcase_add_test(tc, plain_writes_end_an_election_and_counting_in_place_does_not);
    tcase_add_test(tc, an_older_unique_may_store_as_stale);
    tcase_add_test(tc, zero_never_compares_equal);
    tcase_add_test(tc, append_creates_if_asked_whatever_it_compares);
    tcase_add_test(tc, marking_stale_keeps_all_but_the_unique);
    tcase_add_test(tc, emptying_makes_a_new_item_under_the_old_unique);
    tcase_add_test(tc, a_large_value_can_be_given_a_unique_while_it_is_sent);
    tcase_add_test(tc, a_visit_pins_a_large_value_before_it_elects);
    tcase_add_test(tc, without_room_for_a_pin_nobody_wins);
    tcase_add_test(tc, chosen_uniques_are_flushed_and_outlive_flushes_like_others);
    tcase_add_test(tc, counting_takes_chosen_uniques);
    tcase_add_test(tc, what_is_empty_is_no_number_whatever_is_compared);
    tcase_add_loop_test(
        tc, of_many_visitors_exactly_one_wins, BY_CREATING, BY_RENEWAL + 1);
    tcase_add_test(tc, no_election_has_two_winners_while_others_invalidate);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
