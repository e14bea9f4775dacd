/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects cmd/session and what it is made of: the replies of whole conversations, byte by
 * byte, however the input is cut, however little budget or room a turn has, and whichever
 * way a large value comes and goes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define K50  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250 K50 K50 K50 K50 K50
#define K251 K250 "k"
#define BAD_LINE "CLIENT_ERROR bad command line format\r\n"
#define TOO_LARGE "SERVER_ERROR object too large for cache\r\n"

/* `before`, a value of `len` bytes that differ from each other, CR LF; to be freed. */
static char *
with_value(const char *before, size_t len, size_t *len_out)
{
    size_t head = strlen(before);
    char *text = malloc(head + len + 3);

    memcpy(text, before, head);
    for (size_t i = 0; i < len; i++)
        text[head + i] = (char)('!' + (i * 7 + i / 90) % 90);
    memcpy(text + head + len, "\r\n", 3);
    *len_out = head + len + 2;
    return text;
}

/* ---- Conversations ----------------------------------------------------------------- */

/* Covers every command of the classic protocol that is not administration, and most
 * errors. No CAS unique is shown that is not known. */
static const char ASK[] =
    "set apple 3 0 5\r\ncrisp\r\nget apple\nset apple 3 0 5\ncrunc\r\n"
    "mn\n\r\n\nq\r\nqq\r\n    \r\n get apple\r\nget   apple    apple  \r\n"
    "get\tapple\r\nGET apple\r\ngets apple\r \r\nversion trailing words\r\n"
    "set a\tb\x01\x7f\xc3\xa9 0 0 1\r\n1\r\nget a\tb\x01\x7f\xc3\xa9\r\n"
    "set " K250 " 0 0 2\r\nok\r\nget " K250 " nothing\r\n"
    "set " K251 " 0 0 2\r\nno\r\nadd " K251 " 0 0 2 noreply\r\nno\r\n"
    "get apple " K251 "\r\ndelete " K251 "\r\n"
    "set pear 0 0 3x\r\nset pear xyz 0 3\r\nabc\r\ncas pear 0 0 3\r\nabc\r\n"
    "set pear 4294967295 0 3\r\nabc\r\nget pear\r\n"
    "set pear 0 0 3 surplus noreply\r\nabc\r\nset pear 0 0 3 noreply surplus\r\nabd\r\n"
    "get pear\r\nset fig 0 0 4\r\nwarmer\r\nadd fig 0 0 8\r\nab\r\ncd\r\n\r\n"
    "get fig\r\nset fig 0 0 0\r\n\r\nget fig\r\nset fig 0 0 4 noreply\r\nwarmer\r\n"
    "add plum 1 0 1\r\na\r\nadd plum 2 0 1\r\nb\r\nreplace kiwi 0 0 1\r\na\r\n"
    "append kiwi 0 0 1\r\na\r\nprepend kiwi 0 0 1\r\na\r\nreplace plum 7 0 3\r\nmid\r\n"
    "append plum 55 9 1\r\n>\r\nprepend plum 55 9 1\r\n<\r\nget plum\r\n"
    "append plum 0 0 0\r\n\r\ncas kiwi 0 0 2 5\r\nxx\r\ncas plum 0 0 2 0\r\nxx\r\n"
    "cas plum 0 0 1 18446744073709551615 noreply\r\nz\r\n"
    "get\r\ngat\r\ngat 0\r\ngat later plum\r\ngat 0 missing\r\ngat 300 plum apple\r\n"
    "get plum noreply\r\ngat -1 plum\r\nget plum\r\n"
    "delete\r\ndelete grape\r\nset grape 0 0 1\r\ng\r\ndelete grape 30\r\n"
    "delete noreply\r\ntouch grape 5\r\nset grape 0 0 1\r\ng\r\ntouch grape never\r\n"
    "touch grape 60\r\ntouch grape -1 noreply\r\nget grape\r\n"
    "incr melon 1\r\nset melon 6 0 2\r\n98\r\nincr melon 4\r\ndecr melon 3\r\n"
    "get melon\r\ndecr melon 1000\r\nincr melon 18446744073709551615\r\nincr melon 2\r\n"
    "get melon\r\nincr melon -1\r\nincr melon one noreply\r\nincr melon 5 noreply\r\n"
    "get melon\r\nset melon 0 0 3\r\nabc\r\nincr melon 1\r\n"
    "set date 0 -1 1\r\nd\r\nget date\r\nset date 0 4294967295 1\r\nd\r\nget date\r\n"
    "set date 0 2592001 1\r\nd\r\nget date\r\nset date 0 99999999999 1\r\nd\r\nget date\r\n"
    "set nut 0 0 1\r\nn\r\nflush_all\r\nget nut\r\nset nut 0 0 1\r\nn\r\nget nut\r\n"
    "flush_all soon\r\nflush_all noreply\r\nget nut\r\nstats\r\nnonsense noreply\r\n"
    "mn\r\nmn extra\r\nquit now\r\nget apple\r\n";

static const char REPLIES[] =
    "STORED\r\nVALUE apple 3 5\r\ncrisp\r\nEND\r\nSTORED\r\n" BAD_LINE BAD_LINE BAD_LINE
    BAD_LINE "ERROR\r\nERROR\r\nERROR\r\n"
    "VALUE apple 3 5\r\ncrunc\r\nVALUE apple 3 5\r\ncrunc\r\nEND\r\n"
    "ERROR\r\nERROR\r\nEND\r\nVERSION 1.6.45-larder1.0.0\r\n"
    "STORED\r\nVALUE a\tb\x01\x7f\xc3\xa9 0 1\r\n1\r\nEND\r\n"
    "STORED\r\nVALUE " K250 " 0 2\r\nok\r\nEND\r\n" BAD_LINE BAD_LINE BAD_LINE
    BAD_LINE BAD_LINE BAD_LINE "STORED\r\nVALUE pear 4294967295 3\r\nabc\r\nEND\r\n"
    "STORED\r\nVALUE pear 0 3\r\nabd\r\nEND\r\n"
    "CLIENT_ERROR bad data chunk\r\n" BAD_LINE "STORED\r\n"
    "VALUE fig 0 8\r\nab\r\ncd\r\n\r\nEND\r\nSTORED\r\nVALUE fig 0 0\r\n\r\nEND\r\n" BAD_LINE
    "STORED\r\nNOT_STORED\r\nNOT_STORED\r\nNOT_STORED\r\nNOT_STORED\r\nSTORED\r\n"
    "STORED\r\nSTORED\r\nVALUE plum 7 5\r\n<mid>\r\nEND\r\nSTORED\r\nNOT_FOUND\r\nEXISTS\r\n"
    BAD_LINE BAD_LINE BAD_LINE "CLIENT_ERROR invalid exptime argument\r\nEND\r\n"
    "VALUE plum 7 5\r\n<mid>\r\nVALUE apple 3 5\r\ncrunc\r\nEND\r\n"
    "VALUE plum 7 5\r\n<mid>\r\nEND\r\nVALUE plum 7 5\r\n<mid>\r\nEND\r\nEND\r\n"
    BAD_LINE "NOT_FOUND\r\nSTORED\r\nDELETED\r\nNOT_FOUND\r\nSTORED\r\n"
    "CLIENT_ERROR invalid exptime argument\r\nTOUCHED\r\nEND\r\n"
    "NOT_FOUND\r\nSTORED\r\n102\r\n99\r\nVALUE melon 6 3\r\n99 \r\nEND\r\n0\r\n"
    "18446744073709551615\r\n1\r\nVALUE melon 6 20\r\n1                   \r\nEND\r\n"
    "CLIENT_ERROR invalid numeric delta argument\r\n"
    "VALUE melon 6 20\r\n6                   \r\nEND\r\nSTORED\r\n"
    "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
    "STORED\r\nEND\r\nSTORED\r\nEND\r\nSTORED\r\nEND\r\n"
    "STORED\r\nVALUE date 0 1\r\nd\r\nEND\r\n"
    "STORED\r\nOK\r\nEND\r\nSTORED\r\nVALUE nut 0 1\r\nn\r\nEND\r\n"
    "CLIENT_ERROR invalid exptime argument\r\nEND\r\nERROR\r\nMN\r\nMN\r\n";

