/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * login.c - who may speak.
 *
 * On a server that demands authentication a session begins locked, and nothing but what
 * is here answers a locked session: a text client must send a `set` whose value is "user
 * password", a binary client SASL packets. What a client proves itself with is taken from
 * the input as it comes, kept apart until it is complete, and wiped both there and here.
 *
 *   STATE_LINE -> STATE_LOGIN -> (STATE_PENDING) -> STATE_LINE, locked or not
 *
 * A failure is the same for an unknown user, a wrong password and an unknown mechanism,
 * and after FAILURES_MAX of them in a row the connection is closed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cmd/state.h"
#include "proto/binary_reply.h"
#include "proto/text.h"
#include "proto/text_reply.h"

/* Longest "user password" of the text protocol. */
#define TOKEN_MAX 16384u
/* Longest response of a SASL mechanism. */
#define RESPONSE_MAX 32768u
/* Longest challenge that is passed on. */
#define CHALLENGE_MAX 4096u
/* Longest name of a mechanism. */
#define MECHANISM_MAX 32u
#define FAILURES_MAX 16u
/* A line shorter than this, its LF not counted, is not from a client that logs in. */
#define LINE_MIN 6u

struct login {
    enum packet_kind kind;
    uint32_t want, got;
    uint8_t mechanism_len;
    char mechanism[MECHANISM_MAX];
    char data[];
};

static const struct auth_hook *
hook_of(const struct turn *turn)
{
    return turn->lane->context->auth;
}

static void
drop_login(struct session *session)
{
    struct login *login = session->login;

    if (login != NULL) {
        explicit_bzero(login->data, login->want);
        free(login);
    }
    session->login = NULL;
    session->state = STATE_LINE;
}

void
login_end(struct session *session)
{
    const struct auth_hook *hook = session->lane->context->auth;

    if (session->state == STATE_LOGIN || session->state == STATE_PENDING)
        drop_login(session);
    if (session->auth != NULL)
        hook->close(session->auth);
    session->auth = NULL;
}

/* Makes room for `want` bytes to come. False: out of memory. */
static bool
expect(struct session *session, enum packet_kind kind, struct slice mechanism,
    uint32_t want)
{
    struct login *login = malloc(sizeof *login + want);

    if (login == NULL)
        return false;
    assert(mechanism.len <= MECHANISM_MAX);
    login->kind = kind;
    login->want = want;
    login->got = 0;
    login->mechanism_len = (uint8_t)mechanism.len;
    if (mechanism.len > 0)
        memcpy(login->mechanism, mechanism.data, mechanism.len);
    session->login = login;
    session->state = STATE_LOGIN;
    return true;
}

static void
answer(struct turn *turn, enum outcome_code code)
{
    session_answer(turn->session, &(struct command){ .verb = VERB_UNKNOWN },
        &(struct outcome){ .code = code }, turn->out);
}

/* Counts a login that is over, and opens the session or not. */
static enum step
conclude(struct turn *turn, bool good)
{
    struct session *session = turn->session;
    struct counters *counters = &turn->lane->counters;

    counter_add(&counters->auth_cmds, 1);
    session->locked = !good;
    session->in_exchange = false;
    answer(turn, good ? OUTCOME_LOGGED_IN : OUTCOME_LOGIN_FAILED);
    if (good) {
        session->failures = 0;
        return STEP_ON;
    }
    counter_add(&counters->auth_errors, 1);
    return ++session->failures < FAILURES_MAX ? STEP_ON : STEP_CLOSE;
}

/* ---- Text: a set ------------------------------------------------------------------- */

enum step
login_line(struct turn *turn)
{
    struct session *session = turn->session;
    size_t len = (size_t)(turn->end - turn->at);
    const char *lf = memchr(turn->at, '\n', len);
    struct command command;

    if (lf == NULL)
        return len <= TEXT_LINE_MAX ? STEP_READ : STEP_CLOSE;
    if (budget_is_spent(&turn->budget))
        return STEP_AGAIN;
    if (outbox_room(turn->out) < TEXT_LINE_ROOM)
        return STEP_DRAIN;
    if ((size_t)(lf - turn->at) < LINE_MIN)
        return STEP_CLOSE;
    budget_spend(&turn->budget, BUDGET_COMMAND);
    text_parse(turn->at, (size_t)(lf + 1 - turn->at), &command);
    turn->at = lf + 1;
    /* A set is taken for a login as soon as it has a length; the rest may be anything. */
    if (command.verb != VERB_SET || (command.error != OUTCOME_NONE && !command.swallow))
        text_put_line(turn->out, OUTCOME_UNAUTHENTICATED);
    else if (command.value_len > TOKEN_MAX)
        text_put_line(turn->out, OUTCOME_LOGIN_LONG);
    else if (!expect(session, PACKET_UNKNOWN, slice_of(NULL, 0), command.value_len + 2))
        return STEP_CLOSE;
    return STEP_ON;
}

