/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.c - see dump.h.
 *
 *   connection 1   lru_crawler metadump hash   -> a key a line, as many as there are
 *   connection 2   mg KEY v f t u             -> one answer for each, in batches
 *
 * While a batch of values is read, nobody reads the keys: TCP holds the server back, and
 * larderctl keeps a batch of keys and a buffer of a value's bytes, whatever is stored. An
 * item that goes between the two is a miss and is left out. `u` leaves the order of
 * eviction as it was, as far as the server knows the flag.
 *
 * The list follows the hash table, because memcached's other way, `all`, passes over items
 * that are in use at that moment, which ours are: one dump in three of 20000 items lacked one.
 *
 * Items marked stale by `md I` are left out: loaded elsewhere they would be fresh again.
 */
#include "ctl/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "ctl/ask.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/show.h"

#define BATCH_KEYS 128u
/* Of commands in a batch: socket buffers hold so much even if the server does not read. */
#define BATCH_BYTES 16384u
/* Items whose refusal is told; the rest are only counted. */
#define COMPLAINTS_MAX 5u
#define BUSY_MS 100

struct dump {
    const struct args *args;
    const struct server *server;
    struct link *keys, *values;
    struct output *output;
    struct progress progress;
    struct record batch[BATCH_KEYS];
    unsigned n_batch;
    bool listing; /* keys are still to come */
    bool whole;   /* nothing that can be read is missing */
    uint64_t items, bytes, gone, stale, refused;
};

bool
dump_parse_key(struct slice line, struct record *record_out)
{
    char key[SHOW_ROOM(RECORD_KEY_MAX)];
    const char *blank = memchr(line.data, ' ', line.len);
    struct slice shown;
    size_t len;

    if (!slice_starts(line, SLICE("key=")) || blank == NULL)
        return false;
    shown = slice_of(line.data + 4, (size_t)(blank - line.data) - 4);
    if (shown.len > sizeof key || !show_decode(key, shown, &len) || len == 0 ||
        len > RECORD_KEY_MAX)
        return false;
    *record_out = (struct record){ .key_len = len };
    memcpy(record_out->key, key, len);
    return true;
}

static bool
parse_flag(struct slice word, struct dump_head *head)
{
    struct slice rest = slice_of(word.data + 1, word.len - 1);
    uint64_t number;

    switch (word.data[0]) {
    case 'f':
        if (!num_u64(rest, NUM_U64_MAX, &number) || number > UINT32_MAX)
            return false;
        head->flags = (uint32_t)number;
        return true;
    case 't':
        return num_i64(rest, NUM_U64_MAX, &head->ttl) && head->ttl >= -1;
    case 'X':
        head->stale = true;
        return true;
    default:
        return true;
    }
}

bool
dump_parse_head(struct slice line, struct dump_head *head_out)
{
    struct dump_head head = { .ttl = -1 };
    unsigned n = 0;

    while (line.len > 0) {
        const char *blank = memchr(line.data, ' ', line.len);
        size_t len = blank != NULL ? (size_t)(blank - line.data) : line.len;
        struct slice word = slice_of(line.data, len);

        len += blank != NULL;
        line = slice_of(line.data + len, line.len - len);
        if (word.len == 0)
            continue;
        if (n == 0 && !slice_equal(word, SLICE("VA")))
            return false;
        if (n == 1 &&
            (!num_u64(word, NUM_U64_MAX, &head.bytes) || head.bytes > INT32_MAX))
            return false;
        if (n >= 2 && !parse_flag(word, &head))
            return false;
        n++;
    }
    if (n < 2)
        return false;
    *head_out = head;
    return true;
}

static enum ctl_status
lost(struct dump *dump, struct link *link)
{
    return ask_lost(dump->args, dump->server, link);
}

static enum ctl_status
refused(struct dump *dump, struct slice line)
{
    char why[CTL_WHY_MAX];

    snprintf(why, sizeof why, "%.*s", (int)(line.len < 200 ? line.len : 200), line.data);
    return ask_failed(dump->args, dump->server, CTL_REFUSED, why);
}

