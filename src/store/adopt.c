/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adopt.c - going on with what another process has left in a file.
 *
 * Until everything was looked at nothing in the file changes, so that whoever refuses it can
 * leave it to somebody else. In doubt it is refused: an empty cache is slow for a while, a
 * wrong one is wrong.
 *
 *   header    its own sum, the build, the mark, sizes against the file's length
 *   settings  what items depend on: the hash, the sizes of chunks, the policy
 *   state     its sum; each number against its bound
 *   sections  their sums; what the code takes for granted of lists and buckets (sound.h)
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/header.h"
#include "store/saved.h"
#include "store/sound.h"

static const char damaged_state[] = "it is damaged: its saved state";

static const char *
why_of(int rc, const char *damaged)
{
    return rc == -ENOMEM                      ? "out of memory" :
        rc == -EBADMSG || rc == -ECANCELED    ? damaged :
                                                "it cannot be read";
}

/* NULL, or why not. */
static const char *
load_state(struct store *store, const struct header *header)
{
    struct store_thread *sums = store_thread_open(store);
    struct state state;
    const char *why;
    int rc;

    if (sums == NULL)
        return why_of(-ENOMEM, damaged_state);
    rc = state_load_begin(&state, store->arena.fd, store->arena.bytes, header->state_bytes,
        header->state_sum);
    if (rc == 0) {
        why = saved_exchange(&state, store, sums);
        rc = state_load_end(&state);
    }
    store_thread_close(sums);
    return rc != 0 ? why_of(rc, damaged_state) : why;
}

/* Looks at a section: is its sum, if it was kept, what it was? `fn`: see section_sum(). */
static const char *
check_section(const struct store *store, const struct header *header, enum section section,
    section_fn fn, void *context, const char *damaged)
{
    uint64_t sum;
    int rc;

    if ((header->summed >> section & 1) == 0)
        return NULL;
    rc = section_sum(&store->arena, section, fn, context, &sum);
    if (rc == 0 && sum != header->sums[section])
        rc = -EBADMSG;
    return rc == 0 ? NULL : why_of(rc, damaged);
}

static const char *
check_index(const struct store *store, const struct header *header)
{
    static const char damaged[] = "it is damaged: its index";
    struct sound sound;
    const char *why;

    if (!sound_begin(&sound, &store->table, &store->slab))
        return why_of(-ENOMEM, damaged);
    why = check_section(store, header, SECTION_BUCKETS, sound_buckets, &sound, damaged);
    if (why == NULL)
        why = check_section(store, header, SECTION_OVERFLOW, sound_overflow, &sound,
            damaged);
    /* In any case, since it frees. */
    if (!sound_end(&sound) && why == NULL)
        why = damaged;
    return why;
}

static const char *
check_sections(const struct store *store, const struct header *header)
{
    static const char damaged[] = "it is damaged: its pages";
    static const uint64_t always = 1u << SECTION_DESCRIPTORS | 1u << SECTION_BUCKETS |
        1u << SECTION_OVERFLOW;
    const char *why;

    if ((header->summed & always) != always)
        return "it is damaged: its header";
    why = check_section(store, header, SECTION_DESCRIPTORS, NULL, NULL, damaged);
    if (why == NULL && !sound_slab(&store->slab))
        why = damaged;
    if (why == NULL)
        why = check_index(store, header);
    if (why == NULL)
        why = check_section(store, header, SECTION_GHOSTS, NULL, NULL,
            "it is damaged: its ghosts");
    if (why == NULL)
        why = check_section(store, header, SECTION_PAGES, NULL, NULL,
            "it is damaged: its values");
    return why;
}

/* From here on it is ours: nobody takes it up again unless we leave it. */
static const char *
mark_in_use(struct store *store)
{
    struct header header;

    header_init(&header, &store->arena);
    header_put(&header, &store->arena);
    if (arena_settle(&store->arena) != 0 ||
        ftruncate(store->arena.fd, (off_t)store->arena.bytes) != 0)
        return "it cannot be written to";
    return NULL;
}

/* All that is looked at once the file is mapped. */
static const char *
take_over(struct store *store, const struct header *header)
{
    const char *why = load_state(store, header);

    if (why == NULL)
        why = check_sections(store, header);
    if (why == NULL)
        why = mark_in_use(store);
    return why;
}

struct store *
store_adopt(const struct store_options *options, int fd, const char **why_out)
{
    struct header header;
    struct store *store;

    if (!header_read(&header, fd, why_out))
        return NULL;
    *why_out = "the memory limit is over what it has addresses for";
    if (options->memory_max >> PAGE_SIZE_BITS > header.sizes.pages)
        return NULL;
    store = store_begin(options, why_out);
    if (store == NULL)
        return NULL;
    if (arena_map(&store->arena, &header.sizes, fd, options->preallocate, why_out) != 0) {
        store_abandon(store);
        return NULL;
    }
    store_fit_out(store, TABLE_POWER_MIN, options->slab_sizes);
    *why_out = take_over(store, &header);
    if (*why_out == NULL)
        return store;
    store_abandon(store);
    return NULL;
}
