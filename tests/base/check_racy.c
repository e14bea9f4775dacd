/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_racy.c - protects: copies from and to shared memory move exactly the bytes asked
 * for, at every alignment and length, and touch no word that holds none of them.
 */
#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/racy.h"

#define LEN_MAX 72
#define GUARD '#'
#define ROOM (LEN_MAX + 32)

static char
pattern(size_t i)
{
    return (char)(i * 7 + 1);
}

static void
fill(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern(i);
}

/* The pattern at `at`, guards around it. One assertion a buffer: they are slow. */
static void
expect_between_guards(const char *buffer, size_t at, size_t len)
{
    char wanted[ROOM];

    memset(wanted, GUARD, sizeof wanted);
    fill(wanted + at, len);
    ck_assert_mem_eq(buffer, wanted, ROOM);
}

/* _i: alignment of the shared side, 0 to 7. The private side takes all of them in turn. */
START_TEST(reading_copies_just_the_bytes)
{
    _Alignas(8) char shared[ROOM], private[ROOM];
    size_t from = 8 + (size_t)_i;

    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (size_t to = 8; to < 16; to++) {
            memset(shared, GUARD, sizeof shared);
            memset(private, GUARD, sizeof private);
            fill(shared + from, len);
            racy_read(private + to, shared + from, len);
            expect_between_guards(private, to, len);
            expect_between_guards(shared, from, len);
        }
    }
}
END_TEST

START_TEST(writing_copies_just_the_bytes)
{
    _Alignas(8) char shared[ROOM], private[ROOM];
    size_t to = 8 + (size_t)_i;

    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (size_t from = 8; from < 16; from++) {
            memset(shared, GUARD, sizeof shared);
            memset(private, '!', sizeof private);
            fill(private + from, len);
            racy_write(shared + to, private + from, len);
            expect_between_guards(shared, to, len);
        }
    }
}
END_TEST

START_TEST(comparing_sees_each_byte_and_none_beyond)
{
    _Alignas(8) char shared[ROOM], private[ROOM];
    char *bytes = private + _i;

    for (size_t len = 0; len <= LEN_MAX; len++) {
        memset(shared, GUARD, sizeof shared);
        memset(private, '!', sizeof private);
        fill(shared, len);
        fill(bytes, len);
        ck_assert(racy_equal(shared, bytes, len));
        for (size_t i = 0; i < len; i++) {
            shared[i] = (char)(shared[i] ^ 0x80);
            ck_assert(!racy_equal(shared, bytes, len));
            shared[i] = (char)(shared[i] ^ 0x80);
        }
    }
}
END_TEST

/* Words with none of the bytes may belong to nobody: here they are not even mapped. */
START_TEST(no_word_outside_is_touched)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char private[ROOM] = { 0 };

    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map + page, page, PROT_READ | PROT_WRITE), 0);
    for (size_t len = 1; len <= LEN_MAX; len++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char *first = map + page + shift, *last = map + 2 * page - len - shift;

            racy_write(first, private, len);
            racy_write(last, private, len);
            racy_read(private, first, len);
            racy_read(private, last, len);
        }
        ck_assert(racy_equal(map + page, private, len));
        ck_assert(racy_equal(map + 2 * page - ((len + 7) & ~(size_t)7), private, len));
    }
    munmap(map, 3 * page);
}
END_TEST

START_TEST(words_and_bytes_are_what_was_set)
{
    _Alignas(8) char shared[16] = { 0 };

    racy_set_word(shared + 8, UINT64_C(0x0123456789abcdef));
    ck_assert_uint_eq(racy_word(shared + 8), UINT64_C(0x0123456789abcdef));
    ck_assert_uint_eq(racy_word(shared), 0);
    racy_set_byte(shared + 3, 'z');
    ck_assert_int_eq(racy_byte(shared + 3), 'z');
    ck_assert_int_eq(racy_byte(shared + 2), 0);
    ck_assert_int_eq(racy_byte(shared + 4), 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base/racy");
    TCase *tc = tcase_create("racy");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tc, reading_copies_just_the_bytes, 0, 8);
    tcase_add_loop_test(tc, writing_copies_just_the_bytes, 0, 8);
    tcase_add_loop_test(tc, comparing_sees_each_byte_and_none_beyond, 0, 8);
    tcase_add_test(tc, no_word_outside_is_touched);
    tcase_add_test(tc, words_and_bytes_are_what_was_set);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
