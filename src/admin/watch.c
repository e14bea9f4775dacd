/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watch.c - see watch.h.
 *
 * A watcher is a stream of its session (base/stream.h). Its buffer is a ring that the
 * thread fills and the session's worker empties, without a lock between them; `lock` is
 * for coming and going, and keeps a watcher from being freed while the thread looks at it.
 *
 * A watcher whose buffer is empty says that it sleeps and looks once more; the thread puts
 * a line and then looks whether the watcher sleeps: one of the two sees the other.
 */
#include "admin/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/inside.h"
#include "admin/watch_line.h"
#include "base/assert.h"
#include "base/ring.h"

/* Events taken before those who come or go may have the lock. */
#define BATCH 128u
/* The thread lets events gather, so that a busy worker need not wake it for each. */
#define GATHER_US 2000
#define SKIPPED_MAX 40u

struct watcher {
    struct stream stream; /* first: a watcher is one */
    struct watch *watch;
    struct watcher *next; /* guarded by watch->lock */
    unsigned streams;     /* bits of journal streams */
    struct ring ring;     /* lines; the thread puts, the session's worker takes */
    uint64_t skipped;     /* since the last line; the thread's */
    _Atomic bool asleep;  /* its worker wants to be woken for the next line */
    void (*wake)(void *handle);
    void *wake_handle;
};

struct watch {
    struct journal *journal;
    uint32_t buffer_size;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
    pthread_mutex_t lock; /* guards the rest */
    struct watcher *watchers;
    struct watch_figures figures; /* since the start, the journal's apart */
    struct watch_figures before;  /* all as of the last reset */
};

struct watch *
watch_create(struct journal *journal, uint32_t buffer_size)
{
    struct watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return NULL;
    watch->journal = journal;
    watch->buffer_size = buffer_size;
    pthread_mutex_init(&watch->lock, NULL);
    return watch;
}

void
watch_destroy(struct watch *watch)
{
    assert(watch->watchers == NULL);
    if (watch->running) {
        atomic_store(&watch->stop, true);
        journal_wake(watch->journal);
        pthread_join(watch->thread, NULL);
    }
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* ---- The thread -------------------------------------------------------------------- */

static void
put_text(struct watcher *watcher, const char *text, size_t len)
{
    ring_write(&watcher->ring, 0, text, len);
    ring_commit(&watcher->ring, len);
}

static void
put_line_locked(struct watch *watch, struct watcher *watcher, const char *line, size_t len)
{
    char skipped[SKIPPED_MAX];
    size_t more = 0;

    if (watcher->skipped > 0)
        more = (size_t)snprintf(
            skipped, sizeof skipped, "skipped=%" PRIu64 "\n", watcher->skipped);
    if (ring_room(&watcher->ring) < more + len) {
        watcher->skipped++;
        watch->figures.watcher_skipped++;
        return;
    }
    if (more > 0)
        put_text(watcher, skipped, more);
    put_text(watcher, line, len);
    watcher->skipped = 0;
    watch->figures.watcher_sent++;
}

/* Takes some events. True: there may be more. */
static bool
tell_some(struct watch *watch)
{
    char text[JOURNAL_TEXT_MAX], line[WATCH_LINE_MAX];
    struct journal_event event = { .kind = JOURNAL_GET };
    unsigned n = 0;

    pthread_mutex_lock(&watch->lock);
    while (n < BATCH && journal_take(watch->journal, &event, text)) {
        size_t len = watch_line(&event, text, line);

        n++;
        for (struct watcher *w = watch->watchers; w != NULL; w = w->next)
            if ((w->streams & JOURNAL_BIT(event.stream)) != 0)
                put_line_locked(watch, w, line, len);
    }
    atomic_thread_fence(memory_order_seq_cst); /* pairs with watcher_fill() */
    for (struct watcher *w = watch->watchers; w != NULL; w = w->next)
        if (ring_used(&w->ring) > 0 && atomic_exchange(&w->asleep, false))
            w->wake(w->wake_handle);
    pthread_mutex_unlock(&watch->lock);
    return n == BATCH;
}

static void *
watch_main(void *context)
{
    const struct timespec gather = { .tv_nsec = GATHER_US * 1000 };
    struct watch *watch = context;

    pthread_setname_np(pthread_self(), "watch");
    while (!atomic_load(&watch->stop)) {
        journal_wait(watch->journal);
        nanosleep(&gather, NULL);
        while (tell_some(watch))
            ;
    }
    return NULL;
}

int
watch_start(struct watch *watch)
{
    int error = pthread_create(&watch->thread, NULL, watch_main, watch);

    watch->running = error == 0;
    return -error;
}

/* ---- A watcher --------------------------------------------------------------------- */

static bool
watcher_fill(struct stream *stream, struct outbox *out)
{
    struct watcher *watcher = (struct watcher *)stream;
    size_t len = ring_used(&watcher->ring), room = outbox_room(out);

    if (len == 0) {
        atomic_store(&watcher->asleep, true);
        atomic_thread_fence(memory_order_seq_cst); /* pairs with tell_some() */
        len = ring_used(&watcher->ring);
        if (len == 0)
            return true;
        atomic_store(&watcher->asleep, false);
    }
    if (len > room)
        len = room;
    ring_peek(&watcher->ring, 0, outbox_tail(out), len);
    ring_take(&watcher->ring, len);
    outbox_grow(out, len);
    return true;
}

static unsigned
wanted_locked(const struct watch *watch)
{
    unsigned wanted = 0;

    for (const struct watcher *w = watch->watchers; w != NULL; w = w->next)
        wanted |= w->streams;
    return wanted;
}

static void
watcher_close(struct stream *stream)
{
    struct watcher *watcher = (struct watcher *)stream;
    struct watch *watch = watcher->watch;
    struct watcher **link = &watch->watchers;

    pthread_mutex_lock(&watch->lock);
    while (*link != watcher)
        link = &(*link)->next;
    *link = watcher->next;
    watch->figures.watchers--;
    journal_want(watch->journal, wanted_locked(watch));
    pthread_mutex_unlock(&watch->lock);
    ring_fini(&watcher->ring);
    free(watcher);
}

static struct watcher *
make_watcher(struct watch *watch, const struct admin_request *request, unsigned streams)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);

    if (watcher == NULL)
        return NULL;
    watcher->stream = (struct stream){ .fill = watcher_fill, .close = watcher_close, .live = true };
    watcher->watch = watch;
    watcher->streams = streams;
    watcher->wake = request->wake;
    watcher->wake_handle = request->wake_handle;
    if (ring_init(&watcher->ring, watch->buffer_size))
        return watcher;
    free(watcher);
    return NULL;
}

