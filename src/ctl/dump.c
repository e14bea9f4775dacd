/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dump.c - see dump.h.
 *
 *   lru_crawler metadump hash  -> [ spool ]   all keys, as fast as they come
 *   [ spool ] -> mg KEY v f t u               -> one answer for each, in a window
 *
 * First all keys, then the values. Fetching values while keys are still listed would need
 * no file, but memcached keeps a part of its table locked while it waits for us to read
 * keys: a value from that part is waited for in vain (seen with 1.6.18), and its other
 * clients wait too. So keys are read as fast as they come and kept on disk; larderctl holds
 * a window of them and a buffer of a value's bytes, whatever is stored. An item that goes
 * between the two is a miss and is left out. `u` leaves the order of eviction as it was.
 *
 * The server is asked for no more keys than are wanted (--prefix, --limit). memcached does
 * not know how; then it lists all, and the others are dropped here.
 *
 * The list follows the hash table, because memcached's other way, `all`, passes over items
 * that are in use at that moment.
 *
 * Items marked stale by `md I` are left out: loaded elsewhere they would be fresh again.
 */
#include "ctl/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "ctl/ask.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/show.h"
#include "ctl/spool.h"

/* Values asked for and not yet there; when half of them are, more are asked for. */
#define WINDOW 512u
/* Of commands at once: socket buffers hold two of these even if the server does not read. */
#define BATCH_BYTES 16384u
/* Items whose refusal is told; the rest are only counted. */
#define COMPLAINTS_MAX 5u
#define BUSY_MS 100
/* The command for a list of keys, with a prefix and a number. */
#define LIST_COMMAND_MAX (SHOW_ROOM(RECORD_KEY_MAX) + NUM_U64_MAX + 64)

struct dump {
    const struct args *args;
    const struct server *server;
    struct link *link;
    struct output *output;
    struct spool spool;
    struct progress progress;
    struct record ring[WINDOW]; /* what was asked for */
    uint64_t asked, answered;
    bool all_asked;
    bool whole; /* nothing that can be read is missing */
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
lost(struct dump *dump)
{
    return ask_lost(dump->args, dump->server, dump->link);
}

static enum ctl_status
spool_broken(void)
{
    ctl_complain("the temporary file of keys (TMPDIR): %s", strerror(errno));
    return CTL_IO;
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
        link_step(dump->link);
        if (!link_put_text(dump->link, command) || !link_line(dump->link, line))
            return lost(dump);
        /* The crawler does one thing at a time. */
        if (!slice_starts(*line, SLICE("BUSY")) || clock_micros() >= end)
            return CTL_OK;
        nanosleep(&pause, NULL);
    }
}

#define LIST_COMMAND "lru_crawler metadump hash"

/* The command that lets the server choose the keys; false: all are wanted, or the prefix is
 * longer than any key. */
static bool
filtered_list(const struct args *args, char command[LIST_COMMAND_MAX])
{
    size_t len = args->prefix == NULL ? 0 : strlen(args->prefix);
    char *to = command + snprintf(command, LIST_COMMAND_MAX, LIST_COMMAND);

    if (len > RECORD_KEY_MAX || (len == 0 && args->limit == 0))
        return false;
    if (len > 0) {
        to += sprintf(to, " prefix=");
        to = show_key_put(to, slice_of(args->prefix, len));
    }
    if (args->limit > 0)
        to += sprintf(to, " limit=%" PRIu64, args->limit);
    sprintf(to, "\r\n");
    return true;
}

static bool
is_unknown(struct slice line)
{
    return slice_starts(line, SLICE("BADCLASS")) || slice_starts(line, SLICE("ERROR"));
}

/* Servers that can't choose list everything, and take_key() chooses. Old ones know only
 * "all". */
static enum ctl_status
begin_list(struct dump *dump, struct slice *line)
{
    char command[LIST_COMMAND_MAX];
    enum ctl_status status = CTL_OK;
    bool filtered = filtered_list(dump->args, command);

    if (filtered)
        status = ask_list(dump, command, line);
    if (!filtered || (status == CTL_OK && is_unknown(*line)))
        status = ask_list(dump, LIST_COMMAND "\r\n", line);
    if (status == CTL_OK && is_unknown(*line))
        status = ask_list(dump, "lru_crawler metadump all\r\n", line);
    return status;
}

/* Takes a line of the list. */
static enum ctl_status
take_key(struct dump *dump, struct slice line)
{
    const char *prefix = dump->args->prefix;
    struct record record;

    if (!dump_parse_key(line, &record))
        return refused(dump, line);
    if (prefix != NULL &&
        !slice_starts(slice_of(record.key, record.key_len),
            slice_of(prefix, strlen(prefix))))
        return CTL_OK;
    if (dump->args->limit > 0 && dump->spool.keys == dump->args->limit)
        return CTL_OK;
    return spool_add(&dump->spool, &record) ? CTL_OK : spool_broken();
}

/* All keys into the spool. */
static enum ctl_status
list_keys(struct dump *dump)
{
    struct slice line;
    enum ctl_status status = begin_list(dump, &line);

    progress_begin(&dump->progress, dump->args, "listed", 0);
    /* "OK" came with memcached 1.6.40 or so; before, the list just begins. */
    if (status == CTL_OK && slice_equal(line, SLICE("OK")) && !link_line(dump->link, &line))
        status = lost(dump);
    while (status == CTL_OK && !slice_equal(line, SLICE("END"))) {
        status = take_key(dump, line);
        progress_tell(&dump->progress, dump->spool.keys, 0);
        link_step(dump->link);
        if (status == CTL_OK && !link_line(dump->link, &line))
            status = lost(dump);
    }
    progress_end(&dump->progress);
    if (status == CTL_OK && !spool_rewind(&dump->spool))
        status = spool_broken();
    return status;
}

