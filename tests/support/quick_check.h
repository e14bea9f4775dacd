/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * quick_check.h - <check.h> for tests that assert something a million times.
 *
 * libcheck notes where each assertion stood that held, by a write() to a file, to tell of a
 * crash where the test was last. In these tests that took longer than all they did else. So
 * only a test's first assertions are noted, and later on one in many: "after this point"
 * may then be some rounds before the crash. An assertion that fails is told as ever.
 */
#ifndef LARDER_TESTS_QUICK_CHECK_H
#define LARDER_TESTS_QUICK_CHECK_H

#include <check.h>
#include <stdatomic.h>

#define QUICK_CHECK_FIRST 256u
#define QUICK_CHECK_EVERY 1024u

/* Threads of a test assert, too. */
static inline void
quick_check_passed(const char *file, int line)
{
    static atomic_uint passed;
    unsigned n = atomic_fetch_add_explicit(&passed, 1, memory_order_relaxed);

    if (n < QUICK_CHECK_FIRST || n % QUICK_CHECK_EVERY == 0)
        _mark_point(file, line);
}

/* What the macros of check.h call. */
#define _mark_point(file, line) quick_check_passed((file), (line))

#endif
