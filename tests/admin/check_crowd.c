/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_crowd.c - protects what several workers do at once: they ask for reports, dump,
 * reset and change settings while others store and delete. Meant for ThreadSanitizer;
 * without it, for assertions and figures that can't be.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "fixture.h"

#define ASKERS 3
#define ROUNDS 300
#define KEYS 3000u

struct worker {
    struct fixture *fixture;
    pthread_t thread;
    _Atomic bool *stop;
    unsigned number;
};

/* Stores and deletes over and over; what it stores is at most KEYS items. */
static void *
churn(void *context)
{
    struct worker *worker = context;
    struct store *store = worker->fixture->store;
    struct store_thread *thread = store_thread_open(store);
    uint32_t now = clock_seconds(&worker->fixture->clock);

    assert(thread != NULL);
    for (unsigned i = 0; !atomic_load(worker->stop); i = (i + 1) % KEYS) {
        char text[32];
        struct slice key = slice_of(text, (size_t)snprintf(text, sizeof text, "k:%u", i));
        struct store_write write = { .mode = STORE_SET, .key = key,
            .hash = store_hash(store, key), .value = SLICE("some value or other") };
        struct store_written written;
        uint8_t slab_class;

        (void)store_write(store, thread, &write, now, &written);
        worker->fixture->hook.detail_set(worker->fixture->hook.context, key);
        if (i % 3 == 0)
            (void)store_delete(
                store, thread, key, write.hash, false, 0, now, &slab_class);
    }
    store_thread_close(thread);
    return NULL;
}

/* curr_items of a report; no report shows more items than there ever were. */
static void
check_report(const struct outbox *out)
{
    const char *at = memmem(out->bytes, out->used, "curr_items ", 11);

    if (at != NULL)
        assert(strtoull(at + 11, NULL, 10) <= 2 * KEYS);
}

static void *
ask_about(void *context)
{
    static const struct {
        enum admin_verb verb;
        struct slice args;
    } ASKED[] = {
        { ADMIN_STATS, { "", 0 } },
        { ADMIN_STATS, { "items", 5 } },
        { ADMIN_STATS, { "slabs", 5 } },
        { ADMIN_STATS, { "settings", 8 } },
        { ADMIN_STATS, { "sizes", 5 } },
        { ADMIN_STATS, { "reset", 5 } },
        { ADMIN_STATS, { "detail on", 9 } },
        { ADMIN_STATS, { "detail dump", 11 } },
        { ADMIN_LRU_CRAWLER, { "metadump all", 12 } },
        { ADMIN_LRU_CRAWLER, { "crawl all", 9 } },
        { ADMIN_LRU, { "tune 10 20 0.5 1.5", 18 } },
        { ADMIN_SLABS, { "reassign -1 5", 13 } },
        { ADMIN_SLABS, { "automove 1", 10 } },
        { ADMIN_VERBOSITY, { "1", 1 } },
        { ADMIN_CACHE_MEMLIMIT, { "32", 2 } },
    };
    struct worker *worker = context;
    struct fixture *fixture = worker->fixture;
    struct store_thread *thread = store_thread_open(fixture->store);
    struct outbox *out = calloc(1, sizeof *out);

    assert(thread != NULL);
    assert(out != NULL);
    out->bytes = malloc(OUTBOX_BYTES);
    assert(out->bytes != NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t which = (i + worker->number) % (sizeof ASKED / sizeof ASKED[0]);
        struct admin_request request = { .verb = ASKED[which].verb,
            .args = ASKED[which].args, .now = 2, .thread = thread };
        struct admin_answer answer;
        bool more;

        out->used = 0;
        fixture->hook.run(fixture->hook.context, &request, out, &answer);
        check_report(out);
        for (more = answer.stream != NULL; more;) {
            out->used = 0;
            more = answer.stream->fill(answer.stream, out);
        }
        if (answer.stream != NULL)
            answer.stream->close(answer.stream);
    }
    free(out->bytes);
    free(out);
    store_thread_close(thread);
    return NULL;
}

START_TEST(workers_ask_and_change_while_others_store)
{
    struct fixture fixture;
    struct worker churner, askers[ASKERS];
    _Atomic bool stop = false;

    fixture_init(&fixture);
    fixture.options.track_sizes = true;
    fixture_start(&fixture);
    churner = (struct worker){ .fixture = &fixture, .stop = &stop };
    ck_assert_int_eq(pthread_create(&churner.thread, NULL, churn, &churner), 0);
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (struct worker){ .fixture = &fixture, .number = 5 * i };
        ck_assert_int_eq(
            pthread_create(&askers[i].thread, NULL, ask_about, &askers[i]), 0);
    }
    for (unsigned i = 0; i < ASKERS; i++)
        pthread_join(askers[i].thread, NULL);
    atomic_store(&stop, true);
    pthread_join(churner.thread, NULL);
    fixture_close(&fixture);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("crowd");
    TCase *tcase = tcase_create("crowd");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, workers_ask_and_change_while_others_store);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
