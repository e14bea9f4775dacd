/* SPDX-License-Identifier: BSD-3-Clause */
/* loadgen.h - what the files of the load generator share. */
#ifndef LOADGEN_H
#define LOADGEN_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "histogram.h"

/* From BGET on: binary. */
/* clang-format off */
enum operation {
    GET, SET, MIX, MGET, INCR, ADD, FILL, VERSION, MG, MS,
    BGET, BSET, BGETQ
};
/* clang-format on */

/* Of the binary protocol. */
#define BINARY_HEADER 24u
#define BINARY_NOOP   0x0au

struct options {
    const char *address, *path, *prefix;
    size_t prefix_len;
    enum operation operation;
    int port, connections, depth, threads, key_len, value_min, value_max, exptime;
    int many; /* keys of an mget or bgetq, gets per set of a mix */
    bool sequential;
    double seconds, rate;
    uint64_t keys, first, requests, seed;
    pid_t server;
};

/* Read by all threads once they have been started. */
extern struct options options;
extern char *value_bytes; /* of the longest value */
/* All threads and main meet here: connected, begin, end. */
extern pthread_barrier_t start_line;
/* Set by SIGTERM: send nothing more, wait for what is owed, report. */
extern volatile sig_atomic_t stop_asked;

struct connection {
    int fd;
    int owed;       /* replies that have not come */
    uint64_t skip;  /* bytes of a value that have not come */
    bool last;      /* the reply ends with that value */
    uint64_t began; /* when the batch was sent or, in open loop, due */
    char *out;
    size_t out_len, out_sent;
    char *in;
    size_t in_len;
    uint64_t turn; /* position in a mix */
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

/* Prints what went wrong, with errno, and ends the program. */
_Noreturn void die(const char *what);
/* Zeroed memory; never NULL. */
void *allocate(size_t count, size_t size);

/* requests.c: bytes that the next request can take at most ... */
size_t request_max(void);
/* ... and the request itself, written to `at`; returns its end. */
char *put_request(struct thread *thread, struct connection *connection, char *at);

/* traffic.c: a thread's life, from connecting to hanging up; its argument is its struct.
 */
void *thread_run(void *argument);

#endif
