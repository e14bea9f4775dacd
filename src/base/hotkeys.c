/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hotkeys.c - see hotkeys.h.
 *
 * A table is searched by its hashes, 64 numbers one after the other, which is a few dozen
 * nanoseconds and happens for one request in many; a heap and a hash table would be more
 * code than they save.
 */
#include "base/hotkeys.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* What a search looks at lies together; keys[].count is for readers. */
struct table {
    unsigned used;
    uint64_t hashes[HOTKEYS_TABLE];
    uint64_t counts[HOTKEYS_TABLE];
    struct hot_key keys[HOTKEYS_TABLE];
};

/* The one that is running, and the one before. */
struct window {
    uint32_t began;
    uint64_t samples;
    struct table tables[HOTKEYS_RANKINGS];
};

struct hotkeys {
    pthread_mutex_t lock; /* guards the rest but `mean` */
    uint32_t mean;
    unsigned running; /* index of the window that is */
    struct window windows[2];
};

struct hotkeys *
hotkeys_create(uint32_t mean, uint32_t now)
{
    struct hotkeys *hotkeys = calloc(1, sizeof *hotkeys);

    assert(mean > 0);
    if (hotkeys == NULL)
        return NULL;
    pthread_mutex_init(&hotkeys->lock, NULL);
    hotkeys->mean = mean;
    hotkeys->windows[0].began = hotkeys->windows[1].began = now;
    return hotkeys;
}

void
hotkeys_destroy(struct hotkeys *hotkeys)
{
    pthread_mutex_destroy(&hotkeys->lock);
    free(hotkeys);
}

static bool
is_key(const struct table *table, unsigned i, struct slice key)
{
    return slice_equal(key, slice_of(table->keys[i].key, table->keys[i].len));
}

static void
count(struct table *table, struct slice key, uint64_t hash, uint64_t n)
{
    unsigned i, least = 0;
    struct hot_key *entry;

    if (n == 0)
        return;
    for (i = 0; i < table->used; i++) {
        if (table->hashes[i] == hash && is_key(table, i, key)) {
            table->counts[i] += n;
            return;
        }
        if (table->counts[i] < table->counts[least])
            least = i;
    }
    if (table->used < HOTKEYS_TABLE)
        least = table->used++;
    entry = &table->keys[least];
    table->hashes[least] = hash;
    entry->error = table->counts[least];
    table->counts[least] += n;
    entry->len = (uint8_t)key.len;
    memcpy(entry->key, key.data, key.len);
}

void
hotkeys_add(struct hotkeys *hotkeys, struct slice key, uint64_t hash, uint64_t bytes)
{
    struct window *window;

    assert(key.len > 0);
    assert(key.len <= HOTKEYS_KEY_MAX);
    if (pthread_mutex_trylock(&hotkeys->lock) != 0)
        return;
    window = &hotkeys->windows[hotkeys->running];
    window->samples++;
    count(&window->tables[HOTKEYS_BY_REQUESTS], key, hash, hotkeys->mean);
    count(&window->tables[HOTKEYS_BY_BYTES], key, hash, bytes * hotkeys->mean);
    pthread_mutex_unlock(&hotkeys->lock);
}

static void
clear(struct window *window, uint32_t now)
{
    memset(window, 0, sizeof *window);
    window->began = now;
}

void
hotkeys_tick(struct hotkeys *hotkeys, uint32_t now)
{
    if (pthread_mutex_trylock(&hotkeys->lock) != 0)
        return;
    if (now - hotkeys->windows[hotkeys->running].began >= HOTKEYS_WINDOW) {
        hotkeys->running ^= 1u;
        clear(&hotkeys->windows[hotkeys->running], now);
    }
    pthread_mutex_unlock(&hotkeys->lock);
}

void
hotkeys_reset(struct hotkeys *hotkeys, uint32_t now)
{
    pthread_mutex_lock(&hotkeys->lock);
    clear(&hotkeys->windows[0], now);
    clear(&hotkeys->windows[1], now);
    pthread_mutex_unlock(&hotkeys->lock);
}

/* ---- Merging ------------------------------------------------------------------------ */

struct hotkeys_merge {
    uint32_t mean, seconds;
    uint64_t samples;
    unsigned max;                 /* room in each of the two lists */
    unsigned n[HOTKEYS_RANKINGS];
    struct hot_key *keys[HOTKEYS_RANKINGS];
};

struct hotkeys_merge *
hotkeys_merge_begin(unsigned tables)
{
    unsigned max = 2 * tables * HOTKEYS_TABLE;
    struct hotkeys_merge *merge = calloc(1, sizeof *merge);
    struct hot_key *keys = calloc((size_t)max * HOTKEYS_RANKINGS + 1, sizeof *keys);

    if (merge == NULL || keys == NULL) {
        free(merge);
        free(keys);
        return NULL;
    }
    merge->max = max;
    for (unsigned by = 0; by < HOTKEYS_RANKINGS; by++)
        merge->keys[by] = keys + (size_t)by * max;
    return merge;
}

static void
merge_window(struct hotkeys_merge *merge, const struct window *window, uint32_t now)
{
    merge->samples += window->samples;
    if (now - window->began > merge->seconds)
        merge->seconds = now - window->began;
    for (unsigned by = 0; by < HOTKEYS_RANKINGS; by++) {
        const struct table *table = &window->tables[by];

        assert(merge->n[by] + table->used <= merge->max);
        for (unsigned i = 0; i < table->used; i++) {
            struct hot_key *key = &merge->keys[by][merge->n[by]++];

            *key = table->keys[i];
            key->count = table->counts[i];
        }
    }
}

void
hotkeys_merge_add(struct hotkeys_merge *merge, struct hotkeys *hotkeys, uint32_t now)
{
    merge->mean = hotkeys->mean;
    pthread_mutex_lock(&hotkeys->lock);
    merge_window(merge, &hotkeys->windows[0], now);
    merge_window(merge, &hotkeys->windows[1], now);
    pthread_mutex_unlock(&hotkeys->lock);
}

static int
by_key(const void *a, const void *b)
{
    const struct hot_key *x = a, *y = b;

    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->key, y->key, x->len);
}

/* Equal counts stand in the order of their keys, so that a ranking is not shuffled each
 * time it is shown. */
static int
by_count(const void *a, const void *b)
{
    const struct hot_key *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return by_key(a, b);
}

/* What several tables say about a key is added up. */
static unsigned
join_equal(struct hot_key *keys, unsigned n)
{
    unsigned to = 0;

    for (unsigned i = 1; i < n; i++) {
        if (by_key(&keys[to], &keys[i]) == 0) {
            keys[to].count += keys[i].count;
            keys[to].error += keys[i].error;
        } else {
            keys[++to] = keys[i];
        }
    }
    return n == 0 ? 0 : to + 1;
}

void
hotkeys_merge_end(struct hotkeys_merge *merge, struct hotkeys_top *top_out)
{
    memset(top_out, 0, sizeof *top_out);
    top_out->mean = merge->mean;
    top_out->seconds = merge->seconds;
    top_out->samples = merge->samples;
    for (unsigned by = 0; by < HOTKEYS_RANKINGS; by++) {
        struct hot_key *keys = merge->keys[by];
        unsigned n = merge->n[by];

        qsort(keys, n, sizeof *keys, by_key);
        n = join_equal(keys, n);
        qsort(keys, n, sizeof *keys, by_count);
        top_out->n[by] = n < HOTKEYS_TOP ? n : HOTKEYS_TOP;
        memcpy(top_out->keys[by], keys, top_out->n[by] * sizeof *keys);
    }
    free(merge->keys[0]);
    free(merge);
}
