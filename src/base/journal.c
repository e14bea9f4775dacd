/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal.c - see journal.h.
 *
 * A writer wakes the reader only when it has gone to sleep (`asleep`), so a burst of
 * events costs one system call. The reader says that it sleeps and then looks once more;
 * the writer puts its event and then looks whether the reader sleeps; both in sequentially
 * consistent order, so one of the two sees the other.
 */
#include "base/journal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/counters.h"
#include "base/ring.h"
#include "base/wake.h"

struct journal_writer {
    struct journal *journal;
    struct journal_writer *next;
    struct ring ring;
    counter written, dropped;
};

struct journal {
    uint32_t ring_size;
    int wake_fd;
    _Atomic unsigned wanted;
    _Atomic bool asleep;
    _Atomic uint64_t number;
    pthread_mutex_t lock; /* guards the next two; writers hold it only to come and go */
    struct journal_writer *writers;
    struct journal_counts gone; /* counts of writers that were closed */
};

struct journal *
journal_create(uint32_t ring_size)
{
    struct journal *journal = calloc(1, sizeof *journal);

    if (journal == NULL)
        return NULL;
    journal->ring_size = ring_size;
    journal->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (journal->wake_fd < 0) {
        int error = errno;
        free(journal);
        errno = error;
        return NULL;
    }
    pthread_mutex_init(&journal->lock, NULL);
    return journal;
}

void
journal_destroy(struct journal *journal)
{
    assert(journal->writers == NULL);
    pthread_mutex_destroy(&journal->lock);
    close(journal->wake_fd);
    free(journal);
}

struct journal_writer *
journal_open(struct journal *journal)
{
    struct journal_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return NULL;
    writer->journal = journal;
    if (!ring_init(&writer->ring, journal->ring_size)) {
        free(writer);
        return NULL;
    }
    pthread_mutex_lock(&journal->lock);
    writer->next = journal->writers;
    journal->writers = writer;
    pthread_mutex_unlock(&journal->lock);
    return writer;
}

void
journal_close(struct journal_writer *writer)
{
    struct journal *journal = writer->journal;
    struct journal_writer **link = &journal->writers;

    pthread_mutex_lock(&journal->lock);
    while (*link != writer)
        link = &(*link)->next;
    *link = writer->next;
    journal->gone.written += counter_get(&writer->written);
    journal->gone.dropped += counter_get(&writer->dropped);
    pthread_mutex_unlock(&journal->lock);
    ring_fini(&writer->ring);
    free(writer);
}

const _Atomic unsigned *
journal_wanted(const struct journal *journal)
{
    return &journal->wanted;
}

void
journal_want(struct journal *journal, unsigned streams)
{
    atomic_store_explicit(&journal->wanted, streams, memory_order_relaxed);
}

static uint64_t
unix_micros(void)
{
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);

    assert(rc == 0);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

void
journal_put(struct journal_writer *writer, struct journal_event *event, struct slice text)
{
    struct journal *journal = writer->journal;
    size_t len = text.len < JOURNAL_TEXT_MAX ? text.len : JOURNAL_TEXT_MAX;

    /* A number is taken for a dropped event too: whoever watches can see the gap. */
    event->number = atomic_fetch_add_explicit(&journal->number, 1, memory_order_relaxed);
    event->number++;
    event->len = (uint16_t)len;
    if (ring_room(&writer->ring) < sizeof *event + len) {
        counter_add(&writer->dropped, 1);
    } else {
        event->micros = unix_micros();
        ring_write(&writer->ring, 0, event, sizeof *event);
        ring_write(&writer->ring, sizeof *event, text.data, len);
        ring_commit(&writer->ring, sizeof *event + len);
        counter_add(&writer->written, 1);
    }
    atomic_thread_fence(memory_order_seq_cst); /* pairs with journal_wait() */
    if (atomic_load_explicit(&journal->asleep, memory_order_relaxed) &&
        atomic_exchange(&journal->asleep, false))
        journal_wake(journal);
}

/* ---- The reader ------------------------------------------------------------------- */

void
journal_wake(struct journal *journal)
{
    wake_up(journal->wake_fd);
}

static bool
is_empty(struct journal *journal)
{
    bool empty = true;

    pthread_mutex_lock(&journal->lock);
    for (const struct journal_writer *writer = journal->writers; writer != NULL;
         writer = writer->next)
        empty = empty && ring_used(&writer->ring) == 0;
    pthread_mutex_unlock(&journal->lock);
    return empty;
}

void
journal_wait(struct journal *journal)
{
    struct pollfd fd = { .fd = journal->wake_fd, .events = POLLIN };
    uint64_t count;

    atomic_store(&journal->asleep, true);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with journal_put() */
    if (is_empty(journal))
        (void)poll(&fd, 1, -1); /* EINTR: the caller looks again */
    atomic_store(&journal->asleep, false);
    ssize_t got = read(journal->wake_fd, &count, sizeof count);
    (void)got; /* EAGAIN: nobody has woken us */
}

bool
journal_take(struct journal *journal, struct journal_event *event_out,
    char text_out[JOURNAL_TEXT_MAX])
{
    struct journal_writer *oldest = NULL;
    struct journal_event event;

    pthread_mutex_lock(&journal->lock);
    for (struct journal_writer *writer = journal->writers; writer != NULL;
         writer = writer->next) {
        if (ring_used(&writer->ring) == 0)
            continue;
        ring_peek(&writer->ring, 0, &event, sizeof event);
        if (oldest != NULL && event.number > event_out->number)
            continue;
        oldest = writer;
        *event_out = event;
    }
    if (oldest != NULL) {
        ring_peek(&oldest->ring, sizeof event, text_out, event_out->len);
        ring_take(&oldest->ring, sizeof event + event_out->len);
    }
    pthread_mutex_unlock(&journal->lock);
    return oldest != NULL;
}

void
journal_count(struct journal *journal, struct journal_counts *counts_out)
{
    pthread_mutex_lock(&journal->lock);
    *counts_out = journal->gone;
    for (const struct journal_writer *writer = journal->writers; writer != NULL;
         writer = writer->next) {
        counts_out->written += counter_get(&writer->written);
        counts_out->dropped += counter_get(&writer->dropped);
    }
    pthread_mutex_unlock(&journal->lock);
}
