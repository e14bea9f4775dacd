/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/predecessor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "main/notify.h"
#include "main/successor.h"

/* First descriptor that a service manager passes. */
#define MANAGER_FD 3
/* As many as a process could have. */
#define MANAGER_FDS_MAX 1000000

/* The next name of a list with colons between; NULL: there is none. */
static const char *
next_name(const char **list, char name[BAGGAGE_NAME_MAX])
{
    if (*list == NULL)
        return NULL;
    size_t len = strcspn(*list, ":");
    size_t some = len < BAGGAGE_NAME_MAX ? len : BAGGAGE_NAME_MAX - 1;
    memcpy(name, *list, some);
    name[some] = '\0';
    *list = (*list)[len] == ':' ? *list + len + 1 : NULL;
    return name;
}

/* LISTEN_PID says for whom a service manager's descriptors are, LISTEN_FDS how many. */
static int
count_passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");

    if (pid == NULL || count == NULL || atol(pid) != (long)getpid())
        return 0;
    int n = atoi(count);
    return n > 0 && n <= MANAGER_FDS_MAX ? n : 0;
}

static void
keep_for_oneself(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool
find_passed(struct predecessor *predecessor)
{
    const char *names = getenv("LISTEN_FDNAMES");
    int n = count_passed();
    bool room = true;

    for (int fd = MANAGER_FD; fd < MANAGER_FD + n; fd++) {
        char text[BAGGAGE_NAME_MAX];
        const char *name = next_name(&names, text);
        keep_for_oneself(fd);
        if (name != NULL && strncmp(name, BAGGAGE_PREFIX, strlen(BAGGAGE_PREFIX)) == 0) {
            (void)baggage_put(&predecessor->baggage, name, fd);
            predecessor->kept = true;
        } else if (predecessor->nactivated < LISTENERS_MAX) {
            predecessor->activated[predecessor->nactivated++] = fd;
        } else {
            room = false;
        }
    }
    /* Lest a child takes them for its own. */
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return room;
}

bool
predecessor_find(struct predecessor *predecessor)
{
    const char *number = getenv(PREDECESSOR_VARIABLE);
    int type = 0;
    socklen_t len = sizeof type;

    *predecessor = (struct predecessor){ .socket = -1 };
    bool room = find_passed(predecessor);
    if (!room)
        fprintf(stderr, "LISTEN_FDS: more than %d sockets\n", LISTENERS_MAX);
    if (number == NULL)
        return room;
    int fd = atoi(number);
    unsetenv(PREDECESSOR_VARIABLE);
    if (fd <= STDERR_FILENO || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
        type != SOCK_SEQPACKET)
        return room;
    keep_for_oneself(fd);
    predecessor->socket = fd;
    return room;
}

/* One message of the server that makes room. 1: there are more; 0: that was all. */
static int
receive_one(struct predecessor *predecessor)
{
    char text[BAGGAGE_NAME_MAX];
    int fds[BAGGAGE_RUN_MAX];
    size_t n;

    /* Without an end: should that server die the kernel tells. */
    long got = baggage_receive(predecessor->socket, text, sizeof text, fds, &n);
    if (got <= 0)
        return got == 0 ? -ECONNRESET : (int)got;
    for (size_t i = 0; i < n; i++)
        (void)baggage_put(&predecessor->baggage, text, fds[i]);
    if (strcmp(text, SUCCESSOR_CANCEL) == 0)
        return -ECANCELED;
    return strcmp(text, SUCCESSOR_ALL) != 0;
}

int
predecessor_receive(struct predecessor *predecessor)
{
    int more;

    if (predecessor->socket < 0)
        return 0;
    /* Nobody there: it was stopped while we got ready, and we were to follow it, not to serve
     * in spite of that. */
    more = baggage_send(predecessor->socket, NULL, 0, SUCCESSOR_READY,
        strlen(SUCCESSOR_READY), NULL, 0) == 0
        ? 1
        : -ECANCELED;
    while (more == 1)
        more = receive_one(predecessor);
    return more;
}

/* Sockets are many and have one name. */
static bool
is_first_of_name(const struct baggage *baggage, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(baggage->bags[i].name, baggage->bags[at].name) == 0)
            return false;
    return true;
}

void
predecessor_done(struct predecessor *predecessor)
{
    const struct baggage *baggage = &predecessor->baggage;

    for (size_t i = 0; predecessor->kept && i < baggage->n; i++)
        if (is_first_of_name(baggage, i))
            notify_forget(baggage->bags[i].name);
    predecessor->kept = false;
    predecessor_close(predecessor);
}

void
predecessor_close(struct predecessor *predecessor)
{
    baggage_fini(&predecessor->baggage);
    if (predecessor->socket >= 0)
        close(predecessor->socket);
    predecessor->socket = -1;
}
