/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.h - the namespaces of a server: stores that know nothing of each other.
 *
 * Each has a limit of its own, an administration, statistics and those who watch it; what
 * they share is the workers and the process. Number 0 is the default one, which is all there
 * is without --listener ...,namespace=.
 *
 *   spaces_init -> spaces_make_stores -> spaces_make_contexts -> spaces_start -> spaces_close
 *
 * These belong to the main thread.
 */
#ifndef LARDER_MAIN_SPACE_H
#define LARDER_MAIN_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/journal.h"
#include "base/options.h"
#include "cmd/session.h"
#include "main/auth.h"
#include "main/memory.h"
#include "main/predecessor.h"
#include "net/net.h"
#include "net/tls.h"
#include "store/store.h"

struct spaces;

struct space {
    struct spaces *all;
    const char *name; /* NULL: the default one */
    uint64_t memory_max;
    char *memory_file; /* where -e keeps its items; NULL: nowhere */
    struct memory memory; /* where its store comes from */
    struct store *store;
    struct journal *journal;
    struct admin *admin;
    struct admin_hook hook;
    struct cmd_context context;
    bool context_ready;
};

/* What they share. `net` is set when there is one, before it starts. */
struct spaces {
    const struct options *options;
    struct clock *clock;
    const char *sandbox; /* layers in force */
    struct auth *auth;   /* NULL: anybody may speak */
    struct tls *tls;     /* NULL: without -Z */
    struct net *net;
    struct predecessor *predecessor; /* from whom stores are taken over */
    struct memory_shared shared;
    unsigned n;
    struct space at[OPTION_SPACES_MAX];
    struct net_space of_net[OPTION_SPACES_MAX]; /* for net_create(), of made contexts */
};

/* As many as the options have; the other fields are the caller's to set. */
void spaces_init(struct spaces *spaces, const struct options *options);
/* 0, or the status to exit with; the reason was printed. */
int spaces_make_stores(struct spaces *spaces) __attribute__((warn_unused_result));
int spaces_make_contexts(struct spaces *spaces) __attribute__((warn_unused_result));
/*
 * All lanes are closed and no thread is in a store: leaves the stores for another server, in
 * `baggage` if that is not NULL. `note` is what is told of the network with the default one;
 * only spaces_close() may follow. What fails is logged.
 */
void spaces_leave(struct spaces *spaces, const struct note *note, struct baggage *baggage);
/* The start has failed: leaves what was taken over as it was found. */
void spaces_give_back(struct spaces *spaces);
/* Starts the threads that serve those who watch. 0 or -errno. */
int spaces_start(struct spaces *spaces) __attribute__((warn_unused_result));
/* Ends and frees everything there is. */
void spaces_close(struct spaces *spaces);


/* All of them together. Any thread. */
struct spaces_sum {
    uint64_t items, memory_bytes, limit_bytes;
    uint64_t resident_bytes; /* as memory_bytes, with pages that are kept for use */
    uint64_t get_hits, get_misses; /* since the start */
};
void spaces_sum(struct spaces *spaces, struct spaces_sum *sum_out);

#endif
