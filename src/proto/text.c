/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.c - one line of the classic text protocol.
 *
 *   set  :1:rl:4f..  4      65        1        noreply  \r \n
 *   verb key         flags  exptime   length   last word
 *
 * Words are taken from the left, one at a time, by a cursor; there is no array of tokens,
 * because all but the retrieval commands need at most six. `noreply` is different: it
 * counts where it is the last word of the line, wherever that is.
 *
 * Each error is decided here, in the order in which a client may rely on it: how many
 * words, then the length (from then on it is known what to swallow), then the key, the
 * other numbers and the CAS unique.
 */
#include "proto/text.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/num.h"

/* The longest a number may be written, zeros in front included. */
#define SHORT_DIGITS 11u
#define LONG_DIGITS  22u
/* Blanks before a long `get` that is to be refused only at its end. */
#define OPEN_GET_BLANKS 100u
/* A line has at least this many bytes with its LF. */
#define LINE_MIN 4u

enum text_shape {
    SHAPE_KEYS,
    SHAPE_TIMED_KEYS,
    SHAPE_STORE,
    SHAPE_ARITH,
    SHAPE_DELETE,
    SHAPE_TOUCH,
    SHAPE_FLUSH,
    SHAPE_PREFIX,
    SHAPE_BARE,  /* what follows is ignored, noreply too */
    SHAPE_WORDS, /* free words, noreply being one of them */
    SHAPE_ADMIN, /* free words, then perhaps noreply */
    SHAPE_META,  /* what meta_parse() reads */
};

struct verb_row {
    const char *word;
    char first;
    uint8_t len;
    uint8_t verb;
    uint8_t shape;
};

static const struct verb_row VERBS[] = {
#define VERB(name, word, shape) \
    { word, (word)[0], sizeof(word) - 1, VERB_##name, SHAPE_##shape },
#include "proto/verbs.def"
#undef VERB
};

/* What is left of a line: no CR LF, no blanks at its end. */
struct cursor {
    const char *at;
    const char *end;
};

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Non-zero where a byte of `word` is a blank or less; exact for the lowest such byte. */
static inline uint64_t
low_bytes(uint64_t word)
{
    return (word - EACH_BYTE(0x21u)) & ~word & EACH_BYTE(0x80u);
}

static inline bool
ends_word(char byte)
{
    return byte == ' ' || byte == '\n';
}

/*
 * Eight bytes at a time up to the first control byte or blank, which mostly is the end or
 * the CR before it; from there by bytes, because others may be part of a key.
 */
const char *
text_word_end(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t word, low;

        memcpy(&word, at, sizeof word);
        low = low_bytes(word);
        if (low == 0) {
            at += 8;
            continue;
        }
        if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
            at += __builtin_ctzll(low) >> 3;
        if (ends_word(*at))
            return at;
        at++;
    }
    while (at < end && !ends_word(*at))
        at++;
    return at;
}

static inline void
skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && *cursor->at == ' ')
        cursor->at++;
}

/* The next word, empty at the line's end. */
static inline struct slice
next_word(struct cursor *cursor)
{
    const char *from;

    skip_blanks(cursor);
    from = cursor->at;
    cursor->at = text_word_end(from, cursor->end);
    return slice_of(from, (size_t)(cursor->at - from));
}

/* A word of few digits, as nearly all numbers are. False: something else stands there,
 * and the cursor has not moved. */
static inline bool
next_short_number(struct cursor *cursor, uint32_t *number_out)
{
    const char *at = cursor->at, *first;
    uint32_t number = 0;

    while (at < cursor->end && *at == ' ')
        at++;
    for (first = at; at < cursor->end && at - first < 10; at++) {
        unsigned digit = (unsigned)(unsigned char)*at - '0';

        if (digit > 9)
            break;
        number = number * 10 + digit;
    }
    if (at == first || at - first > 9 || (at < cursor->end && *at != ' '))
        return false;
    cursor->at = at;
    *number_out = number;
    return true;
}

/* Is the last word from `line` on, other than one at its very beginning, "noreply"? */
static bool
ends_in_noreply(const char *line, const char *end)
{
    const struct slice word = SLICE(" noreply");

    return (size_t)(end - line) >= word.len &&
           memcmp(end - word.len, word.data, word.len) == 0;
}

/* As C's strtol reads a word: a sign may stand in front. */
static bool
signed_number(struct slice word, int64_t *number_out)
{
    if (word.len > 1 && word.data[0] == '+' && word.data[1] != '-')
        word = slice_of(word.data + 1, word.len - 1);
    return num_i64(word, SIZE_MAX, number_out);
}

