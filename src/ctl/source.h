/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * source.h - the file or pipe that a dump is read from.
 */
#ifndef LARDER_CTL_SOURCE_H
#define LARDER_CTL_SOURCE_H

#include <stdbool.h>

#include "base/slice.h"

#define SOURCE_BYTES (64u * 1024)

struct source {
    int fd;
    bool ended;
    int error; /* errno of a read that failed; 0: none */
    size_t at, end;
    /* Called before a read that may take its time, to send what waits; false: give up. */
    bool (*before_read)(void *context);
    void *context;
    char bytes[SOURCE_BYTES];
};

/* Takes over `fd`. */
void source_init(struct source *source, int fd, bool (*before_read)(void *context),
    void *context);

/* The next line without its LF, at most `max` bytes. It lives until the next call. False:
 * the end, an error (`error` is set), or a longer line. */
bool source_line(struct source *source, size_t max, struct slice *line_out)
    __attribute__((warn_unused_result));
/* The next 1 to `max` bytes. They live until the next call. False: the end or an error. */
bool source_bytes(struct source *source, size_t max, struct slice *bytes_out)
    __attribute__((warn_unused_result));

#endif
