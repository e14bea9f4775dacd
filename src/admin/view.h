/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * view.h - what there is to be seen, for those who ask by other means than a command.
 *
 * The reports of `stats` in one go, and the busiest prefixes. Any thread may call;
 * nothing is changed, and no worker is made to wait for longer than one step of a report
 * would.
 */
#ifndef LARDER_ADMIN_VIEW_H
#define LARDER_ADMIN_VIEW_H

#include <stdbool.h>

#include "admin/admin.h"
#include "admin/prefix.h"
#include "admin/sink.h"

enum view_report { VIEW_GENERAL, VIEW_SETTINGS, VIEW_ITEMS, VIEW_SLABS, VIEW_REPORTS };

/* Puts all fields of a report into `sink`, whose end() is not called and which must never
 * be full. */
void view_report(struct admin *admin, enum view_report which, struct stat_sink *sink);

/* True if keys and parts of keys may be shown (-X forbids it). */
bool view_shows_keys(const struct admin *admin);

/* The prefixes of `stats detail` with the most operations, busiest first: writes at most
 * `max` and returns how many. None while nothing is collected. */
unsigned view_prefixes(struct admin *admin, struct prefix_figures *top, unsigned max);

#endif
