/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h - bytes from one thread to one other, without a lock.
 *
 *   bytes   [ ..... free ..... | told, not taken yet | ..... free ..... ]
 *                              ^ taken               ^ put
 *
 * `put` and `taken` count all bytes ever, so their difference is what lies between, and
 * their remainders by the size are places. The writer alone moves `put`, with release; the
 * reader alone moves `taken`, with release; each reads the other's with acquire.
 */
#ifndef LARDER_BASE_RING_H
#define LARDER_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct ring {
    char *bytes;
    uint32_t size;
    _Atomic uint64_t put, taken;
};

static inline bool
ring_init(struct ring *ring, uint32_t size)
{
    ring->bytes = malloc(size > 0 ? size : 1);
    ring->size = size;
    atomic_init(&ring->put, 0);
    atomic_init(&ring->taken, 0);
    return ring->bytes != NULL;
}

static inline void
ring_fini(struct ring *ring)
{
    free(ring->bytes);
}

/* Bytes that may be put. The writer. */
static inline size_t
ring_room(const struct ring *ring)
{
    return ring->size -
           (size_t)(atomic_load_explicit(&ring->put, memory_order_relaxed) -
               atomic_load_explicit(&ring->taken, memory_order_acquire));
}

/* Bytes that may be taken. The reader. */
static inline size_t
ring_used(const struct ring *ring)
{
    return (size_t)(atomic_load_explicit(&ring->put, memory_order_acquire) -
                    atomic_load_explicit(&ring->taken, memory_order_relaxed));
}

/* Copies `len` bytes behind those that were put and `ahead` more; ring_commit() shows them
 * all. The room is there. */
static inline void
ring_write(struct ring *ring, size_t ahead, const void *data, size_t len)
{
    uint64_t put = atomic_load_explicit(&ring->put, memory_order_relaxed) + ahead;
    size_t at = ring->size == 0 ? 0 : (size_t)(put % ring->size);
    size_t first = len < ring->size - at ? len : ring->size - at;

    if (first > 0)
        memcpy(ring->bytes + at, data, first);
    if (len > first)
        memcpy(ring->bytes, (const char *)data + first, len - first);
}

static inline void
ring_commit(struct ring *ring, size_t len)
{
    atomic_store_explicit(&ring->put,
        atomic_load_explicit(&ring->put, memory_order_relaxed) + len,
        memory_order_release);
}

/* Copies `len` bytes from `ahead` behind the oldest, without taking them. They are there. */
static inline void
ring_peek(const struct ring *ring, size_t ahead, void *to, size_t len)
{
    uint64_t taken = atomic_load_explicit(&ring->taken, memory_order_relaxed) + ahead;
    size_t at = (size_t)(taken % ring->size);
    size_t first = len < ring->size - at ? len : ring->size - at;

    memcpy(to, ring->bytes + at, first);
    if (len > first)
        memcpy((char *)to + first, ring->bytes, len - first);
}

static inline void
ring_take(struct ring *ring, size_t len)
{
    atomic_store_explicit(&ring->taken,
        atomic_load_explicit(&ring->taken, memory_order_relaxed) + len,
        memory_order_release);
}

#endif
