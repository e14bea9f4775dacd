/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects cmd/passing: a conversation that changes hands between any two of its bytes says
 * the same as one that does not, a login is neither lost nor won by it, and what was forged
 * is refused or harmless.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/passing.h"
#include "cmd/state.h"
#include "proto/outcome.h"
#include "fixture.h"

#define K50   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250  K50 K50 K50 K50 K50
#define LINE  2500u /* longer than a line that is kept */
#define LARGE 100000u
#define ITEM_MAX "1100000" /* larger than an item may be */

static struct session *
session_of(struct talk *of)
{
    return of->session;
}

static void *
unpack(const char *bytes, size_t len)
{
    const struct peer peer = { .fd = 8, .protocol = (uint8_t)stage.protocol };

    return stage.service.unpack(stage.lane, &peer, bytes, len);
}

/* The session ends and another goes on with what it has told and left. 0: it can't go on;
 * -1: it was refused, and a new one is in its place; 1: it does. */
static int
pass(void)
{
    char bytes[SERVICE_STATE_MAX];
    size_t len = stage.service.pack(talk.session, bytes);
    void *session;

    if (len == 0)
        return 0;
    session = unpack(bytes, len);
    stage.service.close(talk.session);
    talk.session = session;
    if (session != NULL)
        return 1;
    const struct peer peer = { .fd = 9 };
    talk.session = stage.service.open(stage.lane, &peer);
    ck_assert_ptr_nonnull(talk.session);
    return -1;
}

/* ---- Conversations -------------------------------------------------------------------- */

/* What a client says. */
struct script {
    char bytes[8192];
    size_t len;
};

static void
add(struct script *script, const void *bytes, size_t len)
{
    ck_assert_uint_le(script->len + len, sizeof script->bytes);
    if (len > 0)
        memcpy(script->bytes + script->len, bytes, len);
    script->len += len;
}

static void
add_text(struct script *script, const char *text)
{
    add(script, text, strlen(text));
}

/* Says it in two parts. `pass_out`, if not NULL: what pass() said between them; 1 also if
 * the session was over. */
static char *
replies(const struct script *script, size_t cut, int *pass_out)
{
    talk_close(&talk);
    talk_open(&talk, &stage);
    talk_say(&talk, script->bytes, cut);
    if (pass_out != NULL)
        *pass_out = talk.closed ? 1 : pass();
    talk_say(&talk, script->bytes + cut, script->len - cut);
    char *heard = malloc(talk.nheard + 1);
    ck_assert_ptr_nonnull(heard);
    memcpy(heard, talk.heard, talk.nheard + 1);
    return heard;
}

/* The session changes hands at every byte; of what is long, at every eleventh. */
static void
check_all_cuts(const struct script *script)
{
    for (size_t cut = 0; cut <= script->len; cut += script->len > LINE ? 11 : 1) {
        int result = 0;
        char *want = replies(script, cut, NULL);
        size_t nwant = talk.nheard;
        char *heard = replies(script, cut, &result);
        ck_assert_int_eq(result, 1);
        ck_assert_uint_eq(talk.nheard, nwant);
        ck_assert_int_eq(memcmp(heard, want, nwant), 0);
        free(heard);
        free(want);
    }
}

START_TEST(a_text_client_says_and_hears_the_same)
{
    struct script script = { .len = 0 };

    add_text(&script, "flush_all\r\nset a 1 0 3\r\nabc\r\nget a b\r\nset n 0 0 1\r\n5\r\n"
        "incr n 3\r\nms b 2\r\nhi\r\nmg b v f t\r\nmn\r\nget a  b n a a\r\n"
        "set x 0 0 4 noreply\r\nfour\r\ndelete x\r\nbad\r\nverbosity\r\n");
    check_all_cuts(&script);
}
END_TEST

/* A line so long that it is worked off as it comes, one that turns out to be bad, and a
 * value that is dropped. */
