/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/sound.h"

#include <stdlib.h>

/* ---- Pages ----------------------------------------------------------------------------- */

static bool
page_sound(const struct slab *slab, const struct page *page, unsigned id)
{
    const struct slab_class *class = &slab->classes[id];
    uint32_t at = page->free_head == 0 ? 0 : (page->free_head - 1u) * 8;

    return page->slab_class == id && page->draining == 0 && page->fresh <= class->per_page &&
        page->free_count <= page->fresh && (page->free_count == 0) == (page->free_head == 0) &&
        at % class->chunk_size == 0 &&
        (page->free_head == 0 || at / class->chunk_size < page->fresh);
}

/* The ring is whole and goes round after as many pages as the class has. That each page leads
 * back to the one before makes it one circle. */
static bool
ring_sound(const struct slab *slab, unsigned id, uint32_t *with_room)
{
    const struct slab_class *class = &slab->classes[id];
    uint32_t at = class->first;
    uint64_t used = 0;

    *with_room = 0;
    if ((class->pages == 0) != (at == NO_PAGE) ||
        (class->pages == 0) != (class->hand_page == NO_PAGE))
        return false;
    for (uint32_t i = 0; i < class->pages; i++) {
        const struct page *page = &slab->pages[at];

        if (!page_sound(slab, page, id) || page->next >= slab->page_high ||
            slab->pages[page->next].prev != at || (i > 0 && at == class->first))
            return false;
        used += (uint64_t)page->fresh - page->free_count;
        *with_room += page->free_count > 0 || page->fresh < class->per_page;
        at = page->next;
    }
    return at == class->first && used == class->used &&
        (class->pages == 0 || slab->pages[class->hand_page].slab_class == id);
}

/* The list of pages with room leads to all of them, forth and back. */
static bool
free_list_sound(const struct slab *slab, unsigned id, uint32_t with_room)
{
    const struct slab_class *class = &slab->classes[id];
    uint32_t at = class->free_first, before = NO_PAGE;

    for (; with_room > 0 && at < slab->page_high; with_room--) {
        const struct page *page = &slab->pages[at];

        if (page->slab_class != id || page->free_prev != before ||
            (page->free_count == 0 && page->fresh >= class->per_page))
            return false;
        before = at;
        at = page->free_next;
    }
    return with_room == 0 && at == NO_PAGE;
}

/* Marks the pages of one of the pool's lists, none of which may be marked before. */
static bool
pool_list_sound(const struct slab *slab, uint32_t at, uint32_t n, uint64_t *met)
{
    for (; n > 0 && at < slab->page_high; n--) {
        const struct page *page = &slab->pages[at];

        if (page->slab_class != 0 || (met[at / 64] >> at % 64 & 1) != 0)
            return false;
        met[at / 64] |= UINT64_C(1) << at % 64;
        at = page->next;
    }
    return n == 0 && at == NO_PAGE;
}

static bool
pool_sound(const struct slab *slab)
{
    uint64_t *met = calloc(slab->page_high / 64 + 1, sizeof *met);
    bool sound = met != NULL &&
        pool_list_sound(slab, slab->pool_first, slab->pool_kept, met) &&
        pool_list_sound(slab, slab->pool_bare, slab->pool_count - slab->pool_kept, met);

    free(met);
    return sound;
}

bool
sound_slab(const struct slab *slab)
{
    uint64_t held = 0;

    for (unsigned id = 1; id <= slab->nclasses; id++) {
        uint32_t with_room;

        if (!ring_sound(slab, id, &with_room) || !free_list_sound(slab, id, with_room))
            return false;
        held += slab->classes[id].pages;
    }
    return held == slab->pages_held && held + slab->pool_count == slab->page_high &&
        pool_sound(slab);
}

/* ---- The index ------------------------------------------------------------------------- */

bool
sound_begin(struct sound *sound, const struct table *table, const struct slab *slab)
{
    uint64_t first = (uint64_t)(table->arena->pages - table->arena->base);

    *sound = (struct sound){ .table = table, .ref_first = first >> 3,
        .ref_end = (first + ((uint64_t)slab->page_high << PAGE_SIZE_BITS)) >> 3 };
    sound->met = calloc(table->overflow_fresh / 64 + 1, sizeof *sound->met);
    return sound->met != NULL;
}

