/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/policy.h"

#include "store/core.h"

/* Share of a class that is on probation: one in so many chunks. */
#define PROBATION_SHARE 10
/* While memory is free nothing leaves the ring by eviction. It may have so many entries beyond its
 * share, so that with evictions its share is kept by these. */
#define PROBATION_SPARE 64
/* Chunks looked at in one go, with the class locked: by the hand, and in the ring. */
#define POLICY_WALK 64
#define PROBATION_WALK 32
/* Chunks of which the least recently used goes, in the LRU mode. */
#define LRU_SAMPLE 16
/* A counter that comes back weighs as much as so many other keys: each time it was away
 * some limit was forgotten. */
#define COUNTER_WEIGHT 16

bool
policy_protects(struct store *store, const struct item *item, uint32_t info, uint32_t now)
{
    return (info & INFO_COUNTER) && INFO_KIND(info) == KIND_ITEM && item_exptime(item) != 0 &&
        !atomic_load_explicit(&store->counters_over, memory_order_relaxed) &&
        item_live(store, item, info, now);
}

/* ---- Ghosts -------------------------------------------------------------------------- */

static uint32_t
evictions_of(const struct slab_class *class)
{
    return (uint32_t)atomic_load_explicit(&class->gone, memory_order_relaxed);
}

void
policy_prefetch(const struct store *store, uint32_t bucket)
{
    __builtin_prefetch(&store->ghost.sets[bucket], 1);
}

/* Was the key evicted lately? If so, that is also a sign that the class needs more pages. */
static bool
was_ghost(struct store *store, const struct table_spot *spot, unsigned id, bool is_counter)
{
    struct slab_class *class = &store->slab.classes[id];
    uint32_t gone = evictions_of(class), bucket, age;
    unsigned shift = class_step_shift(class);

    if (gone == 0)
        return false;
    bucket = table_spot_bucket(&store->table, spot);
    if (!ghost_take(&store->ghost, bucket, spot->hash, id, gone >> shift, &age))
        return false;
    if ((uint64_t)age << shift <= class_window(class))
        atomic_fetch_add_explicit(&class->wanted, is_counter ? COUNTER_WEIGHT : 1,
            memory_order_relaxed);
    if ((uint64_t)age << shift > class->used)
        return false;
    atomic_fetch_add_explicit(&class->ghost_hits, 1, memory_order_relaxed);
    return true;
}

/* The mean moves by 1/512 towards each new age. */
static void
note_age(struct slab_class *class, uint32_t age, uint32_t now)
{
    uint32_t mean = atomic_load_explicit(&class->mean_age, memory_order_relaxed);
    int64_t off = (int64_t)((uint64_t)(age < 1u << 23 ? age : (1u << 23)) << 8) - mean;

    atomic_store_explicit(&class->mean_age, (uint32_t)(mean + off / 512),
        memory_order_relaxed);
    if (atomic_load_explicit(&class->evicted_at, memory_order_relaxed) != now)
        atomic_store_explicit(&class->evicted_at, now, memory_order_relaxed);
}

void
policy_evicted(struct store *store, unsigned id, const struct table_spot *spot, uint32_t age,
    uint32_t now)
{
    struct slab_class *class = &store->slab.classes[id];
    uint32_t gone =
        (uint32_t)atomic_fetch_add_explicit(&class->gone, 1, memory_order_relaxed) + 1;

    note_age(class, age, now);
    ghost_add(&store->ghost, table_spot_bucket(&store->table, spot), spot->hash, id,
        gone >> class_step_shift(class));
}

/* ---- Coming -------------------------------------------------------------------------- */

uint32_t
policy_admit(struct store *store, const struct table_spot *spot, unsigned id,
    unsigned last_id, bool is_counter)
{
    if (spot->item != NULL)
        return item_info(spot->item) & (INFO_PROBATION | INFO_REFS_MAX * INFO_REF_ONE);
    if (was_ghost(store, spot, id, is_counter) ||
        (last_id != id && was_ghost(store, spot, last_id, false)))
        return 0;
    if (is_counter || store->options.lru)
        return 0;
    return INFO_PROBATION;
}

/* A ring's entry: | tag 3 | low bits of the hash 21 | ref 40 |. */
#define ENTRY_TAG(entry) ((entry) >> (TABLE_REF_BITS + VICTIM_HASH_BITS))
#define HASH_MASK ((UINT64_C(1) << VICTIM_HASH_BITS) - 1)
_Static_assert(TABLE_REF_BITS + VICTIM_HASH_BITS + INFO_TAG_BITS == 64, "it fits");

static uint64_t
entry_make(uint64_t ref, uint64_t hash, uint32_t info)
{
    return ref | (hash & HASH_MASK) << TABLE_REF_BITS |
        (uint64_t)INFO_TAG(info) << (TABLE_REF_BITS + VICTIM_HASH_BITS);
}

