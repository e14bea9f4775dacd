/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void
give_counts(void *context, struct counts *sum)
{
    *sum = ((struct fixture *)context)->counts;
}

static void
give_latency(void *context, struct latency_counts *counts_out)
{
    *counts_out = ((struct fixture *)context)->latency;
}

static bool
give_hotkeys(void *context, struct hotkeys_top *top_out)
{
    const struct fixture *fixture = context;

    *top_out = fixture->hotkeys;
    return !fixture->hotkeys_fail;
}

static void
note_hotkeys_reset(void *context)
{
    ((struct fixture *)context)->hotkeys_resets++;
}

static void
give_connections(void *context, struct conn_figures *figures_out)
{
    *figures_out = ((struct fixture *)context)->conns;
}

/* Backwards and all of them: the order is nobody's promise. */
static void
walk_connections(void *context, int fd_min, conn_info_fn fn, void *fn_context)
{
    const struct fixture *fixture = context;

    (void)fd_min;
    for (unsigned i = fixture->ninfos; i > 0; i--)
        fn(fn_context, &fixture->infos[i - 1]);
}

static void
note_verbosity(void *context, unsigned level)
{
    ((struct fixture *)context)->verbosity = level;
}

static void
note_shutdown(void *context, bool graceful)
{
    struct fixture *fixture = context;

    fixture->shutdowns++;
    fixture->graceful = graceful;
}

void
fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    options_init(&fixture->options);
    fixture->verbosity = 99;
    fixture->out.bytes = malloc(OUTBOX_BYTES);
    assert(fixture->out.bytes != NULL);
}

static struct store *
make_store(const struct options *options)
{
    struct slice prefixes[FLUSH_PREFIXES_MAX];
    unsigned nprefixes = 0;
    const char *rest = options->flush_prefixes;

    while (rest != NULL) {
        size_t len = strcspn(rest, ",");
        assert(nprefixes < FLUSH_PREFIXES_MAX);
        prefixes[nprefixes++] = slice_of(rest, len);
        rest = rest[len] == ',' ? rest + len + 1 : NULL;
    }
    struct store_options store_options = {
        .memory_max = options->memory_max,
        .memory_reserve = 4 * options->memory_max,
        .item_size_max = options->item_size_max,
        .chunk_max = 65536,
        .chunk_min = (uint32_t)options->chunk_min,
        .growth_factor = options->growth_factor,
        .evict = options->evict,
        .slab_reassign = options->slab_reassign,
        .hash_key = "sixteen bytes...",
        .flush_prefixes = prefixes,
        .nflush_prefixes = nprefixes,
    };
    const char *why = "";
    struct store *store = store_create(&store_options, &why);

    assert(store != NULL);
    return store;
}

void
fixture_start(struct fixture *fixture)
{
    struct admin_parts parts = {
        .options = &fixture->options,
        .clock = &fixture->clock,
        .version = "1.6.45-larder9.8.7",
        .libevent_version = "2.1.12-stable",
        .context = fixture,
        .counts = give_counts,
        .latency = give_latency,
        .hotkeys = give_hotkeys,
        .hotkeys_reset = note_hotkeys_reset,
        .journal = fixture->journal,
        .connections = give_connections,
        .walk_connections = walk_connections,
        .verbosity = note_verbosity,
        .shutdown = note_shutdown,
    };

    clock_start(&fixture->clock);
    fixture->store = make_store(&fixture->options);
    fixture->thread = store_thread_open(fixture->store);
    assert(fixture->thread != NULL);
    store_sweep_enable(fixture->store, fixture->options.lru_crawler);
    parts.store = fixture->store;
    fixture->admin = admin_create(&parts);
    assert(fixture->admin != NULL);
    admin_hook(fixture->admin, &fixture->hook);
}

void
fixture_open(struct fixture *fixture)
{
    fixture_init(fixture);
    fixture_start(fixture);
}

void
fixture_close(struct fixture *fixture)
{
    admin_destroy(fixture->admin);
    store_check(fixture->store);
    store_thread_close(fixture->thread);
    store_destroy(fixture->store);
    options_fini(&fixture->options);
    free(fixture->out.bytes);
    free(fixture->reply);
}

static enum admin_verb
verb_of(struct slice word)
{
    static const struct {
        const char *name;
        enum admin_verb verb;
    } VERBS[] = {
        { "stats", ADMIN_STATS },
        { "slabs", ADMIN_SLABS },
        { "lru", ADMIN_LRU },
        { "lru_crawler", ADMIN_LRU_CRAWLER },
        { "cache_memlimit", ADMIN_CACHE_MEMLIMIT },
        { "verbosity", ADMIN_VERBOSITY },
        { "shutdown", ADMIN_SHUTDOWN },
        { "watch", ADMIN_WATCH },
        { "refresh_certs", ADMIN_REFRESH_CERTS },
        { "extstore", ADMIN_EXTSTORE },
    };

    for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++)
        if (slice_equal(word, slice_of(VERBS[i].name, strlen(VERBS[i].name))))
            return VERBS[i].verb;
    abort(); /* no verb of the administration */
}

