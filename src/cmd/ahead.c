/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ahead.c - look over what has arrived and have its memory fetched.
 *
 * On a cache far larger than the CPU's, a lookup waits twice for memory: for the bucket
 * and for the item. A batch of commands need not wait one after the other: hash every
 * key, ask for all buckets, then for all items, then run the commands.
 *
 * Nothing depends on this being right. A storage line is skipped by its last number
 * without a check; if that was not the length, rows are written for words inside a value.
 * They stand at bytes where no command begins and are never found, and if one does begin
 * there, then they say what its bytes say.
 */
#include "cmd/ahead.h"

#include <string.h>

#include "base/assert.h"
#include "proto/binary.h"
#include "proto/text.h"

/* As -R without an argument. */
#define COMMANDS_DEFAULT 20u

/* Where rows go: between `used` and `max`, for commands within `budget`. */
struct rows {
    struct ahead_table *table;
    const struct store *store;
    unsigned used, max;
    struct budget budget; /* spent as the turn will spend it, or nearly */
};

void
ahead_init(struct ahead_table *table, unsigned requests_per_event)
{
    table->turn = 1;
    table->closed = true;
    table->used = 0;
    table->budget =
        budget_of(requests_per_event > 0 ? requests_per_event : COMMANDS_DEFAULT);
}

bool
ahead_turn(struct ahead_table *table)
{
    if (!table->closed)
        return false;
    table->closed = false;
    table->used = 0;
    if (++table->turn == 0)
        table->turn = 1;
    return true;
}

static struct ahead_row *
add_row(struct rows *rows, const char *at, struct slice key, size_t line_len)
{
    struct ahead_row *row = &rows->table->rows[rows->used++];

    row->at = at;
    row->hash = store_hash(rows->store, key);
    row->line_len = (uint16_t)line_len;
    row->key_at = (uint8_t)(key.data - at);
    row->key_len = (uint8_t)key.len;
    store_prefetch_bucket(rows->store, row->hash);
    return row;
}

/* The keys of a retrieval line. Returns where to go on, NULL if nothing can be seen
 * beyond. */
static const char *
look_keys(struct rows *rows, const char *at, const char *end)
{
    struct slice key;

    while (rows->used < rows->max) {
        switch (text_next_key(&at, end, &key)) {
        case TEXT_KEY:
            add_row(rows, key.data, key, 0);
            budget_spend(&rows->budget, BUDGET_KEY);
            break;
        case TEXT_KEY_NONE:
            return at;
        case TEXT_KEY_CUT:
        case TEXT_KEY_LONG:
            return NULL;
        }
    }
    return at;
}

/* A `get` or `gets` line whose keys begin at `keys`; most have one. */
static const char *
look_get(struct rows *rows, const char *line, const char *keys, const char *end)
{
    const char *stop = text_word_end(keys, end);
    size_t len = (size_t)(stop - keys);

    budget_spend(&rows->budget, rows->budget.single);
    if (stop == end || *stop != '\n')
        return look_keys(rows, keys, end);
    if (len > 0 && stop[-1] == '\r')
        len--;
    if (len > 0 && len <= COMMAND_KEY_MAX)
        add_row(rows, line, slice_of(keys, len), (size_t)(stop + 1 - line));
    return stop + 1;
}

static const char *
skip_line(const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (size_t)(end - at));

    return lf == NULL ? NULL : lf + 1;
}

/* Behind the value that a storage line announces by the word before `stop`. */
static const char *
skip_value(const char *line, const char *stop, const char *next, const char *end)
{
    const char *digit = stop - 1;
    uint64_t len = 0, unit = 1;

    while (digit > line && (digit[-1] == '\r' || digit[-1] == ' '))
        digit--;
    while (digit > line && digit[-1] >= '0' && digit[-1] <= '9' && unit < 1000000000) {
        digit--;
        len += (uint64_t)(*digit - '0') * unit;
        unit *= 10;
    }
    if (unit == 1)
        return next;
    return len + 2 <= (uint64_t)(end - next) ? next + len + 2 : NULL;
}

