/* SPDX-License-Identifier: BSD-3-Clause */
/* leave.h - connections that leave for another process; inside src/net only. */
#ifndef LARDER_NET_LEAVE_H
#define LARDER_NET_LEAVE_H

#include <stddef.h>

struct worker;

/* A connection that has left its worker: what net_leave() gives away. */
struct farewell {
    struct farewell *next;
    int fd;
    size_t len;
    char bytes[];
};

/* The end of a worker, by its thread: no connection is left, and those that go on elsewhere
 * are in worker->farewells. */
void leave_conns(struct worker *worker);

#endif
