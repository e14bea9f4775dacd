/* SPDX-License-Identifier: BSD-3-Clause */
/* traffic.c - connections: sending batches, framing replies, in a closed or open loop. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "loadgen.h"

#define INPUT_BYTES (256u * 1024u)
#define SILENCE_MS  10000 /* no reply for so long ends the run with an error */

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
connection_watch(
    struct thread *thread, struct connection *connection, uint32_t events, int how)
{
    struct epoll_event event = { .events = events, .data.ptr = connection };

    if (epoll_ctl(thread->epoll, how, connection->fd, &event) != 0)
        die("epoll_ctl");
}

static void
connection_flush(struct thread *thread, struct connection *connection)
{
    while (connection->out_sent < connection->out_len) {
        ssize_t n = send(connection->fd, connection->out + connection->out_sent,
            connection->out_len - connection->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            connection_watch(thread, connection, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n < 0)
            die("send");
        connection->out_sent += (size_t)n;
    }
}

/* Sends the next batch; false: all that was asked for has been sent. */
static bool
connection_batch(struct thread *thread, struct connection *connection, uint64_t began)
{
    char *at = connection->out;
    int n = 0;

    for (; n < options.depth; n++) {
        if (thread->budget > 0 && thread->sent >= thread->budget)
            break;
        at = put_request(thread, connection, at);
        thread->sent++;
    }
    if (n == 0)
        return false;
    connection->out_len = (size_t)(at - connection->out);
    connection->out_sent = 0;
    connection->owed = n;
    connection->began = began;
    connection_flush(thread, connection);
    return true;
}

static bool
starts(const char *line, size_t len, const char *with, size_t with_len)
{
    return len >= with_len && memcmp(line, with, with_len) == 0;
}

#define STARTS(line, len, literal) starts((line), (len), (literal), sizeof(literal) - 1)

/* Length of the value that a VALUE line announces, with its line end. */
static uint64_t
value_announced(const char *line, const char *end)
{
    uint64_t len = 0;

    for (int blanks = 0; line < end && blanks < 3; line++)
        blanks += *line == ' ';
    for (; line < end && *line >= '0' && *line <= '9'; line++)
        len = len * 10u + (uint64_t)(*line - '0');
    return len + 2;
}

/* Looks at one line of a reply; returns 1 if it ends the reply. */
static int
line_take(
    struct thread *thread, struct connection *connection, const char *line, size_t len)
{
    if (STARTS(line, len, "VALUE ")) {
        connection->skip = value_announced(line, line + len);
        thread->hits++;
        return 0;
    }
    if (STARTS(line, len, "VA ")) {
        connection->skip = strtoull(line + 3, NULL, 10) + 2;
        connection->last = true;
        thread->hits++;
        return 0;
    }
    if (STARTS(line, len, "STORED") || STARTS(line, len, "HD") ||
        (len > 0 && line[0] >= '0' && line[0] <= '9'))
        thread->hits++;
    else if (STARTS(line, len, "ERROR") || STARTS(line, len, "CLIENT_ERROR") ||
             STARTS(line, len, "SERVER_ERROR"))
        thread->errors++;
    return 1;
}

/* Looks at what may be the head of a binary reply; returns its length, 0 if it has not
 * come in full. */
static size_t
packet_take(
    struct thread *thread, struct connection *connection, const char *at, const char *end)
{
    const unsigned char *header = (const unsigned char *)at;
    uint64_t body = 0;

    if ((size_t)(end - at) < BINARY_HEADER)
        return 0;
    for (int i = 0; i < 4; i++)
        body = body << 8 | header[8 + i];
    unsigned status = (unsigned)header[6] << 8 | header[7];
    bool quiet = options.operation == BGETQ && header[1] != BINARY_NOOP;
    thread->hits += status == 0 && header[1] != BINARY_NOOP;
    thread->errors += header[0] != 0x81 || status > 5;
    connection->skip = body;
    connection->last = !quiet;
    return BINARY_HEADER;
}

/* Takes what complete lines, packets and values are in the input; returns how many
 * replies ended. */
static int
connection_frame(struct thread *thread, struct connection *connection)
{
    const char *at = connection->in, *end = connection->in + connection->in_len;
    int ended = 0;

    for (;;) {
        uint64_t n = (uint64_t)(end - at);
        if (n > connection->skip)
            n = connection->skip;
        at += n;
        connection->skip -= n;
        if (connection->skip > 0)
            break;
        ended += connection->last;
        connection->last = false;
        if (options.operation >= BGET) {
            size_t head = packet_take(thread, connection, at, end);
            if (head == 0)
                break;
            at += head;
            continue;
        }
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break;
        ended += line_take(thread, connection, at, (size_t)(newline - at));
        at = newline + 1;
    }
    connection->in_len = (size_t)(end - at);
    if (connection->in_len > 0)
        memmove(connection->in, at, connection->in_len);
    return ended;
}

static void
connection_lost(struct thread *thread, struct connection *connection)
{
    fprintf(stderr, "loadgen: the server closed a connection\n");
    thread->errors++;
    thread->live--;
    epoll_ctl(thread->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
}

/* Handles what epoll said of one connection; true: its batch is complete. */
static bool
connection_ready(struct thread *thread, struct connection *connection, uint32_t events)
{
    if ((events & EPOLLOUT) != 0 && connection->out_sent < connection->out_len) {
        connection_watch(thread, connection, EPOLLIN, EPOLL_CTL_MOD);
        connection_flush(thread, connection);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
        return false;
    ssize_t n = recv(connection->fd, connection->in + connection->in_len,
        INPUT_BYTES - connection->in_len, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        connection_lost(thread, connection);
        return false;
    }
    connection->in_len += (size_t)n;
    int ended = connection_frame(thread, connection);
    thread->done += (uint64_t)ended;
    connection->owed -= ended;
    return ended > 0 && connection->owed <= 0;
}

static int
dial(void)
{
    int one = 1, fd;

    if (options.path != NULL) {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        if (strlen(options.path) >= sizeof to.sun_path) {
            errno = ENAMETOOLONG;
            die(options.path);
        }
        memcpy(to.sun_path, options.path, strlen(options.path));
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
            die("connect");
    } else {
        struct sockaddr_in to = { .sin_family = AF_INET,
            .sin_port = htons((uint16_t)options.port) };
        /* Closing with a reset leaves no port in TIME_WAIT for the next run. */
        struct linger reset = { 1, 0 };
        if (inet_pton(AF_INET, options.address, &to.sin_addr) != 1)
            die("address");
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
            die("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void
thread_connect(struct thread *thread)
{
    size_t room = request_max() * (size_t)options.depth;

    thread->epoll = epoll_create1(0);
    thread->connections =
        allocate((size_t)thread->nconnections, sizeof *thread->connections);
    thread->idle = allocate((size_t)thread->nconnections, sizeof(struct connection *));
    for (int i = 0; i < thread->nconnections; i++) {
        struct connection *connection = &thread->connections[i];
        connection->fd = dial();
        connection->out = allocate(1, room);
        connection->in = allocate(1, INPUT_BYTES);
        connection->turn = (uint64_t)i;
        connection_watch(thread, connection, EPOLLIN, EPOLL_CTL_ADD);
    }
    thread->live = thread->nconnections;
}

static void
silence(struct thread *thread)
{
    fprintf(stderr, "loadgen: no reply for %d s\n", SILENCE_MS / 1000);
    thread->errors++;
    thread->live = 0;
}

/* Every connection is as busy as the server lets it. */
static void
closed_loop(struct thread *thread)
{
    struct epoll_event events[256];
    uint64_t stop = UINT64_MAX;

    if (options.seconds > 0)
        stop = thread->began + (uint64_t)(options.seconds * 1e9);
    for (int i = 0; i < thread->nconnections; i++)
        if (!connection_batch(thread, &thread->connections[i], thread->began))
            thread->live--;
    while (thread->live > 0) {
        int n = epoll_wait(thread->epoll, events, 256, SILENCE_MS);
        if (n == 0)
            silence(thread);
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection_ready(thread, connection, events[i].events))
                continue;
            uint64_t now = now_ns();
            histogram_add(&thread->latency, now - connection->began);
            if (now >= stop || stop_asked || !connection_batch(thread, connection, now))
                thread->live--;
        }
    }
}

/* Batches leave on time, as long as a connection is free. */
static void
open_loop(struct thread *thread)
{
    struct epoll_event events[256];
    double gap = 1e9 * options.depth * options.threads / options.rate;
    uint64_t stop = UINT64_MAX;
    double due = (double)thread->began;

    if (options.seconds > 0)
        stop = thread->began + (uint64_t)(options.seconds * 1e9);
    for (int i = 0; i < thread->nconnections; i++)
        thread->idle[thread->nidle++] = &thread->connections[i];
    for (;;) {
        uint64_t now = now_ns();
        if (stop_asked && stop > now)
            stop = now;
        while (now < stop && thread->nidle > 0 && due <= (double)now) {
            struct connection *connection = thread->idle[thread->nidle - 1];
            if (!connection_batch(thread, connection, (uint64_t)due)) {
                stop = now; /* all that was asked for has been sent */
                break;
            }
            thread->nidle--;
            due += gap;
        }
        if (thread->live <= 0 || (now >= stop && thread->nidle >= thread->live))
            return;
        struct timespec wait = { SILENCE_MS / 1000, 0 };
        if (now < stop && thread->nidle > 0) {
            uint64_t ns = due > (double)now ? (uint64_t)(due - (double)now) : 0;
            wait =
                (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
        }
        int n = epoll_pwait2(thread->epoll, events, 256, &wait, NULL);
        if (n == 0 && wait.tv_sec == SILENCE_MS / 1000)
            silence(thread);
        now = now_ns();
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection_ready(thread, connection, events[i].events))
                continue;
            histogram_add(&thread->latency, now - connection->began);
            thread->idle[thread->nidle++] = connection;
        }
    }
}

void *
thread_run(void *argument)
{
    struct thread *thread = argument;
    struct timespec before, after;

    thread_connect(thread);
    pthread_barrier_wait(&start_line);
    pthread_barrier_wait(&start_line);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    thread->began = now_ns();
    if (options.rate > 0)
        open_loop(thread);
    else
        closed_loop(thread);
    thread->ended = now_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    thread->cpu_us = (double)(after.tv_sec - before.tv_sec) * 1e6 +
                     (double)(after.tv_nsec - before.tv_nsec) / 1e3;
    pthread_barrier_wait(&start_line);
    for (int i = 0; i < thread->nconnections; i++)
        close(thread->connections[i].fd);
    return NULL;
}
