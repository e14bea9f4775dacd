/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch_line.h - an event of the journal as a line of `watch`; doc/statistics.md shows
 * them all.
 */
#ifndef LARDER_ADMIN_WATCH_LINE_H
#define LARDER_ADMIN_WATCH_LINE_H

#include <stddef.h>

#include "base/journal.h"

/* Three bytes for each of a key, and the words around it. */
#define WATCH_LINE_MAX (3u * JOURNAL_TEXT_MAX + 512u)

/* Writes the line, its LF included, and returns its length. `text`: event->len bytes. */
size_t watch_line(const struct journal_event *event, const char *text,
    char line_out[WATCH_LINE_MAX]);

#endif