/* False: there are too many. */
static bool
admit(struct watch *watch, struct watcher *watcher)
{
    bool admitted;

    pthread_mutex_lock(&watch->lock);
    admitted = watch->figures.watchers < WATCHERS_MAX;
    if (admitted) {
        watcher->next = watch->watchers;
        watch->watchers = watcher;
        watch->figures.watchers++;
        journal_want(watch->journal, wanted_locked(watch));
    }
    pthread_mutex_unlock(&watch->lock);
    return admitted;
}

/* The bits of the streams that are named, fetchers if none is; 0: there is no such. */
static unsigned
streams_of(const struct words *words)
{
    static const char *const NAMES[] = {
#define X(id, name) name,
        JOURNAL_STREAMS(X)
#undef X
    };
    unsigned streams = 0;

    for (unsigned i = 0; i < words->n; i++) {
        unsigned s = 0;

        while (s < JOURNAL_STREAM_COUNT && !words_is(words, i, NAMES[s]))
            s++;
        if (s == JOURNAL_STREAM_COUNT)
            return 0;
        streams |= JOURNAL_BIT(s);
    }
    return words->n == 0 ? JOURNAL_BIT(JOURNAL_FETCHERS) : streams;
}

void
watch_run(struct ask *ask)
{
    struct watch *watch = ask->admin->watch;
    unsigned streams = streams_of(&ask->words);
    struct watcher *watcher;

    if (!ask->admin->parts.options->watch_allowed) {
        ask_reply(ask, "CLIENT_ERROR watch commands not allowed");
        return;
    }
    if (ask->request->pending) {
        ask_reply(ask, "ERROR cannot pipeline other commands before watch");
        return;
    }
    if (streams == 0) {
        ask_reply(ask, "ERROR");
        return;
    }
    /* Nobody can be woken over UDP. */
    watcher = watch == NULL || ask->request->wake_handle == NULL
        ? NULL
        : make_watcher(watch, ask->request, streams);
    if (watcher == NULL) {
        ask_reply(ask, "WATCHER_FAILED failed to add log watcher");
        return;
    }
    if (!admit(watch, watcher)) {
        ring_fini(&watcher->ring);
        free(watcher);
        ask_reply(ask, "WATCHER_TOO_MANY log watcher limit reached");
        return;
    }
    ask_reply(ask, "OK");
    ask_stream(ask, &watcher->stream);
}

/* ---- Figures ------------------------------------------------------------------------- */

static void
figures_locked(struct watch *watch, struct watch_figures *figures_out)
{
    struct journal_counts counts;

    journal_count(watch->journal, &counts);
    *figures_out = watch->figures;
    figures_out->worker_dropped = counts.dropped;
    figures_out->worker_written = counts.written;
}

void
watch_figures(struct watch *watch, struct watch_figures *figures_out)
{
    const struct watch_figures *before = &watch->before;

    pthread_mutex_lock(&watch->lock);
    figures_locked(watch, figures_out);
    figures_out->worker_dropped -= before->worker_dropped;
    figures_out->worker_written -= before->worker_written;
    figures_out->watcher_skipped -= before->watcher_skipped;
    figures_out->watcher_sent -= before->watcher_sent;
    pthread_mutex_unlock(&watch->lock);
}

void
watch_reset(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    figures_locked(watch, &watch->before);
    pthread_mutex_unlock(&watch->lock);
}
