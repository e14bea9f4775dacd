/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crowd.c - see crowd.h.
 *
 * evhttp tells nobody when a connection that has not asked anything ends, so each stream
 * is held by a reference of our own; one whose callbacks are gone has been freed by
 * evhttp, which has closed its descriptor then. A connection is ended from outside by
 * shutting its socket down: evhttp sees the end of the stream and does the rest.
 */
#include "http/crowd.h"

#include <event2/bufferevent.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/clock.h"

#define PATIENCE_US (HTTP_PATIENCE * UINT64_C(1000000))

/* evhttp never leaves a living connection without someone to hear of errors. */
static bool
has_ended(struct bufferevent *stream)
{
    bufferevent_data_cb read, write;
    bufferevent_event_cb event;
    void *context;

    bufferevent_getcb(stream, &read, &write, &event, &context);
    return event == NULL && context == NULL;
}

struct bufferevent *
crowd_enter(struct crowd *crowd, struct event_base *base)
{
    struct bufferevent *stream = bufferevent_socket_new(base, -1, 0);

    for (unsigned i = 0; stream != NULL && i < HTTP_CONNECTIONS_MAX; i++) {
        if (crowd->places[i].stream != NULL)
            continue;
        bufferevent_incref(stream);
        crowd->places[i].stream = stream;
        crowd->places[i].due = clock_micros() + PATIENCE_US;
        break;
    }
    return stream;
}

void
crowd_asked(struct crowd *crowd, struct bufferevent *stream, bool another)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (crowd->places[i].stream == stream)
            crowd->places[i].due = clock_micros() + (another ? PATIENCE_US : 0);
}

static void
end(struct bufferevent *stream)
{
    if (bufferevent_getfd(stream) >= 0)
        shutdown(bufferevent_getfd(stream), SHUT_RDWR);
}

void
crowd_sweep(struct crowd *crowd)
{
    uint64_t now = clock_micros();

    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        struct bufferevent *stream = crowd->places[i].stream;
        if (stream == NULL)
            continue;
        if (has_ended(stream)) {
            bufferevent_decref(stream);
            crowd->places[i].stream = NULL;
        } else if (crowd->places[i].due <= now) {
            end(stream);
        }
    }
}

bool
crowd_has_room(struct crowd *crowd)
{
    unsigned first = 0;

    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        if (crowd->places[i].stream == NULL)
            return true;
        if (crowd->places[i].due < crowd->places[first].due)
            first = i;
    }
    end(crowd->places[first].stream);
    return false;
}

void
crowd_leave(struct crowd *crowd)
{
    for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        if (crowd->places[i].stream != NULL)
            bufferevent_decref(crowd->places[i].stream);
        crowd->places[i].stream = NULL;
    }
}
