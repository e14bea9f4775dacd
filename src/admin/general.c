/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * general.c - `stats` without a word: the server as a whole. One step.
 */
#include <sys/resource.h>
#include <unistd.h>

#include "admin/stats.h"
#include "base/assert.h"

bool
general_step(struct report *report, struct stat_sink *sink)
{
    const struct admin_parts *parts = &report->admin->parts;
    const struct options *o = parts->options;
    uint32_t now = clock_seconds(parts->clock);
    struct figures figures;
    const struct figures *f = &figures;
    struct watch_figures watch = { .watchers = 0 };
    struct rusage usage;
    int rc = getrusage(RUSAGE_SELF, &usage);

    assert(rc == 0);
    if (report->admin->watch != NULL)
        watch_figures(report->admin->watch, &watch);
    baseline_figures(&report->admin->baseline, parts, &figures);
#define STAT(when, kind, name, value) \
    if (when) \
        stat_##kind(sink, #name, value);
#include "admin/general.def"
#undef STAT
    return false;
}
