/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

void
notify_manager(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un name = { .sun_family = AF_UNIX };

    if (path == NULL || (*path != '/' && *path != '@') ||
        strlen(path) >= sizeof name.sun_path)
        return;
    size_t len = strlen(path);
    memcpy(name.sun_path, path, len);
    if (*path == '@') /* an abstract name */
        name.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&name,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
        log_line(LOG_NOTICE, "NOTIFY_SOCKET: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}