/* The expiry of touch, gat and flush_all: no plus, 32 signed bits. */
static bool
exptime_32(struct slice word, int64_t *exptime_out)
{
    return num_i64(word, SHORT_DIGITS, exptime_out) && *exptime_out >= INT32_MIN &&
           *exptime_out <= INT32_MAX;
}

/*
 * The expiry of the storage commands. Clients that keep it in 32 bits send -1 as
 * 4294967295, so the upper half of 32 bits is negative; beyond, dates have 64 bits.
 */
static bool
exptime_64(struct slice word, int64_t *exptime_out)
{
    int64_t exptime;

    if (!signed_number(word, &exptime))
        return false;
    if (exptime > INT32_MAX && exptime <= (int64_t)UINT32_MAX)
        exptime -= (int64_t)UINT32_MAX + 1;
    *exptime_out = exptime;
    return true;
}

static bool
flags_32(struct slice word, uint32_t *flags_out)
{
    uint64_t flags;

    if (word.len > 1 && word.data[0] == '+')
        word = slice_of(word.data + 1, word.len - 1);
    if (!num_u64(word, SIZE_MAX, &flags) || flags > UINT32_MAX)
        return false;
    *flags_out = (uint32_t)flags;
    return true;
}

static bool
good_key(struct slice key)
{
    return key.len > 0 && key.len <= COMMAND_KEY_MAX;
}

/* The three numbers of a storage line. False: no length that makes sense. `good_out` says
 * whether the other two do. */
static bool
parse_store_numbers(struct cursor *cursor, struct command *command, bool *good_out)
{
    struct cursor start = *cursor;
    struct slice flags, exptime, length;
    uint32_t seconds;
    int64_t len;

    if (next_short_number(cursor, &command->client_flags) &&
        next_short_number(cursor, &seconds) &&
        next_short_number(cursor, &command->value_len)) {
        command->exptime = seconds;
        *good_out = true;
        return true;
    }
    *cursor = start;
    flags = next_word(cursor);
    exptime = next_word(cursor);
    length = next_word(cursor);
    if (!num_i64(length, SHORT_DIGITS, &len) || len < 0 || len > COMMAND_VALUE_MAX)
        return false;
    command->value_len = (uint32_t)len;
    *good_out = flags_32(flags, &command->client_flags) &&
                exptime_64(exptime, &command->exptime);
    return true;
}

static void
parse_store(struct cursor *cursor, struct command *command)
{
    struct slice key = next_word(cursor);
    struct slice unique = { NULL, 0 };
    const char *behind;
    bool good;

    command->error = OUTCOME_BAD_LINE;
    /* This is answered even after noreply: nobody knows what follows. */
    if (!parse_store_numbers(cursor, command, &good))
        return;
    behind = cursor->at;
    command->swallow = true;
    if (command->verb == VERB_CAS)
        unique = next_word(cursor);
    if (behind < cursor->end)
        command->noreply = ends_in_noreply(behind, cursor->end);
    if (!good || !good_key(key))
        return;
    if (command->verb == VERB_CAS && !num_u64(unique, LONG_DIGITS, &command->number))
        return;
    command->key = key;
    command->error = OUTCOME_NONE;
    command->swallow = false;
}

/* get and gets take the rest of the line, gat and gats an expiry before it. */
static void
parse_keys(struct cursor *cursor, struct command *command, bool timed)
{
    struct slice exptime = timed ? next_word(cursor) : (struct slice){ NULL, 0 };

    skip_blanks(cursor);
    command->rest = slice_of(cursor->at, (size_t)(cursor->end - cursor->at));
    if (command->rest.len == 0)
        command->error = OUTCOME_BAD_LINE;
    else if (timed && !exptime_32(exptime, &command->exptime))
        command->error = OUTCOME_BAD_EXPTIME;
}

static void
parse_arith(struct cursor *cursor, struct command *command)
{
    struct slice key = next_word(cursor);
    struct slice delta = next_word(cursor);

    command->key = key;
    if (delta.len == 0 || !good_key(key))
        command->error = OUTCOME_BAD_LINE;
    else if (!num_u64(delta, LONG_DIGITS, &command->number))
        command->error = OUTCOME_BAD_DELTA;
}

static void
parse_touch(struct cursor *cursor, struct command *command)
{
    struct slice key = next_word(cursor);
    struct slice exptime = next_word(cursor);

    command->key = key;
    if (exptime.len == 0 || !good_key(key))
        command->error = OUTCOME_BAD_LINE;
    else if (!exptime_32(exptime, &command->exptime))
        command->error = OUTCOME_BAD_EXPTIME;
}

static void
parse_delete(struct cursor *cursor, struct command *command)
{
    command->key = next_word(cursor);
    if (!good_key(command->key))
        command->error = OUTCOME_BAD_LINE;
}

