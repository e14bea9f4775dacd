/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_handover.c - protects what one server hands to the next: descriptors under their
 * names, what is known of each socket, the clock and the totals; and that nothing is
 * believed which another process may have made up.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/baggage.h"
#include "main/handover.h"
#include "main/note.h"
#include "main/predecessor.h"
#include "store/store.h"

/* ---- Baggage ---------------------------------------------------------------------------- */

static int
some_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

START_TEST(bags_come_out_by_name_and_in_order)
{
    struct baggage baggage = { .bags = NULL };
    int a = some_fd(), b = some_fd(), c = some_fd();

    ck_assert(baggage_put(&baggage, "larder-x", a));
    ck_assert(baggage_put(&baggage, "larder-y", b));
    ck_assert(baggage_put(&baggage, "larder-x", c));
    ck_assert_int_eq(baggage_take(&baggage, "larder-z"), -1);
    ck_assert_int_eq(baggage_take(&baggage, "larder-x"), a);
    ck_assert_int_eq(baggage_take(&baggage, "larder-x"), c);
    ck_assert_int_eq(baggage_take(&baggage, "larder-x"), -1);
    baggage_fini(&baggage);
    ck_assert(is_open(a));
    ck_assert(!is_open(b));
    close(a);
    close(c);
}
END_TEST

START_TEST(a_name_that_is_too_long_is_refused_and_its_descriptor_closed)
{
    struct baggage baggage = { .bags = NULL };
    char name[BAGGAGE_NAME_MAX + 1];
    int fd = some_fd();

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_assert(!baggage_put(&baggage, name, fd));
    ck_assert(!is_open(fd));
    baggage_fini(&baggage);
}
END_TEST

START_TEST(runs_have_one_name_and_a_bounded_length)
{
    struct baggage baggage = { .bags = NULL };
    int fds[BAGGAGE_RUN_MAX];
    const char *name = NULL;
    size_t at = 0;

    ck_assert(baggage_put(&baggage, "larder-a", some_fd()));
    for (unsigned i = 0; i < BAGGAGE_RUN_MAX + 5; i++)
        ck_assert(baggage_put(&baggage, "larder-b", some_fd()));
    ck_assert_uint_eq(baggage_run(&baggage, &at, &name, fds), 1);
    ck_assert_str_eq(name, "larder-a");
    ck_assert_uint_eq(baggage_run(&baggage, &at, &name, fds), BAGGAGE_RUN_MAX);
    ck_assert_str_eq(name, "larder-b");
    ck_assert_uint_eq(baggage_run(&baggage, &at, &name, fds), 5);
    ck_assert_uint_eq(baggage_run(&baggage, &at, &name, fds), 0);
    baggage_fini(&baggage);
}
END_TEST

START_TEST(messages_carry_text_and_descriptors)
{
    int ends[2], fds[BAGGAGE_RUN_MAX], sent[3] = { some_fd(), some_fd(), some_fd() };
    char text[BAGGAGE_NAME_MAX];
    size_t n;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(baggage_send(ends[0], NULL, 0, "larder-x", 8, sent, 3), 0);
    ck_assert_int_eq(baggage_send(ends[0], NULL, 0, "all", 3, NULL, 0), 0);
    close(ends[0]);
    ck_assert_int_eq(baggage_receive(ends[1], text, sizeof text, fds, &n), 8);
    ck_assert_str_eq(text, "larder-x");
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        close(fds[i]);
        close(sent[i]);
    }
    ck_assert_int_eq(baggage_receive(ends[1], text, sizeof text, fds, &n), 3);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(baggage_receive(ends[1], text, sizeof text, fds, &n), 0);
    close(ends[1]);
}
END_TEST

/* ---- What is known of sockets ------------------------------------------------------------ */

struct seen {
    unsigned n;
    int fds[8];
    char bytes[8][64];
};

static void
see(void *context, int fd, const void *bytes, size_t len)
{
    struct seen *seen = context;

    ck_assert_uint_lt(seen->n, 8);
    ck_assert_uint_lt(len, sizeof seen->bytes[0]);
    seen->fds[seen->n] = fd;
    memcpy(seen->bytes[seen->n++], bytes, len);
}

static int
some_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    return fd;
}

