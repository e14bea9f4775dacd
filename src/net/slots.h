/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slots.h - many things of one size, side by side; inside src/net only.
 *
 *   tray   [ head | thing | thing | free | thing | never used ... ]   at TRAY_ALIGN
 *
 * malloc() adds a header to each and puts them where there is room; here they begin at
 * cache lines of their own, nothing is added, and those that came together lie together. A
 * tray in which nothing is left goes back to malloc(), except one. Used by one thread.
 */
#ifndef LARDER_NET_SLOTS_H
#define LARDER_NET_SLOTS_H

#include <stddef.h>

#define SLOTS_ALIGN 64u
#define TRAY_ALIGN  16384u
/* A line less, so that what malloc() adds does not push the next tray a whole one away. */
#define TRAY_BYTES  (TRAY_ALIGN - SLOTS_ALIGN)

struct tray;

struct slots {
    size_t size;        /* of one thing, a multiple of SLOTS_ALIGN */
    struct tray *roomy; /* those with room, the last one to get some first */
    struct tray *spare; /* an empty one, in no list; NULL: none is kept */
};

/* Things of at least `size` bytes. */
void slots_init(struct slots *slots, size_t size);
/* slots->size bytes, all zero. NULL: out of memory. */
void *slots_get(struct slots *slots);
void slots_put(struct slots *slots, void *thing);
/* Everything has been put back. */
void slots_fini(struct slots *slots);

#endif
