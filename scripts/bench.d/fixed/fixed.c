/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fixed - the least that a server can do: one thread, raw epoll, and the same bytes for every
 * line that comes, without looking at it. What it costs is what the kernel costs.
 *
 *   fixed PORT KEYS VALUE_LEN COPIES    127.0.0.1, or a path: a unix socket; a reply has so
 *                                       many values; 0: it is STORED, to every second line
 *
 * For `scripts/bench --floor`, which has it measured beside real servers. The reply is in
 * memory COPIES times. 1: all come from the same bytes, which stay in the processor's cache;
 * several lines at once are answered by one send. More: one after the other, so that large
 * values come from memory, as those of a real server do.
 */
#define _GNU_SOURCE /* accept4() */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define INPUT   24576
#define EVENTS  64
#define RUN     512 /* replies that lie in a row to be sent at once */
#define KEY_LEN 30

struct client {
    int fd;
    size_t left; /* bytes still to be sent */
    const char *from; /* the copies that they are sent from */
    int waits;   /* for room in the socket */
    unsigned lines; /* of a request that has not all come */
};

static char *replies; /* `ncopies` times `run` replies */
static size_t reply_len, run, ncopies, next_copy;
static unsigned request_lines = 1;
static int epoll_fd;

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static void
await(struct client *client, unsigned events, int how)
{
    struct epoll_event event = { .events = events, .data.ptr = client };

    if (epoll_ctl(epoll_fd, how, client->fd, &event) != 0)
        die("epoll_ctl");
}

static void
end(struct client *client)
{
    close(client->fd);
    free(client);
}

/* Sends what is left: of whole copies of the reply, so where to begin follows from how much. */
static int
push(struct client *client)
{
    while (client->left > 0) {
        size_t into = (reply_len - client->left % reply_len) % reply_len;
        size_t len = run * reply_len - into;
        ssize_t sent;
        if (into == 0)
            client->from = replies + next_copy++ % ncopies * run * reply_len;
        if (len > client->left)
            len = client->left;
        sent = send(client->fd, client->from + into, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return -1;
        if (sent < 0 || (size_t)sent < len) {
            client->left -= sent < 0 ? 0 : (size_t)sent;
            if (!client->waits)
                await(client, EPOLLOUT, EPOLL_CTL_MOD);
            client->waits = 1;
            return 0;
        }
        client->left -= len;
    }
    if (client->waits)
        await(client, EPOLLIN, EPOLL_CTL_MOD);
    client->waits = 0;
    return 0;
}

static void
serve(struct client *client)
{
    static char input[INPUT];
    ssize_t got;

    if (!client->waits) {
        got = recv(client->fd, input, sizeof input, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            end(client);
            return;
        }
        for (const char *at = input; (at = memchr(at, '\n', (size_t)(input + got - at))) != NULL;
             at++)
            if (++client->lines == request_lines) {
                client->left += reply_len;
                client->lines = 0;
            }
    }
    if (push(client) != 0)
        end(client);
}

static void
welcome(int listener)
{
    struct client *client = calloc(1, sizeof *client);
    int one = 1;

    if (client == NULL)
        die("calloc");
    client->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client->fd < 0) {
        free(client);
        return;
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    await(client, EPOLLIN, EPOLL_CTL_ADD);
}

static int
listen_on(const char *where)
{
    struct sockaddr_un path = { .sun_family = AF_UNIX };
    struct sockaddr_in name = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(where)) };
    int local = strchr(where, '/') != NULL, one = 1;
    int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bad;

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    snprintf(path.sun_path, sizeof path.sun_path, "%s", where);
    bad = local ? bind(fd, (struct sockaddr *)&path, sizeof path) :
                  bind(fd, (struct sockaddr *)&name, sizeof name);
    if (bad != 0 || listen(fd, 1024) != 0)
        die("listen");
    return fd;
}

static char *
put_values(char *at, unsigned keys, size_t value_len)
{
    for (unsigned key = 0; key < keys; key++) {
        at += sprintf(at, "VALUE %0*u 0 %zu\r\n", KEY_LEN, key, value_len);
        memset(at, 'x', value_len);
        at += value_len;
        at += sprintf(at, "\r\n");
    }
    return at + sprintf(at, "END\r\n");
}

static void
make_replies(unsigned keys, size_t value_len, size_t copies)
{
    char *at;

    ncopies = copies;
    run = copies > 1 ? 1 : RUN;
    replies = at = malloc(ncopies * run * (keys * (64 + KEY_LEN + value_len) + 16));
    if (replies == NULL)
        die("malloc");
    for (size_t i = 0; i < ncopies * run; i++)
        at = keys > 0 ? put_values(at, keys, value_len) : at + sprintf(at, "STORED\r\n");
    request_lines = keys > 0 ? 1 : 2;
    reply_len = (size_t)(at - replies) / (ncopies * run);
}

int
main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    int listener;

    if (argc != 5 || atoi(argv[2]) < 0 || atoi(argv[4]) < 1) {
        fprintf(stderr, "usage: fixed PORT|PATH KEYS VALUE_LEN COPIES\n");
        return 2;
    }
    make_replies((unsigned)atoi(argv[2]), strtoul(argv[3], NULL, 10),
        strtoul(argv[4], NULL, 10));
    listener = listen_on(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening) != 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                welcome(listener);
            else
                serve(events[i].data.ptr);
        }
    }
}
