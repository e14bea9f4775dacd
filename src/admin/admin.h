/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin.h - what an operator asks and changes: statistics, dumps, switches.
 *
 * It hangs from the sessions by cmd/admin_hook.h and reads the server through the struct
 * below, which `main` fills in: it knows no sockets and no workers. Workers call it at
 * the same time; everything shared is an atomic or has a lock of its own.
 *
 * What a reply costs is bounded: long reports and dumps are streams (base/stream.h) that
 * hold a cursor and no text, so a client that does not read keeps about a hundred bytes.
 */
#ifndef LARDER_ADMIN_ADMIN_H
#define LARDER_ADMIN_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/hotkeys.h"
#include "base/journal.h"
#include "base/latency.h"
#include "base/options.h"
#include "cmd/admin_hook.h"
#include "store/store.h"

/* The connections as a whole. `total`, `rejected`, `listen_disabled...` only grow. */
struct conn_figures {
    uint64_t current;      /* open client connections */
    uint64_t total;        /* ever opened */
    uint64_t rejected;     /* turned away because the limit was reached */
    uint64_t structures;   /* connection objects allocated */
    uint64_t reserved_fds; /* descriptors the server needs for itself */
    uint64_t listen_disabled;    /* times accepting was suspended */
    uint64_t listen_disabled_us; /* and for how long in all */
    uint64_t read_buf_count;     /* buffers allocated: the workers' and those of
                                  * connections with a partial command */
    uint64_t read_buf_bytes;
    uint64_t read_buf_bytes_free; /* of which not in use */
    uint64_t reply_count; /* connections with replies not yet written */
    uint64_t reply_bytes; /* and how much */
    uint64_t memory_bound; /* of the whole process; not of connections only, but nobody else
                            * who is asked knows of all its parts */
    bool accepting;
};

/* One connection or listener. The texts are borrowed for the call they are passed to. */
struct conn_info {
    int fd;
    const char *address;        /* as struct peer has it */
    const char *listen_address; /* NULL for a listener */
    const char *state;          /* conn_read, conn_listening ... */
    uint32_t idle;              /* seconds since its last command */
};
typedef void (*conn_info_fn)(void *context, const struct conn_info *info);
#define CONN_WALK_MIN 32u
#define CERTS_WHY_MAX 512

struct admin_parts {
    struct store *store;
    const struct options *options; /* as parsed; never written here */
    const struct clock *clock;
    const char *version;           /* "1.6.45-larder1.0.0" */
    const char *libevent_version;
    const char *space;             /* the namespace; NULL: the default one */
    struct journal *journal;       /* what `watch` shows; NULL: nothing can be watched */
    const char *sandbox; /* layers in force; set before the first thread starts */
    uint64_t takeovers; /* servers before this one whose items and totals go on here */

    void *context; /* given to the functions; any worker may call them, at any time */
    /* Adds the counters of all workers, those that ended included, to zeroed `sum`. */
    void (*counts)(void *context, struct counts *sum);
    /* The histograms of all workers since the start; NULL: nothing is measured. */
    void (*latency)(void *context, struct latency_counts *counts_out);
    /* The hot keys of all workers (false: out of memory), and forgetting them; NULL: nobody
     * looks for them. */
    bool (*hotkeys)(void *context, struct hotkeys_top *top_out);
    void (*hotkeys_reset)(void *context);
    void (*connections)(void *context, struct conn_figures *figures_out);
    /* Shows open connections and listeners, in any order: at least the CONN_WALK_MIN with
     * the lowest descriptors from `fd_min` on, or all if there are fewer. Others may be
     * shown too. */
    void (*walk_connections)(
        void *context, int fd_min, conn_info_fn fn, void *fn_context);
    void (*verbosity)(void *context, unsigned level);
    /* TLS, if the options say so: seconds since its certificates were read, and reading
     * them again; false: the old ones stay, and `why` says in one line what is wrong. */
    uint32_t (*certs_age)(void *context);
    bool (*refresh_certs)(void *context, char why[CERTS_WHY_MAX]);
    /* Asks the server to stop; returns at once. `graceful` as by SIGUSR1, else SIGINT. */
    void (*shutdown)(void *context, bool graceful);
};

struct admin;

/* Keeps a copy of `parts`. NULL: out of memory. The caller owns it; nothing it points to
 * may go before it. */
struct admin *admin_create(const struct admin_parts *parts);
/* Starts the thread that serves those who `watch`, if there is a journal; admin_destroy()
 * ends it. 0 or -errno. */
int admin_start(struct admin *admin) __attribute__((warn_unused_result));
/* No session may use its hook any more, no stream of it may be open. */
void admin_destroy(struct admin *admin);

/* The histograms of all workers since the last `stats reset`, zeroes if nothing is
 * measured. `latency_sample` of the options says which part of all commands they hold. Any
 * thread. */
void admin_latency(struct admin *admin, struct latency_counts *counts_out);

/* The hot keys of all workers; an empty ranking if nobody looks for them. False: out of
 * memory. Any thread. */
bool admin_hotkeys(struct admin *admin, struct hotkeys_top *top_out)
    __attribute__((warn_unused_result));

/* What SIGHUP has changed, for `stats settings` and `verbosity`: verbosity and idle_timeout
 * of `options`, which are borrowed for the call. Any thread. */
void admin_update(struct admin *admin, const struct options *options);

/* The hook for sessions; valid as long as `admin` is. */
void admin_hook(struct admin *admin, struct admin_hook *hook_out);

#endif
