/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/bound.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define KIB UINT64_C(1024)
/* Code, libraries and tables took 5.2 to 5.9 MiB, buffers of a worker are 576 KiB of its
 * part. */
#define PROGRAM_PART   (6 * 1024 * KIB)
#define WORKER_PART    (640 * KIB)
#define NAMESPACE_PART (512 * KIB)
/* Of a namespace on huge pages: of index and fingerprints half a page may be unused, and of the
 * index one is ready before it is needed. */
#define HUGE_PART      (3 * 1024 * KIB)
#define CONN_PART      400u
#define CONN_PART_TLS  (16 * KIB)
/* With what is kept for it, and one part in so many for how the allocator lays it out. */
#define KEPT_PART  128u
#define KEPT_SHARE 20

/* However much everything else takes. */
#define ITEMS_LEAST (UINT64_C(2) << 20)

int
bound_open(struct bound *bound, uint64_t total, uint64_t items)
{
    *bound = (struct bound){ .total = total, .items = items, .fd = -1 };
    bound->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    return bound->fd < 0 && total != 0 ? -errno : 0;
}

void
bound_close(struct bound *bound)
{
    if (bound->fd >= 0)
        close(bound->fd);
    bound->fd = -1;
}

/* The limit for items when `resident` bytes are in use by the process, `held` of them by
 * items. */
static uint64_t
items_limit(const struct bound *bound, uint64_t resident, uint64_t held)
{
    uint64_t rest = resident > held ? resident - held : 0;
    uint64_t items = bound->total > rest ? bound->total - rest : 0;

    if (items > bound->items)
        items = bound->items;
    return items > ITEMS_LEAST ? items : ITEMS_LEAST;
}

uint64_t
bound_resident(const struct bound *bound)
{
    unsigned long long size, pages;
    char text[128];
    ssize_t n = bound->fd < 0 ? 0 : pread(bound->fd, text, sizeof text - 1, 0);

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

    if (bound->total == 0 || (in_use = bound_resident(bound)) == 0)
        return;
    store_totals(store, &totals);
    spaces_sum(spaces, &sum);
    items = items_limit(
        bound, in_use + sum.limit_bytes - totals.limit_bytes, sum.memory_bytes);
    if (items < totals.limit_bytes || items > totals.limit_bytes + bound->total / 64)
        (void)store_memory_limit(store, items);
}

/* All but items. */
static uint64_t
beside_items(struct spaces *spaces)
{
    uint64_t sum = PROGRAM_PART + (uint64_t)spaces->options->threads * WORKER_PART, kept;
    struct net_figures net;

    net_figures(spaces->net, &net);
    kept = net.kept_bytes + net.backlog_bytes;
    sum += kept + kept / KEPT_SHARE + (net.kept_count + net.backlog_count) * KEPT_PART +
           net.current * (spaces->tls != NULL ? CONN_PART_TLS : CONN_PART);
    for (unsigned i = 0; i < spaces->n; i++) {
        struct store_totals totals;
        store_totals(spaces->at[i].store, &totals);
        sum += totals.index_bytes + totals.ghost_bytes + totals.probation_bytes +
               NAMESPACE_PART + (totals.huge_page_bytes != 0 ? HUGE_PART : 0);
    }
    return sum;
}

uint64_t
bound_stated(struct spaces *spaces)
{
    uint64_t total = spaces->options->memory_total, sum = beside_items(spaces);
    struct spaces_sum items;

    spaces_sum(spaces, &items);
    sum += items.limit_bytes;
    return total != 0 && total < sum ? total : sum;
}

uint64_t
bound_expected(struct spaces *spaces)
{
    struct spaces_sum items;

    spaces_sum(spaces, &items);
    return beside_items(spaces) + items.resident_bytes;
}
