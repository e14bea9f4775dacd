/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_memlimit.c - protects: -m auto and percentages are of what the process may really
 * use: the least of the machine's memory and the limits of all control groups it is in.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memlimit.h"

static char root[] = "/tmp/memlimit-XXXXXX";

static void
put_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static uint64_t
limit(void)
{
    char membership[256];

    snprintf(membership, sizeof membership, "%s/membership", root);
    return memlimit_bytes(root, membership);
}

START_TEST(the_least_limit_counts)
{
    uint64_t machine;
    char command[64];

    ck_assert_ptr_nonnull(mkdtemp(root));
    machine = limit(); /* no groups at all */
    ck_assert_uint_gt(machine, 1 << 20);
    /* Version 2: the group's own, or one above it. */
    put_file("membership", "0::/site/cache.service\n");
    ck_assert_uint_eq(limit(), machine);
    put_file("site/cache.service/memory.max", "max\n");
    ck_assert_uint_eq(limit(), machine);
    put_file("site/cache.service/memory.max", "2000000\n");
    ck_assert_uint_eq(limit(), 2000000);
    put_file("site/memory.max", "1000000\n");
    ck_assert_uint_eq(limit(), 1000000);
    put_file("memory.max", "1500000\n");
    ck_assert_uint_eq(limit(), 1000000);
    /* Version 1: the memory controller's line only. */
    put_file("membership", "5:cpu,cpuacct:/a\n4:memory:/b/c\n");
    put_file("cpu/a/memory.limit_in_bytes", "7\n");
    ck_assert_uint_eq(limit(), machine);
    put_file("memory/b/memory.limit_in_bytes", "3000000\n");
    ck_assert_uint_eq(limit(), 3000000);
    /* More than the machine has is no limit; nonsense is none either. */
    put_file("memory/b/memory.limit_in_bytes", "9223372036854771712\n");
    ck_assert_uint_eq(limit(), machine);
    put_file("membership", "nonsense\n\n:\n0::\n");
    put_file("memory.max", "x\n");
    ck_assert_uint_eq(limit(), machine);
    snprintf(command, sizeof command, "rm -r '%s'", root);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("memlimit");
    TCase *tc = tcase_create("memlimit");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, the_least_limit_counts);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
