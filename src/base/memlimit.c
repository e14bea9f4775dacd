/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/memlimit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

/* The number in a file; UINT64_MAX: none there ("max"), or no such file. */
static uint64_t
read_limit(const char *path)
{
    char text[64];
    FILE *file = fopen(path, "re");
    uint64_t number = UINT64_MAX;

    if (file == NULL)
        return number;
    if (fgets(text, sizeof text, file) != NULL)
        if (!num_u64(slice_of(text, strcspn(text, "\n")), NUM_U64_MAX, &number))
            number = UINT64_MAX;
    fclose(file);
    return number;
}

/* The least limit of a group and of all above it. `group` is cut down on the way. */
static uint64_t
least_limit(const char *root, const char *name, char *group)
{
    uint64_t least = UINT64_MAX;

    for (;;) {
        char path[PATH_MAX], *slash = strrchr(group, '/');
        uint64_t limit;

        if ((size_t)snprintf(path, sizeof path, "%s%s/%s", root, group, name) <
            sizeof path) {
            limit = read_limit(path);
            least = limit < least ? limit : least;
        }
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

/* One line of the membership file: "0::/path" or "5:memory:/path". */
static uint64_t
group_limit(const char *cgroups, char *line)
{
    char *controllers = strchr(line, ':'), *group;
    char root[PATH_MAX];

    line[strcspn(line, "\n")] = '\0';
    if (controllers == NULL || (group = strchr(++controllers, ':')) == NULL)
        return UINT64_MAX;
    *group++ = '\0';
    if (*controllers == '\0')
        return least_limit(cgroups, "memory.max", group);
    if (strcmp(controllers, "memory") != 0)
        return UINT64_MAX;
    if ((size_t)snprintf(root, sizeof root, "%s/memory", cgroups) >= sizeof root)
        return UINT64_MAX;
    return least_limit(root, "memory.limit_in_bytes", group);
}

uint64_t
memlimit_bytes(const char *cgroups, const char *membership)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX];
    FILE *file = fopen(membership, "re");

    if (pages > 0 && page > 0)
        least = (uint64_t)pages * (uint64_t)page;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        uint64_t limit = group_limit(cgroups, line);
        least = limit < least ? limit : least;
    }
    if (file != NULL)
        fclose(file);
    return least == UINT64_MAX ? 0 : least;
}

uint64_t
memlimit_here(void)
{
    return memlimit_bytes("/sys/fs/cgroup", "/proc/self/cgroup");
}
