/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - a request of a trace, as it is kept in a file: 20 bytes, least significant
 * first.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdint.h>

enum operation {
    OP_GET = 0,  /* get; on a miss, set with the value's length and time to live */
    OP_SET = 1,  /* set, whatever is there */
    OP_INCR = 2, /* incr; on a miss, add with the time to live */
    OP_DELETE = 3
};

struct event {
    uint32_t second; /* since the trace began */
    uint32_t id;     /* of the key: 0 .. number of keys - 1 */
    uint32_t value;  /* bytes */
    uint32_t ttl;    /* seconds; 0: never */
    uint8_t key;     /* bytes */
    uint8_t operation;
    uint16_t unused;
};

_Static_assert(sizeof(struct event) == 20, "a trace's record has 20 bytes");

#endif
