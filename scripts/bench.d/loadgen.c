/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loadgen - drives a memcached-protocol server and costs less than the server does.
 *
 *   cc -O2 -pthread -o loadgen *.c -lm
 *   loadgen -p PORT -o get -c 50 -d 16 -k 1000000 -t 5 -S SERVER_PID
 *
 * One epoll loop a thread. Closed loop (the default): every connection sends a batch of
 * -d requests, waits for all replies, sends the next batch; latency is that of a batch.
 * With -R, open loop: batches are due at fixed times whether or not the server keeps up,
 * and latency counts from the time a batch was due, so a server that stalls can't hide
 * it. An open loop with a number of requests (-n, or fill) lasts until they are sent.
 * SIGTERM ends a run early; it reports all the same.
 *
 * Requests are written straight into the send buffer; replies are framed, never copied.
 * The result is one line of JSON; it holds the CPU time of each of the server's threads
 * during the measurement, for which the server's process id is needed (-S).
 *
 *   -h ADDRESS -p PORT | -U PATH    the server (127.0.0.1)
 *   -o OPERATION   get  set  mix:R (a set, then R gets)  mget:K (K keys a get)  incr  add
 *                  fill (set every key once, in order)  version
 *                  mg  ms (meta)  bget  bset (binary)
 *                  bgetq:K (K quiet binary gets, then a no-op that ends them)
 *   -c CONNECTIONS -d DEPTH -T THREADS
 *   -k KEYS -0 FIRST -x PREFIX -l KEY_LENGTH   keys are PREFIX and a number from FIRST on
 *   -v VALUE_BYTES -V MAX   value length; with -V evenly between the two
 *   -D uniform | seq        how keys are chosen
 *   -e EXPTIME -s SEED -n REQUESTS | -t SECONDS -R REQUESTS_PER_SECOND
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cputime.h"
#include "loadgen.h"

static const char *const NAMES[] = { "get", "set", "mix", "mget", "incr", "add", "fill",
    "version", "mg", "ms", "bget", "bset", "bgetq" };

struct options options = { .address = "127.0.0.1",
    .prefix = "key-",
    .port = 11211,
    .connections = 50,
    .depth = 1,
    .threads = 1,
    .value_min = 32,
    .keys = 1000000,
    .seed = 1 };
char *value_bytes;
pthread_barrier_t start_line;
volatile sig_atomic_t stop_asked;

_Noreturn void
die(const char *what)
{
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    exit(2);
}

void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        die("memory");
    return memory;
}

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

    while (
        (letter = getopt(argc, argv, "h:p:U:o:c:d:T:k:0:x:l:v:V:D:e:s:n:t:R:S:")) != -1) {
        switch (letter) {
        case 'h':
            options.address = optarg;
            break;
        case 'p':
            options.port = atoi(optarg);
            break;
        case 'U':
            options.path = optarg;
            break;
        case 'o':
            operation_read(optarg);
            break;
        case 'c':
            options.connections = atoi(optarg);
            break;
        case 'd':
            options.depth = atoi(optarg);
            break;
        case 'T':
            options.threads = atoi(optarg);
            break;
        case 'k':
            options.keys = strtoull(optarg, NULL, 10);
            break;
        case '0':
            options.first = strtoull(optarg, NULL, 10);
            break;
        case 'x':
            options.prefix = optarg;
            break;
        case 'l':
            options.key_len = atoi(optarg);
            break;
        case 'v':
            options.value_min = atoi(optarg);
            break;
        case 'V':
            options.value_max = atoi(optarg);
            break;
        case 'D':
            options.sequential = strcmp(optarg, "seq") == 0;
            break;
        case 'e':
            options.exptime = atoi(optarg);
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            options.requests = strtoull(optarg, NULL, 10);
            break;
        case 't':
            options.seconds = atof(optarg);
            break;
        case 'R':
            options.rate = atof(optarg);
            break;
        case 'S':
            options.server = (pid_t)atoi(optarg);
            break;
        default:
            fprintf(stderr, "loadgen: see the head of loadgen.c\n");
            exit(2);
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
    thread->nconnections = options.connections / options.threads +
                           ((int)index < options.connections % options.threads);
    thread->random = (options.seed + index) * 0x9E3779B97F4A7C15u | 1u;
    thread->next_key = share * index;
    thread->end_key = index == threads - 1 ? options.keys : share * (index + 1);
    if (options.operation == FILL)
        thread->budget = thread->end_key - thread->next_key;
    else
        thread->budget = options.requests / threads;
}

/* How many of the latencies were over a tenth of a millisecond, one, ten, a hundred. */
static void
report_slow(const struct histogram *latency)
{
    static const unsigned limits_us[] = { 100, 1000, 10000, 100000 };

    printf("\"slow\": {");
    for (unsigned i = 0; i < sizeof limits_us / sizeof *limits_us; i++)
        printf("%s\"%u\": %llu", i > 0 ? ", " : "", limits_us[i],
            (unsigned long long)histogram_over(latency, limits_us[i] * 1000ull));
    printf("}, ");
}

static void
report(const struct thread *total, const struct tasks *before, const struct tasks *after)
{
    double seconds = (double)(total->ended - total->began) / 1e9;
    double ops = total->done > 0 ? (double)total->done : 1;
    const struct histogram *latency = &total->latency;

    printf("{\"ops\": %llu, \"keys\": %llu, \"hits\": %llu, \"sets\": %llu, \"errors\": "
           "%llu, "
           "\"secs\": %.4f, \"ops_per_s\": %.1f, \"keys_per_s\": %.1f, ",
        (unsigned long long)total->done, (unsigned long long)total->keys,
        (unsigned long long)total->hits, (unsigned long long)total->sets,
        (unsigned long long)total->errors, seconds, ops / seconds,
        (double)total->keys / seconds);
    report_slow(latency);
    printf("\"waited\": %.4f, ", (after->waited_us - before->waited_us) / 1e6 / seconds);
    printf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, "
           "\"client_us_per_op\": %.3f, \"client_busy\": %.3f, \"tasks_us\": [",
        histogram_at(latency, 0.5) / 1e3, histogram_at(latency, 0.99) / 1e3,
        histogram_at(latency, 0.999) / 1e3, (double)latency->highest / 1e3,
        total->cpu_us / ops, total->cpu_us / 1e6 / seconds / options.threads);
    for (int i = 0; i < after->n; i++)
        printf("%s%.1f", i > 0 ? ", " : "",
            after->cpu_us[i] - tasks_find(before, after->id[i]));
    printf("]}\n");
}

static void
stop_ask(int signal)
{
    (void)signal;
    stop_asked = 1;
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
    signal(SIGTERM, stop_ask);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int value =
        options.value_max > options.value_min ? options.value_max : options.value_min;
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
