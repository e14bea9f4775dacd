/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.h - what a connection owns while it is in the middle of something: part of a
 * command, or replies that the socket did not take; inside src/net only.
 *
 * It comes when it is needed and goes when it is empty. Used by the worker's thread only.
 */
#ifndef LARDER_NET_HOLD_H
#define LARDER_NET_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/sending.h"

struct conn;

struct hold {
    struct hold *next, *previous; /* of the worker's */
    struct conn *conn;
    char *bytes; /* input that the session left unused: `len` bytes from `at` */
    uint32_t size, at, len;
    uint32_t began;   /* second in which the command began to arrive; 0: none has */
    uint32_t arrived; /* bytes since then */
    uint32_t moved;   /* second in which bytes last went in or out */
    uint32_t sent_began, sent; /* bytes of backlogs sent since that second */
    struct backlog *backlog; /* NULL: all is sent, the connection reads */
};

/* The connection's hold, a new one if it has none. NULL: out of memory. */
struct hold *hold_get(struct conn *conn);
/* Frees it with all that is in it, if there is one. */
void hold_free(struct conn *conn);
/* Frees it if it is empty. */
void hold_settle(struct conn *conn);

/* Keeps `len` bytes that the session left, which may lie in the hold itself. False: out of
 * memory, or more than CONN_KEPT_MAX. */
bool hold_keep(struct conn *conn, const char *data, size_t len);
/* Copies what is left to be sent; pins pass to the copy. False: out of memory, and nothing
 * has passed. */
bool hold_put_backlog(struct conn *conn, const struct sending *rest);
/* Drops it, whether sent or not. */
void hold_forget_backlog(struct hold *hold);
/* `len` bytes of the backlog went. */
void hold_sent(struct hold *hold, size_t len);

/* Lets the allocator look at what is free at the end of the calling thread's part of its memory,
 * and return it. To be called now and then by each thread that frees holds. */
void hold_return_memory(void);

/* Seconds without progress worth the name. */
uint32_t hold_stalled_for(const struct hold *hold, uint32_t now);

#endif
