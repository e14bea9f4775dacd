/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_LEN 1024
/* The index and buffers come on top of -m: about this part of it. */
#define ON_TOP 8u

static uint64_t
read_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long limit;

    if (file == NULL)
        return UINT64_MAX;
    int got = fscanf(file, "%llu", &limit); /* "max" is no number */
    fclose(file);
    return got == 1 ? limit : UINT64_MAX;
}

/* The least of the limits of `group` and of those that it lies in. */
static uint64_t
least_limit(const char *top, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    char path[PATH_MAX];

    for (;;) {
        int len = snprintf(path, sizeof path, "%s%s/%s", top, group, name);
        uint64_t limit = len < (int)sizeof path ? read_limit(path) : UINT64_MAX;
        if (limit < least)
            least = limit;
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

/* Lines are NUMBER:CONTROLLERS:/GROUP; without controllers it is that of version 2. */
static uint64_t
limit_of_line(const char *root, char *line)
{
    char top[PATH_MAX];
    char *controllers = strchr(line, ':'), *group;

    if (controllers == NULL || (group = strchr(++controllers, ':')) == NULL)
        return UINT64_MAX;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (*controllers == '\0') {
        snprintf(top, sizeof top, "%s/sys/fs/cgroup", root);
        return least_limit(top, group, "memory.max");
    }
    if (strcmp(controllers, "memory") != 0)
        return UINT64_MAX;
    snprintf(top, sizeof top, "%s/sys/fs/cgroup/memory", root);
    return least_limit(top, group, "memory.limit_in_bytes");
}

uint64_t
cgroup_memory_limit(const char *root)
{
    char path[PATH_MAX], line[LINE_MAX_LEN];
    uint64_t least = UINT64_MAX;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return least;
    while (fgets(line, sizeof line, file) != NULL) {
        uint64_t limit = limit_of_line(root, line);
        if (limit < least)
            least = limit;
    }
    fclose(file);
    return least;
}

void
cgroup_check(const struct options *options)
{
    uint64_t limit = cgroup_memory_limit("");

    if (limit < options->memory_max + options->memory_max / ON_TOP)
        fprintf(stderr, "WARNING: -m: this control group may use %llu MiB, which is less "
            "than %llu MiB and what comes on top; the kernel ends the server when they are "
            "used up\n", (unsigned long long)limit >> 20,
            (unsigned long long)options->memory_max >> 20);
}
