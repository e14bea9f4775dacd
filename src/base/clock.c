/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include "base/assert.h"

static struct timespec
read_clock(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);

    assert(rc == 0);
    return ts;
}

void
clock_start(struct clock *clock)
{
    clock->epoch = (int64_t)read_clock(CLOCK_BOOTTIME).tv_sec - (int64_t)CLOCK_FIRST;
}

uint32_t
clock_seconds(const struct clock *clock)
{
    return (uint32_t)((int64_t)read_clock(CLOCK_BOOTTIME).tv_sec - clock->epoch);
}

uint64_t
clock_micros(void)
{
    struct timespec ts = read_clock(CLOCK_MONOTONIC);

    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t
clock_nanos(void)
{
    struct timespec ts = read_clock(CLOCK_MONOTONIC);

    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int64_t
clock_to_unix(uint32_t seconds, uint32_t now)
{
    return (int64_t)read_clock(CLOCK_REALTIME).tv_sec + (int64_t)seconds - (int64_t)now;
}

uint32_t
clock_exptime(int64_t exptime, uint32_t now)
{
    int64_t at;

    if (exptime == 0)
        return EXPTIME_NEVER;
    if (exptime < 0)
        return EXPTIME_PAST;
    if (exptime <= EXPTIME_RELATIVE_MAX) {
        at = (int64_t)now + exptime;
    } else {
        /* An absolute time refers to the wall clock as it is now, not as it was at the
         * start: it may have been set since. */
        int64_t unix_now = clock_to_unix(now, now);
        if (exptime - unix_now > (int64_t)UINT32_MAX)
            return EXPTIME_NEVER;
        at = (int64_t)now + (exptime - unix_now);
    }
    if (at <= (int64_t)EXPTIME_PAST)
        return EXPTIME_PAST;
    return at > (int64_t)UINT32_MAX ? EXPTIME_NEVER : (uint32_t)at;
}
