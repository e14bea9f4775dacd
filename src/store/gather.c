/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/clock.h"

/* Linux 6.1; headers may be older than the kernel. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Between two blocks in use: so many times what the last one took, within bounds. A worker that looks
 * at the block waits, or has to share its processor; with a block every quarter of a second one
 * request in a hundred did, by five milliseconds, and one in a thousand is too many. */
#define PAUSE_TIMES    2000u
#define PAUSE_LEAST_US UINT64_C(250000)
#define PAUSE_MOST_US  UINT64_C(30000000)
/* After a refusal that may not last: pages that are being read or written by the system, or
 * no huge page to be had. */
#define PAUSE_REFUSED_US UINT64_C(10000000)
/* Blocks looked at in one step. */
#define LOOKS 32u

/* What an operator says of huge pages in general. Those of files of memory have a setting of
 * their own, "never" unless changed, which nobody has chosen. */
#define SETTING "/sys/kernel/mm/transparent_hugepage/enabled"

static bool
is_forbidden(void)
{
    char text[128] = "";
    FILE *file = fopen(SETTING, "re");
    bool read;

    if (file == NULL)
        return true;
    read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    return !read || strstr(text, "[never]") != NULL;
}

void
gather_init(struct gather *gather, char *base, uint64_t bytes)
{
    *gather = (struct gather){ .blocks = bytes >> GATHER_BITS };
    if (gather->blocks == 0 || is_forbidden())
        return;
    gather->done = calloc((gather->blocks + 63) / 64, sizeof *gather->done);
    if (gather->done != NULL)
        gather->base = base;
}

void
gather_fini(struct gather *gather)
{
    free(gather->done);
    gather->done = NULL;
    gather->base = NULL;
}

static bool
is_done(const struct gather *gather, uint64_t block)
{
    return (atomic_load_explicit(&gather->done[block / 64], memory_order_relaxed) >>
               block % 64 & 1) != 0;
}

static void
set_done(struct gather *gather, uint64_t block)
{
    uint64_t bit = UINT64_C(1) << block % 64;

    if ((atomic_fetch_or_explicit(&gather->done[block / 64], bit, memory_order_relaxed) &
            bit) == 0)
        atomic_fetch_add_explicit(&gather->done_count, 1, memory_order_relaxed);
}

void
gather_forget(struct gather *gather, uint64_t distance)
{
    uint64_t block = distance >> GATHER_BITS, bit = UINT64_C(1) << block % 64;

    if (gather->done == NULL || block >= gather->blocks)
        return;
    if ((atomic_fetch_and_explicit(&gather->done[block / 64], ~bit, memory_order_relaxed) &
            bit) != 0)
        atomic_fetch_sub_explicit(&gather->done_count, 1, memory_order_relaxed);
}

uint64_t
gather_bytes(const struct gather *gather)
{
    return atomic_load_explicit(&gather->done_count, memory_order_relaxed) << GATHER_BITS;
}

/* Small pages of the block that are there. */
static unsigned
pages_there(const struct gather *gather, uint64_t block)
{
    unsigned char there[GATHER_PAGES];
    unsigned n = 0;

    if (mincore(gather->base + (block << GATHER_BITS), GATHER_BYTES, there) != 0)
        return 0;
    for (unsigned i = 0; i < GATHER_PAGES; i++)
        n += there[i] & 1u;
    return n;
}

static void
collapse(struct gather *gather, uint64_t block, uint64_t now_us)
{
    char *at = gather->base + (block << GATHER_BITS);

    if (madvise(at, GATHER_BYTES, MADV_COLLAPSE) == 0) {
        set_done(gather, block);
        return;
    }
    gather->refused_until_us = now_us + PAUSE_REFUSED_US;
    if (errno == EINVAL) /* an older kernel, or a file on a disk: not now and not later */
        gather->base = NULL;
}

