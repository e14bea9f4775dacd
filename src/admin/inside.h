/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inside.h - what the files of this layer share.
 */
#ifndef LARDER_ADMIN_INSIDE_H
#define LARDER_ADMIN_INSIDE_H

#include <stdatomic.h>

#include "admin/admin.h"
#include "admin/baseline.h"
#include "admin/prefix.h"
#include "admin/tunables.h"
#include "admin/watch.h"
#include "admin/words.h"

struct admin {
    struct admin_parts parts;
    struct tunables tunables;
    struct baseline baseline;
    struct prefix_table *prefixes;
    struct watch *watch; /* NULL: nothing can be watched */
    _Atomic unsigned histograms; /* reports under way that need memory of their own */
};
#define HISTOGRAMS_MAX 8u

/* One command being answered. */
struct ask {
    struct admin *admin;
    const struct admin_request *request;
    struct words words;
    struct outbox *out;
    struct admin_answer *answer;
};

/* Answers with one line; `line` comes without its CR LF. With a form this is a refusal. */
void ask_reply(struct ask *ask, const char *line);
/* The same, of something that was done: with a form it is an empty report. */
void ask_done(struct ask *ask, const char *line);
/* Answers that there is no memory for a report. */
void ask_no_memory(struct ask *ask);

/* Answers with `stream`, which is taken: what fits goes to the outbox now, and if there
 * is more the stream goes with the answer. */
void ask_stream(struct ask *ask, struct stream *stream);

#endif
