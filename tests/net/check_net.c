/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects net: whatever a client does - send in pieces, send thousands of commands at
 * once, close its side, not read, vanish - it gets the answers of what it asked in order,
 * others get theirs, and nothing of it stays behind. The service is a toy: see toy.h.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "toy.h"

static struct toy_server *
started(void)
{
    struct toy_server *server = toy_server_create();

    toy_server_start(server);
    ck_assert_int_eq(server->status, 0);
    return server;
}

static struct net_figures
figures_of(struct toy_server *server)
{
    struct net_figures figures;

    net_figures(server->net, &figures);
    return figures;
}

static struct counts
counts_of(struct toy_server *server)
{
    struct counts counts;

    memset(&counts, 0, sizeof counts);
    net_counts(server->net, &counts);
    return counts;
}

START_TEST(commands_in_one_piece_are_answered_in_order)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);

    toy_say(fd, "echo one\necho two\necho three\n");
    toy_hear(fd, "one\ntwo\nthree\n");
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_command_cut_anywhere_is_answered_alike)
{
    static const char ASK[] = "echo a\nup 5\nxyzabecho b\npin 3\necho c\n";
    static const char REPLY[] = "a\nup 558\nb\nabc\nc\n";
    struct toy_server *server = started();

    for (size_t cut = 1; cut < sizeof ASK - 1; cut++) {
        int fd = toy_connect(server);
        toy_send(fd, ASK, cut);
        toy_sleep_ms(2);
        toy_send(fd, ASK + cut, sizeof ASK - 1 - cut);
        toy_hear(fd, REPLY);
        close(fd);
    }
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_client_that_sends_single_bytes_is_served)
{
    static const char ASK[] = "echo slow\n";
    struct toy_server *server = started();
    int fd = toy_connect(server);

    for (size_t i = 0; i < sizeof ASK - 1; i++) {
        toy_send(fd, ASK + i, 1);
        toy_sleep_ms(1);
    }
    toy_hear(fd, "slow\n");
    for (int i = 0; i < 120000 && figures_of(server).kept_count > 0; i++)
        toy_sleep_ms(1);
    ck_assert_uint_eq(figures_of(server).kept_count, 0); /* it owns nothing when idle */
    ck_assert_uint_eq(figures_of(server).kept_bytes, 0);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

#define PIPELINE 5000

static void
send_pipeline(int fd)
{
    char *ask = malloc(PIPELINE * 16), *at = ask;

    ck_assert_ptr_nonnull(ask);
    for (int i = 0; i < PIPELINE; i++)
        at += sprintf(at, "echo %d\n", i);
    toy_send(fd, ask, (size_t)(at - ask));
    free(ask);
}

static void
hear_pipeline(int fd)
{
    char *want = malloc(PIPELINE * 16), *at = want;

    ck_assert_ptr_nonnull(want);
    for (int i = 0; i < PIPELINE; i++)
        at += sprintf(at, "%d\n", i);
    toy_hear(fd, want);
    free(want);
}

START_TEST(a_deep_pipeline_is_answered_whole)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);

    send_pipeline(fd);
    hear_pipeline(fd);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

/* What a read brings at most: src/net/conn.h. */
#define READ_SIZE 24576

static const int LENGTHS[] = { READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, 2 * READ_SIZE,
    2 * READ_SIZE + 5 };

/* The poller tells once of what has come, so the rest of it has to be remembered. */
START_TEST(what_is_left_by_a_full_read_is_read_though_nothing_more_comes)
{
    struct toy_server *server = started();
    int fd = toy_connect(server), len = LENGTHS[_i];
    char *said = malloc((size_t)len);

    ck_assert_ptr_nonnull(said);
    for (int round = 0; round < 3; round++) {
        for (int at = 0; at < len;) {
            int line = len - at < 200 ? len - at : 100;
            memset(said + at, '0' + round, (size_t)line);
            memcpy(said + at, "echo ", 5);
            said[at + line - 1] = '\n';
            at += line;
        }
        toy_send(fd, said, (size_t)len);
        for (int at = 0; at < len;) {
            char heard[200];
            int line = len - at < 200 ? len - at : 100;
            toy_read(fd, heard, (size_t)line - 5);
            ck_assert_mem_eq(heard, said + at + 5, (size_t)line - 5);
            at += line;
        }
    }
    shutdown(fd, SHUT_WR);
    toy_hear_end(fd);
    close(fd);
    free(said);
    toy_server_destroy(server);
}
END_TEST

