/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_slab.c - protects: size classes that fit any setting of the operator, a smallest
 * class for every size, and chunks that are handed out once, come back, and take their
 * pages with them.
 */
#include "store/slab.h"
#include "store_kit.h"

#define PAGES 64

struct fixture {
    struct arena arena;
    struct slab slab;
};

static struct fixture *
open_slab(const struct slab_sizing *sizing, uint32_t pages_max)
{
    struct fixture *fixture = aligned_alloc(64, (sizeof *fixture + 63) & ~(size_t)63);
    struct arena_sizes sizes = { .descriptors = PAGES * sizeof(struct page), .buckets = 64,
        .overflow = 64, .pages = PAGES };
    const char *why;

    ck_assert_ptr_nonnull(fixture);
    memset(fixture, 0, sizeof *fixture);
    ck_assert_int_eq(arena_init(&fixture->arena, &sizes, false, &why), 0);
    slab_init(&fixture->slab, &fixture->arena, sizing, pages_max);
    return fixture;
}

static void
close_slab(struct fixture *fixture)
{
    slab_check(&fixture->slab);
    arena_fini(&fixture->arena);
    free(fixture);
}

static const struct slab_sizing USUAL = { .chunk_first = 48, .growth_factor = 1.125,
    .chunk_max = PAGE_BYTES };

/* ---- Sizes --------------------------------------------------------------------------- */

static void
expect_sizes(const struct slab *slab, const struct slab_sizing *sizing)
{
    ck_assert_uint_ge(slab->nclasses, 1);
    ck_assert_uint_lt(slab->nclasses, SLAB_CLASSES_MAX);
    for (unsigned id = 1; id <= slab->nclasses; id++) {
        const struct slab_class *class = &slab->classes[id];

        ck_assert_uint_eq(class->chunk_size % 8, 0);
        ck_assert_uint_le(class->chunk_size, PAGE_BYTES);
        ck_assert_uint_eq(class->per_page, PAGE_BYTES / class->chunk_size);
        ck_assert_uint_ge(class->per_page, 1);
        /* No larger chunk would fit as often. */
        if (sizing->sizes == NULL)
            ck_assert_uint_gt((class->chunk_size + 8) * class->per_page, PAGE_BYTES);
        if (id > 1)
            ck_assert_uint_gt(class->chunk_size, slab->classes[id - 1].chunk_size);
    }
    /* Anything small has a class, and the largest is large enough for pieces. */
    ck_assert_uint_le(slab->nsmall, slab->nclasses);
    ck_assert_uint_ge(slab->classes[slab->nsmall].chunk_size, ITEM_SMALL_MAX);
    ck_assert_uint_ge(slab->classes[slab->nclasses].chunk_size, 16384);
}

static void
expect_smallest(const struct slab *slab)
{
    unsigned wrong = 0;

    for (uint32_t bytes = 1; bytes <= ITEM_SMALL_MAX; bytes++) {
        unsigned id = slab_class_for(slab, bytes);
        wrong += slab->classes[id].chunk_size < bytes;
        wrong += id > 1 && slab->classes[id - 1].chunk_size >= bytes;
    }
    for (uint32_t bytes = 1; bytes <= PAGE_BYTES + 100; bytes += 13) {
        unsigned id = slab_class_for_piece(slab, bytes);
        wrong += slab->classes[id].chunk_size < bytes && id != slab->nclasses;
        wrong += id > 1 && slab->classes[id - 1].chunk_size >= bytes;
    }
    ck_assert_uint_eq(wrong, 0);
}

