/* SPDX-License-Identifier: BSD-3-Clause */
/* requests.c - what the load consists of: keys, values, command lines. */
#include <stdlib.h>
#include <string.h>

#include "loadgen.h"

static uint64_t
random_next(struct thread *thread)
{
    uint64_t x = thread->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    thread->random = x;
    return x * 0x2545F4914F6CDD1Du;
}

static uint64_t
key_choose(struct thread *thread)
{
    uint64_t share = options.keys / (uint64_t)options.threads;

    if (!options.sequential)
        return (uint64_t)(((__uint128_t)random_next(thread) * options.keys) >> 64);
    uint64_t key = thread->next_key;
    if (++thread->next_key >= thread->end_key)
        thread->next_key = share * thread->index;
    return key;
}

static char *
put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

#define PUT(at, literal) put_text((at), (literal), sizeof(literal) - 1)

static char *
put_number(char *at, uint64_t number, int width)
{
    char digits[24];
    int n = 0;

    do {
        digits[n++] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0);
    for (; width > n; width--)
        *at++ = '0';
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

static char *
put_key(struct thread *thread, char *at)
{
    thread->keys++;
    at = put_text(at, options.prefix, options.prefix_len);
    return put_number(at, key_choose(thread) + options.first,
        options.key_len - (int)options.prefix_len);
}

static size_t
value_length(struct thread *thread)
{
    int len = options.value_min;

    if (options.value_max > len)
        len += (int)(random_next(thread) % (uint64_t)(options.value_max - len + 1));
    return (size_t)len;
}

static char *
put_store(struct thread *thread, char *at, const char *verb)
{
    size_t len = value_length(thread);

    thread->sets++;
    at = put_text(at, verb, 4);
    at = put_key(thread, at);
    at = PUT(at, " 0 ");
    at = put_number(at, (uint64_t)options.exptime, 0);
    *at++ = ' ';
    at = put_number(at, len, 0);
    at = PUT(at, "\r\n");
    at = put_text(at, value_bytes, len);
    return PUT(at, "\r\n");
}

static char *
put_get(struct thread *thread, char *at, int keys)
{
    at = PUT(at, "get");
    while (keys-- > 0) {
        *at++ = ' ';
        at = put_key(thread, at);
    }
    return PUT(at, "\r\n");
}

static char *
put_meta_set(struct thread *thread, char *at)
{
    size_t len = value_length(thread);

    thread->sets++;
    at = PUT(at, "ms ");
    at = put_key(thread, at);
    *at++ = ' ';
    at = put_number(at, len, 0);
    at = PUT(at, "\r\n");
    at = put_text(at, value_bytes, len);
    return PUT(at, "\r\n");
}

/* A packet: header, extras (zero), key, value. */
static char *
put_packet(struct thread *thread, char *at, char opcode, size_t extras, size_t value)
{
    unsigned char *header = (unsigned char *)at;

    memset(at, 0, BINARY_HEADER + extras);
    at = put_key(thread, at + BINARY_HEADER + extras);
    size_t key = (size_t)(at - (char *)header) - BINARY_HEADER - extras;
    size_t body = extras + key + value;
    header[0] = 0x80;
    header[1] = (unsigned char)opcode;
    header[2] = (unsigned char)(key >> 8);
    header[3] = (unsigned char)key;
    header[4] = (unsigned char)extras;
    for (int i = 0; i < 4; i++)
        header[8 + i] = (unsigned char)(body >> (24 - 8 * i));
    return put_text(at, value_bytes, value);
}

/* Quiet gets answer hits only; the no-op behind them tells that all is said. */
static char *
put_quiet_gets(struct thread *thread, char *at)
{
    for (int i = 0; i < options.many; i++)
        at = put_packet(thread, at, 0x09, 0, 0);
    memset(at, 0, BINARY_HEADER);
    at[0] = (char)0x80;
    at[1] = BINARY_NOOP;
    return at + BINARY_HEADER;
}

char *
put_request(struct thread *thread, struct connection *connection, char *at)
{
    switch (options.operation) {
    case GET:
        return put_get(thread, at, 1);
    case MGET:
        return put_get(thread, at, options.many);
    case MIX:
        if (connection->turn++ % (uint64_t)(options.many + 1) == 0)
            return put_store(thread, at, "set ");
        return put_get(thread, at, 1);
    case SET:
    case FILL:
        return put_store(thread, at, "set ");
    case ADD:
        return put_store(thread, at, "add ");
    case INCR:
        at = PUT(at, "incr ");
        at = put_key(thread, at);
        return PUT(at, " 1\r\n");
    case MG:
        at = PUT(at, "mg ");
        at = put_key(thread, at);
        return PUT(at, " v\r\n");
    case MS:
        return put_meta_set(thread, at);
    case BGET:
        return put_packet(thread, at, 0x00, 0, 0);
    case BSET:
        thread->sets++;
        return put_packet(thread, at, 0x01, 8, value_length(thread));
    case BGETQ:
        return put_quiet_gets(thread, at);
    case VERSION:
        return PUT(at, "version\r\n");
    }
    abort();
}

/* Bytes that one request can take. */
size_t
request_max(void)
{
    size_t key =
        options.prefix_len + 24 + (size_t)(options.key_len > 0 ? options.key_len : 0);
    int value =
        options.value_max > options.value_min ? options.value_max : options.value_min;

    if (options.operation == MGET)
        return (key + 1) * (size_t)options.many + 64;
    if (options.operation == BGETQ)
        return (key + BINARY_HEADER) * (size_t)options.many + BINARY_HEADER;
    return key + (size_t)value + 96;
}
