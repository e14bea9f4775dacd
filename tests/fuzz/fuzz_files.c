/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_files.c - any bytes as a file of users, as a file of options, as a datagram.
 *
 * The first byte of an input says which of them the rest is. Nothing may crash, and:
 * a file of users that is taken lets in each user that it names, and nobody with a
 * password that it can't hold; what is printed of options that are taken reads back as
 * the same; no datagram is answered by more than its multiple, as bytes and with headers
 * counted.
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
#include "base/option_rows.h"
#include "net/frame.h"

#define DATAGRAM_MAX 65507u
#define FACTOR_MAX   16u

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *rest = (const char *)data + 1;

    if (size == 0)
        return 0;
    if (data[0] % 3 == 0)
        try_users(rest, size - 1);
    else if (data[0] % 3 == 1)
        try_options(rest, size - 1);
    else
        try_datagram(rest, size - 1);
    return 0;
}