/* Something about one item; the dump goes on without it. */
static void
leave_out(struct dump *dump, const struct record *record, struct slice why)
{
    char key[SHOW_ROOM(RECORD_KEY_MAX)];
    char *end = show_key_put(key, slice_of(record->key, record->key_len));

    if (dump->refused++ < COMPLAINTS_MAX)
        ctl_complain("%s: %.*s: %.*s", dump->server->text, (int)(end - key), key,
            (int)(why.len < 200 ? why.len : 200), why.data);
}

/* Asks for the list of keys and reads its first line, which may be a key already. */
static enum ctl_status
ask_list(struct dump *dump, const char *command, struct slice *line)
{
    const struct timespec pause = { .tv_nsec = BUSY_MS * 1000000 };
    uint64_t end = clock_micros() + (uint64_t)dump->args->link.timeout_ms * 1000;

    for (;;) {
        link_step(dump->keys);
        if (!link_put_text(dump->keys, command) || !link_line(dump->keys, line))
            return lost(dump, dump->keys);
        /* The crawler does one thing at a time. */
        if (!slice_starts(*line, SLICE("BUSY")) || clock_micros() >= end)
            return CTL_OK;
        nanosleep(&pause, NULL);
    }
}

static enum ctl_status
begin_list(struct dump *dump, struct slice *line)
{
    enum ctl_status status = ask_list(dump, "lru_crawler metadump hash\r\n", line);

    /* Old servers know only "all". */
    if (status == CTL_OK &&
        (slice_starts(*line, SLICE("BADCLASS")) || slice_starts(*line, SLICE("ERROR"))))
        status = ask_list(dump, "lru_crawler metadump all\r\n", line);
    return status;
}

/* Takes a line of the list. *line is borrowed. */
static enum ctl_status
take_key(struct dump *dump, struct slice line)
{
    struct record *record = &dump->batch[dump->n_batch];
    const char *prefix = dump->args->prefix;

    if (slice_equal(line, SLICE("END"))) {
        dump->listing = false;
        return CTL_OK;
    }
    if (!dump_parse_key(line, record))
        return refused(dump, line);
    if (prefix == NULL ||
        slice_starts(slice_of(record->key, record->key_len),
            slice_of(prefix, strlen(prefix))))
        dump->n_batch++;
    return CTL_OK;
}

/* A batch of keys: those that are there, or at least one unless there are no more. */
static enum ctl_status
fill_batch(struct dump *dump)
{
    enum ctl_status status = CTL_OK;
    struct slice line;

    dump->n_batch = 0;
    while (status == CTL_OK && dump->listing && dump->n_batch < BATCH_KEYS) {
        if (dump->n_batch > 0 && !link_has_line(dump->keys))
            break;
        link_step(dump->keys);
        if (!link_line(dump->keys, &line))
            return lost(dump, dump->keys);
        status = take_key(dump, line);
    }
    return status;
}

/* Sends the commands for the batch from `from` on; returns where it stopped. Keys that no
 * command can name are left out: their key_len becomes 0. */
static unsigned
ask_values(struct dump *dump, unsigned from, bool *good)
{
    size_t bytes = 0;
    unsigned i = from;

    for (; i < dump->n_batch && bytes < BATCH_BYTES; i++) {
        struct record *record = &dump->batch[i];
        char command[RECORD_COMMAND_MAX];
        bool binary;
        char *end = record_command(command, "mg", record, &binary);

        if (end == NULL) {
            leave_out(dump, record, SLICE("no command can name this key"));
            record->key_len = 0;
            continue;
        }
        bytes += (size_t)(end - command) + 12;
        if (!link_put(dump->values, command, (size_t)(end - command)) ||
            !link_put_text(dump->values, binary ? " v f t u b\r\n" : " v f t u\r\n")) {
            *good = false;
            break;
        }
    }
    return i;
}

static void
begin_item(struct dump *dump, const struct record *record, struct json *json)
{
    if (!dump->args->json) {
        record_put(dump->output->to, record);
        return;
    }
    json_begin(json, '{');
    if (dump->args->n_servers > 1)
        json_pair_text(json, "server",
            slice_of(dump->server->text, strlen(dump->server->text)));
    json_pair_text(json, "key", slice_of(record->key, record->key_len));
    json_pair_u64(json, "flags", record->flags);
    json_pair_u64(json, "expires", record->expires);
    json_pair_u64(json, "bytes", record->bytes);
    json_name(json, SLICE("value"));
    json_base64_begin(json);
}

