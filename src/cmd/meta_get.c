/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta_get.c - mg: reading, and all that reading may bring about.
 *
 * A plain `mg` is a lookup like any other: no lock, one copy. Only what changes something
 * (a new expiry, an item to be created, a winner to be found) visits the item under its
 * lock, and such a visit is made once: whatever its reply may need, room and pin, is
 * there before, because the one who has won would not win a second time.
 *
 * Flags act from left to right, but the store is asked once. So what is to happen is
 * worked out before, and meta_put_line() walks the flags again to show each number as it
 * was at that place.
 */
#include <string.h>

#include "base/assert.h"
#include "base/service.h"
#include "cmd/meta.h"
#include "cmd/rights.h"
#include "proto/text_reply.h"

/* Copies that fail before the item's stripe is locked. */
#define TRIES_UNLOCKED 2u
/* Values that change between lookup and pin are looked up again so often. */
#define TRIES_MAX 64u

/* Does T stand before R? */
static bool
touched_before_recache(const struct meta_command *meta)
{
    for (unsigned i = 0; i < meta->nletters; i++) {
        if (meta->letters[i] == 'R')
            return false;
        if (meta->letters[i] == 'T')
            return true;
    }
    return false;
}

/* An mg that is being run. */
struct get {
    struct turn *turn;
    const struct meta_command *meta;
    const char *next; /* behind its line */
    struct execute_find find;
    bool seen;        /* a lookup has found it; this is how it was then: */
    bool fetched;
    uint32_t last_access;
};

static enum step
end_get(const struct get *get)
{
    get->turn->at = get->next;
    return STEP_ON;
}

static enum step
get_missed(const struct get *get, const struct store_view *view)
{
    struct lane *lane = get->turn->lane;
    struct execute_find find = { .key = get->find.key, .hash = get->find.hash };

    execute_count_miss(lane, &find, view);
    if (!meta_has(get->meta, 'q'))
        meta_put_bare(get->turn->out, get->meta, get->find.key, "EN");
    return end_get(get);
}

static enum step
get_failed(const struct get *get, enum outcome_code code)
{
    text_put_line(get->turn->out, code);
    return end_get(get);
}

/* Too much is pinned. Perhaps not any more when what is in the outbox has been sent. */
static enum step
get_unpinned(const struct get *get)
{
    if (!outbox_empty(get->turn->out))
        return STEP_DRAIN;
    counter_add(&get->turn->lane->counters.response_obj_oom, 1);
    return get_failed(get, OUTCOME_NO_MEMORY_READING);
}

/* Is the value to be sent? Not if the client has it already. */
static bool
sends_value(const struct get *get, const struct store_view *view)
{
    const struct meta_command *meta = get->meta;

    if (!meta_has(meta, 'v'))
        return false;
    return !meta_has(meta, 'C') ||
           meta_cas_shown(get->turn->lane, view->cas) != meta->cas_expected;
}

/* The line of a hit, written to the outbox's tail but not yet part of it. */
static char *
put_hit(const struct get *get, const struct store_view *view,
    const struct store_visited *visited, bool with_value)
{
    const struct lane *lane = get->turn->lane;
    const struct meta_command *meta = get->meta;
    struct meta_shown shown = {
        .code = with_value ? "VA" : "HD",
        .with_value = with_value,
        .key_binary = view->key_binary || meta_keeps_binary(meta, get->find.key),
        .fetched = get->seen ? get->fetched : view->fetched,
        .sent = view->win_sent,
        .stale = view->stale,
        .value_len = view->value_len,
        .size = view->value_len,
        .client_flags = view->client_flags,
        .now = lane->now,
        .last_access = get->seen ? get->last_access : view->last_access,
        .exptime = view->exptime,
        .cas = meta_cas_shown(lane, view->cas),
    };

    if (visited != NULL) {
        shown.sent = visited->sent;
        shown.won = visited->won;
        shown.exptime = visited->exptime_before;
        shown.touched = meta_has(meta, 'T');
        if (shown.touched)
            shown.exptime_touched = execute_exptime(lane, meta->exptime);
        shown.created = visited->created;
        if (shown.created)
            shown.exptime_created = execute_exptime(lane, meta->vivify_exptime);
    }
    return meta_put_line(
        outbox_tail(get->turn->out), meta, get->find.key, META_ECHO_GET, &shown);
}

