/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * talk.h - a client's side of a conversation without a socket, for tests of sessions.
 *
 * A stage holds a store, a clock and one worker's lane; a talk is a connection on it. The
 * talk does what the network layer would: it keeps unused bytes, looks ahead, gives room
 * for output, collects replies and releases pins. Each call of took() gets a copy of the
 * input that ends where its memory ends, so that a sanitizer sees one byte too far.
 */
#ifndef LARDER_TESTS_SUPPORT_TALK_H
#define LARDER_TESTS_SUPPORT_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/service.h"
#include "cmd/session.h"
#include "store/store.h"

struct stage {
    struct store *store;
    struct clock clock;
    struct cmd_context context;
    enum protocol_choice protocol; /* of the listener; stage_set() chooses auto */
    struct service service;
    void *lane;
    char bytes[OUTBOX_BYTES];
    struct outbox out;
};

/* A store of `memory_max` bytes (0: 64 MiB) for values up to 1 MiB. */
struct store *talk_store(uint64_t memory_max);

/* Fills all of the stage but `store`, which is the caller's to set before. */
void stage_set(struct stage *stage);
/* After changing stage->context: what stage_open() needs besides stage_set(). */
void stage_open(struct stage *stage);
/* Closes the lane and destroys the store. */
void stage_close(struct stage *stage);
/* The clock jumps `seconds` ahead. */
void stage_wait(struct stage *stage, unsigned seconds);
struct counts stage_counts(struct stage *stage);

struct talk {
    struct stage *stage;
    void *session;
    unsigned budget;    /* of each took(); 0: 20 */
    size_t room;        /* output room of a first took(), 0: all */
    bool no_look;       /* took() without look() before */
    bool no_want;       /* always give input to took() */
    size_t chunk;       /* input comes in pieces of at most this; 0: all at once */
    bool closed;        /* the session said so */
    char *kept;         /* input that took() left */
    size_t nkept;
    char *heard;        /* replies so far */
    size_t nheard, heard_size;
    unsigned turns;     /* calls of took() */
    unsigned drains, yields;
};

void talk_open(struct talk *talk, struct stage *stage);
void talk_close(struct talk *talk);
/* The client sends this. */
void talk_say(struct talk *talk, const void *data, size_t len);
void talk_say_text(struct talk *talk, const char *text);
/* Forgets the replies so far. */
void talk_forget(struct talk *talk);
/* Says `text`, then compares what is heard from then on. */
void talk_expect(struct talk *talk, const char *text, const char *replies);

#endif