START_TEST(the_middle_of_a_long_line_is_passed)
{
    struct script script = { .len = 0 };

    add_text(&script, "flush_all\r\nset a 1 0 3\r\nabc\r\n");
    add_text(&script, "get");
    while (script.len < LINE)
        add_text(&script, " a b");
    add_text(&script, " a\r\nget");
    for (size_t from = script.len; script.len < from + LINE;)
        add_text(&script, " a");
    add_text(&script, " " K250 "k a\r\nversion\r\n");
    check_all_cuts(&script);
}
END_TEST

START_TEST(a_value_that_is_dropped_is_dropped_on)
{
    char *rest = calloc(1, 1100000);

    talk_say_text(&talk, "set a 0 0 " ITEM_MAX "\r\nbegins");
    ck_assert_int_eq(session_of(&talk)->state, STATE_SWALLOW);
    ck_assert_int_eq(pass(), 1);
    talk_say(&talk, rest, 1100000 - 6);
    ck_assert_int_eq(pass(), 1);
    talk_say_text(&talk, "\r");
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "\nget a\r\n", "SERVER_ERROR object too large for cache\r\nEND\r\n");
    free(rest);
}
END_TEST

START_TEST(what_owns_something_is_not_passed)
{
    static const enum state STATES[] = { STATE_VALUE, STATE_STREAM, STATE_LOGIN,
        STATE_PENDING };
    char value[LARGE] = { 0 }, bytes[SERVICE_STATE_MAX];

    for (unsigned i = 0; i < sizeof STATES / sizeof *STATES; i++) {
        session_of(&talk)->state = (uint8_t)STATES[i];
        ck_assert_uint_eq(stage.service.pack(talk.session, bytes), 0);
    }
    session_of(&talk)->state = STATE_KEYS;
    session_of(&talk)->verb = VERB_GAT; /* its expiry is of this process's clock */
    ck_assert_uint_eq(stage.service.pack(talk.session, bytes), 0);
    session_of(&talk)->state = STATE_LINE;
    session_of(&talk)->datagram = true;
    ck_assert_uint_eq(stage.service.pack(talk.session, bytes), 0);
    session_of(&talk)->datagram = false;
    talk_say_text(&talk, "set large 0 0 100000\r\n");
    ck_assert_int_eq(session_of(&talk)->state, STATE_UPLOAD);
    ck_assert_int_eq(pass(), 0);
    talk_say(&talk, value, LARGE);
    ck_assert_int_eq(pass(), 0);
    talk_say_text(&talk, "\r\n");
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "touch large 0\r\n", "TOUCHED\r\n");
}
END_TEST

/* ---- Packets ---------------------------------------------------------------------------- */

static void
add_packet(struct script *script, uint8_t opcode, const char *extras, size_t extras_len,
    const char *key, const char *value)
{
    char header[BINARY_HEADER] = { 0 };
    uint16_t key_len = htobe16((uint16_t)strlen(key));
    uint32_t body = htobe32((uint32_t)(extras_len + strlen(key) + strlen(value)));
    uint32_t opaque = (uint32_t)script->len;

    header[0] = (char)BINARY_MAGIC;
    header[1] = (char)opcode;
    header[4] = (char)extras_len;
    memcpy(header + 2, &key_len, 2);
    memcpy(header + 8, &body, 4);
    memcpy(header + 12, &opaque, 4);
    add(script, header, sizeof header);
    add(script, extras, extras_len);
    add_text(script, key);
    add_text(script, value);
}

START_TEST(a_binary_client_says_and_hears_the_same)
{
    static const char ZEROS[20];
    struct script script = { .len = 0 };

    stage.context.cas = false; /* so that all rounds are alike */
    add_packet(&script, 0x08, NULL, 0, "", "");             /* flush */
    add_packet(&script, 0x01, ZEROS, 8, "a", "value");      /* set */
    add_packet(&script, 0x00, NULL, 0, "a", "");            /* get */
    add_packet(&script, 0x09, NULL, 0, "b", "");            /* getq */
    add_packet(&script, 0x05, ZEROS, 20, "n", "");          /* incr */
    add_packet(&script, 0x1d, ZEROS, 4, "a", "");           /* gat */
    add_packet(&script, 0x0a, NULL, 0, "", "");             /* noop */
    add_packet(&script, 0x01, ZEROS, 4, "a", "wrong");      /* swallowed: closes */
    check_all_cuts(&script);
}
END_TEST

