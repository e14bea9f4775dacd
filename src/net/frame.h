/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * frame.h - what stands before every datagram, and how much may be answered to one;
 * inside src/net only. Pure: no sockets, no memory.
 *
 *   | request id | sequence | datagrams of this message | 0 | payload ...
 *        16          16                 16                16    bits, big-endian
 *
 * The sender of a datagram is whoever its header says, so a server that answers more than
 * it was sent can be aimed at others. What may be sent for one request is therefore a
 * multiple of what came, counted twice: as bytes of datagrams, and with the headers of IP
 * and UDP for each, lest many small answers make up for what one large may not be.
 */
#ifndef LARDER_NET_FRAME_H
#define LARDER_NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER   8u
#define FRAME_DATAGRAM 1400u /* the longest that is sent */
#define FRAME_PAYLOAD  (FRAME_DATAGRAM - FRAME_HEADER)
/* What IP and UDP put before a datagram. */
#define FRAME_OVERHEAD_IP4 28u
#define FRAME_OVERHEAD_IP6 48u

/* Reads the header of a request of `len` bytes. False: it is none, or one of several
 * datagrams, which nobody may send. */
bool frame_parse(const char *data, size_t len, uint16_t *id_out);

/* Writes the header of datagram `sequence` of `count`. */
void frame_write(char to[FRAME_HEADER], uint16_t id, unsigned sequence, unsigned count);

/* Datagrams for a message of `len` > 0 bytes. */
unsigned frame_count(size_t len);

/* What may still be sent for one request. */
struct frame_allowance {
    uint64_t bytes;    /* of datagrams, with their 8-byte headers */
    uint64_t wire;     /* the same and `overhead` for each */
    uint32_t overhead; /* FRAME_OVERHEAD_... */
};

/* For a request of `len` bytes: `factor` times as much, 0: any amount. */
void frame_allow(
    struct frame_allowance *allowance_out, size_t len, uint32_t factor, uint32_t overhead);
/* May a message of `len` > 0 bytes be sent? */
bool frame_fits(const struct frame_allowance *allowance, size_t len);
/* It is sent; it fits. */
void frame_spend(struct frame_allowance *allowance, size_t len);

#endif
