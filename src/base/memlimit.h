/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memlimit.h - how much memory this process may use, and does.
 */
#ifndef LARDER_BASE_MEMLIMIT_H
#define LARDER_BASE_MEMLIMIT_H

#include <stdint.h>

/*
 * Bytes that the process may use: the least of the machine's memory and of the limits of
 * its control group and those above it (version 2 and 1). `cgroups` is where those are
 * mounted ("/sys/fs/cgroup"), `membership` what says which is ours ("/proc/self/cgroup").
 * 0: it can't be told.
 */
uint64_t memlimit_bytes(const char *cgroups, const char *membership);
/* Of this process on this machine. */
uint64_t memlimit_here(void);

#endif
