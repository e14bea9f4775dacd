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
#include <string.h>

#include "base/assert.h"
#include "cmd/execute.h"
#include "cmd/measure.h"
#include "cmd/notice.h"
#include "cmd/passing.h"
#include "cmd/rights.h"
#include "cmd/state.h"
#include "proto/binary_reply.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "proto/text_reply.h"

/* What one-line replies and `VERSION` may take; a turn goes on only with this much. */
#define REPLY_ROOM 256u
/* Seconds without progress after which what a client holds may be needed elsewhere. */
#define STALLED_MAX 2u

_Static_assert(REPLY_ROOM >= TEXT_LINE_ROOM, "every line must fit");
_Static_assert(REPLY_ROOM >= CMD_VERSION_MAX + 16, "the version must fit");

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

/* ---- One command ------------------------------------------------------------------- */

static enum admin_verb
admin_verb_of(enum verb verb)
{
    /* The verbs that parse to free words; see verbs.def. */
    if (verb == VERB_SLABS)
        return ADMIN_SLABS;
    if (verb == VERB_LRU)
        return ADMIN_LRU;
    if (verb == VERB_LRU_CRAWLER)
        return ADMIN_LRU_CRAWLER;
    if (verb == VERB_CACHE_MEMLIMIT)
        return ADMIN_CACHE_MEMLIMIT;
    if (verb == VERB_VERBOSITY)
        return ADMIN_VERBOSITY;
    if (verb == VERB_SHUTDOWN)
        return ADMIN_SHUTDOWN;
    if (verb == VERB_WATCH)
        return ADMIN_WATCH;
    if (verb == VERB_REFRESH_CERTS)
        return ADMIN_REFRESH_CERTS;
    if (verb == VERB_EXTSTORE)
        return ADMIN_EXTSTORE;
    return ADMIN_STATS;
}

static enum step
run_admin(struct turn *turn, const struct command *command, const char *next)
{
    const struct admin_hook *hook = turn->lane->context->hook;
    struct session *session = turn->session;
    struct outbox *out = turn->out;
    struct admin_answer answer = { .stream = NULL };
    struct admin_request request = {
        .verb = admin_verb_of(command->verb),
        .args = command->rest,
        .noreply = command->noreply,
        .pending = !outbox_empty(out),
        .fd = session->fd,
        .now = turn->lane->now,
        .thread = turn->lane->thread,
        .wake = turn->lane->wake,
        .wake_handle = session->wake_handle,
    };
    uint32_t used = out->used;

    if (outbox_room(out) < ADMIN_ROOM)
        return STEP_DRAIN;
    turn->at = next;
    if (hook == NULL)
        text_put_line(out, OUTCOME_UNKNOWN);
    else
        hook->run(hook->context, &request, out, &answer);
    budget_spend(&turn->budget, BUDGET_REPORT);
    turn->lane->notice = notice_wanted(turn->lane);
    if (command->noreply) {
        out->used = used;
        if (answer.stream != NULL)
            answer.stream->close(answer.stream);
        answer.stream = NULL;
    }
    if (answer.close)
        return STEP_CLOSE;
    if (answer.stream != NULL) {
        session->stream = answer.stream;
        session->state = STATE_STREAM;
        session->watching = command->verb == VERB_WATCH;
    }
    return STEP_ON;
}

static void
begin_field(struct outbox *out, uint32_t tag, struct slice name, size_t value_len)
{
    binary_put_field(out, tag, name, value_len);
}

enum step
session_stat(struct turn *turn, struct slice args)
{
    static const struct admin_form form = { begin_field, BINARY_HEADER };
    const struct admin_hook *hook = turn->lane->context->hook;
    struct session *session = turn->session;
    struct admin_answer answer = { .refusal = ADMIN_REFUSED };
    struct admin_request request = {
        .verb = ADMIN_STATS,
        .args = args,
        .form = &form,
        .tag = session->opaque,
        .pending = !outbox_empty(turn->out),
        .fd = session->fd,
        .now = turn->lane->now,
        .thread = turn->lane->thread,
    };
    struct outcome outcome = { .code = OUTCOME_NOT_FOUND };

    if (hook != NULL)
        hook->run(hook->context, &request, turn->out, &answer);
    budget_spend(&turn->budget, BUDGET_REPORT);
    turn->lane->notice = notice_wanted(turn->lane); /* "detail on" counts at once */
    if (answer.refusal == ADMIN_NO_MEMORY)
        outcome.code = OUTCOME_NO_MEMORY_STATS;
    if (answer.refusal != ADMIN_ANSWERED)
        session_answer(session, &(struct command){ .verb = VERB_STATS }, &outcome,
            turn->out);
    if (answer.stream != NULL) {
        session->stream = answer.stream;
        session->state = STATE_STREAM;
    }
    return STEP_ON;
}