/* Both are known before the first byte is read. */
START_TEST(an_end_that_comes_with_the_last_command_is_seen)
{
    struct toy_server *server = started();

    for (int i = 0; i < 200; i++) {
        int fd = toy_connect(server);
        toy_say(fd, "echo one\necho two\n");
        shutdown(fd, SHUT_WR);
        toy_hear(fd, "one\ntwo\n");
        toy_hear_end(fd);
        close(fd);
    }
    ck_assert(toy_wait(&server->toy.sessions, 0));
    toy_server_destroy(server);
}
END_TEST

START_TEST(deep_pipelines_take_turns)
{
    struct toy_server *server = toy_server_create();
    int fds[8];

    server->options.threads = 1;
    server->options.requests_per_event = 1;
    toy_server_start(server);
    for (int i = 0; i < 8; i++)
        fds[i] = toy_connect(server);
    for (int i = 0; i < 8; i++)
        send_pipeline(fds[i]);
    for (int i = 0; i < 8; i++) {
        hear_pipeline(fds[i]);
        close(fds[i]);
    }
    ck_assert_uint_gt(counts_of(server).conn_yields, 0);
    toy_server_destroy(server);
}
END_TEST

/* Of what a turn has for all together each has his part, however much he asks for, and who
 * comes last does not wait until the first have had enough. */
START_TEST(what_is_short_goes_round)
{
    struct toy_server *server = toy_server_create();
    struct toy *toy = &server->toy;
    char names[] = { 'a', 'b', 'c', 'd' }, line[] = "share x\n";
    int fds[4];

    server->options.threads = 1;
    toy_server_start(server);
    for (int i = 0; i < 4; i++) {
        fds[i] = toy_connect(server);
        line[6] = names[i];
        for (int j = 0; j < 10; j++)
            toy_say(fds[i], line);
        ck_assert(toy_wait(&toy->refused, i + 1));
    }
    toy->shares = 1;
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 10; j++)
            toy_hear(fds[i], "had\n");
        close(fds[i]);
    }
    ck_assert_int_eq(toy->shared, 40);
    /* All lines are there, so in each four all four have had one. */
    for (int at = 0; at < 40; at += 4) {
        unsigned seen = 0;

        for (int i = 0; i < 4; i++)
            seen |= 1u << (toy->order[at + i] - 'a');
        ck_assert_uint_eq(seen, 15);
    }
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_half_closed_client_gets_all_answers)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);

    send_pipeline(fd);
    toy_say(fd, "flood 3\necho last\necho cut o");
    shutdown(fd, SHUT_WR);
    hear_pipeline(fd);
    char *dots = malloc(3 * OUTBOX_BYTES);
    ck_assert_ptr_nonnull(dots);
    toy_read(fd, dots, OUTBOX_BYTES);
    size_t n = OUTBOX_BYTES;
    do
        toy_read(fd, dots + n++, 1);
    while (dots[n - 1] == '.');
    ck_assert_uint_lt(n, 3 * OUTBOX_BYTES);
    free(dots);
    toy_hear(fd, "last\n");
    toy_hear_end(fd);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(quit_answers_before_it_closes_whatever_follows)
{
    struct toy_server *server = started();

    for (int i = 0; i < 20; i++) {
        int fd = toy_connect(server);
        toy_say(fd, "quit\necho never\n");
        toy_hear(fd, "bye\n");
        toy_hear_end(fd);
        close(fd);
    }
    ck_assert(toy_wait(&server->toy.sessions, 0));
    toy_server_destroy(server);
}
END_TEST

/* Sends as much as the connection takes; returns how much that was. */
static size_t
stuff(int fd, const char *text)
{
    size_t sent = 0, len = strlen(text);

    for (int idle = 0; idle < 20;) {
        ssize_t n = send(fd, text + sent % len, len - sent % len, MSG_DONTWAIT);
        if (n > 0) {
            sent += (size_t)n;
            idle = 0;
        } else {
            idle++;
            toy_sleep_ms(10);
        }
    }
    return sent;
}

