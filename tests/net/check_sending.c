/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protects net/sending: bytes and references leave in their order wherever the socket
 * stops taking them, and every pin is released exactly once.
 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sending.h"

#define REFS      5u
#define VALUE_LEN 200000u
#define ALL_MAX   (REFS * VALUE_LEN + OUTBOX_BYTES)

struct fixture {
    struct outbox out;
    char *value; /* what references point to */
    char *want;  /* what must arrive */
    size_t want_len;
    unsigned released[REFS];
    int ours, theirs;
    struct pin_release pins;
};

static void
release(void *lane, void *pin)
{
    struct fixture *f = lane;
    size_t index = (size_t)((unsigned *)pin - f->released);

    ck_assert_uint_lt(index, REFS);
    f->released[index]++;
}

static struct fixture *
fixture_create(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    int fds[2];

    ck_assert_ptr_nonnull(f);
    f->out.bytes = malloc(OUTBOX_BYTES);
    f->value = malloc(VALUE_LEN);
    f->want = malloc(ALL_MAX);
    ck_assert(f->out.bytes != NULL && f->value != NULL && f->want != NULL);
    for (unsigned i = 0; i < VALUE_LEN; i++)
        f->value[i] = (char)(i * 7 + i / 251);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    f->ours = fds[0];
    f->theirs = fds[1];
    f->pins = (struct pin_release){ release, f };
    return f;
}

static void
fixture_destroy(struct fixture *f)
{
    close(f->ours);
    if (f->theirs >= 0)
        close(f->theirs);
    free(f->out.bytes);
    free(f->value);
    free(f->want);
    free(f);
}

static void
put(struct fixture *f, const char *text)
{
    outbox_put(&f->out, text, strlen(text));
    memcpy(f->want + f->want_len, text, strlen(text));
    f->want_len += strlen(text);
}

static void
refer(struct fixture *f, size_t len, unsigned *pin)
{
    outbox_ref(&f->out, f->value, len, pin);
    memcpy(f->want + f->want_len, f->value, len);
    f->want_len += len;
}

/* Sends to the end through backlogs, as a connection does, reading `step` at a time. */
static void
send_all(struct fixture *f, size_t step)
{
    char *got = malloc(ALL_MAX);
    size_t got_len = 0, sent_len = 0, sent;
    struct sending sending;
    struct backlog *backlog = NULL;
    enum sending_result result;

    ck_assert_ptr_nonnull(got);
    sending_begin(&sending, &f->out);
    result = sending_push(&sending, f->ours, &f->pins, &sent);
    sent_len += sent;
    if (result == SENDING_STUCK) {
        backlog = backlog_create(&sending);
        ck_assert_ptr_nonnull(backlog);
        memset(f->out.bytes, '!', OUTBOX_BYTES); /* the worker uses it for others now */
        memset(f->out.refs, 0, sizeof f->out.refs);
    }
    while (got_len < f->want_len) {
        ssize_t n = recv(f->theirs, got + got_len, step, 0);
        if (n > 0)
            got_len += (size_t)n;
        if (result != SENDING_STUCK)
            continue;
        result = sending_push(&backlog->rest, f->ours, &f->pins, &sent);
        sent_len += sent;
        ck_assert_int_ne(result, SENDING_BROKEN);
    }
    ck_assert_int_eq(result, SENDING_DONE);
    ck_assert_uint_eq(sent_len, f->want_len);
    ck_assert_mem_eq(got, f->want, f->want_len);
    free(backlog);
    free(got);
}

/*
 * What TLS could not send it must offer again: at least as much, and the same bytes first,
 * also when the rest has moved to a backlog. `step` bytes go at a time.
 */
static void
send_pieces(struct fixture *f, char *stage, size_t size, size_t step)
{
    char *before = malloc(ALL_MAX);
    const char *piece;
    struct sending sending;
    struct backlog *backlog;
    size_t sent = 0, len;

    ck_assert_ptr_nonnull(before);
    sending_begin(&sending, &f->out);
    while ((len = sending_piece(&sending, stage, size, &piece)) > 0) {
        ck_assert_uint_le(sent + len, f->want_len);
        ck_assert_mem_eq(piece, f->want + sent, len);
        memcpy(before, piece, len);
        backlog = backlog_create(&sending);
        ck_assert_ptr_nonnull(backlog);
        memset(stage, '!', size);
        size_t again = sending_piece(&backlog->rest, stage, size, &piece);
        ck_assert_uint_ge(again, len);
        ck_assert_mem_eq(piece, before, len);
        free(backlog);
        size_t part = len < step ? len : step;
        sent += part;
        ck_assert(sending_advance(&sending, part, &f->pins) == (sent == f->want_len));
    }
    ck_assert_uint_eq(sent, f->want_len);
    free(before);
}

