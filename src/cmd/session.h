/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.h - conversations with clients: the `struct service` that runs commands.
 *
 * `main` fills a cmd_context, calls cmd_init() and hands cmd_service()'s functions with
 * that context to the network layer. One lane per worker, one session per connection.
 */
#ifndef LARDER_CMD_SESSION_H
#define LARDER_CMD_SESSION_H

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/hotkeys.h"
#include "base/journal.h"
#include "base/latency.h"
#include "base/options.h"
#include "base/service.h"
#include "cmd/admin_hook.h"
#include "cmd/auth_hook.h"
#include "store/store.h"

/* Bytes that took() may leave unused when it asks for more: the longest line of a storage
 * command and the longest value that is not an upload. */
#define CMD_UNUSED_MAX (2048u + STORE_SMALL_MAX + 2u)
/* Longest text of cmd_context.version. */
#define CMD_VERSION_MAX 64u

struct lane;

/* What all conversations share. Everything but the last group is set by the caller before
 * cmd_init() and stays unchanged, borrowed, until cmd_fini(). */
struct cmd_context {
    struct store *store;
    const struct clock *clock;
    const struct admin_hook *hook; /* NULL: administration is answered ERROR */
    const char *version;           /* what `version` shows */
    const struct auth_hook *auth;  /* NULL: anybody may speak */
    bool flush_allowed;            /* not -F */
    bool cas;                      /* not -C */
    unsigned requests_per_event;   /* -R: how far to look ahead; 0: the default */
    bool latency;                  /* keep histograms of what the caller measures */
    struct journal *journal;       /* where events are told; NULL: nowhere */
    uint32_t hotkeys_sample;       /* look for hot keys in one turn of so many; 0: in none */

    pthread_mutex_t lanes_lock;
    struct lane *lanes;     /* guarded by lanes_lock */
    struct counts *retired; /* of closed lanes and before; guarded by lanes_lock */
    struct latency_counts *latency_retired; /* likewise */
};

/* Prepares the part that is not the caller's. False: out of memory. */
bool cmd_init(struct cmd_context *context) __attribute__((warn_unused_result));
/* Between cmd_init() and the first lane: counts on from what processes before this one have
 * counted, which is copied; NULL: nothing. */
void cmd_resume(struct cmd_context *context, const struct counts *counts,
    const struct latency_counts *latency);
/* All lanes are closed. */
void cmd_fini(struct cmd_context *context);

/* The functions of the service; lane_open() is to be given a struct cmd_context. */
void cmd_service(struct service *service_out);

/* Tells the journal what a thread does to the store beyond what it was asked: items that
 * are evicted, pages that are moved. Lanes do it themselves. */
void cmd_observe(struct store_thread *thread, const struct journal *journal,
    struct journal_writer *writer);

/* Sums what all lanes have counted, and what cmd_resume() was told. Any thread. */
void cmd_counts(struct cmd_context *context, struct counts *counts_out);
/* The histograms, likewise. Any thread. */
void cmd_latency(struct cmd_context *context, struct latency_counts *counts_out);
/* The hot keys of all lanes; false: out of memory. Any thread. */
bool cmd_hotkeys(struct cmd_context *context, struct hotkeys_top *top_out)
    __attribute__((warn_unused_result));
void cmd_hotkeys_reset(struct cmd_context *context);

#endif
