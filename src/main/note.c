/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/note.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Names of class counters have the class behind a dot: set_cmds.12. */
#define NAME_MAX_LEN 64
/* Before the names of what the network has counted. */
#define NET_PREFIX "net/"

/* ---- Fields by their names --------------------------------------------------------------- */

struct field {
    const char *name;
    size_t at; /* in its struct */
};

static const struct field count_fields[] = {
#define COUNTER(field) { #field, offsetof(struct counts, field) },
#include "base/counters.def"
#undef COUNTER
    { NULL, 0 },
};

static const struct field class_fields[] = {
#define COUNTER(field) { #field, offsetof(struct class_counts, field) },
#include "base/class_counters.def"
#undef COUNTER
    { NULL, 0 },
};

static const struct field note_fields[] = {
    { "takeovers", offsetof(struct note, takeovers) },
    { "total_connections", offsetof(struct note, totals.total) },
    { "rejected_connections", offsetof(struct note, totals.rejected) },
    { "listen_disabled_num", offsetof(struct note, totals.pauses) },
    { "listen_disabled_us", offsetof(struct note, totals.paused_us) },
    { NULL, 0 },
};

static uint64_t
value_of(const void *of, const struct field *field)
{
    return *(const uint64_t *)(const void *)((const char *)of + field->at);
}

/* NULL: there is none of this name. */
static uint64_t *
find(void *of, const struct field *fields, const char *name)
{
    for (; fields->name != NULL; fields++)
        if (strcmp(name, fields->name) == 0)
            return (uint64_t *)(void *)((char *)of + fields->at);
    return NULL;
}

static uint64_t *
field_of(struct note *note, const char *name)
{
    if (strncmp(name, NET_PREFIX, sizeof NET_PREFIX - 1) == 0)
        return find(&note->net_counts, count_fields, name + sizeof NET_PREFIX - 1);
    uint64_t *field = find(note, note_fields, name);
    return field != NULL ? field : find(&note->counts, count_fields, name);
}

/* ---- Writing ----------------------------------------------------------------------------- */

/* A line for each that is not 0. */
static void
put(FILE *to, const char *prefix, const void *of, const struct field *fields)
{
    for (; fields->name != NULL; fields++)
        if (value_of(of, fields) != 0)
            fprintf(to, "%s%s %" PRIu64 "\n", prefix, fields->name, value_of(of, fields));
}

static void
put_class(FILE *to, unsigned id, const struct class_counts *class)
{
    const struct field *field = class_fields;

    for (; field->name != NULL; field++)
        if (value_of(class, field) != 0)
            fprintf(to, "%s.%u %" PRIu64 "\n", field->name, id, value_of(class, field));
}

char *
note_write(const struct note *note, size_t *len_out)
{
    const struct clock_stamp *stamp = &note->stamp;
    char *text = NULL;
    FILE *to = open_memstream(&text, len_out);

    if (to == NULL)
        return NULL;
    fprintf(to, "clock %s %" PRId64 " %" PRIu32 " %" PRId64 "\n", stamp->boot,
        stamp->epoch, stamp->seconds, stamp->unix_seconds);
    put(to, "", note, note_fields);
    put(to, "", &note->counts, count_fields);
    put(to, NET_PREFIX, &note->net_counts, count_fields);
    for (unsigned id = 0; id < COUNTER_CLASSES; id++)
        put_class(to, id, &note->counts.classes[id]);
    bool failed = ferror(to) != 0;
    if (fclose(to) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}

/* ---- Reading ----------------------------------------------------------------------------- */

/* The next word, without the blank behind it. */
static struct slice
take_word(struct slice *line)
{
    const char *blank = memchr(line->data, ' ', line->len);
    size_t len = blank == NULL ? line->len : (size_t)(blank - line->data);
    struct slice word = slice_of(line->data, len);

    len += blank != NULL;
    *line = slice_of(line->data + len, line->len - len);
    return word;
}

static bool
read_clock(struct clock_stamp *stamp, struct slice line)
{
    struct slice boot = take_word(&line);
    int64_t seconds;

    if (boot.len >= sizeof stamp->boot || !num_i64(take_word(&line), 20, &stamp->epoch) ||
        !num_i64(take_word(&line), 20, &seconds) || seconds < 0 || seconds > UINT32_MAX ||
        !num_i64(line, 20, &stamp->unix_seconds))
        return false;
    memcpy(stamp->boot, boot.data, boot.len);
    stamp->boot[boot.len] = '\0';
    stamp->seconds = (uint32_t)seconds;
    return true;
}

static void
read_number(struct note *note, struct slice word, struct slice line)
{
    char name[NAME_MAX_LEN];
    uint64_t *field, value, id = 0;

    if (word.len >= sizeof name || !num_u64(line, NUM_U64_MAX, &value))
        return;
    memcpy(name, word.data, word.len);
    name[word.len] = '\0';
    char *dot = strchr(name, '.');
    if (dot == NULL) {
        field = field_of(note, name);
    } else {
        *dot++ = '\0';
        if (!num_u64(slice_of(dot, strlen(dot)), NUM_U64_MAX, &id) ||
            id >= COUNTER_CLASSES)
            return;
        field = find(&note->counts.classes[id], class_fields, name);
    }
    if (field != NULL)
        *field = value;
}

bool
note_read(struct note *note, struct slice text)
{
    bool clock = false;

    memset(note, 0, sizeof *note);
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        struct slice line = slice_of(text.data, len);
        struct slice word = take_word(&line);
        len += end != NULL;
        text = slice_of(text.data + len, text.len - len);
        if (slice_equal(word, SLICE("clock")))
            clock = read_clock(&note->stamp, line);
        else
            read_number(note, word, line);
    }
    return clock;
}
