/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * passing.c - a session as a few bytes, for another process to go on with.
 *
 *   version state flags failures verb reply 0 opcode | left | opaque
 *   1 byte each                                           4      4
 *
 * A session that owns something - a value on its way in or out, a stream, a password - can't
 * go on elsewhere. All others are a few numbers, and the input that they left unused, which
 * net passes on. A login counts where it was demanded: who was let in without one is asked
 * for it by a process that wants one.
 *
 * The bytes are not believed to be ours: each field is within what this program writes, and
 * none can be more than a wrong number.
 */
#include "cmd/passing.h"

#include <string.h>

#include "base/assert.h"
#include "base/service.h"
#include "cmd/state.h"

#define FORMAT  1u
#define BYTES    16u
#define LEFT_AT  8u
#define OPAQUE_AT 12u

#define GREETED   1u
#define BINARY    2u
#define PROVED    4u /* it was locked, and its client has logged in */
#define HANG_UP   8u
#define ANY_KEY   16u
#define OPEN_LINE 32u

_Static_assert(BYTES <= SERVICE_STATE_MAX, "a session fits");

enum field { AT_VERSION, AT_STATE, AT_FLAGS, AT_FAILURES, AT_VERB, AT_REPLY, AT_ZERO,
    AT_OPCODE };

static bool
is_plain_get(uint8_t verb)
{
    return verb == VERB_GET || verb == VERB_GETS;
}

/* Is all there is to the session in its own few numbers? */
static bool
can_go(const struct session *session)
{
    if (session->datagram || session->in_exchange)
        return false;
    switch ((enum state)session->state) {
    case STATE_LINE:
    case STATE_SWALLOW:
    case STATE_DROP:
        return true;
    case STATE_KEYS: /* of gat: its expiry means nothing to another clock */
        return is_plain_get(session->verb);
    case STATE_VALUE:
    case STATE_UPLOAD:
    case STATE_STREAM:
    case STATE_LOGIN:
    case STATE_PENDING:
        break;
    }
    return false;
}

size_t
passing_pack(const void *p, char *bytes)
{
    const struct session *session = p;
    bool proved = session->lane->context->auth != NULL && !session->locked;

    if (!can_go(session))
        return 0;
    bytes[AT_VERSION] = FORMAT;
    bytes[AT_STATE] = (char)session->state;
    bytes[AT_FLAGS] = (char)((session->greeted ? GREETED : 0) |
        (session->binary ? BINARY : 0) | (proved ? PROVED : 0) |
        (session->hang_up ? HANG_UP : 0) | (session->any_key ? ANY_KEY : 0) |
        (session->open_line ? OPEN_LINE : 0));
    bytes[AT_FAILURES] = (char)session->failures;
    bytes[AT_VERB] = (char)session->verb;
    bytes[AT_REPLY] = (char)session->reply;
    bytes[AT_ZERO] = 0;
    bytes[AT_OPCODE] = (char)session->opcode;
    memcpy(bytes + LEFT_AT, &session->left, sizeof session->left);
    memcpy(bytes + OPAQUE_AT, &session->opaque, sizeof session->opaque);
    return BYTES;
}

/* May what it speaks be spoken, at its listener and to log in? */
static bool
may_speak(const struct session *session)
{
    const struct auth_hook *auth = session->lane->context->auth;

    if (!session->greeted)
        return !session->binary && session->state == STATE_LINE;
    if (auth != NULL && session->binary != (auth->way == AUTH_BY_SASL))
        return false;
    switch ((enum protocol_choice)session->protocol) {
    case PROTOCOL_ASCII:
        return !session->binary;
    case PROTOCOL_BINARY:
        return session->binary;
    case PROTOCOL_AUTO:
        break;
    }
    return true;
}

static bool
is_sound(const struct session *session)
{
    if (session->reply > OUTCOME_NO_MEMORY_LOGIN)
        return false;
    switch ((enum state)session->state) {
    case STATE_LINE:
    case STATE_SWALLOW:
        return true;
    case STATE_DROP:
        return !session->binary;
    case STATE_KEYS: /* a locked one would go on to show values */
        return !session->binary && !session->locked && is_plain_get(session->verb);
    case STATE_VALUE:
    case STATE_UPLOAD:
    case STATE_STREAM:
    case STATE_LOGIN:
    case STATE_PENDING:
        break;
    }
    return false;
}

void *
passing_unpack(void *lane, const struct peer *peer, const char *bytes, size_t len)
{
    struct session *session;

    if (len != BYTES || bytes[AT_VERSION] != FORMAT)
        return NULL;
    session = session_open(lane, peer);
    if (session == NULL)
        return NULL;
    uint8_t flags = (uint8_t)bytes[AT_FLAGS];
    session->state = (uint8_t)bytes[AT_STATE];
    session->greeted = (flags & GREETED) != 0;
    session->binary = (flags & BINARY) != 0;
    session->locked = session->locked && (flags & PROVED) == 0;
    session->hang_up = (flags & HANG_UP) != 0;
    session->any_key = (flags & ANY_KEY) != 0;
    session->open_line = (flags & OPEN_LINE) != 0;
    session->failures = (uint8_t)bytes[AT_FAILURES];
    session->verb = (uint8_t)bytes[AT_VERB];
    session->reply = (uint8_t)bytes[AT_REPLY];
    session->opcode = (uint8_t)bytes[AT_OPCODE];
    memcpy(&session->left, bytes + LEFT_AT, sizeof session->left);
    memcpy(&session->opaque, bytes + OPAQUE_AT, sizeof session->opaque);
    if (may_speak(session) && is_sound(session))
        return session;
    session->state = STATE_LINE; /* whatever was said, it owns nothing */
    session_close(session);
    return NULL;
}
