/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects cmd/binary and cmd/login: that conversations in packets have the same replies
 * however they are cut, that no session is answered before it has logged in, and that
 * every order of login messages ends where a small model says.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/binary.h"
#include "fixture.h"

/* Small limits, because values beyond them are sent byte by byte too. */
#define LARGE      20000u
#define ITEM_MAX   49152u
#define TOO_LARGE  50000u

static void
setup(void)
{
    struct store_options options = {
        .memory_max = UINT64_C(4) << 20,
        .item_size_max = ITEM_MAX,
        .chunk_max = 16384,
        .chunk_min = 48,
        .growth_factor = 1.25,
        .evict = true,
        .slab_reassign = true,
        .hash_key = "sixteen bytes..",
    };
    const char *why = NULL;
    struct store *store = store_create(&options, &why);

    ck_assert_msg(store != NULL, "%s", why);
    fixture_setup_with(store);
}

/* ---- Packets --------------------------------------------------------------------- */

/* What a client has to say. */
struct script {
    char *bytes;
    size_t len;
};

struct ask {
    uint8_t opcode;
    const char *key;
    const char *extras;
    size_t extras_len;
    const char *value;
    size_t value_len;
    uint64_t cas;
};

#define ASK(op, ...) (&(struct ask){ .opcode = (op), __VA_ARGS__ })
#define EXTRAS(text) .extras = (text), .extras_len = sizeof(text) - 1
#define VALUE(text) .value = (text), .value_len = sizeof(text) - 1
#define NO_FLAGS EXTRAS("\0\0\0\0\0\0\0\0")

/* The opaque is the number of bytes said before. */
static void
add(struct script *script, const struct ask *ask)
{
    size_t key_len = ask->key == NULL ? 0 : strlen(ask->key);
    size_t body = ask->extras_len + key_len + ask->value_len;
    uint16_t key_16 = htobe16((uint16_t)key_len);
    uint32_t body_32 = htobe32((uint32_t)body), opaque = (uint32_t)script->len;
    uint64_t cas = htobe64(ask->cas);
    char *to;

    script->bytes = realloc(script->bytes, script->len + BINARY_HEADER + body);
    to = script->bytes + script->len;
    memset(to, 0, BINARY_HEADER);
    to[0] = (char)BINARY_MAGIC;
    to[1] = (char)ask->opcode;
    memcpy(to + 2, &key_16, 2);
    to[4] = (char)ask->extras_len;
    memcpy(to + 8, &body_32, 4);
    memcpy(to + 12, &opaque, 4);
    memcpy(to + 16, &cas, 8);
    to += BINARY_HEADER;
    if (ask->extras_len > 0)
        memcpy(to, ask->extras, ask->extras_len);
    if (key_len > 0)
        memcpy(to + ask->extras_len, ask->key, key_len);
    if (ask->value_len > 0)
        memcpy(to + ask->extras_len + key_len, ask->value, ask->value_len);
    script->len += BINARY_HEADER + body;
}

/* One packet, from a fresh script. */
static void
say(const struct ask *ask)
{
    struct script script = { NULL, 0 };

    add(&script, ask);
    talk_say(&talk, script.bytes, script.len);
    free(script.bytes);
}

/* The status of the reply that stands at `at`; -1 if there is none. */
static int
status_at(size_t at)
{
    uint16_t status;

    if (at + BINARY_HEADER > talk.nheard)
        return -1;
    memcpy(&status, talk.heard + at + 6, 2);
    return be16toh(status);
}

static size_t
next_reply(size_t at)
{
    uint32_t body;

    memcpy(&body, talk.heard + at + 8, 4);
    return at + BINARY_HEADER + be32toh(body);
}

/* Says one packet and returns the status of its reply, which must be the only one. */
static int
ask_status(const struct ask *ask)
{
    int status;

    talk_forget(&talk);
    say(ask);
    status = status_at(0);
    if (status >= 0)
        ck_assert_uint_eq(next_reply(0), talk.nheard);
    return status;
}

/* ---- A conversation -------------------------------------------------------------- */

/* What each reply's opcode and status must be. */
struct heard {
    uint8_t opcode;
    int status;
};

static const struct heard HEARD[] = {
    { 0x01, 0 }, { 0x00, 0 }, { 0x0c, 0 }, { 0x09, 0 }, { 0x0d, 0 }, { 0x00, 1 },
    { 0x0c, 1 }, { 0x0a, 0 }, { 0x02, 2 }, { 0x12, 2 }, { 0x03, 1 }, { 0x13, 1 },
    { 0x0e, 5 }, { 0x0e, 0 }, { 0x1a, 5 }, { 0x0e, 2 }, { 0x00, 0 }, { 0x01, 1 },
    { 0x05, 1 }, { 0x05, 0 }, { 0x05, 0 }, { 0x06, 0 }, { 0x05, 2 }, { 0x05, 6 },
    { 0x1c, 0 }, { 0x1c, 1 }, { 0x1d, 0 }, { 0x23, 0 }, { 0x23, 1 }, { 0x01, 0 },
    { 0x0d, 0 }, { 0x0e, 0 }, { 0x00, 0 }, { 0x01, 3 }, { 0x00, 1 }, { 0x04, 0 },
    { 0x04, 1 }, { 0x14, 1 }, { 0x50, 0x81 }, { 0x1b, 0x81 }, { 0x20, 0x81 },
    { 0x21, 0x81 }, { 0x0b, 0 }, { 0x10, 1 }, { 0x08, 0 }, { 0x00, 1 }, { 0x0a, 0 },
    { 0x07, 0 },
};

