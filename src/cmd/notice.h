/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.h - those who look over a command's shoulder; inside src/cmd.
 *
 * `stats detail`, the search for hot keys and `watch` want to see keys. Most of the time
 * nobody does: then lane->notice is 0, which is all that a command looks at. It is found
 * once a turn.
 */
#ifndef LARDER_CMD_NOTICE_H
#define LARDER_CMD_NOTICE_H

#include <stdint.h>

#include "cmd/lane.h"
#include "store/store.h"

/* The bits of the streams that tell of commands are those of the journal. */
#define NOTICE_STREAMS                                                                    \
    (JOURNAL_BIT(JOURNAL_FETCHERS) | JOURNAL_BIT(JOURNAL_MUTATIONS) |                     \
        JOURNAL_BIT(JOURNAL_DELETIONS))
#define NOTICE_DETAIL 64u
#define NOTICE_HOT    128u

_Static_assert((NOTICE_STREAMS & (NOTICE_DETAIL | NOTICE_HOT)) == 0, "bits of their own");
_Static_assert(NOTICE_STREAMS < NOTICE_DETAIL, "all fit lane->notice");

/* What this turn's commands have to show, for lane->notice. */
static inline uint8_t
notice_wanted(struct lane *lane)
{
    unsigned wanted =
        atomic_load_explicit(lane->wanted, memory_order_relaxed) & NOTICE_STREAMS;

    if (sample_due(&lane->hot))
        wanted |= NOTICE_HOT;
    if (atomic_load_explicit(lane->detail_on, memory_order_relaxed))
        wanted |= NOTICE_DETAIL;
    return (uint8_t)wanted;
}

/* A storage command of any protocol and how it ended. */
struct notice_store {
    struct slice key;
    uint64_t hash; /* 0: it never came to the store */
    const char *word; /* add, set, replace, append, prepend, cas */
    enum store_result result;
    uint32_t exptime;
    uint32_t value_len;
    uint8_t slab_class;
};

/* What a storage command is called by its mode. */
const char *notice_word(enum store_mode mode, bool compared);

/* To be called only if lane->notice is not 0. */

/* A key was looked up to be sent; `view` shows the item, or why there is none. */
void notice_get(struct lane *lane, struct slice key, uint64_t hash, bool hit,
    const struct store_view *view);
void notice_set(struct lane *lane, const struct notice_store *store);
/* Before the item goes: its size, if somebody wants to know. */
uint32_t notice_size(struct lane *lane, struct slice key, uint64_t hash);
/* `word`: delete or md; `size`: as notice_size() gave it. */
void notice_delete(struct lane *lane, struct slice key, uint64_t hash, bool hit,
    const char *word, uint8_t slab_class, uint32_t size);
/* touch, incr, decr */
void notice_use(
    struct lane *lane, struct slice key, uint64_t hash, bool hit, uint8_t slab_class);

#endif
