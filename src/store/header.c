/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/header.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/sum.h"
#include "store/ghost.h"
#include "store/slab.h"
#include "store/table.h"

#define ORDER 0x01020304u
/* Summed and shown in one piece: small enough for the second level of a CPU's caches. */
#define PIECE_BYTES (UINT64_C(64) * SUM_BLOCK)
_Static_assert(PAGE_BYTES % SUM_BLOCK == 0, "sections are whole blocks");

/* A sentence that `file` and `less` show, with a mark that text files don't begin with. */
static const char magic[16] = "\211Larder arena\r\n";

void
header_init(struct header *header, const struct arena *arena)
{
    *header = (struct header){ .version = HEADER_VERSION, .order = ORDER,
        .item_bytes = ITEM_HEADER, .bucket_bytes = sizeof(struct bucket),
        .overflow_bytes = sizeof(struct overflow),
        .descriptor_bytes = sizeof(struct page), .ghost_bytes = sizeof(struct ghost_set),
        .page_bits = PAGE_SIZE_BITS, .mark = MARK_IN_USE, .sizes = arena->sizes };
    memcpy(header->magic, magic, sizeof magic);
}

uint64_t
header_sum(const struct header *header)
{
    _Alignas(8) char block[SUM_BLOCK] = { 0 };

    _Static_assert(sizeof *header <= SUM_BLOCK, "a header is one block");
    memcpy(block, header, offsetof(struct header, sum));
    return sum_blocks(block, 0, 1);
}

void
header_put(struct header *header, struct arena *arena)
{
    header->sum = header_sum(header);
    memcpy(arena->base, header, sizeof *header);
}

static bool
fits_build(const struct header *header)
{
    return header->version == HEADER_VERSION && header->order == ORDER &&
        header->item_bytes == ITEM_HEADER && header->bucket_bytes == sizeof(struct bucket) &&
        header->overflow_bytes == sizeof(struct overflow) &&
        header->descriptor_bytes == sizeof(struct page) &&
        header->ghost_bytes == sizeof(struct ghost_set) &&
        header->page_bits == PAGE_SIZE_BITS;
}

/* Sections of sizes that can be, and that belong together? */
static bool
sizes_sound(const struct arena_sizes *sizes)
{
    uint64_t buckets = sizes->buckets / sizeof(struct bucket);
    uint64_t overflow = sizes->overflow / sizeof(struct overflow);

    return arena_bytes(sizes) != 0 && sizes->pages > 0 &&
        sizes->descriptors == sizes->pages * sizeof(struct page) &&
        buckets >= TABLE_STRIPES && sizes->buckets % sizeof(struct bucket) == 0 &&
        overflow > 0 && sizes->overflow % sizeof(struct overflow) == 0 &&
        sizes->ghosts == buckets * sizeof(struct ghost_set);
}

/* Is the file long enough for what the header says? */
static bool
fits_file(const struct header *header, uint64_t bytes)
{
    uint64_t arena = arena_bytes(&header->sizes);

    return bytes >= arena && header->state_bytes == bytes - arena;
}

static const char *
judge(const struct header *header, uint64_t bytes)
{
    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return "it is no cache's memory";
    if (!fits_build(header))
        return "it was left by a build that lays memory out otherwise";
    if (header->sum != header_sum(header))
        return "it is damaged: its header";
    if (header->mark != MARK_WHOLE)
        return "it was in use when its server ended";
    if (!sizes_sound(&header->sizes) || header->state_bytes % SUM_BLOCK != 0)
        return "it is damaged: its header";
    if (!fits_file(header, bytes))
        return "it is damaged: it is not as long as it was";
    return NULL;
}

bool
header_read(struct header *header, int fd, const char **why_out)
{
    struct stat stat;
    ssize_t n;

    *why_out = "it cannot be read";
    if (fstat(fd, &stat) != 0)
        return false;
    if (!S_ISREG(stat.st_mode)) {
        *why_out = "it is not a regular file";
        return false;
    }
    n = pread(fd, header, sizeof *header, 0);
    if (n < 0)
        return false;
    *why_out = n == 0 ? "it is empty" : "it is no cache's memory";
    if (n != sizeof *header)
        return false;
    *why_out = judge(header, (uint64_t)stat.st_size);
    return *why_out == NULL;
}

/* ---- Sections ------------------------------------------------------------------------- */

/* Where a section begins, and the next. */
static void
bounds_of(const struct arena *arena, enum section section, uint64_t *start, uint64_t *end)
{
    const char *const at[SECTIONS + 1] = { arena->descriptors, arena->buckets,
        arena->overflow, arena->ghosts, arena->pages, arena->base + arena->bytes };

    *start = (uint64_t)(at[section] - arena->base);
    *end = (uint64_t)(at[section + 1] - arena->base);
}

/* The next run of data in the file from `at` on, up to `end`: 1; 0: there is none. Where the
 * system can't tell holes everything is data. */
static int
next_run(int fd, uint64_t at, uint64_t end, uint64_t *from, uint64_t *to)
{
    off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

    if (data < 0 && errno == ENXIO)
        return 0;
    if (data < 0 && errno != EINVAL && errno != EOPNOTSUPP)
        return -errno;
    if (data >= 0 && (uint64_t)data >= end)
        return 0;
    hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
    *from = data < 0 ? at : (uint64_t)data & ~(uint64_t)(SUM_BLOCK - 1);
    *to = hole < 0 ? end : ((uint64_t)hole + SUM_BLOCK - 1) & ~(uint64_t)(SUM_BLOCK - 1);
    if (*to > end)
        *to = end;
    return 1;
}

struct walk {
    const struct arena *arena;
    uint64_t start; /* of the section */
    section_fn fn;
    void *context;
    uint64_t sum;
};

/* Sums up and shows one run of data. */
static int
walk_run(struct walk *walk, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t bytes = to - from < PIECE_BYTES ? to - from : PIECE_BYTES;
        const char *data = walk->arena->base + from;

        walk->sum += sum_blocks(data, (from - walk->start) / SUM_BLOCK, bytes / SUM_BLOCK);
        if (walk->fn != NULL && !walk->fn(walk->context, data, from - walk->start, bytes))
            return -ECANCELED;
        from += bytes;
    }
    return 0;
}

int
section_sum(const struct arena *arena, enum section section, section_fn fn, void *context,
    uint64_t *sum_out)
{
    struct walk walk = { .arena = arena, .fn = fn, .context = context };
    uint64_t at, end, from = 0, to = 0;
    int rc = 1;

    bounds_of(arena, section, &walk.start, &end);
    assert(arena->fd >= 0);
    for (at = walk.start; at < end; at = to) {
        rc = next_run(arena->fd, at, end, &from, &to);
        if (rc <= 0)
            break;
        rc = walk_run(&walk, from, to);
        if (rc != 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    *sum_out = walk.sum;
    return 0;
}
