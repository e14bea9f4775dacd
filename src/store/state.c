/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/sum.h"

int
state_save_begin(struct state *state, int fd, uint64_t at)
{
    *state = (struct state){ .saving = true, .fd = fd, .at = at };
    state->buffer = aligned_alloc(SUM_BLOCK, STATE_BUFFER);
    return state->buffer == NULL ? -ENOMEM : 0;
}

/* Writes what is in the buffer, filled up with zeros to whole blocks. */
static void
flush(struct state *state)
{
    uint64_t blocks = (state->used + SUM_BLOCK - 1) / SUM_BLOCK, done = 0;

    memset(state->buffer + state->used, 0, blocks * SUM_BLOCK - state->used);
    state->sum += sum_blocks(state->buffer, state->blocks, blocks);
    while (state->bad == 0 && done < blocks * SUM_BLOCK) {
        ssize_t n = pwrite(state->fd, state->buffer + done, blocks * SUM_BLOCK - done,
            (off_t)(state->at + done));

        if (n > 0)
            done += (uint64_t)n;
        else if (n == 0 || errno != EINTR)
            state->bad = n == 0 ? -EIO : -errno;
    }
    state->at += blocks * SUM_BLOCK;
    state->blocks += blocks;
    state->used = 0;
}

int
state_save_end(struct state *state, uint64_t *bytes_out, uint64_t *sum_out)
{
    flush(state);
    free(state->buffer);
    *bytes_out = state->blocks * SUM_BLOCK;
    *sum_out = state->sum;
    return state->bad;
}

int
state_load_begin(struct state *state, int fd, uint64_t at, uint64_t bytes, uint64_t sum)
{
    void *map;

    assert(bytes % SUM_BLOCK == 0);
    *state = (struct state){ .fd = fd, .bytes = bytes };
    if (bytes == 0)
        return -EBADMSG;
    map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, (off_t)at);
    if (map == MAP_FAILED)
        return -errno;
    state->buffer = map;
    if (sum_blocks(map, 0, bytes / SUM_BLOCK) == sum)
        return 0;
    munmap(map, bytes);
    return -EBADMSG;
}

int
state_load_end(struct state *state)
{
    munmap(state->buffer, state->bytes);
    return state->bad;
}

void
state_refuse(struct state *state)
{
    if (!state->saving && state->bad == 0)
        state->bad = -EBADMSG;
}

static void
save(struct state *state, const char *data, size_t len)
{
    while (len > 0) {
        size_t part = STATE_BUFFER - state->used < len ? STATE_BUFFER - state->used : len;

        memcpy(state->buffer + state->used, data, part);
        state->used += part;
        data += part;
        len -= part;
        if (state->used == STATE_BUFFER)
            flush(state);
    }
}

void
state_bytes(struct state *state, void *data, size_t len)
{
    if (len == 0)
        return;
    if (state->saving) {
        save(state, data, len);
        return;
    }
    if (state->bytes - state->used < len)
        state_refuse(state);
    if (state->bad != 0) {
        memset(data, 0, len);
        return;
    }
    memcpy(data, state->buffer + state->used, len);
    state->used += len;
}

void
state_run(struct state *state, uint64_t *numbers, uint32_t n)
{
    state_bytes(state, numbers, n * sizeof *numbers);
}

uint64_t
state_number(struct state *state, uint64_t value, uint64_t max)
{
    state_bytes(state, &value, sizeof value);
    if (state->saving || value <= max)
        return value;
    state_refuse(state);
    return 0;
}

uint32_t
state_small(struct state *state, uint32_t value, uint32_t max)
{
    return (uint32_t)state_number(state, value, max);
}

bool
state_flag(struct state *state, bool value)
{
    return state_number(state, value, 1) != 0;
}
