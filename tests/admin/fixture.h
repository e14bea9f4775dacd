/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fixture.h - an administration layer over a real store and a made-up server.
 *
 * Tests say what the workers have counted and which connections there are, ask as a
 * client would, and get the whole reply, streams included.
 */
#ifndef LARDER_TESTS_ADMIN_FIXTURE_H
#define LARDER_TESTS_ADMIN_FIXTURE_H

#include "admin/admin.h"

struct fixture {
    struct options options; /* may be changed before fixture_start() */
    struct store *store;
    struct store_thread *thread;
    struct clock clock;
    struct admin *admin;
    struct admin_hook hook;
    struct journal *journal; /* NULL, or made before fixture_start(): then one may watch */
    void (*wake)(void *fixture); /* called for a watcher that has slept; or NULL */

    /* What the made-up server says. */
    struct counts counts;
    struct latency_counts latency;
    struct hotkeys_top hotkeys;
    bool hotkeys_fail; /* there is no memory for them */
    struct conn_figures conns;
    const struct conn_info *infos;
    unsigned ninfos;
    /* What it was told. */
    _Atomic unsigned verbosity;
    _Atomic unsigned hotkeys_resets;
    unsigned shutdowns;
    bool graceful;

    /* The last reply. */
    struct outbox out;
    char *reply;
    size_t reply_len;
    bool closed;
    unsigned fills; /* calls of its stream */
};

/* Default options. */
void fixture_init(struct fixture *fixture);
/* Makes store and administration. */
void fixture_start(struct fixture *fixture);
/* Both at once. */
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);

/* Runs one command line, without its end, and returns all of the reply with a NUL behind
 * it, valid until the next. */
const char *fixture_ask(struct fixture *fixture, const char *line);
/* The same while earlier replies are unsent and `room` bytes of the outbox are free. */
const char *fixture_ask_late(struct fixture *fixture, const char *line, size_t room);
/* Runs a command whose stream is not followed; the caller fills and closes it. */
struct stream *fixture_stream(struct fixture *fixture, const char *line);
/* Fills the stream once into an empty outbox and adds that to the reply; true: more. */
bool fixture_fill(struct fixture *fixture, struct stream *stream);

/* Stores `value_len` bytes under a key; exptime as in the protocol. */
void fixture_set(struct fixture *fixture, const char *key, uint32_t client_flags,
    int64_t exptime, size_t value_len);
/* Looks a key up as `get` does. */
bool fixture_get(struct fixture *fixture, const char *key);

/* Lets time pass. */
void fixture_wait(struct fixture *fixture, uint32_t seconds);

/* The value of a STAT line of the last reply: a copy, valid until the next call. NULL if
 * there is none. */
const char *fixture_stat(struct fixture *fixture, const char *name);

#endif
