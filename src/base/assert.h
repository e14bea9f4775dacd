/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * assert.h - what only a bug can cause.
 *
 * `assert` stays in release builds: a cache that stops is better than one that serves
 * another key's value. `assert_slow` is for checks that walk whole structures; configure
 * with --enable-slow-asserts (the sanitizer builds of the tests do).
 */
#ifndef LARDER_BASE_ASSERT_H
#define LARDER_BASE_ASSERT_H

#include "config.h"

#ifdef NDEBUG
#error "Larder is built with its assertions; do not define NDEBUG"
#endif
#include <assert.h>

#ifdef LARDER_SLOW_ASSERTS
#define assert_slow(condition) assert(condition)
#else
#define assert_slow(condition) ((void)0)
#endif

#endif
