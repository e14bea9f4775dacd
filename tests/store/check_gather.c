/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_gather.c - protects: memory that is full comes to lie on huge pages, and only that: no
 * more memory is taken, nothing in it changes, what was given back is not counted on, and a
 * system that cannot do it is asked once.
 *
 * Where the kernel cannot, tests end where that has been seen: everything has to work as well.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/core.h"
#include "store/gather.h"
#include "store_kit.h"

#define BLOCKS 8u
#define SECOND UINT64_C(1000000)

struct range {
    char *base;
    char *reserved;
    int fd;
    struct gather gather;
    uint64_t now_us;
};

static void
range_open(struct range *range)
{
    uint64_t bytes = BLOCKS * GATHER_BYTES;

    *range = (struct range){ .fd = memfd_create("check", MFD_CLOEXEC), .now_us = SECOND };
    ck_assert_int_ge(range->fd, 0);
    ck_assert_int_eq(ftruncate(range->fd, (off_t)bytes), 0);
    range->reserved = mmap(NULL, bytes + GATHER_BYTES, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(range->reserved, MAP_FAILED);
    range->base = range->reserved +
        (-(uint64_t)(uintptr_t)range->reserved & (GATHER_BYTES - 1));
    range->base = mmap(range->base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
        range->fd, 0);
    ck_assert_ptr_ne(range->base, MAP_FAILED);
    gather_init(&range->gather, range->base, bytes);
}

static void
range_close(struct range *range)
{
    gather_fini(&range->gather);
    munmap(range->reserved, (BLOCKS + 1) * GATHER_BYTES);
    close(range->fd);
}

static char
pattern(uint64_t at)
{
    return (char)(at * 7 + at / 4096);
}

static void
write_pattern(struct range *range, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += 512)
        range->base[at] = pattern(at);
}

static void
expect_pattern(const struct range *range, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += 512)
        ck_assert_int_eq(range->base[at], pattern(at));
}

static uint64_t
pages_there(const struct range *range)
{
    static unsigned char there[BLOCKS * GATHER_PAGES];
    uint64_t n = 0;

    ck_assert_int_eq(mincore(range->base, BLOCKS * GATHER_BYTES, there), 0);
    for (size_t i = 0; i < sizeof there; i++)
        n += there[i] & 1u;
    return n;
}

/* A step of a part, with all the time that is needed before it. */
static bool
step(struct range *range, const struct gather_part *part)
{
    range->now_us += 60 * SECOND;
    return gather_step(&range->gather, part, 1, range->now_us);
}

/* As many steps as there may be blocks, some of them refused for a moment. */
static void
steps(struct range *range, const struct gather_part *part)
{
    for (unsigned i = 0; i < 10 * BLOCKS; i++)
        step(range, part);
}

/* After a try: is this a kernel that does it? */
static bool
can_gather(const struct range *range)
{
    if (range->gather.base != NULL && gather_bytes(&range->gather) > 0)
        return true;
    ck_assert_uint_eq(gather_bytes(&range->gather), 0);
    puts("no huge pages to be had here");
    return false;
}

START_TEST(full_blocks_are_gathered_and_keep_what_they_hold)
{
    struct gather_part part = { 4096, 5 * GATHER_BYTES + 9000, 5 * GATHER_BYTES + 9000,
        GATHER_PAGES, 1 };
    struct range range;
    uint64_t pages;

    range_open(&range);
    write_pattern(&range, 0, part.used);
    pages = pages_there(&range);
    steps(&range, &part);
    expect_pattern(&range, 0, part.used);
    /* Whole blocks only: the first begins before the part, the last is not full. */
    if (can_gather(&range))
        ck_assert_uint_eq(gather_bytes(&range.gather), 4 * GATHER_BYTES);
    ck_assert_uint_eq(pages_there(&range), pages);
    range_close(&range);
}
END_TEST

