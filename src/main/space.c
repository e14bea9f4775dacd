/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/space.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "main/bound.h"
#include "main/process.h"

/* A piece of a chained item lies in one of the store's pages. */
#define PIECE_MAX 65536u
/* -o hashpower counts memcached's buckets of 8 bytes; ours have 64. */
#define HASH_POWER_LESS 3

/* ---- Stores
 * ------------------------------------------------------------------------------ */

void
spaces_init(struct spaces *spaces, const struct options *options)
{
    *spaces = (struct spaces){ .options = options, .n = options->nspaces };
    for (unsigned i = 0; i < spaces->n; i++) {
        spaces->at[i].all = spaces;
        spaces->at[i].name = i == 0 ? NULL : options->spaces[i].name;
        spaces->at[i].memory_max =
            i == 0 ? options->memory_max : options->spaces[i].memory;
    }
}

static uint32_t
piece_max(const struct options *options)
{
    if (options->slab_chunk_max <= PIECE_MAX)
        return (uint32_t)options->slab_chunk_max;
    if (options->slab_chunk_max_given)
        fprintf(stderr,
            "-o slab_chunk_max: larger items are cut into pieces of %u KiB "
            "here\n",
            PIECE_MAX / 1024);
    return PIECE_MAX;
}

/* FILE, or FILE.NAME for those with a name. False: out of memory. */
static bool
name_file(struct space *space)
{
    const char *file = space->all->options->memory_file;

    if (file == NULL)
        return true;
    int len = space->name == NULL
                  ? asprintf(&space->memory_file, "%s", file)
                  : asprintf(&space->memory_file, "%s.%s", file, space->name);
    if (len < 0)
        space->memory_file = NULL;
    return len >= 0;
}

static int
open_store(struct space *space, const struct store_options *wanted)
{
    struct spaces *all = space->all;

    if (!name_file(space)) {
        fprintf(stderr, "out of memory\n");
        return STATUS_FAILURE;
    }
    const struct memory_place place = { space->name, space->memory_file };
    int status =
        memory_open(&space->memory, &place, wanted, all->predecessor, &all->shared);
    space->store = space->memory.store;
    return status;
}

_Static_assert(
    FLUSH_PREFIXES_MAX <= STORE_FLUSH_PREFIXES_MAX, "the store has room for them");
_Static_assert(FLUSH_PREFIX_MAX <= STORE_FLUSH_PREFIX_MAX, "the store has room for each");

/* The parts of a list with commas; how many. */
static unsigned
split_prefixes(const char *list, struct slice prefixes[FLUSH_PREFIXES_MAX])
{
    unsigned n = 0;

    while (list != NULL && n < FLUSH_PREFIXES_MAX) {
        size_t len = strcspn(list, ",");

        prefixes[n++] = slice_of(list, len);
        list = list[len] == ',' ? list + len + 1 : NULL;
    }
    return n;
}

static int
make_store(struct space *space, uint32_t chunk_max)
{
    struct slice prefixes[FLUSH_PREFIXES_MAX];
    const struct options *options = space->all->options;
    struct store_options wanted = {
        .memory_max = space->memory_max,
        .item_size_max = options->item_size_max,
        .chunk_max = chunk_max,
        .chunk_min = (uint32_t)options->chunk_min,
        .growth_factor = options->growth_factor,
        .slab_sizes = options->slab_sizes,
        .nslab_sizes = options->nslab_sizes,
        .hash_power = options->hash_power == 0
                          ? 0
                          : (unsigned)(options->hash_power - HASH_POWER_LESS),
        .hash_fixed = !options->hash_expand,
        .evict = options->evict,
        .preallocate = options->large_pages,
        .huge_pages = options->huge_pages,
        .slab_reassign = options->slab_reassign,
        .lru = options->evict_lru,
        .object_bias = (unsigned)options->object_bias,
        .counter_reserve = (unsigned)options->counter_reserve,
        .no_cas = !options->cas,
        .fast_hash = strcmp(options->hash_algorithm, "xxh3") == 0,
        .flush_prefixes = prefixes,
        .nflush_prefixes = split_prefixes(options->flush_prefixes, prefixes),
    };

    if (getrandom(wanted.hash_key, sizeof wanted.hash_key, 0) !=
        (ssize_t)sizeof wanted.hash_key) {
        perror("getrandom");
        return STATUS_OS;
    }
    int status = open_store(space, &wanted);
    if (status != 0)
        return status;
    store_sweep_enable(space->store, options->lru_crawler);
    return 0;
}

