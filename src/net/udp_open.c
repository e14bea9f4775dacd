/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * udp_open.c - the sockets for datagrams: opening, sharing, showing and closing them.
 *
 * Why a socket for each worker (SO_REUSEPORT) and not one that all wait for: the kernel
 * deals the datagrams out by their source, no worker wakes for what another takes, and one
 * that is busy holds up only its own. With a list of addresses each has one worker, as in
 * memcached: `stats settings` says so by num_threads_per_udp.
 *
 * SO_REUSEPORT would let a second server of the same user take a share of the datagrams
 * without anybody noticing. So the first socket of an address is bound without it, which
 * fails if the port is taken, and gets it only then. Where another process of ours has left
 * sockets of the address they are used first, and others join them.
 */
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/address.h"
#include "net/frame.h"
#include "net/sockopt.h"
#include "net/take.h"
#include "net/udp.h"
#include "net/worker.h"

#define STATUS_FAILURE 1
#define STATUS_OS      71 /* EX_OSERR */
#define ADDRESSES_MAX  96u
#define SEND_BUFFER    (4 << 20) /* asked for; the kernel grants what it likes */

/* A bound socket, or -errno. `first`: nobody else may have the port. */
static int
open_socket(
    const struct parcel_name *name, bool first, const struct options *options)
{
    int fd = socket(name->at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (name->at.ss_family == AF_INET6) {
        sockopt_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
        sockopt_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO");
    } else {
        sockopt_set(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO");
    }
    sockopt_set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER, "SO_SNDBUF");
    sockopt_mark(fd, options->sock_cookie_id);
    if (!first)
        sockopt_set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    if (bind(fd, (const struct sockaddr *)&name->at, name->len) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    if (first)
        sockopt_set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    return fd;
}

/* The socket another process had, or a new one; or -errno. */
static int
provide(struct udp *udp, const struct parcel_name *name, bool first,
    const struct options *options)
{
    struct parcel_socket about;
    int fd = taken_claim(udp->taken, SOCK_DGRAM, name, &about);

    if (fd < 0) {
        taken_make_way(udp->taken, SOCK_DGRAM, name);
        return open_socket(name, first, options);
    }
    sockopt_mark(fd, options->sock_cookie_id);
    return fd;
}

static void
describe(struct udp_socket *socket, int fd, const struct parcel_name *name,
    enum protocol_choice protocol, uint16_t listener)
{
    *socket = (struct udp_socket){
        .fd = fd,
        .port = parcel_name_port(name),
        .overhead = name->at.ss_family == AF_INET6 ? FRAME_OVERHEAD_IP6
                                                : FRAME_OVERHEAD_IP4,
        .peer = { .fd = fd, .listener = listener, .protocol = (uint8_t)protocol,
            .datagram = true },
    };
    address_text((const struct sockaddr *)&name->at, name->len, socket->address,
        sizeof socket->address);
    assert(strncmp(socket->address, "tcp", 3) == 0); /* which is all that it knows of internet */
    memcpy(socket->address, "udp", 3);
}

/* The sockets for one address, one for each of `copies` workers. 0 or -errno. */
static int
open_address(struct udp *udp, const struct addrinfo *info, int port, unsigned copies,
    enum protocol_choice protocol, const struct options *options)
{
    struct parcel_name name = parcel_name_from(info->ai_addr, info->ai_addrlen);
    unsigned before = udp->n;

    parcel_name_set_port(&name, port != 0 ? (uint16_t)port
                                          : taken_port(udp->taken, SOCK_DGRAM, &name));
    for (unsigned i = 0; i < copies; i++) {
        if (udp->n == udp->size)
            return -EMFILE;
        int fd = provide(udp, &name, i == 0, options);
        if (fd < 0)
            return fd;
        /* The port that the first got, if any would do. */
        if (!parcel_name_of(fd, &name)) {
            close(fd);
            return -EADDRNOTAVAIL;
        }
        describe(&udp->at[udp->n], fd, &name, protocol, (uint16_t)before);
        udp->at[udp->n++].any_port = port == 0;
    }
    return 0;
}

/* Is there a port that another process had without asking for it? */
static bool
is_left(const struct udp *udp, const struct addrinfo *info)
{
    const struct parcel_name name = parcel_name_from(info->ai_addr, info->ai_addrlen);

    return taken_port(udp->taken, SOCK_DGRAM, &name) != 0;
}

/* -1, any free port: all addresses try to share the one that the first of them got. */
static int
open_any_port(struct udp *udp, const struct addrinfo *info, unsigned copies,
    enum protocol_choice protocol, const struct options *options)
{
    unsigned before = udp->n;

    if (udp->n > 0 && !is_left(udp, info) &&
        open_address(udp, info, udp->at[0].port, copies, protocol, options) == 0) {
        for (unsigned i = before; i < udp->n; i++)
            udp->at[i].any_port = true;
        return 0;
    }
    while (udp->n > before)
        close(udp->at[--udp->n].fd);
    return open_address(udp, info, 0, copies, protocol, options);
}

static int
open_entry(struct udp *udp, const struct address *address, unsigned copies,
    const struct options *options)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_DGRAM };
    bool any = *address->host == '\0';
    int port = address->port >= 0 ? address->port : options->udp_port;
    enum protocol_choice protocol = address->protocol < 0
        ? options->protocol
        : (enum protocol_choice)address->protocol;
    struct addrinfo *list, *info;
    int failed = EADDRNOTAVAIL;
    unsigned opened = 0;

    int error = getaddrinfo(
        any ? NULL : address->host, any ? "0" : NULL, &hints, &list);
    if (error != 0) {
        fprintf(stderr, "getaddrinfo(): %s\n",
            error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
        return STATUS_OS;
    }
    for (info = list; info != NULL; info = info->ai_next) {
        error = port == -1
            ? open_any_port(udp, info, copies, protocol, options)
            : open_address(udp, info, port, copies, protocol, options);
        if (error == 0)
            opened++;
        else
            failed = -error;
        if (failed == EADDRINUSE)
            fprintf(stderr, "bind(): %s\n", strerror(failed));
    }
    freeaddrinfo(list);
    if (opened > 0)
        return 0;
    fprintf(stderr, "failed to listen on UDP port %d of %s: %s\n", port,
        any ? "*" : address->host, strerror(failed));
    return STATUS_OS;
}

static int
open_list(struct udp *udp, unsigned copies, const struct options *options)
{
    const char *rest = options->listen == NULL ? OPTION_LISTEN_DEFAULT : options->listen;
    char why[ADDRESS_WHY_MAX];
    struct address address;
    int status = 0;

    while (status == 0 && rest != NULL) {
        if (!address_next(&rest, options->tls, &address, why)) {
            fprintf(stderr, "%s\n", why);
            return STATUS_OS;
        }
        status = open_entry(udp, &address, copies, options);
    }
    return status;
}

/* --listener: it takes datagrams, too, for the same space and with the same rights. */
static int
open_extra(struct udp *udp, unsigned copies, const struct option_listener *listener,
    const struct options *options)
{
    unsigned before = udp->n;
    struct address address;
    char why[ADDRESS_WHY_MAX];

    if (option_listener_is_local(listener))
        return 0;
    if (!address_parse(slice_of(listener->address, strlen(listener->address)),
            options->tls, &address, why)) {
        fprintf(stderr, "--listener: %s\n", why);
        return STATUS_OS;
    }
    int status = open_entry(udp, &address, copies, options);
    for (unsigned i = before; i < udp->n; i++) {
        udp->at[i].space = (uint8_t)listener->space;
        udp->at[i].peer.denied = listener->denied;
    }
    return status;
}

int
udp_open(struct udp *udp, const struct options *options)
{
    bool many = options->listen != NULL && strpbrk(options->listen, ",;") != NULL;
    unsigned copies = many ? 1 : (unsigned)options->threads;

    if (options->udp_port == 0)
        return 0;
    udp->size = ADDRESSES_MAX * copies;
    udp->at = calloc(udp->size, sizeof *udp->at);
    if (udp->at == NULL) {
        fprintf(stderr, "out of memory\n");
        return STATUS_FAILURE;
    }
    int status = options->unix_socket != NULL ? 0 : open_list(udp, copies, options);
    for (unsigned i = 0; status == 0 && i < options->nlisteners; i++)
        status = open_extra(udp, copies, &options->listeners[i], options);
    return status;
}

void
udp_close(struct udp *udp)
{
    for (unsigned i = 0; i < udp->n; i++)
        if (!udp->at[i].given)
            close(udp->at[i].fd);
    free(udp->at);
    *udp = (struct udp){ 0 };
}

/* All copies have the same port. */
void
udp_publish(const struct udp *udp, FILE *file)
{
    for (unsigned i = 0; i < udp->n; i++)
        if (udp->at[i].peer.listener == i)
            fprintf(file, "UDP %s: %d\n",
                udp->at[i].overhead == FRAME_OVERHEAD_IP6 ? "INET6" : "INET",
                udp->at[i].port);
}

bool
udp_start(struct udp *udp, struct worker *workers, unsigned nworkers, uint32_t now)
{
    for (unsigned i = 0; i < udp->n; i++) {
        struct udp_socket *socket = &udp->at[i];
        struct worker *worker = &workers[i % nworkers];
        atomic_init(&socket->last_request, now);
        if (event_assign(&socket->event, worker->base, socket->fd, EV_READ | EV_PERSIST,
                udp_ready, socket) != 0)
            return false;
        socket->worker = worker;
        socket->peer.place = worker->datagram;
        if (event_add(&socket->event, NULL) != 0)
            return false;
    }
    return true;
}

void
udp_stop(struct udp *udp)
{
    for (unsigned i = 0; i < udp->n; i++) {
        if (udp->at[i].worker != NULL)
            event_del(&udp->at[i].event);
        udp->at[i].worker = NULL;
    }
}

void
udp_each(const struct udp *udp, int fd_min, int fd_max, uint32_t now, net_conn_fn fn,
    void *context)
{
    for (unsigned i = 0; i < udp->n; i++) {
        const struct udp_socket *socket = &udp->at[i];
        uint32_t last =
            atomic_load_explicit(&socket->last_request, memory_order_relaxed);
        if (socket->fd >= fd_min && socket->fd <= fd_max)
            fn(context,
                &(struct net_conn){ .fd = socket->fd, .address = socket->address,
                    .datagram = true, .state = CONN_READ,
                    .idle = now > last ? now - last : 0 });
    }
}
