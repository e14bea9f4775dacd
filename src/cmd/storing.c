/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storing.c - storage commands whose value comes with their line, or is to be waited for.
 *
 * A small value is run when it is here as a whole, CR LF and all; until then line and value
 * wait in the input and are read anew. Large ones go to upload.c.
 */
#include <string.h>

#include "cmd/execute.h"
#include "cmd/state.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "proto/text_reply.h"

/* The value of a small storage command is part of the input and has come in full. */
static enum step
run_small(
    struct turn *turn, const struct command *command, uint64_t hash, const char *value)
{
    struct execute_value bytes = { .bytes = slice_of(value, command->value_len) };
    struct outcome outcome = { .code = OUTCOME_BAD_CHUNK };
    const char *tail = value + command->value_len;

    if (memcmp(tail, "\r\n", 2) == 0) {
        if (command->meta != NULL) {
            turn->at = tail + 2;
            meta_store(turn->lane, command, hash, &bytes, turn->out);
            return STEP_ON;
        }
        execute_store(turn->lane, command, hash, &bytes, &outcome);
    }
    turn->at = tail + 2;
    if (!command->noreply)
        text_put_outcome(turn->out, &outcome);
    return STEP_ON;
}

/*
 * A storage line whose value has not arrived waits in the input. Should it be longer than
 * any sensible line it is written anew, shorter, at its own end, so that what waits stays
 * within CMD_UNUSED_MAX.
 */
static enum step
wait_for_value(struct turn *turn, const struct command *command, const char *next)
{
    char line[META_STORE_ROOM > TEXT_STORE_ROOM ? META_STORE_ROOM : TEXT_STORE_ROOM];
    size_t len;

    if (next - turn->at <= (ptrdiff_t)TEXT_LINE_MAX)
        return STEP_READ;
    len = command->meta != NULL ? meta_rewrite_store(command, line)
                                : text_rewrite_store(command, line);
    turn->at = next - len;
    memcpy(turn->data + (turn->at - turn->data), line, len);
    return STEP_READ;
}

enum step
storing_run(struct turn *turn, const struct command *command, const char *next)
{
    size_t arrived = (size_t)(turn->end - next);

    if (!execute_size_allowed(turn->lane, command)) {
        turn->at = next;
        return upload_refuse(turn, command, OUTCOME_TOO_LARGE);
    }
    if (store_is_large(command->key.len, command->value_len)) {
        turn->at = next;
        return upload_begin(turn, command);
    }
    if (arrived < (size_t)command->value_len + 2)
        return wait_for_value(turn, command, next);
    return run_small(turn, command,
        ahead_hash(
            &turn->lane->ahead, turn->lane->store, &turn->session->ahead, command->key),
        next);
}

enum step
storing_one(struct turn *turn, const struct ahead_row *row)
{
    const struct command command = {
        .verb = VERB_SET,
        .key = slice_of(row->at + row->key_at, row->key_len),
        .client_flags = row->client_flags,
        .exptime = row->exptime,
        .value_len = row->value_len,
    };
    const char *value = row->at + row->line_len;

    budget_spend(&turn->budget, BUDGET_COMMAND);
    if (store_is_large(row->key_len, row->value_len) ||
        !store_fits(turn->lane->store, row->key_len, row->client_flags, row->value_len))
        return storing_run(turn, &command, value);
    return run_small(turn, &command, row->hash, value);
}
