/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wake.h - waking whoever waits for an eventfd.
 */
#ifndef LARDER_BASE_WAKE_H
#define LARDER_BASE_WAKE_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

/* `fd` is an eventfd that does not block. Nothing is lost: a write that a signal interrupts is
 * made again, since whoever waits may wait for ever, and one that finds the count full (EAGAIN)
 * has been made before. */
static inline void
wake_up(int fd)
{
    uint64_t one = 1;
    ssize_t put;

    do
        put = write(fd, &one, sizeof one);
    while (put < 0 && errno == EINTR);
}

#endif
