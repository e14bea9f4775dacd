/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * execute.h - what commands mean: command + store + time -> outcome; inside src/cmd.
 *
 * Shared by all protocols: nothing here parses or writes bytes of a connection. Each
 * function counts what `stats` shows of it. `lane->now` is the time.
 */
#ifndef LARDER_CMD_EXECUTE_H
#define LARDER_CMD_EXECUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/lane.h"
#include "proto/command.h"
#include "proto/outcome.h"
#include "store/store.h"

/* The second of the server's clock that a command's expiry stands for. */
uint32_t execute_exptime(const struct lane *lane, int64_t exptime);

/* A storage command's value: bytes, or a complete upload, which is taken in any case. */
struct execute_value {
    struct slice bytes;
    struct store_upload *upload;
};

/* set, add, replace, append, prepend, cas. The value's size has been checked. */
void execute_store(struct lane *lane, const struct command *command, uint64_t hash,
    const struct execute_value *value, struct outcome *outcome);

/* Counts a storage command of any protocol that has reached the store. `compared`: it had a
 * CAS unique to compare. */
void execute_count_store(struct lane *lane, bool compared, enum store_result result,
    uint8_t slab_class);

/* True: the value of this storage command may be received. False: it is over the limit;
 * a `set` or `ms` has removed the old value already. */
bool execute_size_allowed(struct lane *lane, const struct command *command);

/* Shows those who watch a value that never came to the store. */
void execute_show_refused(struct lane *lane, enum verb verb, struct slice key,
    enum store_result result, uint32_t value_len);

/* A storage command's value finds no memory: what happens to the old value, and what is
 * counted. */
void execute_store_failed(struct lane *lane, enum verb verb, struct slice key);

/* incr, decr */
void execute_arith(struct lane *lane, const struct command *command, uint64_t hash,
    struct outcome *outcome);
void execute_delete(struct lane *lane, const struct command *command, uint64_t hash,
    struct outcome *outcome);
void execute_touch(struct lane *lane, const struct command *command, uint64_t hash,
    struct outcome *outcome);
/* Also when the line was wrong: flush_all counts and may be forbidden before that. */
void execute_flush(struct lane *lane, const struct command *command,
    struct outcome *outcome);

/* The same of flush_prefix, which is known only where prefixes were chosen. */
bool execute_knows_prefixes(const struct lane *lane);
void execute_flush_prefix(struct lane *lane, const struct command *command,
    struct outcome *outcome);

/* How one key of a retrieval is looked up. */
struct execute_find {
    struct slice key;
    uint64_t hash;
    bool touch;       /* gat: also set the expiry */
    uint32_t exptime; /* as execute_exptime() gave it */
    bool lock;        /* keep the stripe locked, see store_find_locked() */
};

/* True if there is such an item. Counts nothing, because a lookup whose reply finds no
 * room is done again. */
bool execute_find(struct lane *lane, const struct execute_find *find,
    struct store_view *view_out);
/* Counts one key of a retrieval. */
void execute_count_hit(struct lane *lane, const struct execute_find *find,
    const struct store_view *view);
void execute_count_miss(struct lane *lane, const struct execute_find *find,
    const struct store_view *view);

#endif
