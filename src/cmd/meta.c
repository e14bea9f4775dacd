/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta.c - what the meta commands but mg mean; doc/meta.md says what they are for.
 */
#include "cmd/meta.h"

#include <string.h>

#include "base/assert.h"
#include "base/num.h"
#include "cmd/execute.h"
#include "cmd/notice.h"
#include "cmd/rights.h"
#include "proto/text_reply.h"

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

uint32_t
meta_exptime_created(const struct lane *lane, const struct meta_command *meta)
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

static void
put_line(struct outbox *out, const struct meta_command *meta, struct slice key,
    enum meta_echo echo, const struct meta_shown *shown)
{
    char *tail = outbox_tail(out);

    assert(outbox_room(out) >= META_LINE_ROOM);
    outbox_grow(out, (size_t)(meta_put_line(tail, meta, key, echo, shown) - tail));
}

void
meta_put_bare(struct outbox *out, const struct meta_command *meta, struct slice key,
    const char *code)
{
    struct meta_shown shown = { .code = code, .key_binary = meta_has(meta, 'b') };

    put_line(out, meta, key, META_ECHO_KEY, &shown);
}

/* ---- ms ---------------------------------------------------------------------------- */

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
set_conditions(
    struct store_write *write, const struct lane *lane, const struct meta_command *meta)
{
    bool joins = write->mode == STORE_APPEND || write->mode == STORE_PREPEND;

    if (meta_has(meta, 'C')) {
        write->compare = !joins || meta->cas_expected != 0;
        write->cas_expected = cas_expected(lane, meta);
        write->allow_stale = meta_has(meta, 'I') && !joins && lane->context->cas;
    }
    if (meta_cas_given(lane, meta) && meta->cas_new != 0) {
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
    counter_add(&lane->counters.cmd_meta, 1);
    execute_count_store(
        lane, write.compare && write.mode != STORE_ADD, result, written.slab_class);
    if (lane->notice != 0)
        notice_set(lane,
            &(struct notice_store){ .key = command->key, .hash = hash,
                .word = notice_word(write.mode, write.compare), .result = result,
                .exptime = write.exptime, .slab_class = written.slab_class,
                .value_len = result == STORE_OK ? written.value_len
                                                : command->value_len });
    if (result == STORE_NO_MEMORY) {
        execute_store_failed(lane, VERB_MS, command->key);
        text_put_line(out, OUTCOME_NO_MEMORY_STORING);
        return;
    }
    if (result == STORE_OK && meta_has(meta, 'q'))
        return;
    shown.code = code_of(result);
    shown.cas = meta_cas_shown(lane, written.cas);
    shown.size = result == STORE_OK ? written.value_len : command->value_len;
    put_line(out, meta, command->key, META_ECHO_STORE, &shown);
}

/* ---- md ---------------------------------------------------------------------------- */

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
        .key_binary = meta_keeps_binary(meta, command->key),
    };

    if (!mark.stale && !mark.empty)
        return store_delete(lane->store, lane->thread, command->key, hash, compare,
            mark.cas_expected, lane->now, slab_class);
    mark.cas_given = meta_cas_given(lane, meta);
    mark.cas_new = mark.cas_given ? meta->cas_new : 0;
    return store_mark(lane->store, lane->thread, &mark, lane->now, slab_class);
}

static void
run_delete(struct lane *lane, const struct command *command, uint64_t hash,
    struct outbox *out)
{
    uint8_t slab_class = 0;
    uint32_t size = lane->notice != 0 ? notice_size(lane, command->key, hash) : 0;
    enum store_result result = delete_or_mark(lane, command, hash, &slab_class);

    if (lane->notice != 0)
        notice_delete(
            lane, command->key, hash, result == STORE_OK, "md", slab_class, size);
    if (result == STORE_OK) {
        counter_add(&lane->counters.delete_hits, 1);
        counter_add(&class_of(lane, slab_class)->delete_hits, 1);
    } else if (result == STORE_MISS) {
        counter_add(&lane->counters.delete_misses, 1);
    }
    if (result == STORE_NO_MEMORY)
        text_put_line(out, OUTCOME_NO_MEMORY);
    else if (result != STORE_OK || !meta_has(command->meta, 'q'))
        meta_put_bare(out, command->meta, command->key, code_of(result));
}

/* ---- ma ---------------------------------------------------------------------------- */

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
        .cas = meta_cas_shown(lane, summed->cas),
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
        .cas_given = meta_cas_given(lane, meta),
        .set_exptime = meta_has(meta, 'T'),
        .exptime = execute_exptime(lane, command->exptime),
        .vivify = meta_has(meta, 'N'),
        .initial = meta_has(meta, 'J') ? meta->initial : 0,
        .key_binary = meta_keeps_binary(meta, command->key),
    };
    struct store_summed summed = { 0 };
    enum store_result result;

    if (arith.compare)
        arith.cas_expected = cas_expected(lane, meta);
    if (arith.cas_given)
        arith.cas_new = meta->cas_new;
    if (arith.vivify)
        arith.vivify_exptime = meta_exptime_created(lane, meta);
    result = store_arith(lane->store, lane->thread, &arith, lane->now, &summed);
    count_arith(lane, incr, result, &summed);
    if (lane->notice != 0)
        notice_use(lane, command->key, hash,
            result != STORE_MISS && !summed.created, summed.slab_class);
    if (result == STORE_NO_MEMORY)
        text_put_line(
            out, summed.created ? OUTCOME_NO_MEMORY_COUNTER : OUTCOME_NO_MEMORY);
    else if (result == STORE_NOT_A_NUMBER)
        text_put_line(out, OUTCOME_NOT_A_NUMBER);
    else if (result != STORE_OK)
        meta_put_bare(out, meta, command->key, code_of(result));
    else if (!meta_has(meta, 'q'))
        put_sum(lane, command, &summed, out);
}

/* ---- me ---------------------------------------------------------------------------- */

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
        .key_binary = view.key_binary || meta_keeps_binary(command->meta, command->key),
        .fetched = view.fetched,
        .slab_class = view.slab_class,
        .now = lane->now,
        .exptime = view.exptime,
        .last_access = view.last_access,
        .cas = meta_cas_shown(lane, view.cas),
        .size = store_item_size(
            lane->store, command->key.len, view.client_flags, view.value_len),
    };
    outbox_grow(out, (size_t)(meta_put_debug(tail, command->key, &debug) - tail));
}

/* ---- All of them ------------------------------------------------------------------- */

/* The hash of a command's key; the look-ahead does not know one in base64. */
static uint64_t
hash_of(struct turn *turn, const struct command *command)
{
    if (meta_has(command->meta, 'b'))
        return store_hash(turn->lane->store, command->key);
    return ahead_hash(
        &turn->lane->ahead, turn->lane->store, &turn->session->ahead, command->key);
}

static bool
is_denied(const struct session *session, const struct command *command)
{
    return rights_deny(session->denied, command->verb, true) ||
           (command->verb == VERB_MG && rights_deny_get(session->denied, command->meta));
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
    if (turn->session->denied != 0 && is_denied(turn->session, &command))
        return line_deny(turn, &command, next);
    if (command.verb == VERB_MS)
        return storing_run(turn, &command, next);
    hash = hash_of(turn, &command);
    if (command.verb == VERB_MG)
        return meta_get(turn, &meta, command.key, hash, next);
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
