/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects cmd/meta: whole conversations in the meta protocol, byte by byte, however the
 * input is cut and however little budget or room a turn has; that who has won a stale
 * item is told so once, also when its reply found no room at first; large values both
 * ways; and what is counted. The flags one by one are in tests/wire/cases.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define O31 "ooooooooooooooooooooooooooooooo"
#define TOO_LARGE "SERVER_ERROR object too large for cache\r\n"
#define OOM "SERVER_ERROR out of memory storing object\r\n"

/* ---- Conversations ----------------------------------------------------------------- */

/* Every so many cuts; a sanitizer makes each take long. */
#if defined __SANITIZE_THREAD__
#define CUT_STEP 40u
#elif defined __SANITIZE_ADDRESS__
#define CUT_STEP 8u
#else
#define CUT_STEP 1u
#endif

/* A conversation that grows piece by piece; what is in {} in either text is a value of
 * that many letters L. */
struct text {
    char *bytes;
    size_t len;
};

static void
text_add(struct text *text, const char *more)
{
    while (*more != '\0') {
        size_t len = 1;
        char *end = NULL;

        if (*more == '{')
            len = strtoul(more + 1, &end, 10);
        text->bytes = realloc(text->bytes, text->len + len + 1);
        ck_assert_ptr_nonnull(text->bytes);
        memset(text->bytes + text->len, end != NULL ? 'L' : *more, len);
        text->len += len;
        text->bytes[text->len] = '\0';
        more = end != NULL ? end + 1 : more + 1;
    }
}

