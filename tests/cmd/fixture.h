/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fixture.h - one worker with one client, made anew for each test of a conversation.
 *
 * A program of tests is one process and has one stage, which is why these are global.
 */
#ifndef LARDER_TESTS_CMD_FIXTURE_H
#define LARDER_TESTS_CMD_FIXTURE_H

#include "../support/quick_check.h"
#include "talk.h"

extern struct stage stage;
extern struct talk talk;

/* A store of 16 MiB. */
void fixture_setup(void);
/* Or one of the test's own, which it gives away. */
void fixture_setup_with(struct store *store);
/* With a hook for operators' commands. */
void fixture_setup_hook(const struct admin_hook *hook);
void fixture_teardown(void);
/* In the middle of a test: another stage, with 2 MiB and without evictions. */
void fixture_change_to_little_memory(void);
/* The client comes again, on a new connection. */
void fixture_reopen(void);

/* A string of `len` times `c`, to be freed. */
char *fixture_repeat(char c, size_t len);

#endif
