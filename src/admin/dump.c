/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.c - see dump.h.
 *
 *   OK | a line for each item ............................ | END
 *      ^ walk cursor: budget = room in the outbox / longest line
 *
 * The walk shows at most one item for each chunk of its budget, so a budget that fits the
 * room cannot overflow it. A fill walks several times, until it has written FILL_BYTES or
 * looked at FILL_CHUNKS: that is about 0.1 ms, for which the worker's other clients wait.
 */
#include "admin/dump.h"

#include <stdlib.h>
#include <string.h>

#include "admin/escape.h"
#include "base/assert.h"
#include "base/base64.h"
#include "base/num.h"

/* The longest line of an item: a key of 250 bytes, each as %XX, and about 12 words and
 * numbers. */
#define DUMP_LINE_MAX 1024u
#define FILL_BYTES 16384u
#define FILL_CHUNKS 1024u
/* Chunks for each call of the walk, when there is room for them. */
#define WALK_CHUNKS 64u
/* `stats cachedump` ends after so many bytes. */
#define CACHEDUMP_BYTES (2u * 1024 * 1024)

struct dump {
    struct stream stream;
    struct store *store;
    struct store_thread *thread;
    const struct clock *clock;
    void (*line)(struct dump *dump, const struct store_entry *entry);
    const char *end;
    bool show_cas; /* false with -C: uniques read as 0 everywhere then */
    uint64_t classes, cursor;
    bool walking;
    uint64_t lines_left, bytes_left;
    char prefix[KEY_LEN_MAX]; /* of the keys that are shown */
    size_t prefix_len;
    /* During a fill. */
    struct outbox *out;
    int64_t unix_zero; /* wall clock second of the server clock's second 0 */
};

static void
show(void *context, const struct store_entry *entry)
{
    struct dump *dump = context;

    if (dump->lines_left == 0 || dump->bytes_left < DUMP_LINE_MAX)
        return;
    if (!slice_starts(entry->key, slice_of(dump->prefix, dump->prefix_len)))
        return;
    assert(outbox_room(dump->out) >= DUMP_LINE_MAX);
    uint32_t used = dump->out->used;
    dump->line(dump, entry);
    if (dump->out->used != used)
        dump->lines_left--;
    dump->bytes_left -= dump->out->used - used;
}

/* One call of the walk, of as many chunks as the outbox and *chunks allow; false when
 * that is none. */
static bool
walk_some(struct dump *dump, uint32_t now, unsigned *chunks)
{
    size_t budget = outbox_room(dump->out) / DUMP_LINE_MAX;

    if (budget > WALK_CHUNKS)
        budget = WALK_CHUNKS;
    if (budget > *chunks)
        budget = *chunks;
    if (budget == 0)
        return false;
    *chunks -= (unsigned)budget;
    dump->walking = store_walk(dump->store, dump->thread, dump->classes, &dump->cursor,
        (unsigned)budget, now, show, dump);
    if (dump->lines_left == 0 || dump->bytes_left < DUMP_LINE_MAX)
        dump->walking = false;
    return true;
}

static bool
dump_fill(struct stream *stream, struct outbox *out)
{
    struct dump *dump = (struct dump *)stream;
    uint32_t now = clock_seconds(dump->clock);
    unsigned chunks = FILL_CHUNKS;
    uint32_t enough = out->used + FILL_BYTES;

    dump->out = out;
    dump->unix_zero = clock_to_unix(0, now);
    while (dump->walking)
        if (out->used >= enough || !walk_some(dump, now, &chunks))
            return true;
    if (outbox_room(out) < strlen(dump->end))
        return true;
    outbox_put(out, dump->end, strlen(dump->end));
    return false;
}

static void
dump_close(struct stream *stream)
{
    free(stream);
}

static char *
put_text(char *to, const char *text)
{
    size_t len = strlen(text);

    memcpy(to, text, len);
    return to + len;
}

/* The second as a Unix time; -1 for one before 1970, which only a wrong clock shows. */
static char *
put_unix(char *to, const struct dump *dump, uint32_t seconds)
{
    int64_t at = dump->unix_zero + (int64_t)seconds;

    return at < 0 ? put_text(to, "-1") : num_put(to, (uint64_t)at);
}

/* The blank before the LF, and the LF alone, are memcached's. */
static void
meta_line(struct dump *dump, const struct store_entry *entry)
{
    const struct store_view *view = &entry->view;
    char *start = outbox_tail(dump->out);
    char *to = put_text(start, "key=");

    to = escape_percent(to, entry->key);
    to = put_text(to, " exp=");
    if (view->exptime == EXPTIME_NEVER)
        to = put_text(to, "-1");
    else
        to = put_unix(to, dump, view->exptime);
    to = put_text(to, " la=");
    to = put_unix(to, dump, view->last_access);
    to = put_text(to, " cas=");
    to = num_put(to, dump->show_cas ? view->cas : 0);
    to = put_text(to, view->fetched ? " fetch=yes cls=" : " fetch=no cls=");
    to = num_put(to, view->slab_class);
    to = put_text(to, " size=");
    to = num_put(to, store_item_size(dump->store, entry->key.len, view->client_flags,
        view->value_len));
    to = put_text(to, " flags=");
    to = num_put(to, view->client_flags);
    to = put_text(to, " \n");
    outbox_grow(dump->out, (size_t)(to - start));
}

