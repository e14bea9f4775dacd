/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.c - one conversation, as a small machine over the bytes that arrive.
 *
 * A turn is a loop of steps; each step takes the state the session is in as far as input,
 * budget and outbox allow. A step that can't go on says why and leaves everything as it
 * is, so that the next turn, with the same bytes and more, does the same again. README.md
 * draws the states.
 */
#include "cmd/session.h"

#include <stdlib.h>

#include "base/assert.h"
#include "cmd/measure.h"
#include "cmd/notice.h"
#include "cmd/passing.h"
#include "cmd/state.h"
#include "proto/binary_reply.h"
#include "proto/text_reply.h"

/* Seconds without progress after which what a client holds may be needed elsewhere. */
#define STALLED_MAX 2u

void
session_answer(struct session *session, const struct command *command,
    const struct outcome *outcome, struct outbox *out)
{
    struct binary_tag tag = { session->opcode, session->opaque };
    struct outcome shown = *outcome;

    if (!session->binary) {
        if (!command->noreply)
            text_put_outcome(out, outcome);
        return;
    }
    if (!session->lane->context->cas)
        shown.cas = 0;
    binary_put_outcome(
        out, tag, binary_is_quiet(session->opcode), command->verb, &shown);
}

static enum step
take_step(struct turn *turn)
{
    switch ((enum state)turn->session->state) {
    case STATE_LINE:
        if (turn->session->binary)
            return binary_session_take(turn);
        return turn->session->locked ? login_line(turn) : line_take(turn);
    case STATE_KEYS:
        return retrieve_keys(turn);
    case STATE_VALUE:
        return retrieve_value(turn);
    case STATE_UPLOAD:
        return upload_take(turn);
    case STATE_SWALLOW:
        return upload_swallow(turn);
    case STATE_DROP:
        return line_drop(turn);
    case STATE_STREAM:
        return report_fill(turn);
    case STATE_LOGIN:
        return login_take(turn);
    case STATE_PENDING:
        return login_wait(turn);
    }
    return STEP_CLOSE;
}

/* ---- The service ------------------------------------------------------------------- */

void *
session_open(void *p, const struct peer *peer)
{
    struct session *session =
        peer->place != NULL ? peer->place : calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->placed = peer->place != NULL;
    session->lane = p;
    session->fd = peer->fd;
    session->wake_handle = peer->wake_handle;
    if (peer->wake != NULL) /* datagrams can't be woken */
        session->lane->wake = peer->wake;
    session->state = STATE_LINE;
    session->protocol = peer->protocol & 3u;
    session->locked = session->lane->context->auth != NULL;
    session->datagram = peer->datagram;
    session->denied = peer->denied;
    return session;
}

void
session_close(void *p)
{
    struct session *session = p;

    if (session->state == STATE_VALUE)
        retrieve_abandon(session);
    else if (session->state == STATE_UPLOAD)
        upload_abandon(session);
    else if (session->state == STATE_STREAM)
        report_end(session);
    login_end(session);
    if (!session->placed)
        free(session);
}

/* The protocol of a connection that begins with this byte. */
static bool
speaks_binary(const struct session *session, char first)
{
    switch ((enum protocol_choice)session->protocol) {
    case PROTOCOL_ASCII:
        return false;
    case PROTOCOL_BINARY:
        return true;
    case PROTOCOL_AUTO:
        break;
    }
    return (unsigned char)first == BINARY_MAGIC;
}

/* The first byte has come. False: nobody can log in by this protocol. */
static bool
greet(struct session *session, char first)
{
    const struct auth_hook *auth = session->lane->context->auth;

    session->greeted = true;
    session->binary = speaks_binary(session, first);
    return auth == NULL || session->binary == (auth->way == AUTH_BY_SASL);
}

static enum ahead_kind
ahead_kind(const struct session *session, char first)
{
    if (session->greeted ? session->binary : speaks_binary(session, first))
        return AHEAD_PACKETS;
    return session->state == STATE_KEYS ? AHEAD_KEYS : AHEAD_LINES;
}

static void
session_look(void *p, const char *data, size_t len)
{
    struct session *session = p;
    struct lane *lane = session->lane;

    if (ahead_turn(&lane->ahead))
        lane->now = clock_seconds(lane->context->clock);
    session->ahead = (struct ahead_range){ .turn = lane->ahead.turn };
    if (!session->locked && len > 0 &&
        (session->state == STATE_LINE || session->state == STATE_KEYS))
        ahead_look(&lane->ahead, lane->store, &session->ahead, data, len,
            ahead_kind(session, *data));
}

static void
session_looked(void *p)
{
    struct lane *lane = p;

    ahead_looked(&lane->ahead, lane->store);
}