/* A block that will be in use soon. */
static bool
make_ready(struct gather *gather, const struct gather_part *part, uint64_t block,
    uint64_t now_us)
{
    if ((block + 1) << GATHER_BITS > part->end || block >= gather->blocks ||
        is_done(gather, block) || now_us < gather->refused_until_us)
        return false;
    /* What has no page at all is not collapsed. Nothing changes should it be in use by now. */
    __atomic_fetch_or(gather->base + (block << GATHER_BITS), 0, __ATOMIC_RELAXED);
    collapse(gather, block, now_us);
    if ((block + 1) << GATHER_BITS > gather->ready_end)
        gather->ready_end = (block + 1) << GATHER_BITS;
    return is_done(gather, block);
}

/* The blocks in front of where use of the part ends: one, when the one behind is half full; more if
 * use has gone on by more than that since the last step. */
static bool
get_ready(struct gather *gather, const struct gather_part *part, uint64_t *seen,
    uint64_t now_us)
{
    uint64_t grown = part->used > *seen ? part->used - *seen : 0;
    uint64_t ahead = part->used + GATHER_BYTES / 2 + 2 * grown;
    bool ready = false;

    *seen = part->used;
    /* The first step has nothing to compare with. */
    if (grown == part->used || part->used < part->from + GATHER_BYTES)
        return false;
    if (ahead > part->used + part->ahead_most * GATHER_BYTES)
        ahead = part->used + part->ahead_most * GATHER_BYTES;
    for (uint64_t block = (part->used >> GATHER_BITS) + 1; block <= ahead >> GATHER_BITS;
         block++)
        ready = make_ready(gather, part, block, now_us) || ready;
    return ready;
}

/* Is the block within the part's use, and full enough? */
static bool
is_worth_it(const struct gather *gather, const struct gather_part *part, uint64_t block)
{
    return block << GATHER_BITS >= part->from && (block + 1) << GATHER_BITS <= part->used &&
        pages_there(gather, block) >= part->pages_least;
}

/* The next block, round and round, that some part is in. */
static uint64_t
next_block(struct gather *gather, const struct gather_part *parts, unsigned n)
{
    uint64_t block = gather->next, first = gather->blocks;

    gather->next++;
    for (unsigned i = 0; i < n; i++) {
        uint64_t from = (parts[i].from + GATHER_BYTES - 1) >> GATHER_BITS;

        if (block >= from && block < parts[i].used >> GATHER_BITS)
            return block;
        if (from > block && from < first)
            first = from;
    }
    gather->next = first < gather->blocks ? first : 0;
    return gather->blocks;
}

/* As long as nobody is kept waiting too often. */
static uint64_t
pause_after(uint64_t took_us)
{
    uint64_t pause = took_us * PAUSE_TIMES;

    if (pause < PAUSE_LEAST_US)
        return PAUSE_LEAST_US;
    return pause < PAUSE_MOST_US ? pause : PAUSE_MOST_US;
}

static void
gather_one(struct gather *gather, const struct gather_part *parts, unsigned n,
    uint64_t now_us)
{
    for (unsigned looks = 0; looks < LOOKS; looks++) {
        uint64_t block = next_block(gather, parts, n);

        if (block >= gather->blocks || is_done(gather, block))
            continue;
        for (unsigned i = 0; i < n; i++) {
            if (!is_worth_it(gather, &parts[i], block))
                continue;
            uint64_t began = clock_micros();
            collapse(gather, block, now_us);
            gather->not_before_us = now_us + pause_after(clock_micros() - began);
            return;
        }
    }
}

bool
gather_step(struct gather *gather, const struct gather_part *parts, unsigned n,
    uint64_t now_us)
{
    bool ready = false;

    assert(n <= GATHER_PARTS);
    for (unsigned i = 0; gather->base != NULL && i < n; i++)
        ready = get_ready(gather, &parts[i], &gather->seen[i], now_us) || ready;
    if (gather->base != NULL && !ready && now_us >= gather->not_before_us &&
        now_us >= gather->refused_until_us)
        gather_one(gather, parts, n, now_us);
    return ready;
}
