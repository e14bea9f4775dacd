/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/authfile: what a password file may look like, that nobody but a user with
 * his password gets in, and that reading it again never leaves a gap.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/authfile.h"

static char directory[64], path[96], why[AUTHFILE_WHY_MAX];

static void
write_file(const char *text, size_t len)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

static void
setup(void)
{
    strcpy(directory, "authfile.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/users", directory);
    write_file("ann:secret\n", 11);
}

static void
teardown(void)
{
    unlink(path);
    rmdir(directory);
}

static struct authfile *
open_text(const char *text)
{
    write_file(text, strlen(text));
    return authfile_open(path, why);
}

static bool
is_let_in(struct authfile *authfile, const char *user, const char *password)
{
    return authfile_check(authfile, slice_of(user, strlen(user)),
        slice_of(password, strlen(password)));
}

START_TEST(a_user_gets_in_by_his_password_only)
{
    struct authfile *file = open_text("ann:secret\nbob:p w:x\r\n\n\r\ncat:\nann:other");

    ck_assert_msg(file != NULL, "%s", why);
    ck_assert(is_let_in(file, "ann", "secret"));
    ck_assert(is_let_in(file, "bob", "p w:x")); /* the first colon divides */
    ck_assert(is_let_in(file, "ann", "other")); /* no line end at the end */
    ck_assert(is_let_in(file, "cat", ""));
    ck_assert(!is_let_in(file, "ann", "p w:x"));
    ck_assert(!is_let_in(file, "bob", "secret"));
    ck_assert(!is_let_in(file, "ann", ""));
    ck_assert(!is_let_in(file, "", ""));
    ck_assert(!is_let_in(file, "ann", "secre"));
    ck_assert(!is_let_in(file, "ann", "secrets"));
    ck_assert(!is_let_in(file, "ann", "sfcret"));
    ck_assert(!is_let_in(file, "an", "secret"));
    ck_assert(!is_let_in(file, "ANN", "secret"));
    authfile_close(file);
}
END_TEST

START_TEST(what_is_no_password_file_is_refused)
{
    char *text = malloc(AUTHFILE_BYTES_MAX + 2);
    size_t len = 0;

    ck_assert_ptr_null(open_text("ann:secret\njustaword\n"));
    ck_assert_ptr_nonnull(strstr(why, "has a malformed entry. Should be 'user:password'"));
    ck_assert_ptr_null(strstr(why, "justaword")); /* it may be a password */
    unlink(path);
    ck_assert_ptr_null(authfile_open(path, why));
    ck_assert_ptr_nonnull(strstr(why, "Could not open authfile ["));
    ck_assert_ptr_nonnull(strstr(why, "] for reading, error"));
    ck_assert_ptr_null(authfile_open(directory, why));

    for (unsigned i = 0; i < AUTHFILE_ENTRIES_MAX; i++)
        len += (size_t)sprintf(text + len, "u%u:p%u\n", i, i);
    write_file(text, len);
    struct authfile *file = authfile_open(path, why);
    ck_assert_ptr_nonnull(file);
    ck_assert(is_let_in(file, "u4095", "p4095"));
    authfile_close(file);
    len += (size_t)sprintf(text + len, "one:more\n");
    write_file(text, len);
    ck_assert_ptr_null(authfile_open(path, why));
    ck_assert_ptr_nonnull(strstr(why, "entries"));

    memset(text, ':', AUTHFILE_BYTES_MAX + 1);
    write_file(text, AUTHFILE_BYTES_MAX + 1);
    ck_assert_ptr_null(authfile_open(path, why));
    ck_assert_ptr_nonnull(strstr(why, "longer than"));
    free(text);
}
END_TEST

START_TEST(an_empty_file_lets_nobody_in)
{
    struct authfile *file = open_text("\n\n");

    ck_assert_ptr_nonnull(file);
    ck_assert(!is_let_in(file, "", ""));
    authfile_close(file);
}
END_TEST

START_TEST(a_reload_takes_effect_or_changes_nothing)
{
    struct authfile *file = open_text("ann:secret\n");

    write_file("ann:new\n", 8);
    ck_assert(is_let_in(file, "ann", "secret"));
    ck_assert(authfile_reload(file, why));
    ck_assert(is_let_in(file, "ann", "new"));
    ck_assert(!is_let_in(file, "ann", "secret"));
    write_file("oops\n", 5);
    ck_assert(!authfile_reload(file, why));
    ck_assert(is_let_in(file, "ann", "new"));
    unlink(path);
    ck_assert(!authfile_reload(file, why));
    ck_assert(is_let_in(file, "ann", "new"));
    authfile_close(file);
}
END_TEST

/* A server in the background has another directory than the one it was started in. */
START_TEST(a_relative_path_stays_that_of_the_start)
{
    struct authfile *file = open_text("ann:secret\n");
    char *here = getcwd(NULL, 0);

    write_file("ann:new\n", 8);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_msg(authfile_reload(file, why), "%s", why);
    ck_assert_int_eq(chdir(here), 0);
    ck_assert(is_let_in(file, "ann", "new"));
    authfile_close(file);
    free(here);
}
END_TEST

static struct authfile *shared;
static _Atomic bool over;

static void *
keep_checking(void *context)
{
    _Atomic unsigned *checks = context;

    while (!atomic_load(&over)) {
        ck_assert(is_let_in(shared, "ann", "secret")); /* in both versions */
        ck_assert(!is_let_in(shared, "bob", "secret"));
        atomic_fetch_add(checks, 1);
    }
    return NULL;
}

START_TEST(a_reload_leaves_no_gap)
{
    static _Atomic unsigned checks;
    pthread_t threads[2];

    shared = open_text("ann:secret\n");
    atomic_store(&over, false);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_checking, &checks), 0);
    for (unsigned i = 0; i < 200 || atomic_load(&checks) < 100; i++) {
        if (i % 2 == 0)
            write_file("cat:x\nann:secret\n", 17);
        else
            write_file("ann:secret\n", 11);
        ck_assert(authfile_reload(shared, why));
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    authfile_close(shared);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("authfile");
    TCase *tc = tcase_create("authfile");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_user_gets_in_by_his_password_only);
    tcase_add_test(tc, what_is_no_password_file_is_refused);
    tcase_add_test(tc, an_empty_file_lets_nobody_in);
    tcase_add_test(tc, a_reload_takes_effect_or_changes_nothing);
    tcase_add_test(tc, a_relative_path_stays_that_of_the_start);
    tcase_add_test(tc, a_reload_leaves_no_gap);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
