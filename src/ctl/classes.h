/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * classes.h - size classes, put together from `stats slabs` and `stats items`.
 */
#ifndef LARDER_CTL_CLASSES_H
#define LARDER_CTL_CLASSES_H

#include "ctl/report.h"

#define CLASSES_MAX 64u

struct class_row {
    bool there;
    uint64_t chunk_size, pages, total_chunks, used_chunks, free_chunks;
    uint64_t items, age, mem_requested;
    uint64_t evicted, evicted_time, outofmemory;
};

struct classes {
    struct class_row at[CLASSES_MAX];
    uint64_t total_malloced;
};

/* Takes what it knows out of one of the two reports; the rest stays as it is. */
void classes_add(struct classes *classes, const struct report *report);

/* Both reports over one link. `why` as for report_fetch(). */
enum ctl_status classes_fetch(struct classes *classes_out, struct link *link, char *why);

/* Is there no room for one more item of this size without another page? */
bool classes_full(const struct class_row *row);

/* Fields as they are called in JSON, for whoever wants to go through them. */
struct class_field {
    const char *slabs, *items; /* what the reports call it; one is NULL */
    size_t offset;
};
extern const struct class_field class_fields[];

uint64_t classes_field(const struct class_row *row, const struct class_field *field);

#endif
