/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects admin/watch and admin/watch_line: the lines that tools for memcached parse, and
 * that a watcher who does not read costs a fixed amount of memory and holds up nobody.
 */
#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/watch.h"
#include "admin/watch_line.h"
#include "base/journal.h"
#include "fixture.h"

#define PATIENCE_S 30
#define RING       (1u << 20)

static struct fixture fixture;
static struct journal_writer *writer;
static sem_t woken;

static void
on_wake(void *context)
{
    (void)context;
    sem_post(&woken);
}

static void
open_with(uint32_t buffer_size)
{
    sem_init(&woken, 0, 0);
    fixture_init(&fixture);
    fixture.options.watcher_logbuf_size = buffer_size;
    fixture.journal = journal_create(RING);
    ck_assert_ptr_nonnull(fixture.journal);
    fixture.wake = on_wake;
    fixture_start(&fixture);
    ck_assert_int_eq(admin_start(fixture.admin), 0);
    writer = journal_open(fixture.journal);
    ck_assert_ptr_nonnull(writer);
}

static void
setup(void)
{
    open_with(65536);
}

static void
teardown(void)
{
    journal_close(writer);
    fixture_close(&fixture);
    journal_destroy(fixture.journal);
    sem_destroy(&woken);
}

static void
tell(enum journal_stream stream, const char *key)
{
    struct journal_event event = {
        .kind = JOURNAL_GET, .stream = (uint8_t)stream, .status = "found"
    };

    journal_put(writer, &event, slice_of(key, strlen(key)));
}

/* Reads on until `n` line ends have come. */
static void
hear(struct stream *stream, unsigned n)
{
    struct timespec until;
    unsigned ends;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    for (;;) {
        size_t before = fixture.reply_len;

        ck_assert(fixture_fill(&fixture, stream));
        ends = 0;
        for (size_t i = 0; i < fixture.reply_len; i++)
            ends += fixture.reply[i] == '\n';
        if (ends >= n)
            return;
        if (fixture.reply_len > before)
            continue;
        while (sem_timedwait(&woken, &until) != 0)
            ck_assert_int_eq(errno, EINTR);
    }
}

static uint64_t
stat_of(const char *name)
{
    const char *value;

    fixture_ask(&fixture, "stats");
    value = fixture_stat(&fixture, name);
    ck_assert_ptr_nonnull(value);
    return strtoull(value, NULL, 10);
}

/* A made-up event with its numbers fixed, as a line. */
static void
expect_line(struct journal_event event, const char *text, const char *line)
{
    char got[WATCH_LINE_MAX];
    size_t len;

    event.number = 7;
    event.micros = UINT64_C(1700000000000042);
    event.len = (uint16_t)strlen(text);
    len = watch_line(&event, text, got);
    ck_assert_int_eq(got[len - 1], '\n');
    got[len - 1] = '\0';
    ck_assert_str_eq(got, line);
}

#define HEAD "ts=1700000000.000042 gid=7 type="

START_TEST(lines_are_memcacheds)
{
    expect_line((struct journal_event){ .kind = JOURNAL_GET, .status = "found", .class = 3,
                    .fd = 18, .size = 40 },
        "a%b:c", HEAD "item_get key=a%25b%3Ac status=found clsid=3 cfd=18 size=40");
    expect_line((struct journal_event){ .kind = JOURNAL_STORE, .status = "exists",
                    .word = "cas", .ttl = 100, .class = 2, .fd = 9, .size = 1 },
        "k", HEAD "item_store key=k status=exists cmd=cas ttl=100 clsid=2 cfd=9 size=1");
    expect_line((struct journal_event){
                    .kind = JOURNAL_DELETE, .word = "md", .class = 4, .size = 17 },
        "k", HEAD "deleted key=k cmd=md clsid=4 size=17");
    expect_line((struct journal_event){ .kind = JOURNAL_EVICTION, .ttl = -1, .idle = 12,
                    .class = 25, .size = 20000 },
        "k308", HEAD "eviction key=k308 fetch=no ttl=-1 la=12 clsid=25 size=20000");
    expect_line((struct journal_event){
                    .kind = JOURNAL_SLAB_MOVE, .source = 3, .class = 0, .word = "done" },
        "", HEAD "slab_move src=3 dst=0 state=done");
    expect_line((struct journal_event){ .kind = JOURNAL_TLS_ERROR, .fd = 5 },
        "wrong version number", HEAD "conntlserr fd=5 msg=wrong_version_number");
    expect_line((struct journal_event){ .kind = JOURNAL_SWEEP, .ttl = 50, .size = 2 }, "",
        HEAD "lru_crawler crawler=0 lru=cold low_mark=0 next_reclaims=0 since_run=1 "
             "next_run=1 elapsed=0 examined=50 reclaimed=2");
}
END_TEST

