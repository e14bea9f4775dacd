/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * predecessor.h - what the server before this one has left: the receiving end of a
 * hand-over.
 *
 * It comes through the service manager, among the descriptors that this process was
 * started with (LISTEN_FDS, LISTEN_FDNAMES), or over a socket from a server that still
 * runs and makes room once we are ready (LARDER_SUCCESSOR). Used by one thread.
 */
#ifndef LARDER_MAIN_PREDECESSOR_H
#define LARDER_MAIN_PREDECESSOR_H

#include <stdbool.h>

#include "main/baggage.h"
#include "net/listener.h"

/* The descriptor of the socket to the server that runs. */
#define PREDECESSOR_VARIABLE "LARDER_SUCCESSOR"

struct predecessor {
    struct baggage baggage;
    int socket;  /* to a server that runs; -1: none */
    bool kept;   /* the manager kept it, and is to forget it */
    /* Sockets on which the manager has clients wait for us (socket activation). */
    int activated[LISTENERS_MAX];
    unsigned nactivated;
};

/* Reads the environment and takes those variables away, lest a child takes them for its own.
 * To be called first of all. False: there are more sockets than can be listened on. */
bool predecessor_find(struct predecessor *predecessor);

/*
 * Has a server that still runs stop, and waits for what it gives; nothing if there is none.
 * 0; -ECANCELED: it was stopped, or serves on, and we are not to serve; or another -errno: it
 * has died, and we may take its place.
 */
int predecessor_receive(struct predecessor *predecessor);

/* All that was to be taken is. Closes the rest, and has the manager forget it all. */
void predecessor_done(struct predecessor *predecessor);
/* The same, but the manager gives it to the next start: this one has failed. */
void predecessor_close(struct predecessor *predecessor);

#endif
