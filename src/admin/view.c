/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/view.h"

#include "admin/inside.h"
#include "admin/stats.h"

static report_step_fn
step_of(enum view_report which)
{
    switch (which) {
    case VIEW_SETTINGS:
        return settings_step;
    case VIEW_ITEMS:
        return classes_items_step;
    case VIEW_SLABS:
        return classes_slabs_step;
    case VIEW_GENERAL:
    case VIEW_REPORTS:
        break;
    }
    return general_step;
}

void
view_report(struct admin *admin, enum view_report which, struct stat_sink *sink)
{
    struct report report = { .admin = admin, .step = step_of(which) };

    stat_prefix_none(sink);
    while (report.step(&report, sink)) {
    }
}

bool
view_shows_keys(const struct admin *admin)
{
    return admin->parts.options->dump_allowed;
}

unsigned
view_prefixes(struct admin *admin, struct prefix_figures *top, unsigned max)
{
    return prefix_top(admin->prefixes, top, max);
}
