/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/sockopt.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

void
sockopt_set(int fd, int level, int name, int value, const char *what)
{
    if (setsockopt(fd, level, name, &value, sizeof value) != 0)
        log_line(LOG_NOTICE, "setsockopt(%s): %s", what, strerror(errno));
}

void
sockopt_mark(int fd, uint32_t mark)
{
    if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
        log_line(LOG_ALWAYS, "sock_cookie_id: setsockopt(SO_MARK): %s", strerror(errno));
}