START_TEST(a_refused_value_of_a_packet_is_dropped_on)
{
    static const char ZEROS[8];
    struct script script = { .len = 0 };
    uint32_t body = htobe32(8 + 1 + 1100000);
    char *rest = calloc(1, 1100000);

    add_packet(&script, 0x01, ZEROS, 8, "a", "");
    memcpy(script.bytes + 8, &body, 4);
    talk_say(&talk, script.bytes, script.len);
    ck_assert_int_eq(session_of(&talk)->state, STATE_SWALLOW);
    uint32_t opaque = session_of(&talk)->opaque;
    ck_assert_int_eq(pass(), 1);
    ck_assert_uint_eq(session_of(&talk)->opaque, opaque);
    talk_say(&talk, rest, 1100000);
    ck_assert_uint_gt(talk.nheard, BINARY_HEADER);
    ck_assert_int_eq(talk.heard[1], 0x01);
    ck_assert_int_eq(talk.heard[7], 3); /* too large */
    free(rest);
}
END_TEST

/* ---- Listeners and logins ----------------------------------------------------------------- */

/* SASL: the data is the result. */
struct auth_talk {
    bool started;
};

static struct auth_talk *
fake_open(void *context, void (*wake)(void *handle), void *wake_handle)
{
    (void)context;
    (void)wake;
    (void)wake_handle;
    return calloc(1, sizeof(struct auth_talk));
}

static void
fake_close(struct auth_talk *auth)
{
    free(auth);
}

static enum auth_result
fake_step(struct auth_talk *auth, struct slice data, struct slice *challenge_out)
{
    *challenge_out = SLICE("?");
    auth->started = slice_equal(data, SLICE("more"));
    return auth->started ? AUTH_MORE
        : slice_equal(data, SLICE("good")) ? AUTH_GOOD
                                           : AUTH_BAD;
}

static enum auth_result
fake_start(struct auth_talk *auth, struct slice mechanism, struct slice data,
    struct slice *challenge_out)
{
    (void)mechanism;
    return fake_step(auth, data, challenge_out);
}

static bool
fake_check(void *context, struct slice user, struct slice password)
{
    (void)context;
    return slice_equal(user, SLICE("ann")) && slice_equal(password, SLICE("b"));
}

static const struct auth_hook SASL = { .way = AUTH_BY_SASL, .open = fake_open,
    .close = fake_close, .start = fake_start, .step = fake_step };
static const struct auth_hook TOKEN = { .way = AUTH_BY_TOKEN, .check = fake_check };

static void
reopen_with(const struct auth_hook *auth)
{
    talk_close(&talk);
    stage.context.auth = auth;
    talk_open(&talk, &stage);
}

#define LOCKED "CLIENT_ERROR unauthenticated\r\n"

START_TEST(a_login_is_neither_lost_nor_won)
{
    reopen_with(&TOKEN);
    talk_expect(&talk, "get aaa\r\n", LOCKED);
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "get aaa\r\n", LOCKED);
    talk_expect(&talk, "set a 0 0 5\r\nann b\r\n", "STORED\r\n");
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "get aaa\r\n", "END\r\n");

    stage.context.auth = NULL; /* no login is wanted any more */
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "get aaa\r\n", "END\r\n");
    stage.context.auth = &TOKEN; /* again: it has not been proved to that one */
    char bytes[SERVICE_STATE_MAX];
    stage.context.auth = NULL;
    size_t len = stage.service.pack(talk.session, bytes);
    stage.service.close(talk.session);
    stage.context.auth = &TOKEN;
    talk.session = unpack(bytes, len);
    ck_assert_ptr_nonnull(talk.session);
    talk_expect(&talk, "get aaa\r\n", LOCKED);
}
END_TEST

