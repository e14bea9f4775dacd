/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY (UINT64_C(16) << 20)

struct stage stage;
struct talk talk;

static void
open_all(struct store *store, const struct admin_hook *hook)
{
    stage.store = store;
    stage_set(&stage);
    stage.context.hook = hook;
    stage_open(&stage);
    talk_open(&talk, &stage);
}

void
fixture_setup(void)
{
    open_all(talk_store(MEMORY), NULL);
}

void
fixture_setup_with(struct store *store)
{
    open_all(store, NULL);
}

void
fixture_setup_hook(const struct admin_hook *hook)
{
    open_all(talk_store(MEMORY), hook);
}

void
fixture_change_to_little_memory(void)
{
    struct store_options options = {
        .memory_max = UINT64_C(2) << 20,
        .item_size_max = UINT64_C(1) << 20,
        .chunk_max = 65536,
        .chunk_min = 48,
        .growth_factor = 1.25,
        .evict = false,
        .slab_reassign = true,
    };
    const char *why = NULL;
    struct store *store = store_create(&options, &why);

    ck_assert_msg(store != NULL, "%s", why);
    fixture_teardown();
    open_all(store, NULL);
}

void
fixture_teardown(void)
{
    talk_close(&talk);
    stage_close(&stage);
}

void
fixture_reopen(void)
{
    talk_close(&talk);
    talk_open(&talk, &stage);
}

char *
fixture_repeat(char c, size_t len)
{
    char *text = malloc(len + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, c, len);
    text[len] = '\0';
    return text;
}
