/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/heartbeat.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "main/notify.h"

/* Is WATCHDOG_USEC meant for this process? */
static bool
is_watched(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    return time != NULL && atoll(time) > 0 &&
           (pid == NULL || atoll(pid) == (long long)getpid());
}

/* The part of hits among the gets since the last status, in all if there were none. */
static void
hit_ratio(struct heartbeat *heartbeat, const struct spaces_sum *sum, char *text,
    size_t size)
{
    uint64_t hits = sum->get_hits - heartbeat->hits;
    uint64_t misses = sum->get_misses - heartbeat->misses;

    heartbeat->hits = sum->get_hits;
    heartbeat->misses = sum->get_misses;
    if (hits + misses == 0) {
        hits = sum->get_hits;
        misses = sum->get_misses;
    }
    if (hits + misses == 0)
        snprintf(text, size, "no gets yet");
    else
        snprintf(text, size, "%.1f %% hits",
            100.0 * (double)hits / (double)(hits + misses));
}

static void
tell_status(struct heartbeat *heartbeat)
{
    struct spaces_sum sum;
    struct net_figures net;
    char text[256], ratio[32];

    spaces_sum(heartbeat->spaces, &sum);
    net_figures(heartbeat->net, &net);
    hit_ratio(heartbeat, &sum, ratio, sizeof ratio);
    snprintf(text, sizeof text, "STATUS=%llu items, %llu of %llu MiB, %s, %llu clients",
        (unsigned long long)sum.items, (unsigned long long)sum.memory_bytes >> 20,
        (unsigned long long)sum.limit_bytes >> 20, ratio,
        (unsigned long long)net.current);
    notify_manager(text);
}

static void
on_second(evutil_socket_t fd, short what, void *context)
{
    struct heartbeat *heartbeat = context;

    (void)fd;
    (void)what;
    if (heartbeat->watched && net_all_ticked(heartbeat->net))
        notify_manager("WATCHDOG=1");
    if (--heartbeat->seconds > 0)
        return;
    heartbeat->seconds = HEARTBEAT_STATUS_S;
    tell_status(heartbeat);
}

int
heartbeat_start(struct heartbeat *heartbeat, struct event_base *base, struct net *net,
    struct spaces *spaces)
{
    const struct timeval second = { .tv_sec = 1 };

    *heartbeat = (struct heartbeat){ .net = net, .spaces = spaces, .seconds = 1,
        .watched = is_watched() };
    if (getenv("NOTIFY_SOCKET") == NULL)
        return 0;
    if (event_assign(&heartbeat->event, base, -1, EV_PERSIST, on_second, heartbeat) != 0 ||
        event_add(&heartbeat->event, &second) != 0)
        return -ENOMEM;
    heartbeat->started = true;
    return 0;
}

void
heartbeat_stop(struct heartbeat *heartbeat)
{
    if (heartbeat->started)
        event_del(&heartbeat->event);
    heartbeat->started = false;
}
