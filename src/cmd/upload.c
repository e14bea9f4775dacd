/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upload.c - values too large to wait for in a read buffer.
 *
 *   set k 0 0 70000\r\n | 70000 bytes ............. | \r\n
 *                         straight into the store     tail[2]
 *
 * What came together with the line is copied into the room the store gives; the rest is
 * read there by the connection itself, whose read also brings the CR LF. Only when both
 * have been seen is the value stored: until then the old one stays.
 *
 * The command outlives its line here, so it is copied, key and all, to memory that exists
 * for the time of the upload. Refused values are counted down and dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cmd/execute.h"
#include "cmd/state.h"
#include "proto/meta_reply.h"
#include "proto/text_reply.h"

/* Runs of room used at once when copying. */
#define ROOMS_AT_ONCE 8u

struct upload {
    struct store_upload *body;
    struct command command; /* its key is `key` below */
    struct meta_command meta; /* of an ms: what command.meta refers to */
    uint8_t ntail;
    char tail[2]; /* what came in place of CR LF */
    char key[COMMAND_KEY_MAX];
    char opaque[META_OPAQUE_MAX]; /* of an ms */
};

/* Bytes behind a value. */
static unsigned
tail_len(const struct session *session)
{
    return session->binary ? 0 : 2;
}

enum step
upload_refuse(struct turn *turn, const struct command *command, enum outcome_code reply)
{
    struct session *session = turn->session;

    session->state = STATE_SWALLOW;
    session->left = command->value_len + tail_len(session);
    session->reply = (uint8_t)(command->noreply ? OUTCOME_NONE : reply);
    return STEP_ON;
}

/* The flags of an ms outlive their line, too. */
static void
keep_meta(struct upload *upload, const struct meta_command *meta)
{
    upload->meta = *meta;
    if (meta_has(meta, 'O')) {
        memcpy(upload->opaque, meta->opaque.data, meta->opaque.len);
        upload->meta.opaque.data = upload->opaque;
    }
    upload->command.meta = &upload->meta;
}

enum step
upload_begin(struct turn *turn, const struct command *command)
{
    struct lane *lane = turn->lane;
    struct upload *upload = malloc(sizeof *upload);

    if (upload != NULL) {
        upload->body = store_upload_open(lane->store, lane->thread, command->value_len);
        if (upload->body == NULL) {
            free(upload);
            upload = NULL;
        }
    }
    if (upload == NULL) {
        execute_show_refused(
            lane, command->verb, command->key, STORE_NO_MEMORY, command->value_len);
        execute_store_failed(lane, command->verb, command->key);
        return upload_refuse(turn, command, OUTCOME_NO_MEMORY_STORING);
    }
    upload->command = *command;
    memcpy(upload->key, command->key.data, command->key.len);
    upload->command.key = slice_of(upload->key, command->key.len);
    if (command->meta != NULL)
        keep_meta(upload, command->meta);
    upload->ntail = 0;
    turn->session->upload = upload;
    turn->session->state = STATE_UPLOAD;
    turn->session->large = true;
    return STEP_ON;
}

/* Frees what the session holds for the upload, but not its body. */
static void
end_upload(struct session *session)
{
    free(session->upload);
    session->upload = NULL;
    session->state = STATE_LINE;
}

void
upload_abandon(struct session *session)
{
    store_upload_cancel(session->lane->store, session->lane->thread,
        session->upload->body);
    end_upload(session);
}

/* There is no memory for the next bytes: what has come is freed, what is to come will be
 * dropped. */
static void
fail_upload(struct session *session)
{
    struct upload *upload = session->upload;
    uint64_t missing =
        store_upload_missing(upload->body) + tail_len(session) - upload->ntail;
    bool noreply = upload->command.noreply;

    execute_show_refused(session->lane, upload->command.verb, upload->command.key,
        STORE_NO_MEMORY, upload->command.value_len);
    execute_store_failed(session->lane, upload->command.verb, upload->command.key);
    upload_abandon(session);
    session->state = STATE_SWALLOW;
    session->left = (uint32_t)missing;
    session->reply = noreply ? OUTCOME_NONE : OUTCOME_NO_MEMORY_STORING;
}

