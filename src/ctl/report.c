/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"

#define PIECE_BYTES (64u * 1024)

/* Text that rows point into never moves, so it grows by pieces. */
struct report_piece {
    struct report_piece *next;
    size_t used, size;
    char bytes[];
};

static char *
keep(struct report *report, struct slice text)
{
    struct report_piece *piece = report->pieces;

    if (piece == NULL || piece->size - piece->used < text.len) {
        size_t size = text.len > PIECE_BYTES ? text.len : PIECE_BYTES;

        piece = malloc(sizeof *piece + size);
        if (piece == NULL)
            return NULL;
        *piece = (struct report_piece){ .next = report->pieces, .size = size };
        report->pieces = piece;
    }
    char *at = piece->bytes + piece->used;
    memcpy(at, text.data, text.len);
    piece->used += text.len;
    return at;
}

/* The words before the last occurrence of `mark`, or the whole. */
static size_t
before_last(struct slice text, const char *mark)
{
    size_t len = strlen(mark);

    for (size_t at = text.len; at >= len; at--)
        if (memcmp(text.data + at - len, mark, len) == 0)
            return at - len;
    return text.len;
}

bool
report_row(struct slice line, struct report_row *row_out)
{
    static const struct {
        struct slice word;
        const char *mark; /* what parts name and value; NULL: the first blank */
    } KINDS[] = {
        [REPORT_STAT] = { { "STAT ", 5 }, NULL },
        [REPORT_PREFIX] = { { "PREFIX ", 7 }, " get " },
        [REPORT_ITEM] = { { "ITEM ", 5 }, " [" },
    };

    for (size_t kind = 0; kind < sizeof KINDS / sizeof KINDS[0]; kind++) {
        struct slice word = KINDS[kind].word, rest;
        size_t len;

        if (!slice_starts(line, word))
            continue;
        rest = slice_of(line.data + word.len, line.len - word.len);
        if (KINDS[kind].mark != NULL) {
            len = before_last(rest, KINDS[kind].mark);
        } else {
            const char *blank = memchr(rest.data, ' ', rest.len);
            len = blank != NULL ? (size_t)(blank - rest.data) : rest.len;
        }
        row_out->kind = (enum report_kind)kind;
        row_out->name = slice_of(rest.data, len);
        row_out->value = len < rest.len ? slice_of(rest.data + len + 1, rest.len - len - 1)
                                        : slice_of(rest.data + len, 0);
        return true;
    }
    return false;
}

static bool
add_row(struct report *report, struct slice line)
{
    char *kept;

    if (report->n == report->room) {
        size_t room = report->room == 0 ? 128 : report->room * 2;
        struct report_row *rows = realloc(report->rows, room * sizeof *rows);

        if (rows == NULL)
            return false;
        report->rows = rows;
        report->room = room;
    }
    kept = keep(report, line);
    if (kept == NULL || !report_row(slice_of(kept, line.len), &report->rows[report->n]))
        return false;
    report->n++;
    return true;
}

static bool
is_end(struct slice line)
{
    return slice_equal(line, SLICE("END")) || slice_equal(line, SLICE("RESET")) ||
        slice_equal(line, SLICE("OK"));
}

/* Rows up to the end. */
static enum ctl_status
collect(struct report *report, struct link *link, char *why)
{
    struct report_row row;
    struct slice line;
    size_t bytes = 0;

    for (;;) {
        if (!link_line(link, &line)) {
            snprintf(why, CTL_WHY_MAX, "%s", link_why(link));
            return CTL_UNREACHABLE;
        }
        if (is_end(line))
            return CTL_OK;
        bytes += line.len;
        if (!report_row(line, &row)) {
            snprintf(why, CTL_WHY_MAX, "%.*s", (int)(line.len < 200 ? line.len : 200),
                line.data);
            return CTL_REFUSED;
        }
        if (bytes > REPORT_BYTES || report->n == REPORT_ROWS) {
            snprintf(why, CTL_WHY_MAX, "the report has no end");
            return CTL_REFUSED;
        }
        if (!add_row(report, line)) {
            snprintf(why, CTL_WHY_MAX, "out of memory");
            return CTL_REFUSED;
        }
    }
}

enum ctl_status
report_fetch(struct report *report_out, struct link *link, const char *what, char *why)
{
    struct report report = { .n = 0 };
    enum ctl_status status;

    link_step(link);
    if (!link_put_text(link, *what != '\0' ? "stats " : "stats") ||
        !link_put_text(link, what) || !link_put_text(link, "\r\n")) {
        snprintf(why, CTL_WHY_MAX, "%s", link_why(link));
        return CTL_UNREACHABLE;
    }
    status = collect(&report, link, why);
    if (status == CTL_OK)
        *report_out = report;
    else
        report_free(&report);
    return status;
}

void
report_free(struct report *report)
{
    while (report->pieces != NULL) {
        struct report_piece *next = report->pieces->next;

        free(report->pieces);
        report->pieces = next;
    }
    free(report->rows);
    *report = (struct report){ .n = 0 };
}

struct slice
report_find(const struct report *report, const char *name)
{
    struct slice wanted = slice_of(name, strlen(name));

    for (size_t i = 0; i < report->n; i++)
        if (report->rows[i].kind == REPORT_STAT &&
            slice_equal(report->rows[i].name, wanted))
            return report->rows[i].value;
    return slice_of("", 0);
}

uint64_t
report_u64(const struct report *report, const char *name)
{
    uint64_t number;

    return num_u64(report_find(report, name), NUM_U64_MAX, &number) ? number : 0;
}

double
report_parse_real(struct slice text)
{
    const char *point = memchr(text.data, '.', text.len);
    size_t whole = point != NULL ? (size_t)(point - text.data) : text.len;
    uint64_t before, after = 0;
    double scale = 1;

    if (!num_u64(slice_of(text.data, whole), NUM_U64_MAX, &before))
        return 0;
    if (point != NULL) {
        struct slice digits = slice_of(point + 1, text.len - whole - 1);

        if (!num_u64(digits, 9, &after))
            return 0;
        for (size_t i = 0; i < digits.len; i++)
            scale *= 10;
    }
    return (double)before + (double)after / scale;
}

double
report_real(const struct report *report, const char *name)
{
    return report_parse_real(report_find(report, name));
}