static uint64_t
entry_hash(uint64_t entry)
{
    return entry >> TABLE_REF_BITS & HASH_MASK;
}

/* What a ring's entry refers to, if it still is what was put there: a chunk of the class
 * on probation with the same tag. The class is locked. */
static struct item *
probationer(struct store *store, unsigned id, uint64_t entry)
{
    uint64_t ref = entry & TABLE_REF_MASK;
    struct item *chunk = item_at(store, ref);
    uint32_t info;

    /* A page that has gone to another class holds chunks of another size: what lies here
     * need not be a header. It can't come or go while the class is locked. */
    if (store->slab.pages[arena_page_of(&store->arena, chunk)].slab_class != id)
        return NULL;
    info = item_info(chunk);
    if (!(info & INFO_PROBATION) || INFO_TAG(info) != ENTRY_TAG(entry))
        return NULL;
    return INFO_KIND(info) == KIND_ITEM || INFO_KIND(info) == KIND_PIECE ? chunk : NULL;
}

static uint64_t
probation_share(const struct slab_class *class)
{
    return class->used / PROBATION_SHARE;
}

/* While memory is free nothing leaves the ring by eviction: the oldest pass their probation. Apart,
 * because a set that evicts never comes here, and pays for no registers that are saved for it. */
__attribute__((noinline, cold)) static void
pass_oldest(struct store *store, unsigned id)
{
    struct ring *ring = &store->slab.classes[id].probation;
    uint64_t oldest;

    for (int i = 0; i < 2 && ring_pop(ring, &oldest); i++) {
        struct item *first = probationer(store, id, oldest);

        if (first != NULL)
            item_change_info(first, INFO_PROBATION, 0);
    }
}

void
policy_enlist(struct store *store, struct item *chunk, uint64_t hash)
{
    uint32_t info = item_info(chunk);
    unsigned id = INFO_CLASS(info);
    struct slab_class *class = &store->slab.classes[id];
    uint64_t entry = entry_make(item_ref(store, chunk), hash, info);
    bool pushed;

    lock_take(&class->lock);
    pushed = ring_push(&class->probation, entry);
    if (class->probation.count > probation_share(class) + PROBATION_SPARE)
        pass_oldest(store, id);
    lock_give(&class->lock);
    if (!pushed)
        item_change_info(chunk, INFO_PROBATION, 0);
}

/* ---- Going --------------------------------------------------------------------------- */

/* The index's bucket and ghosts that an entry's bits name, if they do. */
static bool
entry_bucket(const struct store *store, uint64_t entry, uint32_t *bucket_out)
{
    uint32_t n = table_count(&store->table);

    *bucket_out = table_bucket(entry_hash(entry), n);
    return n >> VICTIM_HASH_BITS == 0;
}

/* The next eviction will want this header, and the one after this bucket and ghosts. */
static void
fetch_ahead(struct store *store, const struct slab_class *class)
{
    uint64_t entry = ring_ahead(&class->probation, 0);
    uint32_t bucket;

    if (entry == 0)
        return;
    __builtin_prefetch(item_at(store, entry & TABLE_REF_MASK), 1);
    if (!entry_bucket(store, entry, &bucket))
        return;
    __builtin_prefetch(&store->table.buckets[bucket], 1);
    __builtin_prefetch(&store->ghost.sets[bucket], 1);
}

/* The oldest on probation that was not used, if there are more than `share`; those that were used
 * go to the main segment. */
static struct item *
victim_on_probation(struct store *store, unsigned id, uint64_t share, uint32_t now,
    uint64_t *hash_out)
{
    struct slab_class *class = &store->slab.classes[id];
    uint64_t entry;

    for (unsigned walk = PROBATION_WALK;
         walk > 0 && class->probation.count > share; walk--) {
        struct item *chunk;
        uint32_t info;

        if (!ring_pop(&class->probation, &entry))
            return NULL;
        fetch_ahead(store, class);
        chunk = probationer(store, id, entry);
        if (chunk == NULL)
            continue;
        /* In any case it has left the ring; if it is not evicted after all, it is the
         * hand's. */
        info = item_info(chunk);
        item_change_info(chunk, INFO_PROBATION | INFO_REFS_MAX * INFO_REF_ONE, 0);
        if (INFO_REFS(info) == 0 || item_dead(store, chunk, info, now)) {
            *hash_out = entry_hash(entry);
            return chunk;
        }
    }
    return NULL;
}

/* Whom the hand looks at and who may go at all. */
static bool
is_candidate(struct store *store, const struct item *chunk, uint32_t info, uint32_t now)
{
    return INFO_KIND(info) != KIND_FREE && INFO_KIND(info) != KIND_RESERVED &&
        !policy_protects(store, chunk, info, now);
}

