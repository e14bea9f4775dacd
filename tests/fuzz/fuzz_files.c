/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_files.c - any bytes as a file of users, as a file of options, as a datagram, as what
 * goes from one process to the next, as what a browser says.
 *
 * The first byte of an input says which of them the rest is. Nothing may crash, and:
 * a file of users that is taken lets in each user that it names, and nobody with a
 * password that it can't hold; what is printed of options that are taken reads back as
 * the same; no datagram is answered by more than its multiple, as bytes and with headers
 * counted; totals, sockets and connections that are taken over read back as the same, and
 * a conversation that is gone on with comes to an end; a host that is ours is one that was
 * named.
 *
 * LLVMFuzzerTestOneInput() is libFuzzer's entry point (scripts/fuzz); replay.c calls it
 * for the inputs that are kept in corpus/files.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/authfile.h"
#include "base/clock.h"
#include "base/option_rows.h"
#include "cmd/session.h"
#include "http/host.h"
#include "main/note.h"
#include "net/frame.h"
#include "net/parcel.h"

#define DATAGRAM_MAX 65507u
#define FACTOR_MAX   16u
#define TURNS_MAX    100000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each line of `text` with a user and a password; so it need not be taken again as a
 * whole. */
static void
all_get_in(struct authfile *authfile, const char *text, size_t len)
{
    const char *end = text + len;

    while (text < end) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));
        const char *next = lf == NULL ? end : lf + 1, *stop = lf == NULL ? end : lf;
        const char *colon = memchr(text, ':', (size_t)(stop - text));

        if (stop > text && stop[-1] == '\r')
            stop--;
        if (colon != NULL && colon < stop)
            assert(authfile_check(authfile, slice_of(text, (size_t)(colon - text)),
                slice_of(colon + 1, (size_t)(stop - colon - 1))));
        text = next;
    }
}

static void
try_users(const char *text, size_t len)
{
    char path[] = "/tmp/larder-fuzz-XXXXXX", why[AUTHFILE_WHY_MAX];
    int fd = mkstemp(path);
    struct authfile *authfile;

    assert(fd >= 0);
    assert(write(fd, text, len) == (ssize_t)len);
    close(fd);
    authfile = authfile_open(path, why);
    if (authfile != NULL) {
        char *longer = malloc(len + 1);

        assert(longer != NULL);
        memset(longer, 'x', len + 1);
        all_get_in(authfile, text, len);
        assert(!authfile_check(authfile, SLICE("user"), slice_of(longer, len + 1)));
        free(longer);
        assert(authfile_reload(authfile, why));
        authfile_close(authfile);
    }
    unlink(path);
}

static int
apply(struct options *options, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    int status;

    assert(copy != NULL);
    memcpy(copy, text, len);
    copy[len] = '\0';
    options_init(options);
    status = option_file_apply(options, "fuzz.conf", copy, len);
    free(copy);
    return status;
}

/* What options_print() says, by way of a file in place of the standard output. */
static size_t
printed(const struct options *options, char *to, size_t size)
{
    FILE *file = tmpfile();
    size_t len;
    int kept;

    assert(file != NULL);
    fflush(stdout);
    kept = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    options_print(options);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    rewind(file);
    len = fread(to, 1, size, file);
    fclose(file);
    return len;
}

static void
differs(void *context, const char *name, const char *before, const char *after)
{
    (void)name;
    (void)before;
    (void)after;
    ++*(int *)context;
}

static void
try_options(const char *text, size_t len)
{
    static char again[1u << 19];
    struct options first, second;
    int differences = 0, kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);

    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    int status = apply(&first, text, len), status_again = OPTIONS_GO_ON;
    if (status == OPTIONS_GO_ON) {
        status_again = apply(&second, again, printed(&first, again, sizeof again));
        options_differ(&first, &second, differs, &differences);
        options_fini(&second);
    }
    options_fini(&first);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert(status_again == OPTIONS_GO_ON);
    assert(differences == 0);
}

/* Answers of the lengths that the bytes behind the header say, as far as they may be
 * sent. */
static void
try_datagram(const char *data, size_t len)
{
    uint16_t id;

    if (len > DATAGRAM_MAX || !frame_parse(data, len, &id))
        return;
    assert(len > FRAME_HEADER);
    uint32_t factor = (uint8_t)data[0] % FACTOR_MAX + 1u;
    uint32_t overhead = id % 2 != 0 ? FRAME_OVERHEAD_IP6 : FRAME_OVERHEAD_IP4;
    uint64_t bytes = 0, wire = 0;
    struct frame_allowance allowance;

    frame_allow(&allowance, len, factor, overhead);
    for (size_t at = FRAME_HEADER; at + 2 <= len; at += 2) {
        size_t answer = (size_t)(uint8_t)data[at] * (uint8_t)data[at + 1] + 1;
        unsigned count = frame_count(answer);

        if (!frame_fits(&allowance, answer))
            continue;
        frame_spend(&allowance, answer);
        bytes += answer + (uint64_t)count * FRAME_HEADER;
        wire += answer + (uint64_t)count * (FRAME_HEADER + overhead);
        assert(bytes <= (uint64_t)factor * len);
        assert(wire <= (uint64_t)factor * (len + overhead));
    }
}

