/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ping.h - does it answer, how fast, and what is it?
 */
#ifndef LARDER_CTL_PING_H
#define LARDER_CTL_PING_H

#include "ctl/args.h"

enum ctl_status ping_run(const struct args *args, const struct login *login);
/* Only what it is. */
enum ctl_status ping_run_version(const struct args *args, const struct login *login);

#endif
