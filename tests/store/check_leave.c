/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_leave.c - protects: what a store has left in its file another one goes on with, whole
 * or not at all. That every answer and every number is the same afterwards is the business
 * of check_model.c (random operations) too; here are the long run with evictions, moves
 * and growth, other limits, each reason to refuse, and damage of every kind.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sum.h"
#include "store/header.h"
#include "store/slab.h"
#include "store/table.h"
#include "store_kit.h"

static struct store_options
small_options(void)
{
    struct store_options options = kit_options(1 << 20);

    options.memory_reserve = 4 << 20;
    return options;
}

static uint64_t
random_of(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 20;
}

/* Everything at least once: small, chained, expiring, counters, evictions, overflow. */
static void
fill(struct kit *kit, unsigned n)
{
    char text[KIT_KEY_MAX];
    uint64_t number;

    for (unsigned i = 0; i < n; i++) {
        struct slice key = kit_key(text, "item", i);

        ck_assert_int_ne(kit_set_sized(kit, key, i % 97 == 0 ? 20000 : i % 700,
            i % 5 == 0 ? kit->now + 50 : 0), STORE_TOO_LARGE);
        (void)kit_has_sized(kit, kit_key(text, "item", i / 2),
            i / 2 % 97 == 0 ? 20000 : i / 2 % 700);
    }
    ck_assert_int_eq(kit_write(kit, STORE_SET, "count", "41"), STORE_OK);
    ck_assert_int_eq(kit_arith(kit, STORE_INCR, "count", 1, &number), STORE_OK);
}

/* A store that was filled and left. */
static int
left(const struct store_options *options, bool check_values)
{
    struct kit kit;

    kit_open(&kit, options);
    fill(&kit, 3000);
    return kit_leave(&kit, check_values);
}

/* Why a file is refused; "" if it is not. */
static const char *
refusal(const struct store_options *options, int fd)
{
    struct kit kit = { .now = CLOCK_FIRST + 10 };
    const char *why = kit_adopt(&kit, options, fd);

    if (why != NULL)
        return why;
    kit_close(&kit);
    return "";
}

/* Refused for this reason, unchanged, and still the caller's. */
static void
expect_refusal(const struct store_options *options, int fd, const char *reason)
{
    struct stat before, after;

    ck_assert_int_eq(fstat(fd, &before), 0);
    ck_assert_str_eq(refusal(options, fd), reason);
    ck_assert_int_eq(fstat(fd, &after), 0);
    ck_assert_int_eq(after.st_size, before.st_size);
}

/* ---- Going on -------------------------------------------------------------------------- */

START_TEST(it_goes_on_for_many_rounds)
{
    struct store_options options = kit_options(8 << 20);
    struct store_totals first, last;
    char text[KIT_KEY_MAX];
    struct kit kit;

    options.lru = _i == 1;
    kit_open(&kit, &options);
    first = kit_totals(&kit);
    for (unsigned round = 0; round < 40 / KIT_LESS + 1; round++) {
        /* Sizes shift, so that pages have to move; there are more keys each time. */
        for (unsigned i = 0; i < 6000; i++) {
            unsigned n = round * 1500 + i, len = n * 7 % 100 + n / 200 % 400;
            struct slice key = kit_key(text, "k", n);

            if (!kit_has_sized(&kit, key, len))
                (void)kit_set_sized(&kit, key, len, n % 3 == 0 ? kit.now + 5 : 0);
        }
        kit.now++;
        store_maintain(kit.store, kit.thread, kit.now, 5000);
        kit_hand_over(&kit, &options, round % 2 == 0);
    }
    last = kit_totals(&kit);
    if (KIT_LESS == 1) {
        ck_assert_uint_gt(last.evictions, 0);
        ck_assert_uint_gt(last.index_buckets, first.index_buckets);
    }
    kit_close(&kit);
}
END_TEST

START_TEST(uniques_and_times_go_on)
{
    struct store_options options = small_options();
    struct store_view before, after;
    struct kit kit;

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "a", "1"), STORE_OK);
    ck_assert_int_eq(kit_set_sized(&kit, SLICE("short"), 10, kit.now + 5), STORE_OK);
    ck_assert_int_ge(kit_read(&kit, SLICE("a"), (char[9]){ 0 }, &before), 0);
    kit_hand_over(&kit, &options, true);
    kit.now += 4;
    ck_assert(kit_present(&kit, SLICE("short")));
    kit.now++;
    ck_assert(!kit_present(&kit, SLICE("short")));
    ck_assert_int_ge(kit_read(&kit, SLICE("a"), (char[9]){ 0 }, &after), 0);
    ck_assert_uint_eq(after.cas, before.cas);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "a", "2"), STORE_OK);
    ck_assert_int_ge(kit_read(&kit, SLICE("a"), (char[9]){ 0 }, &after), 0);
    ck_assert_uint_gt(after.cas, before.cas);
    kit_close(&kit);
}
END_TEST

