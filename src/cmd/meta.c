/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta.c - what the meta commands mean; doc/meta.md says what they are for.
 *
 * A plain `mg` is a lookup like any other: no lock, one copy. Only what changes something
 * (a new expiry, an item to be created, a winner to be found) visits the item under its
 * lock, and such a visit is made once: whatever its reply may need, room and pin, is there
 * before, because the one who has won would not win a second time.
 *
 * Flags act from left to right, but the store is asked once. So what is to happen is
 * worked out before, and meta_put_line() walks the flags again to show each number as it
 * was at that place.
 */
#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "cmd/execute.h"
#include "cmd/state.h"
#include "proto/meta_reply.h"
#include "proto/text_reply.h"

/* Copies that fail before the item's stripe is locked. */
#define TRIES_UNLOCKED 2u
/* Values that change between lookup and pin are looked up again so often. */
#define TRIES_MAX 64u
/* What an mg needs besides its value: its line, and what follows the value. */
#define GET_ROOM (META_LINE_ROOM + 2u)
/* What a comparison that must fail expects: no item has it, see store_write(). */
#define CAS_NEVER 0u

static struct class_counters *
class_of(struct lane *lane, uint8_t id)
{
    assert(id < COUNTER_CLASSES);
    return &lane->counters.classes[id];
}

/* With -C nobody has seen a unique, so none can be the right one. */
static uint64_t
cas_expected(const struct lane *lane, const struct meta_command *meta)
{
    return lane->context->cas ? meta->cas_expected : CAS_NEVER;
}

static bool
cas_given(const struct lane *lane, const struct meta_command *meta)
{
    return meta_has(meta, 'E') && lane->context->cas;
}

static uint64_t
cas_shown(const struct lane *lane, uint64_t cas)
{
    return lane->context->cas ? cas : 0;
}

/* Items keep that their key came in base64 if it could not be shown otherwise. */
static bool
keeps_binary(const struct meta_command *meta, struct slice key)
{
    return meta_has(meta, 'b') && meta_key_unprintable(key);
}

/* The expiry of an item that is created: the last word of N and T has it. */
static uint32_t
exptime_created(const struct lane *lane, const struct meta_command *meta)
{
    int32_t exptime = meta->vivify_exptime;

    for (unsigned i = 0; i < meta->nletters; i++) {
        if (meta->letters[i] == 'N')
            exptime = meta->vivify_exptime;
        if (meta->letters[i] == 'T')
            exptime = meta->exptime;
    }
    return execute_exptime(lane, exptime);
}

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

static void
put_line(struct outbox *out, const struct meta_command *meta, struct slice key,
    enum meta_echo echo, const struct meta_shown *shown)
{
    char *tail = outbox_tail(out);

    assert(outbox_room(out) >= META_LINE_ROOM);
    outbox_grow(out, (size_t)(meta_put_line(tail, meta, key, echo, shown) - tail));
}

/* A reply that shows the key as the request gave it, and nothing of an item. */
static void
put_bare(struct outbox *out, const struct meta_command *meta, struct slice key,
    const char *code)
{
    struct meta_shown shown = { .code = code, .key_binary = meta_has(meta, 'b') };

    put_line(out, meta, key, META_ECHO_KEY, &shown);
}

/* ---- mg ------------------------------------------------------------------------------ */

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
    struct execute_find find = { .key = get->find.key };

    execute_count_miss(lane, &find, view);
    if (!meta_has(get->meta, 'q'))
        put_bare(get->turn->out, get->meta, get->find.key, "EN");
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
           cas_shown(get->turn->lane, view->cas) != meta->cas_expected;
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
        .key_binary = view->key_binary || keeps_binary(meta, get->find.key),
        .fetched = get->seen ? get->fetched : view->fetched,
        .sent = view->win_sent,
        .stale = view->stale,
        .value_len = view->value_len,
        .size = view->value_len,
        .client_flags = view->client_flags,
        .now = lane->now,
        .last_access = get->seen ? get->last_access : view->last_access,
        .exptime = view->exptime,
        .cas = cas_shown(lane, view->cas),
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
        .key_binary = keeps_binary(meta, get->find.key),
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
        visit.vivify_exptime = exptime_created(lane, meta);
        visit.cas_given = cas_given(lane, meta) && meta->cas_new != 0;
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

    if (view->win_sent)
        return false;
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
    error = meta_parse_get(get.find.key.data + get.find.key.len, end, &get.find.key, &meta);
    if (error != OUTCOME_NONE) {
        turn->budget--;
        return get_failed(&get, error);
    }
    if (meta_has(&meta, 'b'))
        get.find.hash = store_hash(turn->lane->store, get.find.key);
    step = run_get(&get);
    if (step == STEP_ON) {
        counter_add(&turn->lane->counters.cmd_meta, 1);
        turn->budget--;
    }
    return step;
}

