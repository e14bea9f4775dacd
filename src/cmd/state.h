/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state.h - a session and a turn of it; inside src/cmd only.
 */
#ifndef LARDER_CMD_STATE_H
#define LARDER_CMD_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outbox.h"
#include "base/stream.h"
#include "cmd/ahead.h"
#include "cmd/lane.h"
#include "proto/command.h"
#include "store/store.h"

/* Where a conversation stands between two turns. */
enum state {
    STATE_LINE,    /* a command line comes next */
    STATE_KEYS,    /* inside a retrieval line, a key comes next */
    STATE_VALUE,   /* as KEYS, but a large value is on its way out first */
    STATE_UPLOAD,  /* a large value is on its way in */
    STATE_SWALLOW, /* `left` bytes are dropped, then `reply` is sent */
    STATE_DROP,    /* the rest of the line is dropped, then `reply` is sent */
    STATE_STREAM,  /* a stream fills the outbox; input waits */
};

struct upload;

/* One conversation. Idle ones are many, so this is all they have. */
struct session {
    struct lane *lane;
    union {
        struct store_pin *pin;  /* STATE_VALUE */
        struct upload *upload;  /* STATE_UPLOAD */
        struct stream *stream;  /* STATE_STREAM */
    };
    uint32_t left;    /* STATE_SWALLOW, STATE_VALUE: bytes to go */
    uint32_t exptime; /* STATE_KEYS of gat: the expiry to set */
    struct ahead_range ahead;
    int fd;
    uint8_t state;    /* enum state */
    uint8_t verb;     /* enum verb of the retrieval line we are in */
    uint8_t reply;    /* enum outcome_code to be sent after dropping; NONE: nothing */
    uint8_t keys;     /* keys of this line so far, in counts of KEYS_PER_COMMAND */
    bool greeted;     /* the first byte has been seen */
    bool any_key;     /* STATE_KEYS: the line has had a key */
    bool open_line;   /* STATE_KEYS, STATE_DROP: the line's LF had not arrived */
    bool pins_out;    /* output refers to pinned values that may not have been sent */
    bool watching;    /* STATE_STREAM of `watch` */
};

_Static_assert(sizeof(struct session) <= 64, "an idle connection must stay small");

/* One call of took(). */
struct turn {
    struct session *session;
    struct lane *lane;
    char *data;             /* all of the input */
    const char *at;         /* the next byte of it */
    const char *end;
    struct outbox *out;
    unsigned budget;        /* commands still allowed */
    const char *ahead_stop; /* no use in looking ahead again before this */
};

/* What a step wants. All but the first end the turn. */
enum step { STEP_ON, STEP_READ, STEP_AGAIN, STEP_DRAIN, STEP_CLOSE };

/* ---- retrieve.c: get, gets, gat, gats ---------------------------------------------- */

/* A line that the look-ahead found to be a get or gets with one key. */
enum step retrieve_one(struct turn *turn, const struct ahead_row *row);
/* Begins a retrieval line that was parsed; its keys are command->rest. `next` is behind
 * the line's LF, NULL: it has not arrived. */
enum step retrieve_begin(struct turn *turn, const struct command *command,
    const char *next);
/* STATE_KEYS and STATE_VALUE. */
enum step retrieve_keys(struct turn *turn);
enum step retrieve_value(struct turn *turn);
/* The session is over in STATE_VALUE. */
void retrieve_abandon(struct session *session);

/* ---- session.c ----------------------------------------------------------------------- */

/* A storage command, ms included: runs it, or waits for its value, or refuses it. */
enum step session_store(
    struct turn *turn, const struct command *command, const char *next);

/* ---- meta.c: mg, ms, md, ma, me ------------------------------------------------------- */

struct execute_value;

/* A line that the look-ahead found to be an mg. */
enum step meta_one(struct turn *turn, const struct ahead_row *row);
/* The line of a meta command but mn, whose flags have not been parsed. */
enum step meta_run(struct turn *turn, const struct command *line, const char *next);
/* Stores the value of an ms and answers; META_LINE_ROOM bytes must be free. */
void meta_store(struct lane *lane, const struct command *command, uint64_t hash,
    const struct execute_value *value, struct outbox *out);

/* ---- upload.c: large values on their way in, and bytes to be dropped --------------- */

/* Begins to receive the value of a storage command; input goes on behind its line. */
enum step upload_begin(struct turn *turn, const struct command *command);
/* Drops a value that a storage line announced, then answers `reply`. */
enum step upload_refuse(struct turn *turn, const struct command *command,
    enum outcome_code reply);
/* STATE_UPLOAD, STATE_SWALLOW */
enum step upload_take(struct turn *turn);
enum step upload_swallow(struct turn *turn);
/* The want() and filled() of struct service, in STATE_UPLOAD. */
unsigned upload_want(struct session *session, struct iovec *iov, unsigned max);
void upload_filled(struct session *session, size_t len, struct outbox *out);
/* The session is over in STATE_UPLOAD. */
void upload_abandon(struct session *session);

#endif
