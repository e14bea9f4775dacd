/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/notice.h"

static bool
is_watched(const struct lane *lane, enum journal_stream stream)
{
    return (lane->notice & JOURNAL_BIT(stream)) != 0;
}

static void
show_hot(struct lane *lane, struct slice key, uint64_t hash, uint32_t len)
{
    if ((lane->notice & NOTICE_HOT) != 0)
        hotkeys_add(lane->hotkeys, key, hash, len);
}

/* Seconds to live, as `watch` shows them of stores: 0 is for ever. */
static int64_t
seconds_left(const struct lane *lane, uint32_t exptime)
{
    return exptime == 0 ? 0 : (int64_t)exptime - (int64_t)lane->now;
}

static void
tell_get(struct lane *lane, struct slice key, const char *status, uint8_t slab_class,
    uint32_t size)
{
    struct journal_event event = {
        .kind = JOURNAL_GET,
        .stream = JOURNAL_FETCHERS,
        .status = status,
        .class = slab_class,
        .fd = lane->fd,
        .size = size,
    };

    if (is_watched(lane, JOURNAL_FETCHERS))
        journal_put(lane->journal, &event, key);
}

static const char *
miss_word(enum store_miss miss)
{
    switch (miss) {
    case STORE_EXPIRED:
        return "expired";
    case STORE_FLUSHED:
        return "flushed";
    case STORE_ABSENT:
        break;
    }
    return "not_found";
}

void
notice_get(struct lane *lane, struct slice key, uint64_t hash, bool hit,
    const struct store_view *view)
{
    const struct admin_hook *hook = lane->context->hook;
    uint32_t len = hit ? view->value_len : 0;

    show_hot(lane, key, hash, len);
    tell_get(lane, key, hit ? "found" : miss_word(view->miss),
        hit ? view->slab_class : 0, len);
    if ((lane->notice & NOTICE_DETAIL) != 0)
        hook->detail_get(hook->context, key, hit);
}

const char *
notice_word(enum store_mode mode, bool compared)
{
    switch (mode) {
    case STORE_ADD:
        return "add";
    case STORE_REPLACE:
        return "replace";
    case STORE_APPEND:
        return "append";
    case STORE_PREPEND:
        return "prepend";
    case STORE_SET:
        break;
    }
    return compared ? "cas" : "set";
}

static const char *
result_word(enum store_result result)
{
    switch (result) {
    case STORE_OK:
        return "stored";
    case STORE_EXISTS:
        return "exists";
    case STORE_MISS:
        return "not_found";
    case STORE_TOO_LARGE:
        return "too_large";
    case STORE_NO_MEMORY:
        return "no_memory";
    case STORE_NOT_STORED:
    case STORE_NOT_A_NUMBER:
        break;
    }
    return "not_stored";
}

void
notice_set(struct lane *lane, const struct notice_store *store)
{
    const struct admin_hook *hook = lane->context->hook;
    struct journal_event event = {
        .kind = JOURNAL_STORE,
        .stream = JOURNAL_MUTATIONS,
        .status = result_word(store->result),
        .word = store->word,
        .ttl = seconds_left(lane, store->exptime),
        .class = store->slab_class,
        .fd = lane->fd,
        .size = store->value_len,
    };

    if (is_watched(lane, JOURNAL_MUTATIONS))
        journal_put(lane->journal, &event, store->key);
    if (store->hash == 0)
        return;
    show_hot(lane, store->key, store->hash, store->value_len);
    if ((lane->notice & NOTICE_DETAIL) != 0)
        hook->detail_set(hook->context, store->key);
}

uint32_t
notice_size(struct lane *lane, struct slice key, uint64_t hash)
{
    struct store_view view;

    if (!is_watched(lane, JOURNAL_DELETIONS) ||
        store_find(lane->store, lane->thread, key, hash, lane->now, STORE_PEEK, &view) !=
            STORE_OK)
        return 0;
    return view.value_len;
}

void
notice_delete(struct lane *lane, struct slice key, uint64_t hash, bool hit,
    const char *word, uint8_t slab_class, uint32_t size)
{
    const struct admin_hook *hook = lane->context->hook;
    struct journal_event event = {
        .kind = JOURNAL_DELETE,
        .stream = JOURNAL_DELETIONS,
        .word = word,
        .class = slab_class,
        .size = size,
    };

    show_hot(lane, key, hash, 0);
    if (hit && is_watched(lane, JOURNAL_DELETIONS))
        journal_put(lane->journal, &event, key);
    if ((lane->notice & NOTICE_DETAIL) != 0)
        hook->detail_delete(hook->context, key);
}

void
notice_use(
    struct lane *lane, struct slice key, uint64_t hash, bool hit, uint8_t slab_class)
{
    show_hot(lane, key, hash, 0);
    tell_get(lane, key, hit ? "found" : "not_found", hit ? slab_class : 0, 0);
}

/* ---- What the store does by itself ------------------------------------------------ */

static void
evicted(void *context, const struct store_evicted *what)
{
    struct journal_event event = {
        .kind = JOURNAL_EVICTION,
        .stream = JOURNAL_EVICTIONS,
        .fetched = what->fetched,
        .ttl = what->ttl,
        .idle = what->idle,
        .class = what->slab_class,
        .size = what->value_len,
    };

    journal_put(context, &event, what->key);
}

static void
moved(void *context, unsigned from, unsigned to)
{
    struct journal_event event = {
        .kind = JOURNAL_SLAB_MOVE,
        .stream = JOURNAL_SYSEVENTS,
        .source = (int16_t)from,
        .class = (uint8_t)to,
        .word = "done",
    };

    journal_put(context, &event, slice_of(NULL, 0));
}

void
cmd_observe(struct store_thread *thread, const struct journal *journal,
    struct journal_writer *writer)
{
    static const struct store_observer observer = {
        .evictions = JOURNAL_BIT(JOURNAL_EVICTIONS),
        .moves = JOURNAL_BIT(JOURNAL_SYSEVENTS),
        .evicted = evicted,
        .moved = moved,
    };

    store_thread_observe(thread, journal_wanted(journal), &observer, writer);
}
