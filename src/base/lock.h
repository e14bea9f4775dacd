/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lock.h - a spin lock of four bytes for critical sections of well under a microsecond.
 *
 * A store has thousands of them and takes one for each write, so size and the
 * uncontended cost (one atomic exchange, one store) are what counts. A waiter spins
 * briefly and then yields the CPU, because on a small machine the holder may have been
 * preempted.
 */
#ifndef LARDER_BASE_LOCK_H
#define LARDER_BASE_LOCK_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"

/* Tries before a waiter yields. */
#define LOCK_SPINS 64

struct lock {
    _Atomic uint32_t held;
};

/* Tells the CPU that this is a waiting loop. */
static inline void
lock_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline bool
lock_try(struct lock *lock)
{
    return atomic_load_explicit(&lock->held, memory_order_relaxed) == 0 &&
        atomic_exchange_explicit(&lock->held, 1, memory_order_acquire) == 0;
}

static inline void
lock_take(struct lock *lock)
{
    unsigned spins = 0;

    while (!lock_try(lock)) {
        if (++spins % LOCK_SPINS == 0)
            sched_yield();
        else
            lock_pause();
    }
}

static inline void
lock_give(struct lock *lock)
{
    atomic_store_explicit(&lock->held, 0, memory_order_release);
}

/* Somebody holds it: meant to be us. */
static inline void
lock_assert_held(const struct lock *lock)
{
    assert(atomic_load_explicit(&lock->held, memory_order_relaxed) != 0);
}

#endif