/* Compares without printing all of two long texts. */
static void
same_text(const char *heard, const char *expected, size_t cut)
{
    size_t at = 0;

    while (heard[at] != '\0' && heard[at] == expected[at])
        at++;
    ck_assert_msg(heard[at] == expected[at], "cut %zu, at %zu: %.60s, not %.60s", cut, at,
        heard + at, expected + at);
}

static void
whole_conversation(size_t cut)
{
    talk_say(&talk, ASK, cut);
    talk_say(&talk, ASK + cut, sizeof ASK - 1 - cut);
    same_text(talk.heard, REPLIES, cut);
    ck_assert(talk.closed);
}

START_TEST(a_conversation_is_replied_to_byte_by_byte)
{
    whole_conversation(sizeof ASK - 1);
}
END_TEST

/* TCP may cut a request anywhere. */
START_TEST(a_request_cut_anywhere_replies_alike)
{
    for (size_t cut = (size_t)_i; cut < sizeof ASK; cut += 16) {
        if (cut > (size_t)_i)
            fixture_setup();
        talk.no_look = cut % 32 >= 16;
        whole_conversation(cut);
        if (cut + 16 < sizeof ASK)
            fixture_teardown();
    }
}
END_TEST

static const size_t CHUNKS[] = { 1, 2, 3, 7, 64, 250, 1000 };

START_TEST(a_request_in_pieces_replies_alike)
{
    talk.chunk = CHUNKS[_i];
    whole_conversation(0);
}
END_TEST

START_TEST(a_small_budget_replies_alike)
{
    talk.budget = (unsigned)_i;
    whole_conversation(0);
    ck_assert_uint_gt(talk.yields, 0);
}
END_TEST

static const size_t ROOMS[] = { 1, 100, 200, 300, 600, 1000, 5000, 9000 };

START_TEST(little_room_for_output_replies_alike)
{
    talk.room = ROOMS[_i];
    whole_conversation(0);
    ck_assert_uint_gt(talk.drains, 0);
}
END_TEST

START_TEST(what_follows_quit_is_not_run)
{
    talk_expect(&talk, "get x\r\nquit\r\nset x 0 0 1\r\n1\r\n", "END\r\n");
    ck_assert(talk.closed);
    fixture_reopen();
    talk_expect(&talk, "get x\r\n", "END\r\n");
}
END_TEST

START_TEST(http_is_closed_without_a_word)
{
    talk_expect(&talk, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "");
    ck_assert(talk.closed);
}
END_TEST

START_TEST(the_first_byte_decides_the_protocol)
{
    talk_expect(&talk, "\x80\n\n\n\n\n\n\n\n", ""); /* a packet has 24 bytes */
    ck_assert(!talk.closed);
    fixture_reopen();
    talk_expect(&talk, "mn\r\n\x80zzz\r\n", "MN\r\nERROR\r\n");

    stage.protocol = PROTOCOL_ASCII;
    fixture_reopen();
    talk_expect(&talk, "\x80\x0azzzz\r\n", BAD_LINE "ERROR\r\n");
    stage.protocol = PROTOCOL_BINARY;
    fixture_reopen();
    talk_expect(&talk, "version\r\nversion\r\nver", "");
    ck_assert(!talk.closed);
    talk_expect(&talk, "sion\r\n", "");
    ck_assert(talk.closed);
}
END_TEST

/* ---- CAS, expiry, flush ------------------------------------------------------------ */

/* The CAS unique `gets` shows for a key. */
static uint64_t
cas_of(const char *key)
{
    char line[300], shown[300];
    unsigned flags, len;
    uint64_t cas;

    snprintf(line, sizeof line, "gets %s\r\n", key);
    talk_forget(&talk);
    talk_say_text(&talk, line);
    ck_assert_int_eq(
        sscanf(talk.heard, "VALUE %299s %u %u %" SCNu64, shown, &flags, &len, &cas), 4);
    return cas;
}

START_TEST(a_cas_unique_is_used_up_by_a_change)
{
    char line[100];
    uint64_t cas;

    talk_expect(&talk, "set plum 0 0 1\r\na\r\ntouch plum 100\r\n", "STORED\r\nTOUCHED\r\n");
    cas = cas_of("plum");
    ck_assert_uint_gt(cas, 0);
    talk_expect(&talk, "touch plum 100\r\nget plum\r\n",
        "TOUCHED\r\nVALUE plum 0 1\r\na\r\nEND\r\n");
    snprintf(line, sizeof line, "cas plum 9 0 2 %" PRIu64 "\r\nv2\r\n", cas);
    talk_expect(&talk, line, "STORED\r\n");
    talk_expect(&talk, line, "EXISTS\r\n");
    cas = cas_of("plum");
    talk_expect(&talk, "append plum 0 0 1\r\n!\r\n", "STORED\r\n");
    snprintf(line, sizeof line, "cas plum 9 0 2 %" PRIu64 "\r\nv3\r\n", cas);
    talk_expect(&talk, line, "EXISTS\r\n");
    talk_expect(&talk, "get plum\r\n", "VALUE plum 9 3\r\nv2!\r\nEND\r\n");
}
END_TEST

START_TEST(without_cas_none_is_shown_and_none_matches)
{
    char line[100];
    uint64_t cas;

    talk_expect(&talk, "set c1 0 0 1\r\nx\r\n", "STORED\r\n");
    cas = cas_of("c1");
    stage.context.cas = false;
    ck_assert_uint_eq(cas_of("c1"), 0);
    snprintf(line, sizeof line, "cas c1 0 0 1 %" PRIu64 "\r\ny\r\n", cas);
    talk_expect(&talk, line, "EXISTS\r\n");
    talk_expect(&talk, "cas c1 0 0 1 0\r\ny\r\n", "EXISTS\r\n");
    talk_expect(&talk, "cas c2 0 0 1 0\r\ny\r\n", "NOT_FOUND\r\n");
}
END_TEST

