/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta.h - what meta.c and meta_get.c share; not for other files.
 */
#ifndef LARDER_CMD_META_H
#define LARDER_CMD_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outbox.h"
#include "cmd/execute.h"
#include "cmd/state.h"
#include "proto/meta_reply.h"

/* What an mg needs besides its value: its line, and what follows the value. More than any
 * other meta command needs. */
#define GET_ROOM (META_LINE_ROOM + 2u)

/* Is there a unique to be given? Not with -C. */
static inline bool
meta_cas_given(const struct lane *lane, const struct meta_command *meta)
{
    return meta_has(meta, 'E') && lane->context->cas;
}

static inline uint64_t
meta_cas_shown(const struct lane *lane, uint64_t cas)
{
    return lane->context->cas ? cas : 0;
}

/* Items keep that their key came in base64 if it could not be shown otherwise. */
static inline bool
meta_keeps_binary(const struct meta_command *meta, struct slice key)
{
    return meta_has(meta, 'b') && meta_key_unprintable(key);
}

/* The expiry of an item that is created: the last word of N and T has it. */
uint32_t meta_exptime_created(const struct lane *lane, const struct meta_command *meta);

/* A reply that shows the key as the request gave it, and nothing of an item. */
void meta_put_bare(struct outbox *out, const struct meta_command *meta, struct slice key,
    const char *code);

/* Runs an mg whose line ends before `next`. GET_ROOM bytes are free. */
enum step meta_get(struct turn *turn, const struct meta_command *meta, struct slice key,
    uint64_t hash, const char *next);

#endif
