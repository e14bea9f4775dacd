/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/tls.h"

struct link {
    int fd;
    struct tls *tls; /* NULL: none */
    const struct link_options *options;
    uint64_t deadline; /* of clock_micros() */
    bool ended;        /* the server sends no more */
    size_t in_at, in_end, out_at, out_end;
    char why[CTL_WHY_MAX];
    char in[LINK_BYTES], out[LINK_BYTES];
};

/* The first reason is the one that counts. */
__attribute__((format(printf, 2, 3))) static bool
fail(struct link *link, const char *format, ...)
{
    va_list values;

    if (link->why[0] != '\0')
        return false;
    va_start(values, format);
    vsnprintf(link->why, sizeof link->why, format, values);
    va_end(values);
    return false;
}

void
link_step(struct link *link)
{
    link->deadline = clock_micros() + (uint64_t)link->options->timeout_ms * 1000;
}

void
link_patience(struct link *link)
{
    link->deadline = UINT64_MAX;
}

/* Milliseconds that are left, rounded up; -1: no end. */
static int
left_ms(const struct link *link)
{
    uint64_t now = clock_micros();

    if (link->deadline == UINT64_MAX)
        return -1;
    return now >= link->deadline ? 0 : (int)((link->deadline - now + 999) / 1000);
}

/* Waits until the socket is ready for one of `events`. */
static bool
wait_for(struct link *link, short events)
{
    const struct link_options *options = link->options;
    struct pollfd fds[2] = {
        { .fd = link->fd, .events = events },
        { .fd = options->wake_fd, .events = POLLIN },
    };

    for (;;) {
        int ms = left_ms(link);
        int ready = ms == 0 ? 0 : poll(fds, options->wake_fd >= 0 ? 2 : 1, ms);

        if (ready < 0 && errno != EINTR)
            return fail(link, "poll: %s", strerror(errno));
        /* An interrupted wait goes to `wake` too: the signal may be about a new size. */
        if (options->wake_fd >= 0 && (ready < 0 || fds[1].revents != 0) &&
            options->wake(options->wake_context))
            return fail(link, "interrupted");
        if (ready > 0 && fds[0].revents != 0)
            return true;
        if (ready == 0)
            return fail(link, "no answer within %g s", options->timeout_ms / 1000.0);
    }
}

static int
try_connect(struct link *link, const struct sockaddr *address, socklen_t len)
{
    int error = 0, on = 1;
    socklen_t size = sizeof error;

    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd < 0)
        return errno;
    if (address->sa_family != AF_UNIX)
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(link->fd, address, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (!wait_for(link, POLLOUT))
        return ETIMEDOUT;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return errno;
    return error;
}

/* A failed attempt leaves no socket. */
static int
attempt(struct link *link, const struct sockaddr *address, socklen_t len)
{
    int error = try_connect(link, address, len);

    if (error != 0 && link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
    }
    return error;
}

static bool
connect_unix(struct link *link, const struct server *server)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    memcpy(address.sun_path, server->path, sizeof address.sun_path);
    int error = attempt(link, (struct sockaddr *)&address, sizeof address);
    return error == 0 || fail(link, "%s", strerror(error));
}

static bool
connect_tcp(struct link *link, const struct server *server)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *all = NULL;
    int error;

    /* AI_ADDRCONFIG knows no loopback: without another network "::1" would be unknown. */
    error = getaddrinfo(server->host, server->port, &hints, &all);
    if (error != 0) {
        hints.ai_flags = 0;
        error = getaddrinfo(server->host, server->port, &hints, &all);
    }
    if (error != 0)
        return fail(link, "%s", gai_strerror(error));
    error = EADDRNOTAVAIL;
    for (struct addrinfo *one = all; one != NULL && error != 0; one = one->ai_next)
        if (link->why[0] == '\0')
            error = attempt(link, one->ai_addr, one->ai_addrlen);
    freeaddrinfo(all);
    return error == 0 || fail(link, "%s", strerror(error));
}

static bool
shake_hands(struct link *link, const struct server *server)
{
    char why[CTL_WHY_MAX];
    short events = 0;
    int done;

    link->tls = tls_open(link->fd, &link->options->tls, server->host, why);
    if (link->tls == NULL)
        return fail(link, "%s", why);
    while ((done = tls_shake(link->tls, &events, why)) == 0)
        if (!wait_for(link, events))
            return false;
    return done > 0 || fail(link, "%s", why);
}

struct link *
link_open(const struct server *server, const struct link_options *options, char *why)
{
    struct link *link = calloc(1, sizeof *link);
    bool good;

    if (link == NULL) {
        snprintf(why, CTL_WHY_MAX, "out of memory");
        return NULL;
    }
    link->fd = -1;
    link->options = options;
    link_step(link);
    good = server->path[0] != '\0' ? connect_unix(link, server)
                                   : connect_tcp(link, server);
    if (good && options->tls.wanted && server->path[0] == '\0')
        good = shake_hands(link, server);
    if (!good) {
        snprintf(why, CTL_WHY_MAX, "%s", link->why);
        link_close(link);
        return NULL;
    }
    return link;
}

