/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/control.h"

#include "admin/dump.h"
#include "base/num.h"

#define BAD_FORMAT "CLIENT_ERROR bad command line format"

#define AUTOMOVE_MAX 2u
#define AUTOMOVE_WINDOW_MIN 3u
#define AUTOMOVE_WINDOW_MAX 1800u
#define LRU_PCT_SUM_MAX 80u
#define CRAWLER_SLEEP_MAX 1000000u /* microseconds */
#define MEMLIMIT_MIN 8u            /* MiB */
#define MEMLIMIT_MAX 1000000000u   /* MiB; more must have been meant as bytes */
#define VERBOSITY_MAX 2u

/* Word number `i` as a number of 32 bits. */
static bool
word_u32(const struct words *words, unsigned i, uint32_t *number_out)
{
    uint64_t number;

    if (i >= words->n || !num_u64(words->at[i], NUM_U64_MAX, &number) ||
        number > UINT32_MAX)
        return false;
    *number_out = (uint32_t)number;
    return true;
}

static bool
word_i32(const struct words *words, unsigned i, int32_t *number_out)
{
    int64_t number;

    if (i >= words->n || !num_i64(words->at[i], NUM_U64_MAX, &number) ||
        number > INT32_MAX || number < INT32_MIN)
        return false;
    *number_out = (int32_t)number;
    return true;
}

static bool
word_decimal(const struct words *words, unsigned i, double *number_out)
{
    return i < words->n && words_decimal(words->at[i], number_out);
}

/* ---- slabs ------------------------------------------------------------------------- */

/* Class 0 is the pool of free pages. It can be given a page; it has none to spare, as a
 * class takes from it by itself. */
static enum store_move
move_page(struct ask *ask, int32_t from, int32_t to)
{
    struct store *store = ask->admin->parts.store;
    int32_t last = (int32_t)store_classes(store);

    if (from == to)
        return STORE_MOVE_SAME;
    if (from < -1 || from > last || to < 0 || to > last)
        return STORE_MOVE_BAD_CLASS;
    if (from == 0)
        return STORE_MOVE_NO_SPARE;
    return store_move_page(
        store, ask->request->thread, from, to, clock_seconds(ask->admin->parts.clock));
}

static void
slabs_reassign(struct ask *ask)
{
    int32_t from, to;

    if (ask->words.n != 3) {
        ask_reply(ask, "ERROR");
        return;
    }
    if (!ask->admin->parts.options->slab_reassign) {
        ask_reply(ask, "CLIENT_ERROR slab reassignment disabled");
        return;
    }
    if (!word_i32(&ask->words, 1, &from) || !word_i32(&ask->words, 2, &to)) {
        ask_reply(ask, BAD_FORMAT);
        return;
    }
    switch (move_page(ask, from, to)) {
    case STORE_MOVE_OK:
        ask_reply(ask, "OK");
        break;
    case STORE_MOVE_BUSY:
        ask_reply(ask, "BUSY currently processing reassign request");
        break;
    case STORE_MOVE_BAD_CLASS:
        ask_reply(ask, "BADCLASS invalid src or dst class id");
        break;
    case STORE_MOVE_NO_SPARE:
        ask_reply(ask, "NOSPARE source class has no spare pages");
        break;
    case STORE_MOVE_SAME:
        ask_reply(ask, "SAME src and dst class are identical");
        break;
    }
}

static void
automove_window(struct ask *ask)
{
    uint32_t window;

    if (!word_u32(&ask->words, 2, &window)) {
        ask_reply(ask, BAD_FORMAT);
    } else if (window < AUTOMOVE_WINDOW_MIN || window > AUTOMOVE_WINDOW_MAX) {
        ask_reply(ask, "CLIENT_ERROR automove window too low or too high");
    } else {
        TUNABLE_SET(&ask->admin->tunables, automove_window, window);
        ask_reply(ask, "OK");
    }
}

/* `ratio` and `freeratio`, which are parts of one. */
static void
automove_ratio(struct ask *ask, _Atomic double *ratio)
{
    double value;

    if (word_decimal(&ask->words, 2, &value) && value >= 0 && value <= 1) {
        atomic_store_explicit(ratio, value, memory_order_relaxed);
        ask_reply(ask, "OK");
    } else {
        ask_reply(ask, "ERROR");
    }
}

