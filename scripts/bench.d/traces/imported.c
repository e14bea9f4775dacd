/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imported.c - traces recorded by others; README.md names their origins.
 *
 * Most tell which keys were asked for and nothing of sizes, so each key is given a fixed
 * size; size and popularity have nothing to do with each other then. Short traces are
 * repeated, several copies at once with keys of their own, each beginning elsewhere, so
 * that what they ask for fills more than a few pages.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

#define REQUESTS_MAX 5000000

enum sizes { ETC, ROWS, FRAGMENTS };

static uint32_t
big_endian(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void
put_key(uint64_t id, uint32_t second, enum sizes sizes)
{
    uint32_t key = dense_id(id);

    if (sizes == FRAGMENTS)
        put(second, key, key_length(key, 31, 6000, .9, 1000, 50000), 0, 50, OP_GET);
    else if (sizes == ROWS)
        put(second, key, key_length(key, 32, 600, 1.0, 40, 60000), 0, 38, OP_GET);
    else
        put(second, key, etc_value(key), 0, etc_key(key), OP_GET);
}

/* Four bytes a request, most significant first. */
static void
cache2k(const char *raw, size_t length, uint32_t seconds, enum sizes sizes)
{
    for (size_t i = 0; i + 4 <= length; i += 4)
        put_key(big_endian(raw + i), (uint32_t)(i * (uint64_t)seconds / length), sizes);
}

/* Lines of "first count ...": that many blocks one after the other. */
static void
arc(const char *raw, size_t length)
{
    for (const char *at = raw; at != NULL && *at != '\0';) {
        unsigned long first, count;

        if (sscanf(at, "%lu %lu", &first, &count) < 2)
            break;
        for (unsigned long i = 0; i < count; i++)
            put_key(
                first + i, (uint32_t)((double)(at - raw) / (double)length * 36000), ETC);
        at = strchr(at, '\n');
        at = at == NULL ? NULL : at + 1;
    }
}

/* libCacheSim's oracleGeneral: second (4 bytes), id (8), size (4), next use (8). */
static void
blocks(const char *raw, size_t length)
{
    uint32_t began = 0;

    for (size_t i = 0; i + 24 <= length; i += 24) {
        uint32_t second, size;
        uint64_t id;

        memcpy(&second, raw + i, 4);
        memcpy(&id, raw + i + 4, 8);
        memcpy(&size, raw + i + 12, 4);
        if (i == 0)
            began = second;
        put(second - began, dense_id(id), size > 500000 ? 500000 : size, 0, 24, OP_GET);
    }
}

/* ---- Meta's kvcache: histograms, from which requests are drawn
 * --------------------------- */

struct histogram {
    double *up_to; /* sums of weights */
    uint32_t *values;
    int n;
};

static void
histogram_add(struct histogram *h, double value, double weight)
{
    size_t room = (size_t)h->n + 1;

    h->up_to = realloc(h->up_to, room * sizeof *h->up_to);
    h->values = realloc(h->values, room * sizeof *h->values);
    if (h->up_to == NULL || h->values == NULL)
        die("out of memory");
    h->up_to[h->n] = (h->n > 0 ? h->up_to[h->n - 1] : 0) + weight;
    h->values[h->n++] = (uint32_t)value;
}

/* Which entry a number in 0 .. 1 falls on. */
static int
histogram_find(const struct histogram *h, double unit)
{
    double x = unit * h->up_to[h->n - 1];
    int low = 0, high = h->n - 1;

    while (low < high) {
        int middle = (low + high) / 2;

        if (h->up_to[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A length from the histogram, which has steps of 16, spread over the step. */
static uint32_t
drawn_length(const struct histogram *sizes, uint32_t key)
{
    uint32_t size = sizes->values[histogram_find(sizes, key_unit(key, 51))];

    if (size > 16)
        size -= (uint32_t)(key_unit(key, 52) * 31);
    return size > 200000 ? 200000 : size;
}

/* Lines "P keys weight": so many keys together get that share of requests;
 * "S bytes weight": values of that size. */
static void
kvcache(char *raw)
{
    struct histogram keys = { 0 }, sizes = { 0 };
    double value, weight;

    for (char *line = strtok(raw, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (sscanf(line + 1, "%lf %lf", &value, &weight) == 2)
            histogram_add(*line == 'P' ? &keys : &sizes, value, weight);
    uint64_t *first = allocate((size_t)keys.n + 1, sizeof *first);
    for (int i = 0; i < keys.n; i++)
        first[i + 1] = first[i] + keys.values[i];
    for (uint64_t i = 0; i < 6000000; i++) {
        double u = chance_unit();
        uint64_t id;

        if (u < .0155) { /* asked for once */
            id = first[keys.n] + i;
        } else {
            int at = histogram_find(&keys, chance_unit());

            id = first[at] + chance() % keys.values[at];
        }
        uint32_t key = dense_id(id);
        put((uint32_t)(i / 200), key, drawn_length(&sizes, key), 0,
            16 + (int)(key_unit(key, 53) * 40), OP_GET);
    }
}

/* ---- Copies
 * -------------------------------------------------------------------------------- */

static void
repeat(uint32_t copies)
{
    struct trace once = trace;

    trace = (struct trace){ 0 };
    for (size_t i = 0; i < once.count; i++)
        for (uint32_t j = 0; j < copies; j++) {
            const struct event *e =
                &once.events[(i + once.count / copies * j) % once.count];

            put(once.events[i].second, e->id * copies + j, e->value, e->ttl, e->key,
                e->operation);
        }
    free(once.events);
    if (trace.count > REQUESTS_MAX)
        trace.count = REQUESTS_MAX;
}

int
imported(const char *name, char *raw, size_t length)
{
    if (strcmp(name, "web07") == 0 || strcmp(name, "web12") == 0) {
        cache2k(raw, length, 86400, FRAGMENTS);
    } else if (strcmp(name, "orm-busy") == 0) {
        cache2k(raw, length, 36000, ROWS);
        repeat(3);
    } else if (strcmp(name, "oltp") == 0) {
        arc(raw, length);
        repeat(4);
    } else if (strcmp(name, "cphys") == 0) {
        blocks(raw, length);
    } else if (strcmp(name, "metakv") == 0) {
        kvcache(raw);
    } else {
        return 0;
    }
    return 1;
}
