/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/parcel.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/service.h"
#include "net/conn.h"
#include "net/net.h"

#define MAGIC       "LNET"
#define MAGIC_LEN   4u
#define FORMAT     1u
#define HEAD_LEN    (MAGIC_LEN + 2)
#define ANY_PORT    1u
#define OWNED       2u
#define RUNNABLE    1u

_Static_assert(32u + PARCEL_NAME_MAX + SERVICE_STATE_MAX + CONN_KEPT_MAX <= NET_PARCEL_MAX,
    "what a connection may have fits");
_Static_assert(PARCEL_NAME_MAX <= UINT8_MAX, "a length of one byte will do");

/* ---- Numbers -------------------------------------------------------------------------- */

static char *
put(char *to, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *to++ = (char)(number >> (8 * i) & 0xff);
    return to;
}

static char *
put_head(char *to, enum parcel_kind kind)
{
    memcpy(to, MAGIC, MAGIC_LEN);
    to[MAGIC_LEN] = FORMAT;
    to[MAGIC_LEN + 1] = (char)kind;
    return to + HEAD_LEN;
}

/* What is left to be read; `bad` once something was not there. */
struct reader {
    const char *at;
    size_t left;
    bool bad;
};

/* The next `len` bytes. NULL: there are fewer. */
static const char *
take(struct reader *reader, size_t len)
{
    const char *at = reader->at;

    if (reader->bad || len > reader->left) {
        reader->bad = true;
        return NULL;
    }
    reader->at += len;
    reader->left -= len;
    return at;
}

static uint64_t
take_number(struct reader *reader, unsigned bytes)
{
    const char *at = take(reader, bytes);
    uint64_t number = 0;

    for (unsigned i = 0; at != NULL && i < bytes; i++)
        number |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return number;
}

/* Bytes behind a length of two. */
static const char *
take_run(struct reader *reader, size_t max, size_t *len_out)
{
    size_t len = (size_t)take_number(reader, 2);

    reader->bad |= len > max;
    *len_out = len;
    return take(reader, len);
}

static struct reader
reader_of(const char *bytes, size_t len)
{
    struct reader reader = { bytes, len, false };

    (void)take(&reader, HEAD_LEN);
    return reader;
}

bool
parcel_get_kind(const char *bytes, size_t len, enum parcel_kind *kind_out)
{
    if (len < HEAD_LEN || len > NET_PARCEL_MAX || memcmp(bytes, MAGIC, MAGIC_LEN) != 0 ||
        bytes[MAGIC_LEN] != FORMAT)
        return false;
    switch (bytes[MAGIC_LEN + 1]) {
    case PARCEL_LISTENER:
    case PARCEL_UDP:
    case PARCEL_CONN:
        *kind_out = (enum parcel_kind)bytes[MAGIC_LEN + 1];
        return true;
    default:
        return false;
    }
}

/* ---- Sockets -------------------------------------------------------------------------- */

size_t
parcel_put_socket(char *to, enum parcel_kind kind, const struct parcel_socket *socket)
{
    char *at = put_head(to, kind);

    at = put(at, (socket->any_port ? ANY_PORT : 0) | (socket->owned ? OWNED : 0), 1);
    at = put(at, socket->device, 8);
    at = put(at, socket->inode, 8);
    assert((size_t)(at - to) <= PARCEL_SOCKET_ROOM);
    return (size_t)(at - to);
}

bool
parcel_get_socket(const char *bytes, size_t len, struct parcel_socket *socket_out)
{
    struct reader reader = reader_of(bytes, len);
    uint64_t flags = take_number(&reader, 1);

    *socket_out = (struct parcel_socket){
        .any_port = (flags & ANY_PORT) != 0,
        .owned = (flags & OWNED) != 0,
        .device = take_number(&reader, 8),
    };
    socket_out->inode = take_number(&reader, 8);
    return !reader.bad && reader.left == 0;
}

/* ---- Connections ---------------------------------------------------------------------- */

size_t
parcel_put_conn(char *to, const struct parcel_conn *conn)
{
    const struct parcel_name *name = &conn->listener;
    char *at = put_head(to, PARCEL_CONN);

    assert(name->len <= PARCEL_NAME_MAX);
    at = put(at, conn->runnable ? RUNNABLE : 0, 1);
    at = put(at, conn->idle, 4);
    at = put(at, conn->waited, 4);
    at = put(at, conn->arrived, 4);
    at = put(at, name->len, 2);
    memcpy(at, &name->at, name->len);
    at = put(at + name->len, conn->state_len, 2);
    memcpy(at, conn->state, conn->state_len);
    at = put(at + conn->state_len, conn->kept_len, 2);
    if (conn->kept_len > 0)
        memcpy(at, conn->kept, conn->kept_len);
    at += conn->kept_len;
    assert((size_t)(at - to) <= PARCEL_CONN_ROOM(conn));
    return (size_t)(at - to);
}

