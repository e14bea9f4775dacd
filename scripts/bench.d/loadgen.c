/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loadgen - drives a memcached-protocol server and costs less than the server does.
 *
 *   cc -O2 -pthread -o loadgen loadgen.c -lm
 *   loadgen -p PORT -o get -c 50 -d 16 -k 1000000 -t 5 -S SERVER_PID
 *
 * One epoll loop a thread. Closed loop (the default): every connection sends a batch of -d
 * requests, waits for all replies, sends the next batch; latency is that of a batch. With
 * -R, open loop: batches are due at fixed times whether or not the server keeps up, and
 * latency counts from the time a batch was due, so a server that stalls can't hide it.
 *
 * Requests are written straight into the send buffer; replies are framed, never copied. The
 * result is one line of JSON; it holds the CPU time of each of the server's threads during
 * the measurement, for which the server's process id is needed (-S).
 *
 *   -h ADDRESS -p PORT | -U PATH    the server (127.0.0.1)
 *   -o OPERATION   get  set  mix:R (a set, then R gets)  mget:K (K keys a get)  incr  add
 *                  fill (set every key once, in order)  version
 *   -c CONNECTIONS -d DEPTH -T THREADS
 *   -k KEYS -0 FIRST -x PREFIX -l KEY_LENGTH   keys are PREFIX and a number from FIRST on
 *   -v VALUE_BYTES -V MAX   value length; with -V evenly between the two
 *   -D uniform | seq        how keys are chosen
 *   -e EXPTIME -s SEED -n REQUESTS | -t SECONDS -R REQUESTS_PER_SECOND
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cputime.h"
#include "histogram.h"

#define INPUT_BYTES (256u * 1024u)
#define SILENCE_MS 10000 /* no reply for so long ends the run with an error */

enum operation { GET, SET, MIX, MGET, INCR, ADD, FILL, VERSION };

static const char *const NAMES[] = { "get", "set", "mix", "mget", "incr", "add", "fill",
    "version" };

struct options {
    const char *address, *path, *prefix;
    size_t prefix_len;
    enum operation operation;
    int port, connections, depth, threads, key_len, value_min, value_max, exptime;
    int many; /* keys of an mget, gets per set of a mix */
    bool sequential;
    double seconds, rate;
    uint64_t keys, first, requests, seed;
    pid_t server;
};

/* Read by all threads once they have been started. */
static struct options options = { .address = "127.0.0.1", .prefix = "key-", .port = 11211,
    .connections = 50, .depth = 1, .threads = 1, .value_min = 32, .keys = 1000000,
    .seed = 1 };
static char *value_bytes;
static pthread_barrier_t start_line;

struct connection {
    int fd;
    int owed;          /* replies that have not come */
    uint64_t skip;     /* bytes of a value that have not come */
    uint64_t began;    /* when the batch was sent or, in open loop, due */
    char *out;
    size_t out_len, out_sent;
    char *in;
    size_t in_len;
    uint64_t turn;     /* position in a mix */
};

struct thread {
    pthread_t id;
    unsigned index;
    int epoll, nconnections;
    struct connection *connections;
    struct connection **idle; /* open loop: those with nothing to do */
    int nidle, live;
    uint64_t random, next_key, end_key, budget;
    uint64_t sent, done, keys, hits, sets, errors;
    uint64_t began, ended;
    double cpu_us;
    struct histogram latency;
};

static uint64_t
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void
die(const char *what)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        die("memory");
    return memory;
}

/* ---- Requests ------------------------------------------------------------------------ */

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

static char *
put_store(struct thread *thread, char *at, const char *verb)
{
    int len = options.value_min;

    if (options.value_max > len)
        len += (int)(random_next(thread) % (uint64_t)(options.value_max - len + 1));
    thread->sets++;
    at = put_text(at, verb, 4);
    at = put_key(thread, at);
    at = PUT(at, " 0 ");
    at = put_number(at, (uint64_t)options.exptime, 0);
    *at++ = ' ';
    at = put_number(at, (uint64_t)len, 0);
    at = PUT(at, "\r\n");
    at = put_text(at, value_bytes, (size_t)len);
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
    case VERSION:
        return PUT(at, "version\r\n");
    }
    abort();
}

