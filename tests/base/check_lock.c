/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_lock.c - protects: one holder at a time, and what a holder wrote is seen by the
 * next. Under ThreadSanitizer the plain counter also protects the memory order.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/lock.h"

#define THREADS 4
#ifdef __SANITIZE_THREAD__
#define ROUNDS 20000
#else
#define ROUNDS 200000
#endif

struct shared {
    struct lock lock;
    unsigned long count; /* this and the next two are guarded by the lock */
    bool inside;
    bool met;
    bool try_only;
};

START_TEST(a_held_lock_cannot_be_had)
{
    struct lock lock = { 0 };

    ck_assert(lock_try(&lock));
    lock_assert_held(&lock);
    ck_assert(!lock_try(&lock));
    lock_give(&lock);
    ck_assert(lock_try(&lock));
    lock_give(&lock);
    lock_take(&lock);
    ck_assert(!lock_try(&lock));
    lock_give(&lock);
}
END_TEST

static void *
work(void *argument)
{
    struct shared *shared = argument;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (shared->try_only) {
            while (!lock_try(&shared->lock))
                sched_yield();
        } else {
            lock_take(&shared->lock);
        }
        shared->met = shared->met || shared->inside;
        shared->inside = true;
        shared->count++;
        shared->inside = false;
        lock_give(&shared->lock);
    }
    return NULL;
}

START_TEST(only_one_is_inside_at_a_time)
{
    struct shared shared = { .try_only = _i != 0 };
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &shared), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(!shared.met);
    ck_assert_uint_eq(shared.count, (unsigned long)THREADS * ROUNDS);
    ck_assert(lock_try(&shared.lock));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base/lock");
    TCase *tc = tcase_create("lock");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_held_lock_cannot_be_had);
    tcase_add_loop_test(tc, only_one_is_inside_at_a_time, 0, 2);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
