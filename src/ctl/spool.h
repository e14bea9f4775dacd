/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spool.h - the keys of a server, on disk, until their values have been fetched.
 *
 * Millions of keys do not belong into memory, and a server that lists them must not be
 * kept waiting: see dump.c. The file has no name, and is gone when the program is. It is
 * made in TMPDIR, or else in /var/tmp, which is on disk where /tmp may not be.
 */
#ifndef LARDER_CTL_SPOOL_H
#define LARDER_CTL_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/record.h"

struct spool {
    FILE *file;
    uint64_t keys; /* added so far */
};

/* False: errno says why. Pair with spool_close(). */
bool spool_open(struct spool *spool);
void spool_close(struct spool *spool);

/* False: the disk is full, most likely; errno says. */
bool spool_add(struct spool *spool, const struct record *record);
/* From now on keys are taken. False as spool_add(). */
bool spool_rewind(struct spool *spool);
/* The next key, the rest of *record_out zero. False: that was the last, or the file could
 * not be read (spool_failed()). */
bool spool_next(struct spool *spool, struct record *record_out);
bool spool_failed(const struct spool *spool);

#endif
