/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"

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

/* An empty file, sparse, as long as the range. */
static int
clear_file(int fd, uint64_t bytes)
{
    return ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
}

/* The memory file. -1 with errno set. */
static int
memory_file(uint64_t bytes)
{
    int fd = memfd_create("larder", MFD_CLOEXEC), rc;

    if (fd < 0)
        return -1;
    rc = clear_file(fd, bytes);
    if (rc == 0)
        return fd;
    close(fd);
    errno = -rc;
    return -1;
}

/* Addresses for `bytes` that begin where a huge page may. NULL with errno set. */
static char *
reserve_aligned(uint64_t bytes)
{
    char *at = mmap(NULL, bytes + GATHER_BYTES, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t before;

    if (at == MAP_FAILED)
        return NULL;
    before = -(uint64_t)(uintptr_t)at & (GATHER_BYTES - 1);
    if (before > 0)
        munmap(at, before);
    at += before;
    munmap(at + bytes, GATHER_BYTES - before);
    return at;
}

/* Maps the file of the arena, or anonymous memory if it has none. */
static int
map_range(struct arena *arena, const char **why_out)
{
    int flags = MAP_NORESERVE | MAP_FIXED |
        (arena->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
    char *at = reserve_aligned(arena->bytes);

    *why_out = "cannot reserve address space for the cache";
    if (at == NULL)
        return -errno;
    if (mmap(at, arena->bytes, PROT_READ | PROT_WRITE, flags, arena->fd, 0) == MAP_FAILED) {
        int error = errno;

        munmap(at, arena->bytes);
        return -error;
    }
    arena->base = at;
    return 0;
}

/* Lays the sections out one after the other; the distance of the end. */
static uint64_t
lay_out(const struct arena_sizes *sizes, uint64_t at[5])
{
    const uint64_t bytes[4] = { sizes->descriptors, sizes->buckets, sizes->overflow,
        sizes->ghosts };

    at[0] = ARENA_HEADER;
    for (unsigned i = 0; i < 4; i++)
        at[i + 1] = at[i] + round_up(bytes[i]);
    /* One page more than will be used: a reader without a lock may look a few hundred bytes
     * beyond a chunk before it finds that what it saw is not true any more. */
    return at[4] + ((sizes->pages + 1) << PAGE_SIZE_BITS);
}

uint64_t
arena_bytes(const struct arena_sizes *sizes)
{
    uint64_t at[5], end;

    if (sizes->descriptors > ARENA_BYTES_MAX || sizes->buckets > ARENA_BYTES_MAX ||
        sizes->overflow > ARENA_BYTES_MAX || sizes->ghosts > ARENA_BYTES_MAX ||
        sizes->pages > ARENA_BYTES_MAX >> PAGE_SIZE_BITS)
        return 0;
    end = lay_out(sizes, at);
    return end <= ARENA_BYTES_MAX ? end : 0;
}

/* Sets what is known before there is memory. */
static int
prepare(struct arena *arena, const struct arena_sizes *sizes, int fd, bool huge,
    const char **why_out)
{
    *arena = (struct arena){ .npages = sizes->pages, .bytes = arena_bytes(sizes), .fd = fd,
        .huge = huge, .sizes = *sizes };
    if (arena->bytes != 0)
        return 0;
    *why_out = "more memory than items can be found in";
    return -E2BIG;
}

static void
set_sections(struct arena *arena)
{
    uint64_t at[5];

    (void)lay_out(&arena->sizes, at);
    arena->descriptors = arena->base + at[0];
    arena->buckets = arena->base + at[1];
    arena->overflow = arena->base + at[2];
    arena->ghosts = arena->base + at[3];
    arena->pages = arena->base + at[4];
    /* Clients' data has no business in core dumps. */
    madvise(arena->ghosts, arena->bytes - at[3], MADV_DONTDUMP);
    if (arena->huge)
        madvise(arena->pages, arena->npages << PAGE_SIZE_BITS, MADV_HUGEPAGE);
}

int
arena_map(struct arena *arena, const struct arena_sizes *sizes, int fd, bool huge,
    const char **why_out)
{
    int rc = prepare(arena, sizes, fd, huge, why_out);

    if (rc == 0)
        rc = map_range(arena, why_out);
    if (rc == 0)
        set_sections(arena);
    return rc;
}

int
arena_init_in(struct arena *arena, const struct arena_sizes *sizes, int fd, bool huge,
    const char **why_out)
{
    int rc = prepare(arena, sizes, fd, huge, why_out);

    if (rc == 0) {
        *why_out = "cannot make the file as large as the cache may become";
        rc = clear_file(fd, arena->bytes);
    }
    return rc == 0 ? arena_map(arena, sizes, fd, huge, why_out) : rc;
}

int
arena_init(struct arena *arena, const struct arena_sizes *sizes, bool huge,
    const char **why_out)
{
    static const char *const file_words[] = { "[advise]", "[always]", "[within_size]",
        "[force]", NULL };
    static const char *const anon_words[] = { "[always]", "[madvise]", NULL };
    bool in_file = !huge || setting_allows(THP "shmem_enabled", file_words);
    int rc = prepare(arena, sizes, -1, huge, why_out);

    if (rc != 0)
        return rc;
    if (huge && !in_file && !setting_allows(THP "enabled", anon_words)) {
        *why_out = "transparent huge pages are not available (or set to never)";
        return -EOPNOTSUPP;
    }
    *why_out = "cannot reserve address space for the cache";
    if (in_file) {
        arena->fd = memory_file(arena->bytes);
        if (arena->fd < 0)
            return -errno;
    }
    rc = map_range(arena, why_out);
    if (rc == 0)
        set_sections(arena);
    else if (arena->fd >= 0)
        close(arena->fd);
    return rc;
}

void
arena_fini(struct arena *arena)
{
    gather_fini(&arena->gather);
    if (arena->base != NULL)
        munmap(arena->base, arena->bytes);
    if (arena->fd >= 0)
        close(arena->fd);
}

void
arena_commit(struct arena *arena, uint64_t n)
{
    for (uint64_t at = 0; at < n << PAGE_SIZE_BITS; at += 4096)
        racy_set_byte(arena->pages + at, racy_byte(arena->pages + at));
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
    gather_forget(&arena->gather, (uint64_t)(at - arena->base));
}

int
arena_settle(const struct arena *arena)
{
    struct statfs fs;

    if (fstatfs(arena->fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
        return 0;
    return fdatasync(arena->fd) == 0 ? 0 : -errno;
}
