/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/sending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/assert.h"

/* Bytes before, between and after all references. */
#define RUNS_MAX (2 * OUTBOX_REFS + 1)

void
sending_begin(struct sending *sending, const struct outbox *out)
{
    *sending = (struct sending){ .bytes = out->bytes, .used = out->used,
        .refs = out->refs, .nrefs = out->nrefs };
}

/* Where the copied bytes before the reference `ref` end. */
static uint32_t
bytes_until(const struct sending *s, uint32_t ref)
{
    return ref < s->nrefs ? s->refs[ref].at : s->used;
}

static unsigned
gather(const struct sending *s, struct iovec *iov)
{
    uint32_t at = s->sent, skip = s->ref_sent;
    unsigned n = 0;

    for (uint32_t ref = s->ref;; ref++) {
        uint32_t until = bytes_until(s, ref);
        assert(until >= at);
        if (until > at)
            iov[n++] = (struct iovec){ (char *)(uintptr_t)s->bytes + at, until - at };
        at = until;
        if (ref == s->nrefs)
            return n;
        const struct out_ref *run = &s->refs[ref];
        if (run->len > skip)
            iov[n++] = (struct iovec){ (char *)(uintptr_t)run->data + skip,
                run->len - skip };
        skip = 0;
    }
}

size_t
sending_piece(const struct sending *s, char *stage, size_t size, const char **piece_out)
{
    struct iovec iov[RUNS_MAX];
    unsigned n = 1;
    size_t len = 0;

    assert(s->nrefs <= OUTBOX_REFS);
    if (s->ref == s->nrefs) /* nothing but copied bytes is left */
        iov[0] = (struct iovec){ (char *)(uintptr_t)s->bytes + s->sent,
            s->used - s->sent };
    else
        n = gather(s, iov);
    if (n == 0)
        return 0;
    if (n == 1 || iov[0].iov_len >= size) {
        *piece_out = iov[0].iov_base;
        return iov[0].iov_len;
    }
    for (unsigned i = 0; i < n && len < size; i++) {
        size_t part = iov[i].iov_len < size - len ? iov[i].iov_len : size - len;
        memcpy(stage + len, iov[i].iov_base, part);
        len += part;
    }
    *piece_out = stage;
    return len;
}

bool
sending_advance(struct sending *s, size_t len, const struct pin_release *pins)
{
    for (;;) {
        uint32_t run = bytes_until(s, s->ref) - s->sent;
        if (len < run) {
            s->sent += (uint32_t)len;
            return false;
        }
        s->sent += run;
        len -= run;
        if (s->ref == s->nrefs) {
            assert(len == 0);
            return true;
        }
        const struct out_ref *ref = &s->refs[s->ref];
        run = ref->len - s->ref_sent;
        if (len < run) {
            s->ref_sent += (uint32_t)len;
            return false;
        }
        len -= run;
        if (ref->pin != NULL)
            pins->release(pins->lane, ref->pin);
        s->ref++;
        s->ref_sent = 0;
    }
}

static ssize_t
push_once(const struct sending *s, int fd)
{
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    struct iovec iov[RUNS_MAX];

    if (s->ref == s->nrefs)
        return send(fd, s->bytes + s->sent, s->used - s->sent, flags);
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = gather(s, iov) };
    return sendmsg(fd, &message, flags);
}

enum sending_result
sending_push(struct sending *s, int fd, const struct pin_release *pins, size_t *sent_out)
{
    ssize_t sent;

    assert(s->nrefs <= OUTBOX_REFS);
    *sent_out = 0;
    do
        sent = push_once(s, fd);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? SENDING_STUCK : SENDING_BROKEN;
    *sent_out = (size_t)sent;
    return sending_advance(s, (size_t)sent, pins) ? SENDING_DONE : SENDING_STUCK;
}

void
sending_drop(struct sending *s, const struct pin_release *pins)
{
    for (; s->ref < s->nrefs; s->ref++)
        if (s->refs[s->ref].pin != NULL)
            pins->release(pins->lane, s->refs[s->ref].pin);
    s->sent = s->used;
    s->ref_sent = 0;
}

struct backlog *
backlog_create(const struct sending *s)
{
    uint32_t nrefs = s->nrefs - s->ref, nbytes = s->used - s->sent;
    size_t refs_size = nrefs * sizeof(struct out_ref);
    size_t size = sizeof(struct backlog) + refs_size + nbytes;
    struct backlog *backlog = malloc(size);

    if (backlog == NULL)
        return NULL;
    struct out_ref *refs = (struct out_ref *)(void *)(backlog + 1);
    char *bytes = (char *)refs + refs_size;
    for (uint32_t i = 0; i < nrefs; i++) {
        refs[i] = s->refs[s->ref + i];
        refs[i].at -= s->sent;
    }
    memcpy(bytes, s->bytes + s->sent, nbytes);
    backlog->size = (uint32_t)size;
    backlog->rest = (struct sending){ .bytes = bytes, .used = nbytes, .refs = refs,
        .nrefs = nrefs, .ref_sent = s->ref_sent };
    return backlog;
}