START_TEST(failed_logins_are_counted_on)
{
    reopen_with(&TOKEN);
    for (int i = 0; i < 16; i++) {
        ck_assert(!talk.closed);
        talk_expect(&talk, "set a 0 0 5\r\nann c\r\n",
            "CLIENT_ERROR authentication failure\r\n");
        if (!talk.closed)
            ck_assert_int_eq(pass(), 1);
    }
    ck_assert(talk.closed);
}
END_TEST

START_TEST(part_of_a_login_is_not_passed_but_its_line_is)
{
    reopen_with(&TOKEN);
    talk_say_text(&talk, "set a 0 0");
    ck_assert_int_eq(pass(), 1);
    talk_say_text(&talk, " 5\r\nann ");
    ck_assert_int_eq(pass(), 0);
    talk_expect(&talk, "b\r\n", "STORED\r\n");
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "get aaa\r\n", "END\r\n");
}
END_TEST

static int
status_heard(void)
{
    ck_assert_uint_ge(talk.nheard, BINARY_HEADER);
    int status = (unsigned char)talk.heard[6] << 8 | (unsigned char)talk.heard[7];
    talk_forget(&talk);
    return status;
}

static int
ask_sasl(uint8_t opcode, const char *data)
{
    struct script script = { .len = 0 };

    add_packet(&script, opcode, NULL, 0, "PLAIN", data);
    talk_say(&talk, script.bytes, script.len);
    return status_heard();
}

START_TEST(an_exchange_is_not_passed_but_its_end_is)
{
    struct script get = { .len = 0 };

    reopen_with(&SASL);
    ck_assert_int_eq(pass(), 1);
    ck_assert_int_eq(ask_sasl(0x21, "bad"), 0x20);
    ck_assert_int_eq(pass(), 1);
    ck_assert_int_eq(ask_sasl(0x21, "more"), 0x21);
    ck_assert_int_eq(pass(), 0);
    ck_assert_int_eq(ask_sasl(0x22, "good"), 0);
    ck_assert_int_eq(pass(), 1);
    add_packet(&get, 0x00, NULL, 0, "k", "");
    talk_say(&talk, get.bytes, get.len);
    ck_assert_int_eq(status_heard(), 1); /* not found */
    stage.context.auth = &TOKEN; /* nobody can log in by packets any more */
    ck_assert_int_eq(pass(), -1);
}
END_TEST

START_TEST(what_a_listener_does_not_speak_is_refused)
{
    static const char NOOP[] = "\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    talk_expect(&talk, "get a\r\n", "END\r\n");
    stage.protocol = PROTOCOL_ASCII;
    ck_assert_int_eq(pass(), 1);
    stage.protocol = PROTOCOL_BINARY;
    ck_assert_int_eq(pass(), -1);
    stage.protocol = PROTOCOL_AUTO;
    talk_close(&talk);
    talk_open(&talk, &stage);
    talk_say(&talk, NOOP, sizeof NOOP);
    stage.protocol = PROTOCOL_BINARY;
    ck_assert_int_eq(pass(), 1);
    stage.protocol = PROTOCOL_ASCII;
    ck_assert_int_eq(pass(), -1);

    /* Who has said nothing yet may begin as is spoken there now. */
    stage.protocol = PROTOCOL_AUTO;
    talk_close(&talk);
    talk_open(&talk, &stage);
    stage.protocol = PROTOCOL_ASCII;
    ck_assert_int_eq(pass(), 1);
    talk_expect(&talk, "get a\r\n", "END\r\n");
}
END_TEST

/* ---- Forgeries ------------------------------------------------------------------------------ */

/* Whatever it is, it can be talked to, asked and closed. */
static void
try_bytes(const char *bytes, size_t len)
{
    static const char SAID[] = "get a b\r\nset a 0 0 1\r\nx\r\nget a\r\n\x80\0\0\0 b\r\n";
    char *copy = malloc(len + (len == 0)); /* a sanitizer sees one byte too far */

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, len);
    void *session = unpack(copy, len);
    free(copy);
    if (session == NULL)
        return;
    stage.service.close(talk.session);
    talk.session = session;
    talk.closed = false;
    talk.nkept = 0;
    talk_forget(&talk);
    (void)stage.service.midway(session);
    (void)stage.service.state(session);
    talk_say(&talk, SAID, sizeof SAID - 1);
}

