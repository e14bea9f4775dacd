/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects net_leave() and net_take(): a client that stands between two commands does not
 * notice that another server has taken it over; whatever it had sent is run once, whatever
 * it was owed arrives once. And what was forged harms nobody. Two servers in one process
 * stand for two processes.
 */
#include <arpa/inet.h>
#include <check.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/inside.h"
#include "net/parcel.h"
#include "toy.h"

/* Where something has to happen within NET_LEAVE_MS, which a busy machine may not manage. */
#define TRIES 25

static struct toy_server *
start(struct toy_server *server)
{
    toy_server_start(server);
    ck_assert_int_eq(server->status, 0);
    return server;
}

static struct toy_server *
started(void)
{
    return start(toy_server_create());
}

/* `old` leaves, and `next` takes all that it gives. */
static struct toy_server *
hand_over_to(struct toy_server *old, struct toy_server *next)
{
    toy_server_leave(old, &next->cargo);
    start(next);
    ck_assert_uint_eq(next->refused, 0);
    return next;
}

static struct toy_server *
hand_over(struct toy_server *old)
{
    return hand_over_to(old, toy_server_create());
}

static struct net_figures
figures_of(struct toy_server *server)
{
    struct net_figures figures;

    net_figures(server->net, &figures);
    return figures;
}

/* A client that has been served. */
static int
greeted(struct toy_server *server)
{
    int fd = toy_connect(server);

    toy_say(fd, "echo hello\n");
    toy_hear(fd, "hello\n");
    return fd;
}

static void
wait_for_kept(struct toy_server *server, uint64_t count)
{
    for (int i = 0; i < 6000 && figures_of(server).kept_count != count; i++)
        toy_sleep_ms(1);
    ck_assert_uint_eq(figures_of(server).kept_count, count);
}

/* All that was said has been read. */
static void
wait_for_bytes(struct toy_server *server, uint64_t bytes)
{
    struct counts counts = { .bytes_read = 0 };

    for (int i = 0; i < 6000 && counts.bytes_read != bytes; i++) {
        toy_sleep_ms(1);
        counts.bytes_read = 0;
        net_counts(server->net, &counts);
    }
    ck_assert_uint_eq(counts.bytes_read, bytes);
}

static void
wait_for_current(struct toy_server *server, uint64_t count)
{
    for (int i = 0; i < 6000 && figures_of(server).current != count; i++)
        toy_sleep_ms(1);
    ck_assert_uint_eq(figures_of(server).current, count);
}

/* The server begins to leave; toy_server_end() waits until it has. */
static void
begin_to_leave(struct toy_server *server, struct toy_cargo *cargo)
{
    uint64_t one = 1;

    server->leave_to = cargo;
    ck_assert_int_eq(write(server->stop_fd, &one, sizeof one), sizeof one);
}

/* Reads to the end, which may be a reset, and returns how much came. */
static size_t
read_to_end(int fd, char *to, size_t size)
{
    size_t len = 0;
    ssize_t got;

    do {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        ck_assert_int_eq(poll(&wait, 1, 30000), 1);
        got = recv(fd, to + len, size - len, 0);
        len += got > 0 ? (size_t)got : 0;
    } while (got > 0 && len < size);
    return len;
}

/* ---- What goes on ------------------------------------------------------------------------ */

START_TEST(idle_clients_do_not_notice)
{
    struct toy_server *server = started();
    int port = server->port, fds[3];

    for (int i = 0; i < 3; i++)
        fds[i] = greeted(server);
    for (int round = 0; round < 3; round++) {
        server = hand_over(server);
        ck_assert_int_eq(server->port, port);
        wait_for_current(server, 3);
        ck_assert_uint_eq(figures_of(server).total, 0);
        for (int i = 0; i < 3; i++) {
            toy_say(fds[i], "echo again\n");
            toy_hear(fds[i], "again\n");
        }
    }
    close(greeted(server));
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    toy_server_destroy(server);
}
END_TEST

/* Every place at which the request is cut, but for the inside of an upload. */
START_TEST(part_of_a_line_goes_along)
{
    static const char ASK[] = "echo one\necho two\n\0echo three\n";
    static const char REPLY[] = "one\ntwo\n";
    struct toy_server *server = started();
    int fds[sizeof ASK];

    for (size_t cut = 1; cut < strlen(ASK); cut++) {
        fds[cut] = toy_connect(server);
        toy_send(fds[cut], ASK, cut);
    }
    wait_for_kept(server, strlen(ASK) - 2); /* all but one end in the middle */
    server = hand_over(server);
    for (size_t cut = 1; cut < strlen(ASK); cut++) {
        toy_say(fds[cut], ASK + cut);
        toy_hear(fds[cut], REPLY);
        close(fds[cut]);
    }
    toy_server_destroy(server);
}
END_TEST