START_TEST(a_client_that_does_not_read_cannot_make_the_server_grow)
{
    static const char ASK[] = "echo 0123456789012345678901234567890123456789\n";
    struct toy_server *server = started();
    int fd = toy_connect(server), other = toy_connect(server);

    size_t sent = stuff(fd, ASK);
    struct net_figures figures = figures_of(server);
    ck_assert_uint_eq(figures.backlog_count, 1);
    ck_assert_uint_le(figures.backlog_bytes, OUTBOX_BYTES + 4096);
    ck_assert_uint_le(figures.kept_bytes, 32768);
    toy_say(other, "echo still here\n");
    toy_hear(other, "still here\n");
    for (size_t i = 0; i < sent / (sizeof ASK - 1); i++)
        toy_hear(fd, ASK + 5);
    for (int i = 0; i < 120000 && figures_of(server).backlog_count > 0; i++)
        toy_sleep_ms(1);
    ck_assert_uint_eq(figures_of(server).backlog_count, 0);
    ck_assert_uint_eq(figures_of(server).backlog_bytes, 0);
    close(fd);
    close(other);
    toy_server_destroy(server);
}
END_TEST

START_TEST(values_by_reference_arrive_whole_at_a_slow_reader)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);
    char *got = malloc(TOY_PIN_MAX + 1);

    ck_assert_ptr_nonnull(got);
    for (int i = 0; i < 40; i++)
        toy_say(fd, "pin 1000000\n");
    for (int i = 0; i < 20000 && atomic_load(&server->toy.pins) == 0; i++)
        toy_sleep_ms(1);
    ck_assert_int_gt(server->toy.pins, 0);
    for (int i = 0; i < 40; i++) {
        toy_read(fd, got, TOY_PIN_MAX + 1);
        ck_assert_int_eq(got[TOY_PIN_MAX], '\n');
        for (size_t j = 0; j < TOY_PIN_MAX; j++)
            assert(got[j] == toy_pin_byte(j));
    }
    ck_assert(toy_wait(&server->toy.pins, 0));
    free(got);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_client_that_vanishes_leaves_no_pin_and_no_session)
{
    const struct linger at_once = { 1, 0 };
    struct toy_server *server = started();

    for (int i = 0; i < 10; i++) {
        int fd = toy_connect(server);
        for (int j = 0; j < 40; j++)
            toy_say(fd, "pin 1000000\n");
        toy_sleep_ms(20);
        if (i % 2 == 0) /* by a reset */
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
    }
    ck_assert(toy_wait(&server->toy.sessions, 0));
    ck_assert(toy_wait(&server->toy.pins, 0));
    for (int i = 0; i < 120000 && figures_of(server).current > 0; i++)
        toy_sleep_ms(1);
    ck_assert_uint_eq(figures_of(server).current, 0);
    toy_server_destroy(server);
}
END_TEST

START_TEST(an_upload_goes_straight_to_its_place_and_others_follow_it)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);
    char *value = malloc(3000000);

    ck_assert_ptr_nonnull(value);
    memset(value, 1, 3000000);
    for (int i = 0; i < 3; i++) {
        toy_say(fd, "echo before\nup 3000000\n");
        toy_send(fd, value, 3000000);
        toy_say(fd, "echo after\n");
        toy_hear(fd, "before\nup 3000000\nafter\n");
    }
    ck_assert_int_gt(server->toy.direct_bytes, 3 * 3000000 * 9 / 10);
    free(value);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

/* Also those of which a read would bring line and value together. */
START_TEST(who_has_uploaded_once_is_read_in_bites)
{
    enum { LEN = 10000, ROUNDS = 50, BITE = 512 };
    struct toy_server *server = started();
    int fd = toy_connect(server);
    char *value = malloc(LEN + 100);

    ck_assert_ptr_nonnull(value);
    toy_say(fd, "up 100000\n");
    for (int i = 0; i < 10; i++) {
        memset(value, 1, LEN);
        toy_send(fd, value, LEN);
    }
    toy_hear(fd, "up 100000\n");
    ck_assert_int_gt(server->toy.direct_bytes, 0); /* or it was not read in place at all */
    int before = server->toy.direct_bytes;
    int begin = sprintf(value, "up %d\n", LEN);
    memset(value + begin, 1, LEN);
    for (int i = 0; i < ROUNDS; i++) {
        toy_send(fd, value, (size_t)begin + LEN);
        toy_hear(fd, "up 10000\n");
    }
    ck_assert_int_ge(server->toy.direct_bytes - before, ROUNDS * (LEN - BITE));
    toy_say(fd, "echo one\nec");
    toy_hear(fd, "one\n");
    toy_say(fd, "ho two\n");
    toy_hear(fd, "two\n");
    free(value);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(all_that_is_read_is_looked_at_before_it_is_run)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);

    for (int i = 0; i < 10; i++) {
        toy_say(fd, "echo x\n");
        toy_hear(fd, "x\n");
    }
    ck_assert_int_eq(server->toy.looks, 10);
    ck_assert_int_eq(server->toy.looked, 10);
    ck_assert_uint_eq(counts_of(server).bytes_read, 70);
    close(fd);
    ck_assert(toy_wait(&server->toy.sessions, 0)); /* bytes are counted after they went */
    ck_assert_uint_eq(counts_of(server).bytes_written, 20);
    toy_server_destroy(server);
}
END_TEST

