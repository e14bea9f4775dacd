/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.c - see load.h.
 *
 *   dump -> [ source ] -> ms KEY LEN F.. T.. -> [ link ] -> server
 *                                    answers <- ring of the keys that wait for one
 *
 * Commands go out without waiting for their answers, up to WINDOW of them: their answers
 * fit into the link's buffer, so neither side can block the other. A server that is slow
 * slows down the reading of the dump. A refusal is counted, told for the first few, and
 * the rest goes on.
 */
#include "ctl/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "ctl/progress.h"
#include "ctl/record.h"
#include "ctl/show.h"
#include "ctl/source.h"

/* Answers are short; the longest refusal has under 128 bytes. */
#define WINDOW 512u
#define COMPLAINTS_MAX 5u
/* Longer times are dates, and a date is read as 32 bits. */
#define RELATIVE_MAX 2592000u
#define DATE_MAX 2147483647u

struct waiting {
    uint8_t len;
    char key[RECORD_KEY_MAX];
};

struct load {
    const struct args *args;
    const struct server *server;
    struct link *link;
    struct progress progress;
    uint64_t sent, answered; /* commands */
    uint64_t items, bytes, kept, expired, refused;
    uint64_t in_dump; /* items since the last begin */
    bool inside;      /* a dump has begun and not ended */
    struct waiting ring[WINDOW];
    struct source source;
};

static enum ctl_status
lost(struct load *load)
{
    return ask_lost(load->args, load->server, load->link);
}

static enum ctl_status
not_whole(struct load *load, const char *what)
{
    /* Nothing is read from the dump any more once the link has failed. */
    if (link_why(load->link)[0] != '\0')
        return lost(load);
    if (load->source.error != 0)
        ctl_complain("the dump: %s", strerror(load->source.error));
    else
        ctl_complain("the dump: %s after %" PRIu64 " items", what, load->in_dump);
    return CTL_IO;
}

static void
complain(struct load *load, struct slice key, struct slice why)
{
    char shown[SHOW_ROOM(RECORD_KEY_MAX)];
    char *end = show_key_put(shown, key);

    if (load->refused++ < COMPLAINTS_MAX)
        ctl_complain("%s: %.*s: %.*s", load->server->text, (int)(end - shown), shown,
            (int)(why.len < 200 ? why.len : 200), why.data);
}

/* Reads the answer to the command that waits longest. */
static enum ctl_status
take_answer(struct load *load)
{
    const struct waiting *waiting = &load->ring[load->answered % WINDOW];
    struct slice line;

    link_step(load->link);
    if (!link_line(load->link, &line))
        return lost(load);
    load->answered++;
    if (slice_starts(line, SLICE("HD"))) {
        load->items++;
    } else if (slice_starts(line, SLICE("NS")) && load->args->keep) {
        load->kept++;
    } else if (slice_starts(line, SLICE("NS")) ||
        slice_starts(line, SLICE("CLIENT_ERROR ")) ||
        slice_starts(line, SLICE("SERVER_ERROR "))) {
        complain(load, slice_of(waiting->key, waiting->len), line);
    } else {
        char why[CTL_WHY_MAX];

        snprintf(why, sizeof why, "%.*s", (int)(line.len < 200 ? line.len : 200),
            line.data);
        return ask_failed(load->args, load->server, CTL_REFUSED, why);
    }
    return CTL_OK;
}

/* Reads answers: those that are here, and more until at most `most` are missing. */
static enum ctl_status
take_answers(struct load *load, uint64_t most)
{
    enum ctl_status status = CTL_OK;

    while (status == CTL_OK && load->answered < load->sent &&
        (load->sent - load->answered > most || link_has_line(load->link)))
        status = take_answer(load);
    return status;
}

/* Puts the command for a record. False: the link failed. *named: could it be said? */
static bool
put_command(struct load *load, const struct record *record, uint64_t now, bool *named)
{
    char command[RECORD_COMMAND_MAX];
    uint64_t left = record->expires > now ? record->expires - now : 0, time_flag = left;
    bool binary;
    char *end = record_command(command, "ms", record, &binary);

    *named = end != NULL;
    if (end == NULL)
        return true;
    if (left > RELATIVE_MAX)
        time_flag = record->expires < DATE_MAX ? record->expires : DATE_MAX;
    end += snprintf(end, (size_t)(command + sizeof command - end),
        " %" PRIu64 " F%" PRIu32 " T%" PRIu64 "%s%s\r\n", record->bytes, record->flags,
        time_flag, load->args->keep ? " ME" : "", binary ? " b" : "");
    return link_put(load->link, command, (size_t)(end - command));
}

/* Moves the value's bytes, and takes the LF behind them; `sent`: to the server too. */
static enum ctl_status
move_value(struct load *load, uint64_t left, bool sent)
{
    struct slice piece;

    while (left > 0) {
        if (!source_bytes(&load->source, left < SOURCE_BYTES ? left : SOURCE_BYTES, &piece))
            return not_whole(load, "it ends inside a value");
        left -= piece.len;
        link_step(load->link);
        if (sent && !link_put(load->link, piece.data, piece.len))
            return lost(load);
    }
    if (!source_bytes(&load->source, 1, &piece) || *piece.data != '\n')
        return not_whole(load, "a value has another length than its line says");
    link_step(load->link);
    if (sent && !link_put_text(load->link, "\r\n"))
        return lost(load);
    return CTL_OK;
}