static void
write_script(struct script *script)
{
    char *large = malloc(LARGE), *too_large = malloc(TOO_LARGE);

    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 7 + i / 251);
    memset(too_large, 0x80, TOO_LARGE);
    add(script, ASK(0x01, .key = "rye", EXTRAS("\0\0\xca\xfe\0\0\0\0"), VALUE("grain")));
    add(script, ASK(0x00, .key = "rye"));
    add(script, ASK(0x0c, .key = "rye"));
    add(script, ASK(0x09, .key = "rye"));
    add(script, ASK(0x0d, .key = "rye"));
    add(script, ASK(0x00, .key = "none"));
    add(script, ASK(0x0c, .key = "none"));
    add(script, ASK(0x09, .key = "none"));
    add(script, ASK(0x0d, .key = "none"));
    add(script, ASK(0x1e, .key = "none", EXTRAS("\0\0\0\0")));
    add(script, ASK(0x24, .key = "none", EXTRAS("\0\0\0\0")));
    add(script, ASK(0x0a, NULL));
    add(script, ASK(0x11, .key = "oat", NO_FLAGS, VALUE("b")));
    add(script, ASK(0x02, .key = "oat", NO_FLAGS, VALUE("2")));
    add(script, ASK(0x12, .key = "oat", NO_FLAGS, VALUE("2")));
    add(script, ASK(0x13, .key = "oat", NO_FLAGS, VALUE("b")));
    add(script, ASK(0x03, .key = "none", NO_FLAGS, VALUE("2")));
    add(script, ASK(0x13, .key = "none", NO_FLAGS, VALUE("2")));
    add(script, ASK(0x0e, .key = "none", VALUE("2")));
    add(script, ASK(0x0e, .key = "oat", VALUE("c")));
    add(script, ASK(0x1a, .key = "oat", VALUE("a")));
    add(script, ASK(0x1a, .key = "none", VALUE("a"), .cas = 9));
    add(script, ASK(0x0e, .key = "oat", VALUE("a"), .cas = 1));
    add(script, ASK(0x00, .key = "oat"));
    add(script, ASK(0x01, .key = "none", NO_FLAGS, VALUE("2"), .cas = 77));
#define DELTA(delta, initial, expiry) \
    EXTRAS("\0\0\0\0\0\0\0" delta "\0\0\0\0\0\0\0" initial expiry)
    add(script, ASK(0x05, .key = "n", DELTA("\2", "\x28", "\xff\xff\xff\xff")));
    add(script, ASK(0x05, .key = "n", DELTA("\2", "\x28", "\0\0\0\0")));
    add(script, ASK(0x05, .key = "n", DELTA("\2", "\x28", "\0\0\0\0")));
    add(script, ASK(0x06, .key = "n", DELTA("\x64", "\x28", "\0\0\0\0")));
    add(script, ASK(0x15, .key = "n", DELTA("\3", "\x28", "\0\0\0\0")));
    add(script, ASK(0x05, .key = "n", DELTA("\1", "\0", "\0\0\0\0"), .cas = 1));
    add(script, ASK(0x05, .key = "rye", DELTA("\1", "\0", "\0\0\0\0")));
    add(script, ASK(0x1c, .key = "n", EXTRAS("\0\0\0\x32")));
    add(script, ASK(0x1c, .key = "none", EXTRAS("\0\0\0\x32")));
    add(script, ASK(0x1d, .key = "n", EXTRAS("\0\0\0\x32")));
    add(script, ASK(0x23, .key = "n", EXTRAS("\0\0\0\x32")));
    add(script, ASK(0x23, .key = "none", EXTRAS("\0\0\0\x32")));
    add(script, ASK(0x01, .key = "big", NO_FLAGS, .value = large, .value_len = LARGE));
    add(script, ASK(0x0d, .key = "big"));
    add(script, ASK(0x0e, .key = "big", .value = large, .value_len = LARGE));
    add(script, ASK(0x00, .key = "big"));
    add(script, ASK(0x01, .key = "big", NO_FLAGS, .value = too_large,
        .value_len = TOO_LARGE));
    add(script, ASK(0x00, .key = "big"));
    add(script, ASK(0x04, .key = "oat"));
    add(script, ASK(0x04, .key = "oat"));
    add(script, ASK(0x14, .key = "oat"));
    add(script, ASK(0x14, .key = "n"));
    add(script, ASK(0x50, .key = "abc", EXTRAS("\x80\x0a"), VALUE("value")));
    add(script, ASK(0x1b, EXTRAS("\0\0\0\1")));
    add(script, ASK(0x20, NULL));
    add(script, ASK(0x21, .key = "PLAIN", VALUE("\0u\0p")));
    add(script, ASK(0x0b, NULL));
    add(script, ASK(0x10, .key = "nosuch"));
    add(script, ASK(0x18, NULL));
    add(script, ASK(0x08, EXTRAS("\0\0\0\0")));
    add(script, ASK(0x00, .key = "rye"));
    add(script, ASK(0x0a, NULL));
    add(script, ASK(0x07, NULL));
    add(script, ASK(0x0a, NULL));
    free(large);
    free(too_large);
}

