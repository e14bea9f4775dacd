/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.h - a report of fields, made in steps while it is sent.
 *
 *   step 1: class 1's fields | step 2: class 2's fields | ... | END
 *
 * A report owns a cursor and no text. Each step writes a bounded number of fields; one
 * that finds no room is taken back and made anew when the outbox has been sent, with the
 * figures of that moment. So ten thousand unread reports cost about a megabyte.
 */
#ifndef LARDER_ADMIN_REPORT_H
#define LARDER_ADMIN_REPORT_H

#include "admin/inside.h"
#include "admin/sink.h"
#include "base/stream.h"

struct report {
    struct stream stream;
    struct admin *admin;
    struct store_thread *thread; /* of the worker that asks */
    const struct admin_form *form; /* NULL: text */
    uint32_t tag;
    uint64_t cursor; /* the step's own; 0 at first */
    /* Writes the next part, at most about half an outbox, and moves the cursor on. False:
     * this was the last. */
    bool (*step)(struct report *report, struct stat_sink *sink);
    void (*fini)(struct report *report); /* NULL, or frees `state` */
    void *state;
};

typedef bool (*report_step_fn)(struct report *report, struct stat_sink *sink);

/* Answers with a report made by `step`. */
void report_start(struct ask *ask, report_step_fn step);

/* The same with a state of its own, which `fini` frees. */
void report_start_with(struct ask *ask, report_step_fn step, void *state,
    void (*fini)(struct report *report));

#endif