/* What is read from a note, written, and read again. */
static void
try_note(const char *text, size_t len)
{
    static struct note note, again;

    if (!note_read(&note, slice_of(text, len)))
        return;
    size_t first_len, second_len;
    char *first = note_write(&note, &first_len);
    assert(first != NULL);
    bool taken = note_read(&again, slice_of(first, first_len));
    assert(taken);
    char *second = note_write(&again, &second_len);
    assert(second != NULL);
    assert(first_len == second_len);
    assert(memcmp(first, second, first_len) == 0);
    free(first);
    free(second);
}

static void
try_name(const struct parcel_name *name)
{
    struct parcel_name other = *name;

    if (name->at.ss_family == AF_UNIX || name->at.ss_family == AF_INET ||
        name->at.ss_family == AF_INET6) {
        assert(parcel_name_equal(name, &other));
        assert(!parcel_name_clash(name, &other));
    }
    parcel_name_set_port(&other, (uint16_t)(parcel_name_port(name) + 1));
    (void)parcel_name_equal(name, &other);
    (void)parcel_name_clash(name, &other);
}

static void
try_parcel(const char *bytes, size_t len)
{
    static char again[NET_PARCEL_MAX];
    enum parcel_kind kind;
    struct parcel_socket socket, socket_again;
    struct parcel_conn conn, conn_again;

    if (!parcel_get_kind(bytes, len, &kind))
        return;
    if (kind != PARCEL_CONN) {
        if (!parcel_get_socket(bytes, len, &socket))
            return;
        len = parcel_put_socket(again, kind, &socket);
        bool taken = parcel_get_socket(again, len, &socket_again);
        assert(taken);
        assert(socket.device == socket_again.device);
        assert(socket.inode == socket_again.inode);
        assert(socket.any_port == socket_again.any_port);
        assert(socket.owned == socket_again.owned);
        return;
    }
    if (!parcel_get_conn(bytes, len, &conn))
        return;
    try_name(&conn.listener);
    size_t len_again = parcel_put_conn(again, &conn);
    bool taken = parcel_get_conn(again, len_again, &conn_again);
    assert(taken);
    assert(len_again == len);
    assert(conn_again.state_len == conn.state_len);
    assert(conn_again.kept_len == conn.kept_len);
}

/* Runs input until the session asks for more or is done; releases what is sent. */
static void
go_on(const struct service *service, void *lane, void *session, const char *data,
    size_t len)
{
    static char out_bytes[OUTBOX_BYTES];
    struct outbox out = { .bytes = out_bytes };
    enum service_next next;
    unsigned turns = 0;

    do {
        char *input = malloc(len + (len == 0));
        size_t used = 0;

        assert(input != NULL);
        memcpy(input, data, len);
        next = service->took(session, input, len, 3, &used, &out);
        free(input);
        assert(used <= len);
        data += used;
        len -= used;
        for (uint32_t i = 0; i < out.nrefs; i++)
            if (out.refs[i].pin != NULL)
                service->release(lane, out.refs[i].pin);
        out.used = 0;
        out.nrefs = 0;
        assert(++turns < TURNS_MAX);
    } while (next == SERVICE_AGAIN || next == SERVICE_DRAIN);
}

/* A session that another process has described: its bytes behind their length, then what
 * the client says to it. */
static void
try_session(const char *data, size_t len)
{
    const struct store_options options = { .memory_max = 1 << 20, .memory_reserve = 1 << 20,
        .item_size_max = 1 << 20, .chunk_max = 65536, .chunk_min = 48,
        .growth_factor = 1.25, .evict = true, .hash_key = "0123456789abcde" };
    const struct peer peer = { .fd = 7 };
    struct cmd_context context = { .version = "1", .flush_allowed = true, .cas = true };
    struct service service;
    struct clock clock;
    const char *why;
    size_t state_len = (uint8_t)data[0];

    data++;
    len--;
    if (state_len > len)
        return;
    clock_start(&clock);
    context.clock = &clock;
    context.store = store_create(&options, &why);
    assert(context.store != NULL);
    cmd_service(&service);
    if (!cmd_init(&context))
        abort();
    void *lane = service.lane_open(&context, 0);
    assert(lane != NULL);
    void *session = service.unpack(lane, &peer, data, state_len);
    if (session != NULL) {
        go_on(&service, lane, session, data + state_len, len - state_len);
        service.close(session);
    }
    service.lane_close(lane);
    cmd_fini(&context);
    store_check(context.store);
    store_destroy(context.store);
}

/* Two lines: a Host and an Accept header. */
static void
try_host(const char *text, size_t len)
{
    char *copy = malloc(len + 1), *accept;

    assert(copy != NULL);
    memcpy(copy, text, len);
    copy[len] = '\0';
    accept = strchr(copy, '\n');
    if (accept != NULL)
        *accept++ = '\0';
    bool ours = host_is_ours(copy, "", NULL);
    if (ours) /* addresses and localhost */
        assert(strspn(copy, "0123456789abcdefABCDEF.:[]lochstLOCHST") == strlen(copy));
    bool listed = host_is_ours(copy, "own.example", "one.example,two.example");
    assert(listed || !ours);
    (void)accept_openmetrics(accept);
    free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const TRY[])(const char *rest, size_t len) = { try_users, try_options,
        try_datagram, try_note, try_parcel, try_session, try_host };

    if (size >= 2)
        TRY[data[0] % (sizeof TRY / sizeof TRY[0])]((const char *)data + 1, size - 1);
    return 0;
}
