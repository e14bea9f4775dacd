/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reserve.h - a little memory for libevent when there is none.
 *
 * libevent 2.1 copies a client's address as it makes a connection, and reads through NULL when
 * there is no memory for that. So small blocks that can't be had come from a reserve. A
 * connection needs larger ones before and after, which still fail, so even a shortage
 * that lasts does not use it up.
 */
#ifndef LARDER_HTTP_RESERVE_H
#define LARDER_HTTP_RESERVE_H

#include <stddef.h>

#define RESERVE_BLOCKS 64u
#define RESERVE_SIZE   64u

/* To be called once, before libevent is asked for anything. */
void reserve_install(void);

/* What libevent is given: as malloc(), realloc() and free(). Any thread. */
void *reserve_malloc(size_t size);
void *reserve_realloc(void *block, size_t size);
void reserve_free(void *block);
/* The same without a try at malloc(). NULL: `size` is over RESERVE_SIZE, or all are taken. */
void *reserve_take(size_t size);

#endif
