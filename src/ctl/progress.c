/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

#define EVERY_MICROS 200000u

void
progress_begin(struct progress *progress, const struct args *args, const char *verb,
    uint64_t total)
{
    *progress = (struct progress){ .verb = verb, .total = total };
    progress->shown = !args->quiet && (args->progress || isatty(STDERR_FILENO));
    progress->began = clock_micros();
    progress->next = progress->began + EVERY_MICROS;
}

void
progress_tell(struct progress *progress, uint64_t items, uint64_t bytes)
{
    char size[PROGRESS_SIZE_MAX], part[32] = "";
    uint64_t now;
    double seconds;

    if (!progress->shown)
        return;
    now = clock_micros();
    if (now < progress->next)
        return;
    progress->next = now + EVERY_MICROS;
    seconds = (double)(now - progress->began) / 1e6;
    /* Items come and go meanwhile, so there may be more than there were. */
    if (progress->total > items)
        snprintf(part, sizeof part, " (%u %%)",
            (unsigned)((double)items / (double)progress->total * 100));
    fprintf(stderr, "\r%s %" PRIu64 " items%s, %s%s%.0f items/s    ", progress->verb, items,
        part, bytes > 0 ? progress_size(size, bytes) : "", bytes > 0 ? ", " : "",
        (double)items / seconds);
}

void
progress_end(struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r%79s\r", "");
}

char *
progress_size(char to[PROGRESS_SIZE_MAX], uint64_t bytes)
{
    static const char *const UNITS[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double size = (double)bytes;
    unsigned unit = 0;

    while (size >= 1024 && unit + 1 < sizeof UNITS / sizeof UNITS[0]) {
        size /= 1024;
        unit++;
    }
    snprintf(to, PROGRESS_SIZE_MAX, unit == 0 || size >= 1000 ? "%.0f %s" : "%.1f %s",
        size, UNITS[unit]);
    return to;
}