/* The less referenced of two chunks, for want of a cold one. */
static struct item *
prefer(struct item *best, struct item *chunk, uint32_t info)
{
    return best == NULL || INFO_REFS(info) < INFO_REFS(item_info(best)) ? chunk : best;
}

/* The first under the hand that has no use to its credit; each look takes one away.
 * *least_out: the least used met, for want of a better one. */
static struct item *
victim_by_clock(struct store *store, unsigned id, uint32_t now, struct item **least_out)
{
    struct slab_class *class = &store->slab.classes[id];

    for (unsigned walk = POLICY_WALK; walk > 0; walk--) {
        struct item *chunk = slab_hand_step(&store->slab, class);
        uint32_t info;

        if (chunk == NULL)
            continue;
        info = item_info(chunk);
        if (!is_candidate(store, chunk, info, now))
            continue;
        if (INFO_KIND(info) == KIND_ITEM)
            class->hand_access = item_last_access(chunk);
        if (item_dead(store, chunk, info, now))
            return chunk;
        if (!(info & (INFO_PROBATION | INFO_LARGE))) {
            if (INFO_REFS(info) == 0)
                return chunk;
            /* Failing means that the item was changed this moment: it is in use. */
            atomic_compare_exchange_strong_explicit(&chunk->info, &info,
                info - INFO_REF_ONE, memory_order_relaxed, memory_order_relaxed);
        }
        *least_out = prefer(*least_out, chunk, info);
    }
    return NULL;
}

/* When a chunk was used last; of a piece, when its item was. Read without a lock, so it may
 * be wrong, once in a long while. */
static uint32_t
last_use(struct store *store, const struct item *chunk, uint32_t info)
{
    uint64_t owner = item_cas(chunk);

    if (INFO_KIND(info) == KIND_PIECE && arena_ref_valid(&store->arena, owner))
        chunk = item_at(store, owner);
    return item_last_access(chunk);
}

/* The least recently used of a few. */
static struct item *
victim_by_age(struct store *store, unsigned id, uint32_t now)
{
    struct slab_class *class = &store->slab.classes[id];
    struct item *oldest = NULL;
    uint32_t oldest_use = UINT32_MAX;
    unsigned met = 0;

    for (unsigned walk = POLICY_WALK; walk > 0 && met < LRU_SAMPLE; walk--) {
        struct item *chunk = slab_hand_step(&store->slab, class);
        uint32_t info;

        if (chunk == NULL)
            continue;
        info = item_info(chunk);
        if (!is_candidate(store, chunk, info, now))
            continue;
        if (item_dead(store, chunk, info, now))
            return chunk;
        met++;
        if (last_use(store, chunk, info) < oldest_use) {
            oldest_use = last_use(store, chunk, info);
            oldest = chunk;
        }
    }
    if (oldest != NULL)
        class->hand_access = oldest_use;
    return oldest;
}

struct victim
policy_victim(struct store *store, unsigned id, bool anyway, uint32_t now)
{
    struct slab_class *class = &store->slab.classes[id];
    struct item *found, *least = NULL;
    struct victim victim = { .ref = 0 };

    lock_take(&class->lock);
    if (store->options.lru) {
        found = victim_by_age(store, id, now);
    } else {
        /* Rather what came lately and was not used yet than what is in use. */
        uint64_t share = anyway ? 0 : probation_share(class);

        found = victim_on_probation(store, id, share, now, &victim.hash);
        victim.hashed = found != NULL;
        if (found == NULL)
            found = victim_by_clock(store, id, now, &least);
        if (found == NULL && anyway)
            found = least;
    }
    lock_give(&class->lock);
    if (found != NULL)
        victim.ref = item_ref(store, found);
    return victim;
}

/* ---- Checking ------------------------------------------------------------------------ */

static uint64_t
count_on_probation(struct store *store, unsigned id)
{
    struct slab *slab = &store->slab;
    struct slab_class *class = &slab->classes[id];
    uint64_t n = 0;

    for (uint32_t at = 0; at < slab->page_high; at++) {
        if (slab->pages[at].slab_class != id)
            continue;
        for (uint32_t i = 0; i < slab->pages[at].fresh; i++) {
            uint32_t info = item_info((const struct item *)(const void *)(arena_page(
                &store->arena, at) + i * class->chunk_size));
            unsigned kind = INFO_KIND(info);

            n += (kind == KIND_ITEM || kind == KIND_PIECE) && (info & INFO_PROBATION);
        }
    }
    return n;
}

void
policy_check(struct store *store)
{
    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        struct ring *ring = &store->slab.classes[id].probation;
        uint64_t found = 0, entry;

        for (uint64_t i = ring->count; i > 0; i--) {
            ring_pop(ring, &entry);
            found += probationer(store, id, entry) != NULL;
            ring_push(ring, entry);
        }
        assert(found >= count_on_probation(store, id));
    }
}