START_TEST(flushes_go_on)
{
    struct store_options options = small_options();
    struct kit kit;

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "old", "1"), STORE_OK);
    store_flush(kit.store, 0, kit.now);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "new", "1"), STORE_OK);
    store_flush(kit.store, kit.now + 3, kit.now);
    kit_hand_over(&kit, &options, false);
    kit_expect(&kit, "old", NULL);
    kit_expect(&kit, "new", "1");
    kit.now += 3;
    kit_expect(&kit, "new", NULL);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "newer", "1"), STORE_OK);
    kit_hand_over(&kit, &options, false);
    kit_expect(&kit, "new", NULL);
    kit_expect(&kit, "newer", "1");
    kit_close(&kit);
}
END_TEST

/* Whichever prefixes the next store has chosen, and in whichever order. */
START_TEST(flushes_of_prefixes_go_on)
{
    static const struct slice BEFORE[] = { { "a:", 2 }, { "b:", 2 }, { "c:", 2 } };
    static const struct slice AFTER[] = { { "c:", 2 }, { "d:", 2 }, { "b:", 2 } };
    struct store_options options = small_options();
    uint64_t flushes;
    struct kit kit;

    options.flush_prefixes = BEFORE;
    options.nflush_prefixes = 3;
    kit_open(&kit, &options);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "a:1", "1"), STORE_OK);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "b:1", "1"), STORE_OK);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "c:1", "1"), STORE_OK);
    ck_assert_int_eq(store_flush_prefix(kit.store, SLICE("a:")), STORE_OK);
    ck_assert_int_eq(store_flush_prefix(kit.store, SLICE("b:")), STORE_OK);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "b:2", "1"), STORE_OK);
    options.flush_prefixes = AFTER;
    kit_hand_over(&kit, &options, false);
    kit_expect(&kit, "a:1", NULL); /* no longer chosen, and gone all the same */
    kit_expect(&kit, "b:1", NULL);
    kit_expect(&kit, "b:2", "1");
    kit_expect(&kit, "c:1", "1");
    ck_assert_int_eq(store_flush_prefix(kit.store, SLICE("a:")), STORE_MISS);
    ck_assert(slice_equal(store_flush_prefix_text(kit.store, 2, &flushes), SLICE("b:")));
    ck_assert_uint_eq(flushes, 1);
    ck_assert_int_eq(store_flush_prefix(kit.store, SLICE("c:")), STORE_OK);
    kit_hand_over(&kit, &options, true);
    kit_expect(&kit, "c:1", NULL);
    kit_expect(&kit, "b:2", "1");
    kit_close(&kit);
}
END_TEST

/* Several threads' counts become those of one that is closed; the next ones add to them. */
START_TEST(counts_of_all_threads_go_on)
{
    struct store_options options = small_options();
    struct store_thread *others[3];
    struct store_totals totals;
    struct kit kit;

    kit_open(&kit, &options);
    for (unsigned i = 0; i < 3; i++) {
        struct kit other = kit;

        others[i] = other.thread = store_thread_open(kit.store);
        fill(&other, 50 + i);
    }
    totals = kit_totals(&kit);
    for (unsigned i = 0; i < 3; i++)
        store_thread_close(others[i]);
    for (unsigned i = 0; i < 3; i++)
        kit_hand_over(&kit, &options, true);
    fill(&kit, 10);
    ck_assert_uint_gt(kit_totals(&kit).items_total, totals.items_total);
    ck_assert_uint_eq(kit_totals(&kit).items, totals.items);
    kit_close(&kit);
}
END_TEST

START_TEST(the_estimate_goes_on)
{
    struct store_options options = kit_options(4 << 20);
    char text[KIT_KEY_MAX];
    struct kit kit;

    kit_open(&kit, &options);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 400000 / KIT_LESS; i++) {
            struct slice key = kit_key(text, "e", (uint64_t)i * i % 100003);

            if (!kit_present(&kit, key))
                (void)kit_set_sized(&kit, key, 20, 0);
            (void)kit_has_sized(&kit, key, 20);
        }
        store_maintain(kit.store, kit.thread, ++kit.now, 1000);
        kit_hand_over(&kit, &options, round == 1);
    }
