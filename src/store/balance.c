/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * balance.c - which class should have how many pages.
 *
 * Every key that comes back shortly after it was evicted (a ghost hit, policy.c) says that
 * a few more pages in its class would have been a hit. So pages go where they bring most
 * hits for their bytes: the class whose recent ghost hits for each page of its window are
 * most gets a page from the one where they are fewest. Four brakes keep it from taking
 * pages back and forth, which costs more hits than it gains: the donor's items must be
 * older when they go, weighed by their size, than the receiver's; the difference must be
 * 1.3 times and more than chance explains; a move must be paid for by a page's worth of
 * evictions; and demand is remembered over some thousands of evictions. A class with free
 * chunks for a page and a half gives first, but only if it had them for a minute: when the
 * counters of a minute expire together, their pages are wanted again in the next.
 *
 * Everything here belongs to the thread that calls store_maintain(), but for what is marked
 * atomic in struct slab_class.
 */
#include <math.h>

#include "base/lock.h"
#include "store/core.h"

/* Evictions in a round; demand fades by 2 % in each. */
#define ROUND_EVICTIONS 64
#define FADE 0.98
/* Seconds for which the least number of free chunks is remembered, twice over. */
#define FREE_SECONDS 60
/* Moves in one call; what is left waits for the next. */
#define MOVES_MAX 16

/* A class that was given a page must have filled it and evicted a part of a page before it asks
 * for the next: one in so many of its chunks. */
#define GIFT_SHARE 4

/* Demand is kept in fixed point. */
#define DEMAND_ONE 1024.0

static uint64_t
get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t
evictions(const struct slab *slab)
{
    uint64_t sum = 0;

    for (unsigned id = 1; id <= slab->nclasses; id++)
        sum += get(&slab->classes[id].gone);
    return sum;
}

/* ---- What is known of a class ------------------------------------------------------- */

/* Ghost hits of late, as many as a window of four pages would have had. */
static double
demand_of(const struct slab_class *class)
{
    return (double)class->demand / DEMAND_ONE * (4.0 * class->per_page) /
        (double)class_window(class);
}

static void
fade_demand(struct slab_class *class, double fade)
{
    uint64_t wanted = get(&class->wanted);

    class->demand = (uint64_t)((double)class->demand * fade) +
        (wanted - class->wanted_seen) * (uint64_t)DEMAND_ONE;
    class->wanted_seen = wanted;
}

/* Seconds that items live unused before they are evicted. */
static double
age_of(const struct slab_class *class, uint32_t now)
{
    double mean = atomic_load_explicit(&class->mean_age, memory_order_relaxed) / 256.0;
    uint32_t at = atomic_load_explicit(&class->evicted_at, memory_order_relaxed);
    double since = at == 0 ? now : now - at;

    return at == 0 || since > mean ? since : mean;
}

static bool
evicts_now(const struct slab_class *class, uint32_t now)
{
    uint32_t at = atomic_load_explicit(&class->evicted_at, memory_order_relaxed);

    return at != 0 && at + 2 + age_of(class, now) * 0.05 >= now;
}

/* Age weighed by size: equal weights would equalise the value of bytes, no weight the value
 * of items. `object_bias` chooses between them. */
static double
weight_of(const struct store *store, const struct slab_class *class, uint32_t now)
{
    return age_of(class, now) * pow(class->chunk_size, store->options.object_bias / 100.0);
}

static uint64_t
free_chunks(struct slab_class *class)
{
    uint64_t n;

    lock_take(&class->lock);
    n = (uint64_t)class->pages * class->per_page -
        atomic_load_explicit(&class->used, memory_order_relaxed);
    lock_give(&class->lock);
    return n;
}

static void
note_free(struct store *store, uint32_t now)
{
    bool turn = now - store->balance_second >= FREE_SECONDS;

    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        struct slab_class *class = &store->slab.classes[id];
        uint64_t n = free_chunks(class);

        if (n < class->free_least)
            class->free_least = n;
        if (turn) {
            class->free_least_before = class->free_least;
            class->free_least = n;
        }
    }
    if (turn)
        store->balance_second = now;
}

/* A page that holds no more than what may go: what counters take is never given. */
bool
balance_can_give(const struct slab_class *class)
{
    return (uint64_t)class->pages * class->per_page >=
        class->counters + class->per_page + class->per_page / 2;
}

static bool
has_spare(const struct slab_class *class)
{
    uint64_t n = class->free_least < class->free_least_before ? class->free_least :
                                                                class->free_least_before;

    return class->pages > 1 && balance_can_give(class) && n >= class->per_page + class->per_page / 2;
}

/* ---- Who gives to whom ---------------------------------------------------------------- */

static unsigned
receiver(const struct store *store, uint32_t now)
{
    double most = -1;
    unsigned best = 0;

    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        const struct slab_class *class = &store->slab.classes[id];

        if (class->pages > 0 && evicts_now(class, now) && demand_of(class) > most &&
            get(&class->gone) - class->gone_at_gift >= class->per_page / GIFT_SHARE) {
            most = demand_of(class);
            best = id;
        }
    }
    return best;
}

static unsigned
donor(const struct store *store, unsigned to, uint32_t now)
{
    const struct slab_class *wants = &store->slab.classes[to];
    double least = INFINITY, high = demand_of(wants), low;
    unsigned best = 0;

    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        const struct slab_class *class = &store->slab.classes[id];

        if (id == to || class->pages < 2 || !balance_can_give(class) ||
            weight_of(store, class, now) < weight_of(store, wants, now))
            continue;
        if (demand_of(class) < least) {
            least = demand_of(class);
            best = id;
        }
    }
    if (best == 0)
        return 0;
    low = demand_of(&store->slab.classes[best]);
    return high > 1.3 * low && high - low > 2 * sqrt(high + low) ? best : 0;
}

static bool
choose_pair(struct store *store, uint32_t now, unsigned *from, unsigned *to)
{
    *to = receiver(store, now);
    if (*to == 0)
        return false;
    for (unsigned id = 1; id <= store->slab.nclasses; id++) {
        struct slab_class *class = &store->slab.classes[id];

        if (id != *to && has_spare(class)) {
            class->free_least = class->free_least_before = 0;
            *from = id;
            return true;
        }
    }
    *from = donor(store, *to, now);
    return *from != 0;
}

/* ---- A round -------------------------------------------------------------------------- */

bool
balance_pages(struct store *store, struct store_thread *thread, uint32_t now)
{
    uint64_t total = evictions(&store->slab), fresh = total - store->balance_evicted;
    unsigned from, to;
    double fade;

    if (fresh < ROUND_EVICTIONS || !store->options.slab_reassign || !store->options.evict)
        return false;
    store->balance_evicted = total;
    store->balance_credit += fresh;
    fade = pow(FADE, (double)fresh / ROUND_EVICTIONS);
    for (unsigned id = 1; id <= store->slab.nclasses; id++)
        fade_demand(&store->slab.classes[id], fade);
    note_free(store, now);
    for (int i = 0; i < MOVES_MAX && choose_pair(store, now, &from, &to); i++) {
        uint32_t price = store->slab.classes[to].per_page;

        if (store->balance_credit < price)
            return true;
        store->balance_credit -= price;
        store->slab.classes[to].gone_at_gift = get(&store->slab.classes[to].gone);
        if (!page_move(store, thread, (int)from, to, now))
            break;
    }
    /* Nothing to move now does not pay for a rush later. */
    store->balance_credit = 0;
    return true;
}
