/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * storebench - the store without sockets: what readers and a writer cost each other.
 *
 *   storebench -r READERS -w WRITERS -k KEYS -t SECONDS [-H]    -H: all use one key
 *   storebench -g KEYS    the longest operation while the store grows from 1000 items
 *
 * A read is hash, lookup and copy of the value, as for a get; a write replaces the value
 * by another of the same length. Every read value is looked at: all its words must be
 * alike. ns are CPU time of the thread, so that other work on the machine counts for
 * little. One thread keeps house, as in the server.
 *
 * looks    lookups taken again because the bucket was being changed
 * copies   values copied again because the item changed meanwhile
 */
#include "storebench.h"

#include <getopt.h>

#include "probe.h"

#define THREADS_MAX 16
/* Operations between two looks at the clock and at `stop`. */
#define BATCH        256
#define KEEPER_US    2000
#define MEMORY_BYTES (UINT64_C(4) << 30)

_Thread_local uint64_t probe_looks;

struct worker {
    struct bench *bench;
    pthread_t id;
    bool writes;
    uint64_t seed, ops, ns, looks, copies;
};

struct slice
key_of(char *text, uint64_t number)
{
    memset(text, '0', KEY_LEN);
    memcpy(text, "key-", 4);
    for (int i = KEY_LEN - 1; number > 0; number /= 10)
        text[i--] = (char)('0' + number % 10);
    return slice_of(text, KEY_LEN);
}

static _Noreturn void
give_up(const char *what)
{
    fprintf(stderr, "storebench: %s\n", what);
    exit(1);
}

struct store_thread *
enter(struct bench *bench)
{
    struct store_thread *thread = store_thread_open(bench->store);

    if (thread == NULL)
        give_up("out of memory");
    return thread;
}

void
put(struct bench *bench, struct store_thread *thread, uint64_t number, uint64_t word)
{
    char text[KEY_LEN];
    uint64_t value[WORDS];
    struct store_write write = { .mode = STORE_SET,
        .key = key_of(text, number),
        .value = slice_of((const char *)value, VALUE_LEN) };
    struct store_written written;

    for (unsigned i = 0; i < WORDS; i++)
        value[i] = word;
    write.hash = store_hash(bench->store, write.key);
    if (store_write(bench->store, thread, &write,
            atomic_load_explicit(&bench->now, memory_order_relaxed),
            &written) != STORE_OK)
        give_up("a value was not stored");
}

unsigned
take(struct bench *bench, struct store_thread *thread, uint64_t number)
{
    char text[KEY_LEN];
    uint64_t value[WORDS];
    struct slice key = key_of(text, number);
    uint64_t hash = store_hash(bench->store, key);
    struct store_view view;
    unsigned again = 0;

    for (;; again++) {
        uint32_t now = atomic_load_explicit(&bench->now, memory_order_relaxed);
        if (store_find(bench->store, thread, key, hash, now, STORE_USE, &view) !=
            STORE_OK)
            give_up("a value is not there");
        if (store_copy(bench->store, &view, (char *)value))
            break;
    }
    for (unsigned i = 1; i < WORDS; i++)
        if (value[i] != value[0])
            give_up("a value was torn");
    return again;
}

static void *
worker_main(void *argument)
{
    struct worker *worker = argument;
    struct bench *bench = worker->bench;
    struct store_thread *thread = enter(bench);
    uint64_t began = cpu_ns();

    while (!atomic_load_explicit(&bench->stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < BATCH; i++) {
            uint64_t key = bench->hot ? 0 : random_below(&worker->seed, bench->keys);
            if (worker->writes)
                put(bench, thread, key, random_next(&worker->seed));
            else
                worker->copies += take(bench, thread, key);
        }
        worker->ops += BATCH;
    }
    worker->ns = cpu_ns() - began;
    worker->looks = probe_looks;
    store_thread_close(thread);
    return NULL;
}

static void *
keeper_main(void *argument)
{
    struct bench *bench = argument;
    struct store_thread *thread = enter(bench);

    while (!atomic_load_explicit(&bench->stop, memory_order_relaxed)) {
        struct timespec pause = { 0, 2000000 };
        uint32_t now = clock_seconds(&bench->clock);

        atomic_store_explicit(&bench->now, now, memory_order_relaxed);
        if (store_maintain(bench->store, thread, now, KEEPER_US) != STORE_BEHIND)
            pause.tv_nsec = 20000000;
        nanosleep(&pause, NULL);
    }
    store_thread_close(thread);
    return NULL;
}

