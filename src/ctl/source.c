/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/source.h"

#include <errno.h>
#include <unistd.h>

#include "base/assert.h"

void
source_init(struct source *source, int fd, bool (*before_read)(void *context),
    void *context)
{
    source->fd = fd;
    source->ended = false;
    source->error = 0;
    source->at = source->end = 0;
    source->before_read = before_read;
    source->context = context;
}

/* More bytes behind those that are not yet taken. */
static bool
fill(struct source *source)
{
    ssize_t n;

    if (source->ended || source->error != 0)
        return false;
    if (source->at > 0) {
        memmove(source->bytes, source->bytes + source->at, source->end - source->at);
        source->end -= source->at;
        source->at = 0;
    }
    assert(source->end < sizeof source->bytes);
    if (!source->before_read(source->context))
        return false;
    do
        n = read(source->fd, source->bytes + source->end,
            sizeof source->bytes - source->end);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        source->error = errno;
    if (n == 0)
        source->ended = true;
    if (n > 0)
        source->end += (size_t)n;
    return n > 0;
}

bool
source_line(struct source *source, size_t max, struct slice *line_out)
{
    assert(max < sizeof source->bytes);
    for (;;) {
        size_t have = source->end - source->at;
        char *start = source->bytes + source->at;
        char *end = memchr(start, '\n', have < max + 1 ? have : max + 1);

        if (end != NULL) {
            *line_out = slice_of(start, (size_t)(end - start));
            source->at += line_out->len + 1;
            return true;
        }
        if (have > max || !fill(source))
            return false;
    }
}

bool
source_bytes(struct source *source, size_t max, struct slice *bytes_out)
{
    size_t have;

    assert(max > 0);
    if (source->at == source->end && !fill(source))
        return false;
    have = source->end - source->at;
    *bytes_out = slice_of(source->bytes + source->at, have < max ? have : max);
    source->at += bytes_out->len;
    return true;
}