/* Bytes that one request can take. */
static size_t
request_max(void)
{
    size_t key = options.prefix_len + 24 + (size_t)(options.key_len > 0 ? options.key_len : 0);
    int value = options.value_max > options.value_min ? options.value_max : options.value_min;

    if (options.operation == MGET)
        return (key + 1) * (size_t)options.many + 64;
    return key + (size_t)value + 96;
}

/* ---- Conversations ------------------------------------------------------------------- */

static void
connection_watch(struct thread *thread, struct connection *connection, uint32_t events, int how)
{
    struct epoll_event event = { .events = events, .data.ptr = connection };

    if (epoll_ctl(thread->epoll, how, connection->fd, &event) != 0)
        die("epoll_ctl");
}

static void
connection_flush(struct thread *thread, struct connection *connection)
{
    while (connection->out_sent < connection->out_len) {
        ssize_t n = send(connection->fd, connection->out + connection->out_sent,
            connection->out_len - connection->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            connection_watch(thread, connection, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n < 0)
            die("send");
        connection->out_sent += (size_t)n;
    }
}

/* Sends the next batch; false: all that was asked for has been sent. */
static bool
connection_batch(struct thread *thread, struct connection *connection, uint64_t began)
{
    char *at = connection->out;
    int n = 0;

    for (; n < options.depth; n++) {
        if (thread->budget > 0 && thread->sent >= thread->budget)
            break;
        at = put_request(thread, connection, at);
        thread->sent++;
    }
    if (n == 0)
        return false;
    connection->out_len = (size_t)(at - connection->out);
    connection->out_sent = 0;
    connection->owed = n;
    connection->began = began;
    connection_flush(thread, connection);
    return true;
}

static bool
starts(const char *line, size_t len, const char *with, size_t with_len)
{
    return len >= with_len && memcmp(line, with, with_len) == 0;
}

#define STARTS(line, len, literal) starts((line), (len), (literal), sizeof(literal) - 1)

/* Length of the value that a VALUE line announces, with its line end. */
static uint64_t
value_announced(const char *line, const char *end)
{
    uint64_t len = 0;

    for (int blanks = 0; line < end && blanks < 3; line++)
        blanks += *line == ' ';
    for (; line < end && *line >= '0' && *line <= '9'; line++)
        len = len * 10u + (uint64_t)(*line - '0');
    return len + 2;
}

/* Looks at one line of a reply; returns 1 if it ends the reply. */
static int
line_take(struct thread *thread, struct connection *connection, const char *line, size_t len)
{
    if (STARTS(line, len, "VALUE ")) {
        connection->skip = value_announced(line, line + len);
        thread->hits++;
        return 0;
    }
    if (STARTS(line, len, "STORED") || (len > 0 && line[0] >= '0' && line[0] <= '9'))
        thread->hits++;
    else if (STARTS(line, len, "ERROR") || STARTS(line, len, "CLIENT_ERROR") ||
        STARTS(line, len, "SERVER_ERROR"))
        thread->errors++;
    return 1;
}

/* Takes what complete lines and values are in the input; returns how many replies ended. */
static int
connection_frame(struct thread *thread, struct connection *connection)
{
    const char *at = connection->in, *end = connection->in + connection->in_len;
    int ended = 0;

    for (;;) {
        uint64_t n = (uint64_t)(end - at);
        if (n > connection->skip)
            n = connection->skip;
        at += n;
        connection->skip -= n;
        if (connection->skip > 0)
            break;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break;
        ended += line_take(thread, connection, at, (size_t)(newline - at));
        at = newline + 1;
    }
    connection->in_len = (size_t)(end - at);
    if (connection->in_len > 0)
        memmove(connection->in, at, connection->in_len);
    return ended;
}

static void
connection_lost(struct thread *thread, struct connection *connection)
{
    fprintf(stderr, "loadgen: the server closed a connection\n");
    thread->errors++;
    thread->live--;
    epoll_ctl(thread->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
}

/* Handles what epoll said of one connection; true: its batch is complete. */
static bool
connection_ready(struct thread *thread, struct connection *connection, uint32_t events)
{
    if ((events & EPOLLOUT) != 0 && connection->out_sent < connection->out_len) {
        connection_watch(thread, connection, EPOLLIN, EPOLL_CTL_MOD);
        connection_flush(thread, connection);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
        return false;
    ssize_t n = recv(connection->fd, connection->in + connection->in_len,
        INPUT_BYTES - connection->in_len, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        connection_lost(thread, connection);
        return false;
    }
    connection->in_len += (size_t)n;
    int ended = connection_frame(thread, connection);
    thread->done += (uint64_t)ended;
    connection->owed -= ended;
    return ended > 0 && connection->owed <= 0;
}

static int
dial(void)
{
    int one = 1, fd;

    if (options.path != NULL) {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        if (strlen(options.path) >= sizeof to.sun_path) {
            errno = ENAMETOOLONG;
            die(options.path);
        }
        memcpy(to.sun_path, options.path, strlen(options.path));
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
            die("connect");
    } else {
        struct sockaddr_in to = { .sin_family = AF_INET,
            .sin_port = htons((uint16_t)options.port) };
        /* Closing with a reset leaves no port in TIME_WAIT for the next run. */
        struct linger reset = { 1, 0 };
        if (inet_pton(AF_INET, options.address, &to.sin_addr) != 1)
            die("address");
        fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) != 0)
            die("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void
thread_connect(struct thread *thread)
{
    size_t room = request_max() * (size_t)options.depth;

    thread->epoll = epoll_create1(0);
    thread->connections =
        allocate((size_t)thread->nconnections, sizeof *thread->connections);
    thread->idle = allocate((size_t)thread->nconnections, sizeof(struct connection *));
    for (int i = 0; i < thread->nconnections; i++) {
        struct connection *connection = &thread->connections[i];
        connection->fd = dial();
        connection->out = allocate(1, room);
        connection->in = allocate(1, INPUT_BYTES);
        connection->turn = (uint64_t)i;
        connection_watch(thread, connection, EPOLLIN, EPOLL_CTL_ADD);
    }
    thread->live = thread->nconnections;
}

static void
silence(struct thread *thread)
{
    fprintf(stderr, "loadgen: no reply for %d s\n", SILENCE_MS / 1000);
    thread->errors++;
    thread->live = 0;
}

/* Every connection is as busy as the server lets it. */
static void
closed_loop(struct thread *thread)
{
    struct epoll_event events[256];
    uint64_t stop = UINT64_MAX;

    if (options.seconds > 0)
        stop = thread->began + (uint64_t)(options.seconds * 1e9);
    for (int i = 0; i < thread->nconnections; i++)
        if (!connection_batch(thread, &thread->connections[i], thread->began))
            thread->live--;
    while (thread->live > 0) {
        int n = epoll_wait(thread->epoll, events, 256, SILENCE_MS);
        if (n == 0)
            silence(thread);
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection_ready(thread, connection, events[i].events))
                continue;
            uint64_t now = now_ns();
            histogram_add(&thread->latency, now - connection->began);
            if (now >= stop || !connection_batch(thread, connection, now))
                thread->live--;
        }
    }
}

/* Batches leave on time, as long as a connection is free. */
static void
open_loop(struct thread *thread)
{
    struct epoll_event events[256];
    double gap = 1e9 * options.depth * options.threads / options.rate;
    uint64_t stop = thread->began + (uint64_t)(options.seconds * 1e9);
    double due = (double)thread->began;

    for (int i = 0; i < thread->nconnections; i++)
        thread->idle[thread->nidle++] = &thread->connections[i];
    for (;;) {
        uint64_t now = now_ns();
        while (now < stop && thread->nidle > 0 && due <= (double)now) {
            connection_batch(thread, thread->idle[--thread->nidle], (uint64_t)due);
            due += gap;
        }
        if (thread->live <= 0 || (now >= stop && thread->nidle >= thread->live))
            return;
        struct timespec wait = { SILENCE_MS / 1000, 0 };
        if (now < stop && thread->nidle > 0) {
            uint64_t ns = due > (double)now ? (uint64_t)(due - (double)now) : 0;
            wait = (struct timespec){ (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };
        }
        int n = epoll_pwait2(thread->epoll, events, 256, &wait, NULL);
        if (n == 0 && wait.tv_sec == SILENCE_MS / 1000)
            silence(thread);
        now = now_ns();
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection_ready(thread, connection, events[i].events))
                continue;
            histogram_add(&thread->latency, now - connection->began);
            thread->idle[thread->nidle++] = connection;
        }
    }
}

static void *
thread_run(void *argument)
{
    struct thread *thread = argument;
    struct timespec before, after;

    thread_connect(thread);
    pthread_barrier_wait(&start_line);
    pthread_barrier_wait(&start_line);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    thread->began = now_ns();
    if (options.rate > 0)
        open_loop(thread);
    else
        closed_loop(thread);
    thread->ended = now_ns();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    thread->cpu_us = (double)(after.tv_sec - before.tv_sec) * 1e6 +
        (double)(after.tv_nsec - before.tv_nsec) / 1e3;
    pthread_barrier_wait(&start_line);
    for (int i = 0; i < thread->nconnections; i++)
        close(thread->connections[i].fd);
    return NULL;
}

/* ---- The command --------------------------------------------------------------------- */

static void
operation_read(const char *text)
{
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);

    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strlen(NAMES[i]) != len || memcmp(NAMES[i], text, len) != 0)
            continue;
        options.operation = (enum operation)i;
        options.many = colon != NULL ? atoi(colon + 1) : 10;
        return;
    }
    fprintf(stderr, "loadgen: no operation %s\n", text);
    exit(2);
}

