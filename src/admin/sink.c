/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/sink.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* Digits of 2^64 and a sign, with space to spare. */
#define NUMBER_MAX 32u

void
stat_prefix(struct stat_sink *sink, const char *kind, unsigned number)
{
    int len = snprintf(sink->prefix, sizeof sink->prefix, "%s%u:", kind, number);

    assert(len >= 0);
    assert((size_t)len < sizeof sink->prefix);
}

void
stat_prefix_text(struct stat_sink *sink, const char *kind)
{
    int len = snprintf(sink->prefix, sizeof sink->prefix, "%s:", kind);

    assert(len >= 0);
    assert((size_t)len < sizeof sink->prefix);
}

void
stat_prefix_none(struct stat_sink *sink)
{
    sink->prefix[0] = '\0';
}

static void
put_field(struct stat_sink *sink, const char *name, enum stat_type type, const char *value,
    size_t len)
{
    char full_name[STAT_NAME_MAX];
    int name_len = snprintf(full_name, sizeof full_name, "%s%s", sink->prefix, name);

    assert(name_len > 0);
    assert((size_t)name_len < sizeof full_name);
    if (sink->full)
        return;
    if (len > STAT_VALUE_MAX)
        len = STAT_VALUE_MAX;
    sink->type = type;
    sink->field(sink, slice_of(full_name, (size_t)name_len), slice_of(value, len));
}

static void put_number(struct stat_sink *sink, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
put_number(struct stat_sink *sink, const char *name, const char *format, ...)
{
    char text[NUMBER_MAX];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len > 0);
    assert((size_t)len < sizeof text);
    put_field(sink, name, STAT_TYPE_NUMBER, text, (size_t)len);
}

void
stat_u64(struct stat_sink *sink, const char *name, uint64_t value)
{
    put_number(sink, name, "%" PRIu64, value);
}

void
stat_i64(struct stat_sink *sink, const char *name, int64_t value)
{
    put_number(sink, name, "%" PRId64, value);
}

void
stat_octal(struct stat_sink *sink, const char *name, uint64_t value)
{
    char text[NUMBER_MAX];
    int len = snprintf(text, sizeof text, "%" PRIo64, value);

    assert(len > 0);
    assert((size_t)len < sizeof text);
    put_field(sink, name, STAT_TYPE_TEXT, text, (size_t)len);
}

void
stat_text(struct stat_sink *sink, const char *name, const char *value)
{
    if (value == NULL)
        value = "NULL";
    put_field(sink, name, STAT_TYPE_TEXT, value, strlen(value));
}

void
stat_flag(struct stat_sink *sink, const char *name, bool value)
{
    put_field(sink, name, STAT_TYPE_NUMBER, value ? "1" : "0", 1);
}

void
stat_yes(struct stat_sink *sink, const char *name, bool value)
{
    put_field(sink, name, STAT_TYPE_YES, value ? "yes" : "no", value ? 3 : 2);
}

void
stat_ratio(struct stat_sink *sink, const char *name, double value)
{
    put_number(sink, name, "%.2f", value);
}

void
stat_time(struct stat_sink *sink, const char *name, struct timeval value)
{
    put_number(sink, name, "%lld.%06ld", (long long)value.tv_sec, (long)value.tv_usec);
}

/* An empty value leaves no blank behind the name, as in memcached. */
static void
text_field(struct stat_sink *sink, struct slice name, struct slice value)
{
    struct text_sink *text = (struct text_sink *)sink;
    struct outbox *out = text->out;
    size_t len = 5 + name.len + (value.len > 0 ? 1 + value.len : 0) + 2;

    if (outbox_room(out) < len) {
        sink->full = true;
        return;
    }
    outbox_put(out, "STAT ", 5);
    outbox_put(out, name.data, name.len);
    if (value.len > 0) {
        outbox_put(out, " ", 1);
        outbox_put(out, value.data, value.len);
    }
    outbox_put(out, "\r\n", 2);
}

static void
text_end(struct stat_sink *sink)
{
    struct text_sink *text = (struct text_sink *)sink;

    if (outbox_room(text->out) < 5)
        sink->full = true;
    if (!sink->full)
        outbox_put(text->out, "END\r\n", 5);
}

void
text_sink_init(struct text_sink *text, struct outbox *out)
{
    *text = (struct text_sink){ .sink = { .field = text_field, .end = text_end }, .out = out };
}

static void
form_field(struct stat_sink *sink, struct slice name, struct slice value)
{
    struct form_sink *self = (struct form_sink *)sink;

    if (outbox_room(self->out) < self->form->room + name.len + value.len) {
        sink->full = true;
        return;
    }
    self->form->begin(self->out, self->tag, name, value.len);
    outbox_put(self->out, value.data, value.len);
}

static void
form_end(struct stat_sink *sink)
{
    struct form_sink *self = (struct form_sink *)sink;

    if (outbox_room(self->out) < self->form->room)
        sink->full = true;
    if (!sink->full)
        self->form->begin(self->out, self->tag, slice_of(NULL, 0), 0);
}

void
form_sink_init(struct form_sink *sink, struct outbox *out, const struct admin_form *form,
    uint32_t tag)
{
    *sink = (struct form_sink){
        .sink = { .field = form_field, .end = form_end },
        .out = out,
        .form = form,
        .tag = tag,
    };
}
