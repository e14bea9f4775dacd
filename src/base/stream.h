/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.h - a reply that is longer than an outbox: a dump, a long report.
 *
 * The session keeps it, asks it to fill the outbox whenever there is room, and runs no
 * other command until it is at its end. Its memory is bounded by whoever makes it.
 */
#ifndef LARDER_BASE_STREAM_H
#define LARDER_BASE_STREAM_H

#include <stdbool.h>

#include "base/outbox.h"

struct stream {
    /* Adds what fits and returns true when there is more. One call does a bounded amount of
     * work and may add nothing although there is more; the caller comes back after others
     * have had their turn. */
    bool (*fill)(struct stream *stream, struct outbox *out);
    /* Frees the stream, at its end or before. */
    void (*close)(struct stream *stream);
    /* What it adds comes from elsewhere: when it has added nothing, it need not be asked
     * again before the session was woken. Input is dropped meanwhile. */
    bool live;
};

#endif