static void
bench_open(struct bench *bench, uint64_t keys)
{
    struct store_options options = { .memory_max = MEMORY_BYTES,
        .item_size_max = 1 << 20,
        .chunk_max = 65536,
        .chunk_min = 24,
        .growth_factor = 1.125,
        .object_bias = 100,
        .counter_reserve = 10,
        .evict = true,
        .slab_reassign = true,
        .hash_key = "0123456789abcde" };
    const char *why;

    bench->store = store_create(&options, &why);
    if (bench->store == NULL)
        give_up(why);
    clock_start(&bench->clock);
    atomic_store(&bench->now, CLOCK_FIRST);
    bench->keys = keys;
    struct store_thread *thread = enter(bench);
    for (uint64_t i = 0; i < keys; i++) {
        put(bench, thread, i, i);
        if (i % 1024 == 0)
            (void)store_maintain(bench->store, thread, CLOCK_FIRST, KEEPER_US);
    }
    while (store_maintain(bench->store, thread, CLOCK_FIRST, KEEPER_US) == STORE_BEHIND)
        continue;
    store_thread_close(thread);
}

static void
race(struct bench *bench, unsigned readers, unsigned writers, double seconds)
{
    struct worker workers[THREADS_MAX] = { 0 };
    struct worker sums[2] = { 0 };
    struct timespec pause = { (time_t)seconds,
        (long)((seconds - (double)(time_t)seconds) * 1e9) };

    for (unsigned i = 0; i < readers + writers; i++) {
        workers[i].bench = bench;
        workers[i].writes = i >= readers;
        workers[i].seed = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
        if (pthread_create(&workers[i].id, NULL, worker_main, &workers[i]) != 0)
            give_up("no thread");
    }
    nanosleep(&pause, NULL);
    atomic_store(&bench->stop, true);
    for (unsigned i = 0; i < readers + writers; i++) {
        struct worker *sum = &sums[workers[i].writes];
        pthread_join(workers[i].id, NULL);
        sum->ops += workers[i].ops;
        sum->ns += workers[i].ns;
        sum->looks += workers[i].looks;
        sum->copies += workers[i].copies;
    }
    printf("{\"reads\": %llu, \"read_ns\": %.2f, \"writes\": %llu, \"write_ns\": %.2f, "
           "\"looks\": %llu, \"copies\": %llu}\n",
        (unsigned long long)sums[0].ops,
        sums[0].ops > 0 ? (double)sums[0].ns / (double)sums[0].ops : 0,
        (unsigned long long)sums[1].ops,
        sums[1].ops > 0 ? (double)sums[1].ns / (double)sums[1].ops : 0,
        (unsigned long long)sums[0].looks, (unsigned long long)sums[0].copies);
}

int
main(int argc, char **argv)
{
    static struct bench bench;
    unsigned readers = 1, writers = 0;
    uint64_t keys = 100000, grown = 0;
    double seconds = 1;
    pthread_t keeper;
    int letter;

    while ((letter = getopt(argc, argv, "r:w:k:t:g:H")) != -1) {
        switch (letter) {
        case 'r':
            readers = (unsigned)atoi(optarg);
            break;
        case 'w':
            writers = (unsigned)atoi(optarg);
            break;
        case 'k':
            keys = strtoull(optarg, NULL, 10);
            break;
        case 't':
            seconds = atof(optarg);
            break;
        case 'g':
            grown = strtoull(optarg, NULL, 10);
            break;
        case 'H':
            bench.hot = true;
            break;
        default:
            give_up("see the head of storebench.c");
        }
    }
    if (keys < 1 || readers + writers < 1 || readers > THREADS_MAX ||
        writers > THREADS_MAX || readers + writers > THREADS_MAX)
        give_up("a number is out of range");
    bench_open(&bench, grown > 0 ? 1000 : keys);
    if (pthread_create(&keeper, NULL, keeper_main, &bench) != 0)
        give_up("no thread");
    if (grown > 0)
        growth(&bench, 1000, grown);
    else
        race(&bench, readers, writers, seconds);
    atomic_store(&bench.stop, true);
    pthread_join(keeper, NULL);
    store_check(bench.store);
    store_destroy(bench.store);
    return 0;
}
