/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/stats.h"

#include "admin/dump.h"

/* Forgets what was counted; gauges and settings stay. */
static void
reset(struct ask *ask)
{
    baseline_reset(&ask->admin->baseline, &ask->admin->parts);
    prefix_reset(ask->admin->prefixes);
    if (ask->admin->watch != NULL)
        watch_reset(ask->admin->watch);
    if (ask->admin->parts.hotkeys_reset != NULL)
        ask->admin->parts.hotkeys_reset(ask->admin->parts.context);
    ask_done(ask, "RESET");
}

static void
detail(struct ask *ask)
{
    const struct words *words = &ask->words;
    bool on = words_is(words, 1, "on");
    bool off = words_is(words, 1, "off");
    bool dump = words_is(words, 1, "dump");

    if (!on && !off && !dump) {
        ask_reply(ask, "CLIENT_ERROR usage: stats detail on|off|dump");
    } else if (!ask->admin->parts.options->dump_allowed) {
        ask_reply(ask, "CLIENT_ERROR stats detail not allowed");
    } else if (dump) {
        dump_prefixes(ask);
    } else {
        atomic_store_explicit(prefix_on(ask->admin->prefixes), on, memory_order_relaxed);
        ask_done(ask, "OK");
    }
}

void
stats_run(struct ask *ask)
{
    const struct words *words = &ask->words;

    if (words->n == 0)
        report_start(ask, general_step);
    else if (words_is(words, 0, "settings"))
        report_start(ask, settings_step);
    else if (words_is(words, 0, "items"))
        report_start(ask, classes_items_step);
    else if (words_is(words, 0, "slabs"))
        report_start(ask, classes_slabs_step);
    else if (words_is(words, 0, "conns"))
        report_start(ask, conns_step);
    else if (words_is(words, 0, "sizes"))
        sizes_run(ask);
    else if (words_is(words, 0, "latency"))
        latency_run(ask);
    else if (words_is(words, 0, "hotkeys"))
        hotkeys_run(ask);
    else if (words_is(words, 0, "reset"))
        reset(ask);
    else if (words_is(words, 0, "detail"))
        detail(ask);
    else if (words_is(words, 0, "cachedump"))
        dump_class(ask);
    else
        ask_reply(ask, "ERROR");
}