START_TEST(every_growth_factor_gives_classes)
{
    static const double factors[] = { 1.0000001, 1.01, 1.03, 1.05, 1.08, 1.1, 1.125, 1.2,
        1.25, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 10, 1e6 };
    static const uint32_t firsts[] = { 32, 40, 48, 56, 72, 104, 504, 1024, 4096, 8192 };
    static const uint32_t lasts[] = { 16384, 20000, 32768, 40000, 65536 };

    for (unsigned first = 0; first < sizeof firsts / sizeof firsts[0]; first++) {
        for (unsigned last = 0; last < sizeof lasts / sizeof lasts[0]; last++) {
            struct slab_sizing sizing = { .chunk_first = firsts[first],
                .chunk_max = lasts[last], .growth_factor = factors[_i] };
            struct fixture *fixture = open_slab(&sizing, 1);

            expect_sizes(&fixture->slab, &sizing);
            ck_assert_uint_ge(fixture->slab.classes[1].chunk_size, firsts[first]);
            if (first % 3 == 0)
                expect_smallest(&fixture->slab);
            close_slab(fixture);
        }
    }
}
END_TEST

START_TEST(the_usual_factor_wastes_an_eighth_at_most)
{
    struct fixture *fixture = open_slab(&USUAL, 1);
    const struct slab *slab = &fixture->slab;

    for (unsigned id = 2; id <= slab->nsmall; id++)
        ck_assert_uint_le(slab->classes[id].chunk_size,
            slab->classes[id - 1].chunk_size * 5 / 4 + 8);
    close_slab(fixture);
}
END_TEST

static const uint32_t LIST_USUAL[] = { 96, 200, 1000, 5000, 20000 };
static const uint32_t LIST_ONE[] = { 48 };
static const uint32_t LIST_LARGEST[] = { 65536 };
static const uint32_t LIST_ODD[] = { 1, 9, 17, 33, 8192, 8193, 8217, 8225, 65535 };
static const uint32_t LIST_TOO_LARGE[] = { 100, 70000, 1 << 20, UINT32_MAX };
static const uint32_t LIST_UNORDERED[] = { 500, 100, 500, 501, 600 };
static uint32_t LIST_MANY[200];

static const struct {
    const uint32_t *sizes;
    unsigned n;
} LISTS[] = { { LIST_USUAL, 5 }, { LIST_ONE, 1 }, { LIST_LARGEST, 1 }, { LIST_ODD, 9 },
    { LIST_TOO_LARGE, 4 }, { LIST_UNORDERED, 5 }, { LIST_MANY, 200 } };

START_TEST(every_list_of_sizes_gives_classes)
{
    for (unsigned i = 0; i < 200; i++)
        LIST_MANY[i] = 48 + i * 8;
    for (uint32_t last = 16384; last <= PAGE_BYTES; last *= 2) {
        struct slab_sizing sizing = USUAL;
        struct fixture *fixture;

        sizing.sizes = LISTS[_i].sizes;
        sizing.nsizes = LISTS[_i].n;
        sizing.chunk_max = last;
        fixture = open_slab(&sizing, 1);
        expect_sizes(&fixture->slab, &sizing);
        expect_smallest(&fixture->slab);
        ck_assert_uint_eq(fixture->slab.classes[fixture->slab.nclasses].chunk_size, last);
        close_slab(fixture);
    }
}
END_TEST

/* Whatever the options say there is a store, and it stores. */
START_TEST(extreme_options_make_a_working_store)
{
    struct store_options options = kit_options(2 << 20);
    static const uint32_t chunk_mins[] = { 0, 1, 48, 1000, 16384, INT32_MAX, UINT32_MAX };
    static const uint32_t chunk_maxs[] = { 0, 1, 16384, 1 << 19, UINT32_MAX };
    char text[KIT_KEY_MAX];
    struct kit kit;

    options.chunk_min = chunk_mins[_i];
    for (unsigned i = 0; i < sizeof chunk_maxs / sizeof chunk_maxs[0]; i++) {
        options.chunk_max = chunk_maxs[i];
        options.growth_factor = i % 2 ? 1.25 : 1e6;
        kit_open(&kit, &options);
        for (size_t len = 0; len < 100000; len = len * 2 + 1) {
            ck_assert_int_eq(kit_set_sized(&kit, kit_key(text, "key", len), len, 0),
                STORE_OK);
            ck_assert(kit_has_sized(&kit, kit_key(text, "key", len), len));
        }
        kit_close(&kit);
    }
}
END_TEST