static void
mg_line(struct dump *dump, const struct store_entry *entry)
{
    char *start = outbox_tail(dump->out);
    char *to = put_text(start, "mg ");

    if (entry->view.key_binary || !escape_is_word(entry->key)) {
        to = base64_encode(to, entry->key);
        to = put_text(to, " b");
    } else {
        memcpy(to, entry->key.data, entry->key.len);
        to += entry->key.len;
    }
    to = put_text(to, "\r\n");
    outbox_grow(dump->out, (size_t)(to - start));
}

/* Keys may hold line ends, which this list has no form for. */
static void
cachedump_line(struct dump *dump, const struct store_entry *entry)
{
    const struct store_view *view = &entry->view;
    char *start = outbox_tail(dump->out);
    char *to;

    if (view->key_binary || !escape_is_word(entry->key))
        return;
    to = put_text(start, "ITEM ");
    memcpy(to, entry->key.data, entry->key.len);
    to += entry->key.len;
    to = put_text(to, " [");
    to = num_put(to, view->value_len);
    to = put_text(to, " b; ");
    if (view->exptime == EXPTIME_NEVER)
        to = put_text(to, "0");
    else
        to = put_unix(to, dump, view->exptime);
    to = put_text(to, " s]\r\n");
    outbox_grow(dump->out, (size_t)(to - start));
}

/* Starts a dump; `dump` lacks what all of them have in common. */
static void
start(struct ask *ask, const struct dump *dump)
{
    const struct admin_parts *parts = &ask->admin->parts;
    struct dump *copy = malloc(sizeof *copy);

    if (copy == NULL) {
        ask_no_memory(ask);
        return;
    }
    *copy = *dump;
    copy->stream = (struct stream){ .fill = dump_fill, .close = dump_close };
    copy->store = parts->store;
    copy->thread = ask->request->thread;
    copy->clock = parts->clock;
    copy->show_cas = parts->options->cas;
    ask_stream(ask, &copy->stream);
}

static bool
take_prefix(struct dump *dump, struct slice text)
{
    char prefix[3 * KEY_LEN_MAX];
    char *end;

    if (text.len == 0 || text.len > sizeof prefix || dump->prefix_len > 0)
        return false;
    end = escape_undo(prefix, text);
    if (end == NULL || end - prefix > (ptrdiff_t)KEY_LEN_MAX)
        return false;
    dump->prefix_len = (size_t)(end - prefix);
    memcpy(dump->prefix, prefix, dump->prefix_len);
    return true;
}

/* Reads the words behind the classes. False: a bad value, or one given twice. */
static bool
take_filters(struct dump *dump, const struct words *words)
{
    struct slice value;
    bool limited = false;

    dump->lines_left = UINT64_MAX;
    for (unsigned i = 2; i < words->n; i++) {
        if (words_value(words, i, "prefix=", &value)) {
            if (!take_prefix(dump, value))
                return false;
        } else if (words_value(words, i, "limit=", &value)) {
            if (limited || !num_u64(value, NUM_U64_MAX, &dump->lines_left) ||
                dump->lines_left == 0)
                return false;
            limited = true;
        }
    }
    return true;
}

/* What the two dumps of `lru_crawler` have in common, `refusal` and `pipelined` being
 * their words. */
static void
start_all(struct ask *ask, struct dump *dump, const char *refusal, const char *pipelined)
{
    bool hash;

    if (!ask->admin->parts.options->dump_allowed) {
        ask_reply(ask, refusal);
    } else if (ask->request->pending) {
        ask_reply(ask, pipelined);
    } else if (!words_classes(ask->words.at[1], &dump->classes, &hash)) {
        ask_reply(ask, "BADCLASS invalid class id");
    } else if (!take_filters(dump, &ask->words)) {
        ask_reply(ask, "CLIENT_ERROR bad command line format");
    } else {
        dump->walking = dump->classes != 0;
        dump->bytes_left = UINT64_MAX;
        ask_reply(ask, "OK");
        start(ask, dump);
    }
}

void
dump_meta(struct ask *ask)
{
    struct dump dump = { .line = meta_line, .end = "END\r\n" };

    start_all(ask, &dump, "ERROR metadump not allowed",
        "ERROR cannot pipeline other commands before metadump");
}

void
dump_mg(struct ask *ask)
{
    struct dump dump = { .line = mg_line, .end = "EN\r\n" };

    start_all(ask, &dump, "ERROR key dump not allowed",
        "ERROR cannot pipeline other commands before mgdump");
}

