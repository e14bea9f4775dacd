/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* Longer than this no server is away: 34 years. */
#define AWAY_MAX (INT64_C(1) << 30)
/* What a clock that is taken over may show at most: it has to have a future. */
#define RESUMED_MAX (INT64_C(1) << 31)

static struct timespec
read_clock(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);

    assert(rc == 0);
    return ts;
}

static void
read_boot(char boot[CLOCK_BOOT_MAX])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    boot[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(boot, CLOCK_BOOT_MAX, file) == NULL)
        boot[0] = '\0';
    boot[strcspn(boot, " \n")] = '\0';
    fclose(file);
}

void
clock_start(struct clock *clock)
{
    clock->epoch = (int64_t)read_clock(CLOCK_BOOTTIME).tv_sec - (int64_t)CLOCK_FIRST;
    read_boot(clock->boot);
}

void
clock_stamp(const struct clock *clock, struct clock_stamp *stamp)
{
    *stamp = (struct clock_stamp){ .epoch = clock->epoch,
        .seconds = clock_seconds(clock),
        .unix_seconds = (int64_t)read_clock(CLOCK_REALTIME).tv_sec };
    memcpy(stamp->boot, clock->boot, sizeof stamp->boot);
}

bool
clock_resume(struct clock *clock, const struct clock_stamp *stamp)
{
    int64_t now = (int64_t)read_clock(CLOCK_BOOTTIME).tv_sec, shows;

    if (stamp->boot[0] != '\0' && strcmp(stamp->boot, clock->boot) == 0) {
        if (__builtin_sub_overflow(now, stamp->epoch, &shows))
            return false;
    } else {
        int64_t away;
        if (__builtin_sub_overflow((int64_t)read_clock(CLOCK_REALTIME).tv_sec,
                stamp->unix_seconds, &away) || away < 0)
            away = 0;
        shows = (int64_t)stamp->seconds + (away < AWAY_MAX ? away : AWAY_MAX);
    }
    if (shows < (int64_t)stamp->seconds || shows < (int64_t)CLOCK_FIRST ||
        shows > RESUMED_MAX)
        return false;
    clock->epoch = now - shows;
    return true;
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