/* Takes keys and sends their commands, as many as fit. Keys that no command can name are
 * left out. */
static bool
ask_values(struct dump *dump)
{
    size_t bytes = 0;

    link_step(dump->link);
    while (dump->asked - dump->answered < WINDOW && bytes < BATCH_BYTES) {
        struct record *record = &dump->ring[dump->asked % WINDOW];
        char command[RECORD_COMMAND_MAX];
        bool binary;
        char *end;

        if (!spool_next(&dump->spool, record)) {
            dump->all_asked = true;
            break;
        }
        end = record_command(command, "mg", record, &binary);
        if (end == NULL) {
            leave_out(dump, record, SLICE("no command can name this key"));
            continue;
        }
        bytes += (size_t)(end - command);
        dump->asked++;
        if (!link_put(dump->link, command, (size_t)(end - command)) ||
            !link_put_text(dump->link, binary ? " v f t u b\r\n" : " v f t u\r\n"))
            return false;
    }
    return link_flush(dump->link);
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
    const char *why = link_why(dump->link);

    if (json != NULL && dump->args->json) {
        json_base64_end(json);
        json_pair_text(json, "error", slice_of(why, strlen(why)));
        json_end(json, '}');
        json_line(json);
    }
    return lost(dump);
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
        link_step(dump->link);
        if (!link_bytes(dump->link, left < LINK_BYTES ? left : LINK_BYTES, &piece))
            return lost_inside(dump, kept ? &json : NULL);
        left -= piece.len;
        if (kept)
            put_value(dump, &json, piece);
    }
    link_step(dump->link);
    if (!link_line(dump->link, &piece))
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

    link_step(dump->link);
    if (!link_line(dump->link, &line))
        return lost(dump);
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
copy_values(struct dump *dump)
{
    enum ctl_status status = CTL_OK;

    progress_begin(&dump->progress, dump->args, "dumped", dump->spool.keys);
    while (status == CTL_OK && (!dump->all_asked || dump->answered < dump->asked)) {
        if (!dump->all_asked && dump->asked - dump->answered <= WINDOW / 2 &&
            !ask_values(dump))
            status = lost(dump);
        if (status == CTL_OK && dump->answered < dump->asked)
            status = take_value(dump, &dump->ring[dump->answered++ % WINDOW]);
        if (status == CTL_OK && !output_good(dump->output))
            status = CTL_IO; /* output_close() says why */
        progress_tell(&dump->progress, dump->items, dump->bytes);
    }
    progress_end(&dump->progress);
    if (status == CTL_OK && spool_failed(&dump->spool))
        status = spool_broken();
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

/* Connected, and there is a spool. */
static enum ctl_status
copy_all(struct dump *dump)
{
    enum ctl_status status = list_keys(dump);

    if (status != CTL_OK)
        return status;
    if (!dump->args->json)
        record_put_begin(dump->output->to, (uint64_t)time(NULL));
    status = copy_values(dump);
    if (status != CTL_OK)
        return status;
    if (!dump->args->json)
        record_put_end(dump->output->to, dump->items);
    dump->whole = true;
    sum_up(dump);
    return dump->refused > 0 ? CTL_REFUSED : CTL_OK;
}

static enum ctl_status
dump_server(struct dump *dump, const struct login *login)
{
    char why[CTL_WHY_MAX];
    enum ctl_status status;

    if (!spool_open(&dump->spool))
        return spool_broken();
    status = ask_open(&dump->link, dump->server, dump->args, login, why);
    if (status == CTL_OK) {
        status = copy_all(dump);
        link_close(dump->link);
    } else {
        ask_failed(dump->args, dump->server, status, why);
    }
    spool_close(&dump->spool);
    return status;
}

static enum ctl_status
dump_servers(const struct args *args, const struct login *login, struct output *output,
    bool *whole)
{
    struct dump *dump = malloc(sizeof *dump);
    enum ctl_status status = CTL_OK;

    *whole = dump != NULL;
    if (dump == NULL)
        ctl_complain("out of memory");
    for (unsigned i = 0; i < args->n_servers && *whole; i++) {
        *dump = (struct dump){ .args = args, .server = &args->servers[i],
            .output = output };
        status = ctl_worse(status, dump_server(dump, login));
        /* An item that can't be read does not spoil the others. */
        *whole = dump->whole;
    }
    free(dump);
    return *whole || status != CTL_OK ? status : CTL_IO;
}

enum ctl_status
dump_run(const struct args *args, const struct login *login)
{
    enum ctl_status status;
    struct output output;
    bool whole;

    /* Values hold whatever clients store. */
    if (!args->json && args->output == NULL && isatty(STDOUT_FILENO)) {
        ctl_complain("a dump is not for terminals: use --output, a pipe, or --json");
        return CTL_USAGE;
    }
    if (!output_open(&output, args->output))
        return CTL_IO;
    status = dump_servers(args, login, &output, &whole);
    if (!output_close(&output, whole))
        status = CTL_IO;
    return status;
}
