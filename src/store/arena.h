/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arena.h - one range of addresses for everything the store keeps.
 *
 *   | header | page descriptors | index buckets | overflow buckets | ghosts | pages ...        |
 *   base                                                                     pages   (reserved)
 *
 * The range is reserved once, from a memory file or a file with a name, and committed by
 * touching it: an empty store costs next to nothing and a limit can be raised later without
 * moving anything. What lies in it refers to itself by distances from `base`, never by
 * pointers: a later process may map the file elsewhere and go on (header.h, leave.c, adopt.c).
 */
#ifndef LARDER_STORE_ARENA_H
#define LARDER_STORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/gather.h"
#include "store/item.h"

#define PAGE_SIZE_BITS 16
#define PAGE_BYTES (1u << PAGE_SIZE_BITS)
/* Bytes before the first section: see header.h. */
#define ARENA_HEADER PAGE_BYTES
/* As far as references reach: 40 bits in units of 8 bytes. */
#define ARENA_BYTES_MAX (UINT64_C(1) << 43)

struct arena_sizes {
    uint64_t descriptors, buckets, overflow, ghosts; /* bytes of each section */
    uint64_t pages; /* number of pages that may ever be used */
};

struct arena {
    char *base;
    char *descriptors, *buckets, *overflow, *ghosts, *pages;
    uint64_t npages;
    uint64_t bytes; /* of the whole mapping */
    int fd;         /* of the file; -1: anonymous memory */
    bool huge;
    struct gather gather;     /* all zero: see gather_init() */
    struct arena_sizes sizes; /* as asked for */
};

/*
 * Reserves the range. `huge` asks for huge pages: from the memory file where the system
 * allows them there, else from anonymous memory. 0, or -errno with a static text in
 * *why_out: -ENOMEM (a smaller range may do), -E2BIG (over ARENA_BYTES_MAX).
 */
int arena_init(struct arena *arena, const struct arena_sizes *sizes, bool huge,
    const char **why_out);
/* The same in the caller's file, which is truncated first; taken on success. */
int arena_init_in(struct arena *arena, const struct arena_sizes *sizes, int fd, bool huge,
    const char **why_out);
/* The same with what the file holds. It must be as long as arena_bytes() says. */
int arena_map(struct arena *arena, const struct arena_sizes *sizes, int fd, bool huge,
    const char **why_out);
/* All zero but `fd` -1 is an arena that needs nothing. */
void arena_fini(struct arena *arena);

/* How long the range is. 0: over ARENA_BYTES_MAX. */
uint64_t arena_bytes(const struct arena_sizes *sizes);

/* Touches pages [0, n) so that they are committed now. What they hold stays; no other thread
 * may be inside the store. */
void arena_commit(struct arena *arena, uint64_t n);
/* What was written is durable; nothing to do in memory. 0 or -errno. */
int arena_settle(const struct arena *arena);
/* Gives the memory of one page back to the system; it reads as zeros afterwards. */
void arena_release_page(struct arena *arena, uint64_t page);

static inline struct item *
arena_item(const struct arena *arena, uint64_t ref)
{
    return (struct item *)(void *)(arena->base + (ref << 3));
}

static inline uint64_t
arena_ref(const struct arena *arena, const struct item *item)
{
    return (uint64_t)((const char *)item - arena->base) >> 3;
}

/* The page an item lies in. */
static inline uint32_t
arena_page_of(const struct arena *arena, const struct item *item)
{
    return (uint32_t)((uint64_t)((const char *)item - arena->pages) >> PAGE_SIZE_BITS);
}

static inline char *
arena_page(const struct arena *arena, uint32_t page)
{
    return arena->pages + ((uint64_t)page << PAGE_SIZE_BITS);
}

/* Does a reference read without a lock point to where a chunk may begin? */
static inline bool
arena_ref_valid(const struct arena *arena, uint64_t ref)
{
    uint64_t at = ref << 3;
    uint64_t first = (uint64_t)(arena->pages - arena->base);

    return at >= first && at - first <= (arena->npages << PAGE_SIZE_BITS) - ITEM_HEADER;
}

#endif
