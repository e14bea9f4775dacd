/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arith.c - counters: decimal text under a key, added to and taken from.
 *
 * A rate limiter leans on this: the read, the sum and the write share one stripe lock, so
 * two workers can never start from the same old number, and the item's expiry is never
 * touched.
 */
#include "base/num.h"
#include "store/core.h"

static bool
is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/*
 * Reads the number a value begins with, as clients have come to rely on: leading blanks, a
 * plus sign and leading zeros are fine, and a blank or NUL ends it, whatever follows. A
 * minus sign is not, except before zero.
 */
static bool
parse_value(struct slice text, uint64_t *number_out)
{
    const char *at = text.data, *end = text.data + text.len, *digits;
    bool negative = false;

    while (at < end && is_blank(*at))
        at++;
    if (at < end && (*at == '+' || *at == '-'))
        negative = *at++ == '-';
    for (digits = at; at < end && *at >= '0' && *at <= '9'; at++)
        ;
    if (at < end && *at != '\0' && !is_blank(*at))
        return false;
    /* num_u64() counts leading zeros as characters and this does not. */
    while (digits + 1 < at && *digits == '0')
        digits++;
    if (!num_u64(slice_of(digits, (size_t)(at - digits)), NUM_U64_MAX, number_out))
        return false;
    return !negative || *number_out == 0;
}

static uint64_t
apply(const struct store_arith *arith, uint64_t number)
{
    if (arith->op == STORE_INCR)
        return number + arith->delta; /* modulo 2^64 */
    return number > arith->delta ? number - arith->delta : 0;
}

/* Writes the digits over the old ones, blanks behind them; the length stays. */
static void
write_in_place(struct table_spot *spot, uint64_t seq, struct slice digits,
    struct store_summed *summed)
{
    struct item *item = spot->item;
    uint32_t info = item_info(item), len = item_value_len(item);
    char text[NUM_U64_MAX + 4];
    char *to = (char *)item + item_value_at(info);
    size_t rest = len - digits.len;

    table_change_begin(spot->bucket);
    racy_write(to, digits.data, digits.len);
    memset(text, ' ', sizeof text);
    for (to += digits.len; rest > 0;) {
        size_t part = rest < sizeof text ? rest : sizeof text;
        racy_write(to, text, part);
        to += part;
        rest -= part;
    }
    summed->cas = seq;
    item_set_cas(item, seq);
    table_change_end(spot->bucket);
}

/* Being counted is being used, as much as can be; and what is counted and expires is somebody's
 * limit (policy.h). */
static void
count_as_counter(struct store_thread *thread, struct item *item)
{
    uint32_t info = item_info(item), set = INFO_REFS_MAX * INFO_REF_ONE;

    if (item_exptime(item) != 0)
        set |= INFO_COUNTER;
    if ((info & set) == set)
        return;
    gauge_sub(thread, item, info);
    item_change_info(item, 0, set);
    gauge_add(thread, item, item_info(item));
}

/* What the item's number is to become. */
static enum store_result
arith_sum(struct store_thread *thread, const struct item *item,
    const struct store_arith *arith, uint64_t *sum_out)
{
    uint32_t info = item_info(item), len = item_value_len(item);
    uint64_t number;

    if (len == 0 || (info & INFO_LARGE))
        return STORE_NOT_A_NUMBER;
    if (arith->compare && item_cas(item) != arith->cas_expected)
        return STORE_EXISTS;
    racy_read(thread->value, (const char *)item + item_value_at(info), len);
    if (!parse_value(slice_of(thread->value, len), &number))
        return STORE_NOT_A_NUMBER;
    *sum_out = apply(arith, number);
    return STORE_OK;
}

/* Gives the item of the spot summed->number. */
static enum store_result
arith_put(struct store *store, struct store_thread *thread, struct table_spot *spot,
    const struct store_arith *arith, uint64_t seq, uint32_t now,
    struct store_summed *summed, struct item **dead)
{
    struct item *item = spot->item;
    uint32_t info = item_info(item);
    char digits[NUM_U64_MAX];
    struct slice text;
    enum store_result result = STORE_OK;

    text = slice_of(digits, (size_t)(num_put(digits, summed->number) - digits));
    /* An explicit unique needs room in the item (INFO_HAS_SEQ), so it takes the long way. */
    if (text.len <= item_value_len(item) && !arith->cas_given && !(info & INFO_HAS_SEQ))
        write_in_place(spot, seq, text, summed);
    else
        result = put_digits(store, thread, spot, arith, seq, text, now, summed, dead);
    if (result != STORE_OK)
        return result;
    item = spot->item;
    summed->exptime_before = item_exptime(item);
    if (arith->set_exptime) {
        atomic_store_explicit(&item->exptime, arith->exptime, memory_order_relaxed);
        slab_note_expiry(&store->slab, item, arith->exptime);
    }
    count_as_counter(thread, item);
    info = item_info(item);
    class_used(store, INFO_CLASS(info), now);
    summed->exptime = item_exptime(item);
    summed->slab_class = (uint8_t)INFO_CLASS(info);
    return STORE_OK;
}

static enum store_result
arith_locked(struct store *store, struct store_thread *thread,
    const struct store_arith *arith, uint32_t now, struct store_summed *summed,
    struct item **dead)
{
    struct table_spot spot = table_find(&store->table, arith->hash, arith->key);
    uint64_t seq;

    if (spot.item != NULL && item_live(store, spot.item, item_info(spot.item), now)) {
        enum store_result result = arith_sum(thread, spot.item, arith, &summed->number);

        if (result != STORE_OK)
            return result;
        if (seq_draw(store, spot.item, &seq))
            return arith_put(store, thread, &spot, arith, seq, now, summed, dead);
    }
    if (!arith->vivify)
        return STORE_MISS;
    return put_initial(store, thread, &spot, arith, now, summed, dead);
}

enum store_result
store_arith(struct store *store, struct store_thread *thread,
    const struct store_arith *arith, uint32_t now, struct store_summed *summed)
{
    struct lock *stripe = table_stripe(&store->table, arith->hash);
    struct item *dead = NULL;
    enum store_result result;

    *summed = (struct store_summed){ .number = 0 };
    flush_if_due(store, now);
    lock_take(stripe);
    result = arith_locked(store, thread, arith, now, summed, &dead);
    lock_give(stripe);
    if (dead != NULL)
        item_dispose(store, dead);
    if (summed->created)
        grow_index(store);
    return result;
}