/* A line with one key as its second word. */
static const char *
look_one(struct rows *rows, const char *line, const char *end, bool with_value)
{
    const char *blank = text_word_end(line, end);
    const char *stop, *next;
    size_t len;

    if (blank == end || *blank == '\n')
        return blank == end ? NULL : blank + 1;
    stop = text_word_end(blank + 1, end);
    next = skip_line(stop, end);
    if (next == NULL)
        return NULL;
    len = (size_t)(stop - (blank + 1));
    if (*stop == '\n' && len > 0 && stop[-1] == '\r')
        len--;
    if (len > 0 && len <= COMMAND_KEY_MAX)
        add_row(rows, blank + 1, slice_of(blank + 1, len), 0);
    return with_value ? skip_value(line, next, next, end) : next;
}

/* A set. One whose value has come needs no other look at its line. */
static const char *
look_set(struct rows *rows, const char *line, const char *end)
{
    struct text_set set;
    const char *value = text_plain_set(line, end, &set);
    struct ahead_row *row;

    if (value == NULL)
        return look_one(rows, line, end, true);
    if ((uint64_t)set.value_len + 2 > (uint64_t)(end - value)) {
        add_row(rows, set.key.data, set.key, 0);
        return NULL;
    }
    row = add_row(rows, line, set.key, (size_t)(value - line));
    row->client_flags = set.client_flags;
    row->exptime = set.exptime;
    row->value_len = set.value_len;
    return value + set.value_len + 2;
}

static const char *
look_timed(struct rows *rows, const char *line, const char *end)
{
    const char *blank = text_word_end(line, end);

    if (blank == end || *blank == '\n')
        return blank == end ? NULL : blank + 1;
    blank = text_word_end(blank + 1, end);
    return look_keys(rows, blank, end);
}

/* An `mg` line. Its key may be meant in base64: then the row says what is of no use. */
static const char *
look_mg(struct rows *rows, const char *line, const char *end)
{
    const char *key = line + 3, *stop = text_word_end(key, end);
    const char *next = skip_line(stop, end);
    size_t len = (size_t)(stop - key);

    budget_spend(&rows->budget, rows->budget.single);
    if (next == NULL)
        return NULL;
    if (*stop == '\n' && len > 0 && stop[-1] == '\r')
        len--;
    if (len > 0 && len <= COMMAND_KEY_MAX && next - line <= (ptrdiff_t)TEXT_LINE_MAX)
        add_row(rows, line, slice_of(key, len), (size_t)(next - line));
    return next;
}

/* A line of another meta command; the length of an ms is its third word. */
static const char *
look_meta(struct rows *rows, const char *line, const char *end)
{
    const char *next = look_one(rows, line, end, false);
    const char *word, *stop;

    if (next == NULL || end - line < 3 || line[1] != 's' || line[2] != ' ')
        return next;
    word = text_word_end(line + 3, next);
    stop = text_word_end(word + (*word == ' '), next);
    return skip_value(word, stop + (*stop == ' '), next, end);
}

/* Returns the next line, NULL at the end of what can be seen. */
static const char *
look_line(struct rows *rows, const char *line, const char *end)
{
    size_t len = (size_t)(end - line);

    if (len >= 4 && memcmp(line, "get ", 4) == 0)
        return look_get(rows, line, line + 4, end);
    if (len >= 5 && memcmp(line, "gets ", 5) == 0)
        return look_get(rows, line, line + 5, end);
    if (len >= 4 && memcmp(line, "mg ", 3) == 0)
        return look_mg(rows, line, end);
    budget_spend(&rows->budget, BUDGET_COMMAND);
    switch (*line) {
    case 'm': /* ms, md, ma, me; mn costs nothing */
        return look_meta(rows, line, end);
    case 's': /* set */
        return look_set(rows, line, end);
    case 'a': /* add, append */
    case 'c': /* cas */
    case 'p': /* prepend */
    case 'r': /* replace */
        return look_one(rows, line, end, true);
    case 'i': /* incr */
    case 'd': /* decr, delete */
    case 't': /* touch */
        return look_one(rows, line, end, false);
    case 'g': /* gat, gats */
        return look_timed(rows, line, end);
    default:
        return skip_line(line, end);
    }
}

