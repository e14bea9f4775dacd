/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * execute.c - the one place where commands get their meaning.
 */
#include "cmd/execute.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/counters.h"
#include "cmd/notice.h"

/* A CAS unique that no item has: with it a comparison finds a key but never equality. */
#define CAS_NEVER 0u

uint32_t
execute_exptime(const struct lane *lane, int64_t exptime)
{
    return exptime == 0 ? EXPTIME_NEVER : clock_exptime(exptime, lane->now);
}

/* With -C nobody has seen a unique, so none can be the right one. */
static uint64_t
expected(const struct lane *lane, uint64_t cas)
{
    return lane->context->cas ? cas : CAS_NEVER;
}

static struct class_counters *
class_of(struct lane *lane, uint8_t id)
{
    assert(id < COUNTER_CLASSES);
    return &lane->counters.classes[id];
}

/* In the binary protocol a CAS unique is the only condition of a set, add or replace. */
static bool
is_swap(const struct command *command)
{
    bool joins = command->verb == VERB_APPEND || command->verb == VERB_PREPEND;

    return command->verb == VERB_CAS || (command->compare && !joins);
}

static enum store_mode
mode_of(const struct command *command)
{
    enum verb verb = command->verb;

    if (is_swap(command))
        return STORE_SET;
    if (verb == VERB_ADD)
        return STORE_ADD;
    if (verb == VERB_REPLACE)
        return STORE_REPLACE;
    if (verb == VERB_APPEND)
        return STORE_APPEND;
    if (verb == VERB_PREPEND)
        return STORE_PREPEND;
    return STORE_SET;
}

