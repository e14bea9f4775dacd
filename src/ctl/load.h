/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.h - the items of a dump (record.h) into a server.
 */
#ifndef LARDER_CTL_LOAD_H
#define LARDER_CTL_LOAD_H

#include "ctl/args.h"

enum ctl_status load_run(const struct args *args, const struct login *login);

#endif
