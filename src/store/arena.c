/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

/* The arena's own header, reserved for a later process that takes the arena over. */
#define ARENA_HEADER PAGE_BYTES

static uint64_t
round_up(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
}

/* Does a file of the kernel's huge page settings choose one of `words`? */
static bool
setting_allows(const char *path, const char *const *words)
{
    char text[128];
    FILE *file = fopen(path, "re");
    bool allows = false;

    if (file == NULL)
        return false;
    if (fgets(text, sizeof text, file) != NULL)
        for (; *words != NULL; words++)
            allows = allows || strstr(text, *words) != NULL;
    fclose(file);
    return allows;
}

#define THP "/sys/kernel/mm/transparent_hugepage/"

/* The memory file, sparse, as long as the range. -1 with errno set. */
static int
memory_file(uint64_t bytes)
{
    int fd = memfd_create("larder", MFD_CLOEXEC);

    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)bytes) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int
map_range(struct arena *arena, bool huge, const char **why_out)
{
    static const char *const file_words[] = { "[advise]", "[always]", "[within_size]",
        "[force]", NULL };
    static const char *const anon_words[] = { "[always]", "[madvise]", NULL };
    bool in_file = !huge || setting_allows(THP "shmem_enabled", file_words);
    int flags = MAP_NORESERVE | (in_file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
    void *at;

    *why_out = "cannot reserve address space for the cache";
    if (huge && !in_file && !setting_allows(THP "enabled", anon_words)) {
        *why_out = "transparent huge pages are not available (or set to never)";
        return -EOPNOTSUPP;
    }
    arena->fd = in_file ? memory_file(arena->bytes) : -1;
    if (in_file && arena->fd < 0)
        return -errno;
    at = mmap(NULL, arena->bytes, PROT_READ | PROT_WRITE, flags, arena->fd, 0);
    if (at == MAP_FAILED) {
        int error = errno;
        if (arena->fd >= 0)
            close(arena->fd);
        return -error;
    }
    arena->base = at;
    return 0;
}

int
arena_init(struct arena *arena, const struct arena_sizes *sizes, bool huge,
    const char **why_out)
{
    uint64_t at = ARENA_HEADER;
    uint64_t descriptors = at, buckets, overflow, pages;
    int rc;

    at += round_up(sizes->descriptors);
    buckets = at;
    at += round_up(sizes->buckets);
    overflow = at;
    at += round_up(sizes->overflow);
    pages = at;
    /* One page more than will be used: a reader without a lock may look a few hundred bytes
     * beyond a chunk before it finds that what it saw is not true any more. */
    at += (sizes->pages + 1) << PAGE_SIZE_BITS;

    *arena = (struct arena){ .npages = sizes->pages, .bytes = at, .fd = -1, .huge = huge };
    if (at > ARENA_BYTES_MAX) {
        *why_out = "more memory than items can be found in";
        return -E2BIG;
    }
    rc = map_range(arena, huge, why_out);
    if (rc != 0)
        return rc;
    arena->descriptors = arena->base + descriptors;
    arena->buckets = arena->base + buckets;
    arena->overflow = arena->base + overflow;
    arena->pages = arena->base + pages;
    /* Clients' data has no business in core dumps. */
    madvise(arena->pages, arena->npages << PAGE_SIZE_BITS, MADV_DONTDUMP);
    if (huge)
        madvise(arena->pages, arena->npages << PAGE_SIZE_BITS, MADV_HUGEPAGE);
    return 0;
}

void
arena_fini(struct arena *arena)
{
    munmap(arena->base, arena->bytes);
    if (arena->fd >= 0)
        close(arena->fd);
}

void
arena_commit(struct arena *arena, uint64_t n)
{
    for (uint64_t at = 0; at < n << PAGE_SIZE_BITS; at += 4096)
        racy_set_byte(arena->pages + at, 0);
}

void
arena_release_page(struct arena *arena, uint64_t page)
{
    char *at = arena_page(arena, (uint32_t)page);

    /* A hole in the memory file, made through its descriptor: through the mapping it would be
     * refused for locked memory (-k). Anonymous memory knows DONTNEED. */
    if (arena->fd >= 0)
        fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            (off_t)(at - arena->base), PAGE_BYTES);
    else
        madvise(at, PAGE_BYTES, MADV_DONTNEED);
}
