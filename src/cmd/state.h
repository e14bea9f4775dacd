/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state.h - a session and a turn of it; inside src/cmd only.
 */
#ifndef LARDER_CMD_STATE_H
#define LARDER_CMD_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outbox.h"
#include "base/service.h"
#include "base/stream.h"
#include "cmd/ahead.h"
#include "cmd/budget.h"
#include "cmd/lane.h"
#include "proto/binary.h"
#include "proto/command.h"
#include "store/store.h"

/* Where a conversation stands between two turns. */
enum state {
    STATE_LINE,    /* a command line, or a binary packet, comes next */
    STATE_KEYS,    /* inside a retrieval line, a key comes next */
    STATE_VALUE,   /* as KEYS, but a large value is on its way out first */
    STATE_UPLOAD,  /* a large value is on its way in */
    STATE_SWALLOW, /* `left` bytes are dropped, then `reply` is sent */
    STATE_DROP,    /* the rest of the line is dropped, then `reply` is sent */
    STATE_STREAM,  /* a stream fills the outbox; input waits */
    STATE_LOGIN,   /* what a client proves itself with is on its way in */
    STATE_PENDING, /* ... and is being looked into; input waits */
};

struct login;
struct upload;

/* One conversation. Idle ones are many, so this is all they have. */
struct session {
    struct lane *lane;
    union {
        struct store_pin *pin;  /* STATE_VALUE */
        struct upload *upload;  /* STATE_UPLOAD */
        struct stream *stream;  /* STATE_STREAM */
        struct login *login;    /* STATE_LOGIN, STATE_PENDING */
    };
    struct auth_talk *auth; /* a SASL exchange has begun on this connection */
    void *wake_handle; /* as struct peer has it, for lane->wake() */
    uint32_t left;    /* STATE_SWALLOW, STATE_VALUE: bytes to go */
    uint32_t exptime; /* STATE_KEYS of gat: the expiry to set */
    uint32_t opaque;  /* binary: of the packet that is being answered */
    struct ahead_range ahead;
    int fd;
    uint8_t state;    /* enum state */
    uint8_t verb;     /* enum verb of the retrieval line we are in */
    uint8_t reply;    /* enum outcome_code to be sent after dropping; NONE: nothing */
    bool greeted;     /* the first byte has been seen */
    bool any_key;     /* STATE_KEYS: the line has had a key */
    bool open_line;   /* STATE_KEYS, STATE_DROP: the line's LF had not arrived */
    bool pins_out;    /* output refers to pinned values that may not have been sent */
    uint8_t denied;   /* what its listener does without: enum right, joined by | */
    uint8_t opcode;   /* binary: of the packet that is being answered */
    uint8_t protocol : 2; /* enum protocol_choice of the listener */
    bool binary : 1;      /* the client speaks the binary protocol */
    bool locked : 1;      /* nothing is answered before the client has logged in */
    bool hang_up : 1;     /* STATE_SWALLOW: close after the reply */
    bool datagram : 1;    /* UDP */
    bool in_exchange : 1; /* SASL: the client has to answer a challenge */
    bool watching : 1;    /* STATE_STREAM of `watch` */
    bool placed : 1;      /* its memory is its connection's */
    bool large : 1;       /* the last turn began to take a large value */
    uint8_t failures;     /* logins that failed, in a row */
};

_Static_assert(sizeof(struct session) <= 72, "an idle connection must stay small");

/* One call of took(). */
struct turn {
    struct session *session;
    struct lane *lane;
    char *data;             /* all of the input */
    const char *at;         /* the next byte of it */
    const char *end;
    struct outbox *out;
    struct budget budget;   /* what is still allowed */
    const char *ahead_stop; /* no use in looking ahead again before this */
};

/* Looks ahead over what input begins with here, if all rows of the connection are used up. */
static inline void
turn_look_further(struct turn *turn, enum ahead_kind kind)
{
    struct ahead_range *range = &turn->session->ahead;

    if (range->first == range->end && turn->at >= turn->ahead_stop)
        turn->ahead_stop = ahead_more(&turn->lane->ahead, turn->lane->store, range, turn->at,
            (size_t)(turn->end - turn->at), kind, turn->budget);
}

