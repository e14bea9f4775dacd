/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.h - lists of keys: metadump, mgdump, cachedump, and of key prefixes.
 *
 * A dump is a stream with a cursor of the store's walk: a bounded number of chunks at a
 * time, no lock in between, no memory for a client that does not read. Any number may run
 * at once.
 */
#ifndef LARDER_ADMIN_DUMP_H
#define LARDER_ADMIN_DUMP_H

#include "admin/inside.h"

/* `lru_crawler metadump <classes> [prefix=<prefix>] [limit=<n>]`: only keys that begin with
 * the prefix, which is written as metadump shows keys; only so many of them. */
void dump_meta(struct ask *ask);
/* `lru_crawler mgdump` with the same */
void dump_mg(struct ask *ask);
/* `stats cachedump <class> <limit>` */
void dump_class(struct ask *ask);
/* `stats detail dump` */
void dump_prefixes(struct ask *ask);

#endif