static const char *const TALKS[][2] = {
    { "mg a v k O1\r\nmg a q\r\nmn\r\n", "EN ka O1\r\nMN\r\n" },
    { "ms a 5 E7 F3 c s k O2\r\ncrisp\r\nmg a v c f s t h O3\r\n",
        "HD c7 s5 ka O2\r\nVA 5 c7 f3 s5 t-1 h0 O3\r\ncrisp\r\n" },
    { "mg a v\nmg  a  v \r\nmg a C7 v h\r\nmg a\r\n",
        "VA 5\r\ncrisp\r\nVA 5\r\ncrisp\r\nHD h1\r\nHD\r\n" },
    { "ms a 2 q C9\r\nno\r\nms a 2 q C7 E8\r\nok\r\nms a 1 ME q\r\nx\r\nget a\r\n",
        "EX\r\nNS\r\nVALUE a 0 2\r\nok\r\nEND\r\n" },
    { "md a I E9\r\nmg a v c k\r\nmg a v\r\nms a 3 C9 I E10\r\nnew\r\nmg a q v\r\n",
        "HD\r\nVA 2 c9 ka X W\r\nok\r\nVA 2 Z X\r\nok\r\nHD\r\nVA 3\r\nnew\r\n" },
    { "mg n N0 v E5 c t\r\nmg n v\r\nmg n N0 q k\r\nms n 1 q\r\n!\r\nmg n v\r\n",
        "VA 0 c5 t-1 W\r\n\r\nVA 0 Z\r\n\r\nHD kn Z\r\nVA 1\r\n!\r\n" },
    { "ma c N0 J10 v q\r\nma c v\r\nma c D90 v E4 c\r\nma c MD D200 v\r\nma c q\r\n"
      "incr c 1\r\n", "VA 2\r\n11\r\nVA 3 c4\r\n101\r\nVA 1\r\n0\r\n2\r\n" },
    { "mg c v s\r\nma c C1\r\nma absent k O4\r\nma c Mx\r\nma a\r\n",
        "VA 3 s3\r\n2  \r\nEX\r\nNF kabsent O4\r\n"
        "CLIENT_ERROR invalid mode for ma M token\r\n"
        "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n" },
    { "ms Zm9v 3 b k\r\nabc\r\nmg Zm9v b k v\r\nmg foo k\r\nget foo\r\nmd Zm9v b k q\r\n",
        "HD kZm9v b\r\nVA 3 kZm9v b\r\nabc\r\nHD kZm9v b\r\n"
        "VALUE foo 0 3\r\nabc\r\nEND\r\n" },
    { "ms aCBp 2 b q\r\nhi\r\nma bCBu b N0 q\r\nmg bCBu b k v\r\nmg aCBp b k\r\n"
      "md aCBp b x q F9\r\nmg aCBp b k v f\r\n",
        "VA 1 kbCBu b\r\n0\r\nHD kaCBp b\r\nVA 0 kaCBp b f9\r\n\r\n" },
    { "ms a 2 y\r\nab\r\nms a 2 !\r\nab\r\nms a 2 T\r\nab\r\nms a zz\r\n"
      "ms a 2 O" O31 "o\r\nab\r\nms a 2 q\r\nabcd\r\nmg a y\r\nmg a T\r\nmg a v\r\n",
        "CLIENT_ERROR invalid flag\r\nCLIENT_ERROR bad command line format\r\n"
        "CLIENT_ERROR bad token in command line format\r\n"
        "CLIENT_ERROR bad command line format\r\nCLIENT_ERROR opaque token too long\r\n"
        "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n"
        "CLIENT_ERROR invalid flag\r\nCLIENT_ERROR bad token in command line format\r\n"
        "VA 3\r\nnew\r\n" },
    { "ms big 9000 q O5 F2\r\n{9000}\r\nmg big s f\r\nmg big v O6\r\nms big 70001 k O" O31
      " s c E77\r\n{70001}\r\nmg big v k\r\nmg big C77 v\r\n",
        "HD s9000 f2\r\nVA 9000 O6\r\n{9000}\r\nHD kbig O" O31 " s70001 c77\r\n"
        "VA 70001 kbig\r\n{70001}\r\nHD\r\n" },
    { "md big I q E78\r\nmg big v c\r\nmg big v\r\nms big 70000 C5 s c O7\r\n{70000}\r\n"
      "ms big 70000 C5 I E79\r\n{70000}\r\nmg big T0 v O8\r\nms big 5 MA s\r\n{5}\r\n"
      "mg big v u R30\r\n",
        "VA 70001 c78 X W\r\n{70001}\r\nVA 70001 Z X\r\n{70001}\r\n"
        "EX s70000 c0 O7\r\nHD\r\nVA 70000 O8 Z X\r\n{70000}\r\nHD s70005\r\n"
        "VA 70005\r\n{70005}\r\n" },
    { "ms mid 8000 q\r\n{8000}\r\nmd mid I q\r\nmg mid v O9\r\nmg mid v N0\r\n"
      "get mid\r\n",
        "VA 8000 O9 X W\r\n{8000}\r\nVA 8000 Z X\r\n{8000}\r\n"
        "VALUE mid 0 8000\r\n{8000}\r\nEND\r\n" },
    { "ms mid 1100000 ME q O1\r\n{1100000}\r\nmg mid\r\nmg mid v q O2\r\nmn\r\n",
        TOO_LARGE "EN\r\nMN\r\n" },
    { "md a q\r\nmd a q k O1\r\nmd c C5 O2\r\nme a\r\nme b x\r\nmn x\r\nmd c\r\n",
        "NF ka O1\r\nEX O2\r\nEN\r\nEN\r\nMN\r\nHD\r\n" },
};

static struct text ask, replies;

static void
write_script(bool all)
{
    ask = replies = (struct text){ NULL, 0 };
    text_add(&ask, "flush_all noreply\r\n");
    for (size_t i = 0; i < sizeof TALKS / sizeof TALKS[0]; i++) {
        if (!all && strstr(TALKS[i][0], "{1100000}") != NULL)
            continue; /* much to be swallowed */
        text_add(&ask, TALKS[i][0]);
        text_add(&replies, TALKS[i][1]);
    }
}

static void
same_text(const char *heard, const char *expected, size_t cut)
{
    size_t at = 0;

    while (heard[at] != '\0' && heard[at] == expected[at])
        at++;
    ck_assert_msg(heard[at] == expected[at], "cut %zu, at %zu: %.90s, not %.90s", cut, at,
        heard + at, expected + at);
}

static void
whole_conversation(size_t cut)
{
    write_script(cut == SIZE_MAX);
    talk_forget(&talk);
    talk_say(&talk, ask.bytes, cut < ask.len ? cut : ask.len);
    if (cut < ask.len)
        talk_say(&talk, ask.bytes + cut, ask.len - cut);
    same_text(talk.heard, replies.bytes, cut);
    ck_assert(!talk.closed);
    free(ask.bytes);
    free(replies.bytes);
}

