/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sample.h - what a server says of itself at one moment, and what two moments tell.
 *
 * For `top`. Hot keys and latencies are Larder's own; with another server they are just
 * not there.
 */
#ifndef LARDER_CTL_SAMPLE_H
#define LARDER_CTL_SAMPLE_H

#include "ctl/classes.h"

#define SAMPLE_HOT_MAX     32u
#define SAMPLE_LATENCY_MAX 16u
/* A key of 250 bytes, escaped. */
#define SAMPLE_KEY_MAX     751u

struct sample_hot {
    char key[SAMPLE_KEY_MAX]; /* safe to show */
    uint64_t count;           /* estimated requests or bytes */
};

struct sample_latency {
    char name[24]; /* safe to show */
    uint64_t samples;
    double p50_us, p99_us, p999_us;
};

enum sample_ranking { SAMPLE_BY_REQUESTS, SAMPLE_BY_BYTES };

struct sample {
    uint64_t at; /* clock_micros() */
    struct report general;
    struct classes classes;
    unsigned n_hot[2]; /* by enum sample_ranking */
    struct sample_hot hot[2][SAMPLE_HOT_MAX];
    double hot_requests; /* estimated, of all keys */
    bool has_hot;
    unsigned n_latency;
    struct sample_latency latency[SAMPLE_LATENCY_MAX];
};

/* Asks for all of it. CTL_OK: pair with sample_free(). `why` as for report_fetch(). */
enum ctl_status sample_fetch(struct sample *sample, struct link *link, char *why);
void sample_free(struct sample *sample);

/* Take what they know out of `stats hotkeys` and `stats latency`. */
void sample_add_hot(struct sample *sample, const struct report *report);
void sample_add_latency(struct sample *sample, const struct report *report);

/* Rates a second between two samples; NAN where there is none, as after a restart or a
 * `stats reset`. */
struct rates {
    double seconds; /* between the two; NAN: there is only one */
    double gets, sets, deletes, counters, touches, requests; /* the last is their sum */
    double hit_ratio; /* 0 to 1, of the time between */
    double hit_ratio_ever;
    double evictions, expired, connections, bytes_read, bytes_written;
    double cpu; /* processors kept busy */
    double class_evictions[CLASSES_MAX];
};

/* `before` NULL: there is none. */
void sample_rates(struct rates *rates, const struct sample *before,
    const struct sample *now);

#endif
