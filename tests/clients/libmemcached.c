/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libmemcached.c - what libmemcached's users rely on, asked of a running server.
 *
 *   libmemcached HOST PORT [binary [USER PASSWORD]]
 *
 * Most of the world's C, PHP and Python programs reach their cache through this library,
 * which has its own idea of the protocol: trailing blanks, replies told apart by a few of
 * their letters, buffered and silent stores. Each test begins with an empty cache. The
 * first claim that does not hold is printed and ends the program with status 1.
 */
#include <libmemcached/memcached.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPECT(claim) expect((claim), #claim, __func__, __LINE__)
#define EXPECT_RC(call, rc) expect_rc((call), (rc), #call, __func__, __LINE__)

static const char *host;
static in_port_t port;
static bool binary; /* the protocol */
static const char *user, *password;

static void
expect(bool claim, const char *text, const char *where, int line)
{
    if (claim)
        return;
    printf("%s:%d: does not hold: %s\n", where, line, text);
    exit(1);
}

static void
expect_rc(memcached_return_t got, memcached_return_t wanted, const char *text,
    const char *where, int line)
{
    if (got == wanted)
        return;
    printf("%s:%d: %s: %s, expected %s\n", where, line, text,
        memcached_strerror(NULL, got), memcached_strerror(NULL, wanted));
    exit(1);
}

static memcached_st *
client_create(void)
{
    memcached_st *client = memcached_create(NULL);

    EXPECT(client != NULL);
    EXPECT_RC(memcached_server_add(client, host, port), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1),
        MEMCACHED_SUCCESS);
    if (binary)
        EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1),
            MEMCACHED_SUCCESS);
    if (user != NULL)
        EXPECT_RC(memcached_set_sasl_auth_data(client, user, password),
            MEMCACHED_SUCCESS);
    return client;
}

static memcached_return_t
put(memcached_st *client, const char *key, const char *value)
{
    return memcached_set(client, key, strlen(key), value, strlen(value), 0, 0);
}

/* True if the key's value is this text; NULL: if there is none. */
static bool
holds(memcached_st *client, const char *key, const char *text)
{
    memcached_return_t rc;
    uint32_t flags;
    size_t len;
    char *value = memcached_get(client, key, strlen(key), &len, &flags, &rc);
    bool same;

    if (value == NULL)
        return text == NULL && (rc == MEMCACHED_NOTFOUND || len == 0);
    same = text != NULL && len == strlen(text) && memcmp(value, text, len) == 0;
    free(value);
    return same;
}

static void
test_set_and_get(memcached_st *client)
{
    memcached_return_t rc;
    uint32_t flags;
    size_t len;
    char *value;

    EXPECT_RC(memcached_set(client, "key", 3, "a\0b\r\n", 5, 0, 0xfedcba98u),
        MEMCACHED_SUCCESS);
    value = memcached_get(client, "key", 3, &len, &flags, &rc);
    EXPECT_RC(rc, MEMCACHED_SUCCESS);
    EXPECT(len == 5 && memcmp(value, "a\0b\r\n", 5) == 0 && flags == 0xfedcba98u);
    free(value);
    value = memcached_get(client, "none", 4, &len, &flags, &rc);
    EXPECT(value == NULL);
    EXPECT_RC(rc, MEMCACHED_NOTFOUND);
    EXPECT_RC(memcached_exist(client, "key", 3), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_exist(client, "none", 4), MEMCACHED_NOTFOUND);
}

static void
test_conditions(memcached_st *client)
{
    /* The library passes on what each protocol calls it. */
    memcached_return_t absent = binary ? MEMCACHED_NOTFOUND : MEMCACHED_NOTSTORED;
    memcached_return_t present = binary ? MEMCACHED_DATA_EXISTS : MEMCACHED_NOTSTORED;

    EXPECT_RC(memcached_replace(client, "k", 1, "x", 1, 0, 0), absent);
    EXPECT_RC(memcached_append(client, "k", 1, "x", 1, 0, 0), MEMCACHED_NOTSTORED);
    EXPECT_RC(memcached_prepend(client, "k", 1, "x", 1, 0, 0), MEMCACHED_NOTSTORED);
    EXPECT_RC(memcached_add(client, "k", 1, "mid", 3, 0, 0), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_add(client, "k", 1, "mid", 3, 0, 0), present);
    EXPECT_RC(memcached_append(client, "k", 1, ">>", 2, 0, 0), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_prepend(client, "k", 1, "<", 1, 0, 0), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "k", "<mid>>"));
    EXPECT_RC(memcached_replace(client, "k", 1, "new", 3, 0, 0), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "k", "new"));
}

