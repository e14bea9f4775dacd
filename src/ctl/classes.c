/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/classes.h"

#include "base/num.h"

const struct class_field class_fields[] = {
    { "chunk_size", NULL, offsetof(struct class_row, chunk_size) },
    { "total_pages", NULL, offsetof(struct class_row, pages) },
    { "total_chunks", NULL, offsetof(struct class_row, total_chunks) },
    { "used_chunks", NULL, offsetof(struct class_row, used_chunks) },
    { "free_chunks", NULL, offsetof(struct class_row, free_chunks) },
    { NULL, "number", offsetof(struct class_row, items) },
    { NULL, "age", offsetof(struct class_row, age) },
    { NULL, "mem_requested", offsetof(struct class_row, mem_requested) },
    { NULL, "evicted", offsetof(struct class_row, evicted) },
    { NULL, "evicted_time", offsetof(struct class_row, evicted_time) },
    { NULL, "outofmemory", offsetof(struct class_row, outofmemory) },
    { NULL, NULL, 0 },
};

/* "5:number" or "items:5:number": true, with the class and what follows. */
static bool
split(struct slice name, bool *items, uint64_t *id, struct slice *field)
{
    const char *colon;

    *items = slice_starts(name, SLICE("items:"));
    if (*items)
        name = slice_of(name.data + 6, name.len - 6);
    colon = memchr(name.data, ':', name.len);
    if (colon == NULL)
        return false;
    *field = slice_of(colon + 1, name.len - (size_t)(colon - name.data) - 1);
    return num_u64(slice_of(name.data, (size_t)(colon - name.data)), 2, id) &&
        *id < CLASSES_MAX;
}

static void
set(struct class_row *row, bool items, struct slice name, uint64_t number)
{
    for (const struct class_field *field = class_fields;
         field->slabs != NULL || field->items != NULL; field++) {
        const char *called = items ? field->items : field->slabs;

        if (called == NULL || !slice_equal(name, slice_of(called, strlen(called))))
            continue;
        memcpy((char *)row + field->offset, &number, sizeof number);
        row->there = true;
        return;
    }
}

void
classes_add(struct classes *classes, const struct report *report)
{
    for (size_t i = 0; i < report->n; i++) {
        const struct report_row *row = &report->rows[i];
        struct slice field;
        uint64_t id, number;
        bool items;

        if (row->kind != REPORT_STAT || !num_u64(row->value, NUM_U64_MAX, &number))
            continue;
        if (slice_equal(row->name, SLICE("total_malloced")))
            classes->total_malloced = number;
        else if (split(row->name, &items, &id, &field))
            set(&classes->at[id], items, field, number);
    }
}

enum ctl_status
classes_fetch(struct classes *classes_out, struct link *link, char *why)
{
    static const char *const WHAT[] = { "slabs", "items" };
    struct classes classes = { .total_malloced = 0 };

    for (size_t i = 0; i < sizeof WHAT / sizeof WHAT[0]; i++) {
        struct report report;
        enum ctl_status status = report_fetch(&report, link, WHAT[i], why);

        if (status != CTL_OK)
            return status;
        classes_add(&classes, &report);
        report_free(&report);
    }
    *classes_out = classes;
    return CTL_OK;
}

bool
classes_full(const struct class_row *row)
{
    return row->free_chunks == 0;
}

uint64_t
classes_field(const struct class_row *row, const struct class_field *field)
{
    uint64_t number;

    memcpy(&number, (const char *)row + field->offset, sizeof number);
    return number;
}