START_TEST(what_is_sent_between_two_servers_is_answered_by_the_second)
{
    struct toy_server *server = started(), *next = toy_server_create();
    int fd = greeted(server), half = greeted(server);

    toy_say(half, "echo h");
    wait_for_kept(server, 1);
    toy_server_end(server);
    toy_server_free(server);
    /* An ordinary end, so that nobody thinks these clients would be served by chance. */
    toy_hear_end(fd);
    toy_hear_end(half);
    close(fd);
    close(half);

    server = started();
    fd = greeted(server);
    half = greeted(server);
    toy_say(half, "echo h");
    wait_for_kept(server, 1);
    begin_to_leave(server, &next->cargo);
    toy_server_end(server);
    toy_say(fd, "echo waited\npin 5\n");
    toy_say(half, "i\necho ");
    int late = toy_connect(server); /* it waits in the listening socket */
    toy_say(late, "echo late\n");
    start(next);
    toy_hear(fd, "waited\nabcde\n");
    toy_hear(half, "hi\n");
    toy_hear(late, "late\n");
    toy_say(half, "ho\n");
    toy_hear(half, "ho\n");
    ck_assert_uint_eq(figures_of(next).total, 1);
    close(fd);
    close(half);
    close(late);
    toy_server_free(server);
    toy_server_destroy(next);
}
END_TEST

#define PIPELINE 5000

START_TEST(a_pipeline_in_flight_is_answered_whole)
{
    struct toy_server *server = started();
    int fd = greeted(server);
    char *ask = malloc(PIPELINE * 16), *at = ask, reply[16];

    ck_assert_ptr_nonnull(ask);
    for (int i = 0; i < PIPELINE; i++)
        at += sprintf(at, "echo %d\n", i);
    toy_send(fd, ask, (size_t)(at - ask));
    for (int i = 0; i < 3; i++)
        server = hand_over(server);
    for (int i = 0; i < PIPELINE; i++) {
        snprintf(reply, sizeof reply, "%d\n", i);
        toy_hear(fd, reply);
    }
    free(ask);
    close(fd);
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_client_that_has_closed_its_side_gets_all_answers)
{
    struct toy_server *server = started(), *next = toy_server_create();
    int fd = greeted(server);

    begin_to_leave(server, &next->cargo);
    toy_server_end(server);
    toy_say(fd, "echo last\n");
    shutdown(fd, SHUT_WR);
    start(next);
    toy_hear(fd, "last\n");
    toy_hear_end(fd);
    close(fd);
    toy_server_free(server);
    toy_server_destroy(next);
}
END_TEST

#define MANY 500

START_TEST(a_crowd_goes_on)
{
    struct toy_server *server = toy_server_create(), *next = toy_server_create();
    int *fds = malloc(MANY * sizeof *fds);
    char reply[32];

    ck_assert_ptr_nonnull(fds);
    server->options.connections_max = next->options.connections_max = 2 * MANY;
    server->options.threads = 3;
    start(server);
    for (int i = 0; i < MANY; i++) {
        fds[i] = greeted(server);
        if (i % 2 == 0)
            toy_say(fds[i], "echo begun ");
    }
    hand_over_to(server, next);
    wait_for_current(next, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(reply, sizeof reply, i % 2 == 0 ? "%d\n" : "echo %d\n", i);
        toy_say(fds[i], reply);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(reply, sizeof reply, i % 2 == 0 ? "begun %d\n" : "%d\n", i);
        toy_hear(fds[i], reply);
        close(fds[i]);
    }
    ck_assert_int_eq(next->toy.unpacked, MANY);
    toy_server_destroy(next);
    free(fds);
}
END_TEST

/* ---- What ends first, and what ends for good ---------------------------------------------- */