/* A piece of the value; an empty one ends it. */
static void
put_value(struct dump *dump, struct json *json, struct slice piece)
{
    if (dump->args->json && piece.len > 0) {
        json_base64_more(json, piece);
    } else if (dump->args->json) {
        json_base64_end(json);
        json_end(json, '}');
        json_line(json);
    } else if (piece.len > 0) {
        fwrite(piece.data, 1, piece.len, dump->output->to);
    } else {
        putc('\n', dump->output->to);
    }
}

/* The link failed in the middle of a value: its JSON is closed, but says so. */
static enum ctl_status
lost_inside(struct dump *dump, struct json *json)
{
    const char *why = link_why(dump->values);

    if (json != NULL && dump->args->json) {
        json_base64_end(json);
        json_pair_text(json, "error", slice_of(why, strlen(why)));
        json_end(json, '}');
        json_line(json);
    }
    return lost(dump, dump->values);
}

/* Reads the value's bytes and the line end after them, into the output if `kept`. */
static enum ctl_status
copy_value(struct dump *dump, const struct record *record, bool kept)
{
    struct json json = { .to = dump->output->to };
    uint64_t left = record->bytes;
    struct slice piece;

    if (kept)
        begin_item(dump, record, &json);
    while (left > 0) {
        link_step(dump->values);
        if (!link_bytes(dump->values, left < LINK_BYTES ? left : LINK_BYTES, &piece))
            return lost_inside(dump, kept ? &json : NULL);
        left -= piece.len;
        if (kept)
            put_value(dump, &json, piece);
    }
    link_step(dump->values);
    if (!link_line(dump->values, &piece))
        return lost_inside(dump, kept ? &json : NULL);
    if (kept)
        put_value(dump, &json, slice_of(NULL, 0));
    if (piece.len > 0)
        return ask_failed(dump->args, dump->server, CTL_REFUSED,
            "a value is longer than was announced");
    return CTL_OK;
}

/* Reads one answer. */
static enum ctl_status
take_value(struct dump *dump, struct record *record)
{
    struct dump_head head;
    enum ctl_status status;
    struct slice line;
    bool kept;

    link_step(dump->values);
    if (!link_line(dump->values, &line))
        return lost(dump, dump->values);
    if (slice_equal(line, SLICE("EN"))) {
        dump->gone++;
        return CTL_OK;
    }
    if (slice_starts(line, SLICE("CLIENT_ERROR ")) ||
        slice_starts(line, SLICE("SERVER_ERROR "))) {
        leave_out(dump, record, line);
        return CTL_OK;
    }
    if (!dump_parse_head(line, &head))
        return refused(dump, line);
    record->flags = head.flags;
    record->bytes = head.bytes;
    record->expires = head.ttl < 0 ? 0 : (uint64_t)time(NULL) + (uint64_t)head.ttl;
    kept = !head.stale && head.ttl != 0;
    status = copy_value(dump, record, kept);
    dump->stale += head.stale;
    dump->gone += !head.stale && head.ttl == 0;
    dump->items += kept;
    dump->bytes += kept ? record->bytes : 0;
    return status;
}

static enum ctl_status
take_batch(struct dump *dump)
{
    enum ctl_status status = CTL_OK;
    unsigned asked = 0;

    for (unsigned i = 0; i < dump->n_batch && status == CTL_OK; i++) {
        if (i == asked) {
            bool good = true;

            link_step(dump->values);
            asked = ask_values(dump, asked, &good);
            if (!good)
                return lost(dump, dump->values);
        }
        if (dump->batch[i].key_len > 0)
            status = take_value(dump, &dump->batch[i]);
        progress_tell(&dump->progress, dump->items, dump->bytes);
    }
    if (status == CTL_OK && !output_good(dump->output))
        status = CTL_IO; /* output_close() says why */
    return status;
}

