/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_host.c - protects against pages of strangers that have their own names resolve to
 * this machine (DNS rebinding), and Prometheus, which says what it can read.
 */
#include <check.h>
#include <stdlib.h>

#include "http/host.h"

static const struct {
    const char *host;
    bool ours;
} HOSTS[] = {
    { "127.0.0.1", true },
    { "127.0.0.1:11212", true },
    { "192.0.2.7:80", true },
    { "[::1]", true },
    { "[::1]:11212", true },
    { "localhost", true },
    { "LOCALHOST:1", true },
    { "localhost.", true },
    { "web1", true },
    { "WEB1:11212", true },
    { "cache.example.org", true },
    { "Other.Example.Org:11212", true },
    { "", false },
    { ":80", false },
    { ".", false },
    { "evil.example", false },
    { "evil.example:11212", false },
    { "127.0.0.1.evil.example", false },
    { "localhost.evil.example", false },
    { "xlocalhost", false },
    { "cache.example.org.evil.example", false },
    { "example.org", false },
    { "cache.example.org,other.example.org", false },
    { "[::1", false },
    { "[::1]x", false },
    { "[localhost]", false },
    { "[127.0.0.1]", false },
    { "::1", false },
    { "127.0.0.1:", false },
    { "127.0.0.1:x", false },
    { "127.0.0.1:123456", false },
    { "127.0.0.1@evil.example", false },
    { "127.1", false },
};
#define HOSTS_N (sizeof HOSTS / sizeof *HOSTS)

START_TEST(a_host_is_ours_only_by_number_or_by_a_name_we_have)
{
    bool ours =
        host_is_ours(HOSTS[_i].host, "web1", "cache.example.org,other.example.org");

    ck_assert_msg(ours == HOSTS[_i].ours, "\"%s\"", HOSTS[_i].host);
}
END_TEST

START_TEST(a_machine_without_names_has_none)
{
    ck_assert(host_is_ours("localhost", "", NULL));
    ck_assert(!host_is_ours("web1", "", NULL));
    ck_assert(!host_is_ours("", "", NULL));
}
END_TEST

START_TEST(a_name_of_any_length_is_looked_at_whole)
{
    char name[600];

    for (size_t len = 1; len < sizeof name - 1; len++) {
        for (size_t i = 0; i < len; i++)
            name[i] = 'a';
        name[len] = '\0';
        ck_assert(!host_is_ours(name, "b", "c"));
    }
}
END_TEST

static const struct {
    const char *accept;
    bool open;
} ACCEPTS[] = {
    { NULL, false },
    { "", false },
    { "*/*", false },
    { "text/plain", false },
    { "text/html,*/*;q=0.8", false },
    { "application/openmetrics-text", true },
    { "application/openmetrics-text; version=1.0.0; charset=utf-8", true },
    /* Prometheus 2.42 */
    { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
      "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        true },
    { "application/openmetrics-text;q=0.3,text/plain;q=0.5", false },
    { "application/openmetrics-text;q=0.5,text/plain;q=0.5", true },
    { "application/openmetrics-text;q=0", false },
    { "application/openmetrics-text;q=0.0,*/*", false },
    { "text/plain;q=0.5, APPLICATION/OpenMetrics-Text ;q=0.625", true },
    { "application/openmetrics-textual", false },
    { "application/openmetrics-text;q=", true },
    { "q=1,;;,,q=", false },
    { ",,,", false },
};
#define ACCEPTS_N (sizeof ACCEPTS / sizeof *ACCEPTS)

START_TEST(the_form_of_metrics_is_what_the_asker_would_rather_have)
{
    bool open = accept_openmetrics(ACCEPTS[_i].accept);

    ck_assert_msg(open == ACCEPTS[_i].open, "\"%s\"", ACCEPTS[_i].accept);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("host");
    TCase *tc = tcase_create("host");

    tcase_add_loop_test(
        tc, a_host_is_ours_only_by_number_or_by_a_name_we_have, 0, (int)HOSTS_N);
    tcase_add_test(tc, a_machine_without_names_has_none);
    tcase_add_test(tc, a_name_of_any_length_is_looked_at_whole);
    tcase_add_loop_test(
        tc, the_form_of_metrics_is_what_the_asker_would_rather_have, 0, (int)ACCEPTS_N);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
