/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cgroup.h - the limit on memory that a container or a service manager has set.
 *
 * When it is reached by a page that is touched, the kernel ends the process, and there is
 * nobody left to say why: so it is said at the start that it may come to that.
 */
#ifndef LARDER_MAIN_CGROUP_H
#define LARDER_MAIN_CGROUP_H

#include <stdint.h>

#include "base/options.h"

/* Bytes that this process's control group, or one that it lies in, may use: the least of
 * them; UINT64_MAX if there is no limit, or none that can be read. `root` is "", or where a
 * test keeps its proc/self/cgroup and sys/fs/cgroup. */
uint64_t cgroup_memory_limit(const char *root);

/* Warns on stderr if -m does not fit into it. Once, before confinement. */
void cgroup_check(const struct options *options);

#endif