static enum ctl_status
load_item(struct load *load, const struct record *record)
{
    struct waiting *waiting = &load->ring[load->sent % WINDOW];
    uint64_t now = (uint64_t)time(NULL);
    enum ctl_status status = take_answers(load, WINDOW - 1);
    bool named = true;

    if (status != CTL_OK)
        return status;
    if (record->expires != 0 && record->expires <= now) {
        load->expired++;
        return move_value(load, record->bytes, false);
    }
    link_step(load->link);
    if (!put_command(load, record, now, &named))
        return lost(load);
    if (!named) {
        complain(load, slice_of(record->key, record->key_len),
            SLICE("no command can name this key"));
        return move_value(load, record->bytes, false);
    }
    waiting->len = (uint8_t)record->key_len;
    memcpy(waiting->key, record->key, record->key_len);
    status = move_value(load, record->bytes, true);
    if (status == CTL_OK) {
        load->sent++;
        load->bytes += record->bytes;
    }
    return status;
}

/* Works on one line of the dump. */
static enum ctl_status
load_line(struct load *load, struct slice line)
{
    struct record record;
    uint64_t number;

    switch (record_parse(line, &record, &number)) {
    case RECORD_BEGIN:
        if (load->inside)
            return not_whole(load, "it breaks off, and another begins,");
        load->inside = true;
        load->in_dump = 0;
        return CTL_OK;
    case RECORD_ITEM:
        if (!load->inside)
            return not_whole(load, "does not begin like one,");
        load->in_dump++;
        return load_item(load, &record);
    case RECORD_END:
        if (!load->inside || number != load->in_dump)
            return not_whole(load, "its end does not fit");
        load->inside = false;
        return CTL_OK;
    case RECORD_TOO_NEW:
        return not_whole(load, "is of a version that is not known here,");
    case RECORD_BAD:
        break;
    }
    return not_whole(load, load->inside ? "makes no sense" : "this is none,");
}

static enum ctl_status
load_all(struct load *load)
{
    enum ctl_status status = CTL_OK;
    struct slice line;

    while (status == CTL_OK && source_line(&load->source, RECORD_LINE_MAX, &line)) {
        status = load_line(load, line);
        progress_tell(&load->progress, load->sent, load->bytes);
    }
    if (link_why(load->link)[0] != '\0')
        return status != CTL_OK ? status : lost(load);
    if (status == CTL_OK && (load->inside || !load->source.ended ||
        load->source.at < load->source.end))
        status = not_whole(load, "it breaks off");
    return status;
}

/* Sends what waits before the dump is waited for, and hears what the server says. */
static bool
before_read(void *context)
{
    struct load *load = context;

    link_step(load->link);
    return link_flush(load->link);
}

/* A server that does not know meta commands would take values for commands. */
static enum ctl_status
greet(struct load *load)
{
    char why[CTL_WHY_MAX];
    struct slice line;

    link_step(load->link);
    /* The blanks: servers with -Y close on a shorter line instead of saying why. */
    if (!link_put_text(load->link, "mn    \r\n") || !link_line(load->link, &line))
        return lost(load);
    if (slice_equal(line, SLICE("MN")))
        return CTL_OK;
    snprintf(why, sizeof why, "no meta commands: %.*s",
        (int)(line.len < 200 ? line.len : 200), line.data);
    return ask_failed(load->args, load->server, CTL_REFUSED, why);
}

static void
sum_up(const struct load *load, bool whole)
{
    char size[PROGRESS_SIZE_MAX];

    if (load->args->json) {
        struct json json = { .to = stdout };

        ask_json(&json, load->server);
        json_pair_u64(&json, "loaded", load->items);
        json_pair_u64(&json, "bytes", load->bytes);
        json_pair_u64(&json, "kept", load->kept);
        json_pair_u64(&json, "expired", load->expired);
        json_pair_u64(&json, "refused", load->refused);
        json_name(&json, SLICE("whole"));
        json_bool(&json, whole);
        ask_json_end(&json);
    }
    if (load->args->quiet)
        return;
    fprintf(stderr, "%s: loaded %" PRIu64 " items, %s", load->server->text, load->items,
        progress_size(size, load->bytes));
    if (load->kept > 0)
        fprintf(stderr, "; %" PRIu64 " were there already", load->kept);
    if (load->expired > 0)
        fprintf(stderr, "; %" PRIu64 " had expired", load->expired);
    if (load->refused > 0)
        fprintf(stderr, "; %" PRIu64 " were refused", load->refused);
    fputs("\n", stderr);
}

static enum ctl_status
load_linked(struct load *load)
{
    enum ctl_status status = greet(load);

    if (status != CTL_OK)
        return status;
    progress_begin(&load->progress, load->args, "loaded", 0);
    status = load_all(load);
    /* Also what was sent before the dump turned out to be broken gets its answers. */
    if (status == CTL_OK || status == CTL_IO)
        status = ctl_worse(status, take_answers(load, 0));
    progress_end(&load->progress);
    sum_up(load, status == CTL_OK);
    if (status == CTL_OK && load->refused > 0)
        return CTL_REFUSED;
    return status;
}

enum ctl_status
load_run(const struct args *args, const struct login *login)
{
    const char *path = args->n_words > 0 ? args->words[0] : "-";
    struct load *load = calloc(1, sizeof *load);
    char why[CTL_WHY_MAX];
    enum ctl_status status = CTL_IO;
    int fd = STDIN_FILENO;

    if (load == NULL) {
        ctl_complain("out of memory");
        return CTL_IO;
    }
    if (strcmp(path, "-") != 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ctl_complain("%s: %s", path, strerror(errno));
        goto out;
    }
    load->args = args;
    load->server = &args->servers[0];
    source_init(&load->source, fd, before_read, load);
    status = ask_open(&load->link, load->server, args, login, why);
    if (status != CTL_OK) {
        ask_failed(args, load->server, status, why);
        goto out;
    }
    status = load_linked(load);
    link_close(load->link);
out:
    if (fd > STDIN_FILENO)
        close(fd);
    free(load);
    return status;
}
