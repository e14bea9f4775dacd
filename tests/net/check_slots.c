/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects net/slots: things that are out never overlap, come zeroed and on cache lines of
 * their own, and what all have given back goes back to malloc() but for one tray.
 */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/slots.h"

#define MANY 1000u

static struct slots slots;
static unsigned char *out[MANY];

static bool
is_filled(const unsigned char *thing, unsigned char byte)
{
    for (size_t i = 0; i < slots.size; i++)
        if (thing[i] != byte)
            return false;
    return true;
}

/* Takes number `i`, which comes empty, and writes all of it. */
static void
take(unsigned i)
{
    out[i] = slots_get(&slots);
    ck_assert_ptr_nonnull(out[i]);
    ck_assert(is_filled(out[i], 0));
    memset(out[i], (unsigned char)(i % 255 + 1), slots.size);
}

/* Nobody else has written to it. */
static void
put(unsigned i)
{
    ck_assert(is_filled(out[i], (unsigned char)(i % 255 + 1)));
    slots_put(&slots, out[i]);
    out[i] = NULL;
}

static const size_t SIZES[] = { 1, 40, 64, 65, 112, 128, 1000, TRAY_BYTES / 4 };

START_TEST(sizes_are_whole_lines_and_hold_what_was_asked_for)
{
    slots_init(&slots, SIZES[_i]);
    ck_assert_uint_ge(slots.size, SIZES[_i]);
    ck_assert_uint_eq(slots.size % SLOTS_ALIGN, 0);
    ck_assert_uint_lt(slots.size - SIZES[_i], SLOTS_ALIGN);
    slots_fini(&slots);
}
END_TEST

START_TEST(things_do_not_overlap_whatever_comes_and_goes)
{
    unsigned seed = 7;

    slots_init(&slots, SIZES[_i]);
    for (unsigned round = 0; round < 20 * MANY; round++) {
        seed = seed * 1103515245u + 12345u;
        unsigned i = seed / 65536u % MANY;
        if (out[i] == NULL)
            take(i);
        else
            put(i);
    }
    for (unsigned i = 0; i < MANY; i++)
        if (out[i] != NULL)
            put(i);
    slots_fini(&slots); /* asserts that no tray is left but the spare one */
}
END_TEST

START_TEST(all_may_leave_and_come_again)
{
    slots_init(&slots, 112);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++)
            take(i);
        for (unsigned i = 0; i < MANY; i++)
            put(round == 1 ? MANY - 1 - i : i);
        ck_assert_ptr_null(slots.roomy);
    }
    slots_fini(&slots);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("slots");
    TCase *tc = tcase_create("slots");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, sizes_are_whole_lines_and_hold_what_was_asked_for, 0,
        sizeof SIZES / sizeof *SIZES);
    tcase_add_loop_test(tc, things_do_not_overlap_whatever_comes_and_goes, 0,
        sizeof SIZES / sizeof *SIZES);
    tcase_add_test(tc, all_may_leave_and_come_again);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
