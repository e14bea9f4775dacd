/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - asks a server what a trace asks for, as a site with a cache aside would.
 *
 *   replay [-n REQUESTS] [-s SPEED] -p PORT -S PID TRACE
 *
 * A get that misses is followed by a set, an incr that misses by an add. One connection,
 * text protocol, up to WINDOW requests on their way at once: the requests of a window are
 * sent, gets that follow each other as one command, their replies read, then what was
 * missed is stored. No key comes twice in a window, so that nothing is missed which one
 * request at a time would have found.
 *
 * SPEED 0, the default: as fast as the server answers; times to live are sent as 0
 * (never). Otherwise so many seconds of the trace pass in one; times to live are divided
 * by it and rounded up, and a second is added, since servers count in whole seconds.
 *
 * The first fifth of the requests warms the cache and is not counted. An increment is
 * lost if its counter is not there although it was made long enough before its time to
 * live ran out.
 *
 * Prints JSON: ratios over the counted gets, resident memory, CPU time of the server.
 */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../cputime.h"
#include "trace.h"

#define WINDOW      32
#define WINDOW_SENT (128 * 1024)
#define VALUE_MAX   (2u << 20)
#define WARM        5 /* one in so many requests */

struct counts {
    uint64_t gets, misses, bytes, bytes_missed;
};

struct replay {
    const struct event *events;
    size_t count, warm, half;
    double speed, began;
    int fd;
    /* Bytes to send; bytes received from `in_at` on. */
    char *out;
    size_t out_len, out_room;
    char in[1u << 16];
    size_t in_at, in_len;
    /* By key: the window it was in last; when its counter may be gone. */
    uint32_t *seen;
    double *until;
    uint32_t windows;
    bool hit[WINDOW];
    struct counts all, second_half;
    uint64_t increments, lost, refused;
};

static char value_bytes[VALUE_MAX];

static _Noreturn void
die(const char *what)
{
    perror(what);
    exit(1);
}

static void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        die("out of memory");
    return memory;
}

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Sending
 * ------------------------------------------------------------------------------ */

static void
add(struct replay *r, const char *bytes, size_t len)
{
    if (r->out_len + len > r->out_room) {
        r->out_room = (r->out_len + len) * 2;
        r->out = realloc(r->out, r->out_room);
        if (r->out == NULL)
            die("out of memory");
    }
    memcpy(r->out + r->out_len, bytes, len);
    r->out_len += len;
}

static void
send_all(struct replay *r)
{
    for (size_t sent = 0; sent < r->out_len;) {
        ssize_t n = write(r->fd, r->out + sent, r->out_len - sent);

        if (n <= 0)
            die("write");
        sent += (size_t)n;
    }
    r->out_len = 0;
}

static void
add_text(struct replay *r, const char *text)
{
    add(r, text, strlen(text));
}

/* The key's length is as the trace says, unless its number needs more. */
static void
add_key(struct replay *r, const struct event *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    char key[256];
    int len = snprintf(key, sizeof key, "k%x:", e->id);

    for (; len < e->key; len++)
        key[len] = letters[(e->id * 2654435761u >> (len % 27)) & 31u];
    add(r, key, (size_t)len);
}

static void
add_store(struct replay *r, const char *verb, const struct event *e, const char *noreply)
{
    char rest[64];
    unsigned ttl = r->speed > 0 && e->ttl > 0 ? (unsigned)ceil(e->ttl / r->speed) + 1 : 0;
    bool counter = e->operation == OP_INCR;

    add_text(r, verb);
    add_key(r, e);
    int len = snprintf(
        rest, sizeof rest, " 0 %u %u%s\r\n", ttl, counter ? 1 : e->value, noreply);
    add(r, rest, (size_t)len);
    if (counter)
        add(r, "1", 1);
    else
        add(r, value_bytes, e->value);
    add(r, "\r\n", 2);
}

/* Any but a get. */
static void
add_request(struct replay *r, const struct event *e)
{
    switch ((enum operation)e->operation) {
    case OP_GET:
        return;
    case OP_INCR:
        add_text(r, "incr ");
        add_key(r, e);
        add_text(r, " 1\r\n");
        return;
    case OP_DELETE:
        add_text(r, "delete ");
        add_key(r, e);
        add_text(r, "\r\n");
        return;
    case OP_SET:
        add_store(r, "set ", e, "");
        return;
    }
    fprintf(stderr, "replay: not a trace\n");
    exit(1);
}

