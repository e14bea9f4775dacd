/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * line.c - command lines: one is waited for, read, and run by what its verb asks for.
 *
 * Lines that the look-ahead has read in full take a short way to whoever runs them; all others
 * are parsed here. Of a line that can't be run yet nothing is taken from the input.
 */
#include <string.h>

#include "cmd/execute.h"
#include "cmd/rights.h"
#include "cmd/session.h"
#include "cmd/state.h"
#include "proto/text.h"
#include "proto/text_reply.h"

/* What one-line replies and `VERSION` may take; a turn goes on only with this much. */
#define REPLY_ROOM 256u

_Static_assert(REPLY_ROOM >= TEXT_LINE_ROOM, "every line must fit");
_Static_assert(REPLY_ROOM >= CMD_VERSION_MAX + 16, "the version must fit");

/* ---- One command ------------------------------------------------------------------- */

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
line_deny(struct turn *turn, const struct command *command, const char *next)
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

/* Runs a command whose line ends before `next`. Nothing has been taken from the input. Not
 * inlined, lest line_take() with its short ways is not, which most commands go. */
static __attribute__((noinline)) enum step
run_command(struct turn *turn, const struct command *command, const char *next)
{
    if (turn->session->datagram && is_unfit_for_datagrams(turn->lane, command->verb))
        return STEP_CLOSE;
    if (command->error != OUTCOME_NONE && !is_flush(command->verb))
        return run_error(turn, command, next);
    if (is_denied(turn->session, command))
        return line_deny(turn, command, next);
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
        return report_run(turn, command, next);
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

enum step
line_take(struct turn *turn)
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
    turn_look_further(turn, AHEAD_LINES);
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
enum step
line_drop(struct turn *turn)
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