START_TEST(a_conversation_is_replied_to_byte_by_byte)
{
    whole_conversation(SIZE_MAX);
}
END_TEST

/* Cuts near anything but the middle of a long value. */
START_TEST(a_request_cut_anywhere_replies_alike)
{
    unsigned n = 0;
    size_t run = 0, len;
    char *bytes;

    write_script(false);
    bytes = ask.bytes;
    len = ask.len;
    free(replies.bytes);
    for (size_t cut = 1; cut < len; cut++) {
        run = bytes[cut] == 'L' ? run + 1 : 0;
        if (run > 3 && bytes[cut + 1] == 'L')
            continue;
        if (n++ % (16 * CUT_STEP) != (unsigned)_i * CUT_STEP)
            continue;
        talk.no_look = n % 3 == 0;
        talk.no_want = n % 5 == 0;
        whole_conversation(cut);
    }
    free(bytes);
}
END_TEST

static const size_t CHUNKS[] = { 7, 64, 250, 1000, 5000 };

START_TEST(a_request_in_pieces_replies_alike)
{
    talk.chunk = CHUNKS[_i];
    whole_conversation(SIZE_MAX);
}
END_TEST

START_TEST(a_small_budget_replies_alike)
{
    talk.budget = (unsigned)_i;
    whole_conversation(SIZE_MAX);
    ck_assert_uint_gt(talk.yields, 0);
}
END_TEST

static const size_t ROOMS[] = { 1, 200, 700, 770, 1000, 2000, 8960, 8970, 9500 };

START_TEST(little_room_for_output_replies_alike)
{
    talk.room = ROOMS[_i];
    whole_conversation(SIZE_MAX);
    ck_assert_uint_gt(talk.drains, 0);
}
END_TEST

/* ---- Lines that wait --------------------------------------------------------------- */

START_TEST(a_store_line_full_of_blanks_does_not_pile_up)
{
    char *line = malloc(8000), *blanks = fixture_repeat(' ', 3000);

    snprintf(line, 8000, "ms a%s5 T0 F7%s k O9\r\nval", blanks, blanks);
    talk_say_text(&talk, line);
    ck_assert_uint_lt(talk.nkept, 100);
    talk_expect(&talk, "ue\r\nmg a v f\r\n", "HD ka O9\r\nVA 5 f7\r\nvalue\r\n");
    free(line);
    free(blanks);
}
END_TEST

START_TEST(a_long_line_that_came_whole_is_run)
{
    char *line = malloc(20000), *blanks = fixture_repeat(' ', 4000);

    snprintf(line, 20000, "ms a%s5 F7%s k O9\r\nvalue\r\nmg a%sv f\r\n", blanks, blanks,
        blanks);
    talk_expect(&talk, line, "HD ka O9\r\nVA 5 f7\r\nvalue\r\n");
    free(line);
    free(blanks);
}
END_TEST

/* ---- Winning ----------------------------------------------------------------------- */

/* The outbox is nearly full when the winner's reply is due. */
START_TEST(who_wins_is_told_even_if_there_was_no_room)
{
    char *value = fixture_repeat('v', 8000);
    char line[64], expected[16100];

    talk_say_text(&talk, "ms a 8000 q\r\n");
    talk_say(&talk, value, 8000);
    talk_say_text(&talk, "\r\nmd a I q\r\n");
    for (size_t room = 1; room < 9400; room += 61) {
        talk.room = room;
        snprintf(line, sizeof line, "md a I q\r\nmg a v\r\nmg a\r\n");
        snprintf(expected, sizeof expected, "VA 8000 X W\r\n%s\r\nHD Z X\r\n", value);
        talk_expect(&talk, line, expected);
    }
    free(value);
}
END_TEST

START_TEST(a_new_expiry_shows_where_it_stands_in_the_line)
{
    talk_expect(&talk, "ms a 1 T900\r\nx\r\nmg a T0 t\r\nmg a t T-1\r\nmg a\r\n",
        "HD\r\nHD t-1\r\nHD t-1\r\nEN\r\n");
    talk_expect(&talk, "mg a N0 T-1 t\r\nmg a\r\nma a T-1 N0 t\r\nma a t T-1\r\nma a\r\n",
        "HD t0 W\r\nEN\r\nHD t-1\r\nHD t-1\r\nNF\r\n");
    talk_expect(&talk, "ms a 1\r\n9\r\nma a T-1 v t\r\nmg a\r\n",
        "HD\r\nVA 2 t0\r\n10\r\nEN\r\n");
}
END_TEST

