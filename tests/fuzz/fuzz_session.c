/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_session.c - any bytes from a client, in any pieces.
 *
 * The first two bytes of an input say how the rest reaches the session: in which pieces,
 * with how much budget and room, with or without look-ahead. The rest is what the client
 * sends, in whichever protocol that is. It is played twice, each time to a new store: in
 * one piece, and as the first bytes say. Both must be answered alike, and nothing may
 * crash, wait for ever or leave the store in a state that store_check() objects to.
 *
 * In some manners the server demands a login that nobody can guess. Whatever is sent then,
 * no key may be looked up and nothing stored. In some the listener does without writing and
 * what is an operator's, and nothing may be stored either. In some the session changes hands
 * between pieces, as in a restart, which nobody may hear. In some there is an administration
 * behind it; its answers tell the time and are not compared.
 *
 * LLVMFuzzerTestOneInput() is libFuzzer's entry point (scripts/fuzz); replay.c calls it for
 * the inputs that are kept in corpus/session.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/options.h"
#include "base/service.h"
#include "cmd/session.h"
#include "store/store.h"

/* A longer line may be run or end the connection, as it arrives. */
#define COMPARED_MAX 2048u
#define SENT_MAX 65536u
/* A session that wants more turns than this for one piece does not get on. */
#define TURNS_MAX 100000u
#define IOVS 3u

/* Who may speak. */
enum lock { UNLOCKED, BY_TOKEN, BY_SASL };

/* How the bytes reach the session. */
struct manner {
    enum lock lock;
    uint8_t denied; /* enum right, joined by | */
    bool whole;
    bool look, want;
    bool operated; /* there is an administration */
    bool passed;   /* the session changes hands now and then */
    unsigned budget;
    size_t piece_max;
    uint32_t used_before; /* of the outbox, in each first turn */
    uint32_t dice;
};

struct heard {
    char *bytes;
    size_t len, size;
    bool closed;
};

