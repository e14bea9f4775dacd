/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal.h - what happens in the server, for those who watch.
 *
 *   worker 0   [ring] --+
 *   worker 1   [ring] --+--> reader: takes events in the order of their numbers
 *   upkeep     [ring] --+
 *
 * Every thread that has something to tell owns a ring and writes events there without a
 * lock and without waiting: what does not fit is dropped and counted. One thread reads
 * all rings. While nobody watches, `wanted` is 0, and one relaxed look at it is all that
 * anything costs.
 */
#ifndef LARDER_BASE_JOURNAL_H
#define LARDER_BASE_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The streams of `watch`. Some tell nothing here and are there to be asked for. */
#define JOURNAL_STREAMS(X)                                                                \
    X(FETCHERS, "fetchers")                                                               \
    X(MUTATIONS, "mutations")                                                             \
    X(DELETIONS, "deletions")                                                             \
    X(EVICTIONS, "evictions")                                                             \
    X(CONNEVENTS, "connevents")                                                           \
    X(SYSEVENTS, "sysevents")                                                             \
    X(RAWCMDS, "rawcmds")                                                                 \
    X(PROXYREQS, "proxyreqs")                                                             \
    X(PROXYEVENTS, "proxyevents")                                                         \
    X(PROXYUSER, "proxyuser")

enum journal_stream {
#define X(id, name) JOURNAL_##id,
    JOURNAL_STREAMS(X)
#undef X
    JOURNAL_STREAM_COUNT
};

/* The bit of a stream in a set. */
#define JOURNAL_BIT(stream) (1u << (stream))

enum journal_kind {
    JOURNAL_GET,        /* text: key; status, class, fd, size */
    JOURNAL_STORE,      /* text: key; status, word, ttl, class, fd, size */
    JOURNAL_DELETE,     /* text: key; word, class, size */
    JOURNAL_EVICTION,   /* text: key; fetched, ttl, idle, class, size */
    JOURNAL_CONN_NEW,   /* text: as `stats conns` shows it; fd, status: the transport */
    JOURNAL_CONN_CLOSE, /* likewise; word: the reason */
    JOURNAL_TLS_ERROR,  /* text: what is wrong; fd */
    JOURNAL_SLAB_MOVE,  /* source, class: where to; word */
    JOURNAL_SWEEP,      /* a round of the sweep for expired items: ttl: items looked at,
                         * size: items reclaimed */
};

/* Longer texts are cut. */
#define JOURNAL_TEXT_MAX 256u

struct journal_event {
    uint64_t number;    /* of the event, by journal_put() */
    uint64_t micros;    /* Unix time, by journal_put() */
    const char *status; /* these two: constants of the program, or NULL */
    const char *word;
    int64_t ttl;        /* seconds; -1: for ever */
    uint64_t size;
    uint32_t idle;      /* seconds since the last use */
    int32_t fd;
    int16_t source;
    uint8_t kind;       /* enum journal_kind */
    uint8_t stream;     /* enum journal_stream */
    uint8_t class;
    bool fetched;
    uint16_t len;       /* of the text, by journal_put() */
};

/* Since the start. */
struct journal_counts {
    uint64_t written; /* events that went into a ring */
    uint64_t dropped; /* those that found it full */
};

struct journal;
struct journal_writer;

/* Rings of `ring_size` bytes each. NULL with errno set. */
struct journal *journal_create(uint32_t ring_size);
/* All writers are closed. */
void journal_destroy(struct journal *journal);

/* A ring for the calling thread, which alone may write to it. NULL: out of memory. */
struct journal_writer *journal_open(struct journal *journal);
/* What it has written and nobody has read is gone. */
void journal_close(struct journal_writer *writer);

/* The streams that somebody watches, as bits: for any thread to look at, relaxed, before
 * it puts an event together. */
const _Atomic unsigned *journal_wanted(const struct journal *journal);
/* From now on these are watched. */
void journal_want(struct journal *journal, unsigned streams);

/* Owner only: tells an event, of a stream that is wanted, and never waits. */
void journal_put(
    struct journal_writer *writer, struct journal_event *event, struct slice text);

/* ---- The reader ------------------------------------------------------------------- */

/* Sleeps until an event may have come, or journal_wake(). */
void journal_wait(struct journal *journal);
void journal_wake(struct journal *journal);

/* The oldest of all events that have come; false: there is none. */
bool journal_take(struct journal *journal, struct journal_event *event_out,
    char text_out[JOURNAL_TEXT_MAX]);

/* Any thread. */
void journal_count(struct journal *journal, struct journal_counts *counts_out);

#endif