/* ---- ms ------------------------------------------------------------------------------ */

static enum store_mode
mode_of(const struct meta_command *meta)
{
    switch (meta_has(meta, 'M') ? meta->mode : 'S') {
    case 'E':
        return STORE_ADD;
    case 'R':
        return STORE_REPLACE;
    case 'A':
        return STORE_APPEND;
    case 'P':
        return STORE_PREPEND;
    default:
        return STORE_SET;
    }
}

static void
count_store(struct lane *lane, bool compared, enum store_result result,
    uint8_t slab_class)
{
    struct counters *counters = &lane->counters;
    struct class_counters *of_class = class_of(lane, slab_class);

    counter_add(&counters->cmd_meta, 1);
    counter_add(&counters->cmd_set, 1);
    counter_add(&of_class->cmd_set, 1);
    if (!compared)
        return;
    if (result == STORE_OK) {
        counter_add(&counters->cas_hits, 1);
        counter_add(&of_class->cas_hits, 1);
    } else if (result == STORE_EXISTS) {
        counter_add(&counters->cas_badval, 1);
        counter_add(&of_class->cas_badval, 1);
    } else if (result == STORE_MISS) {
        counter_add(&counters->cas_misses, 1);
    }
}

static void
set_conditions(
    struct store_write *write, const struct lane *lane, const struct meta_command *meta)
{
    bool joins = write->mode == STORE_APPEND || write->mode == STORE_PREPEND;

    if (meta_has(meta, 'C')) {
        write->compare = !joins || meta->cas_expected != 0;
        write->cas_expected = cas_expected(lane, meta);
        write->allow_stale = meta_has(meta, 'I') && !joins && lane->context->cas;
    }
    if (cas_given(lane, meta) && meta->cas_new != 0) {
        write->cas_given = true;
        write->cas_new = meta->cas_new;
    }
    if (joins && meta_has(meta, 'N')) {
        write->vivify = true;
        write->vivify_exptime = execute_exptime(lane, meta->vivify_exptime);
    }
}

static const char *
code_of(enum store_result result)
{
    if (result == STORE_MISS)
        return "NF";
    if (result == STORE_EXISTS)
        return "EX";
    return result == STORE_OK ? "HD" : "NS";
}

void
meta_store(struct lane *lane, const struct command *command, uint64_t hash,
    const struct execute_value *value, struct outbox *out)
{
    const struct meta_command *meta = command->meta;
    struct store_write write = {
        .mode = mode_of(meta),
        .key = command->key,
        .hash = hash,
        .client_flags = command->client_flags,
        .exptime = execute_exptime(lane, command->exptime),
        .value = value->bytes,
        .upload = value->upload,
        .key_binary = meta_has(meta, 'b'),
    };
    struct store_written written = { 0 };
    struct meta_shown shown = { .key_binary = write.key_binary };
    enum store_result result;

    set_conditions(&write, lane, meta);
    result = store_write(lane->store, lane->thread, &write, lane->now, &written);
    count_store(lane, write.compare && write.mode != STORE_ADD, result, written.slab_class);
    if (lane_detail(lane))
        lane->context->hook->detail_set(lane->context->hook->context, command->key);
    if (result == STORE_NO_MEMORY) {
        execute_store_failed(lane, VERB_MS, command->key);
        text_put_line(out, OUTCOME_NO_MEMORY_STORING);
        return;
    }
    if (result == STORE_OK && meta_has(meta, 'q'))
        return;
    shown.code = code_of(result);
    shown.cas = cas_shown(lane, written.cas);
    shown.size = result == STORE_OK ? written.value_len : command->value_len;
    put_line(out, meta, command->key, META_ECHO_STORE, &shown);
}

