/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - opening the sockets.
 *
 * Options are set on the listening socket only: Linux passes SO_KEEPALIVE and TCP_NODELAY
 * on to what is accepted from it, which saves two system calls for each client.
 */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "net/address.h"
#include "net/local.h"
#include "net/sockopt.h"
#include "net/take.h"
#include "net/udp.h"

#define STATUS_OS 71 /* EX_OSERR */

/* Notes a socket that listens. Takes `fd`; false: there are too many, or it is none. A unix
 * socket is never served by TLS: what goes over it does not leave the machine. */
static bool
add(struct listeners *listeners, int fd, enum protocol_choice protocol,
    enum tls_demand tls)
{
    struct parcel_name name;

    if (listeners->n == LISTENERS_MAX || !parcel_name_of(fd, &name)) {
        close(fd);
        return false;
    }
    struct listener *listener = &listeners->at[listeners->n++];
    *listener = (struct listener){
        .fd = fd, .family = name.at.ss_family, .protocol = (uint8_t)protocol,
        .tls = name.at.ss_family == AF_UNIX ? TLS_NEVER : (uint8_t)tls,
        .port = parcel_name_port(&name), .name = name
    };
    address_text((struct sockaddr *)&name.at, name.len, listener->address,
        sizeof listener->address);
    return true;
}

static enum tls_demand
tls_default(const struct options *options)
{
    return options->tls ? TLS_AS_OPTIONS : TLS_NEVER;
}

