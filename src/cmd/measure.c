/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/measure.h"

#include <string.h>

#include "cmd/notice.h"

/* The longest word that has a class of its own, and more. */
#define WORD_MAX 16u

static enum latency_class
class_of_verb(enum verb verb)
{
    switch (verb) {
    case VERB_GET:
    case VERB_GETS:
    case VERB_GAT:
    case VERB_GATS:
    case VERB_MG:
        return LATENCY_GET;
    case VERB_SET:
    case VERB_ADD:
    case VERB_REPLACE:
    case VERB_APPEND:
    case VERB_PREPEND:
    case VERB_CAS:
    case VERB_MS:
        return LATENCY_SET;
    case VERB_DELETE:
    case VERB_MD:
        return LATENCY_DELETE;
    case VERB_INCR:
    case VERB_DECR:
    case VERB_MA:
        return LATENCY_ARITH;
    case VERB_TOUCH:
        return LATENCY_TOUCH;
    case VERB_ME:
    case VERB_MN:
    case VERB_VERSION:
    case VERB_QUIT:
    case VERB_FLUSH_ALL:
    case VERB_FLUSH_PREFIX:
    case VERB_STATS:
    case VERB_WATCH:
    case VERB_SLABS:
    case VERB_LRU:
    case VERB_LRU_CRAWLER:
    case VERB_CACHE_MEMLIMIT:
    case VERB_VERBOSITY:
    case VERB_SHUTDOWN:
    case VERB_REFRESH_CERTS:
    case VERB_EXTSTORE:
    case VERB_UNKNOWN:
        break;
    }
    return LATENCY_OTHER;
}

static enum latency_class
class_of_word(const char *at, size_t len)
{
    static const struct {
        const char *word;
        size_t len;
        enum verb verb;
    } words[] = {
#define VERB(name, word, shape) { word, sizeof word - 1, VERB_##name },
#include "proto/verbs.def"
#undef VERB
    };
    size_t n = 0;

    if (len >= 4 && memcmp(at, "get ", 4) == 0) /* most are */
        return LATENCY_GET;
    while (n < len && n < WORD_MAX && at[n] >= 'a' && at[n] <= 'z')
        n++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].len == n && memcmp(words[i].word, at, n) == 0)
            return class_of_verb(words[i].verb);
    return LATENCY_OTHER;
}

static enum latency_class
class_of_opcode(uint8_t opcode)
{
    switch (opcode) {
#define OPCODE(code, kind, verb, quiet, extras, key, value)                               \
    case code:                                                                            \
        return class_of_verb(VERB_##verb);
#include "proto/opcodes.def"
#undef OPCODE
    default:
        return LATENCY_OTHER;
    }
}

/* What a packet or line that begins here will be. */
static enum latency_class
class_of_next(const struct turn *turn)
{
    size_t len = (size_t)(turn->end - turn->at);

    if (!turn->session->binary)
        return class_of_word(turn->at, len);
    return len >= 2 ? class_of_opcode((uint8_t)turn->at[1]) : LATENCY_OTHER;
}

void
measure_begin(struct measure *measure, const struct turn *turn)
{
    measure->state = turn->session->state;
    measure->at = turn->at;
    measure->class = LATENCY_OTHER;
    switch ((enum state)turn->session->state) {
    case STATE_LINE:
        measure->class = class_of_next(turn);
        break;
    case STATE_KEYS:
    case STATE_VALUE:
        measure->class = LATENCY_GET;
        break;
    case STATE_UPLOAD:
        measure->class = LATENCY_SET;
        break;
    case STATE_SWALLOW:
    case STATE_DROP:
    case STATE_STREAM:
    case STATE_LOGIN:
    case STATE_PENDING:
        break;
    }
}

void
measure_end(const struct measure *measure, struct turn *turn, enum step step)
{
    bool over = turn->session->state == STATE_LINE &&
                (measure->state != STATE_LINE || turn->at != measure->at);

    /* READ in a line moves the place too, when the line is written anew. */
    if (over && step != STEP_READ && step != STEP_CLOSE)
        turn->lane->ran[measure->class]++;
}
