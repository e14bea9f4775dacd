/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * take.c - taking up what another process has left: see leave.c.
 *
 * What a descriptor is, the kernel is asked; what its bytes say is believed only where a
 * lie harms nobody but the connection itself.
 */
#include "net/take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "net/inside.h"

#define SOCKETS_FIRST 16u

static int
number_of(int fd, int name)
{
    int number = -1;
    socklen_t len = sizeof number;

    return getsockopt(fd, SOL_SOCKET, name, &number, &len) == 0 ? number : -1;
}

static bool
make_room(struct taken *taken)
{
    unsigned size = taken->size == 0 ? SOCKETS_FIRST : 2 * taken->size;

    if (taken->nsockets < taken->size)
        return true;
    struct taken_socket *longer = realloc(taken->sockets, size * sizeof *longer);
    if (longer == NULL)
        return false;
    taken->sockets = longer;
    taken->size = size;
    return true;
}

static bool
take_socket(struct taken *taken, int fd, enum parcel_kind kind, const char *bytes,
    size_t len)
{
    struct taken_socket socket = { .fd = fd, .type = number_of(fd, SO_TYPE) };
    bool listens = number_of(fd, SO_ACCEPTCONN) == 1;

    if (!parcel_get_socket(bytes, len, &socket.about) ||
        !parcel_name_of(fd, &socket.name))
        return false;
    bool internet = socket.name.at.ss_family == AF_INET ||
                    socket.name.at.ss_family == AF_INET6;
    bool fits = kind == PARCEL_UDP
        ? socket.type == SOCK_DGRAM && internet && parcel_name_port(&socket.name) != 0
        : socket.type == SOCK_STREAM && listens &&
            (internet || socket.name.at.ss_family == AF_UNIX);
    if (!fits || !make_room(taken))
        return false;
    taken->sockets[taken->nsockets++] = socket;
    return true;
}

static bool
take_conn(struct taken *taken, int fd, const char *bytes, size_t len)
{
    struct parcel_conn about;
    struct passenger *passenger;

    if (!parcel_get_conn(bytes, len, &about) || number_of(fd, SO_TYPE) != SOCK_STREAM ||
        number_of(fd, SO_ACCEPTCONN) != 0)
        return false;
    passenger = malloc(sizeof *passenger + about.state_len + about.kept_len);
    if (passenger == NULL)
        return false;
    *passenger = (struct passenger){ taken->passengers, fd, about };
    memcpy(passenger->bytes, about.state, about.state_len);
    memcpy(passenger->bytes + about.state_len, about.kept, about.kept_len);
    passenger->about.state = passenger->bytes;
    passenger->about.kept = passenger->bytes + about.state_len;
    taken->passengers = passenger;
    return true;
}

bool
net_take(struct net *net, int fd, const void *bytes, size_t len)
{
    enum parcel_kind kind;
    bool good = parcel_get_kind(bytes, len, &kind);

    if (good)
        good = kind == PARCEL_CONN ? take_conn(&net->taken, fd, bytes, len)
                                   : take_socket(&net->taken, fd, kind, bytes, len);
    if (!good) {
        close(fd);
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return true;
}

/* ---- Sockets -------------------------------------------------------------------------- */

static const char *
path_of(const struct parcel_name *name)
{
    return ((const struct sockaddr_un *)(const void *)&name->at)->sun_path;
}

/* Does its file still lead to it? Where another one stands no client can come. */
static bool
has_its_file(const struct taken_socket *socket)
{
    struct stat stat;

    return socket->about.owned && *path_of(&socket->name) != '\0' &&
           lstat(path_of(&socket->name), &stat) == 0 && S_ISSOCK(stat.st_mode) &&
           (uint64_t)stat.st_dev == socket->about.device &&
           (uint64_t)stat.st_ino == socket->about.inode;
}

int
taken_claim(struct taken *taken, int type, const struct parcel_name *name,
    struct parcel_socket *about_out)
{
    for (unsigned i = 0; i < taken->nsockets; i++) {
        struct taken_socket *socket = &taken->sockets[i];
        int fd = socket->fd;
        if (fd < 0 || socket->type != type || !parcel_name_equal(&socket->name, name))
            continue;
        if (name->at.ss_family == AF_UNIX && !has_its_file(socket))
            continue;
        socket->fd = -1;
        *about_out = socket->about;
        return fd;
    }
    return -1;
}

uint16_t
taken_port(const struct taken *taken, int type, const struct parcel_name *name)
{
    struct parcel_name wanted = *name;

    for (unsigned i = 0; i < taken->nsockets; i++) {
        const struct taken_socket *socket = &taken->sockets[i];
        if (socket->fd < 0 || socket->type != type || !socket->about.any_port)
            continue;
        parcel_name_set_port(&wanted, parcel_name_port(&socket->name));
        if (parcel_name_equal(&socket->name, &wanted))
            return parcel_name_port(&wanted);
    }
    return 0;
}

/* Closes it and removes its file. */
static void
drop_socket(struct taken_socket *socket)
{
    if (socket->fd < 0)
        return;
    if (socket->name.at.ss_family == AF_UNIX && has_its_file(socket))
        unlink(path_of(&socket->name));
    close(socket->fd);
    socket->fd = -1;
}

void
taken_make_way(struct taken *taken, int type, const struct parcel_name *name)
{
    for (unsigned i = 0; i < taken->nsockets; i++)
        if (taken->sockets[i].type == type &&
            parcel_name_clash(&taken->sockets[i].name, name))
            drop_socket(&taken->sockets[i]);
}

void
taken_close_sockets(struct taken *taken)
{
    for (unsigned i = 0; i < taken->nsockets; i++)
        drop_socket(&taken->sockets[i]);
    free(taken->sockets);
    taken->sockets = NULL;
    taken->nsockets = taken->size = 0;
}

/* ---- Connections ---------------------------------------------------------------------- */

/* The listener that a connection came through, as it is now; -1: it is gone, or it speaks
 * TLS now, of which a client that came before knows nothing. */
static int
listener_of(const struct listeners *listeners, const struct parcel_conn *conn)
{
    for (unsigned i = 0; i < listeners->n; i++)
        if (parcel_name_equal(&listeners->at[i].name, &conn->listener))
            return listeners->at[i].tls == TLS_NEVER ? (int)i : -1;
    return -1;
}

void
taken_board(struct net *net)
{
    struct passenger *passenger;

    while ((passenger = net->taken.passengers) != NULL) {
        int listener = listener_of(&net->acceptor.listeners, &passenger->about);
        net->taken.passengers = passenger->next;
        if (listener >= 0 && acceptor_take(net, passenger, (unsigned)listener))
            continue;
        log_line(LOG_CLIENT, "<%d not taken over", passenger->fd);
        close(passenger->fd);
        free(passenger);
    }
}

void
taken_close(struct taken *taken)
{
    struct passenger *passenger;

    taken_close_sockets(taken);
    while ((passenger = taken->passengers) != NULL) {
        taken->passengers = passenger->next;
        close(passenger->fd);
        free(passenger);
    }
}