/* ---- Chunks -------------------------------------------------------------------------- */

START_TEST(chunks_are_distinct_and_inside_their_pages)
{
    struct fixture *fixture = open_slab(&USUAL, PAGES);
    struct slab *slab = &fixture->slab;
    unsigned id = slab_class_for(slab, (uint32_t)_i);
    uint32_t size = slab->classes[id].chunk_size;
    uint32_t total = PAGES * slab->classes[id].per_page;
    struct item **chunks = calloc(total + 1, sizeof *chunks);
    bool wrong = false;

    for (uint32_t n = 0; n < total; n++) {
        chunks[n] = slab_alloc(slab, id);
        ck_assert_ptr_nonnull(chunks[n]);
        wrong = wrong || arena_page_of(&fixture->arena, chunks[n]) !=
            arena_page_of(&fixture->arena, (struct item *)(void *)((char *)chunks[n] +
                size - ITEM_HEADER));
        wrong = wrong || INFO_KIND(item_info(chunks[n])) != KIND_RESERVED ||
            INFO_CLASS(item_info(chunks[n])) != id;
        wrong = wrong || !arena_ref_valid(&fixture->arena,
            arena_ref(&fixture->arena, chunks[n]));
        memset(chunks[n]->data, (int)n, size - ITEM_HEADER);
    }
    for (uint32_t n = 0; n < total; n++)
        for (uint32_t i = 0; i < size - ITEM_HEADER; i++)
            wrong = wrong || chunks[n]->data[i] != (char)n;
    ck_assert(!wrong);
    ck_assert_ptr_null(slab_alloc(slab, id));
    ck_assert_uint_eq(slab->pages_held, PAGES);
    slab_check(slab);
    /* Freed from both ends and the middle, all pages but one go back. */
    for (uint32_t n = 0; n < total; n++)
        slab_free(slab, chunks[(uint64_t)n * 7919 % total]);
    ck_assert_uint_le(slab->pages_held, 1);
    ck_assert_uint_eq(slab->classes[id].used, 0);
    free(chunks);
    close_slab(fixture);
}
END_TEST

START_TEST(a_page_that_is_empty_serves_any_other_class)
{
    struct fixture *fixture = open_slab(&USUAL, 2);
    struct slab *slab = &fixture->slab;
    struct item *chunks[3];

    /* Two pages of the largest class; a small chunk finds no page ... */
    chunks[0] = slab_alloc(slab, slab->nclasses);
    chunks[1] = slab_alloc(slab, slab->nclasses);
    ck_assert_ptr_nonnull(chunks[1]);
    ck_assert_ptr_null(slab_alloc(slab, 1));
    /* ... until one is empty; the class itself keeps none back here, since the other is
     * its last one with room. */
    slab_free(slab, chunks[0]);
    slab_free(slab, chunks[1]);
    chunks[2] = slab_alloc(slab, 1);
    ck_assert_ptr_nonnull(chunks[2]);
    ck_assert_ptr_nonnull(slab_alloc(slab, slab->nclasses));
    close_slab(fixture);
}
END_TEST

START_TEST(going_back_and_forth_by_one_passes_no_page)
{
    struct fixture *fixture = open_slab(&USUAL, 4);
    struct slab *slab = &fixture->slab;
    uint32_t high;

    slab_free(slab, slab_alloc(slab, 5));
    high = slab->page_high;
    for (unsigned i = 0; i < 100; i++)
        slab_free(slab, slab_alloc(slab, 5));
    ck_assert_uint_eq(slab->page_high, high);
    ck_assert_uint_eq(slab->pages_held, 1);
    ck_assert_uint_eq(slab->pool_count, 0);
    close_slab(fixture);
}
END_TEST

