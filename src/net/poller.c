/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/poller.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "base/assert.h"

int
poller_init(struct poller *poller)
{
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    return poller->fd < 0 ? -errno : 0;
}

void
poller_fini(struct poller *poller)
{
    if (poller->fd >= 0)
        close(poller->fd);
    poller->fd = -1;
}

static uint32_t
bits_of(enum poller_want want)
{
    switch (want) {
    case POLLER_NOTHING:
        return EPOLLET; /* an error or the end, which are always told of: once */
    case POLLER_READ:
        return EPOLLIN;
    case POLLER_WRITE:
        return EPOLLOUT;
    }
    return 0;
}

bool
poller_add(struct poller *poller, int fd, void *subject)
{
    struct epoll_event event = { .events = bits_of(POLLER_READ), .data.ptr = subject };

    return epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool
poller_change(struct poller *poller, int fd, void *subject, enum poller_want want)
{
    struct epoll_event event = { .events = bits_of(want), .data.ptr = subject };

    return epoll_ctl(poller->fd, EPOLL_CTL_MOD, fd, &event) == 0;
}

void
poller_drop(struct poller *poller, int fd)
{
    int rc = epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, NULL);

    assert(rc == 0);
}

unsigned
poller_collect(struct poller *poller)
{
    int n = epoll_wait(poller->fd, poller->events, POLLER_MAX, 0);

    return n < 0 ? 0 : (unsigned)n; /* EINTR: the next call tells */
}
