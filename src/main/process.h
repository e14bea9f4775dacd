/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process.h - what a server does to its own process before it serves.
 *
 * Called once each, in the order of serve.c, while there is one thread. Those that can
 * fail return 0 or the status to exit with, having printed why.
 */
#ifndef LARDER_MAIN_PROCESS_H
#define LARDER_MAIN_PROCESS_H

#include <stdbool.h>

#include "base/options.h"

/* Statuses that memcached exits with, as in <sysexits.h>. */
#define STATUS_FAILURE 1
#define STATUS_USAGE   64
#define STATUS_NO_USER 67
#define STATUS_OS      71
/* Ours, after SIGUSR2 under a service manager: start it again. */
#define STATUS_RESTART 75

/* -r: raises the limit on core dumps as far as it goes. */
int process_allow_cores(const struct options *options);
/* Raises the limit on descriptors for -c clients and `reserve` others. If the hard limit
 * stands in the way, lowers connections_max, with a warning. */
int process_allow_files(struct options *options, unsigned reserve);
/* -u: becomes that user, for good. Root must name one. */
int process_become_user(const struct options *options);
/* -d: goes on in the background; the parent has exited with 0. */
int process_detach(const struct options *options);
/* -k. Failure is a warning. */
void process_lock_memory(const struct options *options);
/* -P. Failure is a message. `taking_over`: the process whose number is there is about to
 * end. */
void process_write_pid(const struct options *options, bool taking_over);
/* Removes it again, if the process was detached. */
void process_remove_pid(const struct options *options);

#endif
