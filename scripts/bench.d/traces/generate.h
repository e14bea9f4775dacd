/* SPDX-License-Identifier: BSD-3-Clause */
/* generate.h - what the files of the trace generator share. */
#ifndef GENERATE_H
#define GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "trace.h"

/* ---- generate.c: the trace being made; it grows as needed
 * ------------------------------ */

struct trace {
    struct event *events;
    size_t count, room;
};

extern struct trace trace;

/* Appends a request. */
void put(uint32_t second, uint32_t id, uint32_t value, uint32_t ttl, int key,
    enum operation operation);
/* Prints what went wrong, with errno, and ends the program. */
_Noreturn void die(const char *what);
/* Memory, zeroed; never NULL. */
void *allocate(size_t count, size_t size);

/* ---- chance.c: chance with a fixed seed, so a trace is the same wherever it is made
 * ----- */

uint64_t chance(void);    /* the next number */
double chance_unit(void); /* the next in (0, 1) */
uint64_t scramble(uint64_t x);
/* In (0, 1), the same for the same key and purpose. */
double key_unit(uint64_t key, uint64_t purpose);
/* A length by key and purpose, log-normally distributed, cut to least .. most. */
uint32_t key_length(uint64_t key, uint64_t purpose, double median, double sigma,
    uint32_t least, uint32_t most);

/* Ranks 0 .. n-1, each about rank^-exponent as likely as the first. */
struct zipf {
    double *up_to;
    uint32_t n;
};

struct zipf zipf_make(uint32_t n, double exponent);
uint32_t zipf_draw(const struct zipf *zipf);

/* Small numbers for large ones, in order of first appearance. */
uint32_t dense_id(uint64_t key);
void dense_forget(void);

/* Key and value lengths and lifetimes as in Facebook's ETC pool (Atikoglu et al.,
 * SIGMETRICS 2012): generalized extreme value and generalized Pareto. */
int etc_key(uint64_t key);
uint32_t etc_value(uint64_t key);
uint32_t etc_ttl(uint64_t key);

/* ---- synthetic.c, imported.c
 * ------------------------------------------------------------ */

/* Puts the requests of the named trace; 0: not one of these. `raw`, an imported trace's
 * file in memory, ends with a zero byte beyond its length. */
int synthetic(const char *name);
int imported(const char *name, char *raw, size_t length);

#endif
