/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * progress.h - one line on stderr that says how far a long work is.
 */
#ifndef LARDER_CTL_PROGRESS_H
#define LARDER_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/args.h"

struct progress {
    const char *verb; /* "dumped" */
    bool shown;
    uint64_t total; /* items there will be; 0: nobody knows */
    uint64_t began, next; /* clock_micros() */
};

/* Decides whether to show any: if stderr is a terminal, or as the options say. */
void progress_begin(struct progress *progress, const struct args *args, const char *verb,
    uint64_t total);
/* Shows it if it is time to. Cheap enough for each item. */
void progress_tell(struct progress *progress, uint64_t items, uint64_t bytes);
/* Takes the line away. */
void progress_end(struct progress *progress);

/* A size as people read it: 12.3 MiB. Returns `to`. */
#define PROGRESS_SIZE_MAX 24
char *progress_size(char to[PROGRESS_SIZE_MAX], uint64_t bytes);

#endif