/* Whatever became of their numbers and their order, and if some are missing. */
START_TEST(sockets_find_what_is_known_of_them)
{
    struct baggage baggage = { .bags = NULL }, other = { .bags = NULL };
    struct handover handover = { .baggage = &baggage };
    struct seen seen = { .n = 0 };

    for (int i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "socket %d", i);
        handover_put(&handover, some_socket(), text, strlen(text) + 1);
    }
    ck_assert_int_eq(handover_close(&handover), 0);
    int first = baggage_take(&baggage, HANDOVER_SOCKET);
    close(baggage_take(&baggage, HANDOVER_SOCKET)); /* has gone meanwhile */
    int third = baggage_take(&baggage, HANDOVER_SOCKET);
    ck_assert(baggage_put(&other, HANDOVER_SOCKET, some_socket())); /* nobody knows it */
    ck_assert(baggage_put(&other, HANDOVER_SOCKET, fcntl(third, F_DUPFD_CLOEXEC, 300)));
    ck_assert(baggage_put(&other, HANDOVER_SOCKET, first));
    ck_assert(baggage_put(
        &other, HANDOVER_STATE, baggage_take(&baggage, HANDOVER_STATE)));
    close(third);
    ck_assert_uint_eq(handover_open(&other, see, &seen), 2);
    ck_assert_uint_eq(seen.n, 2);
    ck_assert_str_eq(seen.bytes[0], "socket 2");
    ck_assert_str_eq(seen.bytes[1], "socket 0");
    close(seen.fds[0]);
    close(seen.fds[1]);
    baggage_fini(&baggage);
    baggage_fini(&other);
}
END_TEST