void
link_close(struct link *link)
{
    if (link->tls != NULL)
        tls_close(link->tls);
    if (link->fd >= 0)
        close(link->fd);
    free(link);
}

const char *
link_why(const struct link *link)
{
    return link->why;
}

/* Both say in *events what to wait for when they return -1 with EAGAIN. */
static ssize_t
receive(struct link *link, char *to, size_t len, short *events)
{
    *events = POLLIN;
    return link->tls != NULL ? tls_read(link->tls, to, len, events)
                             : recv(link->fd, to, len, 0);
}

static ssize_t
transmit(struct link *link, const char *from, size_t len, short *events)
{
    *events = POLLOUT;
    return link->tls != NULL ? tls_write(link->tls, from, len, events)
                             : send(link->fd, from, len, MSG_NOSIGNAL);
}

static bool
is_transient(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* Reads what is there, if there is room for it. False: failed. *got tells progress. */
static bool
read_some(struct link *link, short *events, bool *got)
{
    ssize_t n;

    *events = 0;
    if (link->ended)
        return true;
    if (link->in_end == sizeof link->in && link->in_at > 0) {
        memmove(link->in, link->in + link->in_at, link->in_end - link->in_at);
        link->in_end -= link->in_at;
        link->in_at = 0;
    }
    if (link->in_end == sizeof link->in)
        return true;
    n = receive(link, link->in + link->in_end, sizeof link->in - link->in_end, events);
    if (n < 0)
        return is_transient(errno) || fail(link, "%s", strerror(errno));
    if (n == 0)
        link->ended = true;
    link->in_end += (size_t)n;
    *got = n > 0;
    return true;
}

static bool
write_some(struct link *link, short *events, bool *got)
{
    ssize_t n = transmit(link, link->out + link->out_at, link->out_end - link->out_at,
        events);

    if (n < 0)
        return is_transient(errno) || fail(link, "%s", strerror(errno));
    link->out_at += (size_t)n;
    *got = n > 0;
    return true;
}

bool
link_flush(struct link *link)
{
    if (link->why[0] != '\0')
        return false;
    while (link->out_at < link->out_end) {
        short out_events = 0, in_events = 0;
        bool wrote = false, read = false;

        if (!write_some(link, &out_events, &wrote))
            return false;
        if (wrote)
            continue;
        /* The server may be waiting for us to read. */
        if (!read_some(link, &in_events, &read))
            return false;
        if (link->ended)
            return fail(link, "the server closed the connection");
        if (!read && !wait_for(link, out_events | in_events))
            return false;
    }
    link->out_at = link->out_end = 0;
    return true;
}

bool
link_put(struct link *link, const void *data, size_t len)
{
    const char *from = data;

    while (len > 0) {
        size_t room = sizeof link->out - link->out_end;
        size_t part = len < room ? len : room;

        memcpy(link->out + link->out_end, from, part);
        link->out_end += part;
        from += part;
        len -= part;
        if (link->out_end == sizeof link->out && !link_flush(link))
            return false;
    }
    return link->why[0] == '\0';
}

bool
link_put_text(struct link *link, const char *text)
{
    return link_put(link, text, strlen(text));
}

/* More bytes into the buffer, of which some are not yet taken. */
static bool
fill(struct link *link)
{
    bool got = false;

    if (!link_flush(link))
        return false;
    while (!got) {
        short events = 0;

        if (link->ended)
            return fail(link, "the server closed the connection");
        if (!read_some(link, &events, &got))
            return false;
        if (!got && !wait_for(link, events))
            return false;
        /* Also a server that always has something to say runs out of time. */
        if (got && left_ms(link) == 0)
            return fail(link, "no answer within %g s",
                link->options->timeout_ms / 1000.0);
    }
    return true;
}

bool
link_has_line(const struct link *link)
{
    return memchr(link->in + link->in_at, '\n', link->in_end - link->in_at) != NULL;
}

bool
link_line(struct link *link, struct slice *line_out)
{
    size_t seen = 0;
    char *end;

    if (link->why[0] != '\0')
        return false;
    for (;;) {
        size_t have = link->in_end - link->in_at;

        end = memchr(link->in + link->in_at + seen, '\n', have - seen);
        if (end != NULL)
            break;
        if (have == sizeof link->in)
            return fail(link, "a line of more than %u bytes", LINK_BYTES);
        seen = have;
        if (!fill(link))
            return false;
    }
    char *start = link->in + link->in_at;
    link->in_at = (size_t)(end + 1 - link->in);
    if (end > start && end[-1] == '\r')
        end--;
    *line_out = slice_of(start, (size_t)(end - start));
    if (link->in_at == link->in_end)
        link->in_at = link->in_end = 0;
    return true;
}

bool
link_bytes(struct link *link, size_t max, struct slice *bytes_out)
{
    size_t have;

    assert(max > 0);
    if (link->why[0] != '\0')
        return false;
    if (link->in_at == link->in_end && !fill(link))
        return false;
    have = link->in_end - link->in_at;
    *bytes_out = slice_of(link->in + link->in_at, have < max ? have : max);
    link->in_at += bytes_out->len;
    if (link->in_at == link->in_end)
        link->in_at = link->in_end = 0;
    return true;
}