void
execute_count_store(struct lane *lane, bool compared, enum store_result result,
    uint8_t slab_class)
{
    struct counters *counters = &lane->counters;
    struct class_counters *of_class = class_of(lane, slab_class);

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

static enum outcome_code
stored_code(enum store_result result)
{
    switch (result) {
    case STORE_OK:
        return OUTCOME_STORED;
    case STORE_MISS:
        return OUTCOME_NOT_FOUND;
    case STORE_NOT_STORED:
        return OUTCOME_NOT_STORED;
    case STORE_EXISTS:
        return OUTCOME_EXISTS;
    case STORE_TOO_LARGE:
        return OUTCOME_TOO_LARGE;
    case STORE_NO_MEMORY:
        return OUTCOME_NO_MEMORY_STORING;
    case STORE_NOT_A_NUMBER:
        return OUTCOME_NOT_A_NUMBER;
    }
    return OUTCOME_UNKNOWN;
}

void
execute_store(struct lane *lane, const struct command *command, uint64_t hash,
    const struct execute_value *value, struct outcome *outcome)
{
    struct store_write write = {
        .mode = mode_of(command),
        .key = command->key,
        .hash = hash,
        .client_flags = command->client_flags,
        .exptime = execute_exptime(lane, command->exptime),
        .value = value->bytes,
        .upload = value->upload,
        .compare = command->compare || command->verb == VERB_CAS,
        .cas_expected = expected(
            lane, command->verb == VERB_CAS ? command->number : command->cas),
    };
    struct store_written written = { 0 };
    enum store_result result =
        store_write(lane->store, lane->thread, &write, lane->now, &written);

    execute_count_store(lane, is_swap(command), result, written.slab_class);
    if (result == STORE_NO_MEMORY)
        counter_add(&lane->counters.store_no_memory, 1);
    if (lane->notice != 0)
        notice_set(lane,
            &(struct notice_store){ .key = command->key, .hash = hash,
                .word = notice_word(write.mode, is_swap(command)), .result = result,
                .exptime = write.exptime, .slab_class = written.slab_class,
                .value_len = result == STORE_OK ? written.value_len
                                                : command->value_len });
    outcome->code = stored_code(result);
    outcome->cas = written.cas;
}

/* A failed `set` must not leave an older value behind: the client has been told that its
 * value was refused and would go on to read something it believes replaced. The same
 * holds for an `ms` of any mode, as clients are used to it. */
static void
remove_old(struct lane *lane, enum verb verb, struct slice key)
{
    uint8_t slab_class;

    if (verb == VERB_SET || verb == VERB_MS)
        (void)store_delete(lane->store, lane->thread, key, store_hash(lane->store, key),
            false, 0, lane->now, &slab_class);
}

void
execute_show_refused(struct lane *lane, enum verb verb, struct slice key,
    enum store_result result, uint32_t value_len)
{
    struct command command = { .verb = verb };

    if (lane->notice != 0)
        notice_set(lane,
            &(struct notice_store){ .key = key, .result = result,
                .word = notice_word(mode_of(&command), is_swap(&command)),
                .value_len = value_len });
}

bool
execute_size_allowed(struct lane *lane, const struct command *command)
{
    if (store_fits(lane->store, command->key.len, command->client_flags,
            command->value_len))
        return true;
    counter_add(&lane->counters.store_too_large, 1);
    execute_show_refused(
        lane, command->verb, command->key, STORE_TOO_LARGE, command->value_len);
    remove_old(lane, command->verb, command->key);
    return false;
}

void
execute_store_failed(struct lane *lane, enum verb verb, struct slice key)
{
    counter_add(&lane->counters.store_no_memory, 1);
    remove_old(lane, verb, key);
}

void
execute_arith(struct lane *lane, const struct command *command, uint64_t hash,
    struct outcome *outcome)
{
    bool incr = command->verb == VERB_INCR;
    struct counters *counters = &lane->counters;
    struct store_arith arith = {
        .op = incr ? STORE_INCR : STORE_DECR,
        .key = command->key,
        .hash = hash,
        .delta = command->number,
        .compare = command->compare,
        .cas_expected = expected(lane, command->cas),
        .vivify = command->create,
        .initial = command->initial,
        .vivify_exptime = execute_exptime(lane, command->exptime),
    };
    struct store_summed summed = { 0 };
    enum store_result result =
        store_arith(lane->store, lane->thread, &arith, lane->now, &summed);

    if (lane->notice != 0)
        notice_use(lane, command->key, hash,
            result != STORE_MISS && !summed.created, summed.slab_class);
    if (result == STORE_OK) {
        struct class_counters *of_class = class_of(lane, summed.slab_class);

        if (summed.created) {
            counter_add(incr ? &counters->incr_misses : &counters->decr_misses, 1);
        } else {
            counter_add(incr ? &counters->incr_hits : &counters->decr_hits, 1);
            counter_add(incr ? &of_class->incr_hits : &of_class->decr_hits, 1);
        }
        outcome->code = OUTCOME_NUMBER;
        outcome->number = summed.number;
        outcome->cas = summed.cas;
        return;
    }
    if (result == STORE_MISS)
        counter_add(incr ? &counters->incr_misses : &counters->decr_misses, 1);
    outcome->code = stored_code(result);
    if (result == STORE_NO_MEMORY)
        outcome->code = summed.created ? OUTCOME_NO_MEMORY_CREATING : OUTCOME_NO_MEMORY;
}

void
execute_delete(struct lane *lane, const struct command *command, uint64_t hash,
    struct outcome *outcome)
{
    uint8_t slab_class = 0;
    uint32_t size = lane->notice != 0 ? notice_size(lane, command->key, hash) : 0;
    enum store_result result = store_delete(lane->store, lane->thread, command->key, hash,
        command->compare, expected(lane, command->cas), lane->now, &slab_class);

    if (lane->notice != 0)
        notice_delete(lane, command->key, hash, result == STORE_OK, "delete", slab_class,
            size);
    if (result == STORE_OK) {
        counter_add(&lane->counters.delete_hits, 1);
        counter_add(&class_of(lane, slab_class)->delete_hits, 1);
        outcome->code = OUTCOME_DELETED;
        return;
    }
    if (result == STORE_MISS)
        counter_add(&lane->counters.delete_misses, 1);
    outcome->code = stored_code(result);
}

void
execute_touch(struct lane *lane, const struct command *command, uint64_t hash,
    struct outcome *outcome)
{
    struct execute_find find = {
        .key = command->key,
        .hash = hash,
        .touch = true,
        .exptime = execute_exptime(lane, command->exptime),
    };
    struct store_view view;
    bool hit = execute_find(lane, &find, &view);

    if (lane->notice != 0)
        notice_use(lane, command->key, hash, hit, hit ? view.slab_class : 0);
    if (hit) {
        counter_add(&lane->counters.touch_hits, 1);
        counter_add(&class_of(lane, view.slab_class)->touch_hits, 1);
        outcome->code = OUTCOME_TOUCHED;
        outcome->client_flags = view.client_flags;
        outcome->cas = view.cas;
    } else {
        counter_add(&lane->counters.touch_misses, 1);
        outcome->code = OUTCOME_NOT_FOUND;
    }
    counter_add(&lane->counters.cmd_touch, 1);
}

void
execute_flush(struct lane *lane, const struct command *command, struct outcome *outcome)
{
    uint32_t when = lane->now;

    counter_add(&lane->counters.cmd_flush, 1);
    if (!lane->context->flush_allowed) {
        outcome->code = OUTCOME_FLUSH_DENIED;
        return;
    }
    if (command->error != OUTCOME_NONE) {
        outcome->code = command->error;
        return;
    }
    if (command->exptime > 0) {
        when = clock_exptime(command->exptime, lane->now);
        /* A date that is over flushes nothing, but it does replace an appointment. */
        if (when <= lane->now)
            when = UINT32_MAX;
    }
    store_flush(lane->store, when, lane->now);
    outcome->code = OUTCOME_OK;
}

bool
execute_knows_prefixes(const struct lane *lane)
{
    return store_flush_prefixes(lane->store) > 0;
}

void
execute_flush_prefix(struct lane *lane, const struct command *command,
    struct outcome *outcome)
{
    counter_add(&lane->counters.cmd_flush_prefix, 1);
    if (!lane->context->flush_allowed)
        outcome->code = OUTCOME_FLUSH_DENIED;
    else if (command->error != OUTCOME_NONE)
        outcome->code = command->error;
    else if (store_flush_prefix(lane->store, command->rest) == STORE_OK)
        outcome->code = OUTCOME_OK;
    else
        outcome->code = OUTCOME_NOT_FOUND;
}

bool
execute_find(struct lane *lane, const struct execute_find *find,
    struct store_view *view)
{
    enum store_result result;

    if (find->touch) {
        struct store_touch touch = { .set_exptime = true, .exptime = find->exptime };

        result = store_touch(lane->store, lane->thread, find->key, find->hash, &touch,
            lane->now, view);
        if (result != STORE_OK || !find->lock)
            return result == STORE_OK;
    }
    if (find->lock)
        result = store_find_locked(lane->store, lane->thread, find->key, find->hash,
            lane->now, STORE_USE, view);
    else
        result = store_find(lane->store, lane->thread, find->key, find->hash, lane->now,
            STORE_USE, view);
    return result == STORE_OK;
}

void
execute_count_hit(struct lane *lane, const struct execute_find *find,
    const struct store_view *view)
{
    struct counters *counters = &lane->counters;
    struct class_counters *of_class = class_of(lane, view->slab_class);

    if (find->touch) {
        counter_add(&counters->cmd_touch, 1);
        counter_add(&counters->touch_hits, 1);
        counter_add(&of_class->touch_hits, 1);
    } else {
        counter_add(&counters->cmd_get, 1);
        counter_add(&counters->get_hits, 1);
        counter_add(&of_class->get_hits, 1);
    }
    if (lane->notice != 0)
        notice_get(lane, find->key, find->hash, true, view);
}

void
execute_count_miss(struct lane *lane, const struct execute_find *find,
    const struct store_view *view)
{
    struct counters *counters = &lane->counters;

    counter_add(find->touch ? &counters->cmd_touch : &counters->cmd_get, 1);
    counter_add(find->touch ? &counters->touch_misses : &counters->get_misses, 1);
    if (view->miss == STORE_EXPIRED)
        counter_add(&counters->get_expired, 1);
    else if (view->miss == STORE_FLUSHED)
        counter_add(&counters->get_flushed, 1);
    if (lane->notice != 0)
        notice_get(lane, find->key, find->hash, false, view);
}