START_TEST(random_chunks_of_all_classes_come_and_go)
{
    struct fixture *fixture = open_slab(&USUAL, PAGES);
    struct slab *slab = &fixture->slab;
    struct item *held[2000] = { NULL };
    uint64_t seed = (uint64_t)_i + 1;

    for (unsigned step = 0; step < 60000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned at = (unsigned)(seed >> 33) % 2000, id = (unsigned)(seed >> 50) %
            slab->nclasses + 1;

        if (held[at] != NULL) {
            slab_free(slab, held[at]);
            held[at] = NULL;
        } else {
            held[at] = slab_alloc(slab, id);
        }
        if (step % 5000 == 0)
            slab_check(slab);
    }
    for (unsigned at = 0; at < 2000; at++)
        if (held[at] != NULL)
            slab_free(slab, held[at]);
    ck_assert_uint_le(slab->pages_held, slab->nclasses);
    close_slab(fixture);
}
END_TEST

/* ---- Draining ------------------------------------------------------------------------ */

START_TEST(a_page_being_drained_hands_nothing_out)
{
    struct fixture *fixture = open_slab(&USUAL, 2);
    struct slab *slab = &fixture->slab;
    struct item *first = slab_alloc(slab, 10), *second;
    uint32_t page = arena_page_of(&fixture->arena, first), fresh;
    unsigned id;

    ck_assert(slab_drain_begin(slab, page, &id, &fresh));
    ck_assert_uint_eq(id, 10);
    ck_assert_uint_eq(fresh, 1);
    ck_assert(slab_draining(slab, first));
    ck_assert(!slab_drain_begin(slab, page, &id, &fresh));
    second = slab_alloc(slab, 10);
    ck_assert_uint_ne(arena_page_of(&fixture->arena, second), page);
    /* Not empty: it goes back to work. */
    ck_assert(!slab_drain_end(slab, page));
    ck_assert(!slab_draining(slab, first));
    slab_check(slab);
    /* Emptied while it is drained, it does not go to the pool by itself. */
    ck_assert(slab_drain_begin(slab, page, &id, &fresh));
    slab_free(slab, first);
    ck_assert_uint_eq(slab->pool_count, 0);
    ck_assert(slab_drain_end(slab, page));
    ck_assert(!slab_drain_begin(slab, page, &id, &fresh));
    slab_page_give(slab, page, 3);
    ck_assert_uint_eq(slab->classes[3].pages, 1);
    ck_assert_uint_eq(arena_page_of(&fixture->arena, slab_alloc(slab, 3)), page);
    close_slab(fixture);
}
END_TEST

START_TEST(a_full_page_can_be_drained_and_given_to_the_pool)
{
    struct fixture *fixture = open_slab(&USUAL, 2);
    struct slab *slab = &fixture->slab;
    uint32_t n = slab->classes[20].per_page, fresh, page;
    struct item **chunks = calloc(n, sizeof *chunks);
    unsigned id;

    for (uint32_t i = 0; i < n; i++)
        chunks[i] = slab_alloc(slab, 20);
    page = arena_page_of(&fixture->arena, chunks[0]);
    ck_assert(slab_drain_begin(slab, page, &id, &fresh));
    ck_assert_uint_eq(fresh, n);
    for (uint32_t i = 0; i < n; i++)
        slab_free(slab, chunks[i]);
    ck_assert(slab_drain_end(slab, page));
    slab_page_give(slab, page, 0);
    ck_assert_uint_eq(slab->pages_held, 0);
    ck_assert_uint_eq(slab->pool_count, 1);
    free(chunks);
    close_slab(fixture);
}
END_TEST

/* ---- The pool and the limit ---------------------------------------------------------- */

