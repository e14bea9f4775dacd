/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prefix.c - see prefix.h.
 *
 *   heads     [ . | 3 | . | 1 | ... ]     by hash; numbers of entries, counted from 1
 *   entries   [ p1 -> next | p2 | p3 ]    in order of first sight
 *
 * Entries are never moved or removed one by one, so a dump is a number and needs no
 * memory. The chain heads are allocated when the first prefix comes: most servers never
 * collect. One mutex guards everything; the collection is a tool for an hour of looking,
 * not for the hot path.
 */
#include "admin/prefix.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define HEADS 16384u /* chains; a power of two */
#define TOP_STEP 256u /* prefixes looked at before others get the lock */
#define DUMP_BYTES 16384u /* at a time, while others wait for the lock */
/* The longest line of a dump: words, a prefix, four numbers. */
#define PREFIX_LINE_MAX (KEY_LEN_MAX + 4 * 20 + 40)

struct prefix {
    uint64_t gets, hits, sets, deletes;
    uint32_t next; /* number of the next of its chain, 0 at the end */
    uint32_t len;
    char text[];
};

struct prefix_table {
    struct store *store;
    char delimiter;
    _Atomic(bool) on;
    pthread_mutex_t lock; /* guards the rest */
    uint32_t *heads;      /* NULL until needed */
    struct prefix **entries;
    uint32_t n, capacity;
};

struct prefix_table *
prefix_create(struct store *store, char delimiter, bool on)
{
    struct prefix_table *table = calloc(1, sizeof *table);
    int rc;

    if (table == NULL)
        return NULL;
    table->store = store;
    table->delimiter = delimiter;
    atomic_init(&table->on, on);
    rc = pthread_mutex_init(&table->lock, NULL);
    assert(rc == 0);
    return table;
}

static void
forget_locked(struct prefix_table *table)
{
    for (uint32_t i = 0; i < table->n; i++)
        free(table->entries[i]);
    free(table->entries);
    free(table->heads);
    table->entries = NULL;
    table->heads = NULL;
    table->n = table->capacity = 0;
}

