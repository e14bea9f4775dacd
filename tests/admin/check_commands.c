/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_commands.c - protects the words of the administration commands: scripts and tools
 * compare them byte by byte, and every number in them comes from a client.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/words.h"
#include "fixture.h"

struct exchange {
    const char *say;
    const char *hear;
};

/* In order, on one server; the ids are those of the compatibility specification. */
static const struct exchange EXCHANGES[] = {
    { "verbosity", "CLIENT_ERROR bad command line format\r\n" },        /* ADM-02 */
    { "verbosity high", "CLIENT_ERROR bad command line format\r\n" },   /* ADM-03 */
    { "verbosity -1", "CLIENT_ERROR bad command line format\r\n" },     /* ADM-04 */
    { "verbosity 9", "OK\r\n" },                                        /* ADM-05 */
    { "verbosity 18446744073709551615", "OK\r\n" },
    { "verbosity 18446744073709551616", "CLIENT_ERROR bad command line format\r\n" },
    { "verbosity 0 5", "OK\r\n" },
    { "cache_memlimit", "ERROR\r\n" },                                  /* ADM-07 */
    { "cache_memlimit lots", "ERROR\r\n" },                             /* ADM-08 */
    { "cache_memlimit -1", "ERROR\r\n" },
    { "cache_memlimit 64x", "ERROR\r\n" },
    { "cache_memlimit 0", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n" },
    { "cache_memlimit 7", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n" },
    { "cache_memlimit 8", "OK\r\n" },                                   /* ADM-10 */
    { "cache_memlimit 8 9", "OK\r\n" },
    { "cache_memlimit 1000000000",
        "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n" },
    { "cache_memlimit 1000000001",
        "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n" },
    { "cache_memlimit 18446744073709551615",
        "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n" },
    { "cache_memlimit 99999999999999999999", "ERROR\r\n" },
    { "shutdown", "SERVER_ERROR: shutdown not enabled\r\n" },           /* ADM-12 */
    { "shutdown later", "SERVER_ERROR: shutdown not enabled\r\n" },
    { "refresh_certs", "Error TLS not enabled\r\n" },                   /* ADM-15 */
    { "extstore item_size 512", "ERROR\r\n" },
    { "slabs", "ERROR\r\n" },                                           /* SLB-01 */
    { "slabs reassign 1 1", "SAME src and dst class are identical\r\n" },
    { "slabs reassign 200 200", "SAME src and dst class are identical\r\n" },
    { "slabs reassign 3 4", "NOSPARE source class has no spare pages\r\n" },
    { "slabs reassign 0 1", "NOSPARE source class has no spare pages\r\n" },
    { "slabs reassign 1 0", "NOSPARE source class has no spare pages\r\n" },
    { "slabs reassign 1 200", "BADCLASS invalid src or dst class id\r\n" },
    { "slabs reassign 200 1", "BADCLASS invalid src or dst class id\r\n" },
    { "slabs reassign -2 1", "BADCLASS invalid src or dst class id\r\n" },
    { "slabs reassign 1 -1", "BADCLASS invalid src or dst class id\r\n" },
    { "slabs reassign 1 64", "BADCLASS invalid src or dst class id\r\n" },
    { "slabs reassign x y", "CLIENT_ERROR bad command line format\r\n" },
    { "slabs reassign 1 2147483648", "CLIENT_ERROR bad command line format\r\n" },
    { "slabs reassign -2147483649 1", "CLIENT_ERROR bad command line format\r\n" },
    { "slabs reassign 1", "ERROR\r\n" },
    { "slabs reassign 1 2 3", "ERROR\r\n" },                            /* SLB-06 */
    { "slabs automove", "ERROR\r\n" },
    { "slabs automove 0", "OK\r\n" },
    { "slabs automove 2", "OK\r\n" },
    { "slabs automove 3", "ERROR\r\n" },
    { "slabs automove -1", "CLIENT_ERROR bad command line format\r\n" },
    { "slabs automove off", "CLIENT_ERROR bad command line format\r\n" },
    { "slabs automove ratio 0.7", "OK\r\n" },
    { "slabs automove ratio", "ERROR\r\n" },
    { "slabs automove ratio big", "ERROR\r\n" },                        /* SLB-13 */
    { "slabs automove ratio 1.5", "ERROR\r\n" },
    { "slabs automove window 2", "CLIENT_ERROR automove window too low or too high\r\n" },
    { "slabs automove window 1801",
        "CLIENT_ERROR automove window too low or too high\r\n" },
    { "slabs automove window", "CLIENT_ERROR bad command line format\r\n" },
    { "slabs automove window 30", "OK\r\n" },
    { "slabs automove freeratio 0.02", "OK\r\n" },                      /* SLB-16 */
    { "lru", "ERROR\r\n" },
    { "lru tune 15 30 0.3 1.5", "OK\r\n" },                             /* SLB-18 */
    { "lru tune 60 30 0.3 1.5", "ERROR hot and warm pcts must not exceed 80\r\n" },
    { "lru tune 4294967295 4294967295 0.3 1.5",
        "ERROR hot and warm pcts must not exceed 80\r\n" },
    { "lru tune 15 30 0 1.5",
        "ERROR hot/warm age factors must be greater than 0\r\n" },
    { "lru tune 15 30 1.5 -1",
        "ERROR hot/warm age factors must be greater than 0\r\n" },
    { "lru tune 15 30", "ERROR\r\n" },
    { "lru tune -5 30 0.3 1.5", "ERROR\r\n" },
    { "lru tune 15 30 nan 1.5", "ERROR\r\n" },
    { "lru mode flat", "OK\r\n" },
    { "lru mode segmented", "OK\r\n" },
    { "lru mode round", "ERROR\r\n" },
    { "lru mode", "ERROR\r\n" },
    { "lru temp_ttl 30", "OK\r\n" },
    { "lru temp_ttl -1", "OK\r\n" },
    { "lru temp_ttl x", "ERROR\r\n" },
    { "lru_crawler", "ERROR\r\n" },
    { "lru_crawler enable", "ERROR failed to start lru crawler thread\r\n" },
    { "lru_crawler crawl", "ERROR\r\n" },
    { "lru_crawler crawl 1 2", "ERROR\r\n" },
    { "lru_crawler crawl 0", "BADCLASS invalid class id\r\n" },
    { "lru_crawler crawl 64", "BADCLASS invalid class id\r\n" },
    { "lru_crawler crawl 1,x", "BADCLASS invalid class id\r\n" },
    { "lru_crawler crawl 18446744073709551617", "BADCLASS invalid class id\r\n" },
    { "lru_crawler crawl 1,2", "OK\r\n" },                              /* SLB-30 */
    { "lru_crawler crawl 1,,63", "OK\r\n" },
    { "lru_crawler crawl all", "OK\r\n" },
    { "lru_crawler crawl ,", "NOTSTARTED no items to crawl\r\n" },
    { "lru_crawler crawl hash", "ERROR an unknown error happened\r\n" },
    { "lru_crawler tocrawl 50", "OK\r\n" },
    { "lru_crawler tocrawl few", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler tocrawl 4294967296", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler sleep 1000001", "CLIENT_ERROR sleep must be one second or less\r\n" },
    { "lru_crawler sleep x", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler sleep 0", "OK\r\n" },
    { "lru_crawler metadump 99", "BADCLASS invalid class id\r\n" },     /* SLB-36 */
    { "lru_crawler metadump all", "OK\r\nEND\r\n" },
    { "lru_crawler mgdump all", "OK\r\nEN\r\n" },
    { "lru_crawler metadump", "ERROR\r\n" },
    { "lru_crawler metadump all now", "ERROR\r\n" },
    { "lru_crawler metadump all prefix=", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all prefix=%", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all prefix=%4", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler mgdump all prefix=%4x", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all prefix=a prefix=a", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all limit=", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all limit=0", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all limit=-1", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all limit=1x", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all limit=18446744073709551616", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler metadump all limit=1 limit=1", "CLIENT_ERROR bad command line format\r\n" },
    { "lru_crawler mgdump all limit=1 now", "ERROR\r\n" },
    { "lru_crawler metadump prefix=a", "BADCLASS invalid class id\r\n" },
    { "lru_crawler metadump 99 prefix=", "BADCLASS invalid class id\r\n" },
    { "lru_crawler metadump all Prefix=a", "ERROR\r\n" },
    { "lru_crawler metadump all prefix", "ERROR\r\n" },
    { "lru_crawler crawl all prefix=a", "ERROR\r\n" },
    { "lru_crawler metadump all prefix=a limit=1", "OK\r\nEND\r\n" },
    { "lru_crawler mgdump hash limit=1 prefix=a", "OK\r\nEN\r\n" },
    { "lru_crawler disable", "OK\r\n" },                                /* SLB-43 */
    { "lru_crawler disable", "OK\r\n" },
    { "lru_crawler crawl all", "CLIENT_ERROR lru crawler disabled\r\n" },
    { "lru_crawler metadump all", "CLIENT_ERROR lru crawler disabled\r\n" },
    { "lru_crawler enable", "OK\r\n" },
    { "stats bogus", "ERROR\r\n" },                                     /* STA-01 */
    { "stats noreply", "ERROR\r\n" },
    { "stats SETTINGS", "ERROR\r\n" },
    { "stats proxy", "ERROR\r\n" },
    { "stats sizes_enable", "ERROR\r\n" },
    { "stats reset", "RESET\r\n" },
    { "stats reset now", "RESET\r\n" },
    { "stats r", "ERROR\r\n" }, /* memcached resets here */
    { "stats sizes", "STAT sizes_status disabled\r\nEND\r\n" },         /* STA-05 */
    { "stats items", "END\r\n" },
    { "stats slabs", "STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n" },
    { "stats conns", "END\r\n" },
    { "stats detail", "CLIENT_ERROR usage: stats detail on|off|dump\r\n" },
    { "stats detail sideways", "CLIENT_ERROR usage: stats detail on|off|dump\r\n" },
    { "stats detail on", "OK\r\n" },
    { "stats detail dump", "END\r\n" },
    { "stats detail off", "OK\r\n" },
    { "stats cachedump", "CLIENT_ERROR bad command line\r\n" },
    { "stats cachedump 1", "CLIENT_ERROR bad command line\r\n" },
    { "stats cachedump one 1", "CLIENT_ERROR bad command line format\r\n" },
    { "stats cachedump 1 -1", "CLIENT_ERROR bad command line format\r\n" },
    { "stats cachedump 64 0", "CLIENT_ERROR Illegal slab id\r\n" },
    { "stats cachedump 64 x", "CLIENT_ERROR bad command line format\r\n" },
    { "stats cachedump 20 0", "END\r\n" },
    { "stats cachedump 0 0", "END\r\n" },
    { "watch everything", "ERROR\r\n" },                                /* WAT-01 */
    { "watch fetchers everything", "ERROR\r\n" },
    { "watch fetchers mutations", "WATCHER_FAILED failed to add log watcher\r\n" },
};

START_TEST(every_command_answers_in_memcacheds_words)
{
    struct fixture fixture;

    fixture_open(&fixture);
    for (size_t i = 0; i < sizeof EXCHANGES / sizeof EXCHANGES[0]; i++) {
        const char *heard = fixture_ask(&fixture, EXCHANGES[i].say);
        ck_assert_msg(strcmp(heard, EXCHANGES[i].hear) == 0, "%s: %s", EXCHANGES[i].say,
            heard);
        ck_assert(!fixture.closed);
    }
    ck_assert_uint_eq(fixture.shutdowns, 0);
    fixture_close(&fixture);
}
END_TEST

static const struct exchange SWITCHED_OFF[] = {
    { "stats cachedump 1 0", "CLIENT_ERROR stats cachedump not allowed\r\n" },
    { "stats cachedump", "CLIENT_ERROR stats cachedump not allowed\r\n" },
    { "stats detail on", "CLIENT_ERROR stats detail not allowed\r\n" },
    { "stats detail dump", "CLIENT_ERROR stats detail not allowed\r\n" },
    { "stats detail", "CLIENT_ERROR usage: stats detail on|off|dump\r\n" },
    { "lru_crawler metadump all", "ERROR metadump not allowed\r\n" },
    { "lru_crawler metadump 99", "ERROR metadump not allowed\r\n" },
    { "lru_crawler mgdump all", "ERROR key dump not allowed\r\n" },
    { "watch", "CLIENT_ERROR watch commands not allowed\r\n" },
    { "watch nothing", "CLIENT_ERROR watch commands not allowed\r\n" },
    { "slabs reassign x y", "CLIENT_ERROR slab reassignment disabled\r\n" },
    { "slabs reassign", "ERROR\r\n" },
    { "lru mode flat", "ERROR\r\n" },
    { "lru temp_ttl 5", "ERROR\r\n" },
    { "lru tune 15 30 0.3 1.5", "OK\r\n" },
    { "lru_crawler metadump", "ERROR\r\n" },
    { "stats reset", "RESET\r\n" },
};

/* -X, -W, -o no_slab_reassign, -o no_lru_maintainer. */
START_TEST(what_is_switched_off_says_so)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.dump_allowed = false;
    fixture.options.watch_allowed = false;
    fixture.options.slab_reassign = false;
    fixture.options.lru_maintainer = false;
    fixture_start(&fixture);
    for (size_t i = 0; i < sizeof SWITCHED_OFF / sizeof SWITCHED_OFF[0]; i++)
        ck_assert_str_eq(
            fixture_ask(&fixture, SWITCHED_OFF[i].say), SWITCHED_OFF[i].hear);
    fixture_close(&fixture);
}
END_TEST

/* A dump is not to be mixed up with replies that the client still waits for. */
START_TEST(dumps_and_watches_do_not_follow_unsent_replies)
{
    struct fixture fixture;

    fixture_open(&fixture);
    ck_assert_str_eq(fixture_ask_late(&fixture, "lru_crawler metadump all", ADMIN_ROOM),
        "ERROR cannot pipeline other commands before metadump\r\n");
    ck_assert_str_eq(fixture_ask_late(&fixture, "lru_crawler mgdump all", ADMIN_ROOM),
        "ERROR cannot pipeline other commands before mgdump\r\n");
    ck_assert_str_eq(fixture_ask_late(&fixture, "watch fetchers", ADMIN_ROOM),
        "ERROR cannot pipeline other commands before watch\r\n");
    fixture_close(&fixture);
}
END_TEST

START_TEST(shutdown_works_where_it_is_enabled)
{
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.options.shutdown_command = true;
    fixture_start(&fixture);
    ck_assert_str_eq(
        fixture_ask(&fixture, "shutdown g"), "CLIENT_ERROR invalid shutdown mode\r\n");
    ck_assert_str_eq(fixture_ask(&fixture, "shutdown graceful now"),
        "CLIENT_ERROR invalid shutdown mode\r\n");
    ck_assert_uint_eq(fixture.shutdowns, 0);
    ck_assert_str_eq(fixture_ask(&fixture, "shutdown"), "");
    ck_assert(fixture.closed);
    ck_assert_uint_eq(fixture.shutdowns, 1);
    ck_assert(!fixture.graceful);
    ck_assert_str_eq(fixture_ask(&fixture, "shutdown graceful "), "");
    ck_assert(fixture.closed);
    ck_assert_uint_eq(fixture.shutdowns, 2);
    ck_assert(fixture.graceful);
    fixture_close(&fixture);
}
END_TEST

START_TEST(verbosity_reaches_the_server_and_stops_at_two)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_ask(&fixture, "verbosity 1");
    ck_assert_uint_eq(fixture.verbosity, 1);
    fixture_ask(&fixture, "verbosity 77");
    ck_assert_uint_eq(fixture.verbosity, 2);
    fixture_ask(&fixture, "stats settings");
    ck_assert_str_eq(fixture_stat(&fixture, "verbosity"), "2");
    fixture_close(&fixture);
}
END_TEST

/* Each refused value must have left the old one. */
START_TEST(changed_settings_are_shown)
{
    static const struct exchange CHANGES[] = {
        { "slabs automove 2", "slab_automove=2" },
        { "slabs automove 3", "slab_automove=2" },
        { "slabs automove ratio 0.65", "slab_automove_ratio=0.65" },
        { "slabs automove ratio 7", "slab_automove_ratio=0.65" },
        { "slabs automove window 300", "slab_automove_window=300" },
        { "slabs automove window 2", "slab_automove_window=300" },
        { "lru tune 15 30 0.25 1.5", "hot_lru_pct=15" },
        { "lru tune 15 70 0.3 1.6", "warm_lru_pct=30" },
        { "lru tune 15 31 0 1.6", "hot_max_factor=0.25" },
        { "lru tune 15 31 1 x", "warm_max_factor=1.50" },
        { "lru mode flat", "lru_segmented=no" },
        { "lru mode segmented", "lru_segmented=yes" },
        { "lru temp_ttl 30", "temporary_ttl=30" },
        { "lru temp_ttl 31", "temp_lru=yes" },
        { "lru temp_ttl -1", "temp_lru=no" },
        { "lru_crawler tocrawl 50", "lru_crawler_tocrawl=50" },
        { "lru_crawler sleep 1000000", "lru_crawler_sleep=1000000" },
        { "lru_crawler sleep 1000001", "lru_crawler_sleep=1000000" },
        { "lru_crawler disable", "lru_crawler=no" },
        { "lru_crawler enable", "lru_crawler=yes" },
        { "stats detail on", "detail_enabled=yes" },
        { "stats detail off", "detail_enabled=no" },
        { "cache_memlimit 32", "maxbytes=33554432" },
        { "cache_memlimit 7", "maxbytes=33554432" },
    };
    struct fixture fixture;

    fixture_open(&fixture);
    for (size_t i = 0; i < sizeof CHANGES / sizeof CHANGES[0]; i++) {
        const char *expected = strchr(CHANGES[i].hear, '=') + 1;
        char name[64] = "";
        memcpy(name, CHANGES[i].hear, (size_t)(expected - 1 - CHANGES[i].hear));
        fixture_ask(&fixture, CHANGES[i].say);
        fixture_ask(&fixture, "stats settings");
        const char *shown = fixture_stat(&fixture, name);
        ck_assert_msg(shown != NULL && strcmp(shown, expected) == 0, "%s: %s",
            CHANGES[i].say, shown);
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_page_moves_between_classes)
{
    struct fixture fixture;
    char key[32], command[64];
    unsigned id;

    fixture_open(&fixture);
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        fixture_set(&fixture, key, 0, 0, 100);
    }
    id = store_class_of(fixture.store, strlen(key), 0, 100);
    snprintf(command, sizeof command, "slabs reassign %u %u", id, id + 1);
    ck_assert_str_eq(fixture_ask(&fixture, command), "OK\r\n");
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "slabs_moved"), "1");
    snprintf(command, sizeof command, "slabs reassign %u 0", id);
    ck_assert_str_eq(fixture_ask(&fixture, command), "OK\r\n");
    snprintf(command, sizeof command, "slabs reassign -1 %u", id + 2);
    ck_assert_str_eq(fixture_ask(&fixture, command), "OK\r\n");
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "slabs_moved"), "3");
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_crawl_reclaims_what_has_expired)
{
    struct fixture fixture;

    fixture_open(&fixture);
    fixture_set(&fixture, "short", 0, 5, 10);
    fixture_set(&fixture, "long", 0, 500, 10);
    fixture_wait(&fixture, 6);
    ck_assert_str_eq(fixture_ask(&fixture, "lru_crawler crawl all"), "OK\r\n");
    for (unsigned i = 0; i < 1000; i++)
        store_maintain(
            fixture.store, fixture.thread, clock_seconds(&fixture.clock), 1000);
    fixture_ask(&fixture, "stats");
    ck_assert_str_eq(fixture_stat(&fixture, "curr_items"), "1");
    ck_assert_str_eq(fixture_stat(&fixture, "crawler_reclaimed"), "1");
    ck_assert_str_eq(fixture_stat(&fixture, "expired_unfetched"), "1");
    ck_assert_str_eq(fixture_stat(&fixture, "evictions"), "0");
    ck_assert_str_ne(fixture_stat(&fixture, "lru_crawler_starts"), "0");
    fixture_close(&fixture);
}
END_TEST

