/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - lines for the operator, on stderr.
 *
 * Any thread may log. A line goes out in one write, so that lines of different threads
 * never mix; what does not fit into LOG_LINE_MAX bytes is cut. Nothing is buffered, and
 * nobody waits: where stderr is a pipe or a terminal that takes no more, lines are lost, and
 * the next one that is taken comes behind a word of how many. Otherwise whoever can raise the
 * verbosity could stop a server whose log is not read.
 * How much is said is the process's, as stderr is: `-v` sets it at start and the
 * `verbosity` command changes it while serving.
 */
#ifndef LARDER_BASE_LOG_H
#define LARDER_BASE_LOG_H

#include <stdbool.h>

/* Longest line, its newline included. */
#define LOG_LINE_MAX 1024

enum log_level {
    LOG_ALWAYS,  /* problems; shown without any -v */
    LOG_NOTICE,  /* -v: starts, stops, reloads, warnings */
    LOG_CLIENT,  /* -vv: connections that come and go */
    LOG_DETAIL,  /* -vvv */
};

/* Any number; at most INT_MAX. */
void log_set_verbosity(int verbosity);
int log_verbosity(void);

static inline bool
log_shows(enum log_level level)
{
    return (int)level <= log_verbosity();
}

/* Writes one line, to which a newline is added, if the verbosity is at least `level`. */
void log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
