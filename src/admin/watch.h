/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.h - the command `watch`: what happens in the server, as lines, to those who ask.
 *
 *   workers --(journal)--> thread "watch": one line an event
 *                             |-- buffer of watcher 1 --> its connection's worker --> client
 *                             |-- buffer of watcher 2 --> ...
 *
 * Nobody waits for a watcher. Its buffer has a fixed size (-o watcher_logbuf_size); a line
 * that finds no room is skipped, and the watcher is told how many once it reads on. There
 * are at most WATCHERS_MAX of them. While there are none the thread sleeps and the journal
 * is not written to.
 */
#ifndef LARDER_ADMIN_WATCH_H
#define LARDER_ADMIN_WATCH_H

#include <stdint.h>

#include "base/journal.h"

#define WATCHERS_MAX 20u

struct ask;
struct watch;

/* NULL with errno set. `journal` is borrowed. */
struct watch *watch_create(struct journal *journal, uint32_t buffer_size);
/* Nobody watches any more. */
void watch_destroy(struct watch *watch);

/* Starts the thread; 0 or -errno. watch_destroy() ends it. */
int watch_start(struct watch *watch) __attribute__((warn_unused_result));

/* Answers `watch [stream ...]`. */
void watch_run(struct ask *ask);

/* Since the start, or the last watch_reset(), but for the last. */
struct watch_figures {
    uint64_t worker_dropped;  /* events that found their thread's ring full */
    uint64_t worker_written;
    uint64_t watcher_skipped; /* lines for which a watcher had no room */
    uint64_t watcher_sent;    /* lines given to watchers */
    uint64_t watchers;        /* now connected */
};

/* Any thread. */
void watch_figures(struct watch *watch, struct watch_figures *figures_out);
void watch_reset(struct watch *watch);

#endif