/* True: the upload was answered before its server's deadline. */
static bool
upload_moves(bool last_packet)
{
    struct toy_server *server = toy_server_create();
    struct toy_cargo cargo = { .n = 0 };
    char reply[16];

    server->options.threads = 1;
    start(server);
    int idle = greeted(server), fd = greeted(server);
    toy_say(fd, "up 6\nabc");
    wait_for_bytes(server, 2 * strlen("echo hello\n") + strlen("up 6\nabc"));
    begin_to_leave(server, &cargo);
    ck_assert(toy_wait(&server->toy.packed, 1)); /* so it has begun */
    if (last_packet)
        toy_say(fd, "defecho x");
    size_t len = last_packet ? strlen("up 597\n") : 0;
    toy_server_end(server);
    /* It goes on in the other process then; else it is closed. */
    bool moved = server->toy.packed == 2;
    if (moved) {
        ck_assert(last_packet);
        toy_read(fd, reply, len);
        ck_assert_int_eq(memcmp(reply, "up 597\n", len), 0);
    }
    toy_server_free(server);
    struct toy_server *next = toy_server_create();
    next->cargo = cargo;
    start(next);
    if (moved) {
        toy_say(fd, "yz\n");
        toy_hear(fd, "xyz\n");
    } else {
        ck_assert_uint_eq(read_to_end(fd, reply, sizeof reply), 0);
    }
    toy_say(idle, "echo idle\n");
    toy_hear(idle, "idle\n");
    close(idle);
    close(fd);
    toy_server_destroy(next);
    return moved;
}

START_TEST(an_upload_that_moves_ends_first)
{
    int tries = 0;

    while (!upload_moves(true) && tries < TRIES)
        tries++;
    ck_assert_int_lt(tries, TRIES);
}
END_TEST

START_TEST(an_upload_that_stalls_is_closed_in_the_end)
{
    ck_assert(!upload_moves(false));
}
END_TEST

#define BACKLOG  8 /* more than the kernel takes for a client that does not read */
#define PIN_SIZE 1000000u

/* True: the client read all of its replies before the deadline. */
static bool
backlog_drains(bool reads)
{
    struct toy_server *server = toy_server_create(), *next = toy_server_create();
    size_t size = BACKLOG * (PIN_SIZE + 1), len = 0;
    char *heard = malloc(size + 1);

    ck_assert_ptr_nonnull(heard);
    server->options.threads = 1;
    start(server);
    int idle = greeted(server), fd = greeted(server);
    for (int i = 0; i < BACKLOG; i++)
        toy_say(fd, "pin 1000000\n");
    for (int i = 0; i < 6000 && figures_of(server).backlog_count == 0; i++)
        toy_sleep_ms(1);
    begin_to_leave(server, &next->cargo);
    ck_assert(toy_wait(&server->toy.packed, 1));
    if (reads)
        len = read_to_end(fd, heard, size);
    toy_server_end(server);
    bool drained = server->toy.packed == 2;
    if (!drained)
        len += read_to_end(fd, heard + len, size - len);
    ck_assert(drained ? len == size : len < size);
    bool same = true;
    for (size_t i = 0, at = 0; i < len; i++, at = at == PIN_SIZE ? 0 : at + 1)
        same &= heard[i] == (at == PIN_SIZE ? '\n' : toy_pin_byte(at));
    ck_assert(same);
    start(next);
    if (drained) {
        toy_say(fd, "echo on\n");
        toy_hear(fd, "on\n");
    }
    wait_for_current(next, drained ? 2 : 1);
    close(fd);
    close(idle);
    free(heard);
    toy_server_free(server);
    toy_server_destroy(next);
    return drained;
}

START_TEST(a_slow_reader_gets_what_it_is_owed_and_goes_on)
{
    int tries = 0;

    while (!backlog_drains(true) && tries < TRIES)
        tries++;
    ck_assert_int_lt(tries, TRIES);
}
END_TEST

START_TEST(who_does_not_read_is_closed_in_the_end)
{
    ck_assert(!backlog_drains(false));
}
END_TEST

START_TEST(who_watches_is_closed_and_who_waits_is_too)
{
    struct toy_server *server = started();
    int watcher = greeted(server), sleeper = greeted(server), idle = greeted(server);

    toy_say(watcher, "ears\n");
    toy_hear(watcher, "hm\n");
    toy_say(sleeper, "nap\necho never\n");
    ck_assert(toy_wait(&server->toy.sleepers, 2));
    server = hand_over(server);
    toy_hear_end(watcher);
    char rest[8];
    ck_assert_uint_eq(read_to_end(sleeper, rest, sizeof rest), 0);
    toy_say(idle, "echo x\n");
    toy_hear(idle, "x\n");
    close(watcher);
    close(sleeper);
    close(idle);
    toy_server_destroy(server);
}
END_TEST

/* ---- Listeners ----------------------------------------------------------------------------- */

