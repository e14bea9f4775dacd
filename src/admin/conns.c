/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conns.c - `stats conns`: each connection, by ascending descriptor.
 *
 * The cursor is the descriptor after the last one shown. A step looks at connections from
 * there on and keeps the CONN_WALK_MIN lowest: many short looks in place of one copy of
 * everything, so the memory is bounded and the connections' locks are held briefly.
 */
#include <string.h>

#include "admin/stats.h"
#include "base/assert.h"
#include "base/service.h"

struct row {
    int fd;
    bool listener;
    uint32_t idle;
    char state[24];
    char address[ADDRESS_TEXT_MAX];
    char listen_address[ADDRESS_TEXT_MAX];
};

struct rows {
    int fd_min;
    unsigned n;
    unsigned order[CONN_WALK_MIN]; /* indices into at[], by ascending descriptor */
    struct row at[CONN_WALK_MIN];
};

static void
copy_text(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);

    memcpy(to, from, len);
    to[len] = '\0';
}

static void
row_set(struct row *row, const struct conn_info *info)
{
    row->fd = info->fd;
    row->idle = info->idle;
    row->listener = info->listen_address == NULL;
    copy_text(row->state, sizeof row->state, info->state);
    copy_text(row->address, sizeof row->address, info->address);
    if (info->listen_address != NULL)
        copy_text(row->listen_address, sizeof row->listen_address, info->listen_address);
}

/* Keeps the lowest by insertion; a walk in ascending order inserts at the end. */
static void
keep(void *context, const struct conn_info *info)
{
    struct rows *rows = context;
    unsigned slot, at;

    if (info->fd < rows->fd_min)
        return;
    if (rows->n < CONN_WALK_MIN) {
        slot = rows->n++;
    } else {
        slot = rows->order[CONN_WALK_MIN - 1];
        if (rows->at[slot].fd <= info->fd)
            return;
    }
    for (at = rows->n - 1; at > 0 && rows->at[rows->order[at - 1]].fd > info->fd; at--)
        rows->order[at] = rows->order[at - 1];
    rows->order[at] = slot;
    row_set(&rows->at[slot], info);
}

bool
conns_step(struct report *report, struct stat_sink *sink)
{
    const struct admin_parts *parts = &report->admin->parts;
    struct rows rows = { .fd_min = (int)report->cursor, .n = 0 };

    parts->walk_connections(parts->context, rows.fd_min, keep, &rows);
    for (unsigned i = 0; i < rows.n; i++) {
        const struct row *row = &rows.at[rows.order[i]];
        assert(row->fd >= rows.fd_min);
        stat_prefix(sink, "", (unsigned)row->fd);
        if (strncmp(row->address, "udp", 3) == 0)
            stat_text(sink, "UDP", "UDP");
        stat_text(sink, "addr", row->address);
        if (!row->listener)
            stat_text(sink, "listen_addr", row->listen_address);
        stat_text(sink, "state", row->state);
        stat_u64(sink, "secs_since_last_cmd", row->idle);
        report->cursor = (uint64_t)row->fd + 1;
    }
    stat_prefix_none(sink);
    return rows.n == CONN_WALK_MIN;
}