static struct script whole;
static char *expected;
static size_t nexpected;

/* The conversation, all at once: what all others must hear. */
static void
prepare(void)
{
    size_t at = 0;

    setup();
    whole = (struct script){ NULL, 0 };
    write_script(&whole);
    talk_say(&talk, whole.bytes, whole.len);
    for (size_t i = 0; i < sizeof HEARD / sizeof HEARD[0]; i++) {
        ck_assert_msg(status_at(at) == HEARD[i].status &&
                (uint8_t)talk.heard[at + 1] == HEARD[i].opcode,
            "reply %zu: opcode %02x, status %02x", i, (uint8_t)talk.heard[at + 1],
            (unsigned)status_at(at));
        at = next_reply(at);
    }
    ck_assert_uint_eq(at, talk.nheard);
    ck_assert(talk.closed);
    nexpected = talk.nheard;
    expected = malloc(nexpected);
    memcpy(expected, talk.heard, nexpected);
    fixture_teardown();
}

static void
forget(void)
{
    free(whole.bytes);
    free(expected);
}

static void
same_as_at_once(size_t cut)
{
    talk_say(&talk, whole.bytes, cut);
    talk_say(&talk, whole.bytes + cut, whole.len - cut);
    ck_assert_msg(talk.nheard == nexpected && memcmp(talk.heard, expected, nexpected) == 0,
        "cut %zu: %zu bytes, not %zu", cut, talk.nheard, nexpected);
    ck_assert(talk.closed);
}

START_TEST(packets_cut_anywhere_are_answered_alike)
{
    prepare();
    for (size_t cut = (size_t)_i; cut < whole.len; cut += 32) {
        /* The large values begin behind and end before that. */
        if (cut > 2400 && cut < whole.len - 5000)
            cut += 4000;
        setup();
        talk.no_look = cut % 64 >= 32;
        same_as_at_once(cut);
        fixture_teardown();
    }
    forget();
}
END_TEST

static const size_t CHUNKS[] = { 1, 3, 7, 23, 24, 25, 250, 1000, 16384 };

START_TEST(packets_in_pieces_are_answered_alike)
{
    prepare();
    setup();
    talk.chunk = CHUNKS[_i];
    same_as_at_once(0);
    fixture_teardown();
    setup();
    talk.chunk = CHUNKS[_i];
    talk.no_want = true;
    same_as_at_once(0);
    fixture_teardown();
    forget();
}
END_TEST

START_TEST(a_small_budget_answers_alike)
{
    prepare();
    setup();
    talk.budget = (unsigned)_i;
    same_as_at_once(0);
    ck_assert_uint_gt(talk.yields, 0);
    fixture_teardown();
    forget();
}
END_TEST

/* 160 lookups make a turn of 20 commands; a noop is one. */
START_TEST(eight_lookups_count_as_one_command)
{
    static const uint8_t lookups[] = { 0x00, 0x09, 0x0c, 0x0d };
    struct script script = { NULL, 0 };

    setup();
    talk.budget = (unsigned)_i;
    for (unsigned i = 0; i < 152; i++)
        add(&script, ASK(lookups[i % 4], .key = i % 3 == 0 ? "rye" : "oat"));
    add(&script, ASK(0x0a, .key = NULL));
    say(ASK(0x01, .key = "rye", EXTRAS("\0\0\0\0\0\0\0\0"), VALUE("grain")));
    talk.turns = 0;
    talk_say(&talk, script.bytes, script.len);
    ck_assert_uint_eq(talk.turns, _i == 1 ? 153 : 20 / talk.budget);
    free(script.bytes);
    fixture_teardown();
}
END_TEST

static const size_t ROOMS[] = { 1, 100, 277, 300, 600, 1000, 5000, 9000 };

START_TEST(little_room_answers_alike)
{
    prepare();
    setup();
    talk.room = ROOMS[_i];
    talk.budget = 1000; /* only room ends a turn */
    same_as_at_once(0);
    ck_assert_uint_gt(talk.drains, 0);
    fixture_teardown();
    forget();
}
END_TEST

/* ---- What ends a connection ------------------------------------------------------ */

