/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upgrade.h - `larderctl upgrade`: the server on this machine makes way for a new one, which
 * takes over its cache and its clients.
 */
#ifndef LARDER_CTL_UPGRADE_H
#define LARDER_CTL_UPGRADE_H

#include "ctl/args.h"

struct login;

enum ctl_status upgrade_run(const struct args *args, const struct login *login);

#endif
