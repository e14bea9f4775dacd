/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/counters.h"

void
counters_sum(const struct counters *counters, struct counts *sum)
{
#define COUNTER(name) sum->name += counter_get(&counters->name);
#include "base/counters.def"
#undef COUNTER
    for (unsigned i = 0; i < COUNTER_CLASSES; i++) {
        const struct class_counters *from = &counters->classes[i];
        struct class_counts *to = &sum->classes[i];
#define COUNTER(name) to->name += counter_get(&from->name);
#include "base/class_counters.def"
#undef COUNTER
    }
}

void
counts_add(struct counts *counts, const struct counts *more)
{
#define COUNTER(name) counts->name += more->name;
#include "base/counters.def"
#undef COUNTER
    for (unsigned i = 0; i < COUNTER_CLASSES; i++) {
        const struct class_counts *from = &more->classes[i];
        struct class_counts *to = &counts->classes[i];
#define COUNTER(name) to->name += from->name;
#include "base/class_counters.def"
#undef COUNTER
    }
}

void
counts_subtract(struct counts *counts, const struct counts *before)
{
#define COUNTER(name) counts->name -= before->name;
#include "base/counters.def"
#undef COUNTER
    for (unsigned i = 0; i < COUNTER_CLASSES; i++) {
        const struct class_counts *from = &before->classes[i];
        struct class_counts *to = &counts->classes[i];
#define COUNTER(name) to->name -= from->name;
#include "base/class_counters.def"
#undef COUNTER
    }
}