/* -c counts clients, and nothing else. */
START_TEST(as_many_clients_as_allowed_are_served_and_no_more)
{
    struct toy_server *server = toy_server_create();
    int fds[12];

    server->options.connections_max = 10;
    toy_server_start(server);
    for (int i = 0; i < 12; i++) {
        fds[i] = toy_connect(server);
        toy_say(fds[i], "echo in\n");
        toy_hear(fds[i], i < 10 ? "in\n" : TOY_FULL);
        if (i >= 10)
            toy_hear_end(fds[i]);
    }
    ck_assert_uint_eq(figures_of(server).current, 10);
    ck_assert_uint_eq(figures_of(server).total, 10);
    ck_assert_uint_eq(figures_of(server).rejected, 2);
    for (int i = 0; i < 12; i++)
        close(fds[i]);
    ck_assert(toy_wait(&server->toy.sessions, 0));
    int fd = toy_connect(server);
    toy_say(fd, "echo again\n");
    toy_hear(fd, "again\n");
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(without_maxconns_fast_surplus_clients_wait)
{
    struct toy_server *server = toy_server_create();
    int fds[6];
    char byte;

    server->options.connections_max = 4;
    server->options.maxconns_fast = false;
    toy_server_start(server);
    for (int i = 0; i < 6; i++) {
        fds[i] = toy_connect(server);
        toy_say(fds[i], "echo in\n");
        if (i < 4)
            toy_hear(fds[i], "in\n");
    }
    toy_sleep_ms(100);
    ck_assert_int_eq(recv(fds[4], &byte, 1, MSG_DONTWAIT), -1);
    ck_assert(!figures_of(server).accepting);
    ck_assert_uint_eq(figures_of(server).listen_disabled, 1);
    ck_assert_uint_ge(figures_of(server).listen_disabled_us, 90000);
    close(fds[0]);
    toy_hear(fds[4], "in\n");
    close(fds[1]);
    toy_hear(fds[5], "in\n");
    for (int i = 2; i < 6; i++)
        close(fds[i]);
    ck_assert(toy_wait(&server->toy.sessions, 0));
    ck_assert_uint_eq(figures_of(server).rejected, 0);
    toy_server_destroy(server);
}
END_TEST

/* Accepting pauses for a moment; those who are in are served meanwhile. */
START_TEST(running_out_of_descriptors_delays_clients_and_harms_none)
{
    struct toy_server *server = started();
    struct rlimit limit, low;
    int in = toy_connect(server);

    toy_say(in, "echo in\n");
    toy_hear(in, "in\n");
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)server->port) };
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    low = (struct rlimit){ 3, limit.rlim_max }; /* all from there on are taken or refused */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    int connected = connect(late, (struct sockaddr *)&name, sizeof name);
    for (int i = 0; i < 120000 && figures_of(server).accepting; i++)
        toy_sleep_ms(1);
    bool paused = !figures_of(server).accepting;
    toy_say(in, "echo still in\n");
    toy_hear(in, "still in\n");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(connected, 0);
    ck_assert(paused);
    toy_say(late, "echo late\n");
    toy_hear(late, "late\n");
    ck_assert_uint_ge(figures_of(server).listen_disabled, 1);
    ck_assert_uint_ge(figures_of(server).listen_disabled_us, 10000);
    close(late);
    close(in);
    toy_server_destroy(server);
}
END_TEST

START_TEST(idle_and_partial_clients_are_sent_away_and_busy_ones_stay)
{
    struct toy_server *server = toy_server_create();

    server->options.idle_timeout = 3;
    server->options.partial_timeout = 1;
    toy_server_start(server);
    int idle = toy_connect(server), line = toy_connect(server), drip = toy_connect(server),
        upload = toy_connect(server), busy = toy_connect(server);
    toy_say(line, "echo hal");
    toy_say(upload, "up 10\nabc");
    for (int i = 0; i < 35; i++) {
        toy_sleep_ms(100);
        toy_say(busy, "echo busy\n");
        toy_hear(busy, "busy\n");
        if (i < 15) /* bytes that never make a line are no excuse */
            send(drip, "x", 1, MSG_NOSIGNAL);
    }
    toy_hear_end(line);
    toy_hear_end(upload);
    toy_hear_end(drip);
    toy_hear_end(idle);
    ck_assert_uint_eq(counts_of(server).partial_kicks, 3);
    ck_assert_uint_eq(counts_of(server).idle_kicks, 1);
    ck_assert_int_gt(server->toy.ticks, 2);
    close(idle);
    close(line);
    close(upload);
    close(drip);
    close(busy);
    toy_server_destroy(server);
}
END_TEST

