/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generate.c - makes a trace: generate NAME OUTPUT [RAW]
 *
 * RAW is the file that an imported trace is made from. Prints what the trace is like, as
 * JSON.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "generate.h"

struct trace trace;

void
die(const char *what)
{
    perror(what);
    exit(1);
}

void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        die("out of memory");
    return memory;
}

void
put(uint32_t second, uint32_t id, uint32_t value, uint32_t ttl, int key,
    enum operation operation)
{
    if (trace.count == trace.room) {
        trace.room = trace.room == 0 ? 1u << 20 : trace.room * 2;
        trace.events = realloc(trace.events, trace.room * sizeof *trace.events);
        if (trace.events == NULL)
            die("out of memory");
    }
    trace.events[trace.count++] =
        (struct event){ second, id, value, ttl, (uint8_t)key, (uint8_t)operation, 0 };
}

static char *
read_whole(const char *path, size_t *length_out)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die(path);
    size_t length = (size_t)ftell(file);
    rewind(file);
    char *bytes = allocate(length + 1, 1);
    if (fread(bytes, 1, length, file) != length)
        die(path);
    fclose(file);
    *length_out = length;
    return bytes;
}

static void
describe(const char *name)
{
    uint32_t most = 0;
    uint64_t keys = 0, bytes = 0;

    for (size_t i = 0; i < trace.count; i++)
        if (trace.events[i].id > most)
            most = trace.events[i].id;
    bool *seen = allocate((size_t)most + 1, sizeof *seen);
    for (size_t i = 0; i < trace.count; i++) {
        const struct event *e = &trace.events[i];

        if (seen[e->id])
            continue;
        seen[e->id] = true;
        keys++;
        bytes += e->key + (uint64_t)e->value;
    }
    free(seen);
    printf("{\"name\": \"%s\", \"requests\": %zu, \"keys\": %llu, \"footprint\": %llu, "
           "\"seconds\": %u}\n",
        name, trace.count, (unsigned long long)keys, (unsigned long long)bytes,
        trace.events[trace.count - 1].second);
}

int
main(int argc, char **argv)
{
    char *raw = NULL;
    size_t length = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: generate NAME OUTPUT [RAW]\n");
        return 1;
    }
    if (argc > 3)
        raw = read_whole(argv[3], &length);
    if (!(raw != NULL ? imported(argv[1], raw, length) : synthetic(argv[1]))) {
        fprintf(stderr, "generate: no trace %s\n", argv[1]);
        return 1;
    }
    describe(argv[1]);
    FILE *file = fopen(argv[2], "wb");
    if (file == NULL ||
        fwrite(trace.events, sizeof *trace.events, trace.count, file) != trace.count ||
        fclose(file) != 0)
        die(argv[2]);
    return 0;
}
