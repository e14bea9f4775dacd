/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
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
    /* There is nobody to tell when stderr itself fails. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)len + 1);
    (void)written;
}
