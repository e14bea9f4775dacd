/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * binary.c - a conversation in packets.
 *
 *   | header | extras key | value | header | extras key | ...
 *     24 bytes: enough to refuse it
 *              what is waited for
 *                           small: waited for; large: an upload; refused: swallowed
 *
 * Each packet is judged by its header. A good one runs when its extras, key and, if it is
 * small, its value have come; a bad one is dropped up to the byte where memcached would
 * have answered, then answered. What a command means is execute.c's, and how values go
 * out and come in is retrieve.c's and upload.c's, as for text.
 */
#include <string.h>

#include "base/assert.h"
#include "cmd/execute.h"
#include "cmd/rights.h"
#include "cmd/state.h"
#include "proto/binary.h"
#include "proto/binary_reply.h"

static struct binary_tag
tag_of(const struct session *session)
{
    return (struct binary_tag){ session->opcode, session->opaque };
}

char *
binary_session_hit(struct turn *turn, struct slice key, const struct store_view *view)
{
    struct binary_hit hit = {
        .tag = tag_of(turn->session),
        .key = binary_repeats_key(turn->session->opcode) ? key : slice_of(NULL, 0),
        .client_flags = view->client_flags,
        .value_len = view->value_len,
        .cas = turn->lane->context->cas ? view->cas : 0,
    };

    return binary_put_hit(outbox_tail(turn->out), &hit);
}

/* Drops `len` bytes from where the input stands, then answers. */
static enum step
refuse(struct turn *turn, uint32_t len, enum outcome_code reply, bool hang_up)
{
    struct session *session = turn->session;

    session->state = STATE_SWALLOW;
    session->left = len;
    session->reply = (uint8_t)reply;
    session->hang_up = hang_up;
    return STEP_ON;
}

/* One whose header, extras and key are longer than is ever read: the connection ends when
 * so much has come. */
static enum step
refuse_head(struct turn *turn, const struct packet *packet, enum outcome_code reply)
{
    if (packet->head_len > BINARY_HEAD_MAX)
        return refuse(turn, BINARY_HEAD_MAX, OUTCOME_NONE, true);
    return refuse(turn, packet->head_len, reply, true);
}

/* ---- Commands -------------------------------------------------------------------- */

/* There is no item, or no means to show it. */
static enum step
answer_no_value(struct turn *turn, const struct packet *packet, struct slice key,
    enum outcome_code code)
{
    struct outcome outcome = { .code = code };
    struct binary_reply miss = { .status = BINARY_NOT_FOUND, .key = key };

    turn->at += packet->head_len;
    if (code == OUTCOME_NOT_FOUND && packet->quiet)
        return STEP_ON;
    if (code == OUTCOME_NOT_FOUND && packet->kind == PACKET_GETK)
        binary_put(turn->out, tag_of(turn->session), &miss);
    else
        session_answer(turn->session, &(struct command){ .verb = packet->verb }, &outcome,
            turn->out);
    return STEP_ON;
}

/* What is asked most takes the shortest way: no command is made for it. */
static enum step
run_get(struct turn *turn, const struct packet *packet)
{
    struct session *session = turn->session;
    struct lane *lane = turn->lane;
    struct slice key =
        slice_of(turn->at + BINARY_HEADER + packet->extras_len, packet->key_len);
    uint64_t hash = ahead_hash(&lane->ahead, lane->store, &session->ahead, key);

    if (packet->verb == VERB_GAT) {
        struct command command;

        binary_command(packet, turn->at, &command);
        session->exptime = execute_exptime(lane, command.exptime);
    }
    switch (retrieve_key(turn, key, hash, packet->verb)) {
    case GOT_IT:
        budget_was_single(&turn->budget);
        turn->at += packet->head_len;
        return STEP_ON;
    case GOT_LARGE:
        turn->at += packet->head_len;
        return STEP_ON;
    case GOT_NOTHING:
        budget_was_single(&turn->budget);
        return answer_no_value(turn, packet, key, OUTCOME_NOT_FOUND);
    case GOT_NO_PINS:
        counter_add(&lane->counters.response_obj_oom, 1);
        return answer_no_value(turn, packet, key, OUTCOME_NO_MEMORY_READING);
    case GOT_NO_ROOM:
    case GOT_CHANGED:
        break;
    }
    return STEP_DRAIN;
}

static enum step
run_store(struct turn *turn, const struct packet *packet, struct command *command,
    uint64_t hash)
{
    struct lane *lane = turn->lane;
    const char *value = turn->at + packet->head_len;
    struct execute_value bytes = { .bytes = slice_of(value, packet->value_len) };
    struct outcome outcome;

    if (!lane->context->cas)
        command->compare = false; /* -C: there are no uniques to be compared with */
    if (!execute_size_allowed(lane, command)) {
        turn->at = value;
        return upload_refuse(turn, command, OUTCOME_TOO_LARGE);
    }
    if (store_is_large(command->key.len, packet->value_len)) {
        turn->at = value;
        return upload_begin(turn, command);
    }
    if ((size_t)(turn->end - value) < packet->value_len)
        return STEP_READ;
    execute_store(lane, command, hash, &bytes, &outcome);
    turn->at = value + packet->value_len;
    session_answer(turn->session, command, &outcome, turn->out);
    return STEP_ON;
}

