/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/journal and base/ring: who tells something never waits, what he could not
 * tell is counted, and what arrives is whole and in order.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/journal.h"
#include "base/ring.h"

static void
tell(struct journal_writer *writer, const char *text, uint64_t size)
{
    struct journal_event event = { .kind = JOURNAL_GET, .status = "found", .size = size };

    journal_put(writer, &event, slice_of(text, strlen(text)));
}

START_TEST(what_is_told_arrives_as_it_was)
{
    struct journal *journal = journal_create(4096);
    struct journal_writer *writer = journal_open(journal);
    char text[JOURNAL_TEXT_MAX];
    struct journal_event event;

    tell(writer, "first", 1);
    tell(writer, "", 2);
    ck_assert(journal_take(journal, &event, text));
    ck_assert_uint_eq(event.number, 1);
    ck_assert_uint_eq(event.size, 1);
    ck_assert_uint_eq(event.len, 5);
    ck_assert_mem_eq(text, "first", 5);
    ck_assert_str_eq(event.status, "found");
    ck_assert_uint_gt(event.micros, UINT64_C(1600000000) * 1000000);
    ck_assert(journal_take(journal, &event, text));
    ck_assert_uint_eq(event.len, 0);
    ck_assert(!journal_take(journal, &event, text));
    journal_close(writer);
    journal_destroy(journal);
}
END_TEST

START_TEST(events_of_all_threads_come_in_the_order_of_their_numbers)
{
    struct journal *journal = journal_create(65536);
    struct journal_writer *writers[3];
    char text[JOURNAL_TEXT_MAX];
    struct journal_event event;

    for (unsigned i = 0; i < 3; i++)
        writers[i] = journal_open(journal);
    for (unsigned i = 0; i < 90; i++)
        tell(writers[i * 7 % 3], "k", i);
    for (unsigned i = 0; i < 90; i++) {
        ck_assert(journal_take(journal, &event, text));
        ck_assert_uint_eq(event.number, i + 1);
        ck_assert_uint_eq(event.size, i);
    }
    for (unsigned i = 0; i < 3; i++)
        journal_close(writers[i]);
    journal_destroy(journal);
}
END_TEST

START_TEST(what_does_not_fit_is_dropped_and_counted)
{
    struct journal *journal = journal_create(1000);
    struct journal_writer *writer = journal_open(journal);
    char text[JOURNAL_TEXT_MAX];
    struct journal_event event;
    struct journal_counts counts;
    uint64_t taken = 0;

    for (unsigned i = 0; i < 100; i++)
        tell(writer, "some key", i);
    journal_count(journal, &counts);
    ck_assert_uint_eq(counts.written + counts.dropped, 100);
    ck_assert_uint_ge(counts.written, 5);
    ck_assert_uint_le(counts.written, 1000 / sizeof event);
    while (journal_take(journal, &event, text))
        ck_assert_uint_eq(event.size, taken++);
    ck_assert_uint_eq(taken, counts.written);
    /* There is room again, and the number shows the gap. */
    tell(writer, "k", 0);
    ck_assert(journal_take(journal, &event, text));
    ck_assert_uint_eq(event.number, 101);
    journal_close(writer);
    journal_count(journal, &counts);
    ck_assert_uint_eq(counts.written + counts.dropped, 101);
    journal_destroy(journal);
}
END_TEST

START_TEST(a_ring_of_nothing_drops_everything)
{
    struct journal *journal = journal_create(0);
    struct journal_writer *writer = journal_open(journal);
    struct journal_counts counts;
    char text[JOURNAL_TEXT_MAX];
    struct journal_event event;

    tell(writer, "k", 1);
    ck_assert(!journal_take(journal, &event, text));
    journal_count(journal, &counts);
    ck_assert_uint_eq(counts.dropped, 1);
    journal_close(writer);
    journal_destroy(journal);
}
END_TEST

START_TEST(long_texts_are_cut)
{
    struct journal *journal = journal_create(4096);
    struct journal_writer *writer = journal_open(journal);
    char text[JOURNAL_TEXT_MAX], sent[JOURNAL_TEXT_MAX + 100];
    struct journal_event event;

    memset(sent, 'x', sizeof sent);
    sent[sizeof sent - 1] = '\0';
    tell(writer, sent, 0);
    ck_assert(journal_take(journal, &event, text));
    ck_assert_uint_eq(event.len, JOURNAL_TEXT_MAX);
    ck_assert_mem_eq(text, sent, sizeof text);
    journal_close(writer);
    journal_destroy(journal);
}
END_TEST