START_TEST(an_opaque_is_looked_at_before_anything_is_done)
{
    static const char LONG[] = "CLIENT_ERROR opaque token too long\r\n";

    talk_expect(&talk, "mg a N0 O" O31 "o\r\n", LONG);
    talk_expect(&talk, "mg a\r\nms a 1\r\n5\r\nma a O" O31 "o\r\n",
        "EN\r\nHD\r\nCLIENT_ERROR opaque token too long\r\n");
    talk_expect(&talk, "md a O" O31 "o\r\n", LONG);
    talk_expect(&talk, "mg a v\r\n", "VA 1\r\n5\r\n");
}
END_TEST

START_TEST(time_decides_who_renews)
{
    talk_expect(&talk, "ms a 1 T100\r\nx\r\nmg a R30\r\n", "HD\r\nHD\r\n");
    stage_wait(&stage, 75);
    talk_expect(&talk, "mg a R10\r\nmg a R30\r\nmg a R30\r\n", "HD\r\nHD W\r\nHD Z\r\n");
    stage_wait(&stage, 30);
    talk_expect(&talk, "mg a R30\r\nmg b N5\r\nmg b\r\n", "EN\r\nHD W\r\nHD Z\r\n");
    stage_wait(&stage, 6);
    talk_expect(&talk, "mg b N5 E9 l h\r\n", "HD l0 h0 W\r\n");
    stage_wait(&stage, 3);
    talk_expect(&talk, "mg b u l\r\nme b\r\n",
        "HD l3 Z\r\nME b exp=2 la=3 cas=9 fetch=no cls=1 size=60\r\n");
}
END_TEST

/* Many connections of one worker, served in turns of one command. */
START_TEST(of_many_clients_one_wins)
{
    enum { CLIENTS = 50 };
    struct talk others[CLIENTS];
    unsigned won = 0, told = 0;

    talk_expect(&talk, "ms a 3\r\nold\r\nmd a I\r\n", "HD\r\nHD\r\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        talk_open(&others[i], &stage);
        talk_say_text(&others[i], "mg a");
        talk_say_text(&others[i], i % 2 == 0 ? " v\r\n" : " N0 R30 k\r\n");
        won += strstr(others[i].heard, " W\r\n") != NULL;
        told += strstr(others[i].heard, " Z X\r\n") != NULL;
        talk_close(&others[i]);
    }
    ck_assert_uint_eq(won, 1);
    ck_assert_uint_eq(told, CLIENTS - 1);
}
END_TEST

/* ---- Without CAS, without memory --------------------------------------------------- */

START_TEST(without_cas_none_is_shown_and_none_matches)
{
    stage.context.cas = false;
    talk_expect(&talk, "ms a 1 E5 c\r\nx\r\nmg a c\r\nms a 1 C5 c\r\ny\r\n",
        "HD c0\r\nHD c0\r\nEX c0\r\n");
    talk_expect(&talk, "ms a 1 C5 I\r\ny\r\nms b 1 C5\r\ny\r\nms a 1 MA C5\r\ny\r\n",
        "EX\r\nNF\r\nEX\r\n");
    talk_expect(&talk,
        "ms a 1 MA C0\r\ny\r\nmd a C5\r\nma a C5\r\nma b C5\r\nma a C0\r\n",
        "HD\r\nEX\r\nEX\r\nNF\r\n"
        "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    talk_expect(&talk, "mg n N0 E500 c\r\nmd a I E5\r\nmg a c\r\nma c N0 E600 c\r\n",
        "HD c0 W\r\nHD\r\nHD c0 X W\r\nHD c0\r\n");
    stage.context.cas = true;
    talk_expect(&talk, "mg n C500 q v\r\nmg c C600 v\r\n", "VA 0 Z\r\n\r\nVA 1\r\n0\r\n");
}
END_TEST

static void
say_large(const char *line, size_t size, const char *expected)
{
    char *value = fixture_repeat('L', size);

    talk_forget(&talk);
    talk_say_text(&talk, line);
    talk_say(&talk, value, size);
    talk_say_text(&talk, "\r\n");
    ck_assert_str_eq(talk.heard, expected);
    free(value);
}

