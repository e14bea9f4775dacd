/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * successor.h - the server that comes after this one, where no service manager starts it
 * (-o handover=process): the giving end of a hand-over between two processes.
 *
 *   this server        launcher (forked at the start)      the next server
 *   SIGUSR2  -- a socket -->  fork, exec the same program
 *                                               <-- ready --  has read its options and files
 *   stops, gives memory and sockets  ------------ bags -->
 *   ends                                                      serves
 *
 * Only when the next one is ready does this one stop, so that a program that can't start,
 * or options that are wrong, cost nothing. The launcher exists because a server that has
 * confined itself can start no program; it does nothing but that, always the same program
 * with the same arguments, and ends with the server.
 *
 * Belongs to the main thread.
 */
#ifndef LARDER_MAIN_SUCCESSOR_H
#define LARDER_MAIN_SUCCESSOR_H

#include <event2/event_struct.h>
#include <stdbool.h>

#include "base/options.h"
#include "main/baggage.h"

/* What the next server says, and what it is told last. */
#define SUCCESSOR_READY "ready"
#define SUCCESSOR_ALL   "all"
/* ... or in place of it, if the old one does not make room after all. */
#define SUCCESSOR_CANCEL "cancel"
/* How long the next one has to get ready. */
#define SUCCESSOR_WAIT_MS 30000

struct successor {
    int launcher; /* socket; -1: there is none */
    int link;     /* to the next server, which is starting; -1: none is */
    struct event event, timer;
    void (*on_ready)(void *context);
    void *context;
};

/* Starts the launcher, before there are threads. 0 or the status to exit with. */
int successor_prepare(struct successor *successor, const struct options *options);
/* Has the next server started. `on_ready` is called in the loop of `base` when it is ready;
 * never if it fails, which is logged. */
void successor_call(struct successor *successor, struct event_base *base,
    void (*on_ready)(void *context), void *context);
/* It is ready: gives it all. 0 or -errno. */
int successor_give(struct successor *successor, const struct baggage *baggage);
/* In whatever state it is; the launcher ends. */
void successor_fini(struct successor *successor);

#endif
