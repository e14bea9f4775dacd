/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/report.h"

#include <stdlib.h>

#include "base/assert.h"

/* What one call does, some 0.2 ms at most; then the worker's other connections have their turn. */
#define FILL_STEPS 32u
#define FILL_BYTES 4096u

/* One step; true when it is in the outbox. *more_out: others follow. */
static bool
try_step(struct report *report, struct outbox *out, bool *more_out)
{
    struct text_sink text;
    struct form_sink form;
    struct stat_sink *sink = report->form == NULL ? &text.sink : &form.sink;
    uint32_t mark = out->used;
    uint64_t cursor = report->cursor;

    text_sink_init(&text, out);
    form_sink_init(&form, out, report->form, report->tag);
    *more_out = report->step(report, sink);
    if (!*more_out)
        sink->end(sink);
    if (!sink->full)
        return true;
    /* A step fits an empty outbox, else the report would never end. */
    assert(mark > 0);
    out->used = mark;
    report->cursor = cursor;
    return false;
}

static bool
report_fill(struct stream *stream, struct outbox *out)
{
    struct report *report = (struct report *)stream;
    uint32_t enough = out->used + FILL_BYTES;
    bool more = true;

    for (unsigned i = 0; i < FILL_STEPS && out->used < enough && more; i++)
        if (!try_step(report, out, &more))
            return true;
    return more;
}

static void
report_close(struct stream *stream)
{
    struct report *report = (struct report *)stream;

    if (report->fini != NULL)
        report->fini(report);
    free(report);
}

void
report_start_with(struct ask *ask, report_step_fn step, void *state,
    void (*fini)(struct report *report))
{
    struct report *report = malloc(sizeof *report);
    struct report made = {
        .stream = { .fill = report_fill, .close = report_close },
        .admin = ask->admin,
        .thread = ask->request->thread,
        .form = ask->request->form,
        .tag = ask->request->tag,
        .step = step,
        .fini = fini,
        .state = state,
    };

    if (report == NULL) {
        if (fini != NULL)
            fini(&made);
        ask_no_memory(ask);
        return;
    }
    *report = made;
    ask_stream(ask, &report->stream);
}

void
report_start(struct ask *ask, report_step_fn step)
{
    report_start_with(ask, step, NULL, NULL);
}
