/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects proto/text: which bytes are a command, which error a wrong one gets, and whether
 * its data block is to be dropped. Every line ends where memory without access begins.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/text.h"

#define PAGE   4096u
#define GUARD  (16 * PAGE)
#define LONG_1 "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk" /* 50 */
#define KEY250 LONG_1 LONG_1 LONG_1 LONG_1 LONG_1
#define KEY251 KEY250 "k"

/* Memory that ends at a page without access; the line stands at its end. */
static char *guard;

static void
guard_open(void)
{
    guard = mmap(NULL, GUARD + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
        -1, 0);
    ck_assert_ptr_ne(guard, MAP_FAILED);
    ck_assert_int_eq(mprotect(guard + GUARD, PAGE, PROT_NONE), 0);
}

static void
guard_close(void)
{
    munmap(guard, GUARD + PAGE);
}

static char *
guarded(const char *text, size_t len)
{
    ck_assert_uint_le(len, GUARD);
    return memcpy(guard + GUARD - len, text, len);
}

static struct command
parse(const char *line)
{
    struct command command;
    size_t len = strlen(line);

    text_parse(guarded(line, len), len, &command);
    return command;
}

struct refusal {
    const char *line;
    enum outcome_code error;
    bool noreply;
    bool swallow;
};

/* Every way to be wrong. */
static const struct refusal REFUSALS[] = {
    { "\n", OUTCOME_BAD_LINE, false, false },
    { "\r\n", OUTCOME_BAD_LINE, false, false },
    { "mn\n", OUTCOME_BAD_LINE, false, false },
    { "q\r\n", OUTCOME_BAD_LINE, false, false },
    { "qq\r\n", OUTCOME_UNKNOWN, false, false },
    { "    \r\n", OUTCOME_UNKNOWN, false, false },
    { " get a\r\n", OUTCOME_UNKNOWN, false, false },
    { "get\ta\r\n", OUTCOME_UNKNOWN, false, false },
    { "GET a\r\n", OUTCOME_UNKNOWN, false, false },
    { "getx a\r\n", OUTCOME_UNKNOWN, false, false },
    { "mz a v\r\n", OUTCOME_UNKNOWN, false, false },
    { "nonsense noreply\r\n", OUTCOME_UNKNOWN, true, false },
    { "noreply\r\n", OUTCOME_UNKNOWN, false, false },
    { "nonsense noreply x\r\n", OUTCOME_UNKNOWN, false, false },
    { "get\r\n", OUTCOME_BAD_LINE, false, false },
    { "gets \r\n", OUTCOME_BAD_LINE, false, false },
    { "gat\r\n", OUTCOME_BAD_LINE, false, false },
    { "gat 0\r\n", OUTCOME_BAD_LINE, false, false },
    { "gat 0 \r\n", OUTCOME_BAD_LINE, false, false },
    { "gat one\r\n", OUTCOME_BAD_LINE, false, false },
    { "gat later one\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "gat 2147483648 two\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "gat -2147483649 two\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "gat 000000000001 two\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "set\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 noreply\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 noreply\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 -1\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 -1 noreply\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 3x\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 +3\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 2147483646\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a 0 0 000000000003\r\n", OUTCOME_BAD_LINE, false, false },
    { "set a x 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a 0 soon 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a -1 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a + 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a +-1 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a 1.5 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a 4294967296 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a 18446744073709551616 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a 0 +-1 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set a 0 9223372036854775808 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "set " KEY251 " 0 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "add " KEY251 " 0 0 3 noreply\r\n", OUTCOME_BAD_LINE, true, true },
    { "cas a 0 0 3\r\n", OUTCOME_BAD_LINE, false, true },
    { "cas a 0 0 3 -5\r\n", OUTCOME_BAD_LINE, false, true },
    { "cas a 0 0 3 noreply\r\n", OUTCOME_BAD_LINE, true, true },
    { "cas a 0 0 3 18446744073709551616\r\n", OUTCOME_BAD_LINE, false, true },
    { "cas a 0 0 3 00000000000000000000001\r\n", OUTCOME_BAD_LINE, false, true },
    { "delete\r\n", OUTCOME_BAD_LINE, false, false },
    { "delete " KEY251 "\r\n", OUTCOME_BAD_LINE, false, false },
    { "delete " KEY251 " noreply\r\n", OUTCOME_BAD_LINE, true, false },
    { "touch\r\n", OUTCOME_BAD_LINE, false, false },
    { "touch a\r\n", OUTCOME_BAD_LINE, false, false },
    { "touch noreply\r\n", OUTCOME_BAD_LINE, true, false },
    { "touch a never\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "touch a noreply\r\n", OUTCOME_BAD_EXPTIME, true, false },
    { "touch a 2147483648\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "touch a +5\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "touch " KEY251 " 1\r\n", OUTCOME_BAD_LINE, false, false },
    { "incr a\r\n", OUTCOME_BAD_LINE, false, false },
    { "incr " KEY251 " 1\r\n", OUTCOME_BAD_LINE, false, false },
    { "incr a -1\r\n", OUTCOME_BAD_DELTA, false, false },
    { "incr a +1\r\n", OUTCOME_BAD_DELTA, false, false },
    { "incr a 1e3\r\n", OUTCOME_BAD_DELTA, false, false },
    { "incr a 18446744073709551616\r\n", OUTCOME_BAD_DELTA, false, false },
    { "decr a one noreply\r\n", OUTCOME_BAD_DELTA, true, false },
    { "flush_all soon\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "flush_all soon noreply\r\n", OUTCOME_BAD_EXPTIME, true, false },
    { "flush_all noreply x\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "flush_all 2147483648\r\n", OUTCOME_BAD_EXPTIME, false, false },
    { "flush_prefix\r\n", OUTCOME_BAD_LINE, false, false },
    { "flush_prefix noreply\r\n", OUTCOME_BAD_LINE, true, false },
    { "flush_prefix a b\r\n", OUTCOME_BAD_LINE, false, false },
    { "flush_prefix a b noreply\r\n", OUTCOME_BAD_LINE, true, false },
    { "flush_prefix " KEY251 "\r\n", OUTCOME_BAD_LINE, false, false },
};

START_TEST(a_wrong_line_gets_its_error)
{
    const struct refusal *row = &REFUSALS[_i];
    struct command command = parse(row->line);

    ck_assert_msg(command.error == row->error, "%s: %d", row->line, (int)command.error);
    ck_assert_msg(command.noreply == row->noreply, "%s", row->line);
    ck_assert_msg(command.swallow == row->swallow, "%s", row->line);
    ck_assert_msg(!command.hang_up, "%s", row->line);
}
END_TEST

struct storing {
    const char *line;
    enum verb verb;
    uint32_t flags;
    int64_t exptime;
    uint32_t len;
    uint64_t number;
    bool noreply;
};

static const struct storing STORING[] = {
    { "set a 3 0 5\r\n", VERB_SET, 3, 0, 5, 0, false },
    { "set a 3 0 5\n", VERB_SET, 3, 0, 5, 0, false },
    { "add a 0 0 0003\r\n", VERB_ADD, 0, 0, 3, 0, false },
    { "add a 0 0 00000000003\r\n", VERB_ADD, 0, 0, 3, 0, false },
    { "replace a 4294967295 0 3\r\n", VERB_REPLACE, 4294967295, 0, 3, 0, false },
    { "append a +7 0 3\r\n", VERB_APPEND, 7, 0, 3, 0, false },
    { "prepend a 0 +7 3\r\n", VERB_PREPEND, 0, 7, 3, 0, false },
    { "set a 0 -1 3\r\n", VERB_SET, 0, -1, 3, 0, false },
    { "set a 0 0 -0\r\n", VERB_SET, 0, 0, 0, 0, false },
    { "set a 0 0 2147483645\r\n", VERB_SET, 0, 0, 2147483645, 0, false },
    { "set   a  0   0  3   \r\n", VERB_SET, 0, 0, 3, 0, false },
    { "set a 0 0 3 surplus\r\n", VERB_SET, 0, 0, 3, 0, false },
    { "set a 0 0 3 surplus noreply\r\n", VERB_SET, 0, 0, 3, 0, true },
    { "set a 0 0 3 noreply surplus\r\n", VERB_SET, 0, 0, 3, 0, false },
    { "set a 0 0 3 noreply  \r\n", VERB_SET, 0, 0, 3, 0, true },
    { "set a 0 0 3 Noreply\r\n", VERB_SET, 0, 0, 3, 0, false },
    { "set a 0 0 3 xnoreply\r\n", VERB_SET, 0, 0, 3, 0, false },
    { "cas a 0 0 3 18446744073709551615\r\n", VERB_CAS, 0, 0, 3, UINT64_MAX, false },
    { "cas a 0 0 3 0007 noreply\r\n", VERB_CAS, 0, 0, 3, 7, true },
    { "cas a 0 0 3 7 x\r\n", VERB_CAS, 0, 0, 3, 7, false },
    /* What 32-bit clients send for -1 and below is negative; later dates are dates. */
    { "set a 0 2147483647 3\r\n", VERB_SET, 0, 2147483647, 3, 0, false },
    { "set a 0 2147483648 3\r\n", VERB_SET, 0, -2147483648, 3, 0, false },
    { "set a 0 4294967295 3\r\n", VERB_SET, 0, -1, 3, 0, false },
    { "set a 0 4294967296 3\r\n", VERB_SET, 0, 4294967296, 3, 0, false },
    { "set a 0 99999999999 3\r\n", VERB_SET, 0, 99999999999, 3, 0, false },
    { "set a 0 -9223372036854775808 3\r\n", VERB_SET, 0, INT64_MIN, 3, 0, false },
};

START_TEST(a_storage_line_is_read)
{
    const struct storing *row = &STORING[_i];
    struct command command = parse(row->line);

    ck_assert_msg(command.error == OUTCOME_NONE, "%s", row->line);
    ck_assert_int_eq(command.verb, row->verb);
    ck_assert(slice_equal(command.key, SLICE("a")));
    ck_assert_uint_eq(command.client_flags, row->flags);
    ck_assert_int_eq(command.exptime, row->exptime);
    ck_assert_uint_eq(command.value_len, row->len);
    ck_assert_uint_eq(command.number, row->number);
    ck_assert_msg(command.noreply == row->noreply, "%s", row->line);
    ck_assert(!command.swallow);
}
END_TEST

/* Written anew, a storage line says the same. */
START_TEST(a_storage_line_is_rewritten_alike)
{
    struct command first = parse(STORING[_i].line), second;
    char line[TEXT_STORE_ROOM];
    size_t len = text_rewrite_store(&first, line);

    text_parse(line, len, &second);
    ck_assert_int_eq(second.error, OUTCOME_NONE);
    ck_assert_int_eq(second.verb, first.verb);
    ck_assert(slice_equal(second.key, SLICE("a")));
    ck_assert_uint_eq(second.client_flags, first.client_flags);
    ck_assert_int_eq(second.exptime, first.exptime);
    ck_assert_uint_eq(second.value_len, first.value_len);
    ck_assert_uint_eq(second.number, first.number);
    ck_assert_int_eq(second.noreply, first.noreply);
}
END_TEST

struct keyed {
    const char *line;
    enum verb verb;
    const char *key;
    uint64_t number;
    int64_t exptime;
    bool noreply;
};

static const struct keyed KEYED[] = {
    { "incr a 007 junk\r\n", VERB_INCR, "a", 7, 0, false },
    { "incr a 5 noreply\r\n", VERB_INCR, "a", 5, 0, true },
    { "decr a 18446744073709551615\n", VERB_DECR, "a", UINT64_MAX, 0, false },
    { "delete a\r\n", VERB_DELETE, "a", 0, 0, false },
    { "delete a 0\r\n", VERB_DELETE, "a", 0, 0, false },
    { "delete a x y noreply\r\n", VERB_DELETE, "a", 0, 0, true },
    { "delete noreply\r\n", VERB_DELETE, "noreply", 0, 0, true },
    { "delete noreply x\r\n", VERB_DELETE, "noreply", 0, 0, false },
    { "delete \r \r\n", VERB_DELETE, "\r", 0, 0, false },
    { "delete " KEY250 "\r\n", VERB_DELETE, KEY250, 0, 0, false },
    { "touch a 60\r\n", VERB_TOUCH, "a", 0, 60, false },
    { "touch a -2147483648 noreply\r\n", VERB_TOUCH, "a", 0, -2147483648, true },
    { "touch a 2147483647\r\n", VERB_TOUCH, "a", 0, 2147483647, false },
    { "flush_all\r\n", VERB_FLUSH_ALL, "", 0, 0, false },
    { "flush_all \r\n", VERB_FLUSH_ALL, "", 0, 0, false },
    { "flush_all noreply\r\n", VERB_FLUSH_ALL, "", 0, 0, true },
    { "flush_all -5\r\n", VERB_FLUSH_ALL, "", 0, -5, false },
    { "flush_all 3 extra\r\n", VERB_FLUSH_ALL, "", 0, 3, false },
    { "flush_all 3 noreply\r\n", VERB_FLUSH_ALL, "", 0, 3, true },
    { "flush_prefix a:\r\n", VERB_FLUSH_PREFIX, "", 0, 0, false },
    { "flush_prefix  a: noreply\n", VERB_FLUSH_PREFIX, "", 0, 0, true },
    { "flush_prefix noreply:\r\n", VERB_FLUSH_PREFIX, "", 0, 0, false },
    { "mn\r\n", VERB_MN, "", 0, 0, false },
    { "mn \n", VERB_MN, "", 0, 0, false },
    { "mn extra noreply\r\n", VERB_MN, "", 0, 0, false },
    { "version trailing noreply\r\n", VERB_VERSION, "", 0, 0, false },
    { "quit now noreply\r\n", VERB_QUIT, "", 0, 0, false },
};

START_TEST(a_line_with_one_key_is_read)
{
    const struct keyed *row = &KEYED[_i];
    struct command command = parse(row->line);

    ck_assert_msg(command.error == OUTCOME_NONE, "%s", row->line);
    ck_assert_int_eq(command.verb, row->verb);
    ck_assert_msg(slice_equal(command.key, slice_of(row->key, strlen(row->key))), "%s",
        row->line);
    ck_assert_uint_eq(command.number, row->number);
    ck_assert_int_eq(command.exptime, row->exptime);
    ck_assert_msg(command.noreply == row->noreply, "%s", row->line);
}
END_TEST

struct worded {
    const char *line;
    enum verb verb;
    const char *rest;
    bool noreply;
};

static const struct worded WORDED[] = {
    { "stats\r\n", VERB_STATS, "", false },
    { "stats \r\n", VERB_STATS, "", false },
    { "stats items\r\n", VERB_STATS, "items", false },
    { "stats noreply\r\n", VERB_STATS, "noreply", false },
    { "stats detail  on \r\n", VERB_STATS, "detail  on", false },
    { "watch fetchers noreply\r\n", VERB_WATCH, "fetchers noreply", false },
    { "slabs noreply\r\n", VERB_SLABS, "", true },
    { "slabs automove 1  noreply \r\n", VERB_SLABS, "automove 1", true },
    { "lru tune 1 2\n", VERB_LRU, "tune 1 2", false },
    { "lru_crawler metadump all\r\n", VERB_LRU_CRAWLER, "metadump all", false },
    { "cache_memlimit 8\r\n", VERB_CACHE_MEMLIMIT, "8", false },
    { "verbosity 0 noreply\r\n", VERB_VERBOSITY, "0", true },
    { "shutdown graceful\r\n", VERB_SHUTDOWN, "graceful", false },
    { "refresh_certs\r\n", VERB_REFRESH_CERTS, "", false },
    { "extstore item_size 5\r\n", VERB_EXTSTORE, "item_size 5", false },
};

START_TEST(an_administrative_line_keeps_its_words)
{
    const struct worded *row = &WORDED[_i];
    struct command command = parse(row->line);

    ck_assert_msg(command.error == OUTCOME_NONE, "%s", row->line);
    ck_assert_int_eq(command.verb, row->verb);
    ck_assert_msg(slice_equal(command.rest, slice_of(row->rest, strlen(row->rest))), "%s",
        row->line);
    ck_assert_msg(command.noreply == row->noreply, "%s", row->line);
}
END_TEST

START_TEST(http_is_hung_up_on_and_nothing_else)
{
    ck_assert(parse("GET / HTTP/1.1\r\n").hang_up);
    ck_assert(parse("x HTTP/\n").hang_up);
    ck_assert(!parse("HTTP/1.1\r\n").hang_up);
    ck_assert(!parse("GET HTTP/1.1 x\r\n").hang_up);
    ck_assert(!parse("GET xHTTP/1.1\r\n").hang_up);
    ck_assert(!parse("get two HTTP/1.1\r\n").hang_up);
}
END_TEST

/* Joins the keys of a retrieval line by '|'; ends in what stopped it. */
static const char *
keys_of(const char *line)
{
    static char joined[2048];
    struct command command;
    size_t len = strlen(line);
    const char *input = guarded(line, len), *cursor;
    struct slice key;
    enum text_key result;

    text_parse(input, len, &command);
    if (command.error != OUTCOME_NONE)
        return "error";
    joined[0] = '\0';
    cursor = command.rest.data;
    while ((result = text_next_key(&cursor, input + len, &key)) == TEXT_KEY) {
        strncat(joined, key.data, key.len);
        strcat(joined, "|");
    }
    if (result == TEXT_KEY_NONE)
        ck_assert_ptr_eq(cursor, input + len);
    return strcat(joined, result == TEXT_KEY_NONE ? "." : "long");
}

START_TEST(a_retrieval_line_gives_its_keys)
{
    ck_assert_str_eq(keys_of("get a\r\n"), "a|.");
    ck_assert_str_eq(keys_of("get a\n"), "a|.");
    ck_assert_str_eq(keys_of("gets   a    bc  \r\n"), "a|bc|.");
    ck_assert_str_eq(keys_of("gat 10 a bc\r\n"), "a|bc|.");
    ck_assert_str_eq(keys_of("gats -1  a\r\n"), "a|.");
    ck_assert_str_eq(keys_of("gets a\r \r\n"), "a\r|.");
    ck_assert_str_eq(keys_of("get a noreply\r\n"), "a|noreply|.");
    ck_assert_str_eq(keys_of("get a\tb\x01\x7f\xc3\xa9\r\n"), "a\tb\x01\x7f\xc3\xa9|.");
    ck_assert_str_eq(keys_of("get " KEY250 " b\r\n"), KEY250 "|b|.");
    ck_assert_str_eq(keys_of("get a " KEY251 " b\r\n"), "a|long");
    ck_assert_str_eq(keys_of("get " KEY250 "\r\r\n"), "long");
}
END_TEST

/* By one look in ten what the words say one by one. */
START_TEST(keys_that_are_too_long_are_noticed_wherever_they_are)
{
    char line[3000];
    unsigned seed = 1;

    ck_assert(text_keys_fit(SLICE("")));
    for (unsigned i = 0; i < 3000; i++) {
        size_t len = 0;
        bool fits = true;

        for (unsigned words = i % 11; words > 0; words--) {
            size_t word = 1 + (seed = seed * 1103515245 + 12345) / 65536 % 60;

            if (seed / 7 % 4 == 0)
                word = 245 + seed / 65536 % (i % 2 == 0 ? 6 : 9);
            fits = fits && word <= COMMAND_KEY_MAX;
            memset(line + len, 'k', word);
            len += word;
            if (words > 1)
                for (unsigned blanks = 1 + seed / 65536 % 3; blanks > 0; blanks--)
                    line[len++] = ' ';
        }
        ck_assert_int_eq(text_keys_fit(slice_of(guarded(line, len), len)), fits);
    }
}
END_TEST

/* Whatever the quick look takes must be what the parser makes of it. */
START_TEST(a_plain_set_is_read_as_the_parser_reads_it)
{
    static const struct {
        const char *line;
        bool plain;
    } ROWS[] = {
        { "set k 0 0 5\r\n", true },
        { "set " KEY250 " 4294967 999999999 123456789\r\n", true },
        { "set k\t\x01 00 000000001 0\r\n", true },
        { "set " KEY251 " 0 0 5\r\n", false },
        { "set k 0 0 1234567890\r\n", false },
        { "set k 0 0 5\n", false },
        { "set k 0 0 5 \r\n", false },
        { "set k 0 0 5 noreply\r\n", false },
        { "set k 0 0 -5\r\n", false },
        { "set k 0 -1 5\r\n", false },
        { "set k  0 0 5\r\n", false },
        { "set  k 0 0 5\r\n", false },
        { "set k 0 0 \r\n", false },
        { "set k 0  5\r\n", false },
        { "set k 0 0 5\rx\n", false },
        { "set k\n 0 0 5\r\n", false },
        { "set \n0 0 5\r\n", false },
        { "sets k 0 0 5\r\n", false },
        { "add k 0 0 5\r\n", false },
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        size_t len = strlen(ROWS[i].line);
        char input[600];
        struct text_set set;
        struct command command;
        const char *line, *next;

        memset(input, '1', sizeof input);
        memcpy(input, ROWS[i].line, len);
        line = guarded(input, sizeof input);
        next = text_plain_set(line, line + sizeof input, &set);
        ck_assert_int_eq(next != NULL, ROWS[i].plain);
        if (next != NULL) {
            text_parse(line, len, &command);
            ck_assert_int_eq(command.error, OUTCOME_NONE);
            ck_assert_ptr_eq(next, line + len);
            ck_assert(slice_equal(set.key, command.key));
            ck_assert_uint_eq(set.client_flags, command.client_flags);
            ck_assert_int_eq(set.exptime, command.exptime);
            ck_assert_uint_eq(set.value_len, command.value_len);
        }
        /* It never reads beyond the end, wherever that is. */
        for (size_t cut = 0; cut < len + 40; cut++) {
            line = guarded(input, cut);
            next = text_plain_set(line, line + cut, &set);
            ck_assert(next == NULL || (ROWS[i].plain && next == line + len));
        }
    }
}
END_TEST

/* A CR at the end of what has come may belong to the key or to the line's end. */
START_TEST(a_key_that_is_cut_waits_unless_it_is_too_long)
{
    static const struct {
        const char *input;
        enum text_key result;
    } ROWS[] = {
        { "", TEXT_KEY_CUT },
        { "   ", TEXT_KEY_CUT },
        { "abc", TEXT_KEY_CUT },
        { "abc\r", TEXT_KEY_CUT },
        { "\r", TEXT_KEY_CUT },
        { KEY250, TEXT_KEY_CUT },
        { KEY250 "\r", TEXT_KEY_CUT },
        { KEY251, TEXT_KEY_LONG },
        { KEY250 "\r\r", TEXT_KEY_LONG },
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        size_t len = strlen(ROWS[i].input);
        const char *cursor = guarded(ROWS[i].input, len);
        struct slice key;

        ck_assert_int_eq(text_next_key(&cursor, guard + GUARD, &key), ROWS[i].result);
    }
}
END_TEST

START_TEST(only_get_and_gets_may_be_open_ended)
{
    struct command command;

    ck_assert(text_is_open_get("get kkk", 7, &command));
    ck_assert_int_eq(command.verb, VERB_GET);
    ck_assert_int_eq(command.error, OUTCOME_NONE);
    ck_assert(slice_equal(command.rest, SLICE("kkk")));
    ck_assert(text_is_open_get("gets ", 5, &command));
    ck_assert_int_eq(command.verb, VERB_GETS);
    ck_assert_uint_eq(command.rest.len, 0);
    ck_assert(text_is_open_get("  get k", 7, &command));
    ck_assert_int_eq(command.error, OUTCOME_UNKNOWN);
    ck_assert(!text_is_open_get("gat 0 k", 7, &command));
    ck_assert(!text_is_open_get("get", 3, &command));
    ck_assert(!text_is_open_get("zzz", 3, &command));
}
END_TEST

/* Words end alike wherever they stand in a machine word. */
START_TEST(a_word_ends_at_a_blank_or_a_line_end)
{
    char text[64];

    for (size_t at = 0; at < 40; at++) {
        const char *from;

        memset(text, 'x', sizeof text);
        text[at] = (char)(at % 2 == 0 ? ' ' : '\n');
        text[at + 1] = '\n';
        from = guarded(text, 41);
        ck_assert_ptr_eq(text_word_end(from, from + 41), from + at);
        ck_assert_ptr_eq(text_word_end(from, from + at), from + at);
    }
    memset(text, '\x8a', sizeof text); /* LF with the top bit, and blank's neighbours */
    text[7] = '\xa0';
    text[8] = '\x0b';
    text[9] = '!';
    ck_assert_ptr_eq(text_word_end(text, text + 40), text + 40);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof(table)[0]))

int
main(void)
{
    Suite *suite = suite_create("text");
    TCase *tc = tcase_create("text");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, guard_open, guard_close);
    tcase_add_loop_test(tc, a_wrong_line_gets_its_error, 0, ROWS(REFUSALS));
    tcase_add_loop_test(tc, a_storage_line_is_read, 0, ROWS(STORING));
    tcase_add_loop_test(tc, a_storage_line_is_rewritten_alike, 0, ROWS(STORING));
    tcase_add_loop_test(tc, a_line_with_one_key_is_read, 0, ROWS(KEYED));
    tcase_add_loop_test(tc, an_administrative_line_keeps_its_words, 0, ROWS(WORDED));
    tcase_add_test(tc, http_is_hung_up_on_and_nothing_else);
    tcase_add_test(tc, a_retrieval_line_gives_its_keys);
    tcase_add_test(tc, keys_that_are_too_long_are_noticed_wherever_they_are);
    tcase_add_test(tc, a_plain_set_is_read_as_the_parser_reads_it);
    tcase_add_test(tc, a_key_that_is_cut_waits_unless_it_is_too_long);
    tcase_add_test(tc, only_get_and_gets_may_be_open_ended);
    tcase_add_test(tc, a_word_ends_at_a_blank_or_a_line_end);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