/* Who has stored a large value may well store another. */
static enum service_next
next_of(const struct session *session, enum step step)
{
    switch (step) {
    case STEP_ON:
    case STEP_READ:
        break;
    case STEP_AGAIN:
        return SERVICE_AGAIN;
    case STEP_LATER:
        return SERVICE_LATER;
    case STEP_WAIT:
        return SERVICE_WAIT;
    case STEP_DRAIN:
        return SERVICE_DRAIN;
    case STEP_CLOSE:
        return SERVICE_CLOSE;
    }
    return session->large ? SERVICE_READ_BITE : SERVICE_READ;
}

static enum service_next
session_took(void *p, char *data, size_t len, unsigned budget, size_t *used_out,
    struct outbox *out)
{
    struct session *session = p;
    struct lane *lane = session->lane;
    struct turn turn = {
        .session = session,
        .lane = lane,
        .data = data,
        .at = data,
        .end = data + len,
        .out = out,
        .budget = budget_of(budget),
        .ahead_stop = data,
    };
    bool measuring = lane->measuring;
    struct measure measure = { .state = STATE_LINE };
    enum step step;

    assert(budget > 0);
    if (session->ahead.turn != lane->ahead.turn) {
        /* Nobody looked ahead for this turn: what the rows say is about other bytes. */
        session->ahead.first = session->ahead.end = 0;
        lane->now = clock_seconds(lane->context->clock);
    }
    session->pins_out = false;
    session->large = session->state == STATE_UPLOAD;
    if (!session->greeted && len > 0 && !greet(session, *data)) {
        *used_out = len;
        return SERVICE_CLOSE;
    }
    lane->notice = notice_wanted(lane);
    lane->fd = session->fd;
    do {
        if (measuring)
            measure_begin(&measure, &turn);
        step = take_step(&turn);
        if (measuring)
            measure_end(&measure, &turn, step);
    } while (step == STEP_ON);
    session->ahead.turn = 0;
    *used_out = step == STEP_CLOSE ? len : (size_t)(turn.at - data);
    return next_of(session, step);
}

static unsigned
session_want(void *p, struct iovec *iov, unsigned max)
{
    struct session *session = p;

    return session->state == STATE_UPLOAD ? upload_want(session, iov, max) : 0;
}

static enum service_next
session_filled(void *p, size_t len, struct outbox *out)
{
    struct session *session = p;

    assert(session->state == STATE_UPLOAD);
    session->lane->now = clock_seconds(session->lane->context->clock);
    session->lane->notice = notice_wanted(session->lane);
    session->lane->fd = session->fd;
    session->pins_out = false;
    upload_filled(session, len, out);
    if (session->lane->measuring && session->state == STATE_LINE)
        session->lane->ran[LATENCY_SET]++;
    return SERVICE_READ_BITE;
}

static bool
session_midway(const void *p)
{
    const struct session *session = p;

    switch ((enum state)session->state) {
    case STATE_KEYS:
    case STATE_DROP:
        return session->open_line;
    case STATE_UPLOAD:
    case STATE_SWALLOW:
    case STATE_LOGIN:
        return true;
    case STATE_LINE:
    case STATE_VALUE:
    case STATE_STREAM:
    case STATE_PENDING:
        break;
    }
    return false;
}

static enum conn_state
session_state(const void *p)
{
    const struct session *session = p;

    switch ((enum state)session->state) {
    case STATE_LINE:
        break;
    case STATE_KEYS:
    case STATE_DROP:
        return CONN_READ;
    case STATE_UPLOAD:
    case STATE_SWALLOW:
    case STATE_LOGIN:
        return CONN_NREAD;
    case STATE_PENDING:
        return CONN_PARSE;
    case STATE_VALUE:
        return CONN_WRITE;
    case STATE_STREAM:
        return session->watching ? CONN_WATCH : CONN_WRITE;
    }
    return CONN_WAITING;
}

static bool
session_give_up(const void *p, uint32_t stalled)
{
    const struct session *session = p;

    if (stalled < STALLED_MAX)
        return false;
    if (session->state == STATE_UPLOAD)
        return session->lane->uploads_crowded;
    return session->pins_out && session->lane->pins_crowded;
}

static void
session_too_long(void *p, struct outbox *out)
{
    session_answer(p, &(struct command){ .verb = VERB_UNKNOWN },
        &(struct outcome){ .code = OUTCOME_REPLY_LONG }, out);
}

void
cmd_service(struct service *service)
{
    *service = (struct service){
        .session_size = sizeof(struct session),
        .lane_open = lane_open,
        .lane_close = lane_close,
        .open = session_open,
        .close = session_close,
        .pack = passing_pack,
        .unpack = passing_unpack,
        .want = session_want,
        .filled = session_filled,
        .look = session_look,
        .looked = session_looked,
        .took = session_took,
        .release = lane_release,
        .midway = session_midway,
        .state = session_state,
        .lane_tick = lane_tick,
        .measure = lane_measure,
        .answered = lane_answered,
        .turn = lane_turn,
        .give_up = session_give_up,
        .too_long = session_too_long,
        .full_reply = "ERROR Too many open connections\r\n",
    };
}