START_TEST(the_service_may_give_up_a_stalled_client)
{
    struct toy_server *server = started();
    int upload = toy_connect(server), reader = toy_connect(server),
        calm = toy_connect(server);

    toy_say(calm, "stick\n"); /* it is not stalled: nothing is going on */
    toy_hear(calm, "ok\n");
    toy_say(upload, "stick\nup 10\nabc");
    toy_hear(upload, "ok\n");
    toy_say(reader, "stick\n");
    toy_hear(reader, "ok\n");
    for (int i = 0; i < 40; i++)
        toy_say(reader, "pin 1000000\n");
    toy_hear_end(upload);
    ck_assert(toy_wait(&server->toy.sessions, 1));
    ck_assert(toy_wait(&server->toy.pins, 0));
    toy_say(calm, "echo calm\n");
    toy_hear(calm, "calm\n");
    close(upload);
    close(reader);
    close(calm);
    toy_server_destroy(server);
}
END_TEST

static double
seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

START_TEST(stopping_does_not_wait_for_clients_that_do_not_read)
{
    struct toy_server *server = started();
    int fd = toy_connect(server), idle = toy_connect(server);

    for (int i = 0; i < 40; i++)
        toy_say(fd, "pin 1000000\n");
    toy_say(idle, "echo x\n");
    toy_hear(idle, "x\n");
    toy_sleep_ms(50);
    double begin = seconds_now();
    toy_server_destroy(server);
    ck_assert(seconds_now() - begin < 20.0); /* NET_STOP_MS, on a busy machine */
    toy_hear_end(idle);
    close(fd);
    close(idle);
}
END_TEST

struct seen {
    int listeners, conns;
    int fd_lowest;
};

static void
see(void *context, const struct net_conn *conn)
{
    struct seen *seen = context;

    /* A client that has just gone has no address left. */
    ck_assert(strncmp(conn->address, "tcp:127.0.0.1:", 14) == 0 ||
              strcmp(conn->address, "?:<AF 0>") == 0);
    if (conn->listen_address == NULL) {
        seen->listeners++;
    } else {
        ck_assert_int_eq(strncmp(conn->listen_address, "tcp:127.0.0.1:", 14), 0);
        seen->conns++;
    }
    if (conn->fd < seen->fd_lowest)
        seen->fd_lowest = conn->fd;
}

START_TEST(a_session_that_waits_runs_nothing_until_it_is_woken)
{
    struct toy_server *server = started();
    int fd = toy_connect(server), other = toy_connect(server);

    toy_say(fd, "echo before\nnap\necho after\n");
    toy_hear(fd, "before\n");
    ck_assert(toy_wait(&server->toy.sleepers, 1));
    toy_say(other, "echo others are served\n");
    toy_hear(other, "others are served\n");
    toy_ring(&server->toy);
    toy_hear(fd, "awake\nafter\n");
    close(fd);
    close(other);
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_session_that_reads_can_be_woken_as_well)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);

    toy_say(fd, "ears\n");
    toy_hear(fd, "hm\n");
    for (int i = 0; i < 20; i++) {
        ck_assert(toy_wait(&server->toy.sleepers, 1));
        toy_ring(&server->toy);
        toy_hear(fd, "ding\n");
        toy_say(fd, "echo and it still reads\n");
        toy_hear(fd, "and it still reads\n");
    }
    close(fd);
    toy_server_destroy(server);
}
END_TEST

static atomic_bool ringing;

/* Rings each sleeper as soon as there is one: often before the worker has put it to bed. */
static void *
keep_ringing(void *context)
{
    struct toy *toy = context;

    while (atomic_load(&ringing))
        if (toy->sleepers > 0)
            toy_ring(toy);
    return NULL;
}