static void
test_many_at_a_time(memcached_st *client)
{
    enum { COUNT = 3000 };
    static char names[COUNT][16];
    const char *keys[COUNT];
    size_t lens[COUNT], hits = 0;
    memcached_return_t rc;
    memcached_result_st *result, space;

    for (unsigned i = 0; i < COUNT; i++) {
        lens[i] = (size_t)snprintf(names[i], sizeof names[i], "many-%u", i);
        keys[i] = names[i];
        if (i % 3 != 0)
            EXPECT_RC(memcached_set(client, keys[i], lens[i], keys[i], lens[i], 0, i),
                MEMCACHED_SUCCESS);
    }
    EXPECT_RC(memcached_mget(client, keys, lens, COUNT), MEMCACHED_SUCCESS);
    EXPECT(memcached_result_create(client, &space) != NULL);
    while ((result = memcached_fetch_result(client, &space, &rc)) != NULL) {
        uint32_t i = memcached_result_flags(result);
        EXPECT(i < COUNT && memcached_result_key_length(result) == lens[i]);
        EXPECT(memcmp(memcached_result_key_value(result), keys[i], lens[i]) == 0);
        EXPECT(memcached_result_length(result) == lens[i]);
        EXPECT(memcmp(memcached_result_value(result), keys[i], lens[i]) == 0);
        hits++;
    }
    EXPECT(rc == MEMCACHED_END || rc == MEMCACHED_NOTFOUND);
    EXPECT(hits == COUNT / 3 * 2);
    memcached_result_free(&space);
}

static void
test_cas(memcached_st *client)
{
    const char *keys[] = { "k" };
    const size_t lens[] = { 1 };
    memcached_return_t rc;
    memcached_result_st *result, space;
    uint64_t cas;

    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1),
        MEMCACHED_SUCCESS);
    EXPECT_RC(put(client, "k", "one"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_mget(client, keys, lens, 1), MEMCACHED_SUCCESS);
    EXPECT(memcached_result_create(client, &space) != NULL);
    result = memcached_fetch_result(client, &space, &rc);
    EXPECT(result != NULL);
    cas = memcached_result_cas(result);
    EXPECT(cas != 0);
    EXPECT(memcached_fetch_result(client, &space, &rc) == NULL);
    memcached_result_free(&space);

    EXPECT_RC(memcached_cas(client, "k", 1, "two", 3, 0, 0, cas), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_cas(client, "k", 1, "three", 5, 0, 0, cas),
        MEMCACHED_DATA_EXISTS);
    EXPECT_RC(memcached_cas(client, "none", 4, "x", 1, 0, 0, cas), MEMCACHED_NOTFOUND);
    EXPECT(holds(client, "k", "two"));
    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 0),
        MEMCACHED_SUCCESS);
}

