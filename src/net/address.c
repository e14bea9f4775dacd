/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/options.h"

#define TAG_MAX  8
#define PORT_MAX 65535

static bool __attribute__((format(printf, 2, 3)))
refuse(char why[ADDRESS_WHY_MAX], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, ADDRESS_WHY_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static bool
take(struct slice *rest, struct slice prefix)
{
    if (!slice_starts(*rest, prefix))
        return false;
    rest->data += prefix.len;
    rest->len -= prefix.len;
    return true;
}

/* Takes the text up to `close` and what follows it, which must be a colon. */
static bool
take_until(struct slice *rest, char close, struct slice *name_out)
{
    const char *end = memchr(rest->data, close, rest->len);
    size_t len = end == NULL ? 0 : (size_t)(end - rest->data);

    if (end == NULL || len + 1 >= rest->len || end[1] != ':')
        return false;
    *name_out = slice_of(rest->data, len);
    rest->data += len + 2;
    rest->len -= len + 2;
    return true;
}

static bool
parse_tls(struct slice *rest, bool tls, enum tls_demand *demand_out,
    char why[ADDRESS_WHY_MAX])
{
    static const struct {
        struct slice word;
        enum tls_demand demand;
    } words[] = { { { "notls:", 6 }, TLS_NEVER },
        { { "btls:", 5 }, TLS_WITHOUT_CERTIFICATE },
        { { "mtls:", 5 }, TLS_WITH_CERTIFICATE } };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!take(rest, words[i].word))
            continue;
        if (!tls)
            return refuse(why, "'%.*s' option is valid only when SSL is enabled",
                (int)words[i].word.len - 1, words[i].word.data);
        *demand_out = words[i].demand;
        break;
    }
    return true;
}

/* memcached takes any beginning of a protocol's name. */
static bool
is_beginning(struct slice name, struct slice of)
{
    return name.len > 0 && slice_starts(of, name);
}

static bool
parse_protocol(struct slice *rest, int *protocol_out, char why[ADDRESS_WHY_MAX])
{
    struct slice name;

    if (!take(rest, SLICE("proto[")))
        return true;
    if (!take_until(rest, ']', &name))
        return refuse(why, "Invalid protocol of a listener: \"%.*s\"", (int)rest->len,
            rest->data);
    *protocol_out = is_beginning(name, SLICE("ascii")) ? PROTOCOL_ASCII
        : is_beginning(name, SLICE("binary"))          ? PROTOCOL_BINARY
        : is_beginning(name, SLICE("negotiating"))     ? PROTOCOL_AUTO
                                                       : -1;
    if (*protocol_out >= 0)
        return true;
    if (is_beginning(name, SLICE("proxy")))
        return refuse(why, "This server is not built with the protocol of a listener: "
            "\"%.*s\"", (int)name.len, name.data);
    return refuse(why, "Unknown protocol of a listener: \"%.*s\"", (int)name.len,
        name.data);
}

/* A tag means something to memcached's proxy only; it is checked and has no effect. */
static bool
parse_tag(struct slice *rest, char why[ADDRESS_WHY_MAX])
{
    struct slice name;
    bool found;

    if (take(rest, SLICE("tag[")))
        found = take_until(rest, ']', &name);
    else if (take(rest, SLICE("tag_")))
        found = take_until(rest, '_', &name);
    else
        return true;
    if (!found)
        return refuse(why, "Invalid tag of a listener: \"%.*s\"", (int)rest->len,
            rest->data);
    if (name.len < 1 || name.len > TAG_MAX)
        return refuse(why, "Listener tags must be between 1 and 8 characters: \"%.*s\"",
            (int)name.len, name.data);
    return true;
}

