/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fields.h - the reports of `stats`, collected, so that they can be shown in another
 * form.
 *
 * Pages and metrics are made from the very fields that `stats` answers: a figure that is
 * added there is shown here too, and the two can't contradict each other. Used by one
 * thread.
 */
#ifndef LARDER_HTTP_FIELDS_H
#define LARDER_HTTP_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/view.h"
#include "base/slice.h"

/* Bounds; a report that is longer than they allow is cut. */
#define FIELDS_MAX        8192u
#define FIELDS_TEXT_MAX   (512u * 1024u)
#define FIELDS_CLASS_NONE 0u
#define FIELDS_CLASSES    256u

struct field {
    uint32_t name, name_len; /* places in `text` */
    uint32_t value, value_len;
    enum stat_type type;
};

/* The fields of one report, or of one size class in it. */
struct field_run {
    uint32_t first, n;
};

struct fields {
    struct field *at;
    uint32_t n, capacity;
    char *text;
    uint32_t used, size;
    bool failed; /* out of memory or over the bounds */
    struct field_run runs[VIEW_REPORTS][FIELDS_CLASSES];
};

/* Collects all reports. False: out of memory; what there is can be used. Pair with
 * fields_fini() in either case. */
bool fields_init(struct fields *fields, struct admin *admin);
/* As that, of one report alone. */
bool fields_init_of(
    struct fields *fields, struct admin *admin, enum view_report report);
void fields_fini(struct fields *fields);

struct slice field_name(const struct fields *fields, const struct field *field);
struct slice field_value(const struct fields *fields, const struct field *field);

/* A field of a report; `id` is a size class, or FIELDS_CLASS_NONE. NULL: there is none.
 */
const struct field *fields_find(
    const struct fields *fields, enum view_report report, unsigned id, const char *name);

#endif