/* ---- md ------------------------------------------------------------------------------ */

/* Deletes, marks or empties. */
static enum store_result
delete_or_mark(struct lane *lane, const struct command *command, uint64_t hash,
    uint8_t *slab_class)
{
    const struct meta_command *meta = command->meta;
    bool compare = meta_has(meta, 'C');
    struct store_mark mark = {
        .key = command->key,
        .hash = hash,
        .compare = compare,
        .cas_expected = compare ? cas_expected(lane, meta) : 0,
        .stale = meta_has(meta, 'I'),
        .empty = meta_has(meta, 'x'),
        .client_flags = command->client_flags,
        .set_exptime = meta_has(meta, 'T'),
        .exptime = execute_exptime(lane, command->exptime),
        .key_binary = keeps_binary(meta, command->key),
    };

    if (!mark.stale && !mark.empty)
        return store_delete(lane->store, lane->thread, command->key, hash, compare,
            mark.cas_expected, lane->now, slab_class);
    mark.cas_given = cas_given(lane, meta);
    mark.cas_new = mark.cas_given ? meta->cas_new : 0;
    return store_mark(lane->store, lane->thread, &mark, lane->now, slab_class);
}

static void
run_delete(struct lane *lane, const struct command *command, uint64_t hash,
    struct outbox *out)
{
    uint8_t slab_class = 0;
    enum store_result result = delete_or_mark(lane, command, hash, &slab_class);

    if (lane_detail(lane))
        lane->context->hook->detail_delete(lane->context->hook->context, command->key);
    if (result == STORE_OK) {
        counter_add(&lane->counters.delete_hits, 1);
        counter_add(&class_of(lane, slab_class)->delete_hits, 1);
    } else if (result == STORE_MISS) {
        counter_add(&lane->counters.delete_misses, 1);
    }
    if (result == STORE_NO_MEMORY)
        text_put_line(out, OUTCOME_NO_MEMORY);
    else if (result != STORE_OK || !meta_has(command->meta, 'q'))
        put_bare(out, command->meta, command->key, code_of(result));
}

/* ---- ma ------------------------------------------------------------------------------ */

static void
count_arith(struct lane *lane, bool incr, enum store_result result,
    const struct store_summed *summed)
{
    struct counters *counters = &lane->counters;
    struct class_counters *of_class = class_of(lane, summed->slab_class);

    if (result == STORE_MISS || (result == STORE_OK && summed->created)) {
        counter_add(incr ? &counters->incr_misses : &counters->decr_misses, 1);
    } else if (result == STORE_OK) {
        counter_add(incr ? &counters->incr_hits : &counters->decr_hits, 1);
        counter_add(incr ? &of_class->incr_hits : &of_class->decr_hits, 1);
    }
}

static void
put_sum(const struct lane *lane, const struct command *command,
    const struct store_summed *summed, struct outbox *out)
{
    const struct meta_command *meta = command->meta;
    char digits[NUM_U64_MAX + 2];
    char *end = num_put(digits, summed->number);
    size_t len = (size_t)(end - digits);
    struct meta_shown shown = {
        .code = meta_has(meta, 'v') ? "VA" : "HD",
        .with_value = meta_has(meta, 'v'),
        .value_len = (uint32_t)len,
        .key_binary = meta_has(meta, 'b'),
        .now = lane->now,
        .exptime = summed->exptime_before,
        .touched = meta_has(meta, 'T'),
        .exptime_touched = execute_exptime(lane, command->exptime),
        .created = summed->created,
        .cas = cas_shown(lane, summed->cas),
    };

    if (shown.created)
        shown.exptime_created = execute_exptime(lane, meta->vivify_exptime);
    put_line(out, meta, command->key, META_ECHO_ARITH, &shown);
    if (shown.with_value) {
        memcpy(end, "\r\n", 2);
        outbox_put(out, digits, len + 2);
    }
}