START_TEST(replies_before_a_bad_packet_are_sent)
{
    static const char bad[BINARY_HEADER] = { '\x81' };

    say(ASK(0x0a, NULL));
    talk_say(&talk, bad, BINARY_HEADER - 1);
    ck_assert(!talk.closed);
    talk_say(&talk, bad, 1);
    ck_assert(talk.closed);
    ck_assert_int_eq(status_at(0), 0);
    ck_assert_uint_eq(talk.nheard, BINARY_HEADER);
}
END_TEST

START_TEST(a_broken_rule_is_said_and_closes)
{
    char long_key[300] = "";

    memset(long_key, 'k', 251);
    ck_assert_int_eq(ask_status(ASK(0x09, NULL)), 0x04); /* not silent */
    ck_assert(talk.closed);
    fixture_reopen();
    ck_assert_int_eq(ask_status(ASK(0x1d, .key = "k", EXTRAS("\0\0\0\0"), VALUE("v"))), 4);
    ck_assert(talk.closed);
    fixture_reopen();
    ck_assert_int_eq(ask_status(ASK(0x50, .key = long_key)), 4);
    ck_assert(talk.closed);
}
END_TEST

/* The answer waits for extras and key, of which nothing is kept; over 16384 bytes with the
 * header there is none. */
START_TEST(a_header_alone_is_enough_to_refuse)
{
    static const char heads[][BINARY_HEADER] = {
        { '\x80', 0, '\x3f', '\xe8', 0, 0, 0, 0, 0, 0, '\x3f', '\xe8' }, /* 16360 */
        { '\x80', 0, '\x3f', '\xe9', 0, 0, 0, 0, 0, 0, '\x3f', '\xe9' },
    };
    char *junk = calloc(1, 16361);

    talk_say(&talk, heads[0], BINARY_HEADER);
    talk_say(&talk, junk, 16359);
    ck_assert_uint_eq(talk.nkept, 0);
    ck_assert_uint_eq(talk.nheard, 0);
    talk_say(&talk, junk, 1);
    ck_assert_int_eq(status_at(0), 0x04);
    ck_assert(talk.closed);
    fixture_reopen();
    talk_say(&talk, heads[1], BINARY_HEADER);
    talk_say(&talk, junk, 16359);
    ck_assert(!talk.closed);
    talk_say(&talk, junk, 2);
    ck_assert(talk.closed);
    ck_assert_uint_eq(talk.nheard, 0);
    free(junk);
}
END_TEST

START_TEST(a_refused_value_is_dropped_before_the_reply)
{
    static const char head[] = "\x80\x11\0\1\x08\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0k";
    char *junk = calloc(1, 1 << 20);

    talk_say(&talk, head, sizeof head - 1);
    for (unsigned i = 0; i < 15; i++)
        talk_say(&talk, junk, 1 << 20);
    talk_say(&talk, junk, (1 << 20) - 10);
    ck_assert_uint_eq(talk.nheard, 0);
    ck_assert(stage.service.midway(talk.session));
    talk_say(&talk, junk, 1);
    ck_assert_int_eq(status_at(0), 0x03);
    ck_assert(!talk.closed);
    ck_assert_int_eq(ask_status(ASK(0x0a, NULL)), 0);
    free(junk);
}
END_TEST

/* ---- CAS ------------------------------------------------------------------------- */

static uint64_t
cas_heard(void)
{
    uint64_t cas;

    memcpy(&cas, talk.heard + 16, 8);
    return be64toh(cas);
}

START_TEST(a_condition_makes_any_store_a_swap)
{
    uint64_t cas;

    ck_assert_int_eq(ask_status(ASK(0x01, .key = "k", NO_FLAGS, VALUE("1"))), 0);
    cas = cas_heard();
    ck_assert_uint_gt(cas, 0);
    ck_assert_int_eq(ask_status(ASK(0x02, .key = "k", NO_FLAGS, .cas = cas + 1)), 2);
    ck_assert_int_eq(ask_status(ASK(0x02, .key = "k", NO_FLAGS, .cas = cas)), 0);
    cas = cas_heard();
    ck_assert_int_eq(ask_status(ASK(0x03, .key = "k", NO_FLAGS, .cas = cas)), 0);
    ck_assert_int_eq(ask_status(ASK(0x02, .key = "none", NO_FLAGS, .cas = cas)), 1);
    ck_assert_int_eq(ask_status(ASK(0x04, .key = "k", .cas = cas)), 2);
    ck_assert_int_eq(ask_status(ASK(0x00, .key = "k")), 0);
    cas = cas_heard();
    ck_assert_int_eq(ask_status(ASK(0x04, .key = "k", .cas = cas)), 0);
    ck_assert_uint_eq(cas_heard(), 0);
    ck_assert_uint_eq(stage_counts(&stage).cas_hits, 2);
    ck_assert_uint_eq(stage_counts(&stage).cas_badval, 1);
    ck_assert_uint_eq(stage_counts(&stage).cas_misses, 1);
}
END_TEST