/* Sockets of a service manager. How many there are; -1: one is none. */
static int
adopt(struct listeners *listeners, const struct options *options)
{
    int n = (int)listeners->nactivated;

    for (int i = 0; i < n; i++) {
        int fd = listeners->activated[i], listens = 0;
        socklen_t len = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens) {
            fprintf(stderr, "LISTEN_FDS: descriptor %d is not a listening socket\n", fd);
            return -1;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        sockopt_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
        if (!add(listeners, fd, options->protocol, tls_default(options)))
            return -1;
        listeners->at[listeners->n - 1].activated = true;
        if (listeners->at[listeners->n - 1].family != AF_UNIX)
            sockopt_set(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    }
    return n;
}

/* A bound and listening socket, or -errno. */
static int
open_socket(const struct parcel_name *name, const struct options *options)
{
    int fd = socket(name->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (name->at.ss_family == AF_INET6)
        sockopt_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    sockopt_set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    sockopt_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
    sockopt_set(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    sockopt_mark(fd, options->sock_cookie_id);
    if (bind(fd, (const struct sockaddr *)&name->at, name->len) != 0 ||
        listen(fd, options->backlog) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* A socket that another process has had, as if it had just been opened. -1: none. */
static int
claim(const struct listeners *listeners, const struct parcel_name *name,
    const struct options *options)
{
    struct parcel_socket about;
    int fd = taken_claim(listeners->taken, SOCK_STREAM, name, &about);

    if (fd < 0)
        return -1;
    sockopt_mark(fd, options->sock_cookie_id);
    if (listen(fd, options->backlog) != 0)
        log_line(LOG_NOTICE, "listen(): %s", strerror(errno));
    return fd;
}

/* The socket for an address and port, 0 for any: what another process had, or a new one.
 * -errno: there is none. */
static int
provide(const struct listeners *listeners, const struct addrinfo *info, int port,
    const struct options *options)
{
    struct parcel_name name = parcel_name_from(info->ai_addr, info->ai_addrlen);

    if (port == 0)
        port = taken_port(listeners->taken, SOCK_STREAM, &name);
    parcel_name_set_port(&name, (uint16_t)port);
    int fd = claim(listeners, &name, options);
    if (fd >= 0)
        return fd;
    taken_make_way(listeners->taken, SOCK_STREAM, &name);
    return open_socket(&name, options);
}

/* -1, any free port: all addresses try to share the one that the first of them got, unless
 * another process has left one. */
static int
open_any_port(const struct listeners *listeners, const struct addrinfo *info,
    const struct options *options)
{
    struct parcel_name name = parcel_name_from(info->ai_addr, info->ai_addrlen);
    int port = listeners->n > 0 ? listeners->at[0].port : 0;
    int left = taken_port(listeners->taken, SOCK_STREAM, &name);

    if (left != 0)
        port = left;
    int fd = port > 0 ? provide(listeners, info, port, options) : -EADDRINUSE;

    return fd >= 0 ? fd : provide(listeners, info, 0, options);
}

/*
 * What is spoken at an address. Where clients have to log in that is what they can log in
 * by, whatever an entry asks for: no listener may be a way around the password. False: it
 * asks for another.
 */
static bool
choose_protocol(const struct address *address, const struct options *options,
    enum protocol_choice *protocol_out)
{
    bool locked = options->sasl || options->auth_file != NULL;

    *protocol_out = options->protocol;
    if (address->protocol < 0)
        return true;
    if (!locked) {
        *protocol_out = (enum protocol_choice)address->protocol;
        return true;
    }
    if (address->protocol == PROTOCOL_AUTO)
        fprintf(stderr, "WARNING: proto[negotiating]: only the %s protocol can be spoken "
            "where clients have to log in\n", options->sasl ? "binary" : "ascii");
    else if (address->protocol != (int)options->protocol)
        return false;
    return true;
}

/* An address that this machine's kernel cannot have is no reason not to serve the
 * others of the same name. */
static int
open_entry(struct listeners *listeners, const struct address *address,
    const struct options *options)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
    const char *shown = *address->host == '\0' ? "*" : address->host;
    int port = address->port >= 0 ? address->port : options->port;
    struct addrinfo *list, *info;
    int opened = 0, failed = 0;
    enum protocol_choice protocol;

    if (!choose_protocol(address, options, &protocol)) {
        fprintf(stderr, "ERROR: You cannot allow the %s protocol while using %s.\n",
            options->sasl ? "ascii" : "BINARY",
            options->sasl ? "SASL" : "ascii authentication tokens");
        return STATUS_OS;
    }
    int error = getaddrinfo(*address->host == '\0' ? NULL : address->host,
        *address->host == '\0' ? "0" : NULL, &hints, &list);
    if (error != 0) {
        fprintf(stderr, "getaddrinfo(): %s\n",
            error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
        fprintf(stderr, "failed to listen on one of interface(s) %s: %s\n", shown,
            gai_strerror(error));
        return STATUS_OS;
    }
    for (info = list; info != NULL; info = info->ai_next) {
        int fd = port == -1 ? open_any_port(listeners, info, options)
                            : provide(listeners, info, port, options);
        if (fd < 0) {
            failed = -fd;
            if (failed == EADDRINUSE)
                fprintf(stderr, "bind(): %s\n", strerror(failed));
        } else if (!add(listeners, fd, protocol,
                       options->tls ? address->tls : TLS_NEVER)) {
            failed = EMFILE;
        } else {
            listeners->at[listeners->n - 1].any_port = port <= 0;
            opened++;
        }
    }
    freeaddrinfo(list);
    if (opened > 0)
        return 0;
    fprintf(stderr, "failed to listen on one of interface(s) %s: %s\n", shown,
        strerror(failed != 0 ? failed : EADDRNOTAVAIL));
    return STATUS_OS;
}

static int
open_list(struct listeners *listeners, const struct options *options)
{
    const char *list = options->listen == NULL ? OPTION_LISTEN_DEFAULT : options->listen;
    const char *rest = list;
    char why[ADDRESS_WHY_MAX];
    struct address address;
    int status = 0;

    while (status == 0 && rest != NULL) {
        if (!address_next(&rest, options->tls, &address, why)) {
            fprintf(stderr, "%s\nfailed to listen on one of interface(s) %s\n", why, list);
            return STATUS_OS;
        }
        status = open_entry(listeners, &address, options);
    }
    return status;
}

/* The socket that another process had under this name, as it is wanted now. -1: none. */
static int
claim_unix(const struct listeners *listeners, const char *path,
    const struct options *options, const struct option_listener *listener)
{
    struct sockaddr_un unix_name = { .sun_family = AF_UNIX };
    struct parcel_name name;

    assert(path != NULL);
    if (strlen(path) >= sizeof unix_name.sun_path)
        return -1;
    memcpy(unix_name.sun_path, path, strlen(path));
    name = parcel_name_from((const struct sockaddr *)&unix_name, sizeof unix_name);
    int fd = claim(listeners, &name, options);
    if (fd >= 0)
        local_adjust(options, listener);
    return fd;
}

/* `listener`: NULL for -s. */
static int
open_unix(struct listeners *listeners, const struct options *options,
    const struct option_listener *listener)
{
    const char *path = local_path(options, listener);
    int fd = claim_unix(listeners, path, options, listener);
    struct stat stat;

    if (fd < 0)
        fd = local_open(options, listener);
    if (fd < 0 || !add(listeners, fd, options->protocol, TLS_NEVER))
        return STATUS_OS;
    struct listener *added = &listeners->at[listeners->n - 1];
    if (lstat(path, &stat) == 0 && (added->unlink_path = strdup(path)) != NULL) {
        added->device = stat.st_dev;
        added->inode = stat.st_ino;
    }
    return 0;
}

static int
open_extra_tcp(struct listeners *listeners, const struct options *options,
    const struct option_listener *listener)
{
    char why[ADDRESS_WHY_MAX];
    struct address address;

    if (!address_parse(slice_of(listener->address, strlen(listener->address)),
            options->tls, &address, why)) {
        fprintf(stderr, "--listener: %s\n", why);
        return STATUS_OS;
    }
    if (address.port < 0 && options->port == 0) {
        fprintf(stderr, "--listener: no port, and -p is 0: \"%s\"\n", listener->address);
        return STATUS_OS;
    }
    return open_entry(listeners, &address, options);
}

/* --listener: one or, of a name with several addresses, more. */
static int
open_extra(struct listeners *listeners, const struct options *options,
    const struct option_listener *listener)
{
    unsigned before = listeners->n;
    int status = option_listener_is_local(listener)
        ? open_unix(listeners, options, listener)
        : open_extra_tcp(listeners, options, listener);

    assert(listener->space < OPTION_SPACES_MAX);
    for (unsigned i = before; i < listeners->n; i++) {
        listeners->at[i].space = (uint8_t)listener->space;
        listeners->at[i].denied = listener->denied;
    }
    if (status == 0 && option_listener_is_local(listener) &&
        !local_users_find(&listeners->at[before].users, listener))
        status = STATUS_OS;
    return status;
}

int
listeners_open(struct listeners *listeners, const struct options *options)
{
    int status = 0;

    listeners->n = 0;
    int adopted = adopt(listeners, options);
    if (adopted < 0)
        status = STATUS_OS;
    else if (adopted == 0 && options->unix_socket != NULL)
        status = open_unix(listeners, options, NULL);
    else if (adopted == 0 && options->port != 0)
        status = open_list(listeners, options);
    for (unsigned i = 0; status == 0 && i < options->nlisteners; i++)
        status = open_extra(listeners, options, &options->listeners[i]);
    if (status != 0)
        listeners_close(listeners);
    return status;
}

void
listeners_close(struct listeners *listeners)
{
    struct stat stat;

    for (unsigned i = 0; i < listeners->n; i++) {
        struct listener *listener = &listeners->at[i];
        if (!listener->given)
            close(listener->fd);
        local_users_forget(&listener->users);
        if (!listener->given && listener->unlink_path != NULL &&
            lstat(listener->unlink_path, &stat) == 0 &&
            stat.st_dev == listener->device && stat.st_ino == listener->inode)
            unlink(listener->unlink_path);
        free(listener->unlink_path);
    }
    listeners->n = 0;
}

void
listeners_publish(const struct listeners *listeners, const struct udp *udp)
{
    const char *path = getenv("MEMCACHED_PORT_FILENAME");
    char *temporary;
    FILE *file;

    if (path == NULL || *path == '\0' || asprintf(&temporary, "%s.lck", path) < 0)
        return;
    file = fopen(temporary, "we");
    if (file == NULL) {
        fprintf(stderr, "Failed to open \"%s\": %s\n", temporary, strerror(errno));
        free(temporary);
        return;
    }
    for (unsigned i = 0; i < listeners->n; i++)
        if (listeners->at[i].port != 0)
            fprintf(file, "TCP %s: %d\n",
                listeners->at[i].family == AF_INET6 ? "INET6" : "INET",
                listeners->at[i].port);
    udp_publish(udp, file);
    if (fclose(file) != 0 || rename(temporary, path) != 0)
        fprintf(stderr, "Failed to write \"%s\": %s\n", path, strerror(errno));
    free(temporary);
}
