/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chain.c - values too large for one chunk: pieces, uploads, pins.
 *
 *   item in a small class   [ header | key | flags | struct chain ]
 *                                                       |
 *   pieces, any class       [ header | 65472 bytes ] -> [ header | 4528 bytes ]
 *
 * A piece's header holds: in `cas` the reference of its item, in `exptime` and
 * `last_access` the halves of the reference of the next piece, in `value_len` its bytes.
 * Behind it are the references of the PIECES_AHEAD next ones as of the time of writing: hints
 * of what to fetch, since else each header would be waited for in turn, 0.3 µs of each 64 KiB.
 * Pieces that move make them wrong and harm nothing.
 * Its reference bits are its own, so that the hand of its class judges it like any item;
 * evicting one piece evicts the value.
 *
 * An upload takes pieces as the bytes arrive, so a client that announces a size and stalls
 * holds nothing. Pieces of unfinished uploads can't be evicted, therefore all uploads
 * together are bounded (REFUSED_SHARE of memory). The same holds for pinned values.
 */
#include <stdlib.h>

#include "store/core.h"

/* A cache line, of which the item header takes the beginning: the kernel copies values from
 * and to aligned memory a tenth faster. */
#define PIECE_HEADER 64u
#define PIECE_HINTS 32u
_Static_assert(PIECE_HINTS >= ITEM_HEADER, "a piece begins with an item header");
_Static_assert(PIECE_HINTS + PIECES_AHEAD * sizeof(uint64_t) <= PIECE_HEADER, "hints fit");
/* Runs of an upload's room offered before the client has shown that it sends. */
#define ROOM_FIRST_RUNS 1

static uint64_t
piece_next(const struct item *piece)
{
    return (uint64_t)item_last_access(piece) << 32 | item_exptime(piece);
}

static void
piece_set_next(struct item *piece, uint64_t ref)
{
    atomic_store_explicit(&piece->exptime, (uint32_t)ref, memory_order_relaxed);
    atomic_store_explicit(&piece->last_access, (uint32_t)(ref >> 32), memory_order_relaxed);
}

static char *
piece_data(struct item *piece)
{
    return (char *)piece + PIECE_HEADER;
}

/* By `racy_word()`, because the piece that is meant may have become something else. */
static uint64_t
piece_hint(const struct item *piece, unsigned i)
{
    return racy_word((const char *)piece + PIECE_HINTS + i * sizeof(uint64_t));
}

static void
piece_set_hint(struct item *piece, unsigned i, uint64_t ref)
{
    racy_set_word((char *)piece + PIECE_HINTS + i * sizeof(uint64_t), ref);
}

/* Asks for the header of what a hint names, which need not be a piece. */
static void
fetch(const struct store *store, uint64_t ref)
{
    __builtin_prefetch(store->arena.base + ((ref & TABLE_REF_MASK) << 3), 1);
}

/* The first piece of a chain that is gone through asks for those behind it. */
static void
fetch_first(const struct store *store, const struct item *piece)
{
    for (unsigned i = 0; i + 1 < PIECES_AHEAD; i++)
        fetch(store, piece_hint(piece, i));
}

/* Each piece asks for the one that is PIECES_AHEAD further on. */
static void
fetch_on(const struct store *store, const struct item *piece)
{
    fetch(store, piece_hint(piece, PIECES_AHEAD - 1));
}

void
chain_free(struct store *store, uint64_t first)
{
    if (first != 0)
        fetch_first(store, item_at(store, first));
    while (first != 0) {
        struct item *piece = item_at(store, first);

        fetch_on(store, piece);
        first = piece_next(piece);
        slab_free(&store->slab, piece);
    }
}

/* ---- Uploads ------------------------------------------------------------------------- */

/*
 * The class for the next piece when `rest` bytes are missing: the largest while they fill
 * it; then the one that fits, unless that would waste over an eighth, in which case the
 * next smaller one, if that takes most of it, is filled and what remains goes to yet
 * another piece.
 */
static unsigned
piece_class(const struct slab *slab, uint64_t rest)
{
    uint64_t bytes = rest + PIECE_HEADER;
    unsigned id = slab_class_for_piece(slab, bytes);
    uint32_t size = slab->classes[id].chunk_size;

    if (size > bytes && size - bytes > size / 8 && bytes > 2048 && id > 1 &&
        slab->classes[id - 1].chunk_size > bytes / 2)
        id--;
    return id;
}