int
spaces_make_stores(struct spaces *spaces)
{
    uint32_t chunk_max = piece_max(spaces->options);
    int status = 0;

    spaces->shared = (struct memory_shared){ .clock = spaces->clock };
    for (unsigned i = 0; status == 0 && i < spaces->n; i++)
        status = make_store(&spaces->at[i], chunk_max);
    return status;
}

/* ---- What the administration may ask ----------------------------------------------- */

static void
tell_counts(void *context, struct counts *sum)
{
    struct space *space = context;

    cmd_counts(&space->context, sum);
    net_counts(space->all->net, sum);
}

static void
tell_latency(void *context, struct latency_counts *counts_out)
{
    cmd_latency(&((struct space *)context)->context, counts_out);
}

static bool
tell_hotkeys(void *context, struct hotkeys_top *top_out)
{
    return cmd_hotkeys(&((struct space *)context)->context, top_out);
}

static void
reset_hotkeys(void *context)
{
    cmd_hotkeys_reset(&((struct space *)context)->context);
}

static void
tell_connections(void *context, struct conn_figures *figures_out)
{
    struct space *space = context;
    struct net_figures net;

    net_figures(space->all->net, &net);
    *figures_out = (struct conn_figures){
        .current = net.current,
        .total = net.total,
        .rejected = net.rejected,
        .structures = net.current,
        .reserved_fds = net.reserved_fds,
        .listen_disabled = net.listen_disabled,
        .listen_disabled_us = net.listen_disabled_us,
        .read_buf_count = net.buffer_count + net.kept_count,
        .read_buf_bytes = net.buffer_bytes + net.kept_bytes,
        .read_buf_bytes_free = net.buffer_bytes,
        .reply_count = net.backlog_count,
        .reply_bytes = net.backlog_bytes,
        .memory_bound = bound_stated(space->all),
        .accepting = net.accepting,
    };
}

struct walk {
    conn_info_fn fn;
    void *context;
};

static const char *
state_name(const struct net_conn *conn)
{
    if (conn->listen_address == NULL && !conn->datagram)
        return "conn_listening";
    switch (conn->state) {
    case CONN_WAITING:
        return "conn_waiting";
    case CONN_READ:
        return "conn_read";
    case CONN_NREAD:
        return "conn_nread";
    case CONN_WRITE:
        return "conn_write";
    case CONN_PARSE:
        return "conn_parse_cmd";
    case CONN_WATCH:
        return "conn_watch";
    }
    return "conn_waiting";
}

static void
show_conn(void *context, const struct net_conn *conn)
{
    const struct walk *walk = context;

    walk->fn(walk->context, &(struct conn_info){ .fd = conn->fd,
                                .address = conn->address,
                                .listen_address = conn->listen_address,
                                .state = state_name(conn),
                                .idle = conn->idle });
}

_Static_assert(NET_WALK >= CONN_WALK_MIN, "as many as the administration wants");

static void
walk_connections(void *context, int fd_min, conn_info_fn fn, void *fn_context)
{
    const struct space *space = context;
    struct walk walk = { fn, fn_context };

    net_each_conn(space->all->net, fd_min, show_conn, &walk);
}

static void
set_verbosity(void *context, unsigned level)
{
    (void)context;
    log_set_verbosity((int)level);
}

_Static_assert(CERTS_WHY_MAX >= TLS_WHY_MAX, "the reason has room");

static uint32_t
certs_age(void *context)
{
    const struct space *space = context;

    return tls_age(space->all->tls);
}

static bool
refresh_certs(void *context, char why[CERTS_WHY_MAX])
{
    const struct space *space = context;

    return tls_refresh(space->all->tls, false, why);
}

/* The signal comes out of signal_fd, as if it had been sent from outside. */
static void
ask_shutdown(void *context, bool graceful)
{
    (void)context;
    kill(getpid(), graceful ? SIGUSR1 : SIGINT);
}

/* ---- Contexts
 * ----------------------------------------------------------------------------- */