/* Whatever follows a command's name: one line, no abort, no look beyond the words. */
START_TEST(truncated_and_doubled_words_are_answered_with_a_line)
{
    struct fixture fixture;
    char line[256];

    fixture_init(&fixture);
    fixture.options.shutdown_command = false;
    fixture_start(&fixture);
    for (size_t i = 0; i < sizeof EXCHANGES / sizeof EXCHANGES[0]; i++) {
        const char *say = EXCHANGES[i].say;
        for (size_t cut = strcspn(say, " "); cut <= strlen(say); cut++) {
            snprintf(line, sizeof line, "%.*s", (int)cut, say);
            const char *heard = fixture_ask(&fixture, line);
            ck_assert_uint_ge(fixture.reply_len, 4);
            ck_assert_str_eq(heard + fixture.reply_len - 2, "\r\n");
            snprintf(line, sizeof line, "%.*s  %s", (int)cut, say, say + cut);
            heard = fixture_ask(&fixture, line);
            ck_assert_str_eq(heard + fixture.reply_len - 2, "\r\n");
        }
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(words_are_cut_at_blanks_only)
{
    struct words words;

    words_split(&words, SLICE("  one\ttwo   three "));
    ck_assert_uint_eq(words.n, 2);
    ck_assert(words_is(&words, 0, "one\ttwo"));
    ck_assert(words_is(&words, 1, "three"));
    ck_assert(!words_is(&words, 1, "thre"));
    ck_assert(!words_is(&words, 2, ""));
    words_split(&words, SLICE(""));
    ck_assert_uint_eq(words.n, 0);
    words_split(&words, SLICE("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 "
                              "23 24 25 26"));
    ck_assert_uint_eq(words.n, WORDS_MAX);
}
END_TEST

START_TEST(decimals_are_plain_numbers)
{
    static const struct {
        const char *text;
        bool good;
        double value;
    } CASES[] = {
        { "0.7", true, 0.7 }, { "7", true, 7 }, { ".5", true, 0.5 }, { "5.", true, 5 },
        { "-1.25", true, -1.25 }, { "+2", true, 2 }, { "", false, 0 },
        { ".", false, 0 }, { "-", false, 0 }, { "1e3", false, 0 }, { "0x1", false, 0 },
        { "inf", false, 0 }, { "nan", false, 0 }, { "1,5", false, 0 },
        { "1.2.3", false, 0 }, { "9999999999", false, 0 }, { "0.0000000001", false, 0 },
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct slice word = slice_of(CASES[i].text, strlen(CASES[i].text));
        double value = 77;
        ck_assert_msg(words_decimal(word, &value) == CASES[i].good, "%s", CASES[i].text);
        ck_assert_double_eq_tol(value, CASES[i].good ? CASES[i].value : 77, 1e-12);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("commands");
    TCase *tcase = tcase_create("commands");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_command_answers_in_memcacheds_words);
    tcase_add_test(tcase, what_is_switched_off_says_so);
    tcase_add_test(tcase, dumps_and_watches_do_not_follow_unsent_replies);
    tcase_add_test(tcase, shutdown_works_where_it_is_enabled);
    tcase_add_test(tcase, verbosity_reaches_the_server_and_stops_at_two);
    tcase_add_test(tcase, changed_settings_are_shown);
    tcase_add_test(tcase, a_page_moves_between_classes);
    tcase_add_test(tcase, a_crawl_reclaims_what_has_expired);
    tcase_add_test(tcase, truncated_and_doubled_words_are_answered_with_a_line);
    tcase_add_test(tcase, words_are_cut_at_blanks_only);
    tcase_add_test(tcase, decimals_are_plain_numbers);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