START_TEST(without_cas_stores_ignore_it_and_others_never_match)
{
    stage.context.cas = false;
    ck_assert_int_eq(ask_status(ASK(0x01, .key = "k", NO_FLAGS, VALUE("1"), .cas = 9)), 0);
    ck_assert_uint_eq(cas_heard(), 0);
    ck_assert_int_eq(ask_status(ASK(0x0e, .key = "k", VALUE("1"), .cas = 9)), 0);
    ck_assert_int_eq(ask_status(ASK(0x05, .key = "k", DELTA("\1", "\0", "\0\0\0\0"),
        .cas = 9)), 2);
    ck_assert_int_eq(ask_status(ASK(0x04, .key = "k", .cas = 9)), 2);
    ck_assert_int_eq(ask_status(ASK(0x00, .key = "k")), 0);
    ck_assert_uint_eq(cas_heard(), 0);
}
END_TEST

START_TEST(a_flush_may_be_forbidden_or_put_off)
{
    ck_assert_int_eq(ask_status(ASK(0x01, .key = "k", NO_FLAGS, VALUE("1"))), 0);
    ck_assert_int_eq(ask_status(ASK(0x08, EXTRAS("\0\x27\x8d\0"))), 0); /* in 30 days */
    ck_assert_int_eq(ask_status(ASK(0x08, EXTRAS("\0\x27\x8d\1"))), 0); /* in 1970 */
    ck_assert_int_eq(ask_status(ASK(0x00, .key = "k")), 0);
    ck_assert_int_eq(ask_status(ASK(0x08, EXTRAS("\0\0\0\2"))), 0);
    ck_assert_int_eq(ask_status(ASK(0x08, EXTRAS("\xff\xff\xff\xff"))), 0);
    stage_wait(&stage, 5);
    ck_assert_int_eq(ask_status(ASK(0x00, .key = "k")), 0);
    stage.context.flush_allowed = false;
    ck_assert_int_eq(ask_status(ASK(0x08, NULL)), 0x20);
    ck_assert_int_eq(ask_status(ASK(0x18, NULL)), 0x20);
    ck_assert_int_eq(ask_status(ASK(0x00, .key = "k")), 0);
    ck_assert_uint_eq(stage_counts(&stage).cmd_flush, 6);
}
END_TEST

/* ---- Logging in ------------------------------------------------------------------ */

/* SASL as a test wants it: the data is the result. */
struct auth_talk {
    enum auth_result result;
    bool started;
    unsigned pending; /* calls of poll() before the result */
};

static unsigned talks_open, pending_next;

static struct auth_talk *
fake_open(void *context, void (*wake)(void *handle), void *wake_handle)
{
    (void)context;
    (void)wake;
    (void)wake_handle;
    talks_open++;
    return calloc(1, sizeof(struct auth_talk));
}

static void
fake_close(struct auth_talk *auth)
{
    talks_open--;
    free(auth);
}

static struct slice
fake_mechanisms(struct auth_talk *auth)
{
    (void)auth;
    return SLICE("PLAIN");
}

static enum auth_result
fake_poll(struct auth_talk *auth, struct slice *challenge_out)
{
    if (auth->pending > 0) {
        auth->pending--;
        return AUTH_PENDING;
    }
    auth->started = auth->result == AUTH_MORE;
    *challenge_out = auth->started ? SLICE("and?") : slice_of(NULL, 0);
    return auth->result;
}

static enum auth_result
fake_result(struct auth_talk *auth, struct slice data, struct slice *challenge_out)
{
    auth->result = slice_equal(data, SLICE("good"))   ? AUTH_GOOD
                   : slice_equal(data, SLICE("more")) ? AUTH_MORE
                                                      : AUTH_BAD;
    auth->pending = pending_next;
    return fake_poll(auth, challenge_out);
}

static enum auth_result
fake_start(struct auth_talk *auth, struct slice mechanism, struct slice data,
    struct slice *challenge_out)
{
    if (!slice_equal(mechanism, SLICE("PLAIN")))
        data = SLICE("bad");
    return fake_result(auth, data, challenge_out);
}

static enum auth_result
fake_step(struct auth_talk *auth, struct slice data, struct slice *challenge_out)
{
    return fake_result(auth, auth->started ? data : SLICE("bad"), challenge_out);
}

static bool
fake_check(void *context, struct slice user, struct slice password)
{
    (void)context;
    return slice_equal(user, SLICE("ann")) && slice_equal(password, SLICE("a b"));
}

static const struct auth_hook FAKE_SASL = {
    .way = AUTH_BY_SASL,
    .open = fake_open,
    .close = fake_close,
    .mechanisms = fake_mechanisms,
    .start = fake_start,
    .step = fake_step,
    .poll = fake_poll,
};
static const struct auth_hook FAKE_TOKEN = { .way = AUTH_BY_TOKEN, .check = fake_check };