/* ---- Receiving
 * ---------------------------------------------------------------------------- */

static void
receive(struct replay *r)
{
    if (r->in_at > 0) {
        memmove(r->in, r->in + r->in_at, r->in_len - r->in_at);
        r->in_len -= r->in_at;
        r->in_at = 0;
    }
    ssize_t n = read(r->fd, r->in + r->in_len, sizeof r->in - r->in_len);
    if (n <= 0)
        die("read");
    r->in_len += (size_t)n;
}

/* The next line, ended by a zero in place of its "\n"; good until the next call. */
static char *
read_line(struct replay *r)
{
    for (;;) {
        char *line = r->in + r->in_at;
        char *end = memchr(line, '\n', r->in_len - r->in_at);

        if (end != NULL) {
            *end = '\0';
            r->in_at = (size_t)(end + 1 - r->in);
            return line;
        }
        receive(r);
    }
}

static void
skip(struct replay *r, size_t len)
{
    while (len > 0) {
        size_t have = r->in_len - r->in_at;
        size_t n = have < len ? have : len;

        r->in_at += n;
        len -= n;
        if (len > 0)
            receive(r);
    }
}

/* ---- Counting
 * ------------------------------------------------------------------------------ */

static void
count_get(struct counts *counts, const struct event *e, bool hit)
{
    counts->gets++;
    counts->bytes += e->value;
    if (!hit) {
        counts->misses++;
        counts->bytes_missed += e->value;
    }
}

/* Reads the reply to one command, for all gets from `from` on: values come in the order
 * of the keys, missed ones are left out. */
static void
read_gets(struct replay *r, size_t from, size_t to, bool *hit)
{
    memset(hit, 0, (to - from) * sizeof *hit);
    for (size_t at = from;; at++) {
        const char *line = read_line(r);

        if (strncmp(line, "VALUE k", 7) != 0)
            break;
        unsigned long id = strtoul(line + 7, NULL, 16);
        while (at < to && r->events[at].id != id)
            at++;
        if (at == to) {
            fprintf(stderr, "replay: not asked for: %s\n", line);
            exit(1);
        }
        hit[at - from] = true;
        skip(r, strtoull(strrchr(line, ' '), NULL, 10) + 2);
    }
    for (size_t at = from; at < to; at++) {
        if (at >= r->warm)
            count_get(&r->all, &r->events[at], hit[at - from]);
        if (at >= r->half)
            count_get(&r->second_half, &r->events[at], hit[at - from]);
    }
}

/* By the trace's time where times to live are off, by the real one otherwise, less what a
 * server's clock of seconds may take. */
static bool
read_incr(struct replay *r, const struct event *e, bool counted)
{
    bool paced = r->speed > 0;
    double at = paced ? now() : e->second + 1;
    bool hit = read_line(r)[0] != 'N';

    r->increments += counted;
    if (hit)
        return true;
    r->lost += counted && at < r->until[e->id];
    r->until[e->id] = paced ? at + ceil(e->ttl / r->speed) - 0.05 : at + e->ttl;
    return false;
}

/* The reply to any but a get. */
static bool
read_reply(struct replay *r, size_t at)
{
    const struct event *e = &r->events[at];

    if (e->operation == OP_INCR)
        return read_incr(r, e, at >= r->warm);
    char first = read_line(r)[0];
    if (e->operation == OP_SET)
        r->refused += first != 'S';
    return true;
}

/* ---- The trace
 * ------------------------------------------------------------------------------ */

/* The end of the gets that begin there. */
static size_t
gets_end(const struct replay *r, size_t from, size_t to)
{
    while (from < to && r->events[from].operation == OP_GET)
        from++;
    return from;
}

/* Sends what is in the window that begins there, and returns its end. */
static size_t
send_window(struct replay *r, size_t from)
{
    size_t at = from;
    bool in_get = false;

    r->windows++;
    for (; at < r->count && at - from < WINDOW && r->out_len < WINDOW_SENT; at++) {
        const struct event *e = &r->events[at];

        if (r->seen[e->id] == r->windows)
            break;
        r->seen[e->id] = r->windows;
        bool is_get = e->operation == OP_GET;
        if (in_get && !is_get)
            add_text(r, "\r\n");
        if (is_get) {
            add_text(r, in_get ? " " : "get ");
            add_key(r, e);
        }
        add_request(r, e);
        in_get = is_get;
    }
    if (in_get)
        add_text(r, "\r\n");
    send_all(r);
    return at;
}

