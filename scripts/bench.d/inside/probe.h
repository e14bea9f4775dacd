/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probe.h - put before the store's sources as they are compiled for the benchmark: counts
 * the turns of a reader that has to look again. That is where the store pauses and the
 * only place where it does so outside a lock, so the sources need no counter of their own
 * and a reader that need not look again does nothing more than in the server.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <stdint.h>

#include "base/lock.h"

extern _Thread_local uint64_t probe_looks;

#define lock_pause() (probe_looks++, lock_pause())

#endif