void
prefix_destroy(struct prefix_table *table)
{
    forget_locked(table);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

_Atomic(bool) *
prefix_on(struct prefix_table *table)
{
    return &table->on;
}

/* Makes room for one more entry; false when the table is full or memory is short. */
static bool
grow_locked(struct prefix_table *table)
{
    struct prefix **entries;
    uint32_t capacity;

    if (table->heads == NULL) {
        table->heads = calloc(HEADS, sizeof *table->heads);
        if (table->heads == NULL)
            return false;
    }
    if (table->n < table->capacity)
        return true;
    if (table->n == PREFIXES_MAX)
        return false;
    capacity = table->capacity == 0 ? 64 : table->capacity * 2;
    entries = realloc(table->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    table->entries = entries;
    table->capacity = capacity;
    return true;
}

static struct prefix *
add_locked(struct prefix_table *table, struct slice text, uint32_t slot)
{
    struct prefix *prefix;

    if (!grow_locked(table))
        return NULL;
    prefix = calloc(1, sizeof *prefix + text.len);
    if (prefix == NULL)
        return NULL;
    prefix->len = (uint32_t)text.len;
    if (text.len > 0)
        memcpy(prefix->text, text.data, text.len);
    prefix->next = table->heads[slot];
    table->entries[table->n] = prefix;
    table->heads[slot] = ++table->n;
    return prefix;
}

/* The entry of a key's prefix, made if it is new; NULL for a key that is not counted. */
static struct prefix *
find_locked(struct prefix_table *table, struct slice key)
{
    const char *end = memchr(key.data, table->delimiter, key.len);
    struct slice text;
    uint32_t slot;

    if (end == NULL)
        return NULL;
    text = slice_of(key.data, (size_t)(end - key.data));
    /* The delimiter is hashed along, because a key to be hashed is never empty. */
    slot = (uint32_t)(store_hash(table->store, slice_of(text.data, text.len + 1)) &
        (HEADS - 1));
    for (uint32_t i = table->heads == NULL ? 0 : table->heads[slot]; i != 0;) {
        struct prefix *prefix = table->entries[i - 1];
        if (slice_equal(text, slice_of(prefix->text, prefix->len)))
            return prefix;
        i = prefix->next;
    }
    return add_locked(table, text, slot);
}

void
prefix_get(struct prefix_table *table, struct slice key, bool hit)
{
    struct prefix *prefix;

    pthread_mutex_lock(&table->lock);
    prefix = find_locked(table, key);
    if (prefix != NULL) {
        prefix->gets++;
        prefix->hits += hit ? 1 : 0;
    }
    pthread_mutex_unlock(&table->lock);
}

void
prefix_set(struct prefix_table *table, struct slice key)
{
    struct prefix *prefix;

    pthread_mutex_lock(&table->lock);
    prefix = find_locked(table, key);
    if (prefix != NULL)
        prefix->sets++;
    pthread_mutex_unlock(&table->lock);
}

void
prefix_delete(struct prefix_table *table, struct slice key)
{
    struct prefix *prefix;

    pthread_mutex_lock(&table->lock);
    prefix = find_locked(table, key);
    if (prefix != NULL)
        prefix->deletes++;
    pthread_mutex_unlock(&table->lock);
}

void
prefix_reset(struct prefix_table *table)
{
    pthread_mutex_lock(&table->lock);
    forget_locked(table);
    pthread_mutex_unlock(&table->lock);
}

static void
put_line(const struct prefix *prefix, struct outbox *out)
{
    int len;

    outbox_put(out, "PREFIX ", 7);
    outbox_put(out, prefix->text, prefix->len);
    len = snprintf(outbox_tail(out), outbox_room(out),
        " get %" PRIu64 " hit %" PRIu64 " set %" PRIu64 " del %" PRIu64 "\r\n",
        prefix->gets, prefix->hits, prefix->sets, prefix->deletes);
    assert(len > 0);
    outbox_grow(out, (size_t)len);
}

bool
prefix_dump(struct prefix_table *table, uint32_t *cursor, struct outbox *out)
{
    uint32_t enough = out->used + DUMP_BYTES;
    bool more;

    pthread_mutex_lock(&table->lock);
    while (*cursor < table->n && out->used < enough &&
        outbox_room(out) >= PREFIX_LINE_MAX)
        put_line(table->entries[(*cursor)++], out);
    more = *cursor < table->n;
    pthread_mutex_unlock(&table->lock);
    return more;
}

static uint64_t
operations(const struct prefix_figures *figures)
{
    return figures->gets + figures->sets + figures->deletes;
}

/* Puts a prefix in its place among the `n` that are in `top`, if it has one there. */
static unsigned
top_put(struct prefix_figures *top, unsigned n, unsigned max, const struct prefix *prefix)
{
    struct prefix_figures figures = {
        .gets = prefix->gets, .hits = prefix->hits, .sets = prefix->sets,
        .deletes = prefix->deletes, .len = prefix->len,
    };
    unsigned at = n;

    while (at > 0 && operations(&top[at - 1]) < operations(&figures))
        at--;
    if (at == max)
        return n;
    assert(prefix->len <= sizeof figures.text);
    memcpy(figures.text, prefix->text, prefix->len);
    if (n < max)
        n++;
    memmove(&top[at + 1], &top[at], (n - at - 1) * sizeof *top);
    top[at] = figures;
    return n;
}

unsigned
prefix_top(struct prefix_table *table, struct prefix_figures *top, unsigned max)
{
    unsigned n = 0;
    bool more = max > 0;

    for (uint32_t at = 0; more;) {
        pthread_mutex_lock(&table->lock);
        for (uint32_t i = 0; i < TOP_STEP && at < table->n; i++)
            n = top_put(top, n, max, table->entries[at++]);
        more = at < table->n;
        pthread_mutex_unlock(&table->lock);
    }
    return n;
}
