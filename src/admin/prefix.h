/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prefix.h - what happens to keys, by the part before the first delimiter.
 *
 * `stats detail on` starts the collection; sessions then call the counting functions for
 * every key. The table holds PREFIXES_MAX prefixes and drops new ones after that, so a
 * client that invents prefixes cannot grow it. All functions may be called by any thread.
 */
#ifndef LARDER_ADMIN_PREFIX_H
#define LARDER_ADMIN_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outbox.h"
#include "base/slice.h"
#include "store/store.h"

#define PREFIXES_MAX 65536u

struct prefix_table;

/* `store` lends its keyed hash, so that nobody can aim prefixes at one chain. NULL: out
 * of memory. */
struct prefix_table *prefix_create(struct store *store, char delimiter, bool on);
void prefix_destroy(struct prefix_table *table);

/* The switch; whoever counts reads it first, relaxed. What was counted survives "off". */
_Atomic(bool) *prefix_on(struct prefix_table *table);

/* Keys without the delimiter are not counted; one that begins with it has the empty
 * prefix. */
void prefix_get(struct prefix_table *table, struct slice key, bool hit);
void prefix_set(struct prefix_table *table, struct slice key);
void prefix_delete(struct prefix_table *table, struct slice key);

/* Forgets all. */
void prefix_reset(struct prefix_table *table);

/* Writes the lines of some prefixes from *cursor on (0 at first), in the order in which
 * they were first seen, as far as there is room; false at the end. */
bool prefix_dump(struct prefix_table *table, uint32_t *cursor, struct outbox *out);

struct prefix_figures {
    uint64_t gets, hits, sets, deletes;
    uint32_t len;
    char text[KEY_LEN_MAX];
};

/* Copies the `max` prefixes with the most operations, busiest first; returns how many.
 * Takes the lock for some hundred prefixes at a time. */
unsigned prefix_top(struct prefix_table *table, struct prefix_figures *top, unsigned max);

#endif