static void
options_read(int argc, char **argv)
{
    int letter;

    while ((letter = getopt(argc, argv, "h:p:U:o:c:d:T:k:0:x:l:v:V:D:e:s:n:t:R:S:")) != -1) {
        switch (letter) {
        case 'h': options.address = optarg; break;
        case 'p': options.port = atoi(optarg); break;
        case 'U': options.path = optarg; break;
        case 'o': operation_read(optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 'd': options.depth = atoi(optarg); break;
        case 'T': options.threads = atoi(optarg); break;
        case 'k': options.keys = strtoull(optarg, NULL, 10); break;
        case '0': options.first = strtoull(optarg, NULL, 10); break;
        case 'x': options.prefix = optarg; break;
        case 'l': options.key_len = atoi(optarg); break;
        case 'v': options.value_min = atoi(optarg); break;
        case 'V': options.value_max = atoi(optarg); break;
        case 'D': options.sequential = strcmp(optarg, "seq") == 0; break;
        case 'e': options.exptime = atoi(optarg); break;
        case 's': options.seed = strtoull(optarg, NULL, 10); break;
        case 'n': options.requests = strtoull(optarg, NULL, 10); break;
        case 't': options.seconds = atof(optarg); break;
        case 'R': options.rate = atof(optarg); break;
        case 'S': options.server = (pid_t)atoi(optarg); break;
        default: fprintf(stderr, "loadgen: see the head of loadgen.c\n"); exit(2);
        }
    }
    options.prefix_len = strlen(options.prefix);
    if (options.operation == FILL) {
        options.sequential = true;
        options.requests = options.keys;
        options.seconds = 0;
    } else if (options.requests == 0 && options.seconds <= 0) {
        options.seconds = 3;
    }
    if (options.connections < 1 || options.depth < 1 || options.threads < 1 ||
        options.keys < 1 || options.value_min < 0 || options.many < 0) {
        fprintf(stderr, "loadgen: a number is out of range\n");
        exit(2);
    }
    if (options.threads > options.connections)
        options.threads = options.connections;
}

static void
thread_plan(struct thread *thread, unsigned index)
{
    unsigned threads = (unsigned)options.threads;
    uint64_t share = options.keys / threads;

    thread->index = index;
    thread->nconnections =
        options.connections / options.threads + ((int)index < options.connections % options.threads);
    thread->random = (options.seed + index) * 0x9E3779B97F4A7C15u | 1u;
    thread->next_key = share * index;
    thread->end_key = index == threads - 1 ? options.keys : share * (index + 1);
    if (options.operation == FILL)
        thread->budget = thread->end_key - thread->next_key;
    else
        thread->budget = options.requests / threads;
}

static void
report(const struct thread *total, const struct tasks *before, const struct tasks *after)
{
    double seconds = (double)(total->ended - total->began) / 1e9;
    double ops = total->done > 0 ? (double)total->done : 1;
    const struct histogram *latency = &total->latency;

    printf("{\"ops\": %llu, \"keys\": %llu, \"hits\": %llu, \"sets\": %llu, \"errors\": %llu, "
           "\"secs\": %.4f, \"ops_per_s\": %.1f, \"keys_per_s\": %.1f, ",
        (unsigned long long)total->done, (unsigned long long)total->keys,
        (unsigned long long)total->hits, (unsigned long long)total->sets,
        (unsigned long long)total->errors, seconds, ops / seconds,
        (double)total->keys / seconds);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, "
           "\"client_us_per_op\": %.3f, \"client_busy\": %.3f, \"tasks_us\": [",
        histogram_at(latency, 0.5) / 1e3, histogram_at(latency, 0.99) / 1e3,
        histogram_at(latency, 0.999) / 1e3, (double)latency->highest / 1e3, total->cpu_us / ops,
        total->cpu_us / 1e6 / seconds / options.threads);
    for (int i = 0; i < after->n; i++)
        printf("%s%.1f", i > 0 ? ", " : "",
            after->cpu_us[i] - tasks_find(before, after->id[i]));
    printf("]}\n");
}

