/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/slice.h"

#define HOST_MAX 255u

/* Takes "name:port", "[v6]:port" apart; the host without brackets and without the dot
 * that ends a full name. False: it is not of that form. */
static bool
split_host(const char *text, char host[static HOST_MAX + 1], bool *bracketed)
{
    const char *end;
    size_t len = strlen(text);
    uint64_t port;

    *bracketed = text[0] == '[';
    if (*bracketed) {
        end = strchr(text++, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        len = (size_t)(end - text);
        end++;
    } else {
        end = strchr(text, ':');
        if (end != NULL)
            len = (size_t)(end - text);
        else
            end = text + len;
    }
    if (*end == ':' && !num_u64(slice_of(end + 1, strlen(end + 1)), 5, &port))
        return false;
    if (len > 1 && !*bracketed && text[len - 1] == '.')
        len--;
    if (len == 0 || len > HOST_MAX)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    return true;
}

static bool
is_listed(const char *host, const char *names)
{
    size_t len = strlen(host);

    for (const char *at = names; at != NULL && *at != '\0';) {
        size_t n = strcspn(at, ",");
        if (n == len && strncasecmp(at, host, n) == 0)
            return true;
        at += n;
        at += *at == ',';
    }
    return false;
}

bool
host_is_ours(const char *host, const char *own, const char *names)
{
    char name[HOST_MAX + 1];
    struct in6_addr address;
    bool bracketed;

    if (!split_host(host, name, &bracketed))
        return false;
    if (bracketed)
        return inet_pton(AF_INET6, name, &address) == 1;
    return inet_pton(AF_INET, name, &address) == 1 ||
           strcasecmp(name, "localhost") == 0 ||
           (*own != '\0' && strcasecmp(name, own) == 0) || is_listed(name, names);
}

/* ---- Accept ------------------------------------------------------------------------ */

/* The weight of one entry in thousandths: "q=0.75" is 750. What can't be read is 1000. */
static unsigned
weight_of(struct slice entry)
{
    const char *at = memmem(entry.data, entry.len, "q=", 2);
    const char *end = entry.data + entry.len;
    unsigned weight = 0;

    if (at == NULL || at == entry.data || strchr("; \t", at[-1]) == NULL)
        return 1000;
    at += 2;
    if (at == end || *at != '0')
        return 1000;
    at++;
    if (at < end && *at == '.')
        at++;
    for (unsigned unit = 100; unit > 0 && at < end && *at >= '0' && *at <= '9';
         unit /= 10)
        weight += (unsigned)(*at++ - '0') * unit;
    return weight;
}

static bool
is_type(struct slice entry, const char *type)
{
    size_t len = strlen(type);

    return entry.len >= len && strncasecmp(entry.data, type, len) == 0 &&
           (entry.len == len || strchr("; \t", entry.data[len]) != NULL);
}

bool
accept_openmetrics(const char *accept)
{
    unsigned open = 0, text = 0;

    while (accept != NULL && *accept != '\0') {
        accept += strspn(accept, ", \t");
        struct slice entry = slice_of(accept, strcspn(accept, ","));
        unsigned weight = weight_of(entry);
        if (is_type(entry, "application/openmetrics-text") && weight > open)
            open = weight;
        if ((is_type(entry, "text/plain") || is_type(entry, "text/*")) && weight > text)
            text = weight;
        accept += entry.len;
    }
    return open > 0 && open >= text;
}