static int
state_of(const char *bytes, size_t len)
{
    int fd = memfd_create("state", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

START_TEST(a_state_cut_anywhere_is_read_as_far_as_it_goes)
{
    struct baggage baggage = { .bags = NULL };
    struct handover handover = { .baggage = &baggage };
    char bytes[256];

    handover_put(&handover, some_socket(), "one", 4);
    handover_put(&handover, some_socket(), "another", 8);
    ck_assert_int_eq(handover_close(&handover), 0);
    int state = baggage_take(&baggage, HANDOVER_STATE);
    ssize_t len = pread(state, bytes, sizeof bytes, 0);
    ck_assert_int_gt(len, 0);
    close(state);
    for (ssize_t cut = 0; cut <= len; cut++) {
        struct baggage copy = { .bags = NULL };
        struct seen seen = { .n = 0 };
        for (size_t i = 0; i < baggage.n; i++)
            if (baggage.bags[i].fd >= 0)
                ck_assert(baggage_put(&copy, HANDOVER_SOCKET,
                    fcntl(baggage.bags[i].fd, F_DUPFD_CLOEXEC, 3)));
        ck_assert(baggage_put(&copy, HANDOVER_STATE, state_of(bytes, (size_t)cut)));
        size_t known = handover_open(&copy, see, &seen);
        ck_assert_uint_eq(known, cut == len ? 2 : cut >= 8 + 16 + 8 ? 1 : 0);
        for (unsigned i = 0; i < seen.n; i++)
            close(seen.fds[i]);
        baggage_fini(&copy);
    }
    baggage_fini(&baggage);
}
END_TEST

START_TEST(rubbish_is_no_state)
{
    unsigned seed = 5;

    for (int round = 0; round < 300; round++) {
        struct baggage baggage = { .bags = NULL };
        struct seen seen = { .n = 0 };
        char bytes[200];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)rand_r(&seed);
        if (round % 2 == 0)
            memcpy(bytes, "LARDERS1", 8);
        ck_assert(baggage_put(&baggage, HANDOVER_SOCKET, some_socket()));
        ck_assert(baggage_put(&baggage, HANDOVER_STATE, state_of(bytes, sizeof bytes)));
        ck_assert_uint_eq(handover_open(&baggage, see, &seen), 0);
        baggage_fini(&baggage);
    }
}
END_TEST

/* It may listen where the next server wants to. */
START_TEST(sockets_of_which_nothing_is_known_are_closed)
{
    struct baggage baggage = { .bags = NULL };
    struct seen seen = { .n = 0 };
    int fd = some_socket();

    ck_assert(baggage_put(&baggage, HANDOVER_SOCKET, fd));
    ck_assert_uint_eq(handover_open(&baggage, see, &seen), 0);
    ck_assert(!is_open(fd));
    baggage_fini(&baggage);
}
END_TEST

START_TEST(what_is_known_is_sent_before_the_sockets)
{
    struct baggage baggage = { .bags = NULL };
    struct handover handover = { .baggage = &baggage };

    handover_put(&handover, some_socket(), "x", 1);
    handover_put(&handover, some_socket(), "y", 1);
    ck_assert_int_eq(handover_close(&handover), 0);
    ck_assert_str_eq(baggage.bags[0].name, HANDOVER_STATE);
    ck_assert_uint_eq(baggage.n, 3);
    baggage_fini(&baggage);
}
END_TEST

/* ---- The note ------------------------------------------------------------------------------ */

START_TEST(a_note_says_everything)
{
    struct note note = { .takeovers = 3,
        .totals = { .total = 1, .rejected = 2, .pauses = 3, .paused_us = 4 },
        .stamp = { .boot = "some-boot", .epoch = -5, .seconds = 77,
            .unix_seconds = 1700000000 } };
    struct note read;
    uint64_t *fields = (uint64_t *)(void *)&note.counts;
    size_t n = sizeof note.counts / sizeof *fields, len;

    for (size_t i = 0; i < n; i++)
        fields[i] = i + 1;
    note.net_counts.bytes_read = 77;
    note.net_counts.conn_yields = 78;
    char *text = note_write(&note, &len);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_le(len, STORE_NOTE_MAX);
    ck_assert(note_read(&read, slice_of(text, len)));
    ck_assert_mem_eq(&read.counts, &note.counts, sizeof note.counts);
    ck_assert_mem_eq(&read.net_counts, &note.net_counts, sizeof note.net_counts);
    ck_assert_mem_eq(&read.totals, &note.totals, sizeof note.totals);
    ck_assert_str_eq(read.stamp.boot, "some-boot");
    ck_assert_int_eq(read.stamp.epoch, -5);
    ck_assert_uint_eq(read.stamp.seconds, 77);
    ck_assert_int_eq(read.stamp.unix_seconds, 1700000000);
    ck_assert_uint_eq(read.takeovers, 3);
    free(text);
}
END_TEST

START_TEST(what_a_note_has_too_much_is_passed_over)
{
    static const char TEXT[] = "clock b 1 2 3\nget_hits 7\nfrom_the_future 9\nset_cmds.99 1\n"
        "no number\nget_misses x\n\n.\n. 1\nget_hits.3 5\ncmd_get 18446744073709551616\n"
        "cmd_set 4";
    struct note note;

    ck_assert(note_read(&note, SLICE(TEXT)));
    ck_assert_uint_eq(note.counts.get_hits, 7);
    ck_assert_uint_eq(note.counts.get_misses, 0);
    ck_assert_uint_eq(note.counts.cmd_get, 0);
    ck_assert_uint_eq(note.counts.cmd_set, 4);
}
END_TEST

START_TEST(a_note_without_a_clock_is_none)
{
    static const char *const TEXTS[] = { "", "get_hits 7\n", "clock\n", "clock b\n",
        "clock b 1\n", "clock b 1 2\n", "clock b x 2 3\n", "clock b 1 -2 3\n",
        "clock b 1 4294967296 3\n",
        "clock 0123456789012345678901234567890123456789 1 2 3\n" };
    struct note note;

    ck_assert(!note_read(&note, slice_of(TEXTS[_i], strlen(TEXTS[_i]))));
}
END_TEST

/* ---- What a manager passes ------------------------------------------------------------------ */

/* In a process of its own, whose descriptors from 3 on are the manager's. 0: all is well. */
static int
find_as_started_by_a_manager(void)
{
    struct predecessor predecessor;
    char number[16];
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (int to = 3; to < 6; to++)
        if (to != fd && dup2(fd, to) != to)
            return 1;
    snprintf(number, sizeof number, "%ld", (long)getpid());
    setenv("LISTEN_PID", number, 1);
    setenv("LISTEN_FDS", "3", 1);
    setenv("LISTEN_FDNAMES", "larder.socket:larder-store:larder-socket", 1);
    if (!predecessor_find(&predecessor) || predecessor.nactivated != 1 ||
        predecessor.activated[0] != 3)
        return 2;
    if (baggage_take(&predecessor.baggage, HANDOVER_STORE) != 4 ||
        baggage_take(&predecessor.baggage, HANDOVER_SOCKET) != 5)
        return 3;
    if (fcntl(4, F_GETFD) != FD_CLOEXEC || getenv("LISTEN_FDS") != NULL ||
        getenv("LISTEN_FDNAMES") != NULL)
        return 4;
    predecessor_close(&predecessor);
    return 0;
}

START_TEST(stored_descriptors_are_told_from_sockets_that_listen)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(find_as_started_by_a_manager());
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(descriptors_of_another_process_are_left_alone)
{
    struct predecessor predecessor;

    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "3", 1);
    setenv(PREDECESSOR_VARIABLE, "1", 1);
    ck_assert(predecessor_find(&predecessor));
    ck_assert_uint_eq(predecessor.nactivated, 0);
    ck_assert_int_eq(predecessor.socket, -1);
    ck_assert_int_eq(predecessor_receive(&predecessor), 0);
    predecessor_done(&predecessor);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("main/handover");
    TCase *tc = tcase_create("handover");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, bags_come_out_by_name_and_in_order);
    tcase_add_test(tc, a_name_that_is_too_long_is_refused_and_its_descriptor_closed);
    tcase_add_test(tc, runs_have_one_name_and_a_bounded_length);
    tcase_add_test(tc, messages_carry_text_and_descriptors);
    tcase_add_test(tc, sockets_find_what_is_known_of_them);
    tcase_add_test(tc, a_state_cut_anywhere_is_read_as_far_as_it_goes);
    tcase_add_test(tc, rubbish_is_no_state);
    tcase_add_test(tc, sockets_of_which_nothing_is_known_are_closed);
    tcase_add_test(tc, what_is_known_is_sent_before_the_sockets);
    tcase_add_test(tc, a_note_says_everything);
    tcase_add_test(tc, what_a_note_has_too_much_is_passed_over);
    tcase_add_loop_test(tc, a_note_without_a_clock_is_none, 0, 10);
    tcase_add_test(tc, stored_descriptors_are_told_from_sockets_that_listen);
    tcase_add_test(tc, descriptors_of_another_process_are_left_alone);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