/* The commands that are done with their line and have a one-line reply. */
static enum step
run_simple(struct turn *turn, const struct command *command, const char *next)
{
    struct lane *lane = turn->lane;
    struct outcome outcome = { .code = OUTCOME_UNKNOWN };
    uint64_t hash = 0;

    if (command->key.len > 0)
        hash = ahead_hash(&lane->ahead, lane->store, &turn->session->ahead, command->key);
    if (command->verb == VERB_INCR || command->verb == VERB_DECR)
        execute_arith(lane, command, hash, &outcome);
    else if (command->verb == VERB_DELETE)
        execute_delete(lane, command, hash, &outcome);
    else if (command->verb == VERB_TOUCH)
        execute_touch(lane, command, hash, &outcome);
    else if (command->verb == VERB_FLUSH_ALL)
        execute_flush(lane, command, &outcome);
    else if (command->verb == VERB_FLUSH_PREFIX && execute_knows_prefixes(lane))
        execute_flush_prefix(lane, command, &outcome);
    turn->at = next;
    if (!command->noreply)
        text_put_outcome(turn->out, &outcome);
    return STEP_ON;
}

static enum step
run_error(struct turn *turn, const struct command *command, const char *next)
{
    if (command->hang_up)
        return STEP_CLOSE;
    turn->at = next;
    if (command->swallow)
        return upload_refuse(turn, command, command->error);
    if (!command->noreply)
        text_put_line(turn->out, command->error);
    return STEP_ON;
}

static bool
has_value(enum verb verb)
{
    return verb == VERB_SET || verb == VERB_ADD || verb == VERB_REPLACE ||
           verb == VERB_APPEND || verb == VERB_PREPEND || verb == VERB_CAS ||
           verb == VERB_MS;
}

enum step
session_deny(struct turn *turn, const struct command *command, const char *next)
{
    turn->at = next;
    if (has_value(command->verb))
        return upload_refuse(turn, command, OUTCOME_NOT_ALLOWED);
    if (!command->noreply)
        text_put_line(turn->out, OUTCOME_NOT_ALLOWED);
    return STEP_ON;
}

static bool
is_meta(enum verb verb)
{
    return verb == VERB_MG || verb == VERB_MS || verb == VERB_MD || verb == VERB_MA ||
           verb == VERB_ME;
}

/* Of meta commands the flags are not known yet: see meta_run(). */
static bool
is_denied(const struct session *session, const struct command *command)
{
    return session->denied != 0 && !is_meta(command->verb) &&
           rights_deny(session->denied, command->verb, command->rest.len > 0);
}

/*
 * What is no command is not answered there: an answer begins with what is no command, so
 * that nobody can set two servers, or one and itself, to answer each other. And nobody can
 * watch by datagrams, which have no end that could be seen.
 */
static bool
is_unfit_for_datagrams(const struct lane *lane, enum verb verb)
{
    return verb == VERB_UNKNOWN || verb == VERB_WATCH ||
        (verb == VERB_FLUSH_PREFIX && !execute_knows_prefixes(lane));
}

/* They count, and may be forbidden or be no command, before anything is said of their line. */
static bool
is_flush(enum verb verb)
{
    return verb == VERB_FLUSH_ALL || verb == VERB_FLUSH_PREFIX;
}

/* Runs a command whose line ends before `next`. Nothing has been taken from the input. */
static enum step
run_command(struct turn *turn, const struct command *command, const char *next)
{
    if (turn->session->datagram && is_unfit_for_datagrams(turn->lane, command->verb))
        return STEP_CLOSE;
    if (command->error != OUTCOME_NONE && !is_flush(command->verb))
        return run_error(turn, command, next);
    if (is_denied(turn->session, command))
        return session_deny(turn, command, next);
    switch (command->verb) {
    case VERB_GET:
    case VERB_GETS:
    case VERB_GAT:
    case VERB_GATS:
        return retrieve_begin(turn, command, next);
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_APPEND:
    case VERB_PREPEND:
    case VERB_CAS:
        return storing_run(turn, command, next);
    case VERB_MG:
    case VERB_MS:
    case VERB_MD:
    case VERB_MA:
    case VERB_ME:
        return meta_run(turn, command, next);
    case VERB_MN:
        text_put_line(turn->out, OUTCOME_MN);
        turn->at = next;
        /* Its purpose: the replies so far are sent before anything else is run. */
        return next < turn->end ? STEP_DRAIN : STEP_ON;
    case VERB_VERSION:
        text_put_version(turn->out, turn->lane->context->version);
        turn->at = next;
        return STEP_ON;
    case VERB_QUIT:
        return STEP_CLOSE;
    case VERB_INCR:
    case VERB_DECR:
    case VERB_DELETE:
    case VERB_TOUCH:
    case VERB_FLUSH_ALL:
    case VERB_FLUSH_PREFIX:
    case VERB_UNKNOWN:
        return run_simple(turn, command, next);
    case VERB_STATS:
    case VERB_WATCH:
    case VERB_SLABS:
    case VERB_LRU:
    case VERB_LRU_CRAWLER:
    case VERB_CACHE_MEMLIMIT:
    case VERB_VERBOSITY:
    case VERB_SHUTDOWN:
    case VERB_REFRESH_CERTS:
    case VERB_EXTSTORE:
        return run_admin(turn, command, next);
    }
    return STEP_CLOSE;
}

