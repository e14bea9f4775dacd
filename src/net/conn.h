/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn.h - one client's connection; inside src/net only.
 *
 * A connection that waits for its client owns nothing but struct conn and, behind it, its
 * session: two cache lines. All else - part of a command, replies that the socket did not
 * take - is in a struct hold that comes and goes.
 *
 * What a connection does is decided in three places that don't know each other: here
 * (read, or wait until the backlog is sent), in the session (line, value, stream), and in
 * the outbox. `next` is the session's last word on how to go on.
 *
 * Used by its worker's thread only; fd, listener, last_command and shown may be read by
 * others that hold the worker's mutex, under which connections come and go.
 */
#ifndef LARDER_NET_CONN_H
#define LARDER_NET_CONN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"
#include "base/service.h"
#include "net/tls_stream.h"

struct hold;
struct passenger;
struct worker;

struct conn {
    struct worker *worker;
    struct hold *hold;         /* NULL most of the time */
    struct tls_stream *stream; /* NULL: what is sent is plain */
    int fd;
    uint32_t index;                 /* in worker->conns */
    _Atomic uint32_t last_command;  /* second */
    _Atomic uint8_t shown;          /* enum conn_state */
    uint8_t listener;
    uint8_t next;   /* enum service_next */
    bool queued : 1; /* in worker->ready or worker->again */
    bool bites : 1;   /* its next input may be a large value: SERVICE_READ_BITE */
    bool later : 1;   /* `next` is AGAIN by SERVICE_LATER, and it had nothing of its turn */
    uint8_t space : 4; /* in worker->spaces */
    char session[];    /* service->session_size bytes */
};

_Static_assert(OPTION_SPACES_MAX <= 16, "4 bits count the spaces");
/* With a session of up to 88 bytes an idle client is two cache lines. */
_Static_assert(sizeof(struct conn) <= 40, "an idle connection must stay small");
_Static_assert(sizeof(struct conn) % 8 == 0, "sessions are aligned");

/* What one connection brings into a turn. */
struct job {
    struct conn *conn;
    char *data; /* in the worker's input, or in the hold */
    size_t len;
    size_t direct; /* bytes that went where want() said, before `data` */
};

/* A connection for `fd`, which it takes; NULL: no memory, or the service wants none, and
 * `fd` is closed. `from`: it goes on with what this has brought; NULL: it is new. */
struct conn *conn_open(struct worker *worker, int fd, uint8_t listener,
    const struct passenger *from);
void conn_close(struct conn *conn);
/* Closes all of it but its descriptor, which is returned. */
int conn_part(struct conn *conn);

/* Its socket is not looked at until conn_resume(), which is false if it is gone. */
void conn_pause(struct conn *conn);
bool conn_resume(struct conn *conn);

/*
 * First step of a turn: sends what waits, then reads. `space` has room for CONN_SPACE
 * bytes. True: *job_out is to be run; false: there is nothing to do, or the connection is
 * closed and gone. */
bool conn_gather(struct conn *conn, char *space, struct job *job_out);
/* Last step: runs commands and sends replies. True: the connection wants another turn
 * without waiting for its socket. It may be gone after false. `alone`: nobody waits. */
bool conn_run(const struct job *job, bool alone);

/* Closes it if it has been idle or stuck for too long, by worker->now. */
void conn_check_idle(struct conn *conn);
void conn_check_hold(struct hold *hold);

/* Bytes a job may need in the worker's input: what was kept, and one read. */
#define CONN_READ_SIZE 24576u
#define CONN_BITE_SIZE 512u /* the line of a large value, with most keys */
#define CONN_KEPT_MAX  40960u
#define CONN_SPACE     (CONN_READ_SIZE + CONN_KEPT_MAX)

#endif