struct play {
    struct cmd_context context;
    struct admin *admin; /* NULL: none */
    struct admin_hook hook;
    struct peer peer;
    struct service service;
    struct clock clock;
    void *lane, *session;
    struct outbox out;
    char bytes[OUTBOX_BYTES];
    char *kept;
    size_t nkept;
    struct manner manner;
    struct heard heard;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct manner
manner_of(uint8_t one, uint8_t two)
{
    static const size_t PIECES[] = { 1, 2, 5, 16, 64, 300, 2000, SENT_MAX };
    static const uint32_t USED[] = { 0, 0, OUTBOX_BYTES - 1, OUTBOX_BYTES - 200,
        OUTBOX_BYTES - 800, OUTBOX_BYTES - 2000, OUTBOX_BYTES - 9000, 30000 };

    static const enum lock LOCKS[] = { UNLOCKED, UNLOCKED, BY_TOKEN, BY_SASL };

    return (struct manner){ .lock = LOCKS[two / 64],
        .denied = one / 128 == 1 && two / 64 == 1 ? RIGHT_WRITE | RIGHT_ADMIN : 0,
        .operated = one / 128 == 1 && two / 64 == 0, .passed = (one + two / 8) % 3 == 0,
        .look = one & 1, .want = one & 2, .budget = 1 + (one >> 2) % 32,
        .piece_max = PIECES[two % 8], .used_before = USED[two / 8 % 8],
        .dice = (uint32_t)(one * 256 + two) };
}

static uint32_t
throw_dice(struct manner *manner, uint32_t sides)
{
    manner->dice = manner->dice * 1664525u + 1013904223u;
    return (manner->dice >> 8) % sides;
}

static void
hear(struct heard *heard, const char *data, size_t len)
{
    if (heard->len + len > heard->size) {
        heard->size = 2 * (heard->len + len);
        heard->bytes = realloc(heard->bytes, heard->size);
        assert(heard->bytes != NULL);
    }
    if (len > 0)
        memcpy(heard->bytes + heard->len, data, len);
    heard->len += len;
}

/* What the session wrote behind the first `from` bytes is sent. */
static void
send_out(struct play *play, uint32_t from)
{
    struct outbox *out = &play->out;
    uint32_t at = from;

    assert(out->used >= from);
    for (uint32_t i = 0; i < out->nrefs; i++) {
        const struct out_ref *ref = &out->refs[i];

        assert(ref->at >= at);
        assert(ref->at <= out->used);
        hear(&play->heard, out->bytes + at, ref->at - at);
        hear(&play->heard, ref->data, ref->len);
        at = ref->at;
        if (ref->pin != NULL)
            play->service.release(play->lane, ref->pin);
    }
    hear(&play->heard, out->bytes + at, out->used - at);
    out->used = 0;
    out->nrefs = 0;
}

/* One call of took(), with a copy of the input that ends where its memory ends. */
static enum service_next
take_turn(struct play *play, uint32_t used_before)
{
    char *input = malloc(play->nkept + (play->nkept == 0));
    enum service_next next;
    size_t used = 0;

    assert(input != NULL);
    memcpy(input, play->kept, play->nkept);
    if (play->manner.look) {
        play->service.look(play->session, input, play->nkept);
        play->service.looked(play->lane);
    }
    play->out.used = used_before;
    next = play->service.took(play->session, input, play->nkept, play->manner.budget,
        &used, &play->out);
    assert(used <= play->nkept);
    play->nkept -= used;
    memcpy(play->kept, input + used, play->nkept);
    free(input);
    send_out(play, used_before);
    return next;
}

static void
take_turns(struct play *play)
{
    uint32_t used_before = play->manner.used_before;

    for (unsigned turns = 0;; turns++) {
        enum service_next next = take_turn(play, used_before);

        assert(turns < TURNS_MAX);
        used_before = next == SERVICE_DRAIN ? 0 : play->manner.used_before;
        if (next == SERVICE_CLOSE)
            play->heard.closed = true;
        if (next == SERVICE_CLOSE || next == SERVICE_READ || next == SERVICE_READ_BITE)
            break;
    }
    assert(play->heard.closed || play->nkept <= CMD_UNUSED_MAX);
}

/* Gives bytes where the session wants them; returns how many. */
static size_t
fill_wanted(struct play *play, const char *data, size_t len)
{
    struct iovec iov[IOVS];
    unsigned count = 0;
    size_t done = 0;

    if (play->nkept == 0 && play->manner.want)
        count = play->service.want(play->session, iov, IOVS);
    for (unsigned i = 0; i < count && done < len; i++) {
        size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

        memcpy(iov[i].iov_base, data + done, part);
        done += part;
    }
    if (done > 0) {
        if (play->service.filled(play->session, done, &play->out) == SERVICE_CLOSE)
            play->heard.closed = true;
        send_out(play, 0);
    }
    return done;
}

static void
say(struct play *play, const char *data, size_t len)
{
    while (len > 0 && !play->heard.closed) {
        size_t done = fill_wanted(play, data, len);

        if (done == 0) {
            play->kept = realloc(play->kept, play->nkept + len);
            assert(play->kept != NULL);
            memcpy(play->kept + play->nkept, data, len);
            play->nkept += len;
            take_turns(play);
            done = len;
        }
        data += done;
        len -= done;
    }
}

/* ---- Logins that never succeed ------------------------------------------------------ */

struct auth_talk {
    unsigned pending;
};

static bool
check_never(void *context, struct slice user, struct slice password)
{
    (void)context;
    (void)user;
    (void)password;
    return false;
}

static struct auth_talk *
talk_open(void *context, void (*wake)(void *handle), void *wake_handle)
{
    (void)context;
    (void)wake;
    (void)wake_handle;
    return calloc(1, sizeof(struct auth_talk));
}

static void
talk_close(struct auth_talk *talk)
{
    free(talk);
}

static struct slice
talk_mechanisms(struct auth_talk *talk)
{
    (void)talk;
    return SLICE("PLAIN");
}

/* The first byte says how it goes on. */
static enum auth_result
talk_step(struct auth_talk *talk, struct slice data, struct slice *challenge_out)
{
    char first = data.len > 0 ? *data.data : '\0';

    *challenge_out = SLICE("and?");
    talk->pending = first == 'p' ? 3 : 0;
    return first == 'p' ? AUTH_PENDING : first == 'm' ? AUTH_MORE : AUTH_BAD;
}

static enum auth_result
talk_start(struct auth_talk *talk, struct slice mechanism, struct slice data,
    struct slice *challenge_out)
{
    (void)mechanism;
    return talk_step(talk, data, challenge_out);
}

static enum auth_result
talk_poll(struct auth_talk *talk, struct slice *challenge_out)
{
    (void)challenge_out;
    return talk->pending > 0 && --talk->pending > 0 ? AUTH_PENDING : AUTH_BAD;
}

static const struct auth_hook NOBODY[] = {
    [BY_TOKEN] = { .way = AUTH_BY_TOKEN, .check = check_never },
    [BY_SASL] = { .way = AUTH_BY_SASL, .open = talk_open, .close = talk_close,
        .mechanisms = talk_mechanisms, .start = talk_start, .step = talk_step,
        .poll = talk_poll },
};

static void
nothing_was_done(struct play *play)
{
    struct store_totals totals;
    struct counts counts;

    store_totals(play->context.store, &totals);
    cmd_counts(&play->context, &counts);
    assert(totals.items_total == 0);
    assert(counts.cmd_get + counts.cmd_set + counts.cmd_touch + counts.cmd_flush == 0);
    assert(counts.auth_cmds == counts.auth_errors);
}

static void
nothing_was_stored(struct play *play)
{
    struct store_totals totals;
    struct counts counts;

    store_totals(play->context.store, &totals);
    cmd_counts(&play->context, &counts);
    assert(totals.items_total == 0);
    assert(counts.cmd_set + counts.cmd_touch + counts.cmd_flush == 0);
}

/* ---- Playing ------------------------------------------------------------------------ */

static struct store *
new_store(void)
{
    struct store_options options = { .memory_max = UINT64_C(4) << 20,
        .memory_reserve = UINT64_C(4) << 20, .item_size_max = UINT64_C(1) << 20,
        .chunk_max = 65536, .chunk_min = 48, .growth_factor = 1.25, .evict = true,
        .slab_reassign = true, .hash_key = "0123456789abcde" };
    const char *why;
    struct store *store = store_create(&options, &why);

    assert(store != NULL);
    return store;
}

static void
give_counts(void *context, struct counts *sum)
{
    cmd_counts(context, sum);
}

static void
give_connections(void *context, struct conn_figures *figures_out)
{
    (void)context;
    *figures_out = (struct conn_figures){ .current = 1, .accepting = true };
}

static void
show_connection(void *context, int fd_min, conn_info_fn fn, void *fn_context)
{
    const struct conn_info info = { .fd = 7, .address = "fuzz", .listen_address = "fuzz",
        .state = "conn_parse_cmd" };

    (void)context;
    if (fd_min <= info.fd)
        fn(fn_context, &info);
}

static void
take_verbosity(void *context, unsigned level)
{
    (void)context;
    (void)level;
}

static void
take_shutdown(void *context, bool graceful)
{
    (void)context;
    (void)graceful;
}

/* All that operators may ask is open to the client. */
static void
operate(struct play *play)
{
    static struct options options;
    struct admin_parts parts = { .store = play->context.store, .options = &options,
        .clock = &play->clock, .version = "1", .libevent_version = "2",
        .context = &play->context, .counts = give_counts, .connections = give_connections,
        .walk_connections = show_connection, .verbosity = take_verbosity,
        .shutdown = take_shutdown };

    if (options.memory_max == 0) {
        options_init(&options);
        options.shutdown_command = true;
    }
    play->admin = admin_create(&parts);
    assert(play->admin != NULL);
    admin_hook(play->admin, &play->hook);
    play->context.hook = &play->hook;
}

static void
play_open(struct play *play)
{
    play->peer = (struct peer){ .fd = 7, .denied = play->manner.denied };
    clock_start(&play->clock);
    play->context = (struct cmd_context){ .store = new_store(), .clock = &play->clock,
        .version = "1", .flush_allowed = true, .cas = true };
    if (play->manner.lock != UNLOCKED)
        play->context.auth = &NOBODY[play->manner.lock];
    if (play->manner.operated)
        operate(play);
    cmd_service(&play->service);
    play->out = (struct outbox){ .bytes = play->bytes };
    if (!cmd_init(&play->context))
        abort();
    play->lane = play->service.lane_open(&play->context, 0);
    assert(play->lane != NULL);
    play->session = play->service.open(play->lane, &play->peer);
    assert(play->session != NULL);
}

static void
play_close(struct play *play)
{
    play->service.close(play->session);
    if (play->manner.denied != 0)
        nothing_was_stored(play);
    if (play->manner.lock != UNLOCKED)
        nothing_was_done(play);
    play->service.lane_close(play->lane);
    cmd_fini(&play->context);
    if (play->admin != NULL)
        admin_destroy(play->admin);
    store_check(play->context.store);
    store_destroy(play->context.store);
    free(play->kept);
}

/* Another process goes on with the session, if it can go on elsewhere. */
static void
pass(struct play *play)
{
    char bytes[SERVICE_STATE_MAX];
    size_t len = play->service.pack(play->session, bytes);

    assert(len <= sizeof bytes);
    if (len == 0)
        return;
    play->service.close(play->session);
    play->session = play->service.unpack(play->lane, &play->peer, bytes, len);
    assert(play->session != NULL);
}

/* Returns what was heard; the caller frees its bytes. */
static struct heard
play_once(const char *data, size_t len, const struct manner *manner)
{
    struct play *play = calloc(1, sizeof *play);
    struct heard heard;

    assert(play != NULL);
    play->manner = *manner;
    play_open(play);
    while (len > 0 && !play->heard.closed) {
        size_t most = manner->piece_max < len ? manner->piece_max : len;
        size_t piece = manner->whole ? len : 1 + throw_dice(&play->manner, (uint32_t)most);

        if (manner->passed && throw_dice(&play->manner, 4) == 0)
            pass(play);
        say(play, data, piece);
        data += piece;
        len -= piece;
    }
    play_close(play);
    heard = play->heard;
    free(play);
    return heard;
}

static bool
heard_alike(const char *data, size_t len, const struct manner *manner)
{
    struct manner whole = { .lock = manner->lock, .denied = manner->denied, .whole = true,
        .look = true, .budget = 1000 };
    struct heard one = play_once(data, len, &whole), two = play_once(data, len, manner);
    bool same = one.closed == two.closed && one.len == two.len &&
        (one.len == 0 || memcmp(one.bytes, two.bytes, one.len) == 0);

    if (!same)
        fprintf(stderr, "whole:\n%.*s\nin pieces:\n%.*s\n", (int)one.len, one.bytes,
            (int)two.len, two.bytes);
    free(one.bytes);
    free(two.bytes);
    return same;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manner manner;
    const char *sent = (const char *)data + 2;

    if (size < 2 || size > SENT_MAX)
        return 0;
    manner = manner_of(data[0], data[1]);
    if (size - 2 > COMPARED_MAX || manner.operated) {
        struct heard heard = play_once(sent, size - 2, &manner);

        free(heard.bytes);
    } else if (!heard_alike(sent, size - 2, &manner)) {
        /* A second may have passed between the two. Not twice in a row. */
        bool same = heard_alike(sent, size - 2, &manner);

        assert(same);
    }
    return 0;
}
