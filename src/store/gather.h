/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gather.h - the system's small pages of memory, gathered into huge ones.
 *
 * A lookup in a large cache touches two lines of memory anywhere in it. On pages of 4 KiB each of
 * them mostly costs a walk through page tables that are not in the processor's cache either (in
 * a virtual machine two walks in one); on pages of 2 MiB it does not: a get of 100 keys out of 5
 * million takes 0.7 of the CPU time. The memory file gets small pages, though, since systems allow
 * huge ones in files of memory hardly anywhere. So a block of 2 MiB that is full is gathered by
 * MADV_COLLAPSE (Linux 6.1), which asks for no such setting, works with a file that another
 * process will map, and takes no more memory than there was. While it lasts, whoever looks at
 * the block waits, so it is done seldom; and blocks in front of one that fills up are made huge
 * before anybody uses them, which is cheaper than their small pages would have been. The same parts
 * are to be told each time, in the same order.
 *
 * One thread at a time calls gather_step(); gather_forget() and gather_bytes() may be called by any.
 */
#ifndef LARDER_STORE_GATHER_H
#define LARDER_STORE_GATHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GATHER_BITS 21
#define GATHER_BYTES (UINT64_C(1) << GATHER_BITS)
/* Parts that there may be. */
#define GATHER_PARTS 3
/* Small pages of a block. */
#define GATHER_PAGES ((unsigned)(GATHER_BYTES >> 12))

struct gather {
    char *base;                 /* at a multiple of GATHER_BYTES; NULL: nothing is gathered */
    uint64_t blocks;            /* whole ones from `base` on */
    _Atomic uint64_t *done;     /* a bit for each: it is a huge page */
    _Atomic uint64_t done_count;
    uint64_t next;              /* block to be looked at */
    uint64_t not_before_us;     /* no block in use is gathered earlier ... */
    uint64_t refused_until_us;  /* ... and this early none at all */
    uint64_t seen[GATHER_PARTS]; /* of each part, what was in use at the last step */
    uint64_t ready_end;         /* nothing was made ready from this distance on */
};

/* A part of the range, as distances from its base: [from, used) is in use, and use goes on up to
 * `end` at most. A block in use is worth it from `pages_least` small pages on. */
struct gather_part {
    uint64_t from, used, end;
    unsigned pages_least;
    unsigned ahead_most; /* blocks made ready in front of what is in use */
};

/* For `bytes` of mapped memory at `base`. Gathers nothing if memory is short, or the system was
 * told never to use huge pages. */
void gather_init(struct gather *gather, char *base, uint64_t bytes);
void gather_fini(struct gather *gather);

/* Gathers what is worth it, one block in use and a few that soon will be, at `now_us` of clock_micros(). True: a part has
 * grown into a block that was made ready; look again in some ten milliseconds. */
bool gather_step(struct gather *gather, const struct gather_part *parts, unsigned n,
    uint64_t now_us);

/* Memory at this distance was given back to the system: its block is no huge page any more. */
void gather_forget(struct gather *gather, uint64_t distance);

/* Memory on huge pages, as far as gather_step() knows. */
uint64_t gather_bytes(const struct gather *gather);

#endif