START_TEST(blocks_with_holes_are_left)
{
    struct gather_part part = { 0, 3 * GATHER_BYTES, 3 * GATHER_BYTES, GATHER_PAGES, 1 };
    struct range range;

    range_open(&range);
    write_pattern(&range, 0, GATHER_BYTES - 4096);
    write_pattern(&range, GATHER_BYTES, GATHER_BYTES * 3 / 2);
    steps(&range, &part);
    ck_assert_uint_eq(gather_bytes(&range.gather), 0);
    ck_assert_uint_eq(pages_there(&range), GATHER_PAGES - 1 + GATHER_PAGES / 2);
    /* Half is enough where the rest will come anyway. */
    part.pages_least = GATHER_PAGES / 2;
    steps(&range, &part);
    if (can_gather(&range)) {
        ck_assert_uint_eq(gather_bytes(&range.gather), 2 * GATHER_BYTES);
        ck_assert_uint_eq(pages_there(&range), 2 * GATHER_PAGES);
    }
    expect_pattern(&range, 0, GATHER_BYTES - 4096);
    range_close(&range);
}
END_TEST

START_TEST(blocks_in_use_are_gathered_one_at_a_time)
{
    struct gather_part part = { 0, 4 * GATHER_BYTES, 4 * GATHER_BYTES, GATHER_PAGES, 1 };
    struct range range;

    range_open(&range);
    write_pattern(&range, 0, part.used);
    steps(&range, &(struct gather_part){ 0, GATHER_BYTES, GATHER_BYTES, GATHER_PAGES, 1 });
    if (can_gather(&range)) {
        uint64_t before = gather_bytes(&range.gather);

        range.gather.not_before_us = range.now_us;
        for (unsigned i = 0; i < 10; i++)
            gather_step(&range.gather, &part, 1, range.now_us + i);
        ck_assert_uint_le(gather_bytes(&range.gather), before + GATHER_BYTES);
    }
    range_close(&range);
}
END_TEST

/* Who looks at a block that is being gathered waits: that is to be a small part of all time. */
START_TEST(what_takes_long_is_done_seldom)
{
    struct gather_part part = { 0, 4 * GATHER_BYTES, 4 * GATHER_BYTES, GATHER_PAGES, 1 };
    struct range range;
    unsigned seldom = 0;

    range_open(&range);
    write_pattern(&range, 0, part.used);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t before = gather_bytes(&range.gather), began = clock_micros();

        step(&range, &part);
        uint64_t took = clock_micros() - began;
        uint64_t pause = range.gather.not_before_us - range.now_us;
        if (gather_bytes(&range.gather) > before)
            seldom += pause >= 1000 * took || pause == 30 * SECOND;
    }
    if (can_gather(&range)) /* once may be enough: the step can be interrupted */
        ck_assert_uint_ge(seldom, 1);
    range_close(&range);
}
END_TEST

START_TEST(the_block_in_front_is_ready_before_it_is_used)
{
    struct gather_part part = { 0, GATHER_BYTES / 2, 4 * GATHER_BYTES, GATHER_PAGES, 1 };
    struct range range;

    range_open(&range);
    /* Not for those who need little, nor long before. */
    ck_assert(!step(&range, &part));
    part.used = range.gather.seen[0] = GATHER_BYTES * 3 / 2 - 4096;
    ck_assert(!step(&range, &part));
    ck_assert_uint_eq(pages_there(&range), 0);
    part.used += 4096;
    range.gather.not_before_us = UINT64_MAX; /* a pause is for blocks in use only */
    for (unsigned i = 0; i < 10 && gather_bytes(&range.gather) == 0; i++)
        step(&range, &part);
    if (can_gather(&range)) {
        ck_assert_uint_eq(pages_there(&range), GATHER_PAGES);
        ck_assert(!step(&range, &part));
        /* Nor where use will never get. */
        part.used = GATHER_BYTES * 7 / 2;
        steps(&range, &part);
        ck_assert_uint_eq(gather_bytes(&range.gather), GATHER_BYTES);
    }
    for (uint64_t at = 0; at < BLOCKS * GATHER_BYTES; at += 512)
        ck_assert_int_eq(range.base[at], 0);
    range_close(&range);
}
END_TEST

