/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

static const char MAGIC[8] = "LARDERS1";

/* Before the bytes about a socket. */
struct entry {
    uint64_t cookie;
    uint32_t len;
    uint32_t zero;
};

static size_t
padded(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

static bool
cookie_of(int fd, uint64_t *cookie_out)
{
    socklen_t len = sizeof *cookie_out;

    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie_out, &len) == 0;
}

/* ---- Wrapping ------------------------------------------------------------------------ */

/* Room for `len` more bytes, or NULL. */
static char *
make_room(struct handover *handover, size_t len)
{
    if (handover->size - handover->len < len) {
        size_t size = 2 * handover->size + len + 4096;
        char *bytes = realloc(handover->bytes, size);
        if (bytes == NULL)
            return NULL;
        handover->bytes = bytes;
        handover->size = size;
    }
    char *room = handover->bytes + handover->len;
    memset(room, 0, len);
    handover->len += len;
    return room;
}

void
handover_put(void *context, int fd, const void *bytes, size_t len)
{
    struct handover *handover = context;
    struct entry entry = { .len = (uint32_t)len };
    char *room = NULL;

    assert(len <= UINT32_MAX);
    if (cookie_of(fd, &entry.cookie))
        room = make_room(handover, sizeof entry + padded(len));
    if (room == NULL) {
        close(fd);
        return;
    }
    memcpy(room, &entry, sizeof entry);
    if (len > 0)
        memcpy(room + sizeof entry, bytes, len);
    (void)baggage_put(handover->baggage, HANDOVER_SOCKET, fd);
}

static int
write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);
        if (put < 0 && errno != EINTR)
            return -errno;
        if (put > 0) {
            bytes += put;
            len -= (size_t)put;
        }
    }
    return 0;
}

/* The last bag: should the end come while they are sent there are no sockets of which nothing
 * is known, such as one that listens where the next server wants to. */
static void
move_to_front(struct baggage *baggage)
{
    struct bag last = baggage->bags[baggage->n - 1];

    memmove(baggage->bags + 1, baggage->bags, (baggage->n - 1) * sizeof last);
    baggage->bags[0] = last;
}

int
handover_close(struct handover *handover)
{
    int fd = memfd_create(HANDOVER_STATE, MFD_CLOEXEC);
    int error = fd < 0 ? -errno : write_all(fd, MAGIC, sizeof MAGIC);

    if (error == 0)
        error = write_all(fd, handover->bytes, handover->len);
    free(handover->bytes);
    handover->bytes = NULL;
    handover->len = handover->size = 0;
    if (error == 0 && !baggage_put(handover->baggage, HANDOVER_STATE, fd))
        error = -ENOMEM;
    else if (error == 0)
        move_to_front(handover->baggage);
    else if (fd >= 0)
        close(fd);
    return error;
}

/* ---- Unwrapping ---------------------------------------------------------------------- */

/* Entries by their cookies. */
struct known {
    uint64_t cookie;
    const char *bytes;
    size_t len;
};

static int
compare(const void *a, const void *b)
{
    uint64_t x = ((const struct known *)a)->cookie, y = ((const struct known *)b)->cookie;

    return x < y ? -1 : x > y;
}

/* The entries, sorted; as many as are whole. NULL: none. */
static struct known *
read_entries(const char *bytes, size_t len, size_t *n_out)
{
    size_t most = len / sizeof(struct entry), n = 0;
    struct known *known = calloc(most + 1, sizeof *known);
    struct entry entry;

    *n_out = 0;
    if (known == NULL || len < sizeof MAGIC || memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
        return known;
    for (size_t at = sizeof MAGIC; len - at >= sizeof entry;) {
        memcpy(&entry, bytes + at, sizeof entry);
        at += sizeof entry;
        if (entry.len > len - at || padded(entry.len) > len - at)
            break;
        known[n++] = (struct known){ entry.cookie, bytes + at, entry.len };
        at += padded(entry.len);
    }
    qsort(known, n, sizeof *known, compare);
    *n_out = n;
    return known;
}

static size_t
match(struct baggage *baggage, const struct known *known, size_t n, handover_fn fn,
    void *context)
{
    size_t sockets = 0;
    int fd;

    while ((fd = baggage_take(baggage, HANDOVER_SOCKET)) >= 0) {
        struct known key = { .cookie = 0 };
        const struct known *found = NULL;
        if (n > 0 && cookie_of(fd, &key.cookie))
            found = bsearch(&key, known, n, sizeof *known, compare);
        if (found == NULL) {
            close(fd);
            continue;
        }
        fn(context, fd, found->bytes, found->len);
        sockets++;
    }
    return sockets;
}

size_t
handover_open(struct baggage *baggage, handover_fn fn, void *context)
{
    int state = baggage_take(baggage, HANDOVER_STATE);
    struct known *known = NULL;
    char *bytes = MAP_FAILED;
    struct stat stat = { .st_size = 0 };
    size_t n = 0;

    if (state >= 0 && fstat(state, &stat) == 0 && stat.st_size > 0)
        bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, state, 0);
    if (bytes != MAP_FAILED)
        known = read_entries(bytes, (size_t)stat.st_size, &n);
    if (bytes != MAP_FAILED && known == NULL)
        fputs("handover: out of memory; clients and listening sockets are lost\n", stderr);
    size_t sockets = match(baggage, known, n, fn, context);
    free(known);
    if (bytes != MAP_FAILED)
        munmap(bytes, (size_t)stat.st_size);
    if (state >= 0)
        close(state);
    return sockets;
}
