/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * outbox.h - the bytes of a reply on their way to a socket.
 *
 *   bytes   [ VALUE big 0 70000\r\n | \r\nEND\r\n ............ free ......... ]
 *   refs                           ^ at 19: 65472 bytes, then 4528 bytes
 *
 * Small replies are copied into `bytes`. A large value is not: a `struct
 * out_ref` says at which offset of `bytes` a run of foreign memory is to be sent.
 * The memory stays valid until the reference's pin is released.
 *
 * One worker owns an outbox and lends it to one session at a time, so it needs no
 * lock and an idle connection owns none. It never grows: OUTBOX_BYTES and
 * OUTBOX_REFS bound what a connection can have unsent, whatever a client asks for.
 */
#ifndef LARDER_BASE_OUTBOX_H
#define LARDER_BASE_OUTBOX_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Copied bytes an outbox holds. Several of the largest copied values (8 KiB). */
#define OUTBOX_BYTES 65536u
/* Runs of foreign memory it refers to; one run is at most one page (64 KiB). */
#define OUTBOX_REFS 64u

/* A run of foreign memory, sent when the copied bytes up to `at` are sent. */
struct out_ref {
    uint32_t at;
    uint32_t len;
    const char *data;
    void *pin; /* released by the service once sent; NULL: nothing to release */
};

struct outbox {
    char *bytes; /* OUTBOX_BYTES of them, the worker's */
    uint32_t used;
    uint32_t nrefs;
    struct out_ref refs[OUTBOX_REFS];
};

/* Free bytes. */
static inline size_t
outbox_room(const struct outbox *out)
{
    return OUTBOX_BYTES - out->used;
}

static inline bool
outbox_empty(const struct outbox *out)
{
    return out->used == 0 && out->nrefs == 0;
}

/* Where the next byte goes; at least outbox_room() may be written there. */
static inline char *
outbox_tail(struct outbox *out)
{
    return out->bytes + out->used;
}

/* `len` bytes were written at the tail. */
static inline void
outbox_grow(struct outbox *out, size_t len)
{
    assert(len <= outbox_room(out));
    out->used += (uint32_t)len;
}

/* Copies `len` bytes; the caller has made sure of the room. */
static inline void
outbox_put(struct outbox *out, const void *data, size_t len)
{
    assert(len <= outbox_room(out));
    memcpy(outbox_tail(out), data, len);
    out->used += (uint32_t)len;
}

/* Refers to foreign memory at the present end; the caller has made sure that
 * nrefs < OUTBOX_REFS. `pin` is released after this run, NULL for none. */
static inline void
outbox_ref(struct outbox *out, const char *data, size_t len, void *pin)
{
    assert(out->nrefs < OUTBOX_REFS);
    out->refs[out->nrefs++] = (struct out_ref){ out->used, (uint32_t)len, data, pin };
}

#endif
