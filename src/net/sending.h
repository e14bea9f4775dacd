/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sending.h - an outbox, or what is left of one, on its way into a socket.
 *
 * Copied bytes and runs of foreign memory go out in their order with one system call.
 * What the socket does not take is copied into a backlog, which belongs to the
 * connection, so that the worker's outbox is free for the next one.
 */
#ifndef LARDER_NET_SENDING_H
#define LARDER_NET_SENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outbox.h"

/* How pins are given back. */
struct pin_release {
    void (*release)(void *lane, void *pin);
    void *lane;
};

struct sending {
    const char *bytes;
    uint32_t used, sent; /* of `bytes` */
    const struct out_ref *refs;
    uint32_t nrefs, ref; /* refs before `ref` are sent and released */
    uint32_t ref_sent;   /* of refs[ref] */
};

enum sending_result {
    SENDING_DONE,
    SENDING_STUCK,  /* the socket takes no more for now */
    SENDING_BROKEN, /* the connection is gone */
};

void sending_begin(struct sending *sending, const struct outbox *out);

/* Sends what the socket takes and releases what is sent. `*sent_out` is the number of
 * bytes that went, whatever the result. */
enum sending_result sending_push(struct sending *sending, int fd,
    const struct pin_release *pins, size_t *sent_out);

/*
 * For who sends by other means than sendmsg(): what goes next, in one piece, without moving
 * on. Either the run of bytes at the front, if it is all that is left or at least `size`
 * long, or what fits of several runs, put together in `stage`, which has room for `size`
 * bytes. Returns its length, 0 when everything is sent. As long as nothing is sent, and
 * also by the backlog made of it, the next call gives at least as many of the same bytes.
 */
size_t sending_piece(const struct sending *sending, char *stage, size_t size,
    const char **piece_out);
/* `len` bytes from the front went; releases what is sent. True: everything is. */
bool sending_advance(struct sending *sending, size_t len, const struct pin_release *pins);

/* Gives back all that is not sent. */
void sending_drop(struct sending *sending, const struct pin_release *pins);

/* A sending with memory of its own. */
struct backlog {
    struct sending rest;
    uint32_t size; /* of the whole allocation, bytes */
};

/* Copies what is left; pins pass to the copy. NULL: out of memory, nothing has passed. */
struct backlog *backlog_create(const struct sending *sending);

#endif