START_TEST(plain_bytes_go_in_one_call)
{
    struct fixture *f = fixture_create();

    put(f, "STORED\r\n");
    send_all(f, 4096);
    fixture_destroy(f);
}
END_TEST

/* Sizes of reading that cut runs everywhere. */
static const size_t STEPS[] = { 1000, 4096, 65536, 100003 };

/* Places for pieces, up to one that holds more than there is. */
static const size_t STAGES[] = { 1, 1000, 16384, ALL_MAX };

START_TEST(pieces_are_the_same_again_and_all_of_it)
{
    struct fixture *f = fixture_create();
    char *stage = malloc(STAGES[_i]);

    ck_assert_ptr_nonnull(stage);
    put(f, "VALUE k 0 100\r\n");
    refer(f, 100, &f->released[0]);
    put(f, "\r\nVALUE l 0 200000\r\n");
    refer(f, VALUE_LEN, &f->released[1]);
    refer(f, 1, &f->released[2]);
    put(f, "\r\nEND\r\n");
    send_pieces(f, stage, STAGES[_i], 997);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(f->released[i], 1);
    free(stage);
    fixture_destroy(f);
}
END_TEST

START_TEST(order_and_pins_survive_a_socket_that_stops_anywhere)
{
    struct fixture *f = fixture_create();

    refer(f, VALUE_LEN, &f->released[0]); /* begins with a reference */
    put(f, "\r\nVALUE k 0 5\r\n");
    refer(f, 100, NULL);
    refer(f, VALUE_LEN - 1, &f->released[1]); /* follows another one */
    put(f, "\r\n");
    refer(f, 1, &f->released[2]);
    put(f, "END\r\n");
    refer(f, VALUE_LEN, &f->released[3]); /* ends with one */
    send_all(f, STEPS[_i]);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(f->released[i], 1);
    fixture_destroy(f);
}
END_TEST

START_TEST(a_full_outbox_goes)
{
    struct fixture *f = fixture_create();

    while (f->out.nrefs < OUTBOX_REFS) {
        put(f, "VALUE ");
        refer(f, 10, NULL);
    }
    send_all(f, 65536);
    fixture_destroy(f);
}
END_TEST

START_TEST(what_is_not_sent_is_released_when_the_client_goes)
{
    struct fixture *f = fixture_create();
    struct sending sending;
    size_t sent;

    refer(f, 1, &f->released[0]);
    refer(f, VALUE_LEN, &f->released[1]);
    refer(f, VALUE_LEN, NULL);
    refer(f, VALUE_LEN, &f->released[2]);
    refer(f, VALUE_LEN, &f->released[3]);
    sending_begin(&sending, &f->out);
    ck_assert_int_eq(sending_push(&sending, f->ours, &f->pins, &sent), SENDING_STUCK);
    struct backlog *backlog = backlog_create(&sending);
    ck_assert_ptr_nonnull(backlog);
    close(f->theirs);
    f->theirs = -1;
    ck_assert_int_eq(
        sending_push(&backlog->rest, f->ours, &f->pins, &sent), SENDING_BROKEN);
    sending_drop(&backlog->rest, &f->pins);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(f->released[i], 1);
    free(backlog);
    fixture_destroy(f);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("sending");
    TCase *tc = tcase_create("sending");

    tcase_add_test(tc, plain_bytes_go_in_one_call);
    tcase_add_loop_test(tc, pieces_are_the_same_again_and_all_of_it, 0,
        sizeof STAGES / sizeof *STAGES);
    tcase_add_loop_test(tc, order_and_pins_survive_a_socket_that_stops_anywhere, 0,
        sizeof STEPS / sizeof *STEPS);
    tcase_add_test(tc, a_full_outbox_goes);
    tcase_add_test(tc, what_is_not_sent_is_released_when_the_client_goes);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