static int
connect_to(const char *host, int port)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(inet_pton(AF_INET, host, &name.sin_addr), 1);
    if (connect(fd, (struct sockaddr *)&name, sizeof name) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

START_TEST(addresses_may_change_their_order)
{
    struct toy_server *server = toy_server_create(), *next = toy_server_create();

    server->options.listen = strdup("127.0.0.1,127.0.0.2,127.0.0.3:0");
    next->options.listen = strdup("127.0.0.3:0,127.0.0.2,127.0.0.1");
    start(server);
    const struct listeners *listeners = &server->net->acceptor.listeners;
    int ports[3], fds[3];
    for (int i = 0; i < 3; i++) {
        char host[24];
        ports[i] = listeners->at[i].port;
        snprintf(host, sizeof host, "127.0.0.%u", (unsigned)i + 1);
        fds[i] = connect_to(host, ports[i]);
        toy_say(fds[i], "echo a\n");
        toy_hear(fds[i], "a\n");
    }
    hand_over_to(server, next);
    listeners = &next->net->acceptor.listeners;
    ck_assert_uint_eq(listeners->n, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(listeners->at[2 - i].port, ports[i]);
        toy_say(fds[i], "echo b\n");
        toy_hear(fds[i], "b\n");
        close(fds[i]);
    }
    toy_server_destroy(next);
}
END_TEST

START_TEST(who_came_through_a_listener_that_is_gone_is_closed)
{
    struct toy_server *server = toy_server_create(), *next = toy_server_create();

    server->options.listen = strdup("127.0.0.1,127.0.0.2");
    start(server);
    int stays = greeted(server), goes = connect_to("127.0.0.2", server->port);
    int port = server->port;
    toy_say(goes, "echo a\n");
    toy_hear(goes, "a\n");
    hand_over_to(server, next);
    toy_hear_end(goes);
    toy_say(stays, "echo b\n");
    toy_hear(stays, "b\n");
    ck_assert_int_eq(connect_to("127.0.0.2", port), -1);
    close(stays);
    close(goes);
    toy_server_destroy(next);
}
END_TEST

/* The kernel would not bind the one beside the other. */
START_TEST(a_wider_or_narrower_address_takes_the_place_of_another)
{
    struct toy_server *server = started();
    int port = server->port;

    for (int round = 0; round < 4; round++) {
        struct toy_server *next = toy_server_create();
        int fd = greeted(server);
        next->options.port = port;
        next->options.listen = strdup(round % 2 == 0 ? "0.0.0.0" : "127.0.0.1");
        server = hand_over_to(server, next);
        toy_hear_end(fd);
        close(fd);
    }
    close(greeted(server));
    toy_server_destroy(server);
}
END_TEST

START_TEST(a_port_that_was_asked_for_is_not_any_port)
{
    struct toy_server *server = started(), *next = toy_server_create(), *third;
    int port = server->port;

    next->options.port = port; /* the same socket */
    hand_over_to(server, next);
    ck_assert_int_eq(next->port, port);
    int fd = greeted(next);
    third = hand_over(next); /* any: the kernel chooses */
    toy_hear_end(fd);
    ck_assert_int_ne(third->port, 0);
    close(fd);
    toy_server_destroy(third);
}
END_TEST

static int
connect_unix(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(name.sun_path, path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    return fd;
}

static struct toy_server *
unix_server(const char *path, unsigned mode)
{
    struct toy_server *server = toy_server_create();

    server->options.unix_socket = strdup(path);
    server->options.unix_mask = mode;
    return server;
}

START_TEST(a_unix_socket_stays_where_it_is)
{
    char path[] = "/tmp/larder-check-XXXXXX", file[64];
    struct stat before, after;

    ck_assert_ptr_nonnull(mkdtemp(path));
    snprintf(file, sizeof file, "%s/s", path);
    struct toy_server *server = start(unix_server(file, 0640));
    ck_assert_int_eq(lstat(file, &before), 0);
    int fd = connect_unix(file);
    toy_say(fd, "echo a\n");
    toy_hear(fd, "a\n");

    server = hand_over_to(server, unix_server(file, 0600));
    ck_assert_int_eq(lstat(file, &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_uint_eq(after.st_mode & 0777, 0600);
    toy_say(fd, "echo b\n");
    toy_hear(fd, "b\n");
    int second = connect_unix(file);
    toy_say(second, "echo c\n");
    toy_hear(second, "c\n");

    /* Another file has come to stand in its place: nobody can reach the old one. */
    struct toy_server *next = unix_server(file, 0600);
    toy_server_leave(server, &next->cargo);
    ck_assert_int_eq(unlink(file), 0);
    start(next);
    toy_say(fd, "echo d\n"); /* who had come stays */
    toy_hear(fd, "d\n");
    close(second);
    second = connect_unix(file);
    toy_say(second, "echo e\n");
    toy_hear(second, "e\n");

    /* Nobody asks for it any more. */
    server = hand_over(next);
    ck_assert_int_ne(access(file, F_OK), 0);
    toy_hear_end(fd);
    toy_hear_end(second);
    close(fd);
    close(second);
    toy_server_destroy(server);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

START_TEST(sockets_of_a_service_manager_are_not_given_away)
{
    struct toy_server *server = toy_server_create(), *next = toy_server_create();
    struct sockaddr_in name = { .sin_family = AF_INET };
    socklen_t len = sizeof name;
    int sockets[2] = { socket(AF_INET, SOCK_STREAM, 0), -1 };

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(sockets[0], (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(listen(sockets[0], 64), 0);
    ck_assert_int_eq(getsockname(sockets[0], (struct sockaddr *)&name, &len), 0);
    sockets[1] = dup(sockets[0]);
    server->activated = &sockets[0];
    next->activated = &sockets[1];
    server->nactivated = next->nactivated = 1;
    start(server);
    ck_assert_int_eq(server->port, ntohs(name.sin_port));
    int fd = greeted(server);
    toy_server_leave(server, &next->cargo);
    ck_assert_uint_eq(next->cargo.n, 1); /* the connection */
    start(next);
    toy_say(fd, "echo on\n");
    toy_hear(fd, "on\n");
    close(fd);

    /* None are passed: as if the environment had named none. */
    struct toy_server *third = toy_server_create();
    third->activated = &sockets[1];
    hand_over_to(next, third);
    close(greeted(third));
    toy_server_destroy(third);
}
END_TEST

/* ---- UDP --------------------------------------------------------------------------------- */

static void
ask_udp(int port, const char *text)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port) };
    char datagram[64] = { 0, 7, 0, 0, 0, 1, 0, 0 }, answer[64];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ssize_t got = -1;

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    int len = 8 + snprintf(datagram + 8, sizeof datagram - 8, "echo %s\n", text);
    for (int i = 0; i < 100 && got < 0; i++) {
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        (void)!send(fd, datagram, (size_t)len, 0); /* an error of the last may be told */
        if (poll(&wait, 1, 1000) == 1)
            got = recv(fd, answer, sizeof answer, 0);
    }
    ck_assert_int_eq(got, 8 + (ssize_t)strlen(text) + 1);
    ck_assert_int_eq(memcmp(answer + 8, text, strlen(text)), 0);
    close(fd);
}

START_TEST(sockets_for_datagrams_go_on_whatever_the_number_of_workers)
{
    static const int THREADS[] = { 2, 4, 1, 2 };
    struct toy_server *server = NULL;
    int port = 0;

    for (unsigned i = 0; i < sizeof THREADS / sizeof *THREADS; i++) {
        struct toy_server *next = toy_server_create();
        next->options.threads = THREADS[i];
        next->options.udp_port = -1;
        server = server == NULL ? start(next) : hand_over_to(server, next);
        ck_assert_uint_eq(server->net->udp.n, (unsigned)THREADS[i]);
        if (port == 0)
            port = server->net->udp.at[0].port;
        for (unsigned j = 0; j < server->net->udp.n; j++)
            ck_assert_int_eq(server->net->udp.at[j].port, port);
        for (int j = 0; j < 8; j++)
            ask_udp(port, "datagram");
    }
    toy_server_destroy(server);
}
END_TEST

/* ---- Numbers and bounds -------------------------------------------------------------------- */

START_TEST(counts_go_on_and_nobody_counts_twice)
{
    struct net_totals totals;
    struct toy_server *server = started(), *next = toy_server_create();
    int fds[2] = { greeted(server), greeted(server) };

    begin_to_leave(server, &next->cargo);
    toy_server_end(server);
    struct net_figures figures = server->last_figures;
    struct counts counts = server->last_counts;
    ck_assert_uint_eq(figures.total, 2);
    ck_assert_uint_eq(counts.bytes_read, 2 * strlen("echo hello\n"));
    totals = (struct net_totals){ figures.total, 5, 6, 7000000 };
    next->totals_before = &totals;
    next->counts_before = &counts;
    start(next);
    wait_for_current(next, 2);
    close(greeted(next));
    figures = figures_of(next);
    ck_assert_uint_eq(figures.total, 3);
    ck_assert_uint_eq(figures.rejected, 5);
    ck_assert_uint_eq(figures.listen_disabled, 6);
    ck_assert_uint_eq(figures.listen_disabled_us, 7000000);
    toy_server_end(next);
    ck_assert_uint_eq(next->last_counts.bytes_read, 3 * strlen("echo hello\n"));
    toy_server_free(server);
    toy_server_free(next);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(no_more_clients_go_on_than_are_allowed)
{
    struct toy_server *server = started(), *next = toy_server_create();
    int fds[6], served = 0;

    next->options.connections_max = 4;
    next->options.maxconns_fast = false;
    for (int i = 0; i < 6; i++)
        fds[i] = greeted(server);
    hand_over_to(server, next);
    wait_for_current(next, 4);
    ck_assert(!figures_of(next).accepting);
    int late = toy_connect(next);
    toy_say(late, "echo late\n");
    for (int i = 0; i < 6; i++) {
        char reply[8];
        (void)!send(fds[i], "echo x\n", 7, MSG_NOSIGNAL);
        struct pollfd wait = { .fd = fds[i], .events = POLLIN };
        ck_assert_int_eq(poll(&wait, 1, 30000), 1);
        served += recv(fds[i], reply, sizeof reply, 0) == 2;
        close(fds[i]);
    }
    ck_assert_int_eq(served, 4);
    toy_hear(late, "late\n"); /* a place has become free */
    close(late);
    toy_server_destroy(next);
}
END_TEST

/* A parcel of a connection that came through the server's listener. Its client's end. */
static int
put_conn(struct toy_cargo *cargo, struct toy_server *old, struct parcel_conn *about)
{
    char bytes[NET_PARCEL_MAX];
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    about->listener = old->net->acceptor.listeners.at[0].name;
    if (about->state == NULL) {
        about->state = "T-";
        about->state_len = 2;
    }
    toy_cargo_put(cargo, ends[1], bytes, parcel_put_conn(bytes, about));
    return ends[0];
}

START_TEST(idle_time_and_time_for_a_command_go_on)
{
    struct toy_server *server = started(), *next = toy_server_create();
    struct parcel_conn idle = { .idle = 1000 }, fresh = { .idle = 100 };
    struct parcel_conn partial = { .idle = 100, .waited = 401, .arrived = 6,
        .kept = "echo s", .kept_len = 6 };
    struct parcel_conn young = { .idle = 100, .waited = 1, .arrived = 6,
        .kept = "echo s", .kept_len = 6 };
    int fds[4] = { put_conn(&next->cargo, server, &idle),
        put_conn(&next->cargo, server, &fresh), put_conn(&next->cargo, server, &partial),
        put_conn(&next->cargo, server, &young) };

    next->clock.epoch -= 5000; /* it has gone on from before */
    next->options.idle_timeout = 500;
    next->options.partial_timeout = 300;
    hand_over_to(server, next);
    toy_hear_end(fds[0]);
    toy_hear_end(fds[2]);
    toy_say(fds[1], "echo here\n");
    toy_hear(fds[1], "here\n");
    toy_say(fds[3], "o\n");
    toy_hear(fds[3], "so\n");
    struct counts counts = { .idle_kicks = 0 };
    net_counts(next->net, &counts);
    ck_assert_uint_eq(counts.idle_kicks, 1);
    ck_assert_uint_eq(counts.partial_kicks, 1);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    toy_server_destroy(next);
}
END_TEST

START_TEST(what_was_read_and_not_run_is_run)
{
    static char kept[] = "echo a\necho b\nec";
    struct toy_server *server = started(), *next = toy_server_create();
    struct parcel_conn about = { .runnable = true, .kept = kept,
        .kept_len = sizeof kept - 1 };
    int fd = put_conn(&next->cargo, server, &about);

    hand_over_to(server, next);
    toy_hear(fd, "a\nb\n");
    toy_say(fd, "ho c\n");
    toy_hear(fd, "c\n");
    close(fd);
    toy_server_destroy(next);
}
END_TEST

/* ---- Forgeries ------------------------------------------------------------------------------ */

static uint32_t
next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Descriptors of every kind, also ones that the bytes do not fit. */
static int
some_fd(const struct toy_server *server, unsigned kind)
{
    int ends[2];

    if (kind % 4 == 0)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    if (kind % 4 == 1)
        return dup(server->net->acceptor.listeners.at[0].fd);
    if (kind % 4 == 2)
        return socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[0]);
    return ends[1];
}

/* True if the server understood it. The other end has gone, so nothing comes of it. */
static void
feed(struct net *net, const struct toy_server *server, unsigned kind, const char *bytes,
    size_t len)
{
    /* So that a sanitizer sees one byte too far. */
    char *copy = malloc(len > 0 ? len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, len);
    (void)net_take(net, some_fd(server, kind), copy, len);
    free(copy);
}

#define SAMPLES 3u

static size_t
sample(struct toy_server *server, unsigned which, char *bytes)
{
    struct parcel_socket socket = { .any_port = true, .owned = true, .device = 1,
        .inode = 2 };
    struct parcel_conn conn = { .idle = 3, .waited = 2, .arrived = 6, .state = "T-",
        .state_len = 2, .kept = "echo half", .kept_len = 9,
        .listener = server->net->acceptor.listeners.at[0].name };

    return which == 0 ? parcel_put_socket(bytes, PARCEL_LISTENER, &socket)
        : which == 1  ? parcel_put_socket(bytes, PARCEL_UDP, &socket)
                      : parcel_put_conn(bytes, &conn);
}

static void
feed_forgeries(struct net *net, struct toy_server *server, uint32_t seed)
{
    char bytes[256], bad[512];

    for (unsigned which = 0; which < SAMPLES; which++) {
        size_t len = sample(server, which, bytes);
        for (size_t cut = 0; cut < len; cut++)
            feed(net, server, (unsigned)cut, bytes, cut);
        memcpy(bad, bytes, len);
        bad[len] = '\0';
        feed(net, server, which, bad, len + 1);
        for (size_t at = 0; at < len; at++) {
            bad[at] = (char)next_random(&seed);
            for (unsigned kind = 0; kind < 4; kind++)
                feed(net, server, kind, bad, len);
            bad[at] = bytes[at];
        }
    }
    for (int i = 0; i < 300; i++) {
        size_t len = next_random(&seed) % sizeof bad, head = sample(server, 2, bytes);
        for (size_t j = 0; j < len; j++)
            bad[j] = (char)next_random(&seed);
        if (i % 2 == 0) /* so that it is looked at more closely */
            memcpy(bad, bytes, head < len ? head % 20 : len);
        feed(net, server, next_random(&seed), bad, len);
    }
}

START_TEST(forged_parcels_harm_nobody)
{
    struct toy_server *server = started(), *next = toy_server_create();
    struct event_base *base = event_base_new();
    const struct net_space space = { .context = &next->toy };
    struct net_parts parts = { &next->options, &next->clock, &next->service, &space, 1,
        .base = base };
    struct net *net = net_create(&parts);

    ck_assert_ptr_nonnull(net);
    next->options.port = 0; /* nobody asks for what is forged */
    feed_forgeries(net, server, (uint32_t)_i);
    ck_assert_int_eq(net_listen(net), 0);
    ck_assert_int_eq(net_start(net), 0);
    net_stop(net);
    net_destroy(net);

    /* Now somebody does. */
    net = net_create(&parts);
    next->options.port = server->port;
    feed_forgeries(net, server, (uint32_t)_i + 1000);
    ck_assert_int_eq(net_listen(net), 0);
    ck_assert_int_eq(net_start(net), 0);
    toy_sleep_ms(20);
    net_stop(net);
    net_destroy(net);
    event_base_free(base);
    options_fini(&next->options);
    close(next->stop_fd);
    free(next);
    close(greeted(server));
    toy_server_destroy(server);
}
END_TEST

START_TEST(parcels_that_nobody_takes_up_are_closed)
{
    struct toy_server *server = started(), *next = toy_server_create();
    const struct net_space space = { .context = &next->toy };
    struct net_parts parts = { &next->options, &next->clock, &next->service, &space, 1,
        .base = event_base_new() };
    struct net *net = net_create(&parts);
    int fd = greeted(server);

    ck_assert_ptr_nonnull(net);
    begin_to_leave(server, &next->cargo);
    toy_server_end(server);
    ck_assert_uint_eq(next->cargo.n, 2);
    for (unsigned i = 0; i < next->cargo.n; i++)
        ck_assert(net_take(net, next->cargo.parcels[i].fd, next->cargo.parcels[i].bytes,
            next->cargo.parcels[i].len));
    net_destroy(net);
    toy_hear_end(fd);
    ck_assert_int_eq(connect_to("127.0.0.1", server->port), -1);
    close(fd);
    event_base_free(parts.base);
    for (unsigned i = 0; i < next->cargo.n; i++)
        free(next->cargo.parcels[i].bytes);
    free(next->cargo.parcels);
    options_fini(&next->options);
    close(next->stop_fd);
    free(next);
    toy_server_free(server);
}
END_TEST

/* ---- Load ------------------------------------------------------------------------------------ */

#define ASKERS   6
#define WINDOW   16
#define REQUESTS 3000 /* at least; they go on until all hand-overs are done */

struct asker {
    pthread_t thread;
    const struct toy_server *server; /* for its port */
    atomic_bool *enough;
    unsigned sent;
    atomic_uint heard;
};

/* Keeps WINDOW numbered requests under way; every seventh comes in two pieces. */
static void *
asker_main(void *context)
{
    struct asker *asker = context;
    int fd = toy_connect(asker->server);
    unsigned heard = 0;
    char text[32];

    while (asker->sent < REQUESTS || !atomic_load(asker->enough)) {
        while (asker->sent - heard < WINDOW) {
            int len = snprintf(text, sizeof text, "echo %u\n", asker->sent++);
            if (asker->sent % 7 == 0) {
                toy_send(fd, text, 3);
                toy_send(fd, text + 3, (size_t)len - 3);
            } else {
                toy_send(fd, text, (size_t)len);
            }
        }
        snprintf(text, sizeof text, "%u\n", heard++);
        toy_hear(fd, text);
        atomic_store(&asker->heard, heard);
    }
    while (heard < asker->sent) {
        snprintf(text, sizeof text, "%u\n", heard++);
        toy_hear(fd, text);
    }
    toy_say(fd, "quit\n"); /* and nothing else is there to be read */
    toy_hear(fd, "bye\n");
    toy_hear_end(fd);
    close(fd);
    return NULL;
}

START_TEST(under_load_nothing_is_lost_and_nothing_done_twice)
{
    struct toy_server *server = started();
    struct asker askers[ASKERS];
    atomic_bool enough = false;
    unsigned sent = 0, echoes = 0;

    struct toy_server *first = toy_server_create();
    first->port = server->port;
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){ .server = first, .enough = &enough };
        ck_assert_int_eq(
            pthread_create(&askers[i].thread, NULL, asker_main, &askers[i]), 0);
    }
    for (int round = 0; round < 3; round++) {
        struct toy_server *next = toy_server_create();
        for (int i = 0; i < ASKERS; i++)
            for (unsigned from = atomic_load(&askers[i].heard);
                 atomic_load(&askers[i].heard) < from + 100;)
                toy_sleep_ms(1);
        begin_to_leave(server, &next->cargo);
        toy_server_end(server);
        echoes += (unsigned)server->toy.echoes;
        toy_server_free(server);
        server = start(next);
        ck_assert_uint_eq(server->refused, 0);
    }
    for (int i = 0; i < ASKERS; i++)
        for (unsigned from = atomic_load(&askers[i].heard);
             atomic_load(&askers[i].heard) < from + 100;)
            toy_sleep_ms(1);
    atomic_store(&enough, true);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(askers[i].thread, NULL);
        sent += askers[i].sent;
    }
    toy_server_end(server);
    echoes += (unsigned)server->toy.echoes;
    ck_assert_uint_eq(echoes, sent);
    ck_assert_int_eq(server->toy.unpacked, ASKERS);
    toy_server_free(server);
    options_fini(&first->options);
    close(first->stop_fd);
    free(first);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("leave");
    TCase *tc = tcase_create("leave");

    tcase_set_timeout(tc, 240);
    tcase_add_test(tc, idle_clients_do_not_notice);
    tcase_add_test(tc, part_of_a_line_goes_along);
    tcase_add_test(tc, what_is_sent_between_two_servers_is_answered_by_the_second);
    tcase_add_test(tc, a_pipeline_in_flight_is_answered_whole);
    tcase_add_test(tc, a_client_that_has_closed_its_side_gets_all_answers);
    tcase_add_test(tc, a_crowd_goes_on);
    tcase_add_test(tc, an_upload_that_moves_ends_first);
    tcase_add_test(tc, an_upload_that_stalls_is_closed_in_the_end);
    tcase_add_test(tc, a_slow_reader_gets_what_it_is_owed_and_goes_on);
    tcase_add_test(tc, who_does_not_read_is_closed_in_the_end);
    tcase_add_test(tc, who_watches_is_closed_and_who_waits_is_too);
    tcase_add_test(tc, addresses_may_change_their_order);
    tcase_add_test(tc, who_came_through_a_listener_that_is_gone_is_closed);
    tcase_add_test(tc, a_wider_or_narrower_address_takes_the_place_of_another);
    tcase_add_test(tc, a_port_that_was_asked_for_is_not_any_port);
    tcase_add_test(tc, a_unix_socket_stays_where_it_is);
    tcase_add_test(tc, sockets_of_a_service_manager_are_not_given_away);
    tcase_add_test(tc, sockets_for_datagrams_go_on_whatever_the_number_of_workers);
    tcase_add_test(tc, counts_go_on_and_nobody_counts_twice);
    tcase_add_test(tc, no_more_clients_go_on_than_are_allowed);
    tcase_add_test(tc, idle_time_and_time_for_a_command_go_on);
    tcase_add_test(tc, what_was_read_and_not_run_is_run);
    tcase_add_loop_test(tc, forged_parcels_harm_nobody, 0, 5);
    tcase_add_test(tc, parcels_that_nobody_takes_up_are_closed);
    tcase_add_test(tc, under_load_nothing_is_lost_and_nothing_done_twice);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