struct store_upload *
store_upload_open(struct store *store, struct store_thread *thread, uint64_t len)
{
    struct store_upload *upload = calloc(1, sizeof *upload);

    (void)thread;
    if (upload == NULL)
        return NULL;
    upload->store = store;
    upload->len = len;
    return upload;
}

static bool
over_share(const struct store *store, const _Atomic uint64_t *held, unsigned share)
{
    return atomic_load_explicit(held, memory_order_relaxed) > limit_bytes(store) / share;
}

bool
store_uploads_crowded(const struct store *store)
{
    return over_share(store, &store->upload_bytes, CROWDED_SHARE);
}

bool
store_pins_crowded(const struct store *store)
{
    return over_share(store, &store->pinned_bytes, CROWDED_SHARE);
}

/* The piece that came so many before the last. */
static struct item *
recent_piece(const struct store_upload *upload, unsigned before)
{
    unsigned at = upload->pieces - 1 - before;

    return item_at(upload->store, upload->recent[at % PIECES_AHEAD]);
}

/* Appends a piece and tells those before it where it is. */
static void
upload_link(struct store_upload *upload, struct item *piece)
{
    struct store *store = upload->store;
    uint64_t ref = item_ref(store, piece);

    piece_set_next(piece, 0);
    if (upload->first == 0)
        upload->first = ref;
    else
        piece_set_next(item_at(store, upload->last), ref);
    if (upload->at == 0) {
        upload->at = ref;
        upload->at_used = 0;
    }
    for (unsigned i = 0; i < PIECES_AHEAD; i++) {
        piece_set_hint(piece, i, 0);
        if (i < upload->pieces)
            piece_set_hint(recent_piece(upload, i), i, ref);
    }
    upload->recent[upload->pieces % PIECES_AHEAD] = ref;
    upload->last = ref;
    upload->pieces++;
}

/* One more piece at the end. */
static bool
upload_grow(struct store_upload *upload, struct store_thread *thread)
{
    struct store *store = upload->store;
    uint64_t rest = upload->len - upload->filled - upload->room;
    unsigned id = piece_class(&store->slab, rest);
    uint32_t size = store->slab.classes[id].chunk_size;
    uint32_t now = atomic_load_explicit(&store->second, memory_order_relaxed);
    struct item *piece;

    /* One upload alone may always go on, as long as there is memory at all. */
    if (over_share(store, &store->upload_bytes, REFUSED_SHARE) &&
        atomic_load_explicit(&store->upload_bytes, memory_order_relaxed) > upload->held)
        return false;
    piece = chunk_get(store, thread, id, now);
    if (piece == NULL)
        return false;
    class_used(store, id, now);
    if (rest > size - PIECE_HEADER)
        rest = size - PIECE_HEADER;
    item_set_cas(piece, 0);
    atomic_store_explicit(&piece->value_len, (uint32_t)rest, memory_order_relaxed);
    upload_link(upload, piece);
    upload->room += rest;
    upload->held += size;
    atomic_fetch_add_explicit(&store->upload_bytes, size, memory_order_relaxed);
    return true;
}

int
store_upload_room(struct store_upload *upload, struct store_thread *thread,
    struct iovec *iov, unsigned max)
{
    struct store *store = upload->store;
    unsigned wanted = upload->filled == 0 ? ROOM_FIRST_RUNS : max, n = 0;
    uint64_t ref;
    uint32_t used;

    if (upload->filled == upload->len)
        return 0;
    for (unsigned i = 0; i < wanted; i++) {
        if (upload->room >= (uint64_t)wanted * (PAGE_BYTES / 2) ||
            upload->filled + upload->room == upload->len)
            break;
        if (!upload_grow(upload, thread))
            break;
    }
    ref = upload->at;
    used = upload->at_used;
    for (; ref != 0 && n < max; n++) {
        struct item *piece = item_at(store, ref);

        iov[n].iov_base = piece_data(piece) + used;
        iov[n].iov_len = item_value_len(piece) - used;
        used = 0;
        ref = piece_next(piece);
    }
    return n == 0 ? -1 : (int)n;
}

