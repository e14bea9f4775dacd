/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store.c - the store as a whole: making it, taking it down, its threads.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/core.h"
#include "store/header.h"

/* Address space kept for raising the limit later, at least. It costs nothing until used. */
#define RESERVE_MIN (UINT64_C(16) << 30)
#define RESERVE_TIMES 4
/* The smallest chunk there can be: a header and something to hold. */
#define CHUNK_FIRST_MIN (ITEM_HEADER + 8u)
/* Pieces smaller than this would make chains too long to be worth it. */
#define CHUNK_MAX_MIN 16384u

static uint64_t
pages_of(uint64_t bytes)
{
    return bytes >> PAGE_SIZE_BITS;
}

/* Sections for at most `pages` pages full of the smallest items. */
static void
plan_sections(uint64_t pages, unsigned power, struct arena_sizes *sizes)
{
    uint64_t items = pages * (PAGE_BYTES / CHUNK_FIRST_MIN);
    uint64_t buckets = items / TABLE_LOAD + (UINT64_C(1) << power);

    sizes->pages = pages;
    sizes->descriptors = pages * sizeof(struct page);
    sizes->buckets = buckets * sizeof(struct bucket);
    /* As many as items could fill, plus one partly filled at the end of each chain. */
    sizes->overflow = (items / OVERFLOW_SLOTS + buckets) * sizeof(struct overflow);
    sizes->ghosts = buckets * sizeof(struct ghost_set);
}

/* `fd` -1: in a memory file. */
static int
lay_arena(struct store *store, const struct arena_sizes *sizes, int fd, const char **why_out)
{
    bool huge = store->options.preallocate;

    return fd < 0 ? arena_init(&store->arena, sizes, huge, why_out) :
                    arena_init_in(&store->arena, sizes, fd, huge, why_out);
}

/* Reserves as much as is wanted or, where address space is limited, what the limit needs. */
static int
reserve(struct store *store, unsigned power, int fd, const char **why_out)
{
    const struct store_options *options = &store->options;
    uint64_t pages = pages_of(options->memory_max), wanted = options->memory_reserve;
    struct arena_sizes sizes;
    int rc;

    if (wanted == 0) {
        wanted = options->memory_max * RESERVE_TIMES;
        wanted = wanted < RESERVE_MIN ? RESERVE_MIN : wanted;
    }
    if (options->preallocate || pages_of(wanted) < pages)
        wanted = options->memory_max;
    plan_sections(pages_of(wanted), power, &sizes);
    rc = lay_arena(store, &sizes, fd, why_out);
    if ((rc == -ENOMEM || rc == -E2BIG) && pages_of(wanted) > pages) {
        plan_sections(pages, power, &sizes);
        rc = lay_arena(store, &sizes, fd, why_out);
    }
    return rc;
}

static void
init_slab(struct store *store, const uint32_t *slab_sizes)
{
    const struct store_options *options = &store->options;
    struct slab_sizing sizing = {
        .chunk_first = (ITEM_HEADER + options->chunk_min + 7) & ~7u,
        .growth_factor = options->growth_factor,
        .sizes = slab_sizes,
        .nsizes = options->nslab_sizes,
        .chunk_max = options->chunk_max,
    };

    if (sizing.chunk_max < CHUNK_MAX_MIN)
        sizing.chunk_max = CHUNK_MAX_MIN;
    if (sizing.chunk_max > PAGE_BYTES)
        sizing.chunk_max = PAGE_BYTES;
    sizing.chunk_max &= ~7u;
    if (sizing.chunk_first < CHUNK_FIRST_MIN)
        sizing.chunk_first = CHUNK_FIRST_MIN;
    if (sizing.chunk_first > CHUNK_MAX_MIN / 2)
        sizing.chunk_first = CHUNK_MAX_MIN / 2;
    slab_init(&store->slab, &store->arena, &sizing,
        (uint32_t)pages_of(options->memory_max));
}

struct store *
store_begin(const struct store_options *options, const char **why_out)
{
    struct store *store = aligned_alloc(64, (sizeof *store + 63) & ~(size_t)63);

    assert(pages_of(options->memory_max) >= 1);
    assert(options->growth_factor > 1);
    *why_out = "out of memory";
    if (store == NULL)
        return NULL;
    memset(store, 0, sizeof *store);
    store->options = *options;
    store->options.slab_sizes = NULL; /* the caller's, used by init_slab() only */
    hash_key_init(&store->hash_key, options->hash_key, options->fast_hash);
    store->arena.fd = -1;
    store->estimate = estimate_open();
    if (store->estimate == NULL) {
        free(store);
        return NULL;
    }
    flush_init(store, options);
    store->options.flush_prefixes = NULL; /* copied */
    store->cas = 1;
    store->sweep_enabled = true;
    pthread_mutex_init(&store->threads_lock, NULL);
    return store;
}