static void
lock_by(const struct auth_hook *hook)
{
    stage.context.auth = hook;
    stage.protocol = hook->way == AUTH_BY_SASL ? PROTOCOL_BINARY : PROTOCOL_ASCII;
    fixture_reopen();
}

/* Each opcode there can be, as itself, with its own extras and with others. */
START_TEST(nothing_but_a_login_is_answered_in_binary)
{
    lock_by(&FAKE_SASL);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        for (unsigned extras = 0; extras <= 20; extras += 4) {
            static const char zeros[20];
            bool open = opcode == 0x0b || (opcode >= 0x20 && opcode <= 0x22);
            int status = ask_status(ASK((uint8_t)opcode, .key = "k", .extras = zeros,
                .extras_len = extras));

            if (open)
                ck_assert_int_ne(status, -1);
            else
                ck_assert_int_eq(status, 0x20);
            ck_assert(open || talk.closed);
            ck_assert_uint_eq(stage_counts(&stage).cmd_get, 0);
            ck_assert_uint_eq(stage_counts(&stage).cmd_set, 0);
            fixture_reopen();
        }
}
END_TEST

/* Before it is known who speaks, not even lengths are waited for longer than they must. */
START_TEST(a_locked_session_keeps_nothing)
{
    lock_by(&FAKE_SASL);
    say(ASK(0x01, .key = "k", NO_FLAGS, VALUE("0123456789")));
    ck_assert_int_eq(status_at(0), 0x20);
    ck_assert(talk.closed);
    fixture_reopen();
    talk_say_text(&talk, "version\r\nversion\r\nversion\r\n");
    ck_assert(talk.closed);
    ck_assert_uint_eq(talk.nheard, 0);
}
END_TEST

enum message { GOOD, BAD, START, STEP_GOOD, STEP_BAD, STEP_MORE, LIST, PROBE, MESSAGES };

static const struct ask *const SAY[MESSAGES] = {
    [GOOD] = ASK(0x21, .key = "PLAIN", VALUE("good")),
    [BAD] = ASK(0x21, .key = "PLAIN", VALUE("bad")),
    [START] = ASK(0x21, .key = "PLAIN", VALUE("more")),
    [STEP_GOOD] = ASK(0x22, .key = "any", VALUE("good")),
    [STEP_BAD] = ASK(0x22, .key = "any", VALUE("bad")),
    [STEP_MORE] = ASK(0x22, .key = "any", VALUE("more")),
    [LIST] = ASK(0x20, NULL),
    [PROBE] = ASK(0x0a, NULL),
};

/* What a session ought to know: who is logged in, and whether an exchange is under way. */
struct model {
    bool logged_in, started, closed;
};

static int
model_answer(struct model *model, enum message message)
{
    bool step = message == STEP_GOOD || message == STEP_BAD || message == STEP_MORE;

    if (message == PROBE) {
        model->closed = !model->logged_in;
        return model->logged_in ? 0 : 0x20;
    }
    model->logged_in = false;
    if (message == LIST)
        return 0;
    if (step && !model->started)
        return 0x20;
    model->started = message == START || message == STEP_MORE;
    if (model->started)
        return 0x21;
    model->logged_in = message == GOOD || message == STEP_GOOD;
    return model->logged_in ? 0 : 0x20;
}

/* All orders of four messages; shorter ones are their beginnings. */
START_TEST(every_order_of_logins_ends_as_it_must)
{
    static const uint64_t per = (uint64_t)MESSAGES * MESSAGES * MESSAGES;

    pending_next = (unsigned)_i;
    lock_by(&FAKE_SASL);
    for (uint64_t order = 0; order < per * MESSAGES; order++) {
        struct model model = { false, false, false };
        uint64_t rest = order;

        for (int i = 0; i < 4 && !model.closed; i++, rest /= MESSAGES) {
            enum message message = (enum message)(rest % MESSAGES);
            int expected_status = model_answer(&model, message);

            ck_assert_msg(ask_status(SAY[message]) == expected_status,
                "order %llu, message %d", (unsigned long long)order, i);
            ck_assert_int_eq(talk.closed, model.closed);
        }
        fixture_reopen();
    }
    talk_close(&talk);
    ck_assert_uint_eq(talks_open, 0);
    talk_open(&talk, &stage);
}
END_TEST

START_TEST(logins_are_counted_and_end_after_many_failures)
{
    lock_by(&FAKE_SASL);
    ck_assert_int_eq(ask_status(SAY[START]), 0x21);
    ck_assert_int_eq(ask_status(SAY[STEP_GOOD]), 0);
    for (unsigned i = 0; i < 15; i++)
        ck_assert_int_eq(ask_status(SAY[BAD]), 0x20);
    ck_assert(!talk.closed);
    ck_assert_int_eq(ask_status(SAY[BAD]), 0x20);
    ck_assert(talk.closed);
    ck_assert_uint_eq(stage_counts(&stage).auth_cmds, 17);
    ck_assert_uint_eq(stage_counts(&stage).auth_errors, 16);
}
END_TEST