/* By two and a half blocks between two steps: five more may be wanted by the next. */
START_TEST(a_part_that_grows_fast_has_more_blocks_ready)
{
    struct gather_part part = { 0, GATHER_BYTES / 4, BLOCKS * GATHER_BYTES, GATHER_PAGES, 8 };
    struct range range;

    range_open(&range);
    ck_assert(!step(&range, &part));
    part.used = GATHER_BYTES * 11 / 4;
    for (unsigned i = 0; i < 10 && gather_bytes(&range.gather) == 0; i++) {
        range.gather.seen[0] = GATHER_BYTES / 4;
        step(&range, &part);
    }
    if (can_gather(&range))
        ck_assert_uint_gt(gather_bytes(&range.gather), 2 * GATHER_BYTES);
    range_close(&range);
}
END_TEST

START_TEST(what_was_given_back_is_gathered_again_when_it_is_full)
{
    struct gather_part part = { 0, 2 * GATHER_BYTES, 2 * GATHER_BYTES, GATHER_PAGES, 1 };
    struct range range;

    range_open(&range);
    write_pattern(&range, 0, part.used);
    steps(&range, &part);
    if (can_gather(&range)) {
        ck_assert_uint_eq(gather_bytes(&range.gather), 2 * GATHER_BYTES);
        ck_assert_int_eq(fallocate(range.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            GATHER_BYTES + 65536, 65536), 0);
        gather_forget(&range.gather, GATHER_BYTES + 65536);
        gather_forget(&range.gather, GATHER_BYTES + 65536);
        ck_assert_uint_eq(gather_bytes(&range.gather), GATHER_BYTES);
        ck_assert_uint_eq(pages_there(&range), 2 * GATHER_PAGES - 16);
        steps(&range, &part);
        ck_assert_uint_eq(gather_bytes(&range.gather), GATHER_BYTES);
        write_pattern(&range, 0, part.used);
        steps(&range, &part);
        ck_assert_uint_eq(gather_bytes(&range.gather), 2 * GATHER_BYTES);
    }
    expect_pattern(&range, 0, GATHER_BYTES);
    range_close(&range);
}
END_TEST

START_TEST(a_system_that_cannot_is_asked_once)
{
    struct gather_part part = { 0, 2 * GATHER_BYTES, 2 * GATHER_BYTES, GATHER_PAGES, 1 };
    struct range range;

    range_open(&range);
    write_pattern(&range, 0, part.used);
    /* Refused as everything is by kernels before 6.1. */
    ck_assert_int_eq(madvise(range.base, 2 * GATHER_BYTES, MADV_NOHUGEPAGE), 0);
    steps(&range, &part);
    ck_assert_ptr_null(range.gather.base);
    ck_assert_uint_eq(gather_bytes(&range.gather), 0);
    gather_forget(&range.gather, 0);
    expect_pattern(&range, 0, part.used);
    range_close(&range);
}
END_TEST

/* ---- In a store ---------------------------------------------------------------------- */

#define ITEMS (20000u / KIT_LESS)

/* Fills with values of 1000 bytes, with upkeep in between. */
static void
fill(struct kit *kit)
{
    char text[KIT_KEY_MAX];

    for (unsigned i = 0; i < ITEMS; i++) {
        ck_assert_int_eq(kit_set_sized(kit, kit_key(text, "k", i), 1000, 0), STORE_OK);
        if (i % 100 == 0)
            store_maintain(kit->store, kit->thread, kit->now, 1000);
    }
}

static unsigned
count_present(struct kit *kit)
{
    char text[KIT_KEY_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < ITEMS; i++)
        n += kit_present(kit, kit_key(text, "k", i));
    return n;
}

START_TEST(a_store_that_fills_lies_on_huge_pages)
{
    struct store_options options = kit_options(64 << 20);
    struct kit kit;

    options.huge_pages = true;
    kit_open(&kit, &options);
    store_maintain(kit.store, kit.thread, kit.now, 1000);
    ck_assert_uint_eq(kit_totals(&kit).huge_page_bytes, 0);
    fill(&kit);
    ck_assert_uint_eq(count_present(&kit), ITEMS);
    ck_assert_uint_le(kit_totals(&kit).huge_page_bytes,
        kit_totals(&kit).memory_bytes + kit_totals(&kit).index_bytes + 2 * GATHER_BYTES);
    if (kit_totals(&kit).huge_page_bytes == 0)
        puts("no huge pages to be had here");
    /* The other way round: what goes back to the system is not on huge pages any more. */
    ck_assert(store_memory_limit(kit.store, 1 << 20));
    for (unsigned i = 0; i < 10000 &&
         store_maintain(kit.store, kit.thread, kit.now, 100000) == STORE_BEHIND; i++)
        ;
    ck_assert_uint_le(kit_totals(&kit).memory_bytes, 1 << 20);
    ck_assert_uint_le(kit_totals(&kit).huge_page_bytes, 4 * GATHER_BYTES);
    ck_assert(store_memory_limit(kit.store, 64 << 20));
    fill(&kit);
    ck_assert_uint_eq(count_present(&kit), ITEMS);
    kit_close(&kit);
}
END_TEST

