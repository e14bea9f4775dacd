/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poller.h - which clients' sockets are ready; inside src/net only.
 *
 * A worker's clients are in an epoll descriptor of their own, which is one event of the
 * worker's libevent loop: readable while one of them is ready. So a client needs no
 * struct event (128 bytes) and no entry in libevent's map of descriptors (32 and more), and
 * a turn asks for as many as it works off together.
 *
 * A socket is told of as long as there is something to read. Edges (EPOLLET) would spare the
 * kernel a look at each that was read, but a read that brings less than there is, as for a
 * mark of urgent data, would leave its client waiting for ever.
 *
 * Used by the worker's thread only.
 */
#ifndef LARDER_NET_POLLER_H
#define LARDER_NET_POLLER_H

#include <stdbool.h>
#include <sys/epoll.h>

/* As many as one call tells of. */
#define POLLER_MAX 64

struct poller {
    int fd; /* -1: none */
    struct epoll_event events[POLLER_MAX];
};

enum poller_want { POLLER_NOTHING, POLLER_READ, POLLER_WRITE };

/* 0 or -errno. */
int poller_init(struct poller *poller);
void poller_fini(struct poller *poller);

/* Waits until `fd` can be read; `subject` is what to tell then. False: the kernel has no
 * memory. */
bool poller_add(struct poller *poller, int fd, void *subject);
/* Waits for something else. */
bool poller_change(
    struct poller *poller, int fd, void *subject, enum poller_want want);
void poller_drop(struct poller *poller, int fd);

/* Fills `events`, without waiting. Returns how many. */
unsigned poller_collect(struct poller *poller);

#endif