static void
run_arith(struct lane *lane, const struct command *command, uint64_t hash,
    struct outbox *out)
{
    const struct meta_command *meta = command->meta;
    bool incr = !meta_has(meta, 'M') || meta->mode == 'I' || meta->mode == '+';
    struct store_arith arith = {
        .op = incr ? STORE_INCR : STORE_DECR,
        .key = command->key,
        .hash = hash,
        .delta = meta_has(meta, 'D') ? meta->delta : 1,
        .compare = meta_has(meta, 'C') && meta->cas_expected != 0,
        .cas_given = cas_given(lane, meta),
        .set_exptime = meta_has(meta, 'T'),
        .exptime = execute_exptime(lane, command->exptime),
        .vivify = meta_has(meta, 'N'),
        .initial = meta_has(meta, 'J') ? meta->initial : 0,
        .key_binary = keeps_binary(meta, command->key),
    };
    struct store_summed summed = { 0 };
    enum store_result result;

    if (arith.compare)
        arith.cas_expected = cas_expected(lane, meta);
    if (arith.cas_given)
        arith.cas_new = meta->cas_new;
    if (arith.vivify)
        arith.vivify_exptime = exptime_created(lane, meta);
    result = store_arith(lane->store, lane->thread, &arith, lane->now, &summed);
    count_arith(lane, incr, result, &summed);
    if (result == STORE_NO_MEMORY)
        text_put_line(out, summed.created ? OUTCOME_NO_MEMORY_COUNTER : OUTCOME_NO_MEMORY);
    else if (result == STORE_NOT_A_NUMBER)
        text_put_line(out, OUTCOME_NOT_A_NUMBER);
    else if (result != STORE_OK)
        put_bare(out, meta, command->key, code_of(result));
    else if (!meta_has(meta, 'q'))
        put_sum(lane, command, &summed, out);
}

/* ---- me ------------------------------------------------------------------------------ */

static void
run_debug(struct lane *lane, const struct command *command, uint64_t hash,
    struct outbox *out)
{
    struct store_view view;
    struct meta_debug debug;
    char *tail = outbox_tail(out);

    if (store_find(lane->store, lane->thread, command->key, hash, lane->now, STORE_PEEK,
            &view) != STORE_OK) {
        outbox_put(out, "EN\r\n", 4);
        return;
    }
    debug = (struct meta_debug){
        .key_binary = view.key_binary || keeps_binary(command->meta, command->key),
        .fetched = view.fetched,
        .slab_class = view.slab_class,
        .now = lane->now,
        .exptime = view.exptime,
        .last_access = view.last_access,
        .cas = cas_shown(lane, view.cas),
        .size = store_item_size(
            lane->store, command->key.len, view.client_flags, view.value_len),
    };
    outbox_grow(out, (size_t)(meta_put_debug(tail, command->key, &debug) - tail));
}

/* ---- All of them --------------------------------------------------------------------- */

/* The hash of a command's key; the look-ahead does not know one in base64. */
static uint64_t
hash_of(struct turn *turn, const struct command *command)
{
    if (meta_has(command->meta, 'b'))
        return store_hash(turn->lane->store, command->key);
    return ahead_hash(
        &turn->lane->ahead, turn->lane->store, &turn->session->ahead, command->key);
}

enum step
meta_run(struct turn *turn, const struct command *line, const char *next)
{
    struct lane *lane = turn->lane;
    struct command command = { .verb = line->verb, .rest = line->rest };
    struct meta_command meta;
    uint64_t hash;

    if (outbox_room(turn->out) < GET_ROOM)
        return STEP_DRAIN;
    meta_parse(&command, &meta);
    if (command.error != OUTCOME_NONE) {
        turn->at = next;
        if (command.swallow)
            return upload_refuse(turn, &command, command.error);
        text_put_line(turn->out, command.error);
        return STEP_ON;
    }
    if (command.verb == VERB_MS)
        return session_store(turn, &command, next);
    hash = hash_of(turn, &command);
    if (command.verb == VERB_MG) {
        struct get get = { .turn = turn, .meta = &meta, .next = next };
        enum step step;

        get.find.key = command.key;
        get.find.hash = hash;
        step = run_get(&get);
        counter_add(&lane->counters.cmd_meta, step == STEP_ON);
        return step;
    }
    counter_add(&lane->counters.cmd_meta, 1);
    if (command.verb == VERB_MD)
        run_delete(lane, &command, hash, turn->out);
    else if (command.verb == VERB_MA)
        run_arith(lane, &command, hash, turn->out);
    else
        run_debug(lane, &command, hash, turn->out);
    turn->at = next;
    return STEP_ON;
}