/* Moves what is in the outbox, from `mark` on, to the reply. */
static void
collect(struct fixture *fixture, uint32_t mark)
{
    size_t len = fixture->out.used - mark;

    assert(fixture->out.used <= OUTBOX_BYTES);
    fixture->reply = realloc(fixture->reply, fixture->reply_len + len + 1);
    assert(fixture->reply != NULL);
    if (len > 0)
        memcpy(fixture->reply + fixture->reply_len, fixture->out.bytes + mark, len);
    fixture->reply_len += len;
    fixture->reply[fixture->reply_len] = '\0';
    fixture->out.used = 0;
}

/* The words are copied to memory of exactly their size, so that a sanitizer sees every
 * step beyond them. */
static struct stream *
run(struct fixture *fixture, const char *line, bool pending, size_t room)
{
    struct slice word = slice_of(line, strcspn(line, " "));
    size_t args_len = strlen(line) - word.len;
    char *args = malloc(args_len > 0 ? args_len : 1);
    uint32_t mark = (uint32_t)(OUTBOX_BYTES - room);
    struct admin_request request = {
        .verb = verb_of(word),
        .args = slice_of(args, args_len),
        .pending = pending,
        .now = clock_seconds(&fixture->clock),
        .thread = fixture->thread,
        .wake = fixture->wake,
        .wake_handle = fixture->wake == NULL ? NULL : fixture,
    };
    struct admin_answer answer;

    assert(args != NULL);
    memcpy(args, line + word.len, args_len);
    fixture->reply_len = 0;
    fixture->fills = 0;
    fixture->out.used = mark;
    fixture->out.nrefs = 0;
    fixture->hook.run(fixture->hook.context, &request, &fixture->out, &answer);
    free(args);
    fixture->closed = answer.close;
    collect(fixture, mark);
    return answer.stream;
}

bool
fixture_fill(struct fixture *fixture, struct stream *stream)
{
    bool more;

    fixture->out.used = 0;
    more = stream->fill(stream, &fixture->out);
    fixture->fills++;
    collect(fixture, 0);
    return more;
}

static const char *
follow(struct fixture *fixture, struct stream *stream)
{
    if (stream != NULL) {
        while (fixture_fill(fixture, stream))
            ;
        stream->close(stream);
    }
    return fixture->reply;
}

const char *
fixture_ask(struct fixture *fixture, const char *line)
{
    return follow(fixture, run(fixture, line, false, OUTBOX_BYTES));
}

const char *
fixture_ask_late(struct fixture *fixture, const char *line, size_t room)
{
    return follow(fixture, run(fixture, line, true, room));
}

struct stream *
fixture_stream(struct fixture *fixture, const char *line)
{
    return run(fixture, line, false, ADMIN_ROOM);
}

void
fixture_set(struct fixture *fixture, const char *key, uint32_t client_flags,
    int64_t exptime, size_t value_len)
{
    uint32_t now = clock_seconds(&fixture->clock);
    char *value = calloc(1, value_len + 1);
    struct store_write write = {
        .mode = STORE_SET,
        .key = slice_of(key, strlen(key)),
        .client_flags = client_flags,
        .exptime = clock_exptime(exptime, now),
        .value = slice_of(value, value_len),
    };
    struct store_written written;
    enum store_result result;

    assert(value != NULL);
    write.hash = store_hash(fixture->store, write.key);
    result = store_write(fixture->store, fixture->thread, &write, now, &written);
    assert(result == STORE_OK);
    free(value);
}

bool
fixture_get(struct fixture *fixture, const char *key)
{
    struct slice slice = slice_of(key, strlen(key));
    struct store_view view;

    return store_find(fixture->store, fixture->thread, slice,
               store_hash(fixture->store, slice), clock_seconds(&fixture->clock),
               STORE_USE, &view) == STORE_OK;
}

void
fixture_wait(struct fixture *fixture, uint32_t seconds)
{
    fixture->clock.epoch -= seconds;
}

const char *
fixture_stat(struct fixture *fixture, const char *name)
{
    static char value[STORE_SMALL_MAX];
    size_t name_len = strlen(name);

    for (const char *line = fixture->reply; *line != '\0';) {
        size_t len = strcspn(line, "\r");
        if (len > 6 + name_len && memcmp(line, "STAT ", 5) == 0 &&
            memcmp(line + 5, name, name_len) == 0 && line[5 + name_len] == ' ') {
            size_t value_len = len - name_len - 6;
            assert(value_len < sizeof value);
            memcpy(value, line + name_len + 6, value_len);
            value[value_len] = '\0';
            return value;
        }
        line += len + (line[len] == '\0' ? 0 : 2);
    }
    return NULL;
}