START_TEST(a_refused_store_of_any_mode_removes_the_old_value)
{
    static const char *const LINES[] = { "ms a 2000000\r\n", "ms a 2000000 ME\r\n",
        "ms a 2000000 MR C1 q\r\n", "ms a 2000000 MA\r\n", "ms a 2000000 MP\r\n" };

    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        talk_expect(&talk, "ms a 1\r\nx\r\n", "HD\r\n");
        say_large(LINES[i], 2000000, TOO_LARGE);
        talk_expect(&talk, "mg a\r\n", "EN\r\n");
    }
    talk_expect(&talk, "ms a 1\r\nx\r\n", "HD\r\n");
    say_large("ms a 2000000 y\r\n", 2000000, "CLIENT_ERROR invalid flag\r\n");
    talk_expect(&talk, "mg a\r\n", "HD\r\n");
    ck_assert_uint_eq(stage_counts(&stage).store_too_large, 5);
}
END_TEST

START_TEST(no_memory_is_an_error_and_removes_the_old_value)
{
    char line[64];
    unsigned small = 0;

    fixture_change_to_little_memory();
    say_large("ms o1 500000\r\n", 500000, "HD\r\n");
    say_large("ms o2 500000\r\n", 500000, "HD\r\n");
    say_large("ms o3 900000 ME q O1 k\r\n", 900000, "");
    say_large("ms o1 700000 MR O1\r\n", 700000, OOM);
    talk_expect(&talk, "mg o1\r\nmg o2 q\r\n", "EN\r\nHD\r\n");
    /* Fill the rest with small items, then ask for more of them. */
    for (talk_forget(&talk); strstr(talk.heard, "SERVER") == NULL; small++) {
        talk_forget(&talk);
        snprintf(line, sizeof line, "ma counter-number-%u N0\r\n", small);
        talk_say_text(&talk, line);
    }
    ck_assert_str_eq(talk.heard, "SERVER_ERROR Out of memory allocating new item\r\n");
    talk_expect(
        &talk, "mg mg-number-of-length-24 N0\r\n", "SERVER_ERROR out of memory\r\n");
    ck_assert_uint_ge(stage_counts(&stage).store_no_memory, 1);
}
END_TEST

/* Clients that don't read hold pins; the winner is found when there is room for one. */
START_TEST(too_many_pins_are_an_error_and_no_win)
{
    static struct store_pin *pins[40];
    static const char OOM_GET[] = "SERVER_ERROR out of memory writing get response\r\n";
    struct store_thread *thread = store_thread_open(stage.store);
    struct store_view view;
    char line[64], key[8];
    unsigned held = 0;
    bool full = false;

    say_large("ms a 900000 q\r\n", 900000, "");
    talk_expect(&talk, "md a I q\r\n", "");
    for (; !full && held < 40; held += !full) {
        struct slice name = { key, (size_t)snprintf(key, sizeof key, "p%u", held) };
        uint64_t hash = store_hash(stage.store, name);

        snprintf(line, sizeof line, "ms p%u 900000 q\r\n", held);
        say_large(line, 900000, "");
        ck_assert_int_eq(store_find(stage.store, thread, name, hash, CLOCK_FIRST,
                             STORE_PEEK, &view),
            STORE_OK);
        pins[held] = store_pin(stage.store, thread, &view, &full);
    }
    ck_assert(full);
    talk_expect(&talk, "mg a v\r\n", OOM_GET);
    while (held > 0)
        store_unpin(stage.store, thread, pins[--held]);
    store_thread_close(thread);
    talk_forget(&talk);
    talk_say_text(&talk, "mg a v\r\n");
    ck_assert_int_eq(strncmp(talk.heard, "VA 900000 X W\r\n", 15), 0);
}
END_TEST

/* ---- Counting ---------------------------------------------------------------------- */

