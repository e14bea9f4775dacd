/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * item.h - what lies in a chunk.
 *
 *   0        8         12            16         20     24
 *   | cas    | exptime | last access | length   | info | key | flags | seq | value
 *
 *   info     key length 8 | class 8 | kind 2 | refs 2 | bits 9 | tag 3
 *   flags    4 bytes, only if the client's flags are not 0
 *   seq      8 bytes, only if the CAS unique was chosen by a client (see item_seq)
 *   value    or, in a large item, a struct chain, aligned to 8 bytes
 *
 * Every chunk begins with this header, whatever it holds, so that the clock hand and the
 * page mover can walk a page and know what they see:
 *
 *   KIND_FREE      on its page's free list; `cas` holds the next one
 *   KIND_RESERVED  taken, but not (or no longer) reachable: being filled, or dying
 *   KIND_ITEM      linked in the index
 *   KIND_PIECE     part of a large item's value; `cas` holds the reference of the item
 *
 * A reference (ref) is the distance from the arena's start in units of 8 bytes, 40 bits,
 * never 0. There are no pointers in the arena: it may be mapped elsewhere later.
 *
 * All fields are atomics because readers look without a lock (base/racy.h). Who may write:
 * the holder of the item's stripe; besides, the replacement policy changes `refs` and
 * INFO_PROBATION under the class's lock. Therefore the info of a linked item is changed by
 * item_change_info() only.
 */
#ifndef LARDER_STORE_ITEM_H
#define LARDER_STORE_ITEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/racy.h"

struct item {
    _Atomic uint64_t cas;
    _Atomic uint32_t exptime;
    _Atomic uint32_t last_access;
    _Atomic uint32_t value_len;
    _Atomic uint32_t info;
    char data[];
};

#define ITEM_HEADER 24u
_Static_assert(sizeof(struct item) == ITEM_HEADER, "the item header is part of the layout");

enum item_kind { KIND_FREE, KIND_RESERVED, KIND_ITEM, KIND_PIECE };

#define INFO_KEY_LEN(info) ((info)&0xffu)
#define INFO_CLASS(info) (((info) >> 8) & 0xffu)
#define INFO_KIND(info) (((info) >> 16) & 3u)
#define INFO_REFS(info) (((info) >> 18) & 3u)
#define INFO_REF_ONE (1u << 18)
#define INFO_REFS_MAX 3u
#define INFO_FETCHED (1u << 20)
#define INFO_STALE (1u << 21)
#define INFO_WIN_SENT (1u << 22)
#define INFO_HAS_FLAGS (1u << 23)
#define INFO_HAS_SEQ (1u << 24)
#define INFO_LARGE (1u << 25)
#define INFO_KEY_BINARY (1u << 26)
/* See policy.h. The tag tells an entry of the ring from one of an earlier life of its chunk. */
#define INFO_PROBATION (1u << 27)
#define INFO_COUNTER (1u << 28)
#define INFO_POLICY (7u << 29 | INFO_PROBATION | INFO_REFS_MAX * INFO_REF_ONE)
#define INFO_TAG_BITS 3
#define INFO_TAG(info) ((info) >> 29)
#define INFO_TAG_OF(number) ((uint32_t)(number) << 29)

/* The value of a large item: a chain of pieces, each a chunk with a header of its own.
 * Written under the item's stripe. */
struct chain {
    _Atomic uint64_t first; /* ref of the first piece */
    _Atomic uint32_t pieces;
    _Atomic uint32_t pins;  /* readers that send from it */
};

static inline uint32_t
item_info(const struct item *item)
{
    return atomic_load_explicit(&item->info, memory_order_relaxed);
}

static inline void
item_set_info(struct item *item, uint32_t info)
{
    atomic_store_explicit(&item->info, info, memory_order_relaxed);
}

/* Clears and sets bits of an info word that others may be changing too. */
static inline void
item_change_info(struct item *item, uint32_t clear, uint32_t set)
{
    uint32_t info = item_info(item);

    while (!atomic_compare_exchange_weak_explicit(&item->info, &info, (info & ~clear) | set,
        memory_order_relaxed, memory_order_relaxed))
        ;
}

static inline uint32_t
info_make(uint32_t key_len, uint32_t slab_class, enum item_kind kind)
{
    return key_len | slab_class << 8 | (uint32_t)kind << 16;
}

static inline uint32_t
info_with_kind(uint32_t info, enum item_kind kind)
{
    return (info & ~(3u << 16)) | (uint32_t)kind << 16;
}

static inline uint64_t
item_cas(const struct item *item)
{
    return atomic_load_explicit(&item->cas, memory_order_relaxed);
}

static inline void
item_set_cas(struct item *item, uint64_t cas)
{
    atomic_store_explicit(&item->cas, cas, memory_order_relaxed);
}

static inline uint32_t
item_exptime(const struct item *item)
{
    return atomic_load_explicit(&item->exptime, memory_order_relaxed);
}

static inline uint32_t
item_value_len(const struct item *item)
{
    return atomic_load_explicit(&item->value_len, memory_order_relaxed);
}

static inline uint32_t
item_last_access(const struct item *item)
{
    return atomic_load_explicit(&item->last_access, memory_order_relaxed);
}

/* Distances from the item's start. */
static inline uint32_t
item_flags_at(uint32_t info)
{
    return ITEM_HEADER + INFO_KEY_LEN(info);
}

static inline uint32_t
item_seq_at(uint32_t info)
{
    return item_flags_at(info) + ((info & INFO_HAS_FLAGS) ? 4 : 0);
}

/* Of the value, or of the struct chain of a large item. */
static inline uint32_t
item_value_at(uint32_t info)
{
    uint32_t at = item_seq_at(info) + ((info & INFO_HAS_SEQ) ? 8 : 0);

    return (info & INFO_LARGE) ? (at + 7) & ~7u : at;
}

/* Bytes of the chunk that the item takes. */
static inline uint32_t
item_used(uint32_t info, uint32_t value_len)
{
    return item_value_at(info) +
        ((info & INFO_LARGE) ? (uint32_t)sizeof(struct chain) : value_len);
}

static inline uint32_t
item_client_flags(const struct item *item, uint32_t info)
{
    uint32_t flags = 0;

    if (info & INFO_HAS_FLAGS)
        racy_read((char *)&flags, (const char *)item + item_flags_at(info), 4);
    return flags;
}

/*
 * When the item was stored, as a place in the order of CAS uniques: what flush_all
 * compares. That is the CAS unique itself unless a client chose it.
 */
static inline uint64_t
item_seq(const struct item *item, uint32_t info)
{
    uint64_t seq;

    if (!(info & INFO_HAS_SEQ))
        return item_cas(item);
    racy_read((char *)&seq, (const char *)item + item_seq_at(info), 8);
    return seq;
}

static inline struct chain *
item_chain(struct item *item, uint32_t info)
{
    return (struct chain *)(void *)((char *)item + item_value_at(info));
}

/* Expired at `now`? */
static inline bool
item_expired(const struct item *item, uint32_t now)
{
    uint32_t exptime = item_exptime(item);

    return exptime != 0 && exptime <= now;
}

#endif