/* All bytes are there. */
static void
finish_upload(struct session *session, struct outbox *out)
{
    struct lane *lane = session->lane;
    struct upload *upload = session->upload;
    struct outcome outcome = { .code = OUTCOME_BAD_CHUNK };
    struct command command = upload->command;

    assert(store_upload_missing(upload->body) == 0);
    if (session->binary || memcmp(upload->tail, "\r\n", 2) == 0) {
        struct execute_value value = { .upload = upload->body };

        if (upload->command.meta != NULL) {
            meta_store(lane, &upload->command,
                store_hash(lane->store, upload->command.key), &value, out);
            end_upload(session);
            return;
        }
        execute_store(lane, &command, store_hash(lane->store, command.key), &value,
            &outcome);
        end_upload(session);
    } else {
        upload_abandon(session);
    }
    session_answer(session, &command, &outcome, out);
}

/* Copies input into the room of the store. False: there is none. */
static bool
copy_body(struct turn *turn)
{
    struct session *session = turn->session;
    struct store_upload *body = session->upload->body;
    struct iovec rooms[ROOMS_AT_ONCE];

    while (turn->at < turn->end && store_upload_missing(body) > 0) {
        int got = store_upload_room(body, turn->lane->thread, rooms, ROOMS_AT_ONCE);

        if (got < 0)
            return false;
        for (int i = 0; i < got && turn->at < turn->end; i++) {
            size_t left = (size_t)(turn->end - turn->at);
            size_t len = rooms[i].iov_len < left ? rooms[i].iov_len : left;

            memcpy(rooms[i].iov_base, turn->at, len);
            turn->at += len;
            store_upload_filled(body, len);
        }
    }
    return true;
}

enum step
upload_take(struct turn *turn)
{
    struct session *session = turn->session;
    struct upload *upload = session->upload;

    if (outbox_room(turn->out) < META_LINE_ROOM)
        return STEP_DRAIN;
    if (!copy_body(turn)) {
        fail_upload(session);
        return STEP_ON;
    }
    if (store_upload_missing(upload->body) > 0)
        return STEP_READ;
    while (turn->at < turn->end && upload->ntail < tail_len(session))
        upload->tail[upload->ntail++] = *turn->at++;
    if (upload->ntail < tail_len(session))
        return STEP_READ;
    finish_upload(session, turn->out);
    return STEP_ON;
}

unsigned
upload_want(struct session *session, struct iovec *iov, unsigned max)
{
    struct upload *upload = session->upload;
    uint64_t missing = store_upload_missing(upload->body);
    uint64_t given = 0;
    int got = 0;

    if (missing > 0) {
        got = store_upload_room(upload->body, session->lane->thread, iov, max);
        if (got < 0) {
            fail_upload(session);
            return 0;
        }
    }
    for (int i = 0; i < got; i++)
        given += iov[i].iov_len;
    if (given == missing && (unsigned)got < max && tail_len(session) > 0) {
        iov[got].iov_base = upload->tail + upload->ntail;
        iov[got].iov_len = 2u - upload->ntail;
        got++;
    }
    return (unsigned)got;
}

void
upload_filled(struct session *session, size_t len, struct outbox *out)
{
    struct upload *upload = session->upload;
    uint64_t missing = store_upload_missing(upload->body);
    size_t body = len < missing ? len : (size_t)missing;

    if (body > 0)
        store_upload_filled(upload->body, body);
    assert(len - body <= tail_len(session) - upload->ntail);
    upload->ntail = (uint8_t)(upload->ntail + (len - body));
    if (body == missing && upload->ntail == tail_len(session))
        finish_upload(session, out);
}

enum step
upload_swallow(struct turn *turn)
{
    struct session *session = turn->session;
    size_t arrived = (size_t)(turn->end - turn->at);
    uint32_t len = session->left < arrived ? session->left : (uint32_t)arrived;

    if (outbox_room(turn->out) < TEXT_LINE_ROOM)
        return STEP_DRAIN;
    turn->at += len;
    session->left -= len;
    if (session->left > 0)
        return STEP_READ;
    session->state = STATE_LINE;
    if (session->reply != OUTCOME_NONE)
        session_answer(session, &(struct command){ .verb = VERB_UNKNOWN },
            &(struct outcome){ .code = (enum outcome_code)session->reply }, turn->out);
    return session->hang_up ? STEP_CLOSE : STEP_ON;
}