static void
parse_flush(struct cursor *cursor, struct command *command)
{
    struct slice delay = next_word(cursor);
    bool alone = cursor->at == cursor->end;

    if (delay.len == 0 || (command->noreply && alone))
        return;
    if (!exptime_32(delay, &command->exptime))
        command->error = OUTCOME_BAD_EXPTIME;
}

/* Takes a final noreply that was understood off the words after the verb. */
static void
drop_noreply(struct cursor *cursor, const struct command *command)
{
    skip_blanks(cursor);
    if (!command->noreply)
        return;
    cursor->end -= sizeof("noreply") - 1;
    while (cursor->end > cursor->at && cursor->end[-1] == ' ')
        cursor->end--;
}

/* One word, and no more: what a second one was meant for would be flushed too. */
static void
parse_prefix(struct cursor *cursor, struct command *command)
{
    drop_noreply(cursor, command);
    command->rest = next_word(cursor);
    if (!good_key(command->rest) || cursor->at < cursor->end)
        command->error = OUTCOME_BAD_LINE;
}

static void
keep_words(struct cursor *cursor, struct command *command)
{
    drop_noreply(cursor, command);
    command->rest = slice_of(cursor->at, (size_t)(cursor->end - cursor->at));
}

/* A browser, or somebody who makes one speak to us, must not get further. */
static bool
is_http(const char *line, const char *end)
{
    const char *last = end;

    while (last > line && last[-1] != ' ')
        last--;
    return last > line &&
           slice_starts(slice_of(last, (size_t)(end - last)), SLICE("HTTP/"));
}

static const struct verb_row *
find_verb(struct slice word)
{
    if (word.len == 0)
        return NULL;
    for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++) {
        const struct verb_row *row = &VERBS[i];

        if (row->first == word.data[0] && row->len == word.len &&
            memcmp(row->word, word.data, word.len) == 0)
            return row;
    }
    return NULL;
}

static void
parse_shape(enum text_shape shape, struct cursor *cursor, struct command *command)
{
    switch (shape) {
    case SHAPE_KEYS:
        parse_keys(cursor, command, false);
        break;
    case SHAPE_TIMED_KEYS:
        parse_keys(cursor, command, true);
        break;
    case SHAPE_STORE:
        parse_store(cursor, command);
        break;
    case SHAPE_ARITH:
        parse_arith(cursor, command);
        break;
    case SHAPE_DELETE:
        parse_delete(cursor, command);
        break;
    case SHAPE_TOUCH:
        parse_touch(cursor, command);
        break;
    case SHAPE_FLUSH:
        parse_flush(cursor, command);
        break;
    case SHAPE_PREFIX:
        parse_prefix(cursor, command);
        break;
    case SHAPE_BARE:
        break;
    case SHAPE_WORDS:
    case SHAPE_ADMIN:
    case SHAPE_META:
        keep_words(cursor, command);
        break;
    }
}

/* True for the shapes that look for noreply in the way most commands do. */
static bool
takes_noreply(enum text_shape shape)
{
    return shape == SHAPE_ARITH || shape == SHAPE_DELETE || shape == SHAPE_TOUCH ||
           shape == SHAPE_FLUSH || shape == SHAPE_PREFIX || shape == SHAPE_ADMIN;
}

void
text_parse(const char *line, size_t len, struct command *command)
{
    struct cursor cursor = { line, line + len - 1 };
    const struct verb_row *row;

    assert(len > 0);
    assert(line[len - 1] == '\n');
    *command = (struct command){ .verb = VERB_UNKNOWN };
    if (len < LINE_MIN) {
        command->error = OUTCOME_BAD_LINE;
        return;
    }
    if (cursor.end[-1] == '\r')
        cursor.end--;
    while (cursor.end > line && cursor.end[-1] == ' ')
        cursor.end--;
    cursor.at = text_word_end(line, cursor.end);
    row = find_verb(slice_of(line, (size_t)(cursor.at - line)));
    if (row == NULL) {
        command->error = OUTCOME_UNKNOWN;
        command->noreply = ends_in_noreply(line, cursor.end);
        command->hang_up = is_http(line, cursor.end);
        return;
    }
    command->verb = (enum verb)row->verb;
    if (takes_noreply((enum text_shape)row->shape))
        command->noreply = ends_in_noreply(line, cursor.end);
    parse_shape((enum text_shape)row->shape, &cursor, command);
}

