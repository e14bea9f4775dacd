/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/watch_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin/escape.h"
#include "base/assert.h"

/* The line so far. */
struct line {
    char *at;
    char *end;
};

static void put(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct line *line, const char *format, ...)
{
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(line->at, (size_t)(line->end - line->at), format, arguments);
    va_end(arguments);
    assert(len >= 0);
    assert(len < line->end - line->at);
    line->at += len;
}

static void
put_key(struct line *line, const struct journal_event *event, const char *text)
{
    put(line, " key=");
    line->at = escape_percent(line->at, slice_of(text, event->len));
}

/* "tcp:1.2.3.4:5", "tcp6:[::1]:5", "udp:...", "unix:/path" or "?:<AF 0>", as `stats conns`
 * shows them. A unix socket's other end seldom has a name, so the status tells it. */
static void
put_peer(struct line *line, const struct journal_event *event, const char *text)
{
    const char *begin = memchr(text, ':', event->len);
    const char *end = text + event->len, *port = end;
    int len;

    if (strcmp(event->status, "local") == 0) {
        put(line, " rip=unix rport=0 transport=local");
        return;
    }
    begin = begin == NULL ? text : begin + 1;
    while (port > begin && port[-1] != ':')
        port--;
    if (port == begin || *text == '?') {
        put(line, " rip=unknown rport=0 transport=%s", event->status);
        return;
    }
    len = (int)(port - 1 - begin);
    if (len >= 2 && *begin == '[') {
        begin++;
        len -= 2;
    }
    put(line, " rip=%.*s rport=%.*s transport=%s", len, begin, (int)(end - port), port,
        event->status);
}

/* One word: a text in a line of words. */
static void
put_words(struct line *line, const struct journal_event *event, const char *text)
{
    for (unsigned i = 0; i < event->len; i++)
        put(line, "%c", text[i] > ' ' && text[i] < 0x7f ? text[i] : '_');
}

static void
put_get(struct line *line, const struct journal_event *event, const char *text)
{
    put(line, "item_get");
    put_key(line, event, text);
    put(line, " status=%s clsid=%u cfd=%d size=%" PRIu64, event->status, event->class,
        event->fd, event->size);
}

static void
put_store(struct line *line, const struct journal_event *event, const char *text)
{
    put(line, "item_store");
    put_key(line, event, text);
    put(line, " status=%s cmd=%s ttl=%" PRId64 " clsid=%u cfd=%d size=%" PRIu64,
        event->status, event->word, event->ttl, event->class, event->fd, event->size);
}

static void
put_delete(struct line *line, const struct journal_event *event, const char *text)
{
    put(line, "deleted");
    put_key(line, event, text);
    put(line, " cmd=%s clsid=%u size=%" PRIu64, event->word, event->class, event->size);
}

static void
put_eviction(struct line *line, const struct journal_event *event, const char *text)
{
    put(line, "eviction");
    put_key(line, event, text);
    put(line, " fetch=%s ttl=%" PRId64 " la=%u clsid=%u size=%" PRIu64,
        event->fetched ? "yes" : "no", event->ttl, event->idle, event->class,
        event->size);
}

static void
put_conn(struct line *line, const struct journal_event *event, const char *text)
{
    put(line, event->kind == JOURNAL_CONN_NEW ? "conn_new" : "conn_close");
    put_peer(line, event, text);
    if (event->kind == JOURNAL_CONN_CLOSE)
        put(line, " reason=%s", event->word);
    put(line, " cfd=%d", event->fd);
}

/* memcached's crawler has a run for each class and queue; the sweep has one for all. */
static void
put_sweep(struct line *line, const struct journal_event *event)
{
    put(line,
        "lru_crawler crawler=0 lru=cold low_mark=0 next_reclaims=0 since_run=1 next_run=1 "
        "elapsed=0 examined=%" PRId64 " reclaimed=%" PRIu64,
        event->ttl, event->size);
}

size_t
watch_line(const struct journal_event *event, const char *text,
    char line_out[WATCH_LINE_MAX])
{
    struct line line = { line_out, line_out + WATCH_LINE_MAX };

    put(&line, "ts=%" PRIu64 ".%06" PRIu64 " gid=%" PRIu64 " type=",
        event->micros / 1000000, event->micros % 1000000, event->number);
    switch ((enum journal_kind)event->kind) {
    case JOURNAL_GET:
        put_get(&line, event, text);
        break;
    case JOURNAL_STORE:
        put_store(&line, event, text);
        break;
    case JOURNAL_DELETE:
        put_delete(&line, event, text);
        break;
    case JOURNAL_EVICTION:
        put_eviction(&line, event, text);
        break;
    case JOURNAL_CONN_NEW:
    case JOURNAL_CONN_CLOSE:
        put_conn(&line, event, text);
        break;
    case JOURNAL_TLS_ERROR:
        put(&line, "conntlserr fd=%d msg=", event->fd);
        put_words(&line, event, text);
        break;
    case JOURNAL_SLAB_MOVE:
        put(&line, "slab_move src=%d dst=%u state=%s", event->source, event->class,
            event->word);
        break;
    case JOURNAL_SWEEP:
        put_sweep(&line, event);
        break;
    }
    *line.at++ = '\n';
    return (size_t)(line.at - line_out);
}