START_TEST(expired_items_count_as_absent)
{
    talk_expect(&talk, "set date 0 1 1\r\nd\r\n", "STORED\r\n");
    stage_wait(&stage, 2);
    talk_expect(&talk,
        "replace date 0 0 1\r\nx\r\nappend date 0 0 1\r\nx\r\ncas date 0 0 1 1\r\nx\r\n"
        "incr date 1\r\ntouch date 0\r\ndelete date\r\nget date\r\nadd date 0 0 1\r\nn\r\n",
        "NOT_STORED\r\nNOT_STORED\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\nNOT_FOUND\r\n"
        "END\r\nSTORED\r\n");
}
END_TEST

START_TEST(gat_and_touch_move_the_expiry)
{
    talk_expect(&talk, "set a 0 10 1\r\n1\r\nset b 0 10 1\r\n2\r\nset c 0 10 1\r\n3\r\n",
        "STORED\r\nSTORED\r\nSTORED\r\n");
    talk_expect(&talk, "gat 100 a\r\ntouch b 0\r\n", "VALUE a 0 1\r\n1\r\nEND\r\nTOUCHED\r\n");
    stage_wait(&stage, 50);
    talk_expect(&talk, "get a b c\r\n",
        "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    stage_wait(&stage, 60);
    talk_expect(&talk, "get a b c\r\n", "VALUE b 0 1\r\n2\r\nEND\r\n");
}
END_TEST

START_TEST(a_flush_takes_effect_when_it_says)
{
    talk_expect(&talk, "set nut 0 0 1\r\nn\r\nflush_all 2\r\nget nut\r\n",
        "STORED\r\nOK\r\nVALUE nut 0 1\r\nn\r\nEND\r\n");
    stage_wait(&stage, 4);
    talk_expect(&talk, "get nut\r\nset nut 0 0 1\r\nn\r\nget nut\r\n",
        "END\r\nSTORED\r\nVALUE nut 0 1\r\nn\r\nEND\r\n");
    ck_assert_uint_eq(stage_counts(&stage).cmd_flush, 1);
}
END_TEST

START_TEST(a_forbidden_flush_does_nothing_but_count)
{
    stage.context.flush_allowed = false;
    talk_expect(&talk, "set nut 0 0 1\r\nn\r\nflush_all\r\nflush_all soon\r\nget nut\r\n",
        "STORED\r\nCLIENT_ERROR flush_all not allowed\r\n"
        "CLIENT_ERROR flush_all not allowed\r\nVALUE nut 0 1\r\nn\r\nEND\r\n");
    talk_expect(&talk, "flush_all noreply\r\nmn\r\n", "MN\r\n");
    ck_assert_uint_eq(stage_counts(&stage).cmd_flush, 3);
}
END_TEST

/* As memcached would, which has no such command. */
START_TEST(without_prefixes_there_is_no_command_to_flush_them)
{
    talk_expect(&talk, "set nut 0 0 1\r\nn\r\nflush_prefix\r\nflush_prefix n\r\n"
        "flush_prefix n m\r\nget nut\r\n",
        "STORED\r\nERROR\r\nERROR\r\nERROR\r\nVALUE nut 0 1\r\nn\r\nEND\r\n");
    stage.context.flush_allowed = false;
    talk_expect(&talk, "flush_prefix n\r\nflush_prefix n noreply\r\nmn\r\n",
        "ERROR\r\nMN\r\n");
    ck_assert_uint_eq(stage_counts(&stage).cmd_flush_prefix, 0);
}
END_TEST

/* ---- Looking ahead ----------------------------------------------------------------- */

/* What the look-ahead takes for a command or a length may be part of a value. */
START_TEST(a_value_that_looks_like_commands_is_a_value)
{
    static const char SAID[] =
        "set a 0 0 16\r\nget b\r\nget c d\r\n\r\nset b 0 0 3 1\r\nb\r\n\r\n"
        "get b\r\nset c 0 0 14 99999\r\nset a 0 0 2\r\nx\r\nget a\r\nget c b\r\n";
    static const char HEARD[] =
        "STORED\r\nSTORED\r\nVALUE b 0 3\r\nb\r\n\r\nEND\r\nSTORED\r\n"
        "VALUE a 0 16\r\nget b\r\nget c d\r\n\r\nEND\r\n"
        "VALUE c 0 14\r\nset a 0 0 2\r\nx\r\nVALUE b 0 3\r\nb\r\n\r\nEND\r\n";

    talk_expect(&talk, SAID, HEARD);
    talk.chunk = 5;
    talk_expect(&talk, SAID, HEARD);
    talk.chunk = 0;
    talk.budget = 1;
    talk_expect(&talk, SAID, HEARD);
}
END_TEST

/* A worker looks over the input of all ready connections before it runs any. */
START_TEST(connections_of_a_group_do_not_mix)
{
    enum { GROUP = 8, KEYS = 60 };
    struct talk talks[GROUP];
    static char input[GROUP][KEYS * 12];
    size_t len[GROUP] = { 0 };
    struct service *service = &stage.service;

    for (unsigned i = 0; i < GROUP; i++) {
        talk_open(&talks[i], &stage);
        for (unsigned k = 0; k < KEYS; k++)
            len[i] += (size_t)sprintf(input[i] + len[i], "incr n%u 1\r\n", (k * 7 + i) % 10);
    }
    for (unsigned k = 0; k < 10; k++) {
        char set[64];

        snprintf(set, sizeof set, "set n%u 0 0 1 noreply\r\n0\r\n", k);
        talk_say_text(&talk, set);
    }
    for (unsigned i = 0; i < GROUP; i++)
        service->look(talks[i].session, input[i], len[i]);
    service->looked(stage.lane);
    for (unsigned i = 0; i < GROUP; i++) {
        size_t used;

        ck_assert_int_eq(service->took(talks[i].session, input[i], len[i], 100, &used,
                             &stage.out),
            SERVICE_READ);
        ck_assert_uint_eq(used, len[i]);
        stage.out.used = 0;
    }
    for (unsigned k = 0; k < 10; k++) {
        char get[64], got[64];

        snprintf(get, sizeof get, "get n%u\r\n", k);
        snprintf(got, sizeof got, "VALUE n%u 0 2\r\n48\r\nEND\r\n", k);
        talk_expect(&talk, get, got);
    }
    for (unsigned i = 0; i < GROUP; i++)
        talk_close(&talks[i]);
}
END_TEST

/* ---- Long lines -------------------------------------------------------------------- */

START_TEST(an_overlong_line_closes_the_connection)
{
    char *z = fixture_repeat('z', 2049);

    talk_say(&talk, z, 2048);
    ck_assert(!talk.closed);
    talk_say(&talk, z, 1);
    ck_assert(talk.closed);
    ck_assert_str_eq(talk.heard, "");
    fixture_reopen();
    talk_say_text(&talk, "gat 0 ");
    talk_say(&talk, z, 2048);
    ck_assert(talk.closed);
    free(z);
}
END_TEST

START_TEST(a_long_line_that_is_here_is_run)
{
    char *y = fixture_repeat('y', 4002);

    y[4000] = '\r';
    y[4001] = '\n';
    talk_expect(&talk, y, "ERROR\r\n");
    memset(y, ' ', 4000);
    memcpy(y, "touch", 5);
    memcpy(y + 3000, "key", 3);
    y[3999] = '9';
    talk_expect(&talk, y, "NOT_FOUND\r\n");
    free(y);
}
END_TEST

START_TEST(an_overlong_key_spoils_its_line_and_nothing_else)
{
    char *m = fixture_repeat('m', 2100);

    talk_expect(&talk, "set two 0 0 1\r\n2\r\n", "STORED\r\n");
    talk_forget(&talk);
    talk_say_text(&talk, "get ");
    talk_say(&talk, m, 2100);
    ck_assert_str_eq(talk.heard, "");
    ck_assert(stage.service.midway(talk.session));
    talk_expect(&talk, "\r\nget two\r\n", BAD_LINE "VALUE two 0 1\r\n2\r\nEND\r\n");
    ck_assert(!stage.service.midway(talk.session));
    talk_expect(&talk, "get two " K251 " two\r\nget two\r\n",
        BAD_LINE "VALUE two 0 1\r\n2\r\nEND\r\n");
    talk_expect(&talk, "gat 0 two " K251 "\r\nmn\r\n", BAD_LINE "MN\r\n");
    free(m);
}
END_TEST

START_TEST(blanks_alone_are_no_keys)
{
    char *blanks = fixture_repeat(' ', 5000);

    talk_say_text(&talk, "gets");
    talk_say(&talk, blanks, 5000);
    ck_assert_uint_eq(talk.nkept, 0);
    talk_say_text(&talk, "\r\nmn\r\n");
    ck_assert_str_eq(talk.heard, BAD_LINE "MN\r\n");

    /* Leading blanks are an error, which is said when the line is over. */
    talk_forget(&talk);
    talk_say_text(&talk, "  get ");
    talk_say(&talk, blanks, 5000);
    ck_assert_str_eq(talk.heard, "");
    talk_say_text(&talk, "\r\nmn\r\n");
    ck_assert_str_eq(talk.heard, "ERROR\r\nMN\r\n");
    free(blanks);
}
END_TEST

/* One line of 20000 keys, every fourth of them a hit. Nothing is kept of it but a key
 * that is cut, whatever the pieces. */
START_TEST(a_line_of_any_length_is_answered_completely)
{
    size_t keys = 20000, len = 0, expected_len = 0;
    char *line = malloc(keys * 12 + 16), *expected = malloc(keys * 32);

    for (unsigned i = 0; i < keys; i += 4) {
        char set[64];

        snprintf(set, sizeof set, "set key:%u 0 0 2 noreply\r\n%02u\r\n", i, i % 100);
        talk_say_text(&talk, set);
    }
    len = (size_t)sprintf(line, "get");
    for (unsigned i = 0; i < keys; i++) {
        len += (size_t)sprintf(line + len, " key:%u", i);
        if (i % 4 == 0)
            expected_len += (size_t)sprintf(expected + expected_len,
                "VALUE key:%u 0 2\r\n%02u\r\n", i, i % 100);
    }
    len += (size_t)sprintf(line + len, "\r\n");
    sprintf(expected + expected_len, "END\r\n");
    talk.chunk = CHUNKS[_i] < 64 ? 4096 + CHUNKS[_i] : 0;
    talk.no_look = _i % 2 == 0;
    talk.room = _i % 3 == 0 ? 3000 : 0;
    talk_forget(&talk);
    talk_say(&talk, line, len);
    same_text(talk.heard, expected, 0);
    ck_assert_uint_gt(talk.yields, keys / 8 / 20 / 2);
    ck_assert_uint_eq(stage_counts(&stage).cmd_get, keys);
    ck_assert_uint_eq(stage_counts(&stage).get_hits, keys / 4);
    free(line);
    free(expected);
}
END_TEST

/* What waits for its value stays small: such a line is written anew. */
START_TEST(a_storage_line_full_of_blanks_does_not_pile_up)
{
    char *line = fixture_repeat(' ', 15000);

    memcpy(line, "cas", 3);
    memcpy(line + 100, "key", 3);
    memcpy(line + 5000, "7 +9 00000005 00012", 19);
    memcpy(line + 14998, "\r\n", 2);
    talk_expect(&talk, "set key 0 0 1\r\n1\r\n", "STORED\r\n");
    talk_say(&talk, line, 15000);
    ck_assert_uint_lt(talk.nkept, 60);
    talk_expect(&talk, "12345\r\n", "EXISTS\r\n");
    free(line);
}
END_TEST

/* ---- Large values ------------------------------------------------------------------ */

static const size_t SIZES[] = { 0, 1, 4000, 8180, 8187, 8188, 8189, 8190, 8191, 8192, 8193,
    10000, 65535, 65536, 65537, 200000, 1048510 };
#define NSIZES ((int)(sizeof SIZES / sizeof SIZES[0]))

/* Stores a value of this size and reads it back. */
static void
round_trip(size_t size)
{
    char head[64], *said, *expected;
    size_t len, expected_len;

    snprintf(head, sizeof head, "set big 5 0 %zu\r\n", size);
    said = with_value(head, size, &len);
    snprintf(head, sizeof head, "VALUE big 5 %zu\r\n", size);
    expected = with_value(head, size, &expected_len);
    talk_forget(&talk);
    talk_say(&talk, said, len);
    ck_assert_str_eq(talk.heard, "STORED\r\n");
    talk_forget(&talk);
    talk_say_text(&talk, "get big\r\n");
    ck_assert_uint_eq(talk.nheard, expected_len + 5);
    ck_assert_int_eq(memcmp(talk.heard, expected, expected_len), 0);
    ck_assert_str_eq(talk.heard + expected_len, "END\r\n");
    talk_forget(&talk);
    talk_say_text(&talk, "gat 100 big none\r\n");
    ck_assert_uint_eq(talk.nheard, expected_len + 5);
    ck_assert_int_eq(memcmp(talk.heard, expected, expected_len), 0);
    free(said);
    free(expected);
}

START_TEST(a_value_of_any_size_comes_back)
{
    round_trip(SIZES[_i]);
    talk.no_want = true;
    round_trip(SIZES[_i]);
    talk.chunk = 1009;
    round_trip(SIZES[_i]);
    talk.no_want = false;
    round_trip(SIZES[_i]);
    talk.budget = 1;
    talk.room = 700;
    round_trip(SIZES[_i]);
}
END_TEST

/* Cut around the line, in the value, and in its CR LF. */
START_TEST(an_upload_cut_anywhere_is_stored)
{
    static const char NEXT[] = "mn\r\n";
    size_t len;
    char *said = with_value("set big 0 0 20000\r\n", 20000, &len);

    for (size_t cut = 0; cut < len; cut += cut < 30 || cut > len - 30 ? 1 : 997) {
        talk.no_want = cut % 2 == 0;
        talk_forget(&talk);
        talk_say(&talk, said, cut);
        ck_assert_str_eq(talk.heard, "");
        talk_say(&talk, said + cut, len - cut);
        talk_say(&talk, NEXT, 4);
        ck_assert_str_eq(talk.heard, "STORED\r\nMN\r\n");
    }
    free(said);
}
END_TEST

/* Read in bites, the next one would not have to be copied. */
START_TEST(after_a_large_value_another_is_expected_until_something_else_comes)
{
    static char get[] = "get big\r\n";
    size_t len, used;
    char *said = with_value("set big 0 0 20000\r\n", 20000, &len);

    ck_assert_int_eq(stage.service.took(talk.session, said, 100, 9, &used, &stage.out),
        SERVICE_READ_BITE);
    ck_assert_uint_eq(used, 100);
    ck_assert_int_eq(
        stage.service.took(talk.session, said + 100, len - 100, 9, &used, &stage.out),
        SERVICE_READ_BITE);
    ck_assert_uint_eq(used, len - 100);
    ck_assert_int_eq(
        stage.service.took(talk.session, get, 4, 9, &used, &stage.out), SERVICE_READ);
    ck_assert_uint_eq(used, 0);
    stage.out.used = stage.out.nrefs = 0;
    free(said);
}
END_TEST

/* Length + 2 bytes are consumed, the rest is a command. */
START_TEST(an_upload_with_a_wrong_end_keeps_the_old_value)
{
    size_t len;
    char *said = with_value("set big 0 0 20000\r\n", 20002, &len);

    talk_expect(&talk, "set big 0 0 3\r\nold\r\n", "STORED\r\n");
    for (int i = 0; i < 2; i++) {
        talk.no_want = i == 0;
        talk_forget(&talk);
        talk_say(&talk, said, len);
        ck_assert_str_eq(talk.heard, "CLIENT_ERROR bad data chunk\r\n" BAD_LINE);
        talk_expect(&talk, "get big\r\n", "VALUE big 0 3\r\nold\r\nEND\r\n");
    }
    free(said);
}
END_TEST

START_TEST(an_upload_that_is_cut_off_stores_nothing)
{
    size_t len;
    char *said = with_value("set big 0 0 20000\r\n", 20000, &len);

    talk_expect(&talk, "set big 0 0 3\r\nold\r\n", "STORED\r\n");
    talk_say(&talk, said, len - 1);
    ck_assert(stage.service.midway(talk.session));
    ck_assert_int_eq(stage.service.state(talk.session), CONN_NREAD);
    fixture_reopen();
    ck_assert(!stage.service.midway(talk.session));
    ck_assert_int_eq(stage.service.state(talk.session), CONN_WAITING);
    talk_expect(&talk, "get big\r\n", "VALUE big 0 3\r\nold\r\nEND\r\n");
    free(said);
}
END_TEST

START_TEST(every_storage_command_takes_large_values)
{
    size_t len;
    char *value = with_value("", 30000, &len);
    static const char *const ROWS[][2] = {
        { "replace big 0 0 30000\r\n", "NOT_STORED\r\n" },
        { "append big 0 0 30000\r\n", "NOT_STORED\r\n" },
        { "cas big 0 0 30000 1\r\n", "NOT_FOUND\r\n" },
        { "add big 0 0 30000\r\n", "STORED\r\n" },
        { "add big 0 0 30000\r\n", "NOT_STORED\r\n" },
        { "append big 0 0 30000\r\n", "STORED\r\n" },
        { "prepend big 0 0 30000 noreply\r\n", "" },
        { "cas big 0 0 30000 1\r\n", "EXISTS\r\n" },
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        talk_forget(&talk);
        talk_say_text(&talk, ROWS[i][0]);
        talk_say(&talk, value, len);
        ck_assert_str_eq(talk.heard, ROWS[i][1]);
    }
    talk_forget(&talk);
    talk_say_text(&talk, "get big\r\nincr big 1\r\n");
    ck_assert_int_eq(memcmp(talk.heard, "VALUE big 0 90000\r\n", 19), 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(memcmp(talk.heard + 19 + i * 30000, value, 30000), 0);
    ck_assert_str_eq(talk.heard + 19 + 90000,
        "\r\nEND\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    free(value);
}
END_TEST

static void
say_large(const char *line, size_t size, const char *replies)
{
    char *value = fixture_repeat('L', size);

    talk_forget(&talk);
    talk_say_text(&talk, line);
    talk_say(&talk, value, size);
    talk_say_text(&talk, "\r\n");
    ck_assert_str_eq(talk.heard, replies);
    free(value);
}

START_TEST(a_value_over_the_limit_is_swallowed)
{
    say_large("set lime 0 0 1048514\r\n", 1048514, TOO_LARGE);
    say_large("set lime 0 0 1048513\r\n", 1048513, "STORED\r\n");
    say_large("set lime 8 0 1048513\r\n", 1048513, TOO_LARGE);
    talk_expect(&talk, "get lime\r\n", "END\r\n"); /* a refused set removes */
    talk_expect(&talk, "set lime 0 0 2\r\nok\r\n", "STORED\r\n");
    say_large("add lime 0 0 2000000\r\n", 2000000, TOO_LARGE);
    say_large("replace lime 0 0 2000000\r\n", 2000000, TOO_LARGE);
    say_large("append lime 0 0 2000000\r\n", 2000000, TOO_LARGE);
    say_large("prepend lime 0 0 2000000\r\n", 2000000, TOO_LARGE);
    say_large("cas lime 0 0 2000000 1\r\n", 2000000, TOO_LARGE);
    talk_expect(&talk, "get lime\r\n", "VALUE lime 0 2\r\nok\r\nEND\r\n");
    say_large("set lime 0 0 2000000 noreply\r\n", 2000000, "");
    talk_expect(&talk, "get lime\r\n", "END\r\n");
    ck_assert_uint_eq(stage_counts(&stage).store_too_large, 8);
    say_large("set lime 0 0 700000\r\n", 700000, "STORED\r\n");
    say_large("append lime 0 0 500000\r\n", 500000, "NOT_STORED\r\n");
}
END_TEST

/* More large values in one pipeline than an outbox has references. */
START_TEST(many_large_values_go_out_in_order)
{
    char head[64], *said, *expected;
    size_t len, expected_len, size = 150000, at = 0;
    unsigned times = 100;

    snprintf(head, sizeof head, "set big 0 0 %zu\r\n", size);
    said = with_value(head, size, &len);
    snprintf(head, sizeof head, "VALUE big 0 %zu\r\n", size);
    expected = with_value(head, size, &expected_len);
    talk_say(&talk, said, len);
    talk_say_text(&talk, "set small 0 0 1\r\ns\r\n");
    talk_forget(&talk);
    for (unsigned i = 0; i < times; i++)
        talk_say_text(&talk, "get big small big\r\n");
    for (unsigned i = 0; i < times; i++) {
        ck_assert_int_eq(memcmp(talk.heard + at, expected, expected_len), 0);
        at += expected_len;
        ck_assert_int_eq(memcmp(talk.heard + at, "VALUE small 0 1\r\ns\r\n", 20), 0);
        at += 20;
        ck_assert_int_eq(memcmp(talk.heard + at, expected, expected_len), 0);
        at += expected_len;
        ck_assert_int_eq(memcmp(talk.heard + at, "END\r\n", 5), 0);
        at += 5;
    }
    ck_assert_uint_eq(at, talk.nheard);

    /* The same in one pipeline, which drains in the middle of values. */
    char *gets = malloc(30 * 10 + 1);
    for (unsigned i = 0; i < 30; i++)
        memcpy(gets + i * 10, "get  big\r\n", 11);
    talk_forget(&talk);
    talk.drains = 0;
    talk.budget = 100;
    talk_say_text(&talk, gets);
    ck_assert_uint_eq(talk.nheard, 30 * (expected_len + 5));
    ck_assert_uint_gt(talk.drains, 0);
    for (unsigned i = 0; i < 30; i++)
        ck_assert_int_eq(
            memcmp(talk.heard + i * (expected_len + 5), expected, expected_len), 0);
    free(gets);
    free(said);
    free(expected);
}
END_TEST

/* So many turns a client needs for `n` times `line`, said at once. */
static unsigned
turns_for(unsigned budget, const char *line, unsigned n)
{
    size_t len = strlen(line);
    char *lines = malloc(n * len);

    for (unsigned i = 0; i < n; i++)
        memcpy(lines + i * len, line, len);
    talk.budget = budget;
    talk.turns = 0;
    talk_say(&talk, lines, n * len);
    talk_forget(&talk);
    free(lines);
    return talk.turns;
}

/* The grant of a turn is 20 commands: 160 keys, or 20 of what is no lookup. */
START_TEST(eight_lookups_count_as_one_command)
{
    static const char *const lookups[] = { "get pear\r\n", "gets pear\r\n", "get no\n",
        "mg pear v k O1\r\n", "mg no v q\r\n", "mg pear T60 v\r\n" };
    static const char *const others[] = { "set pear 0 0 1\r\np\r\n", "delete pear\r\n",
        "ms pear 1 q\r\np\r\n", "mg pear v N30\r\n", "mg pear v v\r\n", "nothing\r\n" };

    talk.no_look = _i != 0; /* then each turn looks for itself */
    talk_say_text(&talk, "set pear 0 0 1\r\np\r\n");
    for (unsigned i = 0; i < sizeof lookups / sizeof *lookups; i++) {
        ck_assert_uint_eq(turns_for(20, lookups[i], 100), 1);
        ck_assert_uint_eq(turns_for(20, lookups[i], 160), 1);
        ck_assert_uint_eq(turns_for(20, lookups[i], 161), 2);
        ck_assert_uint_eq(turns_for(2, lookups[i], 33), 3);
        ck_assert_uint_eq(turns_for(1, lookups[i], 30), 30);
    }
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_uint_eq(turns_for(20, others[i], 20), 1);
        ck_assert_uint_eq(turns_for(20, others[i], 100), 5);
        ck_assert_uint_eq(turns_for(1, others[i], 30), 30);
    }
    /* A line of three keys costs them, its beginning and its end. */
    ck_assert_uint_eq(turns_for(20, "get pear no pear\r\n", 32), 1);
    ck_assert_uint_eq(turns_for(20, "get pear no pear\r\n", 33), 2);
    ck_assert_uint_eq(turns_for(UINT_MAX, lookups[0], 1000), 1);
}
END_TEST

/* The connection goes while a value is half sent: nothing stays pinned. */
START_TEST(a_half_sent_value_is_let_go)
{
    struct outbox *out = &stage.out;
    char line[40 * 9 + 1];
    size_t used, len;
    char *said = with_value("set big 0 0 500000\r\n", 500000, &len);
    struct store_totals totals;
    enum service_next next;

    for (unsigned i = 0; i < 40; i++)
        memcpy(line + i * 9, "get big\r\n", 10);
    talk_say(&talk, said, len);
    next = stage.service.took(talk.session, line, 40 * 9, 1000, &used, out);
    ck_assert_int_eq(next, SERVICE_DRAIN);
    ck_assert_uint_eq(out->nrefs, OUTBOX_REFS);
    ck_assert_int_eq(stage.service.state(talk.session), CONN_WRITE);
    stage.service.close(talk.session);
    for (uint32_t i = 0; i < out->nrefs; i++)
        if (out->refs[i].pin != NULL)
            stage.service.release(stage.lane, out->refs[i].pin);
    out->used = out->nrefs = 0;
    store_totals(stage.store, &totals);
    ck_assert_uint_eq(totals.pinned_bytes, 0);
    talk.session = stage.service.open(stage.lane, &(struct peer){ .fd = 1 });
    free(said);
}
END_TEST

/* ---- Memory ------------------------------------------------------------------------ */

START_TEST(no_memory_is_an_error_and_removes_only_by_set)
{
    static const char OOM[] = "SERVER_ERROR out of memory storing object\r\n";
    char line[64];

    fixture_change_to_little_memory();
    for (unsigned i = 0; i < 8; i++) {
        char *value = fixture_repeat('o', 500000);

        snprintf(line, sizeof line, "set o%u 0 0 500000\r\n", i);
        talk_say_text(&talk, line);
        talk_say(&talk, value, 500000);
        talk_say_text(&talk, "\r\n");
        free(value);
    }
    say_large("set o9 0 0 500000\r\n", 500000, OOM);
    talk_expect(&talk, "mn\r\n", "MN\r\n");
    talk.no_want = true;
    say_large("set o9 0 0 500000 noreply\r\n", 500000, "");
    say_large("add o9 0 0 500000\r\n", 500000, OOM);
    talk_forget(&talk);
    talk_say_text(&talk, "get o0\r\n");
    ck_assert_uint_gt(talk.nheard, 500000);
    say_large("replace o0 0 0 500000\r\n", 500000, OOM);
    talk_forget(&talk);
    talk_say_text(&talk, "get o0\r\n");
    ck_assert_uint_gt(talk.nheard, 500000);
    say_large("set o0 0 0 900000\r\n", 900000, OOM);
    talk_expect(&talk, "get o0\r\n", "END\r\n");
    ck_assert_uint_ge(stage_counts(&stage).store_no_memory, 5);
}
END_TEST

/* A client that announces a value and stalls is given up only when others need memory. */
START_TEST(stalled_clients_are_given_up_when_it_is_crowded)
{
    struct talk stallers[64];
    unsigned used = 0;
    char *value = fixture_repeat('s', 900000);

    while (used < 64 && !store_uploads_crowded(stage.store)) {
        struct talk *staller = &stallers[used++];

        talk_open(staller, &stage);
        talk_say_text(staller, "set s 0 0 1000000\r\n");
        ck_assert(!stage.service.give_up(staller->session, 100));
        talk_say(staller, value, 900000);
    }
    ck_assert(store_uploads_crowded(stage.store));
    stage.service.lane_tick(stage.lane, clock_seconds(&stage.clock));
    ck_assert(stage.service.give_up(stallers[0].session, 2));
    ck_assert(!stage.service.give_up(stallers[0].session, 1));
    ck_assert(!stage.service.give_up(talk.session, 100));
    while (used > 0)
        talk_close(&stallers[--used]);
    stage.service.lane_tick(stage.lane, clock_seconds(&stage.clock));
    ck_assert(!store_uploads_crowded(stage.store));
    free(value);
}
END_TEST

/* ---- Administration ---------------------------------------------------------------- */

struct fake_stream {
    struct stream stream;
    unsigned left;
    bool idle;
    bool *closed;
};

static bool
fake_fill(struct stream *p, struct outbox *out)
{
    struct fake_stream *stream = (struct fake_stream *)p;

    stream->idle = !stream->idle;
    if (stream->idle)
        return true;
    outbox_put(out, "line\n", 5);
    return --stream->left > 0;
}

static void
fake_close(struct stream *p)
{
    struct fake_stream *stream = (struct fake_stream *)p;

    *stream->closed = true;
    free(stream);
}

static bool stream_closed;
static char details[256];

/* Echoes what it was asked; `slabs stream` and `shutdown` do more. */
static void
fake_run(void *context, const struct admin_request *request, struct outbox *out,
    struct admin_answer *answer)
{
    char text[200];
    int len = snprintf(text, sizeof text, "%d <%.*s>%s%s\r\n", (int)request->verb,
        (int)request->args.len, request->args.data, request->pending ? " pending" : "",
        request->noreply ? " noreply" : "");

    (void)context;
    ck_assert_uint_ge(outbox_room(out), ADMIN_ROOM);
    ck_assert_int_eq(request->fd, 7);
    ck_assert_ptr_nonnull(request->thread);
    outbox_put(out, text, (size_t)len);
    answer->close = request->verb == ADMIN_SHUTDOWN;
    if (slice_equal(request->args, SLICE("stream"))) {
        struct fake_stream *stream = calloc(1, sizeof *stream);

        stream->stream = (struct stream){ .fill = fake_fill, .close = fake_close };
        stream->left = 3;
        stream->closed = &stream_closed;
        stream_closed = false;
        answer->stream = &stream->stream;
    }
}

static void
fake_get(void *context, struct slice key, bool hit)
{
    (void)context;
    snprintf(details + strlen(details), sizeof details - strlen(details), "get %.*s %d|",
        (int)key.len, key.data, hit);
}

static void
fake_set(void *context, struct slice key)
{
    (void)context;
    snprintf(details + strlen(details), sizeof details - strlen(details), "set %.*s|",
        (int)key.len, key.data);
}

static void
fake_delete(void *context, struct slice key)
{
    (void)context;
    snprintf(details + strlen(details), sizeof details - strlen(details), "del %.*s|",
        (int)key.len, key.data);
}

static _Atomic(bool) detail_on;
static struct admin_hook hook = { NULL, fake_run, &detail_on, fake_get, fake_set,
    fake_delete };

static void
setup_admin(void)
{
    detail_on = false;
    details[0] = '\0';
    fixture_setup_hook(&hook);
}

START_TEST(administration_is_asked_by_its_hook)
{
    talk_expect(&talk, "stats\r\n", "0 <>\r\n");
    talk_expect(&talk, "stats items noreply\r\n", "0 <items noreply>\r\n");
    talk_expect(&talk, "slabs automove 1\r\n", "1 <automove 1>\r\n");
    talk_expect(&talk, "lru mode flat\r\n", "2 <mode flat>\r\n");
    talk_expect(&talk, "lru_crawler enable\r\n", "3 <enable>\r\n");
    talk_expect(&talk, "cache_memlimit 8\r\n", "4 <8>\r\n");
    talk_expect(&talk, "verbosity 1 noreply\r\nmn\r\n", "MN\r\n");
    talk_expect(&talk, "watch\r\n", "7 <>\r\n");
    talk_expect(&talk, "refresh_certs\r\n", "8 <>\r\n");
    talk_expect(&talk, "extstore x\r\n", "9 <x>\r\n");
    talk_expect(&talk, "version\r\nslabs x\r\n",
        "VERSION 1.6.45-larder1.0.0\r\n1 <x> pending\r\n");
    /* mn sends what is pending before anything else is run. */
    talk_expect(&talk, "version\r\nmn\r\nslabs x\r\n",
        "VERSION 1.6.45-larder1.0.0\r\nMN\r\n1 <x>\r\n");
    talk.room = 3000;
    talk_expect(&talk, "mn\r\nslabs x\r\n", "MN\r\n1 <x>\r\n");
    talk_say_text(&talk, "shutdown now\r\nmn\r\n");
    ck_assert(talk.closed);
}
END_TEST

/* Reports are long: many of them in a row would keep others waiting. */
START_TEST(a_turn_has_one_report)
{
    ck_assert_uint_eq(turns_for(20, "stats\r\n", 10), 10);
    ck_assert_uint_eq(turns_for(20, "stats noreply\r\n", 10), 10);
    ck_assert_uint_eq(turns_for(20, "slabs x\r\n", 3), 3);
    ck_assert_uint_eq(turns_for(1000, "stats\r\n", 10), 1);
}
END_TEST

static enum service_next
take(void *session, const char *text, size_t *used_out)
{
    char line[64];
    size_t len = strlen(text);

    memcpy(line, text, len);
    enum service_next next =
        stage.service.took(session, line, len, 1000, used_out, &stage.out);
    stage.out.used = 0;
    return next;
}

/* However many ask for nothing but reports: what a turn makes of them is bounded. */
START_TEST(a_turn_has_one_part_of_reports_for_all_clients)
{
    struct peer datagram = { .datagram = true, .fd = 7 };
    void *other = stage.service.open(stage.lane, &datagram);
    size_t used;

    stage.service.turn(stage.lane);
    ck_assert_int_eq(take(talk.session, "stats\r\nstats\r\n", &used), SERVICE_LATER);
    ck_assert_uint_eq(used, 7);
    ck_assert_int_eq(take(talk.session, "version\r\nstats\r\n", &used), SERVICE_LATER);
    ck_assert_uint_eq(used, 9);
    /* What can't come again. */
    ck_assert_int_eq(take(other, "stats\r\n", &used), SERVICE_READ);
    stage.service.turn(stage.lane);
    ck_assert_int_eq(take(talk.session, "stats\r\n", &used), SERVICE_READ);
    stage.service.turn(stage.lane);
    /* The command, and what it begins. */
    ck_assert_int_eq(take(talk.session, "slabs stream\r\n", &used), SERVICE_LATER);
    stage.service.turn(stage.lane);
    ck_assert_int_ne(take(talk.session, "", &used), SERVICE_LATER);
    stage.service.close(other);
}
END_TEST

START_TEST(a_stream_goes_on_before_the_next_command)
{
    talk_expect(&talk, "slabs stream\r\nmn\r\n", "1 <stream>\r\nline\nline\nline\nMN\r\n");
    ck_assert(stream_closed);
    talk_expect(&talk, "slabs stream noreply\r\nmn\r\n", "MN\r\n");
    ck_assert(stream_closed);
}
END_TEST

START_TEST(a_stream_is_closed_with_its_connection)
{
    char line[] = "slabs stream\r\n";
    size_t used;

    ck_assert_int_eq(stage.service.took(talk.session, line, sizeof line - 1, 5, &used,
                         &stage.out),
        SERVICE_DRAIN);
    stage.out.used = 0;
    ck_assert(!stream_closed);
    talk.nkept = 0;
    fixture_reopen();
    ck_assert(stream_closed);
}
END_TEST

START_TEST(details_are_told_while_they_are_wanted)
{
    talk_expect(&talk, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
    ck_assert_str_eq(details, "");
    detail_on = true;
    talk_expect(&talk, "set a 0 0 1\r\n1\r\nget a b\r\ndelete a\r\n",
        "STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\nDELETED\r\n");
    ck_assert_str_eq(details, "set a|get a 1|get b 0|del a|");
}
END_TEST

/* ---- Counting ---------------------------------------------------------------------- */

START_TEST(commands_are_counted_where_stats_shows_them)
{
    struct counts counts;

    talk_say_text(&talk,
        "set a 0 0 1\r\n1\r\nadd a 0 0 1\r\n1\r\nget a b\r\ngets a\r\ngat 0 a b\r\n"
        "touch a 0\r\ntouch b 0\r\nincr a 1\r\nincr b 1\r\ndecr a 1\r\ndecr b 1\r\n"
        "cas a 0 0 1 1\r\n1\r\ncas b 0 0 1 1\r\n1\r\ndelete b\r\n"
        "set c 0 1 1\r\n1\r\nset d 0 0 1\r\n1\r\n");
    stage_wait(&stage, 3);
    talk_say_text(&talk, "get c\r\nflush_all\r\nget d\r\ndelete a\r\n");
    counts = stage_counts(&stage);
    ck_assert_uint_eq(counts.cmd_set, 6);
    ck_assert_uint_eq(counts.cmd_get, 5);
    ck_assert_uint_eq(counts.get_hits, 2);
    ck_assert_uint_eq(counts.get_misses, 3);
    ck_assert_uint_eq(counts.get_expired, 1);
    ck_assert_uint_eq(counts.get_flushed, 1);
    ck_assert_uint_eq(counts.cmd_touch, 4);
    ck_assert_uint_eq(counts.touch_hits, 2);
    ck_assert_uint_eq(counts.touch_misses, 2);
    ck_assert_uint_eq(counts.incr_hits, 1);
    ck_assert_uint_eq(counts.incr_misses, 1);
    ck_assert_uint_eq(counts.decr_hits, 1);
    ck_assert_uint_eq(counts.decr_misses, 1);
    ck_assert_uint_eq(counts.cas_badval, 1);
    ck_assert_uint_eq(counts.cas_misses, 1);
    ck_assert_uint_eq(counts.cmd_flush, 1);
    ck_assert_uint_eq(counts.delete_misses, 2);
    ck_assert_uint_eq(counts.classes[1].get_hits, 2);
    ck_assert_uint_eq(counts.classes[1].touch_hits, 2);
}
END_TEST

/* A worker that ends takes nothing away from the statistics. */
START_TEST(a_closed_lane_still_counts)
{
    void *other = stage.service.lane_open(&stage.context, 1);
    void *first = stage.lane;
    struct talk second;

    talk_say_text(&talk, "get a\r\n");
    stage.lane = other;
    talk_open(&second, &stage);
    talk_say_text(&second, "get a\r\nget a\r\n");
    talk_close(&second);
    ck_assert_uint_eq(stage_counts(&stage).cmd_get, 3);
    stage.service.lane_close(other);
    stage.lane = first;
    ck_assert_uint_eq(stage_counts(&stage).cmd_get, 3);
}
END_TEST

#define ROWS_OF(table) ((int)(sizeof(table) / sizeof(table)[0]))

static TCase *
conversations(void)
{
    TCase *tc = tcase_create("conversations");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, a_conversation_is_replied_to_byte_by_byte);
    tcase_add_loop_test(tc, a_request_cut_anywhere_replies_alike, 0, 16);
    tcase_add_loop_test(tc, a_request_in_pieces_replies_alike, 0, ROWS_OF(CHUNKS));
    tcase_add_loop_test(tc, a_small_budget_replies_alike, 1, 6);
    tcase_add_loop_test(tc, little_room_for_output_replies_alike, 0, ROWS_OF(ROOMS));
    tcase_add_test(tc, what_follows_quit_is_not_run);
    tcase_add_test(tc, http_is_closed_without_a_word);
    tcase_add_test(tc, the_first_byte_decides_the_protocol);
    tcase_add_test(tc, a_cas_unique_is_used_up_by_a_change);
    tcase_add_test(tc, without_cas_none_is_shown_and_none_matches);
    tcase_add_test(tc, expired_items_count_as_absent);
    tcase_add_test(tc, gat_and_touch_move_the_expiry);
    tcase_add_test(tc, a_flush_takes_effect_when_it_says);
    tcase_add_test(tc, a_forbidden_flush_does_nothing_but_count);
    tcase_add_test(tc, without_prefixes_there_is_no_command_to_flush_them);
    tcase_add_test(tc, a_value_that_looks_like_commands_is_a_value);
    tcase_add_test(tc, connections_of_a_group_do_not_mix);
    tcase_add_test(tc, commands_are_counted_where_stats_shows_them);
    tcase_add_test(tc, a_closed_lane_still_counts);
    return tc;
}

static TCase *
long_lines(void)
{
    TCase *tc = tcase_create("long lines");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, an_overlong_line_closes_the_connection);
    tcase_add_test(tc, a_long_line_that_is_here_is_run);
    tcase_add_test(tc, an_overlong_key_spoils_its_line_and_nothing_else);
    tcase_add_test(tc, blanks_alone_are_no_keys);
    tcase_add_loop_test(tc, a_line_of_any_length_is_answered_completely, 0,
        ROWS_OF(CHUNKS));
    tcase_add_test(tc, a_storage_line_full_of_blanks_does_not_pile_up);
    return tc;
}

static TCase *
large_values(void)
{
    TCase *tc = tcase_create("large values");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_loop_test(tc, a_value_of_any_size_comes_back, 0, NSIZES);
    tcase_add_test(tc, an_upload_cut_anywhere_is_stored);
    tcase_add_test(
        tc, after_a_large_value_another_is_expected_until_something_else_comes);
    tcase_add_test(tc, an_upload_with_a_wrong_end_keeps_the_old_value);
    tcase_add_test(tc, an_upload_that_is_cut_off_stores_nothing);
    tcase_add_test(tc, every_storage_command_takes_large_values);
    tcase_add_test(tc, a_value_over_the_limit_is_swallowed);
    tcase_add_test(tc, many_large_values_go_out_in_order);
    tcase_add_test(tc, a_half_sent_value_is_let_go);
    tcase_add_loop_test(tc, eight_lookups_count_as_one_command, 0, 2);
    tcase_add_test(tc, no_memory_is_an_error_and_removes_only_by_set);
    tcase_add_test(tc, stalled_clients_are_given_up_when_it_is_crowded);
    return tc;
}

static TCase *
administration(void)
{
    TCase *tc = tcase_create("administration");

    tcase_add_checked_fixture(tc, setup_admin, fixture_teardown);
    tcase_add_test(tc, administration_is_asked_by_its_hook);
    tcase_add_test(tc, a_turn_has_one_report);
    tcase_add_test(tc, a_turn_has_one_part_of_reports_for_all_clients);
    tcase_add_test(tc, a_stream_goes_on_before_the_next_command);
    tcase_add_test(tc, a_stream_is_closed_with_its_connection);
    tcase_add_test(tc, details_are_told_while_they_are_wanted);
    return tc;
}

int
main(void)
{
    Suite *suite = suite_create("session");
    SRunner *runner;
    int failed;

    suite_add_tcase(suite, conversations());
    suite_add_tcase(suite, long_lines());
    suite_add_tcase(suite, large_values());
    suite_add_tcase(suite, administration());
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
