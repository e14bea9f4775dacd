/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/admin.h"

#include <stdlib.h>
#include <string.h>

#include "admin/control.h"
#include "admin/inside.h"
#include "admin/stats.h"
#include "base/assert.h"

struct admin *
admin_create(const struct admin_parts *parts)
{
    struct admin *admin = calloc(1, sizeof *admin);

    if (admin == NULL)
        return NULL;
    admin->parts = *parts;
    admin->prefixes = prefix_create(
        parts->store, parts->options->prefix_delimiter, parts->options->detail_enabled);
    if (admin->prefixes == NULL) {
        free(admin);
        return NULL;
    }
    if (parts->journal != NULL) {
        admin->watch = watch_create(parts->journal, parts->options->watcher_logbuf_size);
        if (admin->watch == NULL) {
            prefix_destroy(admin->prefixes);
            free(admin);
            return NULL;
        }
    }
    tunables_init(&admin->tunables, parts->options);
    baseline_init(&admin->baseline);
    atomic_init(&admin->histograms, 0);
    return admin;
}

void
admin_destroy(struct admin *admin)
{
    assert(atomic_load(&admin->histograms) == 0);
    if (admin->watch != NULL)
        watch_destroy(admin->watch);
    baseline_fini(&admin->baseline);
    prefix_destroy(admin->prefixes);
    free(admin);
}

void
admin_update(struct admin *admin, const struct options *options)
{
    TUNABLE_SET(&admin->tunables, verbosity, (unsigned)options->verbose);
    TUNABLE_SET(&admin->tunables, idle_timeout, (uint32_t)options->idle_timeout);
}

int
admin_start(struct admin *admin)
{
    return admin->watch == NULL ? 0 : watch_start(admin->watch);
}

void
admin_latency(struct admin *admin, struct latency_counts *counts_out)
{
    baseline_latency(&admin->baseline, &admin->parts, counts_out);
}

bool
admin_hotkeys(struct admin *admin, struct hotkeys_top *top_out)
{
    const struct admin_parts *parts = &admin->parts;

    memset(top_out, 0, sizeof *top_out);
    return parts->hotkeys == NULL || parts->hotkeys(parts->context, top_out);
}

void
ask_reply(struct ask *ask, const char *line)
{
    if (ask->request->form != NULL) {
        ask->answer->refusal = ADMIN_REFUSED;
        return;
    }
    outbox_put(ask->out, line, strlen(line));
    outbox_put(ask->out, "\r\n", 2);
}

void
ask_done(struct ask *ask, const char *line)
{
    const struct admin_request *request = ask->request;

    if (request->form != NULL)
        request->form->begin(ask->out, request->tag, slice_of(NULL, 0), 0);
    else
        ask_reply(ask, line);
}

void
ask_no_memory(struct ask *ask)
{
    ask_reply(ask, "SERVER_ERROR out of memory writing stats");
    if (ask->request->form != NULL)
        ask->answer->refusal = ADMIN_NO_MEMORY;
}

void
ask_stream(struct ask *ask, struct stream *stream)
{
    if (!ask->request->noreply && stream->fill(stream, ask->out))
        ask->answer->stream = stream;
    else
        stream->close(stream);
}

static void
run(void *context, const struct admin_request *request, struct outbox *out,
    struct admin_answer *answer)
{
    struct ask ask = {
        .admin = context,
        .request = request,
        .out = out,
        .answer = answer,
    };

    assert(outbox_room(out) >= ADMIN_ROOM);
    *answer = (struct admin_answer){ .stream = NULL };
    words_split(&ask.words, request->args);
    switch (request->verb) {
    case ADMIN_STATS:
        stats_run(&ask);
        break;
    case ADMIN_SLABS:
        control_slabs(&ask);
        break;
    case ADMIN_LRU:
        control_lru(&ask);
        break;
    case ADMIN_LRU_CRAWLER:
        control_lru_crawler(&ask);
        break;
    case ADMIN_CACHE_MEMLIMIT:
        control_memlimit(&ask);
        break;
    case ADMIN_VERBOSITY:
        control_verbosity(&ask);
        break;
    case ADMIN_SHUTDOWN:
        control_shutdown(&ask);
        break;
    case ADMIN_WATCH:
        watch_run(&ask);
        break;
    case ADMIN_REFRESH_CERTS:
        control_refresh_certs(&ask);
        break;
    case ADMIN_EXTSTORE: /* there is no external storage */
        ask_reply(&ask, "ERROR");
        break;
    }
}

static void
detail_get(void *context, struct slice key, bool hit)
{
    prefix_get(((struct admin *)context)->prefixes, key, hit);
}

static void
detail_set(void *context, struct slice key)
{
    prefix_set(((struct admin *)context)->prefixes, key);
}

static void
detail_delete(void *context, struct slice key)
{
    prefix_delete(((struct admin *)context)->prefixes, key);
}

void
admin_hook(struct admin *admin, struct admin_hook *hook_out)
{
    *hook_out = (struct admin_hook){
        .context = admin,
        .run = run,
        .detail_on = prefix_on(admin->prefixes),
        .detail_get = detail_get,
        .detail_set = detail_set,
        .detail_delete = detail_delete,
    };
}
