/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * measure.h - which commands a measured turn has done; inside src/cmd.
 *
 * The clock is read outside, by whoever reads and sends (struct service, measure): a
 * measured turn only counts its commands by class, step by step, in lane->ran. Other turns
 * do nothing of this.
 */
#ifndef LARDER_CMD_MEASURE_H
#define LARDER_CMD_MEASURE_H

#include "base/latency.h"
#include "cmd/state.h"

/* How things stood before a step. */
struct measure {
    enum latency_class class;
    uint8_t state;
    const char *at;
};

void measure_begin(struct measure *measure, const struct turn *turn);
/* Counts the command if this step was its last. */
void measure_end(const struct measure *measure, struct turn *turn, enum step step);

#endif
