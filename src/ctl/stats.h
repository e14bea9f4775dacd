/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stats.h - the commands that ask for a report and print it.
 */
#ifndef LARDER_CTL_STATS_H
#define LARDER_CTL_STATS_H

#include "ctl/args.h"

/* stats [REPORT...] */
enum ctl_status stats_run(const struct args *args, const struct login *login);
enum ctl_status stats_run_settings(const struct args *args, const struct login *login);
/* The table of size classes. */
enum ctl_status stats_run_items(const struct args *args, const struct login *login);

#endif
