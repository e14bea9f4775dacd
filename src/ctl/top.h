/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * top.h - what a server does, again and again: on the full screen, as pages of text, or as
 * JSON.
 */
#ifndef LARDER_CTL_TOP_H
#define LARDER_CTL_TOP_H

#include "ctl/args.h"

enum ctl_status top_run(const struct args *args, const struct login *login);

#endif
