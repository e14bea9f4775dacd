/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * command.h - what a client asks for, whichever protocol it speaks.
 *
 * A parser fills it from bytes and does nothing else. Its slices point into the input, so
 * a command dies with the call that was given that input.
 */
#ifndef LARDER_PROTO_COMMAND_H
#define LARDER_PROTO_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/outcome.h"

#define COMMAND_KEY_MAX 250u
/* The largest value length a client may announce. */
#define COMMAND_VALUE_MAX 2147483645

enum verb {
#define VERB(name, word, shape) VERB_##name,
#include "proto/verbs.def"
#undef VERB
    VERB_UNKNOWN,
};

struct meta_command;

struct command {
    enum verb verb;
    enum outcome_code error; /* OUTCOME_NONE: run it; otherwise answer this instead */
    bool noreply;            /* say nothing, whatever the outcome */
    bool swallow;  /* with an error: value_len + 2 bytes follow that are to be dropped */
    bool hang_up;  /* close without a reply: this is no client of ours */
    uint32_t client_flags;
    uint32_t value_len;      /* storage: bytes of value that follow, then CR LF */
    int64_t exptime;         /* as given; see clock_exptime() */
    uint64_t number;         /* the CAS unique expected, or what to add or take away */
    /* The binary protocol only: */
    bool compare;     /* go on only if the item's CAS unique is `cas` */
    bool create;      /* counting: make an absent item, of the value `initial` */
    uint64_t cas;
    uint64_t initial;
    struct slice key;
    struct slice rest; /* retrieval: the keys; administration: the words after the verb;
                        * flush_prefix: the prefix */
    const struct meta_command *meta; /* the flags of a meta command that was parsed */
};

#endif