START_TEST(the_limit_holds_and_free_pages_over_it_are_given_back)
{
    struct fixture *fixture = open_slab(&USUAL, 10);
    struct slab *slab = &fixture->slab;
    struct item *chunks[10];

    for (unsigned i = 0; i < 10; i++)
        chunks[i] = slab_alloc(slab, slab->nclasses);
    ck_assert_ptr_null(slab_alloc(slab, slab->nclasses));
    memset(chunks[9]->data, 'x', 1000);
    for (unsigned i = 5; i < 10; i++)
        slab_free(slab, chunks[i]);
    ck_assert(!slab_pool_trim(slab));
    slab->pages_max = 7;
    while (slab_pool_trim(slab))
        ;
    ck_assert_uint_eq(slab->pages_held + slab->pool_kept, 7);
    ck_assert_uint_eq(slab->pages_held + slab->pool_count, 10);
    slab_check(slab);
    /* What was given back reads as zeros and is used again once the limit allows it. */
    slab->pages_max = 10;
    for (unsigned i = 5; i < 10; i++)
        ck_assert_ptr_nonnull(slab_alloc(slab, slab->nclasses));
    ck_assert_ptr_null(slab_alloc(slab, slab->nclasses));
    ck_assert_uint_eq(slab->pool_count, 0);
    ck_assert_uint_eq(slab->page_high, 10);
    close_slab(fixture);
}
END_TEST

/* ---- The hand ------------------------------------------------------------------------ */

static struct item *
linked(struct slab *slab, unsigned id, unsigned refs)
{
    struct item *chunk = slab_alloc(slab, id);

    item_set_cas(chunk, 1000);
    atomic_store(&chunk->exptime, 0);
    item_set_info(chunk, info_make(3, id, KIND_ITEM) | refs * INFO_REF_ONE);
    return chunk;
}

START_TEST(the_hand_passes_every_chunk_in_turn)
{
    struct fixture *fixture = open_slab(&USUAL, 2);
    struct slab *slab = &fixture->slab;
    struct slab_class *class = &slab->classes[8];
    unsigned n = class->per_page + 3;
    struct item **chunks = calloc(n, sizeof(struct item *));

    lock_take(&class->lock);
    ck_assert_ptr_null(slab_hand_step(slab, class));
    lock_give(&class->lock);
    for (unsigned i = 0; i < n; i++)
        chunks[i] = linked(slab, 8, 0);
    lock_take(&class->lock);
    /* Twice round both pages. */
    for (unsigned i = 0; i < 2 * n; i++)
        ck_assert_ptr_eq(slab_hand_step(slab, class), chunks[i % n]);
    lock_give(&class->lock);
    free(chunks);
    close_slab(fixture);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store/slab");
    TCase *tc = tcase_create("slab");

    tcase_add_loop_test(tc, every_growth_factor_gives_classes, 0, 18);
    tcase_add_test(tc, the_usual_factor_wastes_an_eighth_at_most);
    tcase_add_loop_test(tc, every_list_of_sizes_gives_classes, 0,
        sizeof LISTS / sizeof LISTS[0]);
    tcase_add_loop_test(tc, extreme_options_make_a_working_store, 0, 7);
    tcase_add_loop_test(tc, chunks_are_distinct_and_inside_their_pages, 40, 43);
    tcase_add_loop_test(tc, chunks_are_distinct_and_inside_their_pages, 8000, 8003);
    tcase_add_test(tc, a_page_that_is_empty_serves_any_other_class);
    tcase_add_test(tc, going_back_and_forth_by_one_passes_no_page);
    tcase_add_loop_test(tc, random_chunks_of_all_classes_come_and_go, 0, 3);
    tcase_add_test(tc, a_page_being_drained_hands_nothing_out);
    tcase_add_test(tc, a_full_page_can_be_drained_and_given_to_the_pool);
    tcase_add_test(tc, the_limit_holds_and_free_pages_over_it_are_given_back);
    tcase_add_test(tc, the_hand_passes_every_chunk_in_turn);
    return kit_run(suite, tc);
}
