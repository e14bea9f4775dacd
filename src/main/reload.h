/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reload.h - SIGHUP, as far as options are concerned: what can change while serving does,
 * and what can't is said.
 *
 * Memory limit, verbosity and idle time-out change. Only what differs from what was read
 * before is applied, so that a value set by a command stays until the file says another.
 * Belongs to the main thread.
 */
#ifndef LARDER_MAIN_RELOAD_H
#define LARDER_MAIN_RELOAD_H

#include "base/options.h"
#include "main/space.h"
#include "net/net.h"

struct reload {
    struct options last; /* as read last; its strings are borrowed unless `owned` */
    bool owned;
};

/* What the new options are told to; borrowed for the call. */
struct reload_targets {
    struct spaces *spaces;
    struct net *net;
};

/* `options`, as they came from options_parse(), are borrowed until reload_fini(). */
void reload_init(struct reload *reload, const struct options *options);
void reload_fini(struct reload *reload);

/*
 * Reads the command line and its file again and applies what can be. False: something is
 * wrong with them, which was said, and nothing has changed.
 */
bool reload_options(struct reload *reload, const struct reload_targets *targets);

#endif