#if KIT_LESS == 1
    ck_assert(kit_totals(&kit).estimated);
#endif
    kit_close(&kit);
}
END_TEST

START_TEST(a_file_with_a_name_serves_as_well)
{
    struct store_options options = small_options();
    char path[] = "check_leave.XXXXXX";
    int fd = mkstemp(path), again;
    struct kit kit = { .now = CLOCK_FIRST + 10 };
    const char *why;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "what was there", 14), 14);
    kit.store = store_create_in(&options, fd, &why);
    ck_assert_ptr_nonnull(kit.store);
    kit.thread = store_thread_open(kit.store);
    fill(&kit, 500);
    ck_assert_int_eq(kit_write(&kit, STORE_SET, "kept", "yes"), STORE_OK);
    close(kit_leave(&kit, true));
    again = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_ptr_null(kit_adopt(&kit, &options, again));
    kit_expect(&kit, "kept", "yes");
    fill(&kit, 500);
    /* It is in use: not for a second one, and not after a crash. */
    fd = open(path, O_RDWR | O_CLOEXEC);
    expect_refusal(&options, fd, "it was in use when its server ended");
    kit_close(&kit);
    expect_refusal(&options, fd, "it was in use when its server ended");
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(the_descriptor_is_not_inherited)
{
    struct store_options options = small_options();
    int fd = left(&options, false);

    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    close(fd);
}
END_TEST

START_TEST(notes_of_any_length_come_along)
{
    static const size_t lengths[] = { 0, 1, 4095, 4096, STORE_NOTE_MAX };
    static char note[STORE_NOTE_MAX];
    struct store_options options = small_options();
    struct kit kit;

    memset(note, 'n', sizeof note);
    kit_open(&kit, &options);
    ck_assert_uint_eq(store_note(kit.store).len, 0);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        int fd;

        ck_assert_int_eq(store_leave(kit.store, note, lengths[i], i % 2 == 0, &fd), 0);
        store_thread_close(kit.thread);
        store_destroy(kit.store);
        ck_assert_ptr_null(kit_adopt(&kit, &options, fd));
        ck_assert(slice_equal(store_note(kit.store), slice_of(note, lengths[i])));
    }
    kit_close(&kit);
}
END_TEST

START_TEST(a_pinned_value_keeps_it_here)
{
    struct store_options options = small_options();
    struct store_upload *upload;
    struct store_view view;
    struct store_pin *pin;
    struct iovec iov;
    struct kit kit;
    bool full;
    int fd = -1;

    kit_open(&kit, &options);
    ck_assert_int_eq(kit_set_sized(&kit, SLICE("large"), 100000, 0), STORE_OK);
    ck_assert_int_eq(store_find(kit.store, kit.thread, SLICE("large"),
        store_hash(kit.store, SLICE("large")), kit.now, STORE_USE, &view), STORE_OK);
    pin = store_pin(kit.store, kit.thread, &view, &full);
    ck_assert_int_eq(store_leave(kit.store, NULL, 0, false, &fd), -EBUSY);
    store_unpin(kit.store, kit.thread, pin);
    upload = store_upload_open(kit.store, kit.thread, 50000);
    ck_assert_int_eq(store_upload_room(upload, kit.thread, &iov, 1), 1);
    ck_assert_int_eq(store_leave(kit.store, NULL, 0, false, &fd), -EBUSY);
    store_upload_cancel(kit.store, kit.thread, upload);
    ck_assert_int_eq(fd, -1);
    ck_assert(kit_has_sized(&kit, SLICE("large"), 100000));
    kit_hand_over(&kit, &options, true);
    ck_assert(kit_has_sized(&kit, SLICE("large"), 100000));
    kit_close(&kit);
}
END_TEST

/* ---- Another limit --------------------------------------------------------------------- */

START_TEST(a_larger_limit_takes_effect)
{
    struct store_options options = small_options();
    struct kit kit = { .now = CLOCK_FIRST + 10 };
    int fd = left(&options, true);

    options.memory_max = 4 << 20;
    ck_assert_ptr_null(kit_adopt(&kit, &options, fd));
    ck_assert_uint_eq(kit_totals(&kit).limit_bytes, 4 << 20);
    fill(&kit, 9000);
    ck_assert_uint_gt(kit_totals(&kit).memory_bytes, 2 << 20);
    kit_close(&kit);
}
END_TEST