static void
slabs_automove(struct ask *ask)
{
    struct tunables *tunables = &ask->admin->tunables;
    uint32_t level;

    if (ask->words.n < 2) {
        ask_reply(ask, "ERROR");
    } else if (words_is(&ask->words, 1, "ratio")) {
        automove_ratio(ask, &tunables->automove_ratio);
    } else if (words_is(&ask->words, 1, "freeratio")) {
        automove_ratio(ask, &tunables->automove_freeratio);
    } else if (words_is(&ask->words, 1, "window")) {
        automove_window(ask);
    } else if (!word_u32(&ask->words, 1, &level)) {
        ask_reply(ask, BAD_FORMAT);
    } else if (level > AUTOMOVE_MAX) {
        ask_reply(ask, "ERROR");
    } else {
        TUNABLE_SET(tunables, automove, level);
        ask_reply(ask, "OK");
    }
}

void
control_slabs(struct ask *ask)
{
    if (words_is(&ask->words, 0, "reassign"))
        slabs_reassign(ask);
    else if (words_is(&ask->words, 0, "automove"))
        slabs_automove(ask);
    else
        ask_reply(ask, "ERROR");
}

/* ---- lru --------------------------------------------------------------------------- */

static void
lru_tune(struct ask *ask)
{
    struct tunables *tunables = &ask->admin->tunables;
    uint32_t hot, warm;
    double hot_factor, warm_factor;

    if (!word_u32(&ask->words, 1, &hot) || !word_u32(&ask->words, 2, &warm) ||
        !word_decimal(&ask->words, 3, &hot_factor) ||
        !word_decimal(&ask->words, 4, &warm_factor)) {
        ask_reply(ask, "ERROR");
    } else if ((uint64_t)hot + warm > LRU_PCT_SUM_MAX) {
        ask_reply(ask, "ERROR hot and warm pcts must not exceed 80");
    } else if (hot_factor <= 0 || warm_factor <= 0) {
        ask_reply(ask, "ERROR hot/warm age factors must be greater than 0");
    } else {
        TUNABLE_SET(tunables, hot_lru_pct, hot);
        TUNABLE_SET(tunables, warm_lru_pct, warm);
        TUNABLE_SET(tunables, hot_max_factor, hot_factor);
        TUNABLE_SET(tunables, warm_max_factor, warm_factor);
        ask_reply(ask, "OK");
    }
}

static void
lru_mode(struct ask *ask)
{
    bool segmented = words_is(&ask->words, 1, "segmented");

    if (segmented || words_is(&ask->words, 1, "flat")) {
        TUNABLE_SET(&ask->admin->tunables, lru_segmented, segmented);
        ask_reply(ask, "OK");
    } else {
        ask_reply(ask, "ERROR");
    }
}

static void
lru_temp_ttl(struct ask *ask)
{
    struct tunables *tunables = &ask->admin->tunables;
    int32_t ttl;

    if (!word_i32(&ask->words, 1, &ttl)) {
        ask_reply(ask, "ERROR");
        return;
    }
    TUNABLE_SET(tunables, temp_lru, ttl >= 0);
    if (ttl >= 0)
        TUNABLE_SET(tunables, temporary_ttl, (uint32_t)ttl);
    ask_reply(ask, "OK");
}

void
control_lru(struct ask *ask)
{
    bool maintainer = ask->admin->parts.options->lru_maintainer;

    if (words_is(&ask->words, 0, "tune"))
        lru_tune(ask);
    else if (maintainer && words_is(&ask->words, 0, "mode"))
        lru_mode(ask);
    else if (maintainer && words_is(&ask->words, 0, "temp_ttl"))
        lru_temp_ttl(ask);
    else
        ask_reply(ask, "ERROR");
}

/* ---- lru_crawler: the sweep for expired items -------------------------------------- */

static bool
sweep_enabled(const struct ask *ask)
{
    struct store_totals totals;

    store_totals(ask->admin->parts.store, &totals);
    return totals.sweep_enabled;
}

static void
crawler_switch(struct ask *ask, bool on)
{
    if (on && sweep_enabled(ask)) {
        ask_reply(ask, "ERROR failed to start lru crawler thread");
    } else {
        store_sweep_enable(ask->admin->parts.store, on);
        ask_reply(ask, "OK");
    }
}

static void
crawler_crawl(struct ask *ask)
{
    uint64_t classes;
    bool hash;

    if (!words_classes(ask->words.at[1], &classes, &hash)) {
        ask_reply(ask, "BADCLASS invalid class id");
    } else if (hash) {
        ask_reply(ask, "ERROR an unknown error happened");
    } else if (classes == 0) {
        ask_reply(ask, "NOTSTARTED no items to crawl");
    } else {
        store_sweep_now(ask->admin->parts.store, classes);
        ask_reply(ask, "OK");
    }
}