void
store_upload_filled(struct store_upload *upload, size_t len)
{
    struct store *store = upload->store;

    assert(len <= upload->room);
    upload->filled += len;
    upload->room -= len;
    while (upload->at != 0) {
        struct item *piece = item_at(store, upload->at);
        uint32_t rest = item_value_len(piece) - upload->at_used;

        if (len < rest) {
            upload->at_used += (uint32_t)len;
            return;
        }
        len -= rest;
        upload->at = piece_next(piece);
        upload->at_used = 0;
    }
    assert(len == 0);
}

uint64_t
store_upload_missing(const struct store_upload *upload)
{
    return upload->len - upload->filled;
}

void
upload_end(struct store_upload *upload)
{
    atomic_fetch_sub_explicit(&upload->store->upload_bytes, upload->held,
        memory_order_relaxed);
    free(upload);
}

void
store_upload_cancel(struct store *store, struct store_thread *thread,
    struct store_upload *upload)
{
    (void)thread;
    chain_free(store, upload->first);
    upload_end(upload);
}

/*
 * Fills a piece. Readers never look at the bytes of a piece that is being filled, except one
 * that still copies what the chunk was before and will not believe it. That is a race to the
 * letter of C, like the read() by which a socket fills the same bytes; copying by atomic
 * words would triple the time for a large value. ThreadSanitizer is shown the atomic copy.
 */
static void
piece_write(char *to, const char *from, size_t len)
{
#ifdef __SANITIZE_THREAD__
    racy_write(to, from, len);
#else
    memcpy(to, from, len);
#endif
}

bool
store_upload_put(struct store_upload *upload, struct store_thread *thread, const char *data,
    size_t len)
{
    while (len > 0) {
        struct iovec iov;
        size_t part;

        if (store_upload_room(upload, thread, &iov, 1) != 1)
            return false;
        part = len < iov.iov_len ? len : iov.iov_len;
        piece_write(iov.iov_base, data, part);
        store_upload_filled(upload, part);
        data += part;
        len -= part;
    }
    return true;
}

/* Appends what the pieces from `ref` on hold. */
static bool
upload_put_pieces(struct store_upload *upload, struct store_thread *thread, uint64_t ref)
{
    for (; ref != 0; ref = piece_next(item_at(upload->store, ref))) {
        struct item *piece = item_at(upload->store, ref);

        if (!store_upload_put(upload, thread, piece_data(piece), item_value_len(piece)))
            return false;
    }
    return true;
}

bool
upload_put_chain(struct store_upload *upload, struct store_thread *thread, struct item *item)
{
    return upload_put_pieces(upload, thread, item_chain(item, item_info(item))->first);
}

bool
upload_put_upload(struct store_upload *upload, struct store_thread *thread,
    const struct store_upload *from)
{
    return upload_put_pieces(upload, thread, from->first);
}

unsigned
upload_last_class(const struct store_upload *upload)
{
    return INFO_CLASS(item_info(item_at(upload->store, upload->last)));
}

unsigned
upload_class(const struct store_upload *upload)
{
    return INFO_CLASS(item_info(item_at(upload->store, upload->first)));
}

void
upload_give(struct store_upload *upload, struct item *head, struct chain *chain,
    uint32_t bits, uint64_t hash)
{
    struct store *store = upload->store;

    assert(upload->filled == upload->len);
    chain->first = upload->first;
    chain->pieces = upload->pieces;
    chain->pins = 0;
    for (uint64_t ref = upload->first; ref != 0;) {
        struct item *piece = item_at(store, ref);

        item_set_cas(piece, item_ref(store, head));
        ref = piece_next(piece);
        item_set_info(piece, info_make(0, INFO_CLASS(item_info(piece)), KIND_PIECE) | bits);
        if (bits & INFO_PROBATION)
            policy_enlist(store, piece, hash);
    }
}

/* ---- Pins ---------------------------------------------------------------------------- */

struct store_pin {
    struct store *store;
    struct item *item;
    uint64_t hash;
    uint64_t next; /* ref of the piece to be shown next */
};

/* Counts a value as pinned for the first time; false: too much is pinned already. */
static bool
pin_charge(struct store *store, uint64_t len)
{
    uint64_t held = atomic_load_explicit(&store->pinned_bytes, memory_order_relaxed);

    if (held > 0 && held + len > limit_bytes(store) / REFUSED_SHARE)
        return false;
    atomic_fetch_add_explicit(&store->pinned_bytes, len, memory_order_relaxed);
    return true;
}

