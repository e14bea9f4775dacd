/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ahead.h - hashes and prefetches of keys that will be needed in a moment; inside
 * src/cmd only.
 *
 * The rows of a table name places in input that has arrived. They are hints: whoever uses
 * one checks that it stands at the very byte he is at, and computes the hash himself if
 * none does. A row holds true as long as those bytes neither move nor change, which is
 * from look() to the end of the next took() of the same connection.
 */
#ifndef LARDER_CMD_AHEAD_H
#define LARDER_CMD_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "cmd/budget.h"
#include "store/store.h"

/* Keys looked ahead for all connections of a group, and for one of them. */
#define AHEAD_GROUP   256u
#define AHEAD_SESSION 64u

/*
 * A row of line_len > 0 is of a line, whose first letter says of which kind:
 *   g  "get <key>" or "gets <key>" and nothing else
 *   m  an mg
 *   s  what text_plain_set() reads; its value has come, too
 */
struct ahead_row {
    const char *at;    /* of the line if line_len > 0, else of a key */
    uint64_t hash;
    uint16_t line_len; /* with its LF */
    uint8_t key_at;    /* bytes from `at` to the key */
    uint8_t key_len;
    uint32_t client_flags, exptime, value_len; /* of s */
};

/* Rows of one connection: from `first`, up to `end`, are not used yet. */
struct ahead_range {
    uint32_t turn; /* of the table when they were written; 0: none are */
    uint16_t first;
    uint16_t end;
};

struct ahead_table {
    uint32_t turn;    /* counts groups, never 0 */
    bool closed;      /* looked() was called: the next look() begins a new group */
    unsigned used;    /* rows of the group */
    struct budget budget; /* of a turn: how far to look ahead for one connection */
    /* Those of the group, then those that took() makes for itself. */
    struct ahead_row rows[AHEAD_GROUP + AHEAD_SESSION];
};

void ahead_init(struct ahead_table *table, unsigned requests_per_event);

/* Begins a new group if the last one is over. True if it did. */
bool ahead_turn(struct ahead_table *table);

/* What input begins with: a line, keys of a retrieval line, or a binary packet. */
enum ahead_kind { AHEAD_LINES, AHEAD_KEYS, AHEAD_PACKETS };

/* Looks over input: writes rows and fetches buckets. */
void ahead_look(struct ahead_table *table, const struct store *store,
    struct ahead_range *range, const char *data, size_t len, enum ahead_kind kind);

/* Fetches the items behind all rows of the group. */
void ahead_looked(struct ahead_table *table, const struct store *store);

/* The same two steps at once, for a connection whose rows are used up. Returns how far
 * it looked: there is no use in calling it again before that. `left` is of the turn. */
const char *ahead_more(struct ahead_table *table, const struct store *store,
    struct ahead_range *range, const char *data, size_t len, enum ahead_kind kind,
    struct budget left);

/* The row that stands at `at`, or NULL. Rows before it are dropped. */
static inline const struct ahead_row *
ahead_find(const struct ahead_table *table, struct ahead_range *range, const char *at)
{
    while (range->first < range->end) {
        const struct ahead_row *row = &table->rows[range->first];

        if (row->at > at)
            return NULL;
        range->first++;
        if (row->at == at)
            return row;
    }
    return NULL;
}

/* The row of the key that begins at `at`, or NULL. It also says where the key ends. */
static inline const struct ahead_row *
ahead_key(const struct ahead_table *table, struct ahead_range *range, const char *at)
{
    const struct ahead_row *row = ahead_find(table, range, at);

    return row != NULL && row->line_len == 0 ? row : NULL;
}

/* The hash of a key of the input, from its row if there is one. */
static inline uint64_t
ahead_hash(const struct ahead_table *table, const struct store *store,
    struct ahead_range *range, struct slice key)
{
    const struct ahead_row *row = ahead_key(table, range, key.data);

    return row != NULL && row->key_len == key.len ? row->hash : store_hash(store, key);
}

#endif