/* Something leads to an overflow bucket: is it one, and was it met for the first time? Each is
 * met just once by a bucket, by another one or as the first that is free, so chains neither
 * join nor turn back. */
static bool
meet(struct sound *sound, uint32_t overflow)
{
    uint64_t bit = UINT64_C(1) << overflow % 64;

    if (overflow == 0)
        return true;
    if (overflow >= sound->table->overflow_fresh || (sound->met[overflow / 64] & bit) != 0)
        return false;
    sound->met[overflow / 64] |= bit;
    sound->links++;
    return true;
}

/* Words that lead to where items may be, the empty ones behind them. `used_out`: how many. */
static bool
slots_sound(const struct sound *sound, const _Atomic uint64_t *slots, unsigned nslots,
    unsigned *used_out)
{
    uint64_t span = sound->ref_end - sound->ref_first;
    unsigned n = 0;

    while (n < nslots && slots[n] != 0) {
        if ((slots[n] & TABLE_REF_MASK) - sound->ref_first >= span)
            return false;
        n++;
    }
    *used_out = n;
    while (n < nslots && slots[n] == 0)
        n++;
    return n == nslots;
}

static bool
bucket_sound(struct sound *sound, const struct bucket *bucket)
{
    uint64_t meta = bucket->meta;
    unsigned used;

    return (meta & 1) == 0 && slots_sound(sound, bucket->slots, TABLE_SLOTS, &used) &&
        (meta_overflow(meta) == 0 || used == TABLE_SLOTS) &&
        meet(sound, meta_overflow(meta));
}

static bool
slots_clear(const _Atomic uint64_t *slots, unsigned n)
{
    uint64_t any = 0;

    while (n > 0)
        any |= slots[--n];
    return any == 0;
}

/* One that was never used. */
static bool
bucket_clear(const struct bucket *bucket)
{
    return bucket->meta == 0 && slots_clear(bucket->slots, TABLE_SLOTS);
}

bool
sound_buckets(void *context, const char *data, uint64_t at, uint64_t bytes)
{
    struct sound *sound = context;
    const struct bucket *bucket = (const struct bucket *)(const void *)data;
    uint64_t index = at / sizeof *bucket, n = bytes / sizeof *bucket;

    for (uint64_t i = 0; i < n; i++)
        if (index + i < sound->table->nbuckets ? !bucket_sound(sound, &bucket[i]) :
                                                 !bucket_clear(&bucket[i]))
            return false;
    return true;
}

/* Those that are free are empty and lead to the next free one. Which are, only their list
 * tells: here it is enough that none leads astray. */
static bool
overflow_sound(struct sound *sound, const struct overflow *overflow)
{
    unsigned used;

    return slots_sound(sound, overflow->slots, OVERFLOW_SLOTS, &used) &&
        meet(sound, meta_overflow(overflow->meta));
}

static bool
overflow_clear(const struct overflow *overflow)
{
    return overflow->meta == 0 && slots_clear(overflow->slots, OVERFLOW_SLOTS);
}

bool
sound_overflow(void *context, const char *data, uint64_t at, uint64_t bytes)
{
    struct sound *sound = context;
    const struct overflow *overflow = (const struct overflow *)(const void *)data;
    uint64_t index = at / sizeof *overflow, n = bytes / sizeof *overflow;

    for (uint64_t i = 0; i < n; i++)
        if (index + i >= sound->table->overflow_fresh || index + i == 0 ?
                !overflow_clear(&overflow[i]) :
                !overflow_sound(sound, &overflow[i]))
            return false;
    return true;
}

/* As many free overflow buckets as there must be, all of them empty. */
static bool
free_buckets_sound(const struct sound *sound)
{
    const struct table *table = sound->table;
    uint32_t n = table->overflow_fresh - 1 - table->overflow_used, at = table->overflow_free;

    for (; n > 0 && at != 0; n--) {
        const struct overflow *overflow = &table->overflow[at];

        if (!slots_clear(overflow->slots, OVERFLOW_SLOTS))
            return false;
        at = meta_overflow(overflow->meta);
    }
    return n == 0 && at == 0;
}

bool
sound_end(struct sound *sound)
{
    const struct table *table = sound->table;
    bool sound_all = table->overflow_used < table->overflow_fresh &&
        meet(sound, table->overflow_free) &&
        sound->links == table->overflow_fresh - 1u && free_buckets_sound(sound);

    free(sound->met);
    return sound_all;
}
