/* SPDX-License-Identifier: BSD-3-Clause */
/* storebench.h - what the files of the store's benchmark share. */
#ifndef BENCH_STOREBENCH_H
#define BENCH_STOREBENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "store/store.h"

#define KEY_LEN   30
#define VALUE_LEN 32
#define WORDS     (VALUE_LEN / sizeof(uint64_t))

struct bench {
    struct store *store;
    uint64_t keys; /* numbers of present keys are below */
    bool hot;      /* all use key 0 */
    atomic_bool stop;
    struct clock clock;
    atomic_uint now; /* seconds of that clock, kept by the keeper */
};

/* CPU time of the calling thread, in nanoseconds: waiting for a processor is no part of
 * it. */
static inline uint64_t
cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t
random_next(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* A number below `n`. */
static inline uint64_t
random_below(uint64_t *state, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)random_next(state) * n) >> 64);
}

/* Writes the key of a number to `text`, of KEY_LEN bytes. */
struct slice key_of(char *text, uint64_t number);
/* Stores a value of which all words are alike; ends the program if that fails. */
void put(
    struct bench *bench, struct store_thread *thread, uint64_t number, uint64_t word);
/* Reads a value and ends the program if it is absent or torn; returns how often it had to
 * be looked up again because it changed while it was copied. */
unsigned take(struct bench *bench, struct store_thread *thread, uint64_t number);
/* A thread's store_thread; never NULL. */
struct store_thread *enter(struct bench *bench);

/* growth.c: the longest operation while keys `from` .. `to` - 1 are added. */
void growth(struct bench *bench, uint64_t from, uint64_t to);

#endif
