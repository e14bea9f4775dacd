/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.h - a server's events as they happen.
 */
#ifndef LARDER_CTL_WATCH_H
#define LARDER_CTL_WATCH_H

#include "base/slice.h"
#include "ctl/args.h"
#include "ctl/json.h"

enum ctl_status watch_run(const struct args *args, const struct login *login);

/* An event, "ts=1.5 gid=2 type=item_get key=a%20b", as one JSON document: {"ts":1.5,...}.
 * A line that is not of such words becomes {"line":"..."}. */
void watch_json(struct json *json, struct slice line);

#endif
