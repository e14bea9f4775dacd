/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/frame.h"

#include "base/assert.h"

static unsigned
get16(const char *at)
{
    return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

static void
put16(char *at, unsigned value)
{
    at[0] = (char)(value >> 8 & 0xff);
    at[1] = (char)(value & 0xff);
}

/* Sequence and the last field are not looked at, as memcached does not. */
bool
frame_parse(const char *data, size_t len, uint16_t *id_out)
{
    if (len <= FRAME_HEADER || get16(data + 4) != 1)
        return false;
    *id_out = (uint16_t)get16(data);
    return true;
}

void
frame_write(char to[FRAME_HEADER], uint16_t id, unsigned sequence, unsigned count)
{
    assert(sequence < count);
    assert(count <= UINT16_MAX);
    put16(to, id);
    put16(to + 2, sequence);
    put16(to + 4, count);
    put16(to + 6, 0);
}

unsigned
frame_count(size_t len)
{
    assert(len > 0);
    return (unsigned)((len - 1) / FRAME_PAYLOAD + 1);
}

void
frame_allow(struct frame_allowance *allowance, size_t len, uint32_t factor,
    uint32_t overhead)
{
    *allowance = (struct frame_allowance){ UINT64_MAX, UINT64_MAX, overhead };
    if (factor == 0)
        return;
    allowance->bytes = (uint64_t)factor * len;
    allowance->wire = (uint64_t)factor * (len + overhead);
}

static uint64_t
datagram_bytes(size_t len)
{
    return len + (uint64_t)frame_count(len) * FRAME_HEADER;
}

static uint64_t
wire_bytes(const struct frame_allowance *allowance, size_t len)
{
    return datagram_bytes(len) + (uint64_t)frame_count(len) * allowance->overhead;
}

bool
frame_fits(const struct frame_allowance *allowance, size_t len)
{
    return datagram_bytes(len) <= allowance->bytes &&
           wire_bytes(allowance, len) <= allowance->wire;
}

void
frame_spend(struct frame_allowance *allowance, size_t len)
{
    assert(frame_fits(allowance, len));
    allowance->bytes -= datagram_bytes(len);
    allowance->wire -= wire_bytes(allowance, len);
}
