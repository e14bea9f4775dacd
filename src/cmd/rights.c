/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rights.c - which command needs which right.
 *
 * An operator's is whatever shows or changes more than one client's own keys: all reports
 * but the plain `stats`, which libraries ask for by themselves, and `me`. To write is to
 * leave anything about an item different, its expiry included; that reading is noted, so that
 * what is read stays, is part of reading. Who may not write may not flush either.
 */
#include "cmd/rights.h"

#include "base/service.h"

/* The rights without any of which the verb is refused. */
static unsigned
needs(enum verb verb, bool words)
{
    switch (verb) {
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_APPEND:
    case VERB_PREPEND:
    case VERB_CAS:
    case VERB_INCR:
    case VERB_DECR:
    case VERB_DELETE:
    case VERB_TOUCH:
    case VERB_GAT:
    case VERB_GATS:
    case VERB_MS:
    case VERB_MD:
    case VERB_MA:
        return RIGHT_WRITE;
    case VERB_FLUSH_ALL:
    case VERB_FLUSH_PREFIX:
        return RIGHT_FLUSH | RIGHT_WRITE;
    case VERB_STATS:
        return words ? RIGHT_ADMIN : 0;
    case VERB_ME:
    case VERB_WATCH:
    case VERB_SLABS:
    case VERB_LRU:
    case VERB_LRU_CRAWLER:
    case VERB_CACHE_MEMLIMIT:
    case VERB_VERBOSITY:
    case VERB_SHUTDOWN:
    case VERB_REFRESH_CERTS:
    case VERB_EXTSTORE:
        return RIGHT_ADMIN;
    case VERB_GET:
    case VERB_GETS:
    case VERB_MG:
    case VERB_MN:
    case VERB_VERSION:
    case VERB_QUIT:
    case VERB_UNKNOWN:
        break;
    }
    return 0;
}

bool
rights_deny(uint8_t denied, enum verb verb, bool words)
{
    return (denied & needs(verb, words)) != 0;
}

/* To create, to touch, or to be the one who is to make it anew. */
bool
rights_deny_get(uint8_t denied, const struct meta_command *meta)
{
    return (denied & RIGHT_WRITE) != 0 &&
           (meta_has(meta, 'N') || meta_has(meta, 'T') || meta_has(meta, 'R'));
}