bool
text_is_open_get(const char *data, size_t len, struct command *command)
{
    struct slice start;
    struct slice get = SLICE("get ");
    struct slice gets = SLICE("gets ");
    size_t blanks = 0;

    while (blanks < len && blanks < OPEN_GET_BLANKS && data[blanks] == ' ')
        blanks++;
    start = slice_of(data + blanks, len - blanks);
    if (!slice_starts(start, get) && !slice_starts(start, gets))
        return false;
    *command = (struct command){ .verb = VERB_GET };
    if (blanks > 0)
        command->error = OUTCOME_UNKNOWN;
    if (slice_starts(start, gets)) {
        command->verb = VERB_GETS;
        get = gets;
    }
    command->rest = slice_of(start.data + get.len, start.len - get.len);
    return true;
}

static char *
put_word(char *to, struct slice word)
{
    memcpy(to, word.data, word.len);
    return to + word.len;
}

size_t
text_rewrite_store(const struct command *command, char *to)
{
    const struct verb_row *row = VERBS;
    char *at = to;

    while (row->verb != command->verb)
        row++;
    assert(row->shape == SHAPE_STORE);
    at = put_word(at, slice_of(row->word, row->len));
    *at++ = ' ';
    at = put_word(at, command->key);
    *at++ = ' ';
    at = num_put(at, command->client_flags);
    *at++ = ' ';
    if (command->exptime < 0)
        *at++ = '-';
    at = num_put(at, command->exptime < 0 ? 0 - (uint64_t)command->exptime
                                          : (uint64_t)command->exptime);
    *at++ = ' ';
    at = num_put(at, command->value_len);
    if (command->verb == VERB_CAS) {
        *at++ = ' ';
        at = num_put(at, command->number);
    }
    if (command->noreply)
        at = put_word(at, SLICE(" noreply"));
    at = put_word(at, SLICE("\r\n"));
    assert((size_t)(at - to) <= TEXT_STORE_ROOM);
    return (size_t)(at - to);
}

enum text_key
text_next_key(const char **cursor, const char *end, struct slice *key_out)
{
    const char *at = *cursor;
    const char *stop;
    size_t len;

    while (at < end && *at == ' ')
        at++;
    stop = text_word_end(at, end);
    len = (size_t)(stop - at);
    *cursor = at;
    if (stop == end) {
        /* A CR at the very end may yet turn out to belong to the line's end. */
        if (len > 0 && stop[-1] == '\r')
            len--;
        return len > COMMAND_KEY_MAX ? TEXT_KEY_LONG : TEXT_KEY_CUT;
    }
    if (*stop == '\n' && len > 0 && stop[-1] == '\r')
        len--;
    if (len == 0) {
        *cursor = stop + 1;
        return TEXT_KEY_NONE;
    }
    if (len > COMMAND_KEY_MAX)
        return TEXT_KEY_LONG;
    *key_out = slice_of(at, len);
    *cursor = at + len;
    return TEXT_KEY;
}

/*
 * From each place where a word may begin the last blank is looked for where the longest key
 * could end: the words before it fit. Costs a tenth of a look at each word.
 */
bool
text_keys_fit(struct slice keys)
{
    const char *at = keys.data, *end = keys.data + keys.len;

    while (end - at > (ptrdiff_t)COMMAND_KEY_MAX) {
        const char *blank = memrchr(at, ' ', COMMAND_KEY_MAX + 1);

        if (blank == NULL)
            return false;
        at = blank + 1;
    }
    return true;
}

/* A number of one to nine digits and `stop` behind it, from *at on, where at least
 * PLAIN_NUMBER bytes are. False: something else. */
#define PLAIN_NUMBER 10
static inline bool
plain_number(const char **at, char stop, uint32_t *number_out)
{
    const char *digit = *at;
    uint32_t number = 0;
    unsigned value;

    while ((value = (unsigned)(unsigned char)*digit - '0') <= 9 &&
           digit - *at < PLAIN_NUMBER - 1) {
        number = number * 10 + value;
        digit++;
    }
    if (*digit != stop || digit == *at)
        return false;
    *at = digit + 1;
    *number_out = number;
    return true;
}

const char *
text_plain_set(const char *line, const char *end, struct text_set *set_out)
{
    const char *key = line + 4, *at;

    if (end - line < 4 || memcmp(line, "set ", 4) != 0)
        return NULL;
    at = text_word_end(key, end);
    if (end - at < 1 + 3 * PLAIN_NUMBER + 1 || *at != ' ')
        return NULL;
    set_out->key = slice_of(key, (size_t)(at - key));
    at++;
    if (!good_key(set_out->key) || !plain_number(&at, ' ', &set_out->client_flags) ||
        !plain_number(&at, ' ', &set_out->exptime) ||
        !plain_number(&at, '\r', &set_out->value_len) || *at != '\n')
        return NULL;
    return at + 1;
}
