/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>

#include "ctl/args.h"
#include "ctl/dump.h"
#include "ctl/load.h"
#include "ctl/login.h"
#include "ctl/ping.h"
#include "ctl/stats.h"
#include "ctl/top.h"
#include "ctl/upgrade.h"
#include "ctl/watch.h"

const struct command commands[] = {
    { "top", "", COMMAND_TOP, 0, false, top_run, "what a server does, live; h: its keys" },
    { "stats", "[REPORT]", COMMAND_STATS, -1, true, stats_run,
        "statistics: items, slabs, conns, settings, ..." },
    { "items", "", COMMAND_STATS, 0, true, stats_run_items, "table of the size classes" },
    { "slabs", "", COMMAND_STATS, 0, true, stats_run_items, "the same" },
    { "settings", "", COMMAND_STATS, 0, true, stats_run_settings,
        "what the server was told" },
    { "dump", "", COMMAND_DUMP, 0, true, dump_run, "keys and values to stdout or --output" },
    { "load", "[FILE]", COMMAND_LOAD, 1, false, load_run,
        "what dump wrote, from stdin or FILE" },
    { "watch", "[STREAM...]", COMMAND_WATCH, -1, false, watch_run,
        "events: fetchers, mutations, evictions, ..." },
    { "upgrade", "", COMMAND_UPGRADE, 0, true, upgrade_run,
        "start the server on this machine anew, with cache and clients" },
    { "ping", "", COMMAND_PING, 0, true, ping_run, "does it answer, and how fast?" },
    { "version", "", COMMAND_STATS, 0, true, ping_run_version,
        "version of the server" },
    { .name = NULL },
};

int
main(int argc, char **argv)
{
    struct args args;
    struct login login;
    char why[CTL_WHY_MAX];
    int status = args_parse(&args, argc, argv);

    if (status >= 0)
        return status;
    /* A reader or server that goes away is an error like others. */
    signal(SIGPIPE, SIG_IGN);
    if (!login_find(&login, args.auth_file, args.user, why)) {
        ctl_complain("%s", why);
        return CTL_USAGE;
    }
    status = (int)args.command->run(&args, &login);
    login_forget(&login);
    return status;
}
