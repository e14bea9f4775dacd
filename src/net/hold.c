/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/hold.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/inside.h"

/* Kept input takes memory in steps, of which malloc() has the first 8 bytes for itself. Small
 * ones: many clients may be waited for in the middle of a line. */
#define KEEP_STEP 32u
#define KEEP_HEAD 8u
#define KEEP_SLACK 256u /* so much more than needed is not worth other memory */
/* From this length on a free makes glibc put neighbours together and return what is free at the
 * end of a thread's heap; malloc_trim() does not do that for threads. */
#define CONSOLIDATION (65536u + 64u)
/* Bytes after which the time for a transfer begins anew. */
#define SENT_RENEW 65536u
/* Who moves fewer bytes a second, over so many seconds, is as good as stalled: a byte now
 * and then must not keep memory that others need. */
#define SLOW_RATE    16384u
#define SLOW_SECONDS 4u

struct hold *
hold_get(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct hold *hold = conn->hold;

    if (hold != NULL)
        return hold;
    hold = malloc(sizeof *hold);
    if (hold == NULL)
        return NULL;
    *hold = (struct hold){ .conn = conn, .next = worker->holds, .moved = worker->now };
    if (worker->holds != NULL)
        worker->holds->previous = hold;
    worker->holds = hold;
    conn->hold = hold;
    return hold;
}

/* Gauges are counters that only their owner moves, so they may be taken from too. */
static void
gauge_move(counter *gauge, uint64_t plus, uint64_t minus)
{
    counter_add(gauge, plus - minus);
}

static void
hold_forget_bytes(struct hold *hold)
{
    struct worker *worker = hold->conn->worker;

    if (hold->bytes == NULL)
        return;
    gauge_move(&worker->kept_count, 0, 1);
    gauge_move(&worker->kept_bytes, 0, hold->size);
    free(hold->bytes);
    hold->bytes = NULL;
    hold->size = hold->at = hold->len = 0;
}

void
hold_forget_backlog(struct hold *hold)
{
    struct worker *worker = hold->conn->worker;

    if (hold->backlog == NULL)
        return;
    sending_drop(&hold->backlog->rest, &worker->spaces[hold->conn->space].pins);
    gauge_move(&worker->backlog_count, 0, 1);
    gauge_move(&worker->backlog_bytes, 0, hold->backlog->size);
    free(hold->backlog);
    hold->backlog = NULL;
}

void
hold_free(struct conn *conn)
{
    struct hold *hold = conn->hold;

    if (hold == NULL)
        return;
    hold_forget_bytes(hold);
    hold_forget_backlog(hold);
    if (hold->next != NULL)
        hold->next->previous = hold->previous;
    if (hold->previous != NULL)
        hold->previous->next = hold->next;
    else
        conn->worker->holds = hold->next;
    free(hold);
    conn->hold = NULL;
}

void
hold_settle(struct conn *conn)
{
    const struct hold *hold = conn->hold;

    if (hold != NULL && hold->len == 0 && hold->began == 0 && hold->backlog == NULL)
        hold_free(conn);
}

bool
hold_keep(struct conn *conn, const char *data, size_t len)
{
    struct worker *worker = conn->worker;
    struct hold *hold = conn->hold;

    if (len == 0) {
        if (hold != NULL)
            hold_forget_bytes(hold);
        return true;
    }
    if (len > CONN_KEPT_MAX || (hold = hold_get(conn)) == NULL)
        return false;
    bool inside = hold->bytes != NULL && data >= hold->bytes &&
                  data < hold->bytes + hold->size;
    if (inside && conn->next != SERVICE_READ) { /* its turn comes soon */
        hold->at = (uint32_t)(data - hold->bytes);
        hold->len = (uint32_t)len;
        return true;
    }
    if (inside || hold->size < len || hold->size > 4 * len + KEEP_SLACK) {
        size_t size =
            (len + KEEP_HEAD + KEEP_STEP - 1) / KEEP_STEP * KEEP_STEP - KEEP_HEAD;
        char *bytes = malloc(size);
        if (bytes == NULL)
            return false;
        memcpy(bytes, data, len);
        hold_forget_bytes(hold);
        hold->bytes = bytes;
        hold->size = (uint32_t)size;
        gauge_move(&worker->kept_count, 1, 0);
        gauge_move(&worker->kept_bytes, size, 0);
    } else {
        assert(hold->bytes != NULL);
        memcpy(hold->bytes, data, len);
    }
    hold->at = 0;
    hold->len = (uint32_t)len;
    return true;
}

bool
hold_put_backlog(struct conn *conn, const struct sending *rest)
{
    struct worker *worker = conn->worker;
    struct hold *hold = hold_get(conn);
    struct backlog *backlog = hold == NULL ? NULL : backlog_create(rest);

    if (backlog == NULL)
        return false;
    assert(hold->backlog == NULL);
    hold->backlog = backlog;
    hold->moved = worker->now;
    if (hold->sent_began == 0)
        hold->sent_began = worker->now;
    gauge_move(&worker->backlog_count, 1, 0);
    gauge_move(&worker->backlog_bytes, backlog->size, 0);
    return true;
}

void
hold_sent(struct hold *hold, size_t len)
{
    uint32_t now = hold->conn->worker->now;

    if (len > 0)
        hold->moved = now;
    hold->sent += (uint32_t)len;
    if (hold->sent >= SENT_RENEW) {
        hold->sent = 0;
        hold->sent_began = now;
    }
}

/* Seconds since `began` in which `bytes` have moved, if that is too slow; else 0. */
static uint32_t
slow_for(uint32_t now, uint32_t began, uint32_t bytes)
{
    uint32_t since = began != 0 && now > began ? now - began : 0;

    return since >= SLOW_SECONDS && bytes / since < SLOW_RATE ? since : 0;
}

uint32_t
hold_stalled_for(const struct hold *hold, uint32_t now)
{
    uint32_t still = now > hold->moved ? now - hold->moved : 0;
    uint32_t slow = hold->backlog == NULL ? slow_for(now, hold->began, hold->arrived)
                                          : slow_for(now, hold->sent_began, hold->sent);

    return slow > still ? slow : still;
}

void
hold_return_memory(void)
{
    /* Volatile, or compilers see that it comes to nothing. */
    void *volatile block = malloc(CONSOLIDATION);

    free(block);
}
