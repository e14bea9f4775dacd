/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

struct stage stage;
struct talk talk;

void
fixture_setup(void)
{
    fixture_setup_with(talk_store(UINT64_C(16) << 20));
}

void
fixture_setup_with(struct store *store)
{
    stage.store = store;
    stage_set(&stage);
    stage_open(&stage);
    talk_open(&talk, &stage);
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