/* A size that divides nothing: pieces are cut at every place of it. */
START_TEST(a_ring_gives_the_bytes_it_was_given)
{
    char in[11], out[11];
    struct ring ring;
    unsigned put = 0, taken = 0;

    ck_assert(ring_init(&ring, 31));
    for (unsigned i = 0; i < 10000; i++) {
        size_t len = i % sizeof in;

        if (ring_room(&ring) >= len) {
            for (size_t k = 0; k < len; k++)
                in[k] = (char)put++;
            ring_write(&ring, 0, in, len);
            ring_commit(&ring, len);
        }
        len = i * 7 % sizeof out;
        if (ring_used(&ring) >= len && len > 0) {
            ring_peek(&ring, 0, out, len);
            ring_take(&ring, len);
            for (size_t k = 0; k < len; k++)
                ck_assert_int_eq(out[k], (char)taken++);
        }
    }
    ck_assert_uint_gt(taken, 10000);
    ring_fini(&ring);
}
END_TEST

#define TELLERS 3u
#define EACH    20000u

static void *
keep_telling(void *context)
{
    struct journal_writer *writer = context;

    for (unsigned i = 0; i < EACH; i++)
        tell(writer, "key", i);
    return NULL;
}

/* Nothing is lost without being counted, whoever is fast and whoever is slow; and the reader
 * always wakes: it would hang here otherwise. */
START_TEST(every_event_is_taken_or_counted_as_dropped)
{
    struct journal *journal = journal_create(2000);
    struct journal_writer *writers[TELLERS];
    pthread_t threads[TELLERS];
    char text[JOURNAL_TEXT_MAX];
    struct journal_event event;
    struct journal_counts counts = { 0, 0 };
    uint64_t taken = 0;

    for (unsigned i = 0; i < TELLERS; i++) {
        writers[i] = journal_open(journal);
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, keep_telling, writers[i]), 0);
    }
    while (counts.written + counts.dropped < TELLERS * EACH || taken < counts.written) {
        if (counts.written + counts.dropped < TELLERS * EACH)
            journal_count(journal, &counts);
        while (journal_take(journal, &event, text)) {
            ck_assert_uint_eq(event.len, 3);
            ck_assert_mem_eq(text, "key", 3);
            taken++;
        }
        if (counts.written + counts.dropped < TELLERS * EACH && taken < counts.written)
            journal_wait(journal);
    }
    for (unsigned i = 0; i < TELLERS; i++)
        pthread_join(threads[i], NULL);
    while (journal_take(journal, &event, text))
        taken++;
    journal_count(journal, &counts);
    ck_assert_uint_eq(counts.written + counts.dropped, TELLERS * EACH);
    ck_assert_uint_eq(taken, counts.written);
    for (unsigned i = 0; i < TELLERS; i++)
        journal_close(writers[i]);
    journal_destroy(journal);
}
END_TEST

static void *
tell_once(void *context)
{
    tell(context, "k", 1);
    return NULL;
}

START_TEST(a_reader_that_sleeps_is_woken_by_an_event)
{
    struct journal *journal = journal_create(4096);
    struct journal_writer *writer = journal_open(journal);
    char text[JOURNAL_TEXT_MAX];
    struct journal_event event;
    pthread_t thread;

    for (unsigned i = 0; i < 200; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, tell_once, writer), 0);
        while (!journal_take(journal, &event, text))
            journal_wait(journal);
        pthread_join(thread, NULL);
    }
    journal_close(writer);
    journal_destroy(journal);
}
END_TEST

START_TEST(streams_are_wanted_as_said)
{
    struct journal *journal = journal_create(4096);

    ck_assert_uint_eq(atomic_load(journal_wanted(journal)), 0);
    journal_want(journal, JOURNAL_BIT(JOURNAL_EVICTIONS));
    ck_assert_uint_eq(atomic_load(journal_wanted(journal)), 8);
    journal_want(journal, 0);
    ck_assert_uint_eq(atomic_load(journal_wanted(journal)), 0);
    journal_destroy(journal);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tc = tcase_create("journal");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_is_told_arrives_as_it_was);
    tcase_add_test(tc, events_of_all_threads_come_in_the_order_of_their_numbers);
    tcase_add_test(tc, what_does_not_fit_is_dropped_and_counted);
    tcase_add_test(tc, a_ring_of_nothing_drops_everything);
    tcase_add_test(tc, long_texts_are_cut);
    tcase_add_test(tc, a_ring_gives_the_bytes_it_was_given);
    tcase_add_test(tc, every_event_is_taken_or_counted_as_dropped);
    tcase_add_test(tc, a_reader_that_sleeps_is_woken_by_an_event);
    tcase_add_test(tc, streams_are_wanted_as_said);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