START_TEST(peers_are_shown_by_address_and_port)
{
    struct journal_event come = {
        .kind = JOURNAL_CONN_NEW, .status = "tcp", .fd = 21
    };
    struct journal_event go = {
        .kind = JOURNAL_CONN_CLOSE, .status = "tcp", .word = "normal", .fd = 21
    };
    struct journal_event local = {
        .kind = JOURNAL_CONN_NEW, .status = "local", .fd = 3
    };

    expect_line(come, "tcp:127.0.0.1:42552",
        HEAD "conn_new rip=127.0.0.1 rport=42552 transport=tcp cfd=21");
    expect_line(go, "tcp6:[::1]:5",
        HEAD "conn_close rip=::1 rport=5 transport=tcp reason=normal cfd=21");
    expect_line(local, "?:<AF 0>",
        HEAD "conn_new rip=unix rport=0 transport=local cfd=3");
    expect_line(local, "unix:/a:b",
        HEAD "conn_new rip=unix rport=0 transport=local cfd=3");
    /* One that has gone already has no address. */
    expect_line(go, "?:<AF 0>",
        HEAD "conn_close rip=unknown rport=0 transport=tcp reason=normal cfd=21");
}
END_TEST

START_TEST(the_longest_line_fits)
{
    char text[JOURNAL_TEXT_MAX], line[WATCH_LINE_MAX];
    struct journal_event event = {
        .number = UINT64_MAX, .micros = UINT64_MAX, .ttl = INT64_MIN, .size = UINT64_MAX,
        .idle = UINT32_MAX, .fd = INT32_MIN, .source = INT16_MIN, .class = 255,
        .status = "not_stored", .word = "prepend", .len = sizeof text,
    };

    memset(text, 0xff, sizeof text);
    for (unsigned kind = JOURNAL_GET; kind <= JOURNAL_SWEEP; kind++) {
        event.kind = (uint8_t)kind;
        ck_assert_uint_le(watch_line(&event, text, line), sizeof line);
    }
}
END_TEST

START_TEST(a_watcher_sees_its_streams_and_no_others)
{
    struct stream *stream = fixture_stream(&fixture, "watch evictions mutations");

    ck_assert_ptr_nonnull(stream);
    ck_assert(stream->live);
    ck_assert_str_eq(fixture.reply, "OK\r\n");
    ck_assert_uint_eq(atomic_load(journal_wanted(fixture.journal)),
        JOURNAL_BIT(JOURNAL_EVICTIONS) | JOURNAL_BIT(JOURNAL_MUTATIONS));
    tell(JOURNAL_FETCHERS, "not-this");
    tell(JOURNAL_EVICTIONS, "this");
    tell(JOURNAL_DELETIONS, "nor-this");
    tell(JOURNAL_MUTATIONS, "and-this");
    hear(stream, 3);
    ck_assert_ptr_nonnull(strstr(fixture.reply, "gid=2 type=item_get key=this "));
    ck_assert_ptr_nonnull(strstr(fixture.reply, "gid=4 type=item_get key=and-this "));
    ck_assert_ptr_null(strstr(fixture.reply, "not-this"));
    ck_assert_ptr_null(strstr(fixture.reply, "nor-this"));
    stream->close(stream);
    ck_assert_uint_eq(atomic_load(journal_wanted(fixture.journal)), 0);
}
END_TEST

START_TEST(no_stream_is_fetchers_and_silent_ones_are_accepted)
{
    struct stream *stream = fixture_stream(&fixture, "watch");

    ck_assert_uint_eq(
        atomic_load(journal_wanted(fixture.journal)), JOURNAL_BIT(JOURNAL_FETCHERS));
    stream->close(stream);
    stream = fixture_stream(
        &fixture, "watch fetchers mutations deletions evictions connevents sysevents "
                  "rawcmds proxyreqs proxyevents proxyuser");
    ck_assert_ptr_nonnull(stream);
    stream->close(stream);
}
END_TEST

START_TEST(the_twenty_first_is_refused_until_one_leaves)
{
    struct stream *streams[WATCHERS_MAX];

    for (unsigned i = 0; i < WATCHERS_MAX; i++) {
        streams[i] = fixture_stream(&fixture, "watch");
        ck_assert_ptr_nonnull(streams[i]);
    }
    ck_assert_ptr_null(fixture_stream(&fixture, "watch"));
    ck_assert_str_eq(fixture.reply, "WATCHER_TOO_MANY log watcher limit reached\r\n");
    ck_assert_uint_eq(stat_of("log_watchers"), WATCHERS_MAX);
    streams[7]->close(streams[7]);
    streams[7] = fixture_stream(&fixture, "watch");
    ck_assert_ptr_nonnull(streams[7]);
    for (unsigned i = 0; i < WATCHERS_MAX; i++)
        streams[i]->close(streams[i]);
    ck_assert_uint_eq(stat_of("log_watchers"), 0);
}
END_TEST

