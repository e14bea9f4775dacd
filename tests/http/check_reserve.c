/* SPDX-License-Identifier: BSD-3-Clause */
/* Protects the reserve for libevent: its blocks are apart, come back, and bound what it gives. */
#include <stdlib.h>
#include <string.h>

#include "http/reserve.h"
#include "../support/quick_check.h"

START_TEST(blocks_are_apart_and_come_back)
{
    char *blocks[RESERVE_BLOCKS];

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < RESERVE_BLOCKS; i++) {
            blocks[i] = reserve_take(RESERVE_SIZE);
            ck_assert_ptr_nonnull(blocks[i]);
            memset(blocks[i], (int)i, RESERVE_SIZE);
        }
        ck_assert_ptr_null(reserve_take(1));
        for (unsigned i = 0; i < RESERVE_BLOCKS; i++) {
            for (unsigned at = 0; at < RESERVE_SIZE; at++)
                ck_assert_int_eq(blocks[i][at], (int)i);
            reserve_free(blocks[i]);
        }
    }
}
END_TEST

START_TEST(large_blocks_are_not_its_business)
{
    ck_assert_ptr_null(reserve_take(RESERVE_SIZE + 1));
}
END_TEST

START_TEST(a_block_can_be_made_longer)
{
    char *block = reserve_take(10);

    ck_assert_ptr_nonnull(block);
    strcpy(block, "123456789");
    ck_assert_ptr_eq(reserve_realloc(block, RESERVE_SIZE), block);
    char *longer = reserve_realloc(block, 1000);
    ck_assert_ptr_nonnull(longer);
    ck_assert_ptr_ne(longer, block);
    ck_assert_str_eq(longer, "123456789");
    ck_assert_ptr_eq(reserve_take(1), block); /* it was given back */
    reserve_free(block);
    reserve_free(longer);
}
END_TEST

START_TEST(else_it_is_as_without_it)
{
    char *block = reserve_realloc(NULL, 100);

    ck_assert_ptr_nonnull(block);
    block = reserve_realloc(block, 10000);
    ck_assert_ptr_nonnull(block);
    reserve_free(block);
    reserve_free(NULL);
    block = reserve_malloc(1);
    ck_assert_ptr_nonnull(block);
    reserve_free(block);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("reserve");
    TCase *tc = tcase_create("reserve");

    tcase_add_test(tc, blocks_are_apart_and_come_back);
    tcase_add_test(tc, large_blocks_are_not_its_business);
    tcase_add_test(tc, a_block_can_be_made_longer);
    tcase_add_test(tc, else_it_is_as_without_it);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
