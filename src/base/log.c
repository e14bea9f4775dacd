/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* One per process because stderr is; relaxed, it orders nothing. */
static _Atomic int verbosity_now;

void
log_set_verbosity(int verbosity)
{
    atomic_store_explicit(&verbosity_now, verbosity, memory_order_relaxed);
}

int
log_verbosity(void)
{
    return atomic_load_explicit(&verbosity_now, memory_order_relaxed);
}

/* One thread at a time, so that the room that poll() has seen is there for the write. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static unsigned long lost; /* lines, since the last that was written; guarded by `writing` */

/* Would a write of a line wait? A pipe or a socket that has room has it for a whole one. */
static bool
would_wait(void)
{
    struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

    return poll(&out, 1, 0) == 0;
}

static void
put_locked(const char *line, size_t len)
{
    char note[64];

    if (lost > 0 && !would_wait()) {
        int note_len = snprintf(note, sizeof note, "%lu lines are lost\n", lost);
        ssize_t noted = write(STDERR_FILENO, note, (size_t)note_len);
        (void)noted;
        lost = 0;
    }
    if (lost > 0 || would_wait()) {
        lost++;
        return;
    }
    /* There is nobody to tell when stderr itself fails. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}

void
log_line(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list arguments;

    if (!log_shows(level))
        return;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (len < 0)
        return;
    if (len > (int)sizeof line - 2)
        len = (int)sizeof line - 2;
    line[len] = '\n';
    pthread_mutex_lock(&writing);
    put_locked(line, (size_t)len + 1);
    pthread_mutex_unlock(&writing);
}
