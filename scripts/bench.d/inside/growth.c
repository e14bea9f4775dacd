/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * growth.c - the longest single operation while the store grows.
 *
 * Each operation is timed by the CPU time of its thread, which a machine busy with other
 * things hardly changes, unlike the time on the wall; the price is a system call in every
 * figure, which is shown apart. What an operation does for the growth itself is in it:
 * splitting buckets, taking a fresh page from the kernel, which clears it.
 */
#include "histogram.h"
#include "storebench.h"

static struct histogram sets, gets, nothing;

static void
show(const char *name, const struct histogram *latency, const char *end)
{
    printf("\"%s_p50_us\": %.2f, \"%s_p999_us\": %.2f, \"%s_max_us\": %.1f, "
           "\"%s_over_100_us\": %llu, \"%s_over_1_ms\": %llu%s",
        name, histogram_at(latency, 0.5) / 1e3, name, histogram_at(latency, 0.999) / 1e3,
        name, (double)latency->highest / 1e3, name,
        (unsigned long long)histogram_over(latency, 100000), name,
        (unsigned long long)histogram_over(latency, 1000000), end);
}

void
growth(struct bench *bench, uint64_t from, uint64_t to)
{
    struct store_thread *thread = enter(bench);
    uint64_t seed = 1, at = cpu_ns();
    struct store_totals totals;

    for (uint64_t n = from; n < to; n++) {
        uint64_t before = at;
        put(bench, thread, n, n);
        at = cpu_ns();
        histogram_add(&sets, at - before);
        if (n % 4 != 0)
            continue;
        before = at;
        (void)take(bench, thread, random_below(&seed, n));
        at = cpu_ns();
        histogram_add(&gets, at - before);
        before = at;
        at = cpu_ns();
        histogram_add(&nothing, at - before);
    }
    store_totals(bench->store, &totals);
    store_thread_close(thread);
    printf("{\"items\": %llu, \"buckets\": %llu, ", (unsigned long long)totals.items,
        (unsigned long long)totals.index_buckets);
    show("set", &sets, ", ");
    show("get", &gets, ", ");
    show("nothing", &nothing, "}\n");
}
