/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * retrieve.c - get, gets, gat, gats: keys in, values out.
 *
 *   get k1 k2 ... k200000\r\n
 *   ^^^ parsed once  ^ a turn may end here, at any key: budget, or the outbox is full
 *
 * The line is never copied and its keys are never counted up front: the input stays with
 * the connection, and the session remembers only that it is inside such a line. So a line
 * of any length costs no memory, and what it costs in replies is what fits an outbox.
 *
 * Small values are copied from the store into the outbox, header first. A reader takes no
 * lock, so the copy may fail because the item changed; then the outbox, which has not
 * grown yet, is written over. A large value is pinned and referred to, in as many turns
 * as its pieces need.
 */
#include <string.h>

#include "base/assert.h"
#include "cmd/execute.h"
#include "cmd/state.h"
#include "proto/text.h"
#include "proto/text_reply.h"

/* Copies that fail before the item's stripe is locked. */
#define TRIES_UNLOCKED 2u
/* Values that change between lookup and pin are looked up again so often. */
#define TRIES_MAX 64u
/* Runs of a pinned value taken at once. */
#define RUNS_AT_ONCE 16u
/* What follows the last value in the outbox. */
#define TAIL_ROOM (2 + TEXT_LINE_ROOM)

static bool
is_timed(enum verb verb)
{
    return verb == VERB_GAT || verb == VERB_GATS;
}

static inline char *
put_header(struct turn *turn, struct slice key, const struct store_view *view,
    enum verb verb)
{
    if (turn->session->binary)
        return binary_session_hit(turn, key, view);

    struct text_value value = {
        .key = key,
        .client_flags = view->client_flags,
        .value_len = view->value_len,
        .with_cas = verb == VERB_GETS || verb == VERB_GATS,
        .cas = turn->lane->context->cas ? view->cas : 0,
    };

    return text_put_value(outbox_tail(turn->out), &value);
}

static enum got
copy_value(struct turn *turn, const struct execute_find *find,
    const struct store_view *view, enum verb verb)
{
    struct store *store = turn->lane->store;
    struct outbox *out = turn->out;
    size_t room = TEXT_VALUE_ROOM + view->value_len + TAIL_ROOM;
    enum got got = GOT_NO_ROOM;

    if (outbox_room(out) >= room) {
        char *value = put_header(turn, find->key, view, verb);

        got = GOT_CHANGED;
        if (store_copy(store, view, value)) {
            size_t len = (size_t)(value - outbox_tail(out)) + view->value_len;

            outbox_grow(out, len);
            if (!turn->session->binary)
                outbox_put(out, "\r\n", 2);
            got = GOT_IT;
        }
    }
    if (find->lock)
        store_unlock(store, view);
    return got;
}

static enum got
pin_value(struct turn *turn, const struct execute_find *find,
    const struct store_view *view, enum verb verb)
{
    struct session *session = turn->session;
    struct lane *lane = turn->lane;
    struct store_pin *pin;
    bool full = false;
    char *end;

    if (find->lock) {
        /* It was small a moment ago, or it would not have been locked. */
        store_unlock(lane->store, view);
        return GOT_CHANGED;
    }
    if (outbox_room(turn->out) < TEXT_VALUE_ROOM + TAIL_ROOM)
        return GOT_NO_ROOM;
    pin = store_pin(lane->store, lane->thread, view, &full);
    if (pin == NULL && full)
        return outbox_empty(turn->out) ? GOT_NO_PINS : GOT_NO_ROOM;
    if (pin == NULL)
        return GOT_CHANGED;
    end = put_header(turn, find->key, view, verb);
    outbox_grow(turn->out, (size_t)(end - outbox_tail(turn->out)));
    session->pin = pin;
    session->left = view->value_len;
    session->state = STATE_VALUE;
    return GOT_LARGE;
}

enum got
retrieve_key(struct turn *turn, struct slice key, uint64_t hash, enum verb verb)
{
    struct lane *lane = turn->lane;
    struct execute_find find = { .key = key, .hash = hash, .touch = is_timed(verb) };
    unsigned copies = 0;

    if (find.touch) {
        /* A second touch might find what the first one made expire. */
        if (outbox_room(turn->out) < TEXT_VALUE_ROOM + STORE_SMALL_MAX + TAIL_ROOM)
            return GOT_NO_ROOM;
        find.exptime = turn->session->exptime;
    }
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct store_view view;
        enum got got;

        find.lock = copies >= TRIES_UNLOCKED;
        if (!execute_find(lane, &find, &view)) {
            execute_count_miss(lane, &find, &view);
            return GOT_NOTHING;
        }
        if (view.large) {
            got = pin_value(turn, &find, &view, verb);
            copies = 0;
        } else {
            got = copy_value(turn, &find, &view, verb);
            copies++;
        }
        if (got == GOT_IT || got == GOT_LARGE)
            execute_count_hit(lane, &find, &view);
        if (got != GOT_CHANGED)
            return got;
    }
    return GOT_NO_PINS;
}

static enum step
end_line(struct turn *turn, enum outcome_code code)
{
    text_put_line(turn->out, code);
    turn->session->state = STATE_LINE;
    budget_spend(&turn->budget,
        code == OUTCOME_END ? turn->budget.single : BUDGET_COMMAND);
    return STEP_ON;
}

/* The rest of the line is not looked at. */
static enum step
drop_line(struct turn *turn, enum outcome_code reply)
{
    turn->session->state = STATE_DROP;
    turn->session->reply = (uint8_t)reply;
    return STEP_ON;
}