START_TEST(sizes_of_sasl_messages_are_bounded)
{
    char name[40] = "";
    char *data = calloc(1, 600000);

    lock_by(&FAKE_SASL);
    memset(name, 'x', 32);
    ck_assert_int_eq(ask_status(ASK(0x21, .key = name, VALUE("good"))), 0x20);
    name[32] = 'x';
    ck_assert_int_eq(ask_status(ASK(0x21, .key = name, VALUE("good"))), 0x04);
    ck_assert(!talk.closed);
    ck_assert_int_eq(ask_status(ASK(0x21, .key = "PLAIN", .value = data,
        .value_len = 20000)), 0x20);
    ck_assert_int_eq(ask_status(ASK(0x21, .key = "PLAIN", .value = data,
        .value_len = 600000)), 0x82);
    ck_assert_int_eq(ask_status(SAY[GOOD]), 0);
    ck_assert_int_eq(ask_status(ASK(0x21, VALUE("good"))), 0x04);
    ck_assert(talk.closed);
    free(data);
}
END_TEST

/* Bytes that arrive one by one, and those that come behind a login. */
START_TEST(a_login_cut_anywhere_is_one)
{
    struct script script = { NULL, 0 };

    pending_next = 2;
    lock_by(&FAKE_SASL);
    add(&script, SAY[BAD]);
    add(&script, SAY[START]);
    add(&script, SAY[STEP_GOOD]);
    add(&script, SAY[PROBE]);
    for (size_t cut = 0; cut <= script.len; cut++) {
        talk.chunk = cut == script.len ? 1 : 0;
        talk_say(&talk, script.bytes, cut);
        talk_say(&talk, script.bytes + cut, script.len - cut);
        ck_assert_int_eq(status_at(0), 0x20);
        ck_assert_int_eq(status_at(next_reply(0)), 0x21);
        ck_assert_int_eq(status_at(next_reply(next_reply(0))), 0);
        ck_assert_int_eq(status_at(next_reply(next_reply(next_reply(0)))), 0);
        ck_assert(!talk.closed);
        fixture_reopen();
    }
    free(script.bytes);
}
END_TEST

START_TEST(a_client_may_go_while_its_login_is_pending)
{
    lock_by(&FAKE_SASL);
    say(SAY[START]);
    talk_close(&talk); /* in the middle of an exchange */
    ck_assert_uint_eq(talks_open, 0);
    talk_open(&talk, &stage);
    talk_say(&talk, "\x80\x21\0\5\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0PLAINgo", 31);
    ck_assert(stage.service.midway(talk.session));
    fixture_reopen(); /* in the middle of a message */
    ck_assert_uint_eq(talks_open, 0);
}
END_TEST

#define UNAUTHENTICATED "CLIENT_ERROR unauthenticated\r\n"

static const char *const LINES[] = {
    "version", "get key", "gets key", "gat 0 key", "gats 0 key", "delete key",
    "incr key 1", "decr key 1", "touch key 0", "flush_all", "stats", "stats settings",
    "verbosity 1", "slabs reassign 1 2", "lru tune 1 2", "lru_crawler metadump all",
    "cache_memlimit 8", "shutdown", "shutdown graceful", "watch fetchers",
    "refresh_certs", "extstore x", "mg key v", "ms key 2", "md key", "ma key", "me key",
    "mn     ", "nonsense", "add key 0 0 1", "replace key 0 0 1", "append key 0 0 1",
    "prepend key 0 0 1", "cas key 0 0 1 1", "set key 0 0", "set key 0 0 -1",
    "set key 0 0 x", "SET key 0 0 1", "get key noreply", "add key 0 0 1 noreply",
};

START_TEST(nothing_but_a_login_is_answered_in_text)
{
    char line[100];

    lock_by(&FAKE_TOKEN);
    snprintf(line, sizeof line, "%s\r\n", LINES[_i]);
    talk_expect(&talk, line, UNAUTHENTICATED);
    ck_assert(!talk.closed);
    snprintf(line, sizeof line, "set x 0 0 7\r\nann a b\r\n%s\r\n", "get key");
    talk_expect(&talk, line, "STORED\r\nEND\r\n");
}
END_TEST

START_TEST(a_short_line_and_a_packet_are_closed)
{
    lock_by(&FAKE_TOKEN);
    talk_expect(&talk, "mn\r\n", "");
    ck_assert(talk.closed);
    fixture_reopen();
    talk_expect(&talk, "quit\r\n", "");
    ck_assert(talk.closed);
    stage.protocol = PROTOCOL_AUTO; /* as if a listener had been forgotten */
    fixture_reopen();
    say(ASK(0x0a, NULL));
    ck_assert(talk.closed);
    ck_assert_uint_eq(talk.nheard, 0);
    stage.context.auth = &FAKE_SASL;
    fixture_reopen();
    talk_expect(&talk, "version\r\n", "");
    ck_assert(talk.closed);
}
END_TEST