/* A lost one would leave its client without an answer. */
START_TEST(no_waking_is_lost)
{
    struct toy_server *server = started();
    int fd = toy_connect(server);
    pthread_t thread;

    atomic_store(&ringing, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_ringing, &server->toy), 0);
    for (int i = 0; i < 300; i++) {
        toy_say(fd, "nap\n");
        toy_hear(fd, "awake\n");
    }
    atomic_store(&ringing, false);
    pthread_join(thread, NULL);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(clients_that_leave_while_they_are_woken_leave_nothing)
{
    struct toy_server *server = started();
    pthread_t thread;

    atomic_store(&ringing, true);
    ck_assert_int_eq(pthread_create(&thread, NULL, keep_ringing, &server->toy), 0);
    for (int i = 0; i < 200; i++) {
        int fd = toy_connect(server);

        toy_say(fd, i % 2 == 0 ? "nap\n" : "ears\n");
        close(fd);
    }
    ck_assert(toy_wait(&server->toy.opened, 200));
    ck_assert(toy_wait(&server->toy.sessions, 0));
    atomic_store(&ringing, false);
    pthread_join(thread, NULL);
    toy_server_destroy(server);
}
END_TEST

START_TEST(connections_can_be_shown_while_they_come_and_go)
{
    struct toy_server *server = started();
    int fds[20];
    struct seen seen = { .fd_lowest = 1 << 20 };

    for (int i = 0; i < 20; i++) {
        fds[i] = toy_connect(server);
        toy_say(fds[i], "echo x\n");
        toy_hear(fds[i], "x\n");
    }
    net_each_conn(server->net, 0, see, &seen);
    ck_assert_int_eq(seen.listeners, 1);
    ck_assert_int_eq(seen.conns, 20);
    int lowest = seen.fd_lowest;
    seen = (struct seen){ .fd_lowest = 1 << 20 };
    net_each_conn(server->net, lowest + 1, see, &seen);
    ck_assert_int_gt(seen.fd_lowest, lowest);
    ck_assert_int_eq(seen.listeners + seen.conns, 20);
    for (int i = 0; i < 20; i++) {
        close(fds[i]);
        net_each_conn(server->net, 0, see, &seen);
    }
    toy_server_destroy(server);
}
END_TEST

struct crowd {
    struct toy_server *server;
    unsigned seed;
};

/* Connects, talks in random pieces, leaves in random ways. */
static void *
crowd_main(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < 60; i++) {
        int fd = toy_connect(crowd->server);
        int rounds = (int)(rand_r(&crowd->seed) % 20);
        for (int j = 0; j < rounds; j++) {
            toy_say(fd, "echo a\npin 100\nup 3\nab");
            if (rand_r(&crowd->seed) % 4 == 0)
                toy_sleep_ms(1);
            toy_say(fd, "cecho b\n");
            char got[2 + 101 + 7 + 2];
            toy_read(fd, got, sizeof got);
            assert(memcmp(got + 103, "up 294\nb\n", 9) == 0);
        }
        if (rand_r(&crowd->seed) % 3 == 0)
            toy_say(fd, "pin 1000000\necho unheard\nup 70\nx");
        close(fd);
    }
    return NULL;
}

START_TEST(a_crowd_is_served_and_leaves_nothing)
{
    struct toy_server *server = toy_server_create();
    struct crowd crowds[4];
    pthread_t threads[4];
    struct seen seen = { .fd_lowest = 1 << 20 };

    server->options.threads = 3;
    toy_server_start(server);
    for (unsigned i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){ server, i + 1 };
        pthread_create(&threads[i], NULL, crowd_main, &crowds[i]);
    }
    for (int i = 0; i < 50; i++) {
        figures_of(server);
        counts_of(server);
        net_each_conn(server->net, 0, see, &seen);
        toy_sleep_ms(2);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert(toy_wait(&server->toy.sessions, 0));
    ck_assert_int_eq(server->toy.opened, 240);
    ck_assert(toy_wait(&server->toy.pins, 0));
    for (int i = 0; i < 120000 && figures_of(server).current > 0; i++)
        toy_sleep_ms(1);
    ck_assert_uint_eq(figures_of(server).current, 0);
    toy_server_destroy(server);
}
END_TEST

