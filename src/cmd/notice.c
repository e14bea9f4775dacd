/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/notice.h"

static void
show_hot(struct lane *lane, struct slice key, uint64_t hash, uint32_t len)
{
    if ((lane->notice & NOTICE_HOT) != 0)
        hotkeys_add(lane->hotkeys, key, hash, len);
}

void
notice_get(struct lane *lane, struct slice key, uint64_t hash, bool hit, uint32_t len)
{
    const struct admin_hook *hook = lane->context->hook;

    show_hot(lane, key, hash, len);
    if ((lane->notice & NOTICE_DETAIL) != 0)
        hook->detail_get(hook->context, key, hit);
}

void
notice_set(struct lane *lane, struct slice key, uint64_t hash, uint32_t len)
{
    const struct admin_hook *hook = lane->context->hook;

    show_hot(lane, key, hash, len);
    if ((lane->notice & NOTICE_DETAIL) != 0)
        hook->detail_set(hook->context, key);
}

void
notice_delete(struct lane *lane, struct slice key, uint64_t hash)
{
    const struct admin_hook *hook = lane->context->hook;

    show_hot(lane, key, hash, 0);
    if ((lane->notice & NOTICE_DETAIL) != 0)
        hook->detail_delete(hook->context, key);
}

void
notice_use(struct lane *lane, struct slice key, uint64_t hash)
{
    show_hot(lane, key, hash, 0);
}