/* A line that no value follows, or a large one does: as `pin` says. */
static enum step
end_hit(const struct get *get, const struct store_view *view, char *end,
    struct store_pin *pin)
{
    struct session *session = get->turn->session;
    struct outbox *out = get->turn->out;

    outbox_grow(out, (size_t)(end - outbox_tail(out)));
    if (pin != NULL) {
        session->pin = pin;
        session->left = view->value_len;
        session->verb = VERB_MG;
        session->state = STATE_VALUE;
        session->open_line = false;
    }
    execute_count_hit(get->turn->lane, &get->find, view);
    return end_get(get);
}

/* Copies a small value behind its line. False: it has changed. */
static bool
put_small(const struct get *get, const struct store_view *view,
    const struct store_visited *visited)
{
    char *value = put_hit(get, view, visited, true);

    if (!store_copy(get->turn->lane->store, view, value))
        return false;
    memcpy(value + view->value_len, "\r\n", 2);
    (void)end_hit(get, view, value + view->value_len + 2, NULL);
    return true;
}

/* Touches, creates, elects: once. */
static enum step
get_by_visit(struct get *get)
{
    struct turn *turn = get->turn;
    struct lane *lane = turn->lane;
    const struct meta_command *meta = get->meta;
    struct store_visit visit = {
        .key = get->find.key,
        .hash = get->find.hash,
        .use = get->seen || meta_has(meta, 'u') ? STORE_PEEK : STORE_USE,
        .set_exptime = meta_has(meta, 'T'),
        .recache = meta_has(meta, 'R'),
        .vivify = meta_has(meta, 'N'),
        .key_binary = meta_keeps_binary(meta, get->find.key),
        .pin = meta_has(meta, 'v'),
    };
    struct store_visited visited;
    struct store_view view;
    enum store_result result;

    if (visit.pin && outbox_room(turn->out) < GET_ROOM + STORE_SMALL_MAX)
        return STEP_DRAIN;
    if (visit.set_exptime)
        visit.exptime = execute_exptime(lane, meta->exptime);
    if (visit.recache) {
        visit.recache_below = execute_exptime(lane, meta->recache);
        visit.recache_touched = touched_before_recache(meta);
    }
    if (visit.vivify) {
        visit.vivify_exptime = meta_exptime_created(lane, meta);
        visit.cas_given = meta_cas_given(lane, meta) && meta->cas_new != 0;
        visit.cas_new = visit.cas_given ? meta->cas_new : 0;
    }
    result = store_visit(lane->store, lane->thread, &visit, lane->now, &visited, &view);
    if (result == STORE_MISS)
        return get_missed(get, &view);
    if (result != STORE_OK)
        return visited.pins_full ? get_unpinned(get)
                                 : get_failed(get, OUTCOME_NO_MEMORY);
    if (visited.pin != NULL && !sends_value(get, &view)) {
        store_unlock(lane->store, &view);
        view.locked = false;
        store_unpin(lane->store, lane->thread, visited.pin);
        visited.pin = NULL;
        (void)end_hit(get, &view, put_hit(get, &view, &visited, false), NULL);
    } else if (visited.pin != NULL) {
        (void)end_hit(get, &view, put_hit(get, &view, &visited, true), visited.pin);
    } else if (sends_value(get, &view)) {
        bool copied = put_small(get, &view, &visited);

        assert(copied || visited.created);
        /* What was created is empty, even if it has been replaced since. */
        if (!copied) {
            char *end = put_hit(get, &view, &visited, true);

            memcpy(end, "\r\n", 2);
            (void)end_hit(get, &view, end + 2, NULL);
        }
    } else {
        (void)end_hit(get, &view, put_hit(get, &view, &visited, false), NULL);
    }
    if (view.locked)
        store_unlock(lane->store, &view);
    return STEP_ON;
}

/* Is there anything to be done about the item but reading it? */
static bool
needs_visit(const struct get *get, const struct store_view *view)
{
    const struct meta_command *meta = get->meta;
    uint32_t below;

    if (view->win_sent || (get->turn->session->denied & RIGHT_WRITE) != 0)
        return false; /* who may not write can't be the one who is to make it anew */
    if (view->stale)
        return true;
    if (!meta_has(meta, 'R') || view->exptime == 0)
        return false;
    below = execute_exptime(get->turn->lane, meta->recache);
    return view->exptime < below;
}

