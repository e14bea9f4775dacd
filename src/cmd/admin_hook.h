/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin_hook.h - how sessions reach the administration layer, which they don't know.
 *
 * `main` installs the hook. Replies are written to the outbox; what is longer comes back
 * as a stream.
 */
#ifndef LARDER_CMD_ADMIN_HOOK_H
#define LARDER_CMD_ADMIN_HOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outbox.h"
#include "base/slice.h"
#include "base/stream.h"
#include "store/store.h"

enum admin_verb {
    ADMIN_STATS,
    ADMIN_SLABS,
    ADMIN_LRU,
    ADMIN_LRU_CRAWLER,
    ADMIN_CACHE_MEMLIMIT,
    ADMIN_VERBOSITY,
    ADMIN_SHUTDOWN,
    ADMIN_WATCH,
    ADMIN_REFRESH_CERTS,
    ADMIN_EXTSTORE,
};

/* How a report's fields are written, if not as lines of text. */
struct admin_form {
    /* Begins a field, whose value of `value_len` bytes the caller writes behind it; or
     * ends the report, if it has no name. */
    void (*begin)(
        struct outbox *out, uint32_t tag, struct slice name, size_t value_len);
    size_t room; /* bytes that begin() takes besides the name's */
};

struct admin_request {
    enum admin_verb verb;
    struct slice args;   /* the words after the command's name, without a final noreply */
    bool noreply;        /* the line ended in "noreply" (already honoured by the caller:
                          * what is written to `out` is dropped) */
    bool pending;        /* replies of earlier commands are still unsent */
    const struct admin_form *form; /* of what `stats` answers; NULL: text */
    uint32_t tag;        /* for `form` */
    int fd;              /* of the connection that asks; for display */
    uint32_t now;        /* clock_seconds() */
    struct store_thread *thread; /* of the worker that runs this */
    /* Calls the session back for a stream that is live, until its close(). */
    void (*wake)(void *handle);
    void *wake_handle;
};

/* Why a request with a form was not answered; nothing was written then. */
enum admin_refusal { ADMIN_ANSWERED, ADMIN_REFUSED, ADMIN_NO_MEMORY };

struct admin_answer {
    struct stream *stream; /* NULL: all of the reply is in the outbox */
    bool close;            /* close the connection without a reply (shutdown) */
    enum admin_refusal refusal;
};

struct admin_hook {
    void *context;
    /* At least ADMIN_ROOM bytes are free in `out`; a longer reply must be a stream. */
    void (*run)(void *context, const struct admin_request *request, struct outbox *out,
        struct admin_answer *answer);
    /* `stats detail`: NULL, or called for each key looked up, stored or deleted while
     * collection is on. */
    _Atomic(bool) *detail_on;
    void (*detail_get)(void *context, struct slice key, bool hit);
    void (*detail_set)(void *context, struct slice key);
    void (*detail_delete)(void *context, struct slice key);
};

#define ADMIN_ROOM 4096u

#endif