/* ---- Steps ------------------------------------------------------------------------- */

/* No LF yet. A line that is too long for its kind will never be one of ours. */
static enum step
wait_for_line(struct turn *turn)
{
    size_t len = (size_t)(turn->end - turn->at);
    struct command command;

    if (len <= TEXT_LINE_MAX)
        return STEP_READ;
    if (!text_is_open_get(turn->at, len, &command))
        return STEP_CLOSE;
    if (command.error != OUTCOME_NONE) {
        turn->session->state = STATE_DROP;
        turn->session->reply = (uint8_t)command.error;
        return STEP_ON;
    }
    return retrieve_begin(turn, &command, NULL);
}

static enum step
take_line(struct turn *turn)
{
    struct session *session = turn->session;
    struct ahead_table *ahead = &turn->lane->ahead;
    const struct ahead_row *row;
    struct command command;
    enum step step;
    const char *lf;
    size_t len = (size_t)(turn->end - turn->at);

    if (len == 0)
        return STEP_READ;
    if (budget_is_spent(&turn->budget))
        return STEP_AGAIN;
    if (outbox_room(turn->out) < REPLY_ROOM)
        return STEP_DRAIN;
    if (session->ahead.first == session->ahead.end && turn->at >= turn->ahead_stop)
        turn->ahead_stop = ahead_more(ahead, turn->lane->store, &session->ahead, turn->at,
            len, AHEAD_LINES, turn->budget);
    row = ahead_find(ahead, &session->ahead, turn->at);
    if (row != NULL && row->line_len > 0) {
        if (*row->at == 'g')
            return retrieve_one(turn, row);
        if (*row->at == 'm')
            return meta_one(turn, row);
        if (session->denied == 0)
            return storing_one(turn, row);
    }
    lf = memchr(turn->at, '\n', len);
    if (lf == NULL)
        return wait_for_line(turn);
    text_parse(turn->at, (size_t)(lf + 1 - turn->at), &command);
    step = run_command(turn, &command, lf + 1);
    budget_spend(&turn->budget, session->state == STATE_KEYS ? turn->budget.single
                                                             : BUDGET_COMMAND);
    return step;
}

/* Drops input up to the line's end. */
static enum step
drop_line(struct turn *turn)
{
    struct session *session = turn->session;
    const char *lf;

    if (outbox_room(turn->out) < TEXT_LINE_ROOM)
        return STEP_DRAIN;
    lf = memchr(turn->at, '\n', (size_t)(turn->end - turn->at));
    if (lf == NULL) {
        turn->at = turn->end;
        session->open_line = true;
        return STEP_READ;
    }
    turn->at = lf + 1;
    text_put_line(turn->out, (enum outcome_code)session->reply);
    session->state = STATE_LINE;
    return STEP_ON;
}

static void
end_stream(struct session *session)
{
    session->stream->close(session->stream);
    session->stream = NULL;
    session->state = STATE_LINE;
    session->watching = false;
}

/* Lets the stream fill what is left of the outbox. It may have nothing just now; others
 * get their turn before it is asked again. */
static enum step
fill_stream(struct turn *turn)
{
    struct session *session = turn->session;

    if (session->stream->live)
        turn->at = turn->end;
    if (session->stream->fill(session->stream, turn->out)) {
        if (!outbox_empty(turn->out))
            return STEP_DRAIN;
        return session->stream->live ? STEP_READ : STEP_AGAIN;
    }
    end_stream(session);
    return STEP_ON;
}

static enum step
take_step(struct turn *turn)
{
    switch ((enum state)turn->session->state) {
    case STATE_LINE:
        if (turn->session->binary)
            return binary_session_take(turn);
        return turn->session->locked ? login_line(turn) : take_line(turn);
    case STATE_KEYS:
        return retrieve_keys(turn);
    case STATE_VALUE:
        return retrieve_value(turn);
    case STATE_UPLOAD:
        return upload_take(turn);
    case STATE_SWALLOW:
        return upload_swallow(turn);
    case STATE_DROP:
        return drop_line(turn);
    case STATE_STREAM:
        return fill_stream(turn);
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
        end_stream(session);
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
        .give_up = session_give_up,
        .too_long = session_too_long,
        .full_reply = "ERROR Too many open connections\r\n",
    };
}