static void
thread_sum(struct thread *total, const struct thread *thread)
{
    total->done += thread->done;
    total->keys += thread->keys;
    total->hits += thread->hits;
    total->sets += thread->sets;
    total->errors += thread->errors;
    total->cpu_us += thread->cpu_us;
    if (total->began == 0 || thread->began < total->began)
        total->began = thread->began;
    if (thread->ended > total->ended)
        total->ended = thread->ended;
    histogram_merge(&total->latency, &thread->latency);
}

int
main(int argc, char **argv)
{
    static struct thread total;
    static struct tasks before, after;
    struct rlimit files;

    options_read(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int value = options.value_max > options.value_min ? options.value_max : options.value_min;
    value_bytes = allocate(1, (size_t)value + 1);
    /* Short values are numbers, so that incr has something to work on. */
    memset(value_bytes, value <= 8 ? '1' : 'x', (size_t)value);

    struct thread *threads = allocate((size_t)options.threads, sizeof *threads);
    pthread_barrier_init(&start_line, NULL, (unsigned)options.threads + 1u);
    for (unsigned i = 0; i < (unsigned)options.threads; i++) {
        thread_plan(&threads[i], i);
        if (pthread_create(&threads[i].id, NULL, thread_run, &threads[i]) != 0)
            die("thread");
    }
    pthread_barrier_wait(&start_line); /* all are connected; let the server take note */
    usleep(50000);
    tasks_read(options.server, &before);
    pthread_barrier_wait(&start_line); /* all begin */
    pthread_barrier_wait(&start_line); /* all have ended */
    tasks_read(options.server, &after);
    for (int i = 0; i < options.threads; i++) {
        pthread_join(threads[i].id, NULL);
        thread_sum(&total, &threads[i]);
    }
    report(&total, &before, &after);
    return total.errors != 0;
}