static const char *
look_packet(struct rows *rows, const char *at, const char *end)
{
    size_t len = (size_t)(end - at), next;
    struct slice key = binary_peek(at, len, &next);

    if (key.len > 0)
        add_row(rows, key.data, key, 0);
    budget_spend(&rows->budget, key.len > 0 && binary_is_get((uint8_t)at[1])
            ? rows->budget.single
            : BUDGET_COMMAND);
    return next > 0 && next < len ? at + next : NULL;
}

static const char *
look_over(struct rows *rows, const char *at, const char *end, enum ahead_kind kind)
{
    if (kind == AHEAD_PACKETS) {
        while (at != NULL && !budget_is_spent(&rows->budget) && rows->used < rows->max)
            at = look_packet(rows, at, end);
        return at == NULL ? end : at;
    }
    if (kind == AHEAD_KEYS)
        at = look_keys(rows, at, end);
    while (at != NULL && at < end && rows->used < rows->max &&
           !budget_is_spent(&rows->budget))
        at = look_line(rows, at, end);
    return at == NULL ? end : at;
}

void
ahead_look(struct ahead_table *table, const struct store *store,
    struct ahead_range *range, const char *data, size_t len, enum ahead_kind kind)
{
    unsigned room = AHEAD_GROUP - table->used;
    unsigned wanted = room < AHEAD_SESSION ? room : AHEAD_SESSION;
    struct rows rows = { table, store, table->used, table->used + wanted,
        table->budget };

    look_over(&rows, data, data + len, kind);
    range->turn = table->turn;
    range->first = (uint16_t)table->used;
    range->end = (uint16_t)rows.used;
    table->used = rows.used;
}

/* Overflow buckets that are looked into. Hardly a key lies further on, and a chain that is read
 * while it changes need not end. */
#define FURTHER_STEPS 3

/* A key that was not found yet, and the overflow bucket where to go on. */
struct further {
    uint64_t hash;
    uint32_t at;
};

/* One step for each of `n`. Returns how many have another one to go. */
static unsigned
fetch_further(const struct store *store, struct further *further, unsigned n)
{
    unsigned left = 0;

    for (unsigned i = 0; i < n; i++) {
        uint32_t at = store_prefetch_further(store, further[i].hash, further[i].at);

        if (at != 0)
            further[left++] = (struct further){ further[i].hash, at };
    }
    return left;
}

/* Fetches the items behind rows: of some only what leads to them, and then those. */
static void
fetch_items(const struct ahead_table *table, const struct store *store, unsigned first,
    unsigned end)
{
    struct further further[AHEAD_GROUP];
    unsigned n = 0;

    assert(end - first <= AHEAD_GROUP);
    for (unsigned i = first; i < end; i++) {
        uint64_t hash = table->rows[i].hash;
        uint32_t at = store_prefetch_item(store, hash);

        if (at != 0)
            further[n++] = (struct further){ hash, at };
    }
    for (unsigned step = 0; n > 0 && step < FURTHER_STEPS; step++)
        n = fetch_further(store, further, n);
}

void
ahead_looked(struct ahead_table *table, const struct store *store)
{
    fetch_items(table, store, 0, table->used);
    table->closed = true;
}

const char *
ahead_more(struct ahead_table *table, const struct store *store,
    struct ahead_range *range, const char *data, size_t len, enum ahead_kind kind,
    struct budget left)
{
    struct rows rows = { table, store, AHEAD_GROUP, AHEAD_GROUP + AHEAD_SESSION,
        left };
    const char *stop = look_over(&rows, data, data + len, kind);

    fetch_items(table, store, AHEAD_GROUP, rows.used);
    range->first = AHEAD_GROUP;
    range->end = (uint16_t)rows.used;
    return stop;
}