START_TEST(refusals_are_memcacheds)
{
    ck_assert_str_eq(fixture_ask(&fixture, "watch everything"), "ERROR\r\n");
    ck_assert_str_eq(fixture_ask(&fixture, "watch fetchers nonsense"), "ERROR\r\n");
    ck_assert_str_eq(fixture_ask_late(&fixture, "watch", ADMIN_ROOM),
        "ERROR cannot pipeline other commands before watch\r\n");
    fixture.options.watch_allowed = false;
    ck_assert_str_eq(fixture_ask(&fixture, "watch"),
        "CLIENT_ERROR watch commands not allowed\r\n");
    fixture.options.watch_allowed = true;
    fixture.wake = NULL; /* as over UDP */
    ck_assert_str_eq(fixture_ask(&fixture, "watch"),
        "WATCHER_FAILED failed to add log watcher\r\n");
}
END_TEST

START_TEST(a_slow_watcher_skips_lines_and_is_told_how_many)
{
    enum { LINES = 1000 };
    struct stream *slow, *quick;
    uint64_t sent, skipped;
    const char *told;
    unsigned lines = 0;

    teardown();
    open_with(2000);
    slow = fixture_stream(&fixture, "watch");
    ck_assert_ptr_nonnull(slow);
    quick = fixture_stream(&fixture, "watch mutations");
    for (unsigned i = 0; i < LINES; i++)
        tell(JOURNAL_FETCHERS, "a-key-of-some-length");
    tell(JOURNAL_MUTATIONS, "last");
    fixture.reply_len = 0;
    hear(quick, 1); /* so all before has gone to the slow one, or not */
    sent = stat_of("log_watcher_sent");
    skipped = stat_of("log_watcher_skipped");
    ck_assert_uint_eq(sent + skipped, LINES + 1);
    ck_assert_uint_ge(sent, 5);
    ck_assert_uint_le(sent, 1 + 2000 / strlen("ts=1700000000.000000 gid=1"));
    fixture.reply_len = 0;
    hear(slow, (unsigned)sent - 1);
    tell(JOURNAL_FETCHERS, "after");
    hear(slow, (unsigned)sent + 1);
    told = strstr(fixture.reply, "skipped=");
    ck_assert_ptr_nonnull(told);
    ck_assert_uint_eq(strtoull(told + 8, NULL, 10), skipped);
    ck_assert_ptr_nonnull(strstr(told, "key=after "));
    for (const char *at = fixture.reply; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    ck_assert_uint_eq(lines, sent + 1);
    slow->close(slow);
    quick->close(quick);
}
END_TEST

START_TEST(a_watcher_may_leave_with_lines_unread)
{
    struct stream *first = fixture_stream(&fixture, "watch");
    struct stream *second = fixture_stream(&fixture, "watch");

    for (unsigned i = 0; i < 100; i++)
        tell(JOURNAL_FETCHERS, "k");
    first->close(first);
    fixture.reply_len = 0;
    hear(second, 100);
    second->close(second);
}
END_TEST

START_TEST(a_reset_takes_the_figures_back)
{
    struct stream *stream = fixture_stream(&fixture, "watch");

    tell(JOURNAL_FETCHERS, "k");
    fixture.reply_len = 0;
    hear(stream, 1);
    ck_assert_uint_eq(stat_of("log_worker_written"), 1);
    ck_assert_uint_eq(stat_of("log_watcher_sent"), 1);
    ck_assert_str_eq(fixture_ask(&fixture, "stats reset"), "RESET\r\n");
    ck_assert_uint_eq(stat_of("log_worker_written"), 0);
    ck_assert_uint_eq(stat_of("log_watcher_sent"), 0);
    ck_assert_uint_eq(stat_of("log_watchers"), 1);
    stream->close(stream);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("watch");
    TCase *lines = tcase_create("lines"), *tc = tcase_create("watchers");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, lines);
    tcase_add_test(lines, lines_are_memcacheds);
    tcase_add_test(lines, peers_are_shown_by_address_and_port);
    tcase_add_test(lines, the_longest_line_fits);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_watcher_sees_its_streams_and_no_others);
    tcase_add_test(tc, no_stream_is_fetchers_and_silent_ones_are_accepted);
    tcase_add_test(tc, the_twenty_first_is_refused_until_one_leaves);
    tcase_add_test(tc, refusals_are_memcacheds);
    tcase_add_test(tc, a_slow_watcher_skips_lines_and_is_told_how_many);
    tcase_add_test(tc, a_watcher_may_leave_with_lines_unread);
    tcase_add_test(tc, a_reset_takes_the_figures_back);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
