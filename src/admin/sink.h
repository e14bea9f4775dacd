/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sink.h - where a report puts its fields.
 *
 * A report says "bytes is 17" and does not care whether that becomes a line of text or a
 * packet: the sink does. A field that finds no room sets `full`, which stays set; the
 * report's caller then drops the unfinished part and asks for it again later (report.h).
 */
#ifndef LARDER_ADMIN_SINK_H
#define LARDER_ADMIN_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

#include "base/outbox.h"
#include "base/slice.h"
#include "cmd/admin_hook.h"

/* Longer values (a listen list, a path) are cut, so that any part of a report fits an
 * empty outbox. */
#define STAT_VALUE_MAX 4096u
/* Longest text field() is given as a name. */
#define STAT_NAME_MAX 96u

/* What a value is, for forms that can tell a number from a text. */
enum stat_type { STAT_TYPE_NUMBER, STAT_TYPE_TEXT, STAT_TYPE_YES };

struct stat_sink {
    /* One field; the slices are borrowed for the call. */
    void (*field)(struct stat_sink *sink, struct slice name, struct slice value);
    /* The report is complete. */
    void (*end)(struct stat_sink *sink);
    bool full;
    char prefix[32]; /* put before every name: "items:3:" */
    enum stat_type type; /* of the field that is being put */
};

/* Puts `kind` and a number before the names that follow: "items:3:"; or nothing more. */
void stat_prefix(struct stat_sink *sink, const char *kind, unsigned number);
void stat_prefix_text(struct stat_sink *sink, const char *kind); /* "get:" */
void stat_prefix_none(struct stat_sink *sink);

void stat_u64(struct stat_sink *sink, const char *name, uint64_t value);
void stat_i64(struct stat_sink *sink, const char *name, int64_t value);
void stat_octal(struct stat_sink *sink, const char *name, uint64_t value);
/* NULL is shown as "NULL". */
void stat_text(struct stat_sink *sink, const char *name, const char *value);
/* "1" or "0". */
void stat_flag(struct stat_sink *sink, const char *name, bool value);
/* "yes" or "no". */
void stat_yes(struct stat_sink *sink, const char *name, bool value);
/* Two decimals. */
void stat_ratio(struct stat_sink *sink, const char *name, double value);
/* "seconds.micros" with six digits: exporters split it at its one point. */
void stat_time(struct stat_sink *sink, const char *name, struct timeval value);

/* Lines of the text protocol, `STAT name value`, closed by `END`. */
struct text_sink {
    struct stat_sink sink;
    struct outbox *out;
};
void text_sink_init(struct text_sink *text, struct outbox *out);

/* Fields in another form, which the asker's protocol has brought along. */
struct form_sink {
    struct stat_sink sink;
    struct outbox *out;
    const struct admin_form *form;
    uint32_t tag;
};
void form_sink_init(struct form_sink *sink, struct outbox *out,
    const struct admin_form *form, uint32_t tag);

#endif
