/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stats.h - the command `stats` and its reports.
 */
#ifndef LARDER_ADMIN_STATS_H
#define LARDER_ADMIN_STATS_H

#include "admin/inside.h"
#include "admin/report.h"

/* Answers `stats [report [...]]`. */
void stats_run(struct ask *ask);

/* The steps of the reports; each is described in doc/statistics.md. */
bool general_step(struct report *report, struct stat_sink *sink);
bool settings_step(struct report *report, struct stat_sink *sink);
bool classes_items_step(struct report *report, struct stat_sink *sink);
bool classes_slabs_step(struct report *report, struct stat_sink *sink);
bool conns_step(struct report *report, struct stat_sink *sink);

/* `stats latency` and `stats hotkeys`, from figures that are merged when asked. */
void latency_run(struct ask *ask);
void hotkeys_run(struct ask *ask);

/* `stats sizes`: counts item sizes by a walk over the store, when asked. */
void sizes_run(struct ask *ask);

#endif
