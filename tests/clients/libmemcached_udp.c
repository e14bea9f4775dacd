/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects clients that write by datagrams: libmemcached's UDP mode, which sends storage
 * commands with noreply and reads nothing. What it wrote is read over TCP.
 *
 *   libmemcached_udp HOST TCP-PORT UDP-PORT
 *
 * A datagram may be lost, on a busy machine even here; so each write is repeated until it is
 * seen, for half a minute at most.
 */
#include <libmemcached/memcached.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATIENCE_SECONDS 30
#define PAUSE_NS 20000000L

static memcached_st *
client(const char *host, const char *port, bool udp, bool binary)
{
    memcached_st *client = memcached_create(NULL);
    in_port_t number = (in_port_t)atoi(port);

    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, binary);
    if (!udp) {
        memcached_server_add(client, host, number);
        return client;
    }
    if (memcached_behavior_set(client, MEMCACHED_BEHAVIOR_USE_UDP, 1) != MEMCACHED_SUCCESS ||
        memcached_server_add(client, host, number) != MEMCACHED_SUCCESS) {
        fprintf(stderr, "libmemcached has no UDP here\n");
        exit(77);
    }
    return client;
}

/* Does `key` hold `value`, or nothing if that is NULL? */
static bool
holds(memcached_st *reader, const char *key, const char *value)
{
    memcached_return_t rc;
    uint32_t flags;
    size_t len;
    char *got = memcached_get(reader, key, strlen(key), &len, &flags, &rc);
    bool same = value == NULL
        ? got == NULL
        : got != NULL && len == strlen(value) && memcmp(got, value, len) == 0;

    free(got);
    return same;
}

static bool
write_until_seen(memcached_st *writer, memcached_st *reader, const char *key,
    const char *value)
{
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    time_t end = time(NULL) + PATIENCE_SECONDS;

    do {
        memcached_return_t rc = value == NULL
            ? memcached_delete(writer, key, strlen(key), 0)
            : memcached_set(writer, key, strlen(key), value, strlen(value), 0, 0);
        if (rc != MEMCACHED_SUCCESS && rc != MEMCACHED_BUFFERED) {
            fprintf(stderr, "%s: %s\n", key, memcached_strerror(writer, rc));
            return false;
        }
        for (int i = 0; i < 10; i++) {
            if (holds(reader, key, value))
                return true;
            nanosleep(&pause, NULL);
        }
    } while (time(NULL) < end);
    fprintf(stderr, "%s: not seen\n", key);
    return false;
}

static bool
talk(const char *const *words, bool binary)
{
    memcached_st *writer = client(words[1], words[3], true, binary);
    memcached_st *reader = client(words[1], words[2], false, false);
    char value[1000];

    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    bool good = write_until_seen(writer, reader, "udp", "first") &&
                write_until_seen(writer, reader, "udp", "second") &&
                write_until_seen(writer, reader, "udp", NULL) &&
                write_until_seen(writer, reader, "long", value);
    memcached_free(writer);
    memcached_free(reader);
    return good;
}

int
main(int argc, char **argv)
{
    const char *const *words = (const char *const *)argv;

    if (argc != 4)
        return 2;
    bool text = talk(words, false);
    bool binary = talk(words, true);
    printf("libmemcached over UDP: text %s, binary %s\n", text ? "ok" : "FAILED",
        binary ? "ok" : "FAILED");
    return text && binary ? 0 : 1;
}
