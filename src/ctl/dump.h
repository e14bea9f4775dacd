/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.h - keys and values of servers into a dump (record.h).
 */
#ifndef LARDER_CTL_DUMP_H
#define LARDER_CTL_DUMP_H

#include "ctl/args.h"
#include "ctl/record.h"

enum ctl_status dump_run(const struct args *args, const struct login *login);

/* Takes the key out of a line of `lru_crawler metadump`. False: it is no such line. */
bool dump_parse_key(struct slice line, struct record *record_out);

/* What `mg` says about a value before it comes. */
struct dump_head {
    uint64_t bytes;
    uint32_t flags;
    int64_t ttl; /* seconds; -1: for ever */
    bool stale;
};

/* Reads "VA 3 f0 t-1". False: it is something else. */
bool dump_parse_head(struct slice line, struct dump_head *head_out);

#endif