/* What a step wants. All but the first end the turn. */
enum step {
    STEP_ON,
    STEP_READ,
    STEP_AGAIN,
    STEP_LATER,
    STEP_WAIT,
    STEP_DRAIN,
    STEP_CLOSE
};

/* ---- session.c ------------------------------------------------------------------- */

/* The open and close of struct service. */
void *session_open(void *lane, const struct peer *peer);
void session_close(void *session);

/* Replies to a command of the session's protocol, if it wants a reply. */
void session_answer(struct session *session, const struct command *command,
    const struct outcome *outcome, struct outbox *out);

/* ---- line.c: command lines -------------------------------------------------------- */

/* STATE_LINE of a text session. */
enum step line_take(struct turn *turn);
/* STATE_DROP: drops input up to the line's end. */
enum step line_drop(struct turn *turn);
/* A command of text or meta whose listener does without it: its value is dropped. */
enum step line_deny(
    struct turn *turn, const struct command *command, const char *next);

/* ---- report.c: what operators ask -------------------------------------------------- */

/* A command that only the admin hook knows, whose line ends before `next`. */
enum step report_run(
    struct turn *turn, const struct command *command, const char *next);
/* Takes one of the parts of reports that this turn has. False: it has no more. */
bool report_allowed(struct turn *turn);
/* Runs `stats` for the binary protocol: the report's fields are packets. */
enum step report_stat(struct turn *turn, struct slice args);
/* STATE_STREAM: lets the stream fill what is left of the outbox. It may have nothing just
 * now; others get their turn before it is asked again. */
enum step report_fill(struct turn *turn);
/* The stream has ended, or the session is over in STATE_STREAM. */
void report_end(struct session *session);

/* ---- binary.c: packets ----------------------------------------------------------- */

/* STATE_LINE of a binary session. */
enum step binary_session_take(struct turn *turn);
/* Writes the beginning of a hit, BINARY_HIT_ROOM, to the outbox's tail. Its end. */
char *binary_session_hit(
    struct turn *turn, struct slice key, const struct store_view *view);

/* ---- login.c: who may speak ------------------------------------------------------ */

/* STATE_LINE of a locked text session: a line, which may be a login. */
enum step login_line(struct turn *turn);
/* A SASL packet, whose head has been taken from the input. `key` names the mechanism;
 * `value_len` bytes follow. */
enum step login_begin(
    struct turn *turn, const struct packet *packet, struct slice mechanism);
enum step login_mechanisms(struct turn *turn);
/* STATE_LOGIN, STATE_PENDING */
enum step login_take(struct turn *turn);
enum step login_wait(struct turn *turn);
/* The session is over. */
void login_end(struct session *session);

/* ---- retrieve.c: get, gets, gat, gats ---------------------------------------------- */

enum got {
    GOT_IT,      /* it is in the outbox */
    GOT_NOTHING, /* there is no such item */
    GOT_LARGE,   /* its header is written, STATE_VALUE goes on */
    GOT_NO_ROOM, /* nothing was done; to be repeated with an empty outbox */
    GOT_NO_PINS, /* too much is pinned by clients that don't read */
    GOT_CHANGED, /* never seen outside */
};

/* Looks up one key and writes what there is of it, in the session's protocol. */
enum got retrieve_key(
    struct turn *turn, struct slice key, uint64_t hash, enum verb verb);

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

/* ---- storing.c: values that come with their line ----------------------------------- */

/* A storage command, ms included, whose line ends before `next`: runs it, or waits for its
 * value, or refuses it. */
enum step storing_run(
    struct turn *turn, const struct command *command, const char *next);
/* A set that the look-ahead has read; its value is here. */
enum step storing_one(struct turn *turn, const struct ahead_row *row);

/* ---- meta.c, meta_get.c: mg, ms, md, ma, me --------------------------------------- */

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
