/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/bound.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* However much everything else takes. */
#define ITEMS_LEAST (UINT64_C(2) << 20)

int
bound_open(struct bound *bound, uint64_t total, uint64_t items)
{
    *bound = (struct bound){ .total = total, .items = items, .fd = -1 };
    if (total == 0)
        return 0;
    bound->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    return bound->fd < 0 ? -errno : 0;
}

void
bound_close(struct bound *bound)
{
    if (bound->fd >= 0)
        close(bound->fd);
    bound->fd = -1;
}

uint64_t
bound_for_items(const struct bound *bound, uint64_t resident, uint64_t held)
{
    uint64_t rest = resident > held ? resident - held : 0;
    uint64_t items = bound->total > rest ? bound->total - rest : 0;

    if (items > bound->items)
        items = bound->items;
    return items > ITEMS_LEAST ? items : ITEMS_LEAST;
}

/* Bytes of the process that are in memory; 0: not known. */
static uint64_t
resident(const struct bound *bound)
{
    unsigned long long size, pages;
    char text[128];
    ssize_t n = pread(bound->fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%llu %llu", &size, &pages) != 2)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void
bound_keep(struct bound *bound, struct spaces *spaces)
{
    struct store *store = spaces->at[0].store;
    struct store_totals totals;
    struct spaces_sum sum;
    uint64_t in_use, items;

    if (bound->fd < 0 || (in_use = resident(bound)) == 0)
        return;
    store_totals(store, &totals);
    spaces_sum(spaces, &sum);
    items = bound_for_items(
        bound, in_use + sum.limit_bytes - totals.limit_bytes, sum.memory_bytes);
    if (items < totals.limit_bytes || items > totals.limit_bytes + bound->total / 64)
        (void)store_memory_limit(store, items);
}