/* Those who are served already have their turn between a few and a few of them. */
START_TEST(many_who_come_at_once_come_in_bit_by_bit)
{
    struct toy_server *server = toy_server_create();
    struct toy *toy = &server->toy;
    int busy, fds[100];

    server->options.threads = 1;
    toy_server_start(server);
    busy = toy_connect(server);
    toy_say(busy, "echo a\n");
    toy_hear(busy, "a\n");
    pthread_mutex_lock(&toy->lock);
    toy_say(busy, "nap\n");
    ck_assert(toy_wait(&toy->looks, 2)); /* it waits for the lock, or is about to */
    for (int i = 0; i < 100; i++)
        fds[i] = toy_connect(server);
    for (int i = 0; i < 10000 && figures_of(server).total < 101; i++)
        toy_sleep_ms(1);
    pthread_mutex_unlock(&toy->lock);
    for (int i = 0; i < 100; i++) {
        toy_say(fds[i], "echo b\n");
        toy_hear(fds[i], "b\n");
        close(fds[i]);
    }
    ck_assert_int_le(toy->opened_most, 16);
    close(busy);
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_unix_socket_has_its_mode_and_goes_with_the_server)
{
    char path[] = "/tmp/larder-check-XXXXXX", file[64];
    struct toy_server *server = toy_server_create();
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    struct stat stat_out;

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof file, "%s/s", path);
    server->options.unix_socket = strdup(file);
    server->options.unix_mask = 0640;
    toy_server_start(server);
    ck_assert_int_eq(server->status, 0);
    ck_assert_int_eq(server->port, 0);
    ck_assert_int_eq(stat(file, &stat_out), 0);
    ck_assert_uint_eq(stat_out.st_mode & 0777, 0640);
    strcpy(name.sun_path, file);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    toy_say(fd, "echo local\n");
    toy_hear(fd, "local\n");
    close(fd);
    toy_server_destroy(server);
    ck_assert_int_ne(access(file, F_OK), 0);
    rmdir(path);
}
END_TEST

/* As of --listener: in the second space, with a right denied, for these users. */
static void
add_listener(struct toy_server *server, const char *path, const char *users)
{
    struct option_listener *listener = calloc(1, sizeof *listener);

    *listener = (struct option_listener){ .space = 1, .denied = RIGHT_FLUSH, .mode = 0600,
        .users = users == NULL ? NULL : strdup(users) };
    ck_assert_int_ge(asprintf(&listener->address, "unix:%s", path), 0);
    server->options.listeners = listener;
    server->options.nlisteners = 1;
    server->options.nspaces = 2;
}

static int
connect_to(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(name.sun_path, path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

/* The toy's release() asserts that a pin comes back to the lane it is of. */
START_TEST(each_listener_is_served_for_its_space)
{
    char path[] = "/tmp/larder-check-XXXXXX", file[64];
    struct toy_server *server = toy_server_create();
    int first[8], second[8];

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof file, "%s/s", path);
    add_listener(server, file, NULL);
    toy_server_start(server);
    ck_assert_int_eq(server->status, 0);
    ck_assert_int_eq(server->toy.lanes, 2);
    ck_assert_int_eq(server->second.lanes, 2);
    for (int i = 0; i < 8; i++) {
        first[i] = toy_connect(server);
        second[i] = connect_to(file);
    }
    for (int i = 0; i < 8; i++) {
        toy_say(first[i], "pin 300000\necho a\n");
        toy_say(second[i], "pin 300000\necho b\n");
    }
    ck_assert(toy_wait(&server->second.opened, 8));
    ck_assert(toy_wait(&server->toy.opened, 8));
    for (int i = 0; i < 4; i++) { /* the others leave with values under way */
        char *value = malloc(300001);
        toy_read(first[i], value, 300001);
        toy_hear(first[i], "a\n");
        toy_read(second[i], value, 300001);
        toy_hear(second[i], "b\n");
        free(value);
    }
    ck_assert_int_gt(server->toy.looked, 0);
    ck_assert_int_gt(server->second.looked, 0);
    ck_assert_int_eq(server->toy.denied, 0);
    ck_assert_int_eq(server->second.denied, RIGHT_FLUSH);
    for (int i = 0; i < 8; i++) {
        close(first[i]);
        close(second[i]);
    }
    ck_assert(toy_wait(&server->second.pins, 0));
    ck_assert(toy_wait(&server->toy.pins, 0));
    ck_assert(toy_wait(&server->second.ticks, 2));
    toy_server_destroy(server);
    ck_assert_int_ne(access(file, F_OK), 0);
    rmdir(path);
}
END_TEST

START_TEST(a_user_who_may_not_connect_is_counted_and_gone)
{
    char path[] = "/tmp/larder-check-XXXXXX", file[64], user[32];
    struct toy_server *server = toy_server_create();

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof file, "%s/s", path);
    snprintf(user, sizeof user, "%u", _i == 0 ? getuid() + 1 : getuid());
    add_listener(server, file, user);
    toy_server_start(server);
    ck_assert_int_eq(server->status, 0);
    int fd = connect_to(file);
    if (_i == 0) {
        toy_hear_end(fd);
    } else {
        toy_say(fd, "echo me\n");
        toy_hear(fd, "me\n");
    }
    ck_assert_int_eq(server->second.opened, _i);
    ck_assert_uint_eq(figures_of(server).rejected, 1 - (unsigned)_i);
    close(fd);
    toy_server_destroy(server);
    rmdir(path);
}
END_TEST

