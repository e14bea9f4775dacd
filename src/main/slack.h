/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slack.h - memory that clients have left behind goes back to the system.
 *
 * What is kept for connections (themselves, parts of commands, replies on their way)
 * comes from the C library's allocator, which keeps what is freed for the next of that
 * size. After ten thousand clients with eight kilobytes each have left, that is 80 MB
 * which nobody asks for again, on top of all that is promised of the process (bound.h).
 * Returning it with every free would be paid for by those who come and go; so once a
 * second what is in memory is compared with what should be, and if that is much more, all
 * that is free is returned at once.
 */
#ifndef LARDER_MAIN_SLACK_H
#define LARDER_MAIN_SLACK_H

#include <stdbool.h>
#include <stdint.h>

/* So much more than expected is not worth the walk through the allocator's lists. */
#define SLACK_BYTES (UINT64_C(1) << 20)
/* Seconds from one walk to the next, at least; twice as long after each, up to the most,
 * while it is still about the same that was not returned. */
#define SLACK_SECONDS      5u
#define SLACK_SECONDS_MOST 600u

/* All zero at first. */
struct slack {
    uint64_t excess; /* what was beyond the expected at the last walk */
    uint32_t last;   /* second of it; 0: there was none */
    uint32_t wait;   /* seconds until the next one */
};

/* Sets what the allocator may keep at the end of each worker's part of its memory. Before
 * any thread is started. */
void slack_limit(void);

/* `resident` bytes are in memory, and `expected` should be. True: it is time to return
 * some. */
bool slack_due(struct slack *slack, uint64_t resident, uint64_t expected, uint32_t now);

/* Returns memory if it is time. To be called about once a second. A worker that needs the
 * allocator meanwhile waits, a few milliseconds for 100 MB. */
void slack_keep(struct slack *slack, uint64_t resident, uint64_t expected, uint32_t now);

#endif