enum step
retrieve_one(struct turn *turn, const struct ahead_row *row)
{
    struct session *session = turn->session;
    struct slice key = slice_of(row->at + row->key_at, row->key_len);
    enum verb verb = row->at[3] == ' ' ? VERB_GET : VERB_GETS;

    switch (retrieve_key(turn, key, row->hash, verb)) {
    case GOT_IT:
    case GOT_NOTHING:
        turn->at += row->line_len;
        return end_line(turn, OUTCOME_END);
    case GOT_LARGE:
        /* STATE_VALUE takes it from here and goes on behind the key. */
        session->verb = (uint8_t)verb;
        session->any_key = true;
        session->open_line = false;
        turn->at += row->key_at + row->key_len;
        return STEP_ON;
    case GOT_NO_PINS:
        counter_add(&turn->lane->counters.response_obj_oom, 1);
        turn->at += row->line_len;
        return end_line(turn, OUTCOME_NO_MEMORY_READING);
    case GOT_NO_ROOM:
    case GOT_CHANGED:
        break;
    }
    return STEP_DRAIN;
}

enum step
retrieve_begin(struct turn *turn, const struct command *command, const char *next)
{
    struct session *session = turn->session;

    /* A key that is too long spoils the line before any of it has been answered. */
    if (next != NULL && !text_keys_fit(command->rest)) {
        turn->at = next;
        return end_line(turn, OUTCOME_BAD_LINE);
    }
    turn->at = command->rest.data;
    session->state = STATE_KEYS;
    session->verb = (uint8_t)command->verb;
    session->exptime = execute_exptime(turn->lane, command->exptime);
    session->any_key = false;
    session->open_line = next == NULL;
    return STEP_ON;
}

/* Counts a key that has been answered. */
static void
count_key(struct turn *turn)
{
    turn->session->any_key = true;
    budget_spend(&turn->budget, BUDGET_KEY);
}

/* The next key and its hash, from the look-ahead if that got so far. */
static enum text_key
next_key(struct turn *turn, const char **cursor, struct slice *key, uint64_t *hash)
{
    struct ahead_range *range = &turn->session->ahead;
    const struct ahead_table *table = &turn->lane->ahead;
    const struct ahead_row *row;
    const char *at = turn->at;
    enum text_key result;

    while (at < turn->end && *at == ' ')
        at++;
    row = ahead_key(table, range, at);
    if (row != NULL) {
        *key = slice_of(at, row->key_len);
        *hash = row->hash;
        *cursor = at + row->key_len;
        return TEXT_KEY;
    }
    *cursor = at;
    result = text_next_key(cursor, turn->end, key);
    if (result == TEXT_KEY)
        *hash = store_hash(turn->lane->store, *key);
    return result;
}

enum step
retrieve_keys(struct turn *turn)
{
    struct session *session = turn->session;
    enum verb verb = (enum verb)session->verb;

    for (;;) {
        const char *cursor;
        struct slice key;
        uint64_t hash = 0;

        if (budget_is_spent(&turn->budget))
            return STEP_AGAIN;
        if (outbox_room(turn->out) < TEXT_LINE_ROOM)
            return STEP_DRAIN;
        turn_look_further(turn, AHEAD_KEYS);
        switch (next_key(turn, &cursor, &key, &hash)) {
        case TEXT_KEY_CUT:
            turn->at = cursor;
            return STEP_READ;
        case TEXT_KEY_LONG:
            return drop_line(turn, OUTCOME_BAD_LINE);
        case TEXT_KEY_NONE:
            turn->at = cursor;
            return end_line(turn, session->any_key ? OUTCOME_END : OUTCOME_BAD_LINE);
        case TEXT_KEY:
            break;
        }
        switch (retrieve_key(turn, key, hash, verb)) {
        case GOT_IT:
        case GOT_NOTHING:
            turn->at = cursor;
            count_key(turn);
            break;
        case GOT_LARGE:
            turn->at = cursor;
            count_key(turn);
            return STEP_ON;
        case GOT_NO_PINS:
            counter_add(&turn->lane->counters.response_obj_oom, 1);
            return drop_line(turn, OUTCOME_NO_MEMORY_READING);
        case GOT_NO_ROOM:
        case GOT_CHANGED:
            return STEP_DRAIN;
        }
    }
}

enum step
retrieve_value(struct turn *turn)
{
    struct session *session = turn->session;
    struct outbox *out = turn->out;
    struct iovec runs[RUNS_AT_ONCE];

    session->pins_out = true;
    while (session->left > 0) {
        unsigned room = OUTBOX_REFS - out->nrefs;
        unsigned max = room < RUNS_AT_ONCE ? room : RUNS_AT_ONCE;
        unsigned got;

        if (room == 0)
            return STEP_DRAIN;
        got = store_pin_next(session->pin, runs, max);
        assert(got > 0);
        for (unsigned i = 0; i < got; i++) {
            assert(runs[i].iov_len <= session->left);
            session->left -= (uint32_t)runs[i].iov_len;
            outbox_ref(out, runs[i].iov_base, runs[i].iov_len,
                session->left == 0 ? session->pin : NULL);
        }
    }
    session->pin = NULL;
    if (session->binary) {
        session->state = STATE_LINE;
        return STEP_ON;
    }
    session->state = session->verb == VERB_MG ? STATE_LINE : STATE_KEYS;
    outbox_put(out, "\r\n", 2);
    return STEP_ON;
}

void
retrieve_abandon(struct session *session)
{
    store_unpin(session->lane->store, session->lane->thread, session->pin);
}