/* Those that are done with their key and have a reply of fixed size. */
static enum step
run_simple(struct turn *turn, const struct packet *packet, const struct command *command,
    uint64_t hash)
{
    struct lane *lane = turn->lane;
    struct outcome outcome = { .code = OUTCOME_OK };

    if (packet->kind == PACKET_ARITH) {
        execute_arith(lane, command, hash, &outcome);
    } else if (packet->kind == PACKET_DELETE) {
        execute_delete(lane, command, hash, &outcome);
        outcome.cas = 0;
    } else if (packet->kind == PACKET_TOUCH) {
        execute_touch(lane, command, hash, &outcome);
    } else if (packet->kind == PACKET_FLUSH) {
        execute_flush(lane, command, &outcome);
    }
    turn->at += packet->head_len;
    session_answer(turn->session, command, &outcome, turn->out);
    return STEP_ON;
}

static enum step
run_version(struct turn *turn, const struct packet *packet)
{
    const char *version = turn->lane->context->version;
    struct binary_reply reply = { .value = slice_of(version, strlen(version)) };

    turn->at += packet->head_len;
    binary_put(turn->out, tag_of(turn->session), &reply);
    return STEP_ON;
}

static enum step
run_stat(struct turn *turn, const struct packet *packet, struct slice key)
{
    /* Exactly these, apart from none at all; a blank more is another name. */
    static const struct slice names[] = { { "settings", 8 }, { "items", 5 },
        { "slabs", 5 }, { "sizes", 5 }, { "latency", 7 }, { "hotkeys", 7 },
        { "reset", 5 }, { "detail on", 9 }, { "detail off", 10 }, { "detail dump", 11 } };
    bool known = key.len == 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        known = known || slice_equal(key, names[i]);
    if (!known)
        return refuse(turn, packet->head_len, OUTCOME_NOT_FOUND, false);
    if (outbox_room(turn->out) < ADMIN_ROOM)
        return STEP_DRAIN;
    if (!report_allowed(turn))
        return STEP_LATER;
    turn->at += packet->head_len;
    return report_stat(turn, key);
}

static enum step
run_quit(struct turn *turn, const struct packet *packet)
{
    struct outcome outcome = { .code = OUTCOME_OK };

    turn->at += packet->head_len;
    session_answer(turn->session, &(struct command){ .verb = VERB_QUIT }, &outcome,
        turn->out);
    return STEP_CLOSE;
}

static bool
is_sasl(const struct packet *packet)
{
    return packet->kind == PACKET_MECHANISMS || packet->kind == PACKET_LOGIN ||
           packet->kind == PACKET_LOGIN_STEP;
}

static enum step
run_packet(struct turn *turn, const struct packet *packet)
{
    struct command command;
    uint64_t hash = 0;

    if (packet->kind == PACKET_GET || packet->kind == PACKET_GETK)
        return run_get(turn, packet);
    binary_command(packet, turn->at, &command);
    if (packet->kind != PACKET_STAT && !is_sasl(packet) && command.key.len > 0)
        hash = ahead_hash(&turn->lane->ahead, turn->lane->store, &turn->session->ahead,
            command.key);
    switch (packet->kind) {
    case PACKET_STORE:
        return run_store(turn, packet, &command, hash);
    case PACKET_TOUCH:
    case PACKET_DELETE:
    case PACKET_ARITH:
    case PACKET_FLUSH:
    case PACKET_NOOP:
        return run_simple(turn, packet, &command, hash);
    case PACKET_VERSION:
        return run_version(turn, packet);
    case PACKET_STAT:
        return run_stat(turn, packet, command.key);
    case PACKET_QUIT:
        return run_quit(turn, packet);
    case PACKET_MECHANISMS:
        turn->at += packet->head_len;
        return login_mechanisms(turn);
    case PACKET_LOGIN:
    case PACKET_LOGIN_STEP:
        turn->at += packet->head_len;
        return login_begin(turn, packet, command.key);
    case PACKET_GET:
    case PACKET_GETK:
    case PACKET_UNKNOWN:
        break;
    }
    return STEP_CLOSE;
}

/* ---- Packets --------------------------------------------------------------------- */

/* The commands by which a client logs in, and the one that tells it where it is. */
static bool
is_open_to_all(const struct packet *packet)
{
    return packet->kind == PACKET_VERSION || is_sasl(packet);
}

static enum step
take_packet(struct turn *turn, const struct packet *packet)
{
    struct session *session = turn->session;
    bool sasl = turn->lane->context->auth != NULL;

    session->opcode = packet->opcode;
    session->opaque = packet->opaque;
    if (packet->lies)
        return refuse_head(turn, packet, packet->error);
    if (session->locked && !is_open_to_all(packet))
        return refuse_head(turn, packet, OUTCOME_UNAUTHENTICATED);
    if (packet->hang_up)
        return refuse_head(turn, packet, packet->error);
    if (packet->error != OUTCOME_NONE || (is_sasl(packet) && !sasl))
        return refuse(turn, BINARY_HEADER + packet->body_len, OUTCOME_UNKNOWN, false);
    if (session->denied != 0 &&
        rights_deny(session->denied, packet->verb, packet->key_len > 0))
        return refuse(turn, BINARY_HEADER + packet->body_len, OUTCOME_NOT_ALLOWED, false);
    if ((size_t)(turn->end - turn->at) < packet->head_len)
        return STEP_READ;
    return run_packet(turn, packet);
}

enum step
binary_session_take(struct turn *turn)
{
    struct packet packet;
    size_t len = (size_t)(turn->end - turn->at);

    if (len < BINARY_HEADER)
        return STEP_READ;
    if (budget_is_spent(&turn->budget))
        return STEP_AGAIN;
    if (outbox_room(turn->out) < BINARY_HIT_ROOM)
        return STEP_DRAIN;
    turn_look_further(turn, AHEAD_PACKETS);
    if (!binary_parse(turn->at, &packet))
        return STEP_CLOSE;
    budget_spend(&turn->budget, BUDGET_COMMAND);
    return take_packet(turn, &packet);
}