static void
read_window(struct replay *r, size_t from, size_t to)
{
    for (size_t at = from; at < to;) {
        size_t end = gets_end(r, at, to);

        if (end > at) {
            read_gets(r, at, end, &r->hit[at - from]);
            at = end;
        } else {
            r->hit[at - from] = read_reply(r, at);
            at++;
        }
    }
}

static void
store_missed(struct replay *r, size_t from, size_t to)
{
    for (size_t at = from; at < to; at++) {
        const struct event *e = &r->events[at];

        if (!r->hit[at - from])
            add_store(r, e->operation == OP_INCR ? "add " : "set ", e, " noreply");
    }
    send_all(r);
}

static void
wait_until_due(const struct replay *r, size_t at)
{
    double early = r->events[at].second / r->speed - (now() - r->began);

    if (early > 0.001)
        usleep((useconds_t)(early * 1e6));
}

static void
run(struct replay *r)
{
    r->began = now();
    for (size_t from = 0, to; from < r->count; from = to) {
        if (r->speed > 0)
            wait_until_due(r, from);
        to = send_window(r, from);
        read_window(r, from, to);
        store_missed(r, from, to);
    }
}

static void
load(struct replay *r, const char *path, size_t most)
{
    uint32_t ids = 0;
    FILE *file = fopen(path, "rb");

    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die(path);
    r->count = (size_t)ftell(file) / sizeof *r->events;
    rewind(file);
    if (most != 0 && most < r->count)
        r->count = most;
    struct event *events = allocate(r->count, sizeof *events);
    if (fread(events, sizeof *events, r->count, file) != r->count)
        die(path);
    fclose(file);
    for (size_t i = 0; i < r->count; i++) {
        if (events[i].id >= ids)
            ids = events[i].id + 1;
        if (events[i].value > VALUE_MAX)
            events[i].value = VALUE_MAX;
    }
    r->events = events;
    r->seen = allocate(ids, sizeof *r->seen);
    r->until = allocate(ids, sizeof *r->until);
    r->warm = r->count / WARM;
    r->half = r->count / 2;
}

static int
connect_to(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* ---- What comes out
 * ------------------------------------------------------------------------- */

static double
cpu_us(int pid)
{
    struct tasks tasks;
    double sum = 0;

    tasks_read(pid, &tasks);
    for (int i = 0; i < tasks.n; i++)
        sum += tasks.cpu_us[i];
    return sum;
}

static uint64_t
resident_kib(int pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %llu", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

static double
share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static void
report(const struct replay *r, int pid, double cpu, double seconds)
{
    printf(
        "{\"requests\": %zu, \"miss\": %.6f, \"byte_miss\": %.6f, \"late_miss\": %.6f, "
        "\"increments\": %llu, \"lost\": %.6f, \"refused\": %llu, \"seconds\": %.2f, "
        "\"rss\": %llu, \"us_per_request\": %.4f}\n",
        r->count, share(r->all.misses, r->all.gets),
        share(r->all.bytes_missed, r->all.bytes),
        share(r->second_half.misses, r->second_half.gets),
        (unsigned long long)r->increments, share(r->lost, r->increments),
        (unsigned long long)r->refused, seconds,
        (unsigned long long)resident_kib(pid) * 1024, cpu / (double)r->count);
}

int
main(int argc, char **argv)
{
    static struct replay replay;
    int port = 0, pid = 0, option;
    size_t most = 0;

    while ((option = getopt(argc, argv, "n:s:p:S:")) != -1) {
        if (option == 'n')
            most = strtoull(optarg, NULL, 10);
        else if (option == 's')
            replay.speed = atof(optarg);
        else if (option == 'p')
            port = atoi(optarg);
        else if (option == 'S')
            pid = atoi(optarg);
    }
    if (optind + 1 != argc || port == 0) {
        fprintf(stderr, "usage: replay [-n REQUESTS] [-s SPEED] -p PORT -S PID TRACE\n");
        return 1;
    }
    memset(value_bytes, 'v', sizeof value_bytes);
    load(&replay, argv[optind], most);
    replay.fd = connect_to(port);
    double cpu = cpu_us(pid);
    run(&replay);
    double seconds = now() - replay.began;
    report(&replay, pid, cpu_us(pid) - cpu, seconds);
    return 0;
}
