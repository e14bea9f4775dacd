/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leave.c - leaving a store in its file for another process.
 *
 * Nearly all of it lies there already. What does not is written behind the arena (saved.c),
 * sums are made, and at last the header says that the file is whole. In a file on a disk each
 * of these steps is durable before the next begins, so that after a power cut the header does
 * not speak of what never arrived; memory files are gone then in any case.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/header.h"
#include "store/saved.h"

/* Totals of all threads, and what they keep to themselves goes where all see it. NULL: out of
 * memory. */
static struct store_thread *
sum_up(struct store *store)
{
    struct store_thread *sums = calloc(1, sizeof *sums);

    for (struct store_thread *thread = store->threads; thread != NULL && sums != NULL;
         thread = thread->next) {
        store->table.items += thread->items_unflushed;
        thread->items_unflushed = 0;
        counter_add(&sums->items_total, counter_get(&thread->items_total));
        counter_add(&sums->direct_reclaims, counter_get(&thread->direct_reclaims));
        counter_add(&sums->asked, counter_get(&thread->asked));
        for (unsigned id = 0; id < SLAB_CLASSES_MAX; id++) {
            counter_add(&sums->gauges[id].items, counter_get(&thread->gauges[id].items));
            counter_add(&sums->gauges[id].bytes, counter_get(&thread->gauges[id].bytes));
            counter_add(&sums->gauges[id].counters,
                counter_get(&thread->gauges[id].counters));
        }
    }
    return sums;
}

static int
save_state(struct store *store, struct header *header)
{
    struct store_thread *sums = sum_up(store);
    struct state state;
    int rc = -ENOMEM;

    if (sums == NULL)
        return rc;
    rc = state_save_begin(&state, store->arena.fd, store->arena.bytes);
    if (rc == 0) {
        (void)saved_exchange(&state, store, sums);
        rc = state_save_end(&state, &header->state_bytes, &header->state_sum);
    }
    free(sums);
    return rc;
}

static int
sum_sections(const struct store *store, bool check_values, struct header *header)
{
    int rc = 0;

    for (unsigned i = 0; i < SECTIONS && rc == 0; i++) {
        /* Any bytes are good ghosts: a wrong one keeps a key a little longer. */
        if (!check_values && (i == SECTION_PAGES || i == SECTION_GHOSTS))
            continue;
        rc = section_sum(&store->arena, (enum section)i, NULL, NULL, &header->sums[i]);
        header->summed |= UINT64_C(1) << i;
    }
    return rc;
}

static int
write_all(struct store *store, bool check_values)
{
    struct header header;
    int rc;

    header_init(&header, &store->arena);
    /* In case that an earlier attempt failed half-way. */
    if (ftruncate(store->arena.fd, (off_t)store->arena.bytes) != 0)
        return -errno;
    rc = save_state(store, &header);
    if (rc == 0)
        rc = sum_sections(store, check_values, &header);
    if (rc == 0)
        rc = arena_settle(&store->arena);
    if (rc != 0)
        return rc;
    header.mark = MARK_WHOLE;
    header_put(&header, &store->arena);
    rc = arena_settle(&store->arena);
    if (rc != 0) {
        header.mark = MARK_IN_USE;
        header_put(&header, &store->arena);
    }
    return rc;
}

static int
set_note(struct store *store, const void *note, size_t len)
{
    char *copy = len == 0 ? NULL : malloc(len);

    if (copy == NULL && len > 0)
        return -ENOMEM;
    if (len > 0)
        memcpy(copy, note, len);
    free(store->note);
    store->note = copy;
    store->note_len = len;
    return 0;
}

int
store_leave(struct store *store, const void *note, size_t note_len, bool check_values,
    int *fd_out)
{
    int fd, rc;

    assert(note_len <= STORE_NOTE_MAX);
    if (store->arena.fd < 0)
        return -EOPNOTSUPP;
    if (store->upload_bytes != 0 || store->pinned_bytes != 0)
        return -EBUSY;
    fd = fcntl(store->arena.fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -errno;
    rc = set_note(store, note, note_len);
    if (rc == 0)
        rc = write_all(store, check_values);
    if (rc != 0)
        close(fd);
    else
        *fd_out = fd;
    return rc;
}

struct slice
store_note(const struct store *store)
{
    return slice_of(store->note, store->note_len);
}
