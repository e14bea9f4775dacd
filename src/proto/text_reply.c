/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text_reply.c - the lines a text client reads.
 *
 * Fixed lines come from a table; `VALUE` lines, of which a busy server writes millions a
 * second, are put together by hand.
 */
#include "proto/text_reply.h"

#include <string.h>

#include "base/assert.h"
#include "base/num.h"

static const struct slice LINES[] = {
#define OUTCOME(name, line) { line, sizeof(line) - 1 },
#include "proto/outcomes.def"
#undef OUTCOME
};

void
text_put_line(struct outbox *out, enum outcome_code code)
{
    assert((size_t)code < sizeof LINES / sizeof LINES[0]);
    assert(LINES[code].len <= TEXT_LINE_ROOM);
    outbox_put(out, LINES[code].data, LINES[code].len);
}

void
text_put_outcome(struct outbox *out, const struct outcome *outcome)
{
    char *end;

    if (outcome->code != OUTCOME_NUMBER) {
        text_put_line(out, outcome->code);
        return;
    }
    assert(outbox_room(out) >= NUM_U64_MAX + 2);
    end = num_put(outbox_tail(out), outcome->number);
    memcpy(end, "\r\n", 2);
    outbox_grow(out, (size_t)(end - outbox_tail(out)) + 2);
}

void
text_put_version(struct outbox *out, const char *version)
{
    outbox_put(out, "VERSION ", 8);
    outbox_put(out, version, strlen(version));
    outbox_put(out, "\r\n", 2);
}

char *
text_put_value(char *to, const struct text_value *value)
{
    assert(value->key.len <= 250);
    memcpy(to, "VALUE ", 6);
    to += 6;
    memcpy(to, value->key.data, value->key.len);
    to += value->key.len;
    *to++ = ' ';
    to = num_put(to, value->client_flags);
    *to++ = ' ';
    to = num_put(to, value->value_len);
    if (value->with_cas) {
        *to++ = ' ';
        to = num_put(to, value->cas);
    }
    memcpy(to, "\r\n", 2);
    return to + 2;
}
