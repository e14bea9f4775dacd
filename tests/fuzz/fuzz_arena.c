/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_arena.c - any change to a file that a store was left in: refused, or gone on with.
 *
 * A store is filled and left once; each input then says which bytes of its file to change:
 *
 *   1 byte    whether values have sums; whether sums are made right afterwards
 *   1 byte    not used
 *   4 bytes   a change, again and again: where (header, state, descriptors, buckets,
 *             overflow buckets), a place there, and what is written to it
 *
 * Sums would refuse nearly everything, so mostly they are made right: then what is behind
 * them is looked at, every bound and every link. What is taken over with a changed header or
 * state must serve; with changed sections, which by themselves can say anything, it is only
 * destroyed. Asserts and sanitizers watch.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sum.h"
#include "store/header.h"
#include "store/store.h"

#define CHANGES_MAX 64u
#define FILE_MAX (UINT64_C(16) << 20)

static const struct store_options options = { .memory_max = 1 << 20,
    .memory_reserve = 1 << 20, .item_size_max = 1 << 20, .chunk_max = 65536, .chunk_min = 24,
    .growth_factor = 1.5, .object_bias = 100, .counter_reserve = 10, .evict = true,
    .slab_reassign = true, .hash_key = "0123456789abcde" };

/* The file as it was left, without and with sums of values. */
static char *whole[2];
static size_t whole_len[2];

static void
set(struct store *store, struct store_thread *thread, unsigned n, uint32_t now)
{
    static char value[8000];
    char key[32];
    int len = snprintf(key, sizeof key, "key-%u", n);
    struct store_write write = { .mode = STORE_SET, .key = slice_of(key, (size_t)len),
        .value = slice_of(value, n * 37 % 8000), .exptime = n % 3 == 0 ? now + n % 50 : 0 };
    struct store_written written;

    write.hash = store_hash(store, write.key);
    if (n % 50 == 0) {
        struct store_upload *upload = store_upload_open(store, thread, 30000);

        for (unsigned i = 0; i < 5; i++)
            if (!store_upload_put(upload, thread, value, 6000)) {
                store_upload_cancel(store, thread, upload);
                return;
            }
        write.upload = upload;
    }
    (void)store_write(store, thread, &write, now, &written);
}

static void
get(struct store *store, struct store_thread *thread, unsigned n, uint32_t now)
{
    static char value[STORE_SMALL_MAX];
    struct store_view view;
    char key[32];
    struct slice name = slice_of(key, (size_t)snprintf(key, sizeof key, "key-%u", n));

    if (store_find(store, thread, name, store_hash(store, name), now, STORE_USE, &view) ==
            STORE_OK &&
        !view.large)
        (void)store_copy(store, &view, value);
}

static void
nothing(void *context, const struct store_entry *entry)
{
    (void)context;
    (void)entry;
}

/* A bit of everything. */
static void
serve(struct store *store, unsigned from)
{
    struct store_thread *thread = store_thread_open(store);
    struct store_totals totals;
    struct store_class_totals class;
    uint32_t now = CLOCK_FIRST + 20;
    uint64_t cursor = 0;

    assert(thread != NULL);
    for (unsigned n = from; n < from + 500; n++) {
        set(store, thread, n, now);
        get(store, thread, n / 2, now);
        if (n % 100 == 0)
            (void)store_maintain(store, thread, ++now, 1000);
    }
    while (store_walk(store, thread, UINT64_MAX, &cursor, 10000, now, nothing, NULL))
        ;
    store_totals(store, &totals);
    for (unsigned id = 1; id <= store_classes(store); id++)
        store_class_totals(store, id, now, &class);
    store_thread_close(thread);
}

static void
prepare(int check_values)
{
    const char *why;
    struct store *store = store_create(&options, &why);
    ssize_t n;
    int fd, rc;

    assert(store != NULL);
    for (unsigned i = 0; i < 4; i++)
        serve(store, i * 500);
    rc = store_leave(store, "note", 4, check_values != 0, &fd);
    assert(rc == 0);
    store_destroy(store);
    whole[check_values] = malloc(FILE_MAX);
    assert(whole[check_values] != NULL);
    n = pread(fd, whole[check_values], FILE_MAX, 0);
    assert(n > 0);
    assert((uint64_t)n < FILE_MAX);
    whole_len[check_values] = (size_t)n;
    close(fd);
}

struct part {
    uint64_t at, bytes;
};

/* Where the parts of a file are that may be changed, by the header it was left with. */
static void
find_parts(const struct header *header, struct part parts[5])
{
    const uint64_t bytes[3] = { header->sizes.descriptors, header->sizes.buckets,
        header->sizes.overflow };
    uint64_t at = ARENA_HEADER;

    parts[0] = (struct part){ 0, sizeof *header };
    parts[1] = (struct part){ arena_bytes(&header->sizes), header->state_bytes };
    for (unsigned i = 0; i < 3; i++) {
        parts[2 + i] = (struct part){ at, bytes[i] };
        at += (bytes[i] + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    }
}

/* Applies the changes; true: sections were among them. */
static bool
change(char *file, const struct part parts[5], const uint8_t *data, size_t size)
{
    bool sections = false;

    for (unsigned i = 0; i < CHANGES_MAX && size >= 4; i++, data += 4, size -= 4) {
        const struct part *part = &parts[data[0] % 5];
        uint64_t place = (uint64_t)(data[0] / 5) << 16 | (uint64_t)data[1] << 8 | data[2];

        file[part->at + place % part->bytes] = (char)data[3];
        sections = sections || data[0] % 5 >= 2;
    }
    return sections;
}

/* The sums of what may have been changed, as far as the header still tells where it lies. */
static void
make_sums(char *file, const struct part parts[5])
{
    struct header *header = (struct header *)(void *)file;

    header->state_sum = sum_blocks(file + parts[1].at, 0, parts[1].bytes / SUM_BLOCK);
    for (unsigned i = 0; i < 3; i++)
        header->sums[i] = sum_blocks(file + parts[2 + i].at, 0,
            (parts[2 + i].bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES / SUM_BLOCK);
    header->sum = header_sum(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct part parts[5];
    unsigned with_values;
    struct store *store;
    const char *why = NULL;
    bool sections;
    char *file;
    int fd;

    if (size < 2)
        return 0;
    with_values = data[0] & 1;
    if (whole[with_values] == NULL)
        prepare((int)with_values);
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert(fd >= 0);
    if (ftruncate(fd, (off_t)whole_len[with_values]) != 0)
        abort();
    file = mmap(NULL, whole_len[with_values], PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert(file != MAP_FAILED);
    memcpy(file, whole[with_values], whole_len[with_values]);
    find_parts((const struct header *)(const void *)whole[with_values], parts);
    sections = change(file, parts, data + 2, size - 2);
    if (data[0] & 14)
        make_sums(file, parts);
    munmap(file, whole_len[with_values]);
    store = store_adopt(&options, fd, &why);
    if (store == NULL) {
        assert(why != NULL);
        close(fd);
        return 0;
    }
    if (!sections)
        serve(store, 1700);
    store_destroy(store);
    return 0;
}
