/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state.h - numbers on their way into a file and out of it again.
 *
 * One list of calls serves both ways (saved.c), so that they can't come apart:
 *
 *     x = state_number(state, x, MAX);
 *
 * writes x and gives it back when saving, and gives what was written when loading. A number
 * over its bound, or one that is not there, makes the state bad; it is 0 then, and so is
 * whatever is asked for afterwards.
 */
#ifndef LARDER_STORE_STATE_H
#define LARDER_STORE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_BUFFER 65536u

struct state {
    bool saving;
    int bad;           /* 0, or -errno; -EBADMSG: what was loaded can't be */
    int fd;
    uint64_t at;       /* saving: place in the file of what is in the buffer */
    char *buffer;      /* saving: STATE_BUFFER; loading: the whole, mapped */
    uint64_t used, bytes; /* of the buffer: written or read so far; loading: its length */
    uint64_t blocks, sum;
};

/* Saves to a file from a place on that is a multiple of the system's page. 0 or -errno. */
int state_save_begin(struct state *state, int fd, uint64_t at);
/* Ends it: 0 or -errno. What was saved takes a multiple of SUM_BLOCK. */
int state_save_end(struct state *state, uint64_t *bytes_out, uint64_t *sum_out);

/* Loads what was saved. 0; -errno; -EBADMSG: its sum is another. */
int state_load_begin(struct state *state, int fd, uint64_t at, uint64_t bytes, uint64_t sum);
/* Ends it: 0, or what was bad. */
int state_load_end(struct state *state);

uint64_t state_number(struct state *state, uint64_t value, uint64_t max);
uint32_t state_small(struct state *state, uint32_t value, uint32_t max);
bool state_flag(struct state *state, bool value);
void state_bytes(struct state *state, void *data, size_t len);
/* Numbers in a row, none of which has a bound. */
void state_run(struct state *state, uint64_t *numbers, uint32_t n);

/* Loading: something can't be. */
void state_refuse(struct state *state);

#endif
