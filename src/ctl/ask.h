/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ask.h - what commands have in common: getting to a server, and saying what went wrong.
 */
#ifndef LARDER_CTL_ASK_H
#define LARDER_CTL_ASK_H

#include <stdio.h>

#include "ctl/args.h"
#include "ctl/json.h"
#include "ctl/login.h"
#include "ctl/report.h"

/* Connects and logs in. CTL_OK: the caller owns *link_out. Otherwise `why` (CTL_WHY_MAX
 * bytes) says what is the matter; nothing is printed. */
enum ctl_status ask_open(struct link **link_out, const struct server *server,
    const struct args *args, const struct login *login, char *why);

/* Complains about a server: on stderr, and with --json as a document of its own too. */
enum ctl_status ask_failed(const struct args *args, const struct server *server,
    enum ctl_status status, const char *why);

/* ask_failed() for a link: its reason, and that there was no connection any more. */
enum ctl_status ask_lost(const struct args *args, const struct server *server,
    const struct link *link);

/* One report of one server: connects, asks, and complains when that fails. */
enum ctl_status ask_report(struct report *report_out, const struct server *server,
    const struct args *args, const struct login *login, const char *what);

/* Begins a JSON document of a server: {"server":"...". */
void ask_json(struct json *json, const struct server *server);
void ask_json_end(struct json *json);

/* Puts the server's name above its rows when there are several. */
void ask_heading(const struct args *args, unsigned i);

/* Everything printed has arrived: CTL_OK, or CTL_IO after a complaint. */
enum ctl_status ask_printed(void);

#endif
