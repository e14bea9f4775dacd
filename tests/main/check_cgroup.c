/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects main/cgroup: the limit on memory that is found is the least of the process's
 * control group and of those around it, in both versions, and files that are not there, or
 * say "max", are no limit. The files are the test's own.
 */
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "main/cgroup.h"

static char root[64];

static void
in_root(char *to, size_t size, const char *path)
{
    snprintf(to, size, "%s/%s", root, path);
}

/* Writes a file, making the directories that lead to it. */
static void
put(const char *path, const char *text)
{
    char whole[256];

    in_root(whole, sizeof whole, path);
    for (char *at = whole + 1; *at != '\0'; at++)
        if (*at == '/') {
            *at = '\0';
            mkdir(whole, 0755);
            *at = '/';
        }
    FILE *file = fopen(whole, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void
set_up(void)
{
    snprintf(root, sizeof root, "/tmp/check_cgroup.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void
tear_down(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(without_files_there_is_no_limit)
{
    ck_assert_uint_eq(cgroup_memory_limit(root), UINT64_MAX);
    put("proc/self/cgroup", "0::/nowhere\n");
    ck_assert_uint_eq(cgroup_memory_limit(root), UINT64_MAX);
}
END_TEST

START_TEST(the_least_limit_on_the_way_up_counts)
{
    put("proc/self/cgroup", "0::/outer/inner/own\n");
    put("sys/fs/cgroup/outer/inner/own/memory.max", "max\n");
    put("sys/fs/cgroup/outer/inner/memory.max", "500000000\n");
    put("sys/fs/cgroup/outer/memory.max", "400000000\n");
    ck_assert_uint_eq(cgroup_memory_limit(root), 400000000);
    put("sys/fs/cgroup/outer/inner/own/memory.max", "1000\n");
    ck_assert_uint_eq(cgroup_memory_limit(root), 1000);
}
END_TEST

/* As in a container, which sees its own group as the root. */
START_TEST(the_root_group_is_looked_at)
{
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "123456789\n");
    ck_assert_uint_eq(cgroup_memory_limit(root), 123456789);
}
END_TEST

START_TEST(version_one_is_read_among_other_controllers)
{
    put("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/c\n0::/d\n");
    put("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "77777777\n");
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    ck_assert_uint_eq(cgroup_memory_limit(root), 77777777);
}
END_TEST

START_TEST(nonsense_is_no_limit)
{
    put("proc/self/cgroup", "\n::\nno colons\n0:\n4:memory\n0::/x\n");
    put("sys/fs/cgroup/x/memory.max", "lots\n");
    ck_assert_uint_eq(cgroup_memory_limit(root), UINT64_MAX);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("cgroup");
    TCase *tc = tcase_create("cgroup");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, without_files_there_is_no_limit);
    tcase_add_test(tc, the_least_limit_on_the_way_up_counts);
    tcase_add_test(tc, the_root_group_is_looked_at);
    tcase_add_test(tc, version_one_is_read_among_other_controllers);
    tcase_add_test(tc, nonsense_is_no_limit);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
