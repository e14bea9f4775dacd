/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * output.h - where a dump goes: stdout, or a file that appears under its name only when
 * it is whole. The file is for its owner alone, as sessions are in it.
 */
#ifndef LARDER_CTL_OUTPUT_H
#define LARDER_CTL_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

struct output {
    FILE *to;
    const char *path; /* NULL: stdout */
    char temporary[PATH_MAX];
};

/* `path` NULL or "-": stdout. False: complained. */
bool output_open(struct output *output, const char *path);
/* Has everything been written so far? */
bool output_good(const struct output *output);
/* `whole`: gives the file its name; else removes it. False: it could not be written, and
 * that was complained about. */
bool output_close(struct output *output, bool whole);

#endif