/* Shows what a lookup has found. STEP_READ: it has changed, look it up again. */
static enum step
get_found(struct get *get, const struct store_view *view)
{
    struct turn *turn = get->turn;
    struct lane *lane = turn->lane;
    struct store_pin *pin;
    bool full = false;

    if (!sends_value(get, view))
        return end_hit(get, view, put_hit(get, view, NULL, false), NULL);
    if (!view->large) {
        if (outbox_room(turn->out) < GET_ROOM + view->value_len)
            return STEP_DRAIN;
        return put_small(get, view, NULL) ? STEP_ON : STEP_READ;
    }
    pin = store_pin(lane->store, lane->thread, view, &full);
    if (pin == NULL)
        return full ? get_unpinned(get) : STEP_READ;
    return end_hit(get, view, put_hit(get, view, NULL, true), pin);
}

static enum step
run_get(struct get *get)
{
    struct lane *lane = get->turn->lane;
    const struct meta_command *meta = get->meta;
    enum store_use use = meta_has(meta, 'u') ? STORE_PEEK : STORE_USE;

    get->find.touch = meta_has(meta, 'T');
    if (get->find.touch)
        return get_by_visit(get);
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct store_view view;
        enum store_result result;
        enum step step;

        if (tries < TRIES_UNLOCKED)
            result = store_find(lane->store, lane->thread, get->find.key, get->find.hash,
                lane->now, use, &view);
        else
            result = store_find_locked(lane->store, lane->thread, get->find.key,
                get->find.hash, lane->now, use, &view);
        if (result != STORE_OK)
            return meta_has(meta, 'N') ? get_by_visit(get) : get_missed(get, &view);
        if (!get->seen) {
            get->seen = true;
            get->fetched = view.fetched;
            get->last_access = view.last_access;
        }
        if (needs_visit(get, &view)) {
            if (view.locked)
                store_unlock(lane->store, &view);
            return get_by_visit(get);
        }
        step = get_found(get, &view);
        if (view.locked)
            store_unlock(lane->store, &view);
        if (step != STEP_READ)
            return step;
    }
    return get_failed(get, OUTCOME_NO_MEMORY_READING);
}

enum step
meta_get(struct turn *turn, const struct meta_command *meta, struct slice key,
    uint64_t hash, const char *next)
{
    struct get get = { .turn = turn, .meta = meta, .next = next };
    enum step step;

    get.find.key = key;
    get.find.hash = hash;
    step = run_get(&get);
    if (step == STEP_ON)
        counter_add(&turn->lane->counters.cmd_meta, 1);
    return step;
}

/* Did it cost what a key costs? Not if it may have created an item, nor with a large
 * value. */
static bool
is_single(const struct get *get)
{
    return !meta_has(get->meta, 'N') && get->turn->session->state == STATE_LINE;
}

enum step
meta_one(struct turn *turn, const struct ahead_row *row)
{
    struct meta_command meta;
    struct get get = { .turn = turn, .meta = &meta, .next = row->at + row->line_len };
    const char *end = get.next - 1;
    enum outcome_code error;
    enum step step;

    if (outbox_room(turn->out) < GET_ROOM)
        return STEP_DRAIN;
    if (end[-1] == '\r')
        end--;
    get.find.key = slice_of(row->at + row->key_at, row->key_len);
    get.find.hash = row->hash;
    error = meta_parse_get(
        get.find.key.data + get.find.key.len, end, &get.find.key, &meta);
    if (error != OUTCOME_NONE) {
        budget_spend(&turn->budget, BUDGET_COMMAND);
        return get_failed(&get, error);
    }
    if (turn->session->denied != 0 && rights_deny_get(turn->session->denied, &meta)) {
        budget_spend(&turn->budget, BUDGET_COMMAND);
        return get_failed(&get, OUTCOME_NOT_ALLOWED);
    }
    if (meta_has(&meta, 'b'))
        get.find.hash = store_hash(turn->lane->store, get.find.key);
    step = run_get(&get);
    if (step == STEP_ON) {
        counter_add(&turn->lane->counters.cmd_meta, 1);
        budget_spend(&turn->budget, is_single(&get) ? turn->budget.single
                                                    : BUDGET_COMMAND);
    }
    return step;
}