START_TEST(commands_are_counted_where_stats_shows_them)
{
    struct counts counts;

    talk_say_text(&talk,
        "mg a\r\nms a 1 E5\r\n1\r\nmg a v\r\nmg a T0 q\r\nmg b T0\r\nmg n N0\r\n"
        "ms a 1 C5 E6\r\n2\r\nms a 1 C5\r\n2\r\nms z 1 C5\r\n2\r\nms a 1 ME\r\n2\r\n"
        "ma a\r\nma a MD\r\nma y\r\nma y MD\r\nma y N0\r\nmd y I\r\nmd y\r\nmd y\r\n"
        "me a\r\nmn\r\nmg a y\r\n");
    counts = stage_counts(&stage);
    ck_assert_uint_eq(counts.cmd_meta, 19);
    ck_assert_uint_eq(counts.cmd_get, 4);
    ck_assert_uint_eq(counts.get_hits, 2);
    ck_assert_uint_eq(counts.get_misses, 2);
    ck_assert_uint_eq(counts.cmd_touch, 1);
    ck_assert_uint_eq(counts.touch_hits, 1);
    ck_assert_uint_eq(counts.cmd_set, 5);
    ck_assert_uint_eq(counts.cas_hits, 1);
    ck_assert_uint_eq(counts.cas_badval, 1);
    ck_assert_uint_eq(counts.cas_misses, 1);
    ck_assert_uint_eq(counts.incr_hits, 1);
    ck_assert_uint_eq(counts.decr_hits, 1);
    ck_assert_uint_eq(counts.incr_misses, 2);
    ck_assert_uint_eq(counts.decr_misses, 1);
    ck_assert_uint_eq(counts.delete_hits, 2);
    ck_assert_uint_eq(counts.delete_misses, 1);
}
END_TEST

static char details[200];
static _Atomic(bool) detail_on = true;

static void
detail(const char *what, struct slice key)
{
    size_t at = strlen(details);

    snprintf(details + at, sizeof details - at, "%s %.*s|", what, (int)key.len, key.data);
}

static void
detail_get(void *context, struct slice key, bool hit)
{
    (void)context;
    detail(hit ? "hit" : "miss", key);
}

static void
detail_set(void *context, struct slice key)
{
    (void)context;
    detail("set", key);
}

static void
detail_delete(void *context, struct slice key)
{
    (void)context;
    detail("del", key);
}

START_TEST(details_are_told_while_they_are_wanted)
{
    static const struct admin_hook HOOK = { .detail_on = &detail_on,
        .detail_get = detail_get, .detail_set = detail_set,
        .detail_delete = detail_delete };

    fixture_teardown();
    fixture_setup_hook(&HOOK);
    details[0] = '\0';
    talk_say_text(&talk, "ms Zm9v 1 b\r\nx\r\nmg foo\r\nmg a\r\nmg a N0\r\nmd a\r\n");
    ck_assert_str_eq(details, "set foo|hit foo|miss a|hit a|del a|");
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

int
main(void)
{
    Suite *suite = suite_create("cmd/meta");
    TCase *tc = tcase_create("meta");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_conversation_is_replied_to_byte_by_byte);
    tcase_add_loop_test(tc, a_request_cut_anywhere_replies_alike, 0, 16);
    tcase_add_loop_test(tc, a_request_in_pieces_replies_alike, 0, COUNT(CHUNKS));
    tcase_add_loop_test(tc, a_small_budget_replies_alike, 1, 4);
    tcase_add_loop_test(tc, little_room_for_output_replies_alike, 0, COUNT(ROOMS));
    tcase_add_test(tc, a_store_line_full_of_blanks_does_not_pile_up);
    tcase_add_test(tc, a_long_line_that_came_whole_is_run);
    tcase_add_test(tc, who_wins_is_told_even_if_there_was_no_room);
    tcase_add_test(tc, a_new_expiry_shows_where_it_stands_in_the_line);
    tcase_add_test(tc, an_opaque_is_looked_at_before_anything_is_done);
    tcase_add_test(tc, time_decides_who_renews);
    tcase_add_test(tc, of_many_clients_one_wins);
    tcase_add_test(tc, without_cas_none_is_shown_and_none_matches);
    tcase_add_test(tc, a_refused_store_of_any_mode_removes_the_old_value);
    tcase_add_test(tc, no_memory_is_an_error_and_removes_the_old_value);
    tcase_add_test(tc, too_many_pins_are_an_error_and_no_win);
    tcase_add_test(tc, commands_are_counted_where_stats_shows_them);
    tcase_add_test(tc, details_are_told_while_they_are_wanted);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