static enum ctl_status
copy_all(struct dump *dump)
{
    struct slice line;
    enum ctl_status status = begin_list(dump, &line);

    dump->listing = true;
    /* "OK" came with memcached 1.6.40 or so; before, the list just begins. */
    if (status == CTL_OK && !slice_equal(line, SLICE("OK"))) {
        dump->n_batch = 0;
        status = take_key(dump, line);
        if (status == CTL_OK)
            status = take_batch(dump);
    }
    while (status == CTL_OK && dump->listing) {
        status = fill_batch(dump);
        if (status == CTL_OK)
            status = take_batch(dump);
    }
    return status;
}

static void
sum_up(const struct dump *dump)
{
    char size[PROGRESS_SIZE_MAX];

    if (dump->args->quiet)
        return;
    fprintf(stderr, "%s: dumped %" PRIu64 " items, %s", dump->server->text, dump->items,
        progress_size(size, dump->bytes));
    if (dump->gone > 0)
        fprintf(stderr, "; %" PRIu64 " went meanwhile", dump->gone);
    if (dump->stale > 0)
        fprintf(stderr, "; %" PRIu64 " stale ones left out", dump->stale);
    if (dump->refused > 0)
        fprintf(stderr, "; %" PRIu64 " could not be read", dump->refused);
    fputs("\n", stderr);
}

/* How many items there are, for the progress; 0 if the server does not tell. */
static uint64_t
expect(struct dump *dump, enum ctl_status *status)
{
    struct report report;
    char why[CTL_WHY_MAX];
    uint64_t items = 0;

    *status = report_fetch(&report, dump->values, "", why);
    if (*status != CTL_OK) {
        ask_failed(dump->args, dump->server, *status, why);
        return 0;
    }
    items = report_u64(&report, "curr_items");
    report_free(&report);
    return items;
}

/* Both connections are open. */
static enum ctl_status
dump_linked(struct dump *dump)
{
    enum ctl_status status;
    uint64_t total = expect(dump, &status);

    if (status != CTL_OK)
        return status;
    if (!dump->args->json)
        record_put_begin(dump->output->to, (uint64_t)time(NULL));
    progress_begin(&dump->progress, dump->args, "dumped",
        dump->args->prefix == NULL ? total : 0);
    status = copy_all(dump);
    progress_end(&dump->progress);
    if (status != CTL_OK)
        return status;
    if (!dump->args->json)
        record_put_end(dump->output->to, dump->items);
    dump->whole = true;
    sum_up(dump);
    return dump->refused > 0 ? CTL_REFUSED : CTL_OK;
}

static enum ctl_status
dump_server(const struct args *args, const struct login *login,
    const struct server *server, struct output *output, bool *whole)
{
    struct dump dump = { .args = args, .server = server, .output = output };
    char why[CTL_WHY_MAX];
    enum ctl_status status;

    *whole = false;
    status = ask_open(&dump.keys, server, args, login, why);
    if (status != CTL_OK)
        return ask_failed(args, server, status, why);
    status = ask_open(&dump.values, server, args, login, why);
    if (status == CTL_OK) {
        status = dump_linked(&dump);
        *whole = dump.whole;
        link_close(dump.values);
    } else {
        ask_failed(args, server, status, why);
    }
    link_close(dump.keys);
    return status;
}

enum ctl_status
dump_run(const struct args *args, const struct login *login)
{
    enum ctl_status status = CTL_OK, one;
    struct output output;
    bool whole = true;

    /* Values hold whatever clients store. */
    if (!args->json && args->output == NULL && isatty(STDOUT_FILENO)) {
        ctl_complain("a dump is not for terminals: use --output, a pipe, or --json");
        return CTL_USAGE;
    }
    if (!output_open(&output, args->output))
        return CTL_IO;
    for (unsigned i = 0; i < args->n_servers && whole; i++) {
        /* An item that can't be read does not spoil the others. */
        one = dump_server(args, login, &args->servers[i], &output, &whole);
        status = ctl_worse(status, one);
    }
    if (!output_close(&output, whole))
        status = CTL_IO;
    return status;
}
