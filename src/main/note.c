/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/note.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Names of class counters have the class behind a dot: set_cmds.12. */
#define NAME_MAX_LEN 64
/* Before the names of what the network has counted. */
#define NET_PREFIX "net/"

/* ---- Fields by their names --------------------------------------------------------------- */

static uint64_t *
field_of_class(struct class_counts *counts, const char *name)
{
#define COUNTER(field)                                                                    \
    if (strcmp(name, #field) == 0)                                                        \
        return &counts->field;
#include "base/class_counters.def"
#undef COUNTER
    return NULL;
}

static uint64_t *
field_of_totals(struct net_totals *totals, const char *name)
{
    if (strcmp(name, "total_connections") == 0)
        return &totals->total;
    if (strcmp(name, "rejected_connections") == 0)
        return &totals->rejected;
    if (strcmp(name, "listen_disabled_num") == 0)
        return &totals->pauses;
    if (strcmp(name, "listen_disabled_us") == 0)
        return &totals->paused_us;
    return NULL;
}

static uint64_t *
field_of_counts(struct counts *counts, const char *name)
{
#define COUNTER(field)                                                                    \
    if (strcmp(name, #field) == 0)                                                        \
        return &counts->field;
#include "base/counters.def"
#undef COUNTER
    return NULL;
}

static uint64_t *
field_of(struct note *note, const char *name)
{
    if (strncmp(name, NET_PREFIX, sizeof NET_PREFIX - 1) == 0)
        return field_of_counts(&note->net_counts, name + sizeof NET_PREFIX - 1);
    if (strcmp(name, "takeovers") == 0)
        return &note->takeovers;
    uint64_t *field = field_of_counts(&note->counts, name);
    return field != NULL ? field : field_of_totals(&note->totals, name);
}

/* ---- Writing ----------------------------------------------------------------------------- */

static void
put(FILE *to, const char *name, uint64_t value)
{
    if (value != 0)
        fprintf(to, "%s %" PRIu64 "\n", name, value);
}

static void
put_counts(FILE *to, const struct counts *counts, const struct counts *net_counts)
{
#define COUNTER(field)                                                                    \
    put(to, #field, counts->field);                                                       \
    put(to, NET_PREFIX #field, net_counts->field);
#include "base/counters.def"
#undef COUNTER
    for (unsigned id = 0; id < COUNTER_CLASSES; id++) {
        const struct class_counts *class = &counts->classes[id];
#define COUNTER(field)                                                                    \
    if (class->field != 0)                                                                \
        fprintf(to, #field ".%u %" PRIu64 "\n", id, class->field);
#include "base/class_counters.def"
#undef COUNTER
    }
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
    put(to, "takeovers", note->takeovers);
    put(to, "total_connections", note->totals.total);
    put(to, "rejected_connections", note->totals.rejected);
    put(to, "listen_disabled_num", note->totals.pauses);
    put(to, "listen_disabled_us", note->totals.paused_us);
    put_counts(to, &note->counts, &note->net_counts);
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
        field = field_of_class(&note->counts.classes[id], name);
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
