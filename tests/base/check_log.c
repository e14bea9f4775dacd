/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects base/log: a line is whole, ends where it must, and is shown only to who asked.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Runs `say` with stderr in a file and returns what was written; the caller frees it. */
static char *
heard(void (*say)(void))
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    char *text = calloc(1, 8 * LOG_LINE_MAX);

    ck_assert(file != NULL && saved >= 0 && text != NULL);
    dup2(fileno(file), STDERR_FILENO);
    say();
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    ck_assert_uint_lt(fread(text, 1, 8 * LOG_LINE_MAX - 1, file), 8 * LOG_LINE_MAX - 1);
    fclose(file);
    return text;
}

static void
say_all_levels(void)
{
    log_line(LOG_ALWAYS, "always %d", 1);
    log_line(LOG_NOTICE, "notice");
    log_line(LOG_CLIENT, "client");
    log_line(LOG_DETAIL, "detail");
}

static const char *const SHOWN[] = { "always 1\n", "always 1\nnotice\n",
    "always 1\nnotice\nclient\n", "always 1\nnotice\nclient\ndetail\n" };

START_TEST(verbosity_chooses_the_lines)
{
    log_set_verbosity(_i);
    ck_assert_int_eq(log_verbosity(), _i);
    char *text = heard(say_all_levels);
    ck_assert_str_eq(text, SHOWN[_i]);
    free(text);
    log_set_verbosity(0);
}
END_TEST

static char long_text[2 * LOG_LINE_MAX];

static void
say_long_lines(void)
{
    log_line(LOG_ALWAYS, "%.*s", LOG_LINE_MAX - 2, long_text);
    log_line(LOG_ALWAYS, "%.*s", LOG_LINE_MAX - 1, long_text);
    log_line(LOG_ALWAYS, "%.*s", LOG_LINE_MAX, long_text);
    log_line(LOG_ALWAYS, "%s", long_text);
}

START_TEST(a_line_that_is_too_long_is_cut_and_still_a_line)
{
    memset(long_text, 'x', sizeof long_text - 1);
    char *text = heard(say_long_lines), *at = text;
    for (int i = 0; i < 4; i++) {
        char *lf = strchr(at, '\n');
        ck_assert_ptr_nonnull(lf);
        ck_assert_int_ge(lf - at, LOG_LINE_MAX - 2);
        ck_assert_int_lt(lf - at, LOG_LINE_MAX);
        at = lf + 1;
    }
    ck_assert_str_eq(at, "");
    free(text);
}
END_TEST

/* Any client may raise the verbosity, and nobody need be reading. */
START_TEST(a_pipe_that_nobody_reads_holds_nobody_up)
{
    char text[1 << 16], *tail;
    int ends[2], saved = dup(STDERR_FILENO), said = 20000;

    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    for (int i = 0; i < said; i++)
        log_line(LOG_ALWAYS, "line %d", i);
    ssize_t got = read(ends[0], text, sizeof text);
    log_line(LOG_ALWAYS, "again");
    dup2(saved, STDERR_FILENO);
    close(saved);

    ck_assert_int_gt(got, 1000);
    int kept = 0;
    for (ssize_t i = 0; i < got; i++)
        kept += text[i] == '\n';
    ck_assert_int_lt(kept, said);
    close(ends[1]);
    while ((got = read(ends[0], text, sizeof text - 1)) > 0) {
        text[got] = '\0';
        tail = strstr(text, " lines are lost\nagain\n");
        for (ssize_t i = 0; tail == NULL && i < got; i++)
            kept += text[i] == '\n';
        if (tail == NULL)
            continue;
        *tail = '\0';
        const char *number = strrchr(text, '\n') == NULL ? text : strrchr(text, '\n') + 1;
        for (const char *at = text; at < number; at++)
            kept += *at == '\n';
        ck_assert_int_eq(kept + atoi(number), said);
        kept = -1;
    }
    ck_assert_int_eq(kept, -1);
    close(ends[0]);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");

    tcase_add_loop_test(tc, verbosity_chooses_the_lines, 0, 4);
    tcase_add_test(tc, a_line_that_is_too_long_is_cut_and_still_a_line);
    tcase_add_test(tc, a_pipe_that_nobody_reads_holds_nobody_up);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