static const char TOKENS[] =
    "get any\r\nset tok 0 0 9\r\nann wrong\r\nset tok x y 7 noreply\r\nann abc\r\n"
    "set tok 0 0 10\r\nann:secret\r\nset tok 0 0 10\r\nann secretX\r\n"
    "set tok 0 0 3\r\nann\nxyzzy12\r\nset tok 0 0 20000\r\nset tok 0 0 0\r\n\r\n"
    "set tok 0 0 7 noreply\r\nann a b\r\nset tok 0 0 1\r\n1\r\nget tok\r\n";
static const char TOKEN_REPLIES[] =
    UNAUTHENTICATED
    "CLIENT_ERROR authentication failure\r\nCLIENT_ERROR authentication failure\r\n"
    "CLIENT_ERROR bad authentication token format\r\n"
    "CLIENT_ERROR bad command line termination\r\n"
    "CLIENT_ERROR bad command line termination\r\n"
    "CLIENT_ERROR unauthenticated\r\n"
    "CLIENT_ERROR auth token too long\r\n"
    "CLIENT_ERROR bad authentication token format\r\n"
    "STORED\r\nSTORED\r\nVALUE tok 0 1\r\n1\r\nEND\r\n";

START_TEST(each_token_has_one_reply_however_it_is_cut)
{
    lock_by(&FAKE_TOKEN);
    for (size_t cut = 0; cut < sizeof TOKENS; cut++) {
        talk.chunk = cut == 0 ? 1 : 0;
        talk_say(&talk, TOKENS, cut);
        talk_say(&talk, TOKENS + cut, sizeof TOKENS - 1 - cut);
        ck_assert_str_eq(talk.heard, TOKEN_REPLIES);
        fixture_reopen();
    }
    ck_assert_uint_eq(stage_counts(&stage).auth_cmds, 3 * sizeof TOKENS);
    ck_assert_uint_eq(stage_counts(&stage).auth_errors, 2 * sizeof TOKENS);
}
END_TEST

START_TEST(tokens_are_not_guessed_for_ever)
{
    lock_by(&FAKE_TOKEN);
    for (unsigned i = 0; i < 16; i++) {
        ck_assert(!talk.closed);
        talk_say_text(&talk, "set tok 0 0 9\r\nann wrong\r\n");
    }
    ck_assert(talk.closed);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("binary sessions");
    TCase *packets = tcase_create("packets");
    TCase *logins = tcase_create("logins");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(packets, 120);
    tcase_set_timeout(logins, 120);
    tcase_add_loop_test(packets, packets_cut_anywhere_are_answered_alike, 0, 32);
    tcase_add_loop_test(packets, packets_in_pieces_are_answered_alike, 0,
        (int)(sizeof CHUNKS / sizeof CHUNKS[0]));
    tcase_add_loop_test(packets, a_small_budget_answers_alike, 1, 4);
    tcase_add_loop_test(packets, eight_lookups_count_as_one_command, 1, 3);
    tcase_add_loop_test(packets, eight_lookups_count_as_one_command, 20, 21);
    tcase_add_loop_test(packets, little_room_answers_alike, 0,
        (int)(sizeof ROOMS / sizeof ROOMS[0]));
    suite_add_tcase(suite, packets);
    tcase_add_checked_fixture(logins, setup, fixture_teardown);
    tcase_add_test(logins, replies_before_a_bad_packet_are_sent);
    tcase_add_test(logins, a_broken_rule_is_said_and_closes);
    tcase_add_test(logins, a_header_alone_is_enough_to_refuse);
    tcase_add_test(logins, a_refused_value_is_dropped_before_the_reply);
    tcase_add_test(logins, a_condition_makes_any_store_a_swap);
    tcase_add_test(logins, without_cas_stores_ignore_it_and_others_never_match);
    tcase_add_test(logins, a_flush_may_be_forbidden_or_put_off);
    tcase_add_test(logins, nothing_but_a_login_is_answered_in_binary);
    tcase_add_test(logins, a_locked_session_keeps_nothing);
    tcase_add_loop_test(logins, every_order_of_logins_ends_as_it_must, 0, 2);
    tcase_add_test(logins, logins_are_counted_and_end_after_many_failures);
    tcase_add_test(logins, sizes_of_sasl_messages_are_bounded);
    tcase_add_test(logins, a_login_cut_anywhere_is_one);
    tcase_add_test(logins, a_client_may_go_while_its_login_is_pending);
    tcase_add_loop_test(logins, nothing_but_a_login_is_answered_in_text, 0,
        (int)(sizeof LINES / sizeof LINES[0]));
    tcase_add_test(logins, a_short_line_and_a_packet_are_closed);
    tcase_add_test(logins, each_token_has_one_reply_however_it_is_cut);
    tcase_add_test(logins, tokens_are_not_guessed_for_ever);
    suite_add_tcase(suite, logins);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
