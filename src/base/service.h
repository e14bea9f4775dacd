/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service.h - the seam between moving bytes and understanding them.
 *
 * `net` knows sockets and no commands; a service knows commands and no sockets.
 * For every connection the service keeps a session. All functions for one session
 * are called by one worker thread, that of `lane`, never concurrently.
 *
 *   connection            service
 *   accepted      -> open()
 *   readable      -> want()   where the next bytes should go (a large value is read
 *                             straight to its resting place), 0: the worker's buffer
 *                    filled() ... and how many went there
 *                    look()   "these bytes came": hash and prefetch, change nothing
 *                    took()   run commands from the bytes, write replies
 *   gone          -> close()
 *
 * A connection may go on in another process: there unpack() comes in place of open(), with
 * what pack() has told here, before close().
 */
#ifndef LARDER_BASE_SERVICE_H
#define LARDER_BASE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/outbox.h"

/* What a session wants after took() or filled(). In each case the worker sends what
 * is in the outbox first. */
enum service_next {
    SERVICE_READ,  /* nothing more to do until more input arrives */
    /* As READ, and a large value may be what comes. To be read in small bites at first, so that
     * most of it can go where want() says and need not be copied there. */
    SERVICE_READ_BITE,
    SERVICE_AGAIN, /* budget used up: call took() again later with the unused bytes */
    /* As AGAIN, in the next turn and before those that have had what it waits for: a turn has
     * only so much of it for all clients. */
    SERVICE_LATER,
    SERVICE_WAIT,  /* as AGAIN, but not before peer->wake() was called */
    SERVICE_DRAIN, /* outbox full: call took() again (also with no bytes) once it is sent */
    SERVICE_CLOSE, /* send what is in the outbox, then close */
};

/* What a listener can be without. */
enum right {
    RIGHT_ADMIN = 1, /* to see and to change what is an operator's */
    RIGHT_FLUSH = 2, /* flush_all */
    RIGHT_WRITE = 4, /* to change anything that is stored; flushing is that, too */
};

/* An address as `stats conns` prints it: tcp:1.2.3.4:5, unix:/path. */
#define ADDRESS_TEXT_MAX 112

/* Who is at the other end; filled by net, read by sessions and statistics. */
struct peer {
    int fd;                 /* for display only */
    bool datagram;          /* UDP: the session ends with its datagram */
    uint16_t listener;      /* index of the listener it came through */
    uint8_t protocol;       /* enum protocol_choice: what is spoken there */
    uint8_t denied;         /* what may not be asked there: enum right, joined by | */
    /* Any thread may call wake(wake_handle), from open() until close() begins, to have
     * took() called soon by the session's worker, perhaps without new input. Both stay the
     * same; the function is the same for all sessions of a lane. */
    void (*wake)(void *handle);
    void *wake_handle;
    /* Where the session is to be: service->session_size bytes, all zero, aligned for pointers
     * and numbers of 8 bytes, which stay until close() returns. NULL: it takes memory of its
     * own. */
    void *place;
};

/* What a connection is doing, for display. */
enum conn_state {
    CONN_WAITING, /* nothing is going on */
    CONN_READ,    /* part of a command has arrived */
    CONN_NREAD,   /* part of a value has arrived */
    CONN_WRITE,   /* output waits for the client */
    CONN_PARSE,   /* a command is running */
    CONN_WATCH,
};

/* Most bytes of pack(). */
#define SERVICE_STATE_MAX 64u

struct service {
    size_t session_size; /* of a session's memory: peer->place */

    /* Makes what worker number `index` needs; called once per worker thread, from that
     * thread, before any session. NULL: out of memory. */
    void *(*lane_open)(void *context, unsigned index);
    void (*lane_close)(void *lane);

    /* A session for a new connection; NULL: out of memory, the connection is closed. */
    void *(*open)(void *lane, const struct peer *peer);
    /* The connection is gone. An unfinished command has no effect. Frees the session, but
     * for its place. */
    void (*close)(void *session);

    /* For a connection that goes on in another process: writes what is to be known about
     * the session, SERVICE_STATE_MAX bytes at most, and returns how many; 0: it can't go on
     * elsewhere as it stands. Nothing is changed. */
    size_t (*pack)(const void *session, char *bytes);
    /* In place of open(): the session that pack() of another process has described, with
     * that process's unused input to come. NULL: out of memory, or refused. The bytes may be
     * anybody's. */
    void *(*unpack)(void *lane, const struct peer *peer, const char *bytes, size_t len);

    /* Where input should go: fills up to `max` iovecs and returns how many, 0 for
     * "into your own buffer". Only asked while no unused bytes are kept. */
    unsigned (*want)(void *session, struct iovec *iov, unsigned max);
    /* `len` bytes went where want() said. */
    enum service_next (*filled)(void *session, size_t len, struct outbox *out);

    /* A preview of the bytes that the next took() will get: the service may compute and
     * prefetch but must not change anything. Called for all ready connections of a turn
     * before any took() of that turn. `data` keeps its address until that took(). */
    void (*look)(void *session, const char *data, size_t len);
    /* look() has been called for every connection of the group. */
    void (*looked)(void *lane);

    /* Runs at most `budget` commands (0 < budget), or more of such as cost little, from the
     * bytes and sets *used_out to how many bytes are done with; the rest is given again,
     * with more behind it, at the next call. `len` may be 0 after SERVICE_AGAIN,
     * SERVICE_LATER and SERVICE_DRAIN. The bytes may be changed. */
    enum service_next (*took)(void *session, char *data, size_t len, unsigned budget,
        size_t *used_out, struct outbox *out);

    /* A pin of an out_ref is no longer needed. Called from the session's worker, possibly
     * after close() of the session. */
    void (*release)(void *lane, void *pin);

    /* True while a command has begun to arrive and has not ended, apart from bytes that
     * took() left unused. Partial commands time out apart from idle connections. */
    bool (*midway)(const void *session);
    /* For display: SERVICE_READ states seen from inside (CONN_WAITING, CONN_NREAD ...). */
    enum conn_state (*state)(const void *session);

    /* Once a second for each worker, `now` as clock_seconds(). */
    void (*lane_tick)(void *lane, uint32_t now);
    /* Should this session, which has been stuck midway or in sending without progress worth
     * the name for `stalled` seconds, be given up because what it holds is needed elsewhere? */
    bool (*give_up)(const void *session, uint32_t stalled);

    /* Answers, in the session's protocol, that the answer to its last command is longer than
     * may be sent. Of datagrams' sessions only, which are closed next. */
    void (*too_long)(void *session, struct outbox *out);

    /* Bytes sent over a connection that is refused: limit reached. */
    const char *full_reply;

    /* Measuring. Some groups are measured: measure(lane, true) before the first took() or
     * filled() of one, measure(lane, false) behind its last. In between answered() comes
     * after each time that output was handed to the kernel: what ran since the last call
     * has taken `ns` nanoseconds since its bytes were read. NULL: nobody wants to know. */
    void (*measure)(void *lane, bool on);
    void (*answered)(void *lane, uint64_t ns);

    /* A turn begins, in which each client of the lane that is ready is run once. NULL: nobody
     * wants to know. */
    void (*turn)(void *lane);
};

#endif