static void
crawler_tocrawl(struct ask *ask)
{
    uint32_t items;

    if (!word_u32(&ask->words, 1, &items)) {
        ask_reply(ask, BAD_FORMAT);
        return;
    }
    TUNABLE_SET(&ask->admin->tunables, crawler_tocrawl, items);
    ask_reply(ask, "OK");
}

static void
crawler_sleep(struct ask *ask)
{
    uint32_t sleep_us;

    if (!word_u32(&ask->words, 1, &sleep_us)) {
        ask_reply(ask, BAD_FORMAT);
    } else if (sleep_us > CRAWLER_SLEEP_MAX) {
        ask_reply(ask, "CLIENT_ERROR sleep must be one second or less");
    } else {
        TUNABLE_SET(&ask->admin->tunables, crawler_sleep, sleep_us);
        ask_reply(ask, "OK");
    }
}

/* The commands that go over items need the sweep to be on, as in memcached, although
 * dumps could do without here. */
static void
crawler_go(struct ask *ask, void (*command)(struct ask *ask))
{
    if (sweep_enabled(ask))
        command(ask);
    else
        ask_reply(ask, "CLIENT_ERROR lru crawler disabled");
}

/* `name` and the classes, and behind them what filters a dump, if anything. */
static bool
is_dump(const struct words *words, const char *name)
{
    struct slice value;

    for (unsigned i = 2; i < words->n; i++)
        if (!words_value(words, i, "prefix=", &value) &&
            !words_value(words, i, "limit=", &value))
            return false;
    return words->n >= 2 && words_is(words, 0, name);
}

void
control_lru_crawler(struct ask *ask)
{
    const struct words *words = &ask->words;

    if (words->n == 1 && words_is(words, 0, "enable"))
        crawler_switch(ask, true);
    else if (words->n == 1 && words_is(words, 0, "disable"))
        crawler_switch(ask, false);
    else if (words->n == 2 && words_is(words, 0, "crawl"))
        crawler_go(ask, crawler_crawl);
    else if (is_dump(words, "metadump"))
        crawler_go(ask, dump_meta);
    else if (is_dump(words, "mgdump"))
        crawler_go(ask, dump_mg);
    else if (words->n == 2 && words_is(words, 0, "tocrawl"))
        crawler_tocrawl(ask);
    else if (words->n == 2 && words_is(words, 0, "sleep"))
        crawler_sleep(ask);
    else
        ask_reply(ask, "ERROR");
}

/* ---- The rest ---------------------------------------------------------------------- */

void
control_memlimit(struct ask *ask)
{
    uint64_t mebibytes;

    if (ask->words.n < 1 || !num_u64(ask->words.at[0], NUM_U64_MAX, &mebibytes))
        ask_reply(ask, "ERROR");
    else if (mebibytes < MEMLIMIT_MIN)
        ask_reply(ask, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    else if (mebibytes > MEMLIMIT_MAX)
        ask_reply(ask, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    else if (store_memory_limit(ask->admin->parts.store, mebibytes << 20))
        ask_reply(ask, "OK");
    else
        ask_reply(ask, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
}

void
control_verbosity(struct ask *ask)
{
    const struct admin_parts *parts = &ask->admin->parts;
    uint64_t number;
    unsigned level;

    if (ask->words.n < 1 || !num_u64(ask->words.at[0], NUM_U64_MAX, &number)) {
        ask_reply(ask, BAD_FORMAT);
        return;
    }
    level = number > VERBOSITY_MAX ? VERBOSITY_MAX : (unsigned)number;
    TUNABLE_SET(&ask->admin->tunables, verbosity, level);
    parts->verbosity(parts->context, level);
    ask_reply(ask, "OK");
}

void
control_shutdown(struct ask *ask)
{
    const struct admin_parts *parts = &ask->admin->parts;
    bool graceful = ask->words.n == 1 && words_is(&ask->words, 0, "graceful");

    if (!parts->options->shutdown_command) {
        ask_reply(ask, "SERVER_ERROR: shutdown not enabled");
    } else if (ask->words.n > 0 && !graceful) {
        ask_reply(ask, "CLIENT_ERROR invalid shutdown mode");
    } else {
        ask->answer->close = true;
        parts->shutdown(parts->context, graceful);
    }
}

void
control_refresh_certs(struct ask *ask)
{
    const struct admin_parts *parts = &ask->admin->parts;
    char why[CERTS_WHY_MAX];

    if (!parts->options->tls)
        ask_reply(ask, "Error TLS not enabled");
    else if (parts->refresh_certs(parts->context, why))
        ask_reply(ask, "OK");
    else
        ask_reply(ask, why);
}