void
dump_class(struct ask *ask)
{
    struct dump dump = { .line = cachedump_line, .end = "END\r\n" };
    const struct words *words = &ask->words;
    uint64_t id, limit;

    if (!ask->admin->parts.options->dump_allowed) {
        ask_reply(ask, "CLIENT_ERROR stats cachedump not allowed");
    } else if (words->n < 3) {
        ask_reply(ask, "CLIENT_ERROR bad command line");
    } else if (!num_u64(words->at[1], NUM_U64_MAX, &id) ||
        !num_u64(words->at[2], NUM_U64_MAX, &limit)) {
        ask_reply(ask, "CLIENT_ERROR bad command line format");
    } else if (id >= SLAB_CLASSES_MAX) {
        ask_reply(ask, "CLIENT_ERROR Illegal slab id");
    } else {
        dump.classes = ((uint64_t)1 << id) & ~(uint64_t)1;
        dump.walking = dump.classes != 0;
        dump.lines_left = limit == 0 ? UINT64_MAX : limit;
        dump.bytes_left = CACHEDUMP_BYTES;
        start(ask, &dump);
    }
}

struct prefix_dump {
    struct stream stream;
    struct prefix_table *table;
    uint32_t cursor;
};

static bool
prefix_fill(struct stream *stream, struct outbox *out)
{
    struct prefix_dump *dump = (struct prefix_dump *)stream;

    if (prefix_dump(dump->table, &dump->cursor, out) || outbox_room(out) < 5)
        return true;
    outbox_put(out, "END\r\n", 5);
    return false;
}

/* The same as one field of a form. Its length comes first, so it is made beforehand. */
struct prefix_field {
    struct stream stream;
    struct admin *admin;
    const struct admin_form *form;
    uint32_t tag;
    size_t len, at;
    char *text;
};

static bool
field_fill(struct stream *stream, struct outbox *out)
{
    struct prefix_field *field = (struct prefix_field *)stream;
    size_t left = field->len - field->at;
    size_t len = left < FILL_BYTES ? left : FILL_BYTES;

    if (field->at == 0) {
        struct slice name = SLICE("detailed");
        if (outbox_room(out) < field->form->room + name.len)
            return true;
        field->form->begin(out, field->tag, name, field->len);
    }
    if (len > outbox_room(out))
        len = outbox_room(out);
    outbox_put(out, field->text + field->at, len);
    field->at += len;
    if (field->at < field->len || outbox_room(out) < field->form->room)
        return true;
    field->form->begin(out, field->tag, slice_of(NULL, 0), 0);
    return false;
}

static void
field_close(struct stream *stream)
{
    struct prefix_field *field = (struct prefix_field *)stream;

    atomic_fetch_sub(&field->admin->histograms, 1);
    free(field->text);
    free(field);
}

/* All lines and END, in memory that is the caller's; NULL: there is none. */
static char *
collect_prefixes(struct prefix_table *table, size_t *len_out)
{
    struct outbox piece = { .bytes = malloc(OUTBOX_BYTES) };
    char *text = NULL;
    size_t len = 0;
    uint32_t cursor = 0;
    bool more = piece.bytes != NULL;

    while (more) {
        piece.used = 0;
        more = prefix_dump(table, &cursor, &piece);
        if (!more)
            outbox_put(&piece, "END\r\n", 5);
        char *longer = realloc(text, len + piece.used);
        if (longer == NULL) {
            free(text);
            text = NULL;
            break;
        }
        text = longer;
        memcpy(text + len, piece.bytes, piece.used);
        len += piece.used;
    }
    free(piece.bytes);
    *len_out = len;
    return text;
}

static void
dump_prefix_field(struct ask *ask)
{
    struct admin *admin = ask->admin;
    struct prefix_field *field = NULL;
    char *text = NULL;
    size_t len = 0;

    if (atomic_fetch_add(&admin->histograms, 1) < HISTOGRAMS_MAX)
        text = collect_prefixes(admin->prefixes, &len);
    if (text != NULL)
        field = malloc(sizeof *field);
    if (field == NULL) {
        atomic_fetch_sub(&admin->histograms, 1);
        free(text);
        ask_no_memory(ask);
        return;
    }
    *field = (struct prefix_field){ { .fill = field_fill, .close = field_close }, admin,
        ask->request->form, ask->request->tag, len, 0, text };
    ask_stream(ask, &field->stream);
}

void
dump_prefixes(struct ask *ask)
{
    struct prefix_dump *dump;

    if (ask->request->form != NULL) {
        dump_prefix_field(ask);
        return;
    }
    dump = malloc(sizeof *dump);
    if (dump == NULL) {
        ask_no_memory(ask);
        return;
    }
    *dump = (struct prefix_dump){ { .fill = prefix_fill, .close = dump_close },
        ask->admin->prefixes, 0 };
    ask_stream(ask, &dump->stream);
}