static void
test_counting(memcached_st *client)
{
    uint64_t number = 0;

    EXPECT_RC(memcached_increment(client, "n", 1, 1, &number), MEMCACHED_NOTFOUND);
    EXPECT_RC(memcached_decrement(client, "n", 1, 1, &number), MEMCACHED_NOTFOUND);
    EXPECT_RC(put(client, "n", "98"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_increment(client, "n", 1, 4, &number), MEMCACHED_SUCCESS);
    EXPECT(number == 102);
    EXPECT_RC(memcached_decrement(client, "n", 1, 3, &number), MEMCACHED_SUCCESS);
    EXPECT(number == 99);
    EXPECT(holds(client, "n", "99 "));
    EXPECT_RC(memcached_increment(client, "n", 1, 0, &number), MEMCACHED_SUCCESS);
    EXPECT(number == 99);
    EXPECT_RC(memcached_decrement(client, "n", 1, 1000, &number), MEMCACHED_SUCCESS);
    EXPECT(number == 0);
    EXPECT_RC(put(client, "n", "18446744073709551615"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_increment(client, "n", 1, 2, &number), MEMCACHED_SUCCESS);
    EXPECT(number == 1);
    EXPECT_RC(put(client, "n", "word"), MEMCACHED_SUCCESS);
    memcached_return_t rc = memcached_increment(client, "n", 1, 1, &number);
    /* The library knows no such status of the binary protocol and drops the connection. */
    EXPECT(binary ? rc != MEMCACHED_SUCCESS : rc == MEMCACHED_CLIENT_ERROR);
    EXPECT(holds(client, "n", "word"));
}

static void
test_deleting_and_flushing(memcached_st *client)
{
    EXPECT_RC(memcached_delete(client, "k", 1, 0), MEMCACHED_NOTFOUND);
    EXPECT_RC(put(client, "k", "x"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_delete(client, "k", 1, 0), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "k", NULL));
    EXPECT_RC(put(client, "k", "x"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_flush(client, 0), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "k", NULL));
    EXPECT_RC(put(client, "k", "x"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_flush(client, 1000), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "k", "x"));
}

static void
test_times(memcached_st *client)
{
    EXPECT_RC(memcached_set(client, "short", 5, "x", 1, 1, 0), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_set(client, "long", 4, "x", 1, 1000, 0), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_set(client, "date", 4, "x", 1, time(NULL) + 1000, 0),
        MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_set(client, "touched", 7, "x", 1, 4, 0), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_touch(client, "touched", 7, 1000), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_touch(client, "none", 4, 1000), MEMCACHED_NOTFOUND);
    /* What pylibmc makes of Django's timeout=0; in binary it is the year 2106, as with
     * memcached. */
    EXPECT_RC(memcached_set(client, "past", 4, "x", 1, (time_t)UINT32_MAX, 0),
        MEMCACHED_SUCCESS);
    EXPECT(holds(client, "past", binary ? "x" : NULL));
    sleep(2);
    EXPECT(holds(client, "short", NULL));
    EXPECT(holds(client, "long", "x"));
    EXPECT(holds(client, "date", "x"));
    EXPECT(holds(client, "touched", "x"));
}

static void
test_large_values(memcached_st *client)
{
    static const size_t sizes[] = { 8000, 8192, 70000, 524288, 1000000 };
    memcached_return_t rc;
    uint32_t flags;
    size_t len, largest = 1100000;
    char *data = malloc(largest);

    EXPECT(data != NULL);
    for (size_t i = 0; i < largest; i++)
        data[i] = (char)(i * 7 + i / 251);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        EXPECT_RC(memcached_set(client, "k", 1, data, sizes[i], 0, 3), MEMCACHED_SUCCESS);
        char *value = memcached_get(client, "k", 1, &len, &flags, &rc);
        EXPECT(value != NULL && len == sizes[i] && memcmp(value, data, len) == 0);
        free(value);
    }
    rc = memcached_set(client, "k", 1, data, largest, 0, 0);
    EXPECT_RC(rc, MEMCACHED_E2BIG);
    EXPECT_RC(put(client, "k", "small"), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "k", "small"));
    free(data);
}

static void
test_silent_and_buffered_stores(memcached_st *client)
{
    char key[16], value[16];
    uint64_t number;

    /* libmemcached 1.1.4 loses track of its own quiet packets when the machine is busy: it
     * then misses keys or aborts in _io_write(), with memcached as with us. */
    if (binary)
        return;
    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_NOREPLY, 1),
        MEMCACHED_SUCCESS);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "quiet-%u", i);
        EXPECT_RC(put(client, key, key), MEMCACHED_SUCCESS);
    }
    EXPECT_RC(put(client, "n", "5"), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_increment(client, "n", 1, 2, &number), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_delete(client, "quiet-1", 7, 0), MEMCACHED_SUCCESS);
    EXPECT_RC(memcached_delete(client, "none", 4, 0), MEMCACHED_SUCCESS);
    /* A get is answered in any case, and behind all that was sent before it. */
    EXPECT(holds(client, "quiet-0", "quiet-0"));
    EXPECT(holds(client, "quiet-1999", "quiet-1999"));
    EXPECT(holds(client, "quiet-1", NULL));
    EXPECT(holds(client, "n", "7"));
    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_NOREPLY, 0),
        MEMCACHED_SUCCESS);

    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1),
        MEMCACHED_SUCCESS);
    for (unsigned i = 0; i < 2000; i++) {
        memcached_return_t rc;
        snprintf(key, sizeof key, "late-%u", i);
        snprintf(value, sizeof value, "%u", i);
        rc = put(client, key, value);
        EXPECT(rc == MEMCACHED_BUFFERED || rc == MEMCACHED_SUCCESS);
    }
    EXPECT_RC(memcached_flush_buffers(client), MEMCACHED_SUCCESS);
    EXPECT(holds(client, "late-0", "0"));
    EXPECT(holds(client, "late-1999", "1999"));
    /* Only now: changing a behaviour drops the connection and what it still carries. */
    EXPECT_RC(memcached_behavior_set(client, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 0),
        MEMCACHED_SUCCESS);
}

