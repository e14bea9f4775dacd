/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

/* Where the manager listens. */
struct manager {
    struct sockaddr_un name;
    socklen_t len;
    int fd;
};

/* 0; -ENOTCONN: there is none; or another -errno, which was logged. */
static int
find_manager(struct manager *manager)
{
    const char *path = getenv("NOTIFY_SOCKET");

    *manager = (struct manager){ .name = { .sun_family = AF_UNIX } };
    if (path == NULL || (*path != '/' && *path != '@') ||
        strlen(path) >= sizeof manager->name.sun_path)
        return -ENOTCONN;
    size_t len = strlen(path);
    memcpy(manager->name.sun_path, path, len);
    if (*path == '@') /* an abstract name */
        manager->name.sun_path[0] = '\0';
    manager->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (manager->fd >= 0)
        return 0;
    int error = -errno;
    log_line(LOG_NOTICE, "NOTIFY_SOCKET: %s", strerror(errno));
    return error;
}

static int
tell(const struct manager *manager, const char *text, const int *fds, size_t n)
{
    int error = baggage_send(
        manager->fd, &manager->name, manager->len, text, strlen(text), fds, n);

    if (error != 0)
        log_line(LOG_NOTICE, "NOTIFY_SOCKET: %s", strerror(-error));
    return error;
}

bool
notify_is_possible(void)
{
    struct manager manager;
    bool possible = find_manager(&manager) == 0;

    if (possible)
        close(manager.fd);
    return possible;
}

void
notify_manager(const char *text)
{
    struct manager manager;

    if (find_manager(&manager) != 0)
        return;
    (void)tell(&manager, text, NULL, 0);
    close(manager.fd);
}

/* The manager closes its end of a pipe when it has worked off what was sent before. */
static int
wait_for_manager(const struct manager *manager)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    int error = tell(manager, "BARRIER=1", &ends[1], 1);
    close(ends[1]);
    struct pollfd wait = { .fd = ends[0] };
    int n = 0;
    while (error == 0 && (n = poll(&wait, 1, NOTIFY_WAIT_MS)) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    if (error == 0 && n <= 0)
        error = n == 0 ? -ETIMEDOUT : -errno;
    return error;
}

int
notify_keep(const struct baggage *baggage)
{
    int fds[BAGGAGE_RUN_MAX];
    struct manager manager;
    const char *name = NULL;
    char text[BAGGAGE_NAME_MAX + 32];
    size_t at = 0, n;
    int error = find_manager(&manager);

    if (error != 0)
        return error;
    while (error == 0 && (n = baggage_run(baggage, &at, &name, fds)) > 0) {
        snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s", name);
        error = tell(&manager, text, fds, n);
    }
    if (error == 0)
        error = wait_for_manager(&manager);
    close(manager.fd);
    return error;
}

void
notify_forget(const char *name)
{
    char text[BAGGAGE_NAME_MAX + 32];

    snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    notify_manager(text);
}
