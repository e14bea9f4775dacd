/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.h - the answer to `stats ...`, read whole and taken apart.
 *
 * Rows are kept in the server's order. A report of more than REPORT_BYTES or
 * REPORT_ROWS is refused: no honest one comes near.
 */
#ifndef LARDER_CTL_REPORT_H
#define LARDER_CTL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "ctl/link.h"

#define REPORT_BYTES (32u << 20)
#define REPORT_ROWS  (1u << 20)

enum report_kind {
    REPORT_STAT,   /* STAT name value */
    REPORT_PREFIX, /* PREFIX name value; the value is "get 1 hit 2 set 3 del 4" */
    REPORT_ITEM,   /* ITEM name value; the value is "[5 b; 6 s]" */
};

struct report_row {
    enum report_kind kind;
    struct slice name, value; /* in the report's own memory */
};

struct report {
    struct report_row *rows;
    size_t n, room;
    struct report_piece *pieces; /* the text of the rows */
};

/* Asks for `stats WHAT` ("" for the general one) and reads the answer. RESET and OK are
 * answers without rows. CTL_REFUSED and CTL_UNREACHABLE: `why` (CTL_WHY_MAX bytes) says
 * why; nothing needs to be freed. One link_step(). */
enum ctl_status report_fetch(struct report *report_out, struct link *link, const char *what,
    char *why);

/* Takes apart one line of an answer; false: it is of none of the kinds. */
bool report_row(struct slice line, struct report_row *row_out);

void report_free(struct report *report);

/* The value of a STAT; empty when there is none. */
struct slice report_find(const struct report *report, const char *name);
/* The same as a number; 0 when there is none. */
uint64_t report_u64(const struct report *report, const char *name);
/* The same for numbers with a fraction. */
double report_real(const struct report *report, const char *name);

/* Reads digits, and optionally a point and more digits. 0 for anything else. */
double report_parse_real(struct slice text);

#endif
