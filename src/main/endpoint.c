/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "main/process.h"

_Static_assert(ENDPOINT_FDS >= HTTP_CONNECTIONS_MAX + 8, "room for all");

static unsigned
stalled(void *context)
{
    const struct endpoint *endpoint = context;

    return net_stalled(endpoint->net, ENDPOINT_STALLED);
}

int
endpoint_open(struct endpoint *endpoint, const struct options *options,
    const struct spaces *spaces, const struct net *net)
{
    struct http_parts parts = {
        .admin = spaces->at[0].admin,
        .spaces = endpoint->spaces,
        .nspaces = spaces->n - 1,
        .names = options->http_names,
        .context = endpoint,
        .stalled = stalled,
    };
    struct stat stat;

    if (options->http == NULL)
        return 0;
    endpoint->net = net;
    for (unsigned i = 1; i < spaces->n; i++)
        endpoint->spaces[i - 1] =
            (struct http_space){ spaces->at[i].name, spaces->at[i].admin };
    parts.fd = http_listen(options->http, options->unix_mask, &parts.local);
    if (parts.fd < 0)
        return STATUS_OS;
    const char *path = parts.local ? strchr(options->http, ':') + 1 : NULL;
    if (path != NULL && lstat(path, &stat) == 0) {
        endpoint->path = path;
        endpoint->device = stat.st_dev;
        endpoint->inode = stat.st_ino;
    }
    endpoint->http = http_create(&parts);
    if (endpoint->http != NULL)
        return 0;
    fprintf(stderr, "-o http=%s: %s\n", options->http, strerror(errno));
    endpoint_close(endpoint);
    return STATUS_OS;
}

int
endpoint_start(struct endpoint *endpoint)
{
    return endpoint->http == NULL ? 0 : http_start(endpoint->http);
}

void
endpoint_close(struct endpoint *endpoint)
{
    struct stat stat;

    http_stop(endpoint->http);
    endpoint->http = NULL;
    if (endpoint->path != NULL && lstat(endpoint->path, &stat) == 0 &&
        stat.st_dev == endpoint->device && stat.st_ino == endpoint->inode)
        unlink(endpoint->path);
    endpoint->path = NULL;
}

const char *
endpoint_path(const struct endpoint *endpoint)
{
    return endpoint->path;
}
