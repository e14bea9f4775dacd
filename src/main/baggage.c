/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/baggage.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define BAGS_FIRST 16
/* Who receives takes descriptors off the way at once; a manager that is busy may not. */
#define SEND_TRIES    500
#define SEND_PAUSE_NS 10000000

bool
baggage_put(struct baggage *baggage, const char *name, int fd)
{
    size_t len = strlen(name);

    if (baggage->n == baggage->size && len < BAGGAGE_NAME_MAX) {
        size_t size = baggage->size == 0 ? BAGS_FIRST : 2 * baggage->size;
        struct bag *bags = realloc(baggage->bags, size * sizeof *bags);
        if (bags != NULL) {
            baggage->bags = bags;
            baggage->size = size;
        }
    }
    if (baggage->n == baggage->size || len >= BAGGAGE_NAME_MAX) {
        close(fd);
        return false;
    }
    struct bag *bag = &baggage->bags[baggage->n++];
    memcpy(bag->name, name, len + 1);
    bag->fd = fd;
    return true;
}

int
baggage_take(struct baggage *baggage, const char *name)
{
    for (size_t i = 0; i < baggage->n; i++) {
        struct bag *bag = &baggage->bags[i];
        if (bag->fd < 0 || strcmp(bag->name, name) != 0)
            continue;
        int fd = bag->fd;
        bag->fd = -1;
        return fd;
    }
    return -1;
}

void
baggage_fini(struct baggage *baggage)
{
    for (size_t i = 0; i < baggage->n; i++)
        if (baggage->bags[i].fd >= 0)
            close(baggage->bags[i].fd);
    free(baggage->bags);
    *baggage = (struct baggage){ .bags = NULL };
}

size_t
baggage_run(const struct baggage *baggage, size_t *at, const char **name_out,
    int fds_out[BAGGAGE_RUN_MAX])
{
    size_t n = 0;

    for (; *at < baggage->n && n < BAGGAGE_RUN_MAX; ++*at) {
        const struct bag *bag = &baggage->bags[*at];
        if (bag->fd < 0)
            continue;
        if (n > 0 && strcmp(bag->name, *name_out) != 0)
            break;
        *name_out = bag->name;
        fds_out[n++] = bag->fd;
    }
    return n;
}

/* Aligned for the head of the control message. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(BAGGAGE_RUN_MAX * sizeof(int))];
};

int
baggage_send(int socket, const void *name, size_t name_len, const char *text, size_t len,
    const int *fds, size_t n)
{
    const struct timespec pause = { .tv_nsec = SEND_PAUSE_NS };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = len };
    union control control;
    struct msghdr message = { .msg_name = (void *)(uintptr_t)name,
        .msg_namelen = (socklen_t)name_len, .msg_iov = &iov, .msg_iovlen = 1 };

    assert(n <= BAGGAGE_RUN_MAX);
    if (n > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n * sizeof *fds);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(n * sizeof *fds);
        memcpy(CMSG_DATA(head), fds, n * sizeof *fds);
    }
    for (int i = 0; i < SEND_TRIES; i++) {
        if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR && errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS)
            return -errno;
        nanosleep(&pause, NULL);
    }
    return -ETIMEDOUT;
}

/* Descriptors that came with a message. */
static size_t
unpack(struct msghdr *message, int fds_out[BAGGAGE_RUN_MAX])
{
    size_t n = 0;

    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t some = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(n + some <= BAGGAGE_RUN_MAX);
        memcpy(fds_out + n, CMSG_DATA(head), some * sizeof(int));
        n += some;
    }
    return n;
}

long
baggage_receive(int socket, char *text, size_t size, int fds_out[BAGGAGE_RUN_MAX],
    size_t *n_out)
{
    struct iovec iov = { .iov_base = text, .iov_len = size - 1 };
    union control control;
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
    ssize_t got;

    *n_out = 0;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    *n_out = unpack(&message, fds_out);
    text[got] = '\0';
    return (long)got;
}