static uint32_t
next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* `_i` is the state that the genuine one is in, with and without a login. */
START_TEST(forged_sessions_are_refused_or_harmless)
{
    char bytes[SERVICE_STATE_MAX + 1], bad[sizeof bytes];
    uint32_t seed = (uint32_t)_i + 1;

    reopen_with(_i % 2 == 0 ? NULL : &TOKEN);
    size_t len = stage.service.pack(talk.session, bytes);
    ck_assert_uint_gt(len, 2);
    bytes[1] = (char)(_i / 2);
    for (size_t cut = 0; cut < len; cut++)
        try_bytes(bytes, cut);
    bytes[len] = '\0';
    ck_assert_ptr_null(unpack(bytes, len + 1));
    for (size_t at = 0; at < len; at++)
        for (int value = 0; value < 256; value += at < 3 ? 1 : 5) {
            memcpy(bad, bytes, len);
            bad[at] = (char)value;
            try_bytes(bad, len);
        }
    for (int i = 0; i < 300; i++) {
        for (size_t at = 0; at < len; at++)
            bad[at] = (char)next_random(&seed);
        bad[0] = bytes[0];
        bad[1] = (char)(_i / 2);
        try_bytes(bad, len);
        bad[5] = (char)(next_random(&seed) % (OUTCOME_NO_MEMORY_LOGIN + 1));
        bad[4] = VERB_GET;
        try_bytes(bad, len);
    }
}
END_TEST

/* ---- Counts -------------------------------------------------------------------------------- */

START_TEST(counts_and_latencies_go_on)
{
    static struct latency_counts latency, told;
    struct counts counts = { .cmd_get = 40 };

    latency.classes[LATENCY_SET].buckets[7] = 3;
    latency.classes[LATENCY_SET].sum_ns = 300;
    talk_close(&talk);
    stage.service.lane_close(stage.lane);
    cmd_fini(&stage.context);
    ck_assert(cmd_init(&stage.context));
    cmd_resume(&stage.context, &counts, &latency);
    cmd_resume(&stage.context, NULL, NULL);
    stage.lane = stage.service.lane_open(&stage.context, 0);
    ck_assert_ptr_nonnull(stage.lane);
    talk_open(&talk, &stage);
    talk_expect(&talk, "get a\r\nget b\r\n", "END\r\nEND\r\n");
    ck_assert_uint_eq(stage_counts(&stage).cmd_get, 42);
    cmd_latency(&stage.context, &told);
    ck_assert_uint_eq(told.classes[LATENCY_SET].buckets[7], 3);
    ck_assert_uint_eq(told.classes[LATENCY_SET].sum_ns, 300);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("passing");
    TCase *tc = tcase_create("passing");

    tcase_set_timeout(tc, 240);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, a_text_client_says_and_hears_the_same);
    tcase_add_test(tc, the_middle_of_a_long_line_is_passed);
    tcase_add_test(tc, a_value_that_is_dropped_is_dropped_on);
    tcase_add_test(tc, what_owns_something_is_not_passed);
    tcase_add_test(tc, a_binary_client_says_and_hears_the_same);
    tcase_add_test(tc, a_refused_value_of_a_packet_is_dropped_on);
    tcase_add_test(tc, a_login_is_neither_lost_nor_won);
    tcase_add_test(tc, failed_logins_are_counted_on);
    tcase_add_test(tc, part_of_a_login_is_not_passed_but_its_line_is);
    tcase_add_test(tc, an_exchange_is_not_passed_but_its_end_is);
    tcase_add_test(tc, what_a_listener_does_not_speak_is_refused);
    tcase_add_loop_test(tc, forged_sessions_are_refused_or_harmless, 0,
        2 * (STATE_PENDING + 2));
    tcase_add_test(tc, counts_and_latencies_go_on);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
