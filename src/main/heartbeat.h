/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * heartbeat.h - what the service manager hears while the server serves: a line about how
 * it does, and that it is alive.
 *
 * Every HEARTBEAT_STATUS_S seconds STATUS=, for `systemctl status`. With WATCHDOG_USEC set
 * (WatchdogSec= in a unit) also WATCHDOG=1, but only if every worker has gone through its
 * loop since the last time, and this thread of course: one worker that hangs is a server
 * that has to be restarted, although others still answer. Workers tick once a second, so a
 * watchdog of less than three seconds is too short.
 */
#ifndef LARDER_MAIN_HEARTBEAT_H
#define LARDER_MAIN_HEARTBEAT_H

#include <event2/event_struct.h>

#include "main/space.h"
#include "net/net.h"

#define HEARTBEAT_STATUS_S 5u

struct heartbeat {
    struct net *net;
    struct spaces *spaces; /* of which the status tells the sums */
    struct event event;
    bool started, watched;
    unsigned seconds;            /* until the next status */
    uint64_t hits, misses;       /* when the last status was told */
};

/*
 * Starts it on `base`, whose thread must have started the workers. Nothing happens without
 * NOTIFY_SOCKET. What is passed is borrowed until heartbeat_stop(). 0 or -errno.
 */
int heartbeat_start(struct heartbeat *heartbeat, struct event_base *base, struct net *net,
    struct spaces *spaces);
/* Nothing if it was not started; `heartbeat` was zeroed then. */
void heartbeat_stop(struct heartbeat *heartbeat);

#endif
