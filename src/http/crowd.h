/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crowd.h - the endpoint's connections: how many there are, and for how long.
 *
 * evhttp closes a connection on which nothing moves, but lets one that sends a byte now
 * and then live for ever, and takes any number. So each gets a place here and a moment by
 * which it must have brought a request to its end. When all places are taken the one that
 * has gone longest without has to leave: who asks and reads his answer gets in, however
 * many others sit and wait.
 *
 * Used by the endpoint's thread only.
 */
#ifndef LARDER_HTTP_CROWD_H
#define LARDER_HTTP_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "http/http.h"

struct bufferevent;
struct event_base;

struct crowd {
    struct {
        struct bufferevent *stream; /* NULL: a free place; else a reference of ours */
        uint64_t due;               /* clock_micros() by which it must have asked */
    } places[HTTP_CONNECTIONS_MAX];
};

/* A stream for a connection that is about to be accepted; there must be room. NULL: out
 * of memory. */
struct bufferevent *crowd_enter(struct crowd *crowd, struct event_base *base);

/* A request of this stream is being answered: it has time for another, or with the next
 * sweep no more. */
void crowd_asked(struct crowd *crowd, struct bufferevent *stream, bool another);

/* Gives places of ended connections back and ends those that are overdue. */
void crowd_sweep(struct crowd *crowd);

/* True while one more may be accepted. If not, the one that is due first is being ended,
 * and there is room after the next turn of the loop and a sweep. */
bool crowd_has_room(struct crowd *crowd);

/* Gives all places back; the connections have been freed. */
void crowd_leave(struct crowd *crowd);

#endif
