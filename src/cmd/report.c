/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.c - what operators ask: a request to the admin hook, and its answer, which may be a
 * stream that fills the outbox turn by turn.
 */
#include "cmd/admin_hook.h"
#include "cmd/notice.h"
#include "cmd/state.h"
#include "proto/binary_reply.h"
#include "proto/text_reply.h"

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

/* A datagram can't come back later, and is bounded by its answer. */
bool
report_allowed(struct turn *turn)
{
    struct lane *lane = turn->lane;

    if (lane->reports == 0)
        return turn->session->datagram;
    lane->reports--;
    return true;
}

/* Has a request answered. False: there is nobody to do it. */
static bool
ask(struct turn *turn, const struct admin_request *request, struct admin_answer *answer)
{
    const struct admin_hook *hook = turn->lane->context->hook;

    if (hook != NULL)
        hook->run(hook->context, request, turn->out, answer);
    budget_spend(&turn->budget, BUDGET_REPORT);
    turn->lane->notice = notice_wanted(turn->lane); /* "detail on" counts at once */
    return hook != NULL;
}

static void
begin_stream(struct session *session, struct stream *stream)
{
    session->stream = stream;
    session->state = STATE_STREAM;
}

enum step
report_run(struct turn *turn, const struct command *command, const char *next)
{
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
    if (!report_allowed(turn))
        return STEP_LATER;
    turn->at = next;
    if (!ask(turn, &request, &answer))
        text_put_line(out, OUTCOME_UNKNOWN);
    if (command->noreply) {
        out->used = used;
        if (answer.stream != NULL)
            answer.stream->close(answer.stream);
        answer.stream = NULL;
    }
    if (answer.close)
        return STEP_CLOSE;
    if (answer.stream != NULL) {
        begin_stream(session, answer.stream);
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
report_stat(struct turn *turn, struct slice args)
{
    static const struct admin_form form = { begin_field, BINARY_HEADER };
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

    (void)ask(turn, &request, &answer);
    if (answer.refusal == ADMIN_NO_MEMORY)
        outcome.code = OUTCOME_NO_MEMORY_STATS;
    if (answer.refusal != ADMIN_ANSWERED)
        session_answer(session, &(struct command){ .verb = VERB_STATS }, &outcome,
            turn->out);
    if (answer.stream != NULL)
        begin_stream(session, answer.stream);
    return STEP_ON;
}

void
report_end(struct session *session)
{
    session->stream->close(session->stream);
    session->stream = NULL;
    session->state = STATE_LINE;
    session->watching = false;
}

enum step
report_fill(struct turn *turn)
{
    struct session *session = turn->session;

    if (session->stream->live)
        turn->at = turn->end;
    else if (!report_allowed(turn))
        return STEP_LATER;
    if (session->stream->fill(session->stream, turn->out)) {
        if (!outbox_empty(turn->out))
            return STEP_DRAIN;
        return session->stream->live ? STEP_READ : STEP_AGAIN;
    }
    report_end(session);
    return STEP_ON;
}