static int
make_context(struct space *space)
{
    const struct spaces *all = space->all;
    const struct options *options = all->options;
    struct admin_parts parts = {
        .store = space->store,
        .options = options,
        .clock = all->clock,
        .version = OPTIONS_VERSION,
        .libevent_version = event_get_version(),
        .space = space->name,
        .sandbox = all->sandbox,
        .context = space,
        .counts = tell_counts,
        .latency = tell_latency,
        .hotkeys = tell_hotkeys,
        .hotkeys_reset = reset_hotkeys,
        .connections = tell_connections,
        .walk_connections = walk_connections,
        .certs_age = certs_age,
        .refresh_certs = refresh_certs,
        .verbosity = set_verbosity,
        .shutdown = ask_shutdown,
        .takeovers = space->memory.note.takeovers,
    };

    space->journal = journal_create(options->worker_logbuf_size);
    parts.journal = space->journal;
    if (space->journal != NULL)
        space->admin = admin_create(&parts);
    if (space->admin != NULL)
        admin_hook(space->admin, &space->hook);
    space->context = (struct cmd_context){
        .store = space->store,
        .clock = all->clock,
        .hook = &space->hook,
        .auth = all->auth == NULL ? NULL : auth_hook(all->auth),
        .version = OPTIONS_VERSION,
        .flush_allowed = options->flush_allowed,
        .cas = options->cas,
        .requests_per_event = (unsigned)options->requests_per_event,
        .latency = options->latency_sample != 0,
        .journal = space->journal,
        .hotkeys_sample = options->hotkeys_sample,
    };
    space->context_ready = space->admin != NULL && cmd_init(&space->context);
    if (space->context_ready)
        cmd_resume(&space->context, &space->memory.note.counts, NULL);
    if (space->context_ready)
        return 0;
    fprintf(stderr, "out of memory\n");
    return STATUS_FAILURE;
}

int
spaces_make_contexts(struct spaces *spaces)
{
    int status = 0;

    for (unsigned i = 0; status == 0 && i < spaces->n; i++)
        status = make_context(&spaces->at[i]);
    for (unsigned i = 0; i < spaces->n; i++)
        spaces->of_net[i] =
            (struct net_space){ &spaces->at[i].context, spaces->at[i].journal };
    return status;
}

int
spaces_start(struct spaces *spaces)
{
    int error = 0;

    for (unsigned i = 0; error == 0 && i < spaces->n; i++)
        error = admin_start(spaces->at[i].admin);
    return error;
}

/* ---- Leaving
 * ------------------------------------------------------------------------------ */

void
spaces_leave(struct spaces *spaces, const struct note *of_net, struct baggage *baggage)
{
    for (unsigned i = 0; i < spaces->n; i++) {
        struct space *space = &spaces->at[i];
        struct note note = { .takeovers = 0 };

        if (i == 0)
            note = *of_net;
        note.takeovers = space->memory.note.takeovers;
        note.stamp = of_net->stamp; /* one for all: they are left together */
        cmd_counts(&space->context, &note.counts);
        memory_leave(&space->memory, &note, baggage);
    }
}

void
spaces_give_back(struct spaces *spaces)
{
    for (unsigned i = 0; i < spaces->n; i++) {
        struct memory *memory = &spaces->at[i].memory;
        if (!memory->taken_over)
            continue;
        memory->note.takeovers--;
        memory_leave(memory, &memory->note, NULL);
    }
}

static void
close_space(struct space *space)
{
    if (space->context_ready)
        cmd_fini(&space->context);
    if (space->admin != NULL)
        admin_destroy(space->admin);
    if (space->journal != NULL)
        journal_destroy(space->journal);
    if (space->store != NULL)
        store_destroy(space->store);
    free(space->memory_file);
}

void
spaces_close(struct spaces *spaces)
{
    for (unsigned i = 0; i < spaces->n; i++)
        close_space(&spaces->at[i]);
    spaces->n = 0;
}

/* ---- Sums
 * ---------------------------------------------------------------------------------- */

void
spaces_sum(struct spaces *spaces, struct spaces_sum *sum_out)
{
    struct spaces_sum sum = { .items = 0 };
    struct store_totals totals;
    struct counts counts;

    for (unsigned i = 0; i < spaces->n; i++) {
        cmd_counts(&spaces->at[i].context, &counts);
        sum.get_hits += counts.get_hits;
        sum.get_misses += counts.get_misses;
        store_totals(spaces->at[i].store, &totals);
        sum.items += totals.items;
        sum.memory_bytes += totals.memory_bytes;
        sum.limit_bytes += totals.limit_bytes;
        sum.resident_bytes += totals.kept_bytes;
    }
    *sum_out = sum;
}
