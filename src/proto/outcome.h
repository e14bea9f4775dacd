/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * outcome.h - how a command ended, before any protocol has put it into bytes.
 */
#ifndef LARDER_PROTO_OUTCOME_H
#define LARDER_PROTO_OUTCOME_H

#include <stdint.h>

enum outcome_code {
#define OUTCOME(name, line) OUTCOME_##name,
#include "proto/outcomes.def"
#undef OUTCOME
};

struct outcome {
    enum outcome_code code;
    uint64_t number; /* OUTCOME_NUMBER: the sum */
    uint64_t cas;    /* of the item stored or touched, 0 if none was */
    uint32_t client_flags; /* OUTCOME_TOUCHED: the item's */
};

#endif