static enum step
check_token(struct turn *turn)
{
    const struct auth_hook *hook = hook_of(turn);
    struct session *session = turn->session;
    const struct login *login = session->login;
    size_t len = login->want - 2;
    const char *tail = login->data + len;
    const char *blank = memchr(login->data, ' ', len);
    bool good;

    if (memcmp(tail, "\r\n", 2) != 0) {
        bool line_over = memchr(tail, '\n', 2) != NULL;
        drop_login(session);
        text_put_line(turn->out, OUTCOME_LOGIN_CUT);
        if (!line_over) { /* its rest is no command, and may be part of a password */
            session->state = STATE_DROP;
            session->reply = OUTCOME_NONE;
        }
        return STEP_ON;
    }
    if (blank == NULL) {
        drop_login(session);
        text_put_line(turn->out, OUTCOME_LOGIN_FORMAT);
        return STEP_ON;
    }
    good = hook->check(hook->context,
        slice_of(login->data, (size_t)(blank - login->data)),
        slice_of(blank + 1, (size_t)(tail - blank) - 1));
    drop_login(session);
    return conclude(turn, good);
}

/* ---- Binary: SASL ------------------------------------------------------------------ */

static bool
has_talk(struct turn *turn)
{
    struct session *session = turn->session;

    if (session->auth == NULL)
        session->auth = hook_of(turn)->open(
            hook_of(turn)->context, turn->lane->wake, session->wake_handle);
    return session->auth != NULL;
}

enum step
login_mechanisms(struct turn *turn)
{
    struct session *session = turn->session;
    struct binary_tag tag = { session->opcode, session->opaque };
    struct binary_reply reply = { .status = BINARY_OK };

    session->locked = true;
    if (!has_talk(turn)) {
        answer(turn, OUTCOME_NO_MEMORY_LOGIN);
        return STEP_ON;
    }
    reply.value = hook_of(turn)->mechanisms(session->auth);
    if (reply.value.len > CHALLENGE_MAX)
        reply.value.len = CHALLENGE_MAX;
    binary_put(turn->out, tag, &reply);
    return STEP_ON;
}

enum step
login_begin(struct turn *turn, const struct packet *packet, struct slice mechanism)
{
    struct session *session = turn->session;
    enum outcome_code refusal = OUTCOME_NONE;

    session->locked = true;
    if (mechanism.len > MECHANISM_MAX)
        refusal = OUTCOME_BAD_ARGUMENTS;
    else if (packet->value_len > RESPONSE_MAX || !has_talk(turn) ||
        !expect(session, packet->kind, mechanism, packet->value_len))
        refusal = OUTCOME_NO_MEMORY_LOGIN;
    if (refusal == OUTCOME_NONE)
        return STEP_ON;
    session->state = STATE_SWALLOW;
    session->left = packet->value_len;
    session->reply = (uint8_t)refusal;
    session->hang_up = false;
    return STEP_ON;
}

static enum step
tell_result(struct turn *turn, enum auth_result result, struct slice challenge)
{
    struct session *session = turn->session;
    struct binary_reply more = { .status = BINARY_AUTH_MORE, .value = challenge };
    struct binary_tag tag = { session->opcode, session->opaque };

    if (result == AUTH_PENDING) {
        session->state = STATE_PENDING;
        return STEP_ON;
    }
    drop_login(session);
    if (result == AUTH_MORE && challenge.len <= CHALLENGE_MAX) {
        session->in_exchange = true;
        binary_put(turn->out, tag, &more);
        return STEP_ON;
    }
    return conclude(turn, result == AUTH_GOOD);
}

static enum step
try_sasl(struct turn *turn)
{
    const struct auth_hook *hook = hook_of(turn);
    struct session *session = turn->session;
    const struct login *login = session->login;
    struct slice data = slice_of(login->data, login->want);
    struct slice challenge = { NULL, 0 };
    enum auth_result result;

    if (login->kind == PACKET_LOGIN)
        result = hook->start(session->auth,
            slice_of(login->mechanism, login->mechanism_len), data, &challenge);
    else
        result = hook->step(session->auth, data, &challenge);
    return tell_result(turn, result, challenge);
}

/* ---- States ---------------------------------------------------------------------- */

enum step
login_take(struct turn *turn)
{
    struct session *session = turn->session;
    struct login *login = session->login;
    size_t arrived = (size_t)(turn->end - turn->at);
    size_t len = login->want - login->got;

    if (outbox_room(turn->out) < BINARY_REPLY_ROOM + CHALLENGE_MAX)
        return STEP_DRAIN;
    if (len > arrived)
        len = arrived;
    memcpy(login->data + login->got, turn->at, len);
    explicit_bzero(turn->data + (turn->at - turn->data), len);
    turn->at += len;
    login->got += (uint32_t)len;
    if (login->got < login->want)
        return STEP_READ;
    return hook_of(turn)->way == AUTH_BY_SASL ? try_sasl(turn) : check_token(turn);
}

enum step
login_wait(struct turn *turn)
{
    struct slice challenge = { NULL, 0 };
    enum auth_result result;

    if (outbox_room(turn->out) < BINARY_REPLY_ROOM + CHALLENGE_MAX)
        return STEP_DRAIN;
    result = hook_of(turn)->poll(turn->session->auth, &challenge);
    return result == AUTH_PENDING ? STEP_WAIT : tell_result(turn, result, challenge);
}