static bool
parse_port(struct slice text, int *port_out, char why[ADDRESS_WHY_MAX])
{
    int port = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c < '0' || c > '9' || (port = port * 10 + (c - '0')) > PORT_MAX)
            return refuse(why, "Invalid port number: \"%.*s\"", (int)text.len,
                text.data);
    }
    if (text.len == 0)
        return refuse(why, "Invalid port number: \"\"");
    *port_out = port;
    return true;
}

/* Splits the host from the port. A bare IPv6 address has several colons and no port. */
static bool
split(struct slice rest, struct slice *host_out, int *port_out, char why[ADDRESS_WHY_MAX])
{
    const char *end = rest.data + rest.len, *colon;

    if (rest.len > 0 && rest.data[0] == '[') {
        const char *close = memchr(rest.data, ']', rest.len);
        if (close == NULL || (close + 1 < end && close[1] != ':'))
            return refuse(why, "Invalid IPv6 address: \"%.*s\"", (int)rest.len,
                rest.data);
        *host_out = slice_of(rest.data + 1, (size_t)(close - rest.data) - 1);
        if (close + 1 == end)
            return true;
        return parse_port(slice_of(close + 2, (size_t)(end - close) - 2), port_out, why);
    }
    *host_out = rest;
    colon = memchr(rest.data, ':', rest.len);
    if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon) - 1) != NULL)
        return true;
    host_out->len = (size_t)(colon - rest.data);
    return parse_port(slice_of(colon + 1, (size_t)(end - colon) - 1), port_out, why);
}

bool
address_parse(struct slice entry, bool tls, struct address *address_out,
    char why[ADDRESS_WHY_MAX])
{
    struct address address = { .port = -1, .protocol = -1, .tls = TLS_AS_OPTIONS };
    struct slice rest = entry, host = SLICE("");

    if (!parse_tls(&rest, tls, &address.tls, why) ||
        !parse_protocol(&rest, &address.protocol, why) || !parse_tag(&rest, why) ||
        !split(rest, &host, &address.port, why))
        return false;
    if (host.len == 0 || host.len >= sizeof address.host)
        return refuse(why, "Invalid address: \"%.*s\"", (int)entry.len, entry.data);
    if (!slice_equal(host, SLICE("*")))
        memcpy(address.host, host.data, host.len);
    *address_out = address;
    return true;
}

bool
address_next(const char **list, bool tls, struct address *address_out,
    char why[ADDRESS_WHY_MAX])
{
    const char *entry = *list;
    size_t len = strcspn(entry, ",;");

    *list = entry[len] == '\0' ? NULL : entry + len + 1;
    return address_parse(slice_of(entry, len), tls, address_out, why);
}

static void
unix_text(const struct sockaddr_un *from, socklen_t len, char *to, size_t size)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t max = len > head ? len - head : 0;

    if (max > 0 && from->sun_path[0] == '\0') /* abstract: not terminated */
        snprintf(to, size, "unix:@%.*s", (int)(max - 1), from->sun_path + 1);
    else
        snprintf(to, size, "unix:%.*s", (int)max, from->sun_path);
}

void
address_text(const struct sockaddr *from, socklen_t len, char *to, size_t size)
{
    char host[INET6_ADDRSTRLEN];

    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(to, size, "tcp:%s:%u", host, ntohs(in->sin_port));
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)from;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        snprintf(to, size, "tcp6:[%s]:%u", host, ntohs(in->sin6_port));
    } else if (from->sa_family == AF_UNIX) {
        unix_text((const struct sockaddr_un *)(const void *)from, len, to, size);
    } else {
        snprintf(to, size, "?:<AF %d>", from->sa_family);
    }
}

int
address_of(int fd, bool peer, char *to, size_t size)
{
    struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof name;
    int error = peer ? getpeername(fd, (struct sockaddr *)&name, &len)
                     : getsockname(fd, (struct sockaddr *)&name, &len);

    if (error != 0)
        name.ss_family = AF_UNSPEC;
    address_text((struct sockaddr *)&name, len, to, size);
    return name.ss_family;
}
