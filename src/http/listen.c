/* SPDX-License-Identifier: BSD-3-Clause */
/* listen.c - the endpoint's socket. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http.h"

#define LISTEN_DEFAULT "127.0.0.1"
#define BACKLOG        128

static int
complain(const char *where, const char *why)
{
    fprintf(stderr, "-o http=%s: failed to listen: %s\n", where, why);
    return -1;
}

static int
open_unix(const char *where, const char *path, unsigned mask)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct stat stat;

    if (strlen(path) >= sizeof name.sun_path)
        return complain(where, "the path is too long");
    memcpy(name.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return complain(where, strerror(errno));
    /* What a server left behind is in the way; anything else is left alone. */
    if (lstat(path, &stat) == 0 && S_ISSOCK(stat.st_mode))
        unlink(path);
    mode_t old = umask(~(mode_t)mask & 0777);
    int error = bind(fd, (struct sockaddr *)&name, sizeof name) == 0 ? 0 : errno;
    umask(old);
    if (error == 0 && listen(fd, BACKLOG) != 0)
        error = errno;
    if (error == 0)
        return fd;
    close(fd);
    return complain(where, strerror(error));
}

static int
open_address(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* Whoever can reach it is shown everything: who has opened it to others should know. */
static void
warn_of_others(const char *where, const struct addrinfo *info)
{
    const struct sockaddr_in *four = (const void *)info->ai_addr;
    const struct sockaddr_in6 *six = (const void *)info->ai_addr;
    bool own = info->ai_family == AF_INET ? ntohl(four->sin_addr.s_addr) >> 24 == 127
                                          : IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);

    if (!own)
        fprintf(stderr,
            "WARNING: -o http=%s: no password is asked there, and hot keys are "
            "shown\n",
            where);
}

/* "[::1]:80", "name:80", ":80", "80". `host` is what was copied and is cut up. */
static const char *
split(char *text, const char **host_out)
{
    char *port = strrchr(text, ':');
    size_t len;

    *host_out = LISTEN_DEFAULT;
    if (port == NULL)
        return text;
    *port++ = '\0';
    len = strlen(text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = '\0';
        text++;
    }
    if (*text != '\0')
        *host_out = text;
    return port;
}

static int
open_tcp(const char *where)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    char *copy = strdup(where);
    const char *host;
    int fd = -ENOMEM;

    if (copy == NULL)
        return complain(where, strerror(errno));
    const char *port = split(copy, &host);
    int error = *port == '\0' ? EAI_SERVICE
                              : getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port,
                                    &hints, &list);
    free(copy);
    if (error != 0)
        return complain(where, gai_strerror(error));
    for (const struct addrinfo *info = list; info != NULL && fd < 0;
         info = info->ai_next) {
        fd = open_address(info);
        if (fd >= 0)
            warn_of_others(where, info);
    }
    freeaddrinfo(list);
    return fd >= 0 ? fd : complain(where, strerror(-fd));
}

int
http_listen(const char *where, unsigned mask, bool *local_out)
{
    static const char unix_form[] = "unix:";
    size_t len = sizeof unix_form - 1;

    *local_out = strncmp(where, unix_form, len) == 0;
    return *local_out ? open_unix(where, where + len, mask) : open_tcp(where);
}