static void
test_statistics_and_version(memcached_st *client)
{
    memcached_return_t rc;
    memcached_stat_st *stat = memcached_stat(client, NULL, &rc);
    char *text;

    EXPECT_RC(rc, MEMCACHED_SUCCESS);
    EXPECT(stat != NULL);
    text = memcached_stat_get_value(client, stat, "limit_maxbytes", &rc);
    EXPECT(text != NULL && strcmp(text, "67108864") == 0);
    free(text);
    text = memcached_stat_get_value(client, stat, "version", &rc);
    EXPECT(text != NULL && strncmp(text, "1.6.", 4) == 0);
    free(text);
    memcached_stat_free(client, stat);

    EXPECT_RC(memcached_version(client), MEMCACHED_SUCCESS);
    const memcached_instance_st *server = memcached_server_instance_by_position(client, 0);
    EXPECT(memcached_server_major_version(server) == 1);
    EXPECT(memcached_server_minor_version(server) == 6);
}

static memcached_return_t
count_key(const memcached_st *client, const char *key, size_t len, void *context)
{
    (void)client;
    (void)key;
    EXPECT(len > 0);
    ++*(unsigned *)context;
    return MEMCACHED_SUCCESS;
}

/* `stats cachedump`, which need not show what was stored a moment ago and may show what
 * was flushed; but what it shows must be keys. */
static void
test_dumping_keys(memcached_st *client)
{
    memcached_dump_fn count[] = { count_key };
    unsigned seen = 0;

    EXPECT_RC(put(client, "a", "1"), MEMCACHED_SUCCESS);
    memcached_return_t rc = memcached_dump(client, count, &seen, 1);
    /* The library has this in text only. */
    EXPECT(binary || rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTFOUND);
    EXPECT(holds(client, "a", "1"));
}

/* Without the right password nothing works, and it says so. */
static void
test_wrong_password(void)
{
    memcached_st *client = client_create();

    EXPECT_RC(memcached_set_sasl_auth_data(client, user, "wrong"), MEMCACHED_SUCCESS);
    EXPECT(put(client, "k", "v") != MEMCACHED_SUCCESS);
    memcached_free(client);
}

int
main(int argc, char **argv)
{
    static void (*const tests[])(memcached_st *) = {
        test_set_and_get,
        test_conditions,
        test_many_at_a_time,
        test_cas,
        test_counting,
        test_deleting_and_flushing,
        test_times,
        test_large_values,
        test_silent_and_buffered_stores,
        test_statistics_and_version,
        test_dumping_keys,
    };
    unsigned count = sizeof tests / sizeof tests[0];

    if (argc < 3 || argc > 6 || argc == 5) {
        fprintf(stderr, "usage: libmemcached HOST PORT [binary [USER PASSWORD]]\n");
        return 2;
    }
    host = argv[1];
    port = (in_port_t)strtoul(argv[2], NULL, 10);
    binary = argc > 3;
    if (argc == 6) {
        user = argv[4];
        password = argv[5];
        test_wrong_password();
    }
    for (unsigned i = 0; i < count; i++) {
        memcached_st *client = client_create();
        EXPECT_RC(memcached_flush(client, 0), MEMCACHED_SUCCESS);
        tests[i](client);
        memcached_quit(client);
        memcached_free(client);
    }
    printf("Ran %u tests in libmemcached\n", count);
    return 0;
}
