/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/server.h"

#include <stdint.h>
#include <stdio.h>

#include "base/num.h"
#include "ctl/show.h"

static bool
parse_unix(struct slice path, struct server *server, const char **why)
{
    if (path.len == 0 || path.len >= sizeof server->path) {
        *why = "the path of a unix socket has 1 to 107 bytes";
        return false;
    }
    if (memchr(path.data, '\0', path.len) != NULL) {
        *why = "a path holds no NUL";
        return false;
    }
    memcpy(server->path, path.data, path.len);
    snprintf(server->text, sizeof server->text, "unix:%s", server->path);
    return true;
}

static bool
set_port(struct slice port, struct server *server, const char **why)
{
    uint64_t number;

    if (!num_u64(port, 5, &number) || number == 0 || number > 65535) {
        *why = "a port is a number from 1 to 65535";
        return false;
    }
    snprintf(server->port, sizeof server->port, "%u", (unsigned)number);
    return true;
}

static bool
set_host(struct slice host, struct server *server, const char **why)
{
    if (host.len == 0 || host.len >= sizeof server->host || !show_is_word(host)) {
        *why = "that is no name and no address";
        return false;
    }
    memcpy(server->host, host.data, host.len);
    return true;
}

/* Parts the host from the port; `port` stays empty when there is none. */
static bool
split(struct slice text, struct slice *host, struct slice *port, const char **why)
{
    const char *bracket, *colon;

    *port = slice_of(NULL, 0);
    if (text.len > 0 && text.data[0] == '[') {
        bracket = memchr(text.data, ']', text.len);
        if (bracket == NULL) {
            *why = "a bracket is not closed";
            return false;
        }
        *host = slice_of(text.data + 1, (size_t)(bracket - text.data - 1));
        colon = bracket + 1;
        if (colon == text.data + text.len)
            return true;
        if (*colon != ':') {
            *why = "only a colon and a port follow a bracket";
            return false;
        }
    } else {
        colon = memchr(text.data, ':', text.len);
        if (colon == NULL || memrchr(text.data, ':', text.len) != colon) {
            *host = text;
            return true;
        }
        *host = slice_of(text.data, (size_t)(colon - text.data));
    }
    *port = slice_of(colon + 1, (size_t)(text.data + text.len - colon - 1));
    if (port->len == 0) {
        *why = "no port follows the colon";
        return false;
    }
    return true;
}

bool
server_parse(struct slice text, struct server *server_out, const char **why)
{
    struct server server = { .port = "11211" };
    struct slice host, port;

    if (slice_starts(text, SLICE("unix:"))) {
        if (!parse_unix(slice_of(text.data + 5, text.len - 5), &server, why))
            return false;
    } else if (slice_starts(text, SLICE("/")) || slice_starts(text, SLICE("./"))) {
        if (!parse_unix(text, &server, why))
            return false;
    } else {
        if (!split(text, &host, &port, why) || !set_host(host, &server, why))
            return false;
        if (port.len > 0 && !set_port(port, &server, why))
            return false;
        snprintf(server.text, sizeof server.text,
            strchr(server.host, ':') != NULL ? "[%s]:%s" : "%s:%s", server.host,
            server.port);
    }
    *server_out = server;
    return true;
}