START_TEST(a_port_in_use_is_a_failure_to_start)
{
    struct toy_server *first = started(), *second = toy_server_create();

    second->options.port = first->port;
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    toy_server_start(second);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(null);
    ck_assert_int_eq(second->status, 71);
    toy_server_destroy(second);
    toy_server_destroy(first);
}
END_TEST

START_TEST(addresses_of_a_list_share_a_free_port)
{
    struct toy_server *server = toy_server_create();

    server->options.listen = strdup("127.0.0.1,127.0.0.2;127.0.0.3:0");
    toy_server_start(server);
    ck_assert_int_eq(server->status, 0);
    int fd = toy_connect(server);
    toy_say(fd, "echo x\n");
    toy_hear(fd, "x\n");
    close(fd);
    toy_server_destroy(server);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("net");
    TCase *tc = tcase_create("net");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, commands_in_one_piece_are_answered_in_order);
    tcase_add_test(tc, a_command_cut_anywhere_is_answered_alike);
    tcase_add_test(tc, a_client_that_sends_single_bytes_is_served);
    tcase_add_test(tc, a_deep_pipeline_is_answered_whole);
    tcase_add_loop_test(tc, what_is_left_by_a_full_read_is_read_though_nothing_more_comes,
        0, sizeof LENGTHS / sizeof *LENGTHS);
    tcase_add_test(tc, an_end_that_comes_with_the_last_command_is_seen);
    tcase_add_test(tc, deep_pipelines_take_turns);
    tcase_add_test(tc, what_is_short_goes_round);
    tcase_add_test(tc, a_half_closed_client_gets_all_answers);
    tcase_add_test(tc, quit_answers_before_it_closes_whatever_follows);
    tcase_add_test(tc, a_client_that_does_not_read_cannot_make_the_server_grow);
    tcase_add_test(tc, values_by_reference_arrive_whole_at_a_slow_reader);
    tcase_add_test(tc, a_client_that_vanishes_leaves_no_pin_and_no_session);
    tcase_add_test(tc, an_upload_goes_straight_to_its_place_and_others_follow_it);
    tcase_add_test(tc, who_has_uploaded_once_is_read_in_bites);
    tcase_add_test(tc, all_that_is_read_is_looked_at_before_it_is_run);
    tcase_add_test(tc, as_many_clients_as_allowed_are_served_and_no_more);
    tcase_add_test(tc, without_maxconns_fast_surplus_clients_wait);
    tcase_add_test(tc, running_out_of_descriptors_delays_clients_and_harms_none);
    tcase_add_test(tc, idle_and_partial_clients_are_sent_away_and_busy_ones_stay);
    tcase_add_test(tc, the_service_may_give_up_a_stalled_client);
    tcase_add_test(tc, stopping_does_not_wait_for_clients_that_do_not_read);
    tcase_add_test(tc, a_session_that_waits_runs_nothing_until_it_is_woken);
    tcase_add_test(tc, a_session_that_reads_can_be_woken_as_well);
    tcase_add_test(tc, no_waking_is_lost);
    tcase_add_test(tc, clients_that_leave_while_they_are_woken_leave_nothing);
    tcase_add_test(tc, connections_can_be_shown_while_they_come_and_go);
    tcase_add_test(tc, a_crowd_is_served_and_leaves_nothing);
    tcase_add_test(tc, many_who_come_at_once_come_in_bit_by_bit);
    tcase_add_test(tc, a_unix_socket_has_its_mode_and_goes_with_the_server);
    tcase_add_test(tc, each_listener_is_served_for_its_space);
    tcase_add_loop_test(tc, a_user_who_may_not_connect_is_counted_and_gone, 0, 2);
    tcase_add_test(tc, a_port_in_use_is_a_failure_to_start);
    tcase_add_test(tc, addresses_of_a_list_share_a_free_port);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
