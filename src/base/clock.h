/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock.h - the server's own clock: whole seconds that never run backwards.
 *
 * Item times are seconds since `epoch`, which lies CLOCK_FIRST seconds before the
 * server's start, so that 0 can mean "never" and no item is older than the clock. The
 * clock runs on CLOCK_BOOTTIME: setting the wall clock neither revives nor kills items,
 * and time spent suspended counts.
 */
#ifndef LARDER_BASE_CLOCK_H
#define LARDER_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* What clock_seconds() shows at start. */
#define CLOCK_FIRST 2u

/* Room for the name that the kernel gives to the time from one boot to the next. */
#define CLOCK_BOOT_MAX 40

struct clock {
    int64_t epoch; /* CLOCK_BOOTTIME second that is second 0 of this clock */
    char boot[CLOCK_BOOT_MAX]; /* which boot that is; empty: not known */
};

/* Starts the clock: now is CLOCK_FIRST. */
void clock_start(struct clock *clock);

/* A clock as it stands, for another process to go on with. */
struct clock_stamp {
    char boot[CLOCK_BOOT_MAX];
    int64_t epoch;
    uint32_t seconds;     /* what it shows */
    int64_t unix_seconds; /* what the wall clock shows */
};
void clock_stamp(const struct clock *clock, struct clock_stamp *stamp_out);

/*
 * Sets a started clock to what the stamped one would show now: the time between counts.
 * After a reboot only the wall clock can tell how long that was; if that has been set back,
 * no time has passed. False: the stamp makes no sense, and the clock is as it was.
 */
bool clock_resume(struct clock *clock, const struct clock_stamp *stamp);

/* Seconds now. A system call without a kernel entry; call once per turn, not per item. */
uint32_t clock_seconds(const struct clock *clock);

/* CLOCK_MONOTONIC in microseconds, for intervals. */
uint64_t clock_micros(void);

/* The same in nanoseconds. */
uint64_t clock_nanos(void);

/* The wall clock's second that `seconds` stand for, when the server's clock shows `now`;
 * taken from the wall clock as it is now. */
int64_t clock_to_unix(uint32_t seconds, uint32_t now);

/* Expiry values. */
#define EXPTIME_NEVER 0u
#define EXPTIME_PAST 1u                  /* already over at CLOCK_FIRST */
#define EXPTIME_RELATIVE_MAX 2592000     /* 30 days; larger numbers are Unix times */

/*
 * Turns a protocol's expiry number into a second of this clock: 0 is never
 * (EXPTIME_NEVER), negative is already over (EXPTIME_PAST), up to 30 days counts from
 * `now`, larger is an absolute Unix time. Times beyond the clock's end are never.
 */
uint32_t clock_exptime(int64_t exptime, uint32_t now);

#endif
