/* SPDX-License-Identifier: BSD-3-Clause */
#include "talk.h"

#include "quick_check.h"
#include <stdlib.h>
#include <string.h>

/* More turns than this without reading anything would be a loop for ever. */
#define TURNS_MAX 1000000u
#define IOVS 4u

struct store *
talk_store(uint64_t memory_max)
{
    struct store_options options = {
        .memory_max = memory_max > 0 ? memory_max : UINT64_C(64) << 20,
        .item_size_max = UINT64_C(1) << 20,
        .chunk_max = 65536,
        .chunk_min = 48,
        .growth_factor = 1.25,
        .evict = true,
        .slab_reassign = true,
        .hash_key = "sixteen bytes..",
    };
    const char *why = NULL;
    struct store *store = store_create(&options, &why);

    ck_assert_msg(store != NULL, "%s", why == NULL ? "?" : why);
    return store;
}

void
stage_set(struct stage *stage)
{
    clock_start(&stage->clock);
    stage->context = (struct cmd_context){
        .store = stage->store,
        .clock = &stage->clock,
        .version = "1.6.45-larder1.0.0",
        .flush_allowed = true,
        .cas = true,
    };
    stage->protocol = PROTOCOL_AUTO;
    cmd_service(&stage->service);
    stage->out = (struct outbox){ .bytes = stage->bytes };
}

void
stage_open(struct stage *stage)
{
    ck_assert(cmd_init(&stage->context));
    stage->lane = stage->service.lane_open(&stage->context, 0);
    ck_assert_ptr_nonnull(stage->lane);
}

void
stage_close(struct stage *stage)
{
    stage->service.lane_close(stage->lane);
    cmd_fini(&stage->context);
    store_check(stage->store);
    store_destroy(stage->store);
}

void
stage_wait(struct stage *stage, unsigned seconds)
{
    stage->clock.epoch -= seconds;
}

struct counts
stage_counts(struct stage *stage)
{
    struct counts counts;

    cmd_counts(&stage->context, &counts);
    return counts;
}

void
talk_open(struct talk *talk, struct stage *stage)
{
    struct peer peer = { .fd = 7, .protocol = (uint8_t)stage->protocol };

    *talk = (struct talk){ .stage = stage };
    talk->session = stage->service.open(stage->lane, &peer);
    ck_assert_ptr_nonnull(talk->session);
    talk_forget(talk);
}

void
talk_close(struct talk *talk)
{
    talk->stage->service.close(talk->session);
    free(talk->kept);
    free(talk->heard);
}

static void
hear(struct talk *talk, const char *data, size_t len)
{
    if (talk->nheard + len + 1 > talk->heard_size) {
        talk->heard_size = 2 * (talk->nheard + len + 1);
        talk->heard = realloc(talk->heard, talk->heard_size);
        ck_assert_ptr_nonnull(talk->heard);
    }
    memcpy(talk->heard + talk->nheard, data, len);
    talk->nheard += len;
    talk->heard[talk->nheard] = '\0';
}

/* What was written behind the first `from` bytes is sent. */
static void
send_out(struct talk *talk, uint32_t from)
{
    struct outbox *out = &talk->stage->out;
    uint32_t at = from;

    for (uint32_t i = 0; i < out->nrefs; i++) {
        const struct out_ref *ref = &out->refs[i];

        ck_assert_uint_ge(ref->at, at);
        ck_assert_uint_le(ref->at, out->used);
        hear(talk, out->bytes + at, ref->at - at);
        hear(talk, ref->data, ref->len);
        at = ref->at;
        if (ref->pin != NULL)
            talk->stage->service.release(talk->stage->lane, ref->pin);
    }
    hear(talk, out->bytes + at, out->used - at);
    out->used = 0;
    out->nrefs = 0;
}

static enum service_next
turn(struct talk *talk, uint32_t filled_before)
{
    struct stage *stage = talk->stage;
    size_t used = 0;
    char *input = malloc(talk->nkept + (talk->nkept == 0));
    enum service_next next;

    memcpy(input, talk->kept, talk->nkept);
    if (!talk->no_look) {
        stage->service.look(talk->session, input, talk->nkept);
        stage->service.looked(stage->lane);
    }
    stage->out.used = filled_before;
    next = stage->service.took(talk->session, input, talk->nkept,
        talk->budget > 0 ? talk->budget : 20, &used, &stage->out);
    talk->turns++;
    ck_assert_uint_le(used, talk->nkept);
    talk->nkept -= used;
    memcpy(talk->kept, input + used, talk->nkept);
    free(input);
    send_out(talk, filled_before);
    return next;
}

/* Turns until more input is needed. */
static void
run(struct talk *talk)
{
    uint32_t before = talk->room > 0 ? (uint32_t)(OUTBOX_BYTES - talk->room) : 0;
    uint32_t filled = before;

    for (unsigned turns = 0;; turns++) {
        enum service_next next = turn(talk, filled);

        ck_assert_uint_lt(turns, TURNS_MAX);
        filled = before;
        if (next == SERVICE_CLOSE)
            talk->closed = true;
        if (next == SERVICE_CLOSE || next == SERVICE_READ || next == SERVICE_READ_BITE)
            break;
        if (next == SERVICE_DRAIN) {
            talk->drains++;
            filled = 0;
        } else {
            talk->yields++;
        }
    }
    if (!talk->closed)
        ck_assert_uint_le(talk->nkept, CMD_UNUSED_MAX);
}

/* Gives input where the session wants it. Returns how much it took. */
static size_t
fill_wanted(struct talk *talk, const char *data, size_t len)
{
    struct stage *stage = talk->stage;
    struct iovec iov[IOVS];
    unsigned count = 0;
    size_t done = 0;

    if (talk->nkept == 0 && !talk->no_want)
        count = stage->service.want(talk->session, iov, IOVS);
    for (unsigned i = 0; i < count && done < len; i++) {
        size_t part = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

        memcpy(iov[i].iov_base, data + done, part);
        done += part;
    }
    if (done > 0) {
        stage->out.used = 0;
        ck_assert_int_eq(stage->service.filled(talk->session, done, &stage->out),
            SERVICE_READ_BITE);
        send_out(talk, 0);
    }
    return done;
}

static void
say_piece(struct talk *talk, const char *data, size_t len)
{
    while (len > 0 && !talk->closed) {
        size_t done = fill_wanted(talk, data, len);

        if (done == 0) {
            talk->kept = realloc(talk->kept, talk->nkept + len);
            ck_assert_ptr_nonnull(talk->kept);
            memcpy(talk->kept + talk->nkept, data, len);
            talk->nkept += len;
            run(talk);
            done = len;
        }
        data += done;
        len -= done;
    }
}

void
talk_say(struct talk *talk, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        size_t piece = talk->chunk > 0 && talk->chunk < len ? talk->chunk : len;

        say_piece(talk, at, piece);
        at += piece;
        len -= piece;
    }
}

void
talk_say_text(struct talk *talk, const char *text)
{
    talk_say(talk, text, strlen(text));
}

void
talk_forget(struct talk *talk)
{
    talk->nheard = 0;
    hear(talk, "", 0);
}

void
talk_expect(struct talk *talk, const char *text, const char *replies)
{
    talk_forget(talk);
    talk_say_text(talk, text);
    ck_assert_str_eq(talk->heard, replies);
}