START_TEST(a_smaller_limit_is_reached)
{
    struct store_options options = small_options();
    struct kit kit = { .now = CLOCK_FIRST + 10 };
    int fd = left(&options, true);

    options.memory_max = 512 << 10;
    ck_assert_ptr_null(kit_adopt(&kit, &options, fd));
    ck_assert_uint_gt(kit_totals(&kit).memory_bytes, 512 << 10);
    for (unsigned i = 0; i < 1000 && kit_totals(&kit).memory_bytes > 512 << 10; i++)
        store_maintain(kit.store, kit.thread, ++kit.now, 10000);
    ck_assert_uint_le(kit_totals(&kit).memory_bytes, 512 << 10);
    fill(&kit, 1000);
    options.memory_max = 2 << 20;
    kit_hand_over(&kit, &options, false);
    fill(&kit, 4000);
    kit_close(&kit);
}
END_TEST

/* ---- Refusals -------------------------------------------------------------------------- */

static const uint32_t sizes[] = { 100, 200, 400 };

static void
set_growth(struct store_options *options)
{
    options->growth_factor = 1.3;
}

static void
set_first(struct store_options *options)
{
    options->chunk_min = 100;
}

static void
set_largest(struct store_options *options)
{
    options->chunk_max = 32768;
}

static void
set_sizes(struct store_options *options)
{
    options->slab_sizes = sizes;
    options->nslab_sizes = 3;
}

static void
set_lru(struct store_options *options)
{
    options->lru = true;
}

static void
set_hash(struct store_options *options)
{
    options->fast_hash = hash_has_fast();
}

static void
set_limit(struct store_options *options)
{
    options->memory_max = 5 << 20;
}

static const char other_sizes[] =
    "its chunks have other sizes (-f, -n, slab_sizes, slab_chunk_max)";

static const struct {
    void (*change)(struct store_options *options);
    const char *why;
} changes[] = {
    { set_growth, other_sizes },
    { set_first, other_sizes },
    { set_largest, other_sizes },
    { set_sizes, other_sizes },
    { set_lru, "items were evicted by another policy" },
    { set_hash, "its keys were hashed otherwise (hash_algorithm)" },
    { set_limit, "the memory limit is over what it has addresses for" },
};