/* Finds the item of a view again, under its stripe, and pins it. */
static bool
pin_take(struct store *store, const struct store_view *view, struct store_pin *pin,
    bool *full_out)
{
    struct table_spot spot = table_find_ref(&store->table, view->hash, view->ref);
    struct chain *chain;

    if (spot.item == NULL || !(item_info(spot.item) & INFO_LARGE) ||
        item_cas(spot.item) != view->cas || item_value_len(spot.item) != view->value_len)
        return false;
    chain = item_chain(spot.item, item_info(spot.item));
    if (chain->pins == 0 && !pin_charge(store, view->value_len)) {
        *full_out = true;
        return false;
    }
    chain->pins++;
    pin->item = spot.item;
    pin->next = chain->first;
    fetch(store, chain->first);
    return true;
}

struct store_pin *
store_pin(struct store *store, struct store_thread *thread, const struct store_view *view,
    bool *full_out)
{
    struct lock *stripe = table_stripe(&store->table, view->hash);
    struct store_pin *pin = malloc(sizeof *pin);
    bool ok;

    (void)thread;
    assert(view->large);
    *full_out = pin == NULL;
    if (pin == NULL)
        return NULL;
    *pin = (struct store_pin){ .store = store, .hash = view->hash };
    if (!view->locked)
        lock_take(stripe);
    ok = pin_take(store, view, pin, full_out);
    if (!view->locked)
        lock_give(stripe);
    if (ok)
        return pin;
    free(pin);
    return NULL;
}

/* A piece that is sent counts as used. Pinned chunks can't be freed, so their info may be
 * changed here; the hand may lower it at the same time. */
static void
piece_mark(struct store *store, struct item *piece)
{
    uint32_t info = item_info(piece);

    class_used(store, INFO_CLASS(info),
        atomic_load_explicit(&store->second, memory_order_relaxed));
    if (INFO_REFS(info) < INFO_REFS_MAX)
        atomic_compare_exchange_strong_explicit(&piece->info, &info, info + INFO_REF_ONE,
            memory_order_relaxed, memory_order_relaxed);
}

unsigned
store_pin_next(struct store_pin *pin, struct iovec *iov, unsigned max)
{
    unsigned n = 0;

    if (pin->next != 0)
        fetch_first(pin->store, item_at(pin->store, pin->next));
    for (; n < max && pin->next != 0; n++) {
        struct item *piece = item_at(pin->store, pin->next);

        fetch_on(pin->store, piece);
        iov[n].iov_base = piece_data(piece);
        iov[n].iov_len = item_value_len(piece);
        piece_mark(pin->store, piece);
        pin->next = piece_next(piece);
    }
    return n;
}

void
store_unpin(struct store *store, struct store_thread *thread, struct store_pin *pin)
{
    struct lock *stripe = table_stripe(&store->table, pin->hash);
    struct item *item = pin->item;
    uint32_t info, len;
    bool last, unlinked;

    (void)thread;
    lock_take(stripe);
    info = item_info(item);
    len = item_value_len(item);
    assert(item_chain(item, info)->pins > 0);
    last = --item_chain(item, info)->pins == 0;
    unlinked = INFO_KIND(info) != KIND_ITEM;
    lock_give(stripe);
    if (last)
        atomic_fetch_sub_explicit(&store->pinned_bytes, len, memory_order_relaxed);
    if (last && unlinked)
        item_dispose(store, item);
    free(pin);
}

void
chain_reown(struct store *store, struct item *head)
{
    uint64_t ref = item_chain(head, item_info(head))->first;

    for (; ref != 0; ref = piece_next(item_at(store, ref)))
        item_set_cas(item_at(store, ref), item_ref(store, head));
}

void
chain_check(struct store *store, struct item *item)
{
    struct chain *chain = item_chain(item, item_info(item));
    uint64_t bytes = 0;
    uint32_t pieces = 0;

    for (uint64_t ref = chain->first; ref != 0; pieces++) {
        struct item *piece = item_at(store, ref);

        assert(INFO_KIND(item_info(piece)) == KIND_PIECE);
        assert(item_cas(piece) == item_ref(store, item));
        bytes += item_value_len(piece);
        ref = piece_next(piece);
    }
    assert(pieces == chain->pieces);
    assert(bytes == item_value_len(item));
}