void
store_fit_out(struct store *store, unsigned power, const uint32_t *slab_sizes)
{
    const struct store_options *options = &store->options;
    struct arena *arena = &store->arena;

    table_init(&store->table, arena, power, options->hash_fixed,
        arena->sizes.buckets / sizeof(struct bucket),
        arena->sizes.overflow / sizeof(struct overflow));
    store->ghost.sets = (struct ghost_set *)(void *)arena->ghosts;
    init_slab(store, slab_sizes);
    if (options->huge_pages)
        gather_init(&arena->gather, arena->base, arena->bytes);
}

static struct store *
create(const struct store_options *options, int fd, const char **why_out)
{
    unsigned power = options->hash_power < TABLE_POWER_MIN ? TABLE_POWER_MIN :
                                                             options->hash_power;
    struct store *store = store_begin(options, why_out);
    struct header header;
    int rc;

    if (store == NULL)
        return NULL;
    rc = reserve(store, power, fd, why_out);
    if (rc != 0) {
        store->arena.base = NULL;
        store_abandon(store);
        errno = -rc;
        return NULL;
    }
    store_fit_out(store, power, options->slab_sizes);
    header_init(&header, &store->arena);
    header_put(&header, &store->arena);
    if (options->preallocate)
        arena_commit(&store->arena, pages_of(options->memory_max));
    return store;
}

struct store *
store_create(const struct store_options *options, const char **why_out)
{
    return create(options, -1, why_out);
}

struct store *
store_create_in(const struct store_options *options, int fd, const char **why_out)
{
    assert(fd >= 0);
    return create(options, fd, why_out);
}

void
store_destroy(struct store *store)
{
    while (store->threads != NULL) {
        struct store_thread *thread = store->threads;

        assert(!thread->in_use);
        store->threads = thread->next;
        free(thread);
    }
    pthread_mutex_destroy(&store->threads_lock);
    for (unsigned id = 1; id <= store->slab.nclasses; id++)
        ring_fini(&store->slab.classes[id].probation);
    free(store->estimate);
    free(store->note);
    arena_fini(&store->arena);
    free(store);
}

void
store_abandon(struct store *store)
{
    store->arena.fd = -1;
    store_destroy(store);
}

/* A closed one is used again: its counts are part of the totals. */
static struct store_thread *
find_closed(struct store *store)
{
    struct store_thread *thread = store->threads;

    while (thread != NULL && thread->in_use)
        thread = thread->next;
    return thread;
}

/* A start for one more thread's generator, never 0: told by the store's key, so that a test
 * with a fixed one can be repeated. */
static uint64_t
seed_for(const struct store *store)
{
    uint32_t n = 0;

    for (const struct store_thread *thread = store->threads; thread != NULL;
         thread = thread->next)
        n++;
    return hash_bytes(&store->hash_key, (const char *)&n, sizeof n) | 1;
}

struct store_thread *
store_thread_open(struct store *store)
{
    struct store_thread *thread;

    pthread_mutex_lock(&store->threads_lock);
    thread = find_closed(store);
    if (thread == NULL) {
        thread = calloc(1, sizeof *thread);
        if (thread != NULL) {
            thread->store = store;
            thread->random = seed_for(store);
            thread->next = store->threads;
            store->threads = thread;
        }
    }
    if (thread != NULL)
        thread->in_use = true;
    pthread_mutex_unlock(&store->threads_lock);
    return thread;
}

void
store_thread_observe(struct store_thread *thread, const _Atomic unsigned *wanted,
    const struct store_observer *observer, void *context)
{
    thread->wanted = wanted;
    thread->observer = observer;
    thread->observer_context = context;
}

void
store_thread_close(struct store_thread *thread)
{
    struct store *store = thread->store;

    atomic_fetch_add_explicit(&store->table.items, thread->items_unflushed,
        memory_order_relaxed);
    thread->items_unflushed = 0;
    thread->observer = NULL;
    pthread_mutex_lock(&store->threads_lock);
    thread->in_use = false;
    pthread_mutex_unlock(&store->threads_lock);
}
