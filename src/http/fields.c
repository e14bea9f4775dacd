/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

#define FIELDS_FIRST 512u
#define TEXT_FIRST   16384u

struct collector {
    struct stat_sink sink;
    struct fields *fields;
    enum view_report report;
};

static bool
make_room(struct fields *fields, size_t bytes)
{
    if (fields->n == fields->capacity) {
        uint32_t capacity = fields->capacity == 0 ? FIELDS_FIRST : 2 * fields->capacity;
        struct field *longer = realloc(fields->at, capacity * sizeof *longer);
        if (longer == NULL || capacity > FIELDS_MAX) {
            fields->at = longer == NULL ? fields->at : longer;
            return false;
        }
        fields->at = longer;
        fields->capacity = capacity;
    }
    if (fields->size - fields->used >= bytes)
        return true;
    uint32_t size = fields->size == 0 ? TEXT_FIRST : 2 * fields->size;
    char *longer = size > FIELDS_TEXT_MAX ? NULL : realloc(fields->text, size);
    if (longer == NULL)
        return false;
    fields->text = longer;
    fields->size = size;
    return size - fields->used >= bytes;
}

static uint32_t
keep(struct fields *fields, struct slice text)
{
    uint32_t at = fields->used;

    if (text.len > 0)
        memcpy(fields->text + at, text.data, text.len);
    fields->used += (uint32_t)text.len;
    return at;
}

/* "items:3:age" is the age of class 3, and so is "3:age"; other names stay as they are.
 */
static unsigned
split_class(struct slice *name)
{
    const char *end = memrchr(name->data, ':', name->len);
    uint64_t id;

    if (end == NULL)
        return FIELDS_CLASS_NONE;
    size_t front = (size_t)(end - name->data);
    const char *begin = memrchr(name->data, ':', front);
    begin = begin == NULL ? name->data : begin + 1;
    if (!num_u64(slice_of(begin, (size_t)(end - begin)), NUM_U64_MAX, &id) ||
        id >= FIELDS_CLASSES)
        return FIELDS_CLASS_NONE;
    *name = slice_of(end + 1, name->len - front - 1);
    return (unsigned)id;
}

static void
collect(struct stat_sink *sink, struct slice name, struct slice value)
{
    struct collector *collector = (struct collector *)sink;
    struct fields *fields = collector->fields;
    unsigned id = FIELDS_CLASS_NONE;

    if (collector->report == VIEW_ITEMS || collector->report == VIEW_SLABS)
        id = split_class(&name);
    if (fields->failed || !make_room(fields, name.len + value.len)) {
        fields->failed = true;
        return;
    }
    struct field_run *run = &fields->runs[collector->report][id];
    if (run->n == 0)
        run->first = fields->n;
    if (run->first + run->n != fields->n)
        return; /* a class comes in one run; what is apart from it can't be kept */
    run->n++;
    struct field *field = &fields->at[fields->n++];
    field->name = keep(fields, name);
    field->name_len = (uint32_t)name.len;
    field->value = keep(fields, value);
    field->value_len = (uint32_t)value.len;
    field->type = sink->type;
}

bool
fields_init(struct fields *fields, struct admin *admin)
{
    struct collector collector = { .sink = { .field = collect }, .fields = fields };

    memset(fields, 0, sizeof *fields);
    for (int i = 0; i < VIEW_REPORTS; i++) {
        collector.report = (enum view_report)i;
        view_report(admin, collector.report, &collector.sink);
    }
    return !fields->failed;
}

bool
fields_init_of(struct fields *fields, struct admin *admin, enum view_report report)
{
    struct collector collector = { .sink = { .field = collect }, .fields = fields,
        .report = report };

    memset(fields, 0, sizeof *fields);
    view_report(admin, report, &collector.sink);
    return !fields->failed;
}

void
fields_fini(struct fields *fields)
{
    free(fields->at);
    free(fields->text);
}

struct slice
field_name(const struct fields *fields, const struct field *field)
{
    return slice_of(fields->text + field->name, field->name_len);
}

struct slice
field_value(const struct fields *fields, const struct field *field)
{
    return slice_of(fields->text + field->value, field->value_len);
}

const struct field *
fields_find(
    const struct fields *fields, enum view_report report, unsigned id, const char *name)
{
    assert(id < FIELDS_CLASSES);
    const struct field_run *run = &fields->runs[report][id];
    struct slice wanted = slice_of(name, strlen(name));

    for (uint32_t i = run->first; i < run->first + run->n; i++)
        if (slice_equal(field_name(fields, &fields->at[i]), wanted))
            return &fields->at[i];
    return NULL;
}