/* Small pages of the system that lie beyond all that was ever used. */
static uint64_t
ready_pages(struct kit *kit)
{
    static unsigned char there[64 << 20 >> 12];
    const struct arena *arena = &kit->store->arena;
    uint64_t used = (uint64_t)kit->store->slab.page_high << PAGE_SIZE_BITS, n = 0;

    ck_assert_uint_le(used, 64 << 20);
    ck_assert_int_eq(mincore(arena->pages + used, (64 << 20) - used, there), 0);
    for (size_t i = 0; i < ((64 << 20) - used) >> 12; i++)
        n += there[i] & 1u;
    return n;
}

/* A cache that fills fast has blocks ready in front. They are not kept when the limit is lowered. */
START_TEST(what_was_made_ready_goes_with_the_limit)
{
    struct store_options options = kit_options(64 << 20);
    struct kit kit;
    uint64_t ready;
    char text[KIT_KEY_MAX];

    options.huge_pages = true;
    kit_open(&kit, &options);
    for (unsigned i = 0; i < 12000; i++) {
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "k", i), 1000, 0), STORE_OK);
        if (i % 6000 == 50)
            store_maintain(kit.store, kit.thread, kit.now, 100000);
    }
    store_maintain(kit.store, kit.thread, kit.now, 100000);
    ready = ready_pages(&kit);
    if (ready == 0)
        puts("no huge pages to be had here");
    ck_assert(store_memory_limit(kit.store,
        (uint64_t)kit.store->slab.page_high << PAGE_SIZE_BITS));
    while (store_maintain(kit.store, kit.thread, kit.now, 100000) == STORE_BEHIND)
        ;
    ck_assert_uint_eq(ready_pages(&kit), 0);
    for (unsigned i = 0; i < 12000; i++)
        ck_assert(kit_has_sized(&kit, kit_key(text, "k", i), 1000));
    ck_assert(store_memory_limit(kit.store, 64 << 20));
    for (unsigned i = 12000; i < 20000; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "k", i), 1000, 0), STORE_OK);
    for (unsigned i = 0; i < 20000; i++)
        ck_assert(kit_has_sized(&kit, kit_key(text, "k", i), 1000));
    kit_close(&kit);
}
END_TEST

START_TEST(it_can_be_left)
{
    struct store_options options = kit_options(64 << 20);
    struct kit kit;

    kit_open(&kit, &options);
    fill(&kit);
    ck_assert_uint_eq(kit_totals(&kit).huge_page_bytes, 0);
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/gather");
    TCase *tc = tcase_create("gather");

    tcase_add_test(tc, full_blocks_are_gathered_and_keep_what_they_hold);
    tcase_add_test(tc, blocks_with_holes_are_left);
    tcase_add_test(tc, blocks_in_use_are_gathered_one_at_a_time);
    tcase_add_test(tc, what_takes_long_is_done_seldom);
    tcase_add_test(tc, the_block_in_front_is_ready_before_it_is_used);
    tcase_add_test(tc, a_part_that_grows_fast_has_more_blocks_ready);
    tcase_add_test(tc, what_was_given_back_is_gathered_again_when_it_is_full);
    tcase_add_test(tc, a_system_that_cannot_is_asked_once);
    tcase_add_test(tc, a_store_that_fills_lies_on_huge_pages);
    tcase_add_test(tc, what_was_made_ready_goes_with_the_limit);
    tcase_add_test(tc, it_can_be_left);
    return kit_run(suite, tc);
}