bool
parcel_get_conn(const char *bytes, size_t len, struct parcel_conn *conn_out)
{
    struct reader reader = reader_of(bytes, len);
    struct parcel_conn conn = { .runnable = (take_number(&reader, 1) & RUNNABLE) != 0 };
    size_t name_len;

    conn.idle = (uint32_t)take_number(&reader, 4);
    conn.waited = (uint32_t)take_number(&reader, 4);
    conn.arrived = (uint32_t)take_number(&reader, 4);
    const char *name = take_run(&reader, PARCEL_NAME_MAX, &name_len);
    conn.state = take_run(&reader, SERVICE_STATE_MAX, &conn.state_len);
    conn.kept = take_run(&reader, CONN_KEPT_MAX, &conn.kept_len);
    if (reader.bad || reader.left != 0 || name_len < sizeof conn.listener.at.ss_family)
        return false;
    conn.listener.len = (socklen_t)name_len;
    memcpy(&conn.listener.at, name, name_len);
    *conn_out = conn;
    return true;
}

/* ---- Names ---------------------------------------------------------------------------- */

struct parcel_name
parcel_name_from(const struct sockaddr *at, socklen_t len)
{
    struct parcel_name name = { .len = len };

    assert(len <= sizeof name.at);
    memcpy(&name.at, at, len);
    return name;
}

bool
parcel_name_of(int fd, struct parcel_name *name_out)
{
    struct parcel_name name = { .len = sizeof name.at };

    if (getsockname(fd, (struct sockaddr *)&name.at, &name.len) != 0 ||
        name.len > PARCEL_NAME_MAX || name.len < sizeof name.at.ss_family)
        return false;
    *name_out = name;
    return true;
}

static const struct sockaddr_in *
as_in(const struct parcel_name *name)
{
    return (const struct sockaddr_in *)(const void *)&name->at;
}

static const struct sockaddr_in6 *
as_in6(const struct parcel_name *name)
{
    return (const struct sockaddr_in6 *)(const void *)&name->at;
}

static bool
same_host(const struct parcel_name *a, const struct parcel_name *b)
{
    if (a->at.ss_family == AF_INET)
        return as_in(a)->sin_addr.s_addr == as_in(b)->sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&as_in6(a)->sin6_addr, &as_in6(b)->sin6_addr) &&
           as_in6(a)->sin6_scope_id == as_in6(b)->sin6_scope_id;
}

static bool
is_wildcard(const struct parcel_name *name)
{
    if (name->at.ss_family == AF_INET)
        return as_in(name)->sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&as_in6(name)->sin6_addr);
}

static bool
is_internet(const struct parcel_name *name)
{
    return name->at.ss_family == AF_INET || name->at.ss_family == AF_INET6;
}

/* A path may or may not be counted with the zero that ends it; an abstract name begins with
 * one and is as long as it says. */
static bool
same_path(const struct parcel_name *a, const struct parcel_name *b)
{
    const struct sockaddr_un *left = (const struct sockaddr_un *)(const void *)&a->at;
    const struct sockaddr_un *right = (const struct sockaddr_un *)(const void *)&b->at;

    if (left->sun_path[0] == '\0' || right->sun_path[0] == '\0')
        return a->len == b->len && memcmp(left, right, a->len) == 0;
    return strncmp(left->sun_path, right->sun_path, sizeof left->sun_path) == 0;
}

bool
parcel_name_equal(const struct parcel_name *a, const struct parcel_name *b)
{
    if (a->at.ss_family != b->at.ss_family)
        return false;
    if (a->at.ss_family == AF_UNIX)
        return same_path(a, b);
    return is_internet(a) && same_host(a, b) &&
           parcel_name_port(a) == parcel_name_port(b);
}

bool
parcel_name_clash(const struct parcel_name *a, const struct parcel_name *b)
{
    return a->at.ss_family == b->at.ss_family && is_internet(a) &&
           parcel_name_port(a) == parcel_name_port(b) && !same_host(a, b) &&
           (is_wildcard(a) || is_wildcard(b));
}

uint16_t
parcel_name_port(const struct parcel_name *name)
{
    if (name->at.ss_family == AF_INET)
        return ntohs(as_in(name)->sin_port);
    return name->at.ss_family == AF_INET6 ? ntohs(as_in6(name)->sin6_port) : 0;
}

void
parcel_name_set_port(struct parcel_name *name, uint16_t port)
{
    if (name->at.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&name->at)->sin_port = htons(port);
    else if (name->at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&name->at)->sin6_port = htons(port);
}
