/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handover.h - what is handed from one server to the next, and how it is wrapped.
 *
 *   HANDOVER_STORE    the arena: store_leave() and store_adopt(); with it goes a note (note.h)
 *   HANDOVER_SOCKET   listening sockets and clients, in any order, some of them missing
 *                     because the client has gone meanwhile
 *   HANDOVER_STATE    a memory file with what is to be known of each socket:
 *
 *       "LARDERS1" | cookie 64 | length 32 | 0 32 | bytes, padded to 8 | cookie ...
 *
 * The kernel gives each socket a cookie (SO_COOKIE), which stays the same in whatever
 * process and under whatever number it is: by it sockets and what is known of them find
 * each other.
 */
#ifndef LARDER_MAIN_HANDOVER_H
#define LARDER_MAIN_HANDOVER_H

#include <stddef.h>
#include <stdint.h>

#include "main/baggage.h"

#define HANDOVER_STORE  "larder-store"
#define HANDOVER_STATE  "larder-state"
#define HANDOVER_SOCKET "larder-socket"

/* Sockets on their way into baggage. All zero but `baggage` is a beginning. */
struct handover {
    struct baggage *baggage;
    char *bytes; /* of HANDOVER_STATE */
    size_t len, size;
};

/* A socket, taken in any case, and what is to be known of it. One that can't be wrapped is
 * closed. The function that net_leave() wants, with a struct handover as its context. */
void handover_put(void *handover, int fd, const void *bytes, size_t len);
/* The last: puts HANDOVER_STATE into the baggage, before all else. 0 or -errno. */
int handover_close(struct handover *handover);

/* Unwraps the sockets of `baggage`: calls `fn` with each, which takes `fd`. The number of
 * sockets that were known; others are closed. */
typedef void (*handover_fn)(void *context, int fd, const void *bytes, size_t len);
size_t handover_open(struct baggage *baggage, handover_fn fn, void *context);

#endif