START_TEST(other_options_are_refused)
{
    struct store_options options = small_options(), other = options;
    int fd = left(&options, true);

    changes[_i].change(&other);
    if (changes[_i].change != set_hash || hash_has_fast())
        expect_refusal(&other, fd, changes[_i].why);
    ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

static struct header
read_header(int fd)
{
    struct header header;

    ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
    return header;
}

/* With its sum made right, so that what it says is what is looked at. */
static void
write_header(int fd, struct header header)
{
    header.sum = header_sum(&header);
    ck_assert_int_eq(pwrite(fd, &header, sizeof header, 0), sizeof header);
}

START_TEST(other_builds_are_refused)
{
    static const char why[] = "it was left by a build that lays memory out otherwise";
    struct store_options options = small_options();
    int fd = left(&options, false);
    struct header header = read_header(fd), other = header;

    other.version++;
    write_header(fd, other);
    expect_refusal(&options, fd, why);
    other = header;
    other.order = 0x04030201;
    write_header(fd, other);
    expect_refusal(&options, fd, why);
    other = header;
    other.bucket_bytes = other.overflow_bytes;
    write_header(fd, other);
    expect_refusal(&options, fd, why);
    other = header;
    other.overflow_bytes = other.bucket_bytes;
    write_header(fd, other);
    expect_refusal(&options, fd, why);
    other = header;
    other.page_bits = 20;
    write_header(fd, other);
    expect_refusal(&options, fd, why);
    write_header(fd, header);
    ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

START_TEST(sizes_that_cannot_be_are_refused)
{
    struct store_options options = small_options();
    int fd = left(&options, false);
    struct header header = read_header(fd);

    for (unsigned field = 0; field < 7; field++) {
        static const uint64_t steps[] = { 1, 64, 65536, UINT64_C(1) << 40, UINT64_MAX / 2,
            (uint64_t)-1, (uint64_t)-64, (uint64_t)-65536 };

        for (unsigned i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            struct header other = header;
            uint64_t *const fields[] = { &other.sizes.descriptors, &other.sizes.buckets,
                &other.sizes.overflow, &other.sizes.ghosts, &other.sizes.pages,
                &other.state_bytes, &other.state_sum };

            *fields[field] += steps[i];
            write_header(fd, other);
            /* A part of a section may be less than what the file takes for it. */
            if (fields[field] != &other.sizes.overflow)
                ck_assert_str_ne(refusal(&options, fd), "");
        }
    }
    write_header(fd, header);
    ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

START_TEST(what_is_no_arena_is_refused)
{
    struct store_options options = small_options();
    int fd = memfd_create("foreign", MFD_CLOEXEC), ends[2];
    char text[1000];

    expect_refusal(&options, fd, "it is empty");
    ck_assert_int_eq(write(fd, "short", 5), 5);
    expect_refusal(&options, fd, "it is no cache's memory");
    memset(text, 'x', sizeof text);
    ck_assert_int_eq(write(fd, text, sizeof text), sizeof text);
    expect_refusal(&options, fd, "it is no cache's memory");
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(ftruncate(fd, 100 << 20), 0);
    expect_refusal(&options, fd, "it is no cache's memory");
    close(fd);
    fd = open("/", O_RDONLY | O_CLOEXEC);
    ck_assert_str_eq(refusal(&options, fd), "it is not a regular file");
    close(fd);
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_str_eq(refusal(&options, ends[0]), "it is not a regular file");
    close(ends[0]);
    close(ends[1]);
    ck_assert_str_eq(refusal(&options, ends[0]), "it cannot be read");
}
END_TEST

START_TEST(what_nobody_left_is_refused)
{
    struct store_options options = small_options();
    int fd = memfd_create("in use", MFD_CLOEXEC), kept = dup(fd);
    struct kit kit = { .now = CLOCK_FIRST + 10 };
    const char *why;

    kit.store = store_create_in(&options, fd, &why);
    kit.thread = store_thread_open(kit.store);
    expect_refusal(&options, kept, "it was in use when its server ended");
    fill(&kit, 1000);
    expect_refusal(&options, kept, "it was in use when its server ended");
    kit_close(&kit);
    expect_refusal(&options, kept, "it was in use when its server ended");
    close(kept);
}
END_TEST

/* A descriptor that can't be written to would end in a signal later. */
START_TEST(what_cannot_be_written_is_refused)
{
    struct store_options options = small_options();
    int fd = left(&options, false), again;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    again = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(again, 0);
    ck_assert_str_ne(refusal(&options, again), "");
    close(again);
    ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

START_TEST(a_file_for_a_new_store_stays_ours_if_that_fails)
{
    struct store_options options = small_options();
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const char *why = NULL;

    ck_assert_ptr_null(store_create_in(&options, fd, &why));
    ck_assert_ptr_nonnull(why);
    ck_assert_int_ne(fcntl(fd, F_GETFD), -1);
    close(fd);
}
END_TEST

/* ---- Damage ---------------------------------------------------------------------------- */

static void
flip(int fd, uint64_t at, unsigned char mask)
{
    unsigned char byte;

    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= mask;
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
}

START_TEST(no_byte_of_the_header_may_differ)
{
    struct store_options options = small_options();
    int fd = left(&options, _i == 0);

    for (uint64_t at = 0; at < sizeof(struct header); at++) {
        static const unsigned char masks[] = { 1, 0x80, 0xff };

        for (unsigned i = 0; i < sizeof masks; i++) {
            flip(fd, at, masks[i]);
            ck_assert_str_ne(refusal(&options, fd), "");
            flip(fd, at, masks[i]);
        }
    }
    ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

START_TEST(a_shorter_or_longer_file_is_refused)
{
    struct store_options options = small_options();
    int fd = left(&options, true);
    struct stat stat;
    uint64_t len, arena;

    ck_assert_int_eq(fstat(fd, &stat), 0);
    len = (uint64_t)stat.st_size;
    ck_assert_int_eq(ftruncate(fd, stat.st_size + 1), 0);
    ck_assert_str_ne(refusal(&options, fd), "");
    ck_assert_int_eq(ftruncate(fd, stat.st_size + 4096), 0);
    ck_assert_str_ne(refusal(&options, fd), "");
    arena = len - read_header(fd).state_bytes;
    for (uint64_t to = len - 1; to > arena; to -= to - arena > 100 ? 97 : 1) {
        ck_assert_int_eq(ftruncate(fd, (off_t)to), 0);
        ck_assert_str_ne(refusal(&options, fd), "");
    }
    for (uint64_t to = arena; to > 0; to = to > 5000 ? to - to / 7 : to - 1) {
        ck_assert_int_eq(ftruncate(fd, (off_t)to), 0);
        ck_assert_str_ne(refusal(&options, fd), "");
    }
    close(fd);
}
END_TEST

/* Where a section begins in the file; the last of them is the saved state. */
static uint64_t
start_of(const struct header *header, unsigned section, uint64_t *bytes)
{
    const uint64_t lengths[] = { header->sizes.descriptors, header->sizes.buckets,
        header->sizes.overflow, header->sizes.ghosts,
        (header->sizes.pages + 1) << PAGE_SIZE_BITS, header->state_bytes };
    uint64_t at = ARENA_HEADER;

    for (unsigned i = 0; i < section; i++)
        at += (lengths[i] + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    *bytes = lengths[section];
    return at;
}

/* A place in a section, mostly where something is. */
static uint64_t
place_in(int fd, const struct header *header, unsigned section, uint64_t *seed)
{
    uint64_t bytes, start = start_of(header, section, &bytes);
    uint64_t at = start + random_of(seed) % bytes;
    off_t data = lseek(fd, (off_t)start, SEEK_DATA), hole;

    if (data < 0 || (uint64_t)data >= start + bytes || random_of(seed) % 4 == 0)
        return at;
    hole = lseek(fd, data, SEEK_HOLE);
    if (hole < 0 || (uint64_t)hole > start + bytes)
        hole = (off_t)(start + bytes);
    return (uint64_t)data + random_of(seed) % (uint64_t)(hole - data);
}

/* One byte, somewhere in each section, and a run of rubbish. */
START_TEST(damage_is_noticed_wherever_sums_are_kept)
{
    struct store_options options = small_options();
    bool check_values = _i == 0;
    int fd = left(&options, check_values);
    struct header header = read_header(fd);
    uint64_t seed = 7;

    for (unsigned round = 0; round < 300; round++) {
        unsigned section = round % (SECTIONS + 1);
        unsigned char mask = (unsigned char)(1 + random_of(&seed) % 255);
        uint64_t at, len = round % 3 == 0 ? 1 + random_of(&seed) % 64 : 1;

        if (!check_values && (section == SECTION_GHOSTS || section == SECTION_PAGES))
            continue;
        at = place_in(fd, &header, section, &seed);
        for (uint64_t i = 0; i < len; i++)
            flip(fd, at + i, mask);
        ck_assert_str_ne(refusal(&options, fd), "");
        for (uint64_t i = 0; i < len; i++)
            flip(fd, at + i, mask);
    }
    ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

/* ---- Overflow buckets, their sums made right ------------------------------------------- */

/* A store whose index overflows, left. */
static int
left_overflowing(const struct store_options *options)
{
    struct kit kit;
    char text[KIT_KEY_MAX];

    kit_open(&kit, options);
    for (unsigned i = 0; i < 25000; i++)
        ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "k", i), 1, 0), STORE_OK);
    return kit_leave(&kit, false);
}

/* Two overflow buckets in use, the first with two items at least, and one that never was. */
struct chosen {
    uint64_t used, other, unused;
};

static struct chosen
choose(const struct overflow *overflow, uint64_t n)
{
    struct chosen chosen = { .unused = n - 1 };

    for (uint64_t i = 1; i < n && chosen.other == 0; i++) {
        if (chosen.used == 0 && overflow[i].slots[1] != 0)
            chosen.used = i;
        else if (chosen.used != 0 && overflow[i].slots[0] != 0)
            chosen.other = i;
    }
    ck_assert_uint_ne(chosen.other, 0);
    ck_assert_uint_eq(overflow[chosen.unused].slots[0], 0);
    return chosen;
}

/* One thing that cannot be. */
static void
damage_overflow(struct overflow *overflow, const struct chosen *chosen, unsigned which)
{
    struct overflow *used = &overflow[chosen->used];

    switch (which) {
    case 0: /* a hole */
        used->slots[0] = 0;
        break;
    case 1: /* what lies before all items, and behind them */
        used->slots[1] = 1;
        break;
    case 2:
        used->slots[1] = TABLE_REF_MASK;
        break;
    case 3: /* a circle */
        used->meta = chosen->used << 32;
        break;
    case 4: /* what somebody else leads to */
        used->meta = chosen->other << 32;
        break;
    case 5: /* never used, and beyond all there are */
        used->meta = chosen->unused << 32;
        break;
    case 6:
        used->meta = UINT64_C(0xffffffff) << 32;
        break;
    case 7: /* those that nothing leads to */
        overflow[chosen->unused].slots[OVERFLOW_SLOTS - 1] = used->slots[0];
        break;
    case 8:
        overflow[0].slots[0] = used->slots[0];
        break;
    default:
        break;
    }
}
#define OVERFLOW_DAMAGES 9

START_TEST(an_overflow_bucket_that_leads_astray_is_refused)
{
    struct store_options options = kit_options(4 << 20);
    int fd = left_overflowing(&options);
    struct header header = read_header(fd), other = header;
    uint64_t bytes, at = start_of(&header, SECTION_OVERFLOW, &bytes);
    uint64_t padded = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    struct overflow *overflow = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
        (off_t)at);
    struct chosen chosen;

    ck_assert_ptr_ne(overflow, MAP_FAILED);
    chosen = choose(overflow, bytes / sizeof *overflow);
    damage_overflow(overflow, &chosen, (unsigned)_i);
    other.sums[SECTION_OVERFLOW] = sum_blocks(overflow, 0, padded / SUM_BLOCK);
    munmap(overflow, padded);
    write_header(fd, other);
    if (_i < OVERFLOW_DAMAGES)
        expect_refusal(&options, fd, "it is damaged: its index");
    else
        ck_assert_str_eq(refusal(&options, fd), "");
}
END_TEST

/* A wrong ghost is a hint that misleads, and no more. */
START_TEST(any_bytes_are_good_ghosts)
{
    struct store_options options = small_options();
    int fd = left(&options, false);
    struct header header = read_header(fd);
    struct kit kit = { .now = CLOCK_FIRST + 10 };
    uint64_t seed = 11;

    for (unsigned i = 0; i < 20000; i++)
        flip(fd, place_in(fd, &header, SECTION_GHOSTS, &seed),
            (unsigned char)random_of(&seed));
    ck_assert_ptr_null(kit_adopt(&kit, &options, fd));
    fill(&kit, 3000);
    kit_hand_over(&kit, &options, true);
    kit_close(&kit);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/leave");
    TCase *tc = tcase_create("leave");

    tcase_add_loop_test(tc, it_goes_on_for_many_rounds, 0, 2);
    tcase_add_test(tc, uniques_and_times_go_on);
    tcase_add_test(tc, flushes_go_on);
    tcase_add_test(tc, flushes_of_prefixes_go_on);
    tcase_add_test(tc, counts_of_all_threads_go_on);
    tcase_add_test(tc, the_estimate_goes_on);
    tcase_add_test(tc, a_file_with_a_name_serves_as_well);
    tcase_add_test(tc, the_descriptor_is_not_inherited);
    tcase_add_test(tc, notes_of_any_length_come_along);
    tcase_add_test(tc, a_pinned_value_keeps_it_here);
    tcase_add_test(tc, a_larger_limit_takes_effect);
    tcase_add_test(tc, a_smaller_limit_is_reached);
    tcase_add_loop_test(tc, other_options_are_refused, 0,
        (int)(sizeof changes / sizeof changes[0]));
    tcase_add_test(tc, other_builds_are_refused);
    tcase_add_test(tc, sizes_that_cannot_be_are_refused);
    tcase_add_test(tc, what_is_no_arena_is_refused);
    tcase_add_test(tc, what_nobody_left_is_refused);
    tcase_add_test(tc, what_cannot_be_written_is_refused);
    tcase_add_test(tc, a_file_for_a_new_store_stays_ours_if_that_fails);
    tcase_add_loop_test(tc, no_byte_of_the_header_may_differ, 0, 2);
    tcase_add_test(tc, a_shorter_or_longer_file_is_refused);
    tcase_add_loop_test(tc, damage_is_noticed_wherever_sums_are_kept, 0, 2);
    tcase_add_loop_test(tc, an_overflow_bucket_that_leads_astray_is_refused, 0,
        OVERFLOW_DAMAGES + 1);
    tcase_add_test(tc, any_bytes_are_good_ghosts);
    return kit_run(suite, tc);
}
