/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * note.h - what goes with a store from one server to the next: its clock and the totals.
 *
 * A text, one "name value" a line, so that a server of another version takes what it
 * knows and no more.
 */
#ifndef LARDER_MAIN_NOTE_H
#define LARDER_MAIN_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/slice.h"
#include "net/net.h"

struct note {
    struct clock_stamp stamp;
    struct counts counts;     /* of the commands of its namespace */
    struct counts net_counts; /* of the network, which all share: told with the default one */
    struct net_totals totals; /* likewise */
    uint64_t takeovers; /* servers before this one whose store went on */
};

/* The text, on the heap; NULL: out of memory. */
char *note_write(const struct note *note, size_t *len_out);
/* False: no clock is told, without which the times of items mean nothing. What is not
 * told is 0. */
bool note_read(struct note *note_out, struct slice text);

#endif
