/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * meta.c - one line of the meta protocol.
 *
 * A line can be wrong in several ways at once; clients see one answer, always the same:
 *
 *   1. no key, or an ms without a length that makes sense (what follows is not swallowed)
 *   2. a flag that begins with a byte that no flag begins with
 *   3. a key that is too long, then too many words
 *   4. from left to right, a flag given twice or unknown: the first one
 *   5. arguments that are not what their flag takes: the last one
 *   6. an opaque that is too long, then a mode that does not exist
 *
 * `ma` has one text for 3 to 5. The line is walked once: what weighs more is looked for
 * to its end even when something is known to be wrong.
 */
#include "proto/meta.h"

#include <string.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/num.h"
#include "proto/text.h"

/* The longest a number may be written, zeros in front included. */
#define SHORT_DIGITS 11u
#define LONG_DIGITS  22u
/* Words whose first byte is looked at. */
#define WORDS_SEEN 23u

/* What a flag takes. */
enum flag_kind {
    FLAG_UNKNOWN,
    FLAG_BARE, /* whatever follows the letter is ignored */
    FLAG_BASE64,
    FLAG_TIME,
    FLAG_CAS,
    FLAG_DELTA,
    FLAG_INITIAL,
    FLAG_CLIENT,
    FLAG_MODE,
    FLAG_OPAQUE,
};

static const uint8_t KINDS['z' - 'A' + 1] = {
    ['b' - 'A'] = FLAG_BASE64,
    ['c' - 'A'] = FLAG_BARE,
    ['f' - 'A'] = FLAG_BARE,
    ['h' - 'A'] = FLAG_BARE,
    ['k' - 'A'] = FLAG_BARE,
    ['l' - 'A'] = FLAG_BARE,
    ['q' - 'A'] = FLAG_BARE,
    ['s' - 'A'] = FLAG_BARE,
    ['t' - 'A'] = FLAG_BARE,
    ['u' - 'A'] = FLAG_BARE,
    ['v' - 'A'] = FLAG_BARE,
    ['x' - 'A'] = FLAG_BARE,
    ['I' - 'A'] = FLAG_BARE,
    ['L' - 'A'] = FLAG_BARE, /* for proxies, as P */
    ['P' - 'A'] = FLAG_BARE,
    ['C' - 'A'] = FLAG_CAS,
    ['E' - 'A'] = FLAG_CAS,
    ['N' - 'A'] = FLAG_TIME,
    ['R' - 'A'] = FLAG_TIME,
    ['T' - 'A'] = FLAG_TIME,
    ['D' - 'A'] = FLAG_DELTA,
    ['J' - 'A'] = FLAG_INITIAL,
    ['F' - 'A'] = FLAG_CLIENT,
    ['M' - 'A'] = FLAG_MODE,
    ['O' - 'A'] = FLAG_OPAQUE,
};

/* A walk over the flags of a line. */
struct walk {
    struct meta_command *meta;
    struct slice key;       /* as written, then as it is meant */
    enum outcome_code stop; /* the first flag that is unknown or there twice */
    enum outcome_code bad;  /* the last argument that is wrong */
    bool bad_client;        /* F is, which has no text of its own */
    bool unreadable;        /* a word that no flag begins like */
};

static inline const char *
skip_blanks(const char *at, const char *end)
{
    while (at < end && *at == ' ')
        at++;
    return at;
}

static bool
parse_time(struct slice text, int32_t *seconds_out)
{
    int64_t seconds;

    if (!num_i64(text, SHORT_DIGITS, &seconds) || seconds < INT32_MIN ||
        seconds > INT32_MAX)
        return false;
    *seconds_out = (int32_t)seconds;
    return true;
}

static bool
parse_client_flags(struct slice text, uint32_t *flags_out)
{
    uint64_t flags;

    if (!num_u64(text, SHORT_DIGITS, &flags) || flags > UINT32_MAX)
        return false;
    *flags_out = (uint32_t)flags;
    return true;
}

static void
decode_key(struct walk *walk)
{
    size_t len = 0;

    /* One that is too long is an error of greater weight. */
    if (walk->key.len > COMMAND_KEY_MAX)
        return;
    len = base64_decode(walk->meta->key, walk->key);
    if (len == 0)
        walk->bad = OUTCOME_BAD_BASE64;
    else
        walk->key = slice_of(walk->meta->key, len);
}

/* The argument of a flag that takes one. */
static void
take_argument(struct walk *walk, char letter, struct slice text)
{
    struct meta_command *meta = walk->meta;

    switch ((enum flag_kind)KINDS[letter - 'A']) {
    case FLAG_UNKNOWN:
    case FLAG_BARE:
        break;
    case FLAG_BASE64:
        decode_key(walk);
        break;
    case FLAG_TIME:
        if (!parse_time(text, letter == 'T'     ? &meta->exptime
                              : letter == 'N' ? &meta->vivify_exptime
                                              : &meta->recache))
            walk->bad = OUTCOME_BAD_TOKEN;
        break;
    case FLAG_CAS:
        if (!num_u64(text, LONG_DIGITS,
                letter == 'C' ? &meta->cas_expected : &meta->cas_new))
            walk->bad = OUTCOME_BAD_TOKEN;
        break;
    case FLAG_DELTA:
        if (!num_u64(text, LONG_DIGITS, &meta->delta))
            walk->bad = OUTCOME_BAD_META_DELTA;
        break;
    case FLAG_INITIAL:
        if (!num_u64(text, LONG_DIGITS, &meta->initial))
            walk->bad = OUTCOME_BAD_META_INITIAL;
        break;
    case FLAG_CLIENT:
        if (!parse_client_flags(text, &meta->client_flags))
            walk->bad_client = true;
        break;
    case FLAG_MODE:
        meta->mode = text.len > 0 ? text.data[0] : '\0';
        break;
    case FLAG_OPAQUE:
        meta->opaque = text;
        break;
    }
}

/* One flag, of which at least the letter is there. */
static inline void
take_flag(struct walk *walk, const char *at, const char *stop)
{
    struct meta_command *meta = walk->meta;
    char letter = *at;
    uint64_t bit;

    if (letter < 'A' || letter > 'z' || KINDS[letter - 'A'] == FLAG_UNKNOWN) {
        walk->stop = OUTCOME_INVALID_FLAG;
        return;
    }
    bit = META_FLAG(letter);
    if (meta->flags & bit) {
        walk->stop = OUTCOME_DUPLICATE_FLAG;
        return;
    }
    meta->flags |= bit;
    meta->letters[meta->nletters++] = letter;
    if (KINDS[letter - 'A'] != FLAG_BARE)
        take_argument(walk, letter, slice_of(at + 1, (size_t)(stop - at - 1)));
}

static inline bool
begins_flag(char byte)
{
    return (byte >= 'A' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

/* All flags of a line that has had `words` words so far. Returns how many it has. */
static inline unsigned
take_flags(struct walk *walk, const char *at, const char *end, unsigned words)
{
    for (at = skip_blanks(at, end); at < end; at = skip_blanks(at, end)) {
        const char *stop = at + 1;

        while (stop < end && *stop != ' ')
            stop++;
        if (++words <= WORDS_SEEN && !begins_flag(*at))
            walk->unreadable = true;
        if (words <= META_WORDS_MAX && walk->stop == OUTCOME_NONE && !walk->unreadable)
            take_flag(walk, at, stop);
        at = stop;
    }
    return words;
}

/* What is wrong with a line, not counting its mode. */
static inline enum outcome_code
walk_error(const struct walk *walk, enum verb verb, unsigned words, bool key_long)
{
    enum outcome_code error = OUTCOME_NONE;

    if (walk->unreadable)
        return OUTCOME_BAD_LINE;
    if (key_long)
        error = OUTCOME_BAD_LINE;
    else if (words > META_WORDS_MAX)
        error = OUTCOME_TOO_MANY_FLAGS;
    else if (walk->stop != OUTCOME_NONE)
        error = walk->stop;
    else if (walk->bad != OUTCOME_NONE)
        error = walk->bad;
    else if (walk->bad_client)
        error = OUTCOME_BAD_LINE;
    if (error != OUTCOME_NONE)
        return verb == VERB_MA ? OUTCOME_BAD_ARITH_FLAG : error;
    if (meta_has(walk->meta, 'O') && walk->meta->opaque.len > META_OPAQUE_MAX)
        return OUTCOME_LONG_OPAQUE;
    return OUTCOME_NONE;
}

enum outcome_code
meta_parse_get(const char *at, const char *end, struct slice *key,
    struct meta_command *meta)
{
    struct walk walk = { .meta = meta, .key = *key };
    unsigned words;
    enum outcome_code error;

    assert(key->len <= COMMAND_KEY_MAX);
    meta->flags = 0;
    meta->nletters = 0;
    words = take_flags(&walk, at, end, 2);
    error = walk_error(&walk, VERB_MG, words, false);
    *key = walk.key;
    return error;
}

static enum outcome_code
mode_error(const struct meta_command *meta, enum verb verb)
{
    if (!meta_has(meta, 'M'))
        return OUTCOME_NONE;
    if (verb == VERB_MS && (meta->mode == '\0' || strchr("SERAP", meta->mode) == NULL))
        return OUTCOME_BAD_SET_MODE;
    if (verb == VERB_MA && (meta->mode == '\0' || strchr("I+D-", meta->mode) == NULL))
        return OUTCOME_BAD_ARITH_MODE;
    return OUTCOME_NONE;
}

/* me: no flag but b, and nothing else is checked. */
static enum outcome_code
parse_debug(struct walk *walk, const char *at, const char *end)
{
    unsigned words = 2;

    for (at = skip_blanks(at, end); at < end; at = skip_blanks(at, end)) {
        if (++words <= WORDS_SEEN && !begins_flag(*at))
            return OUTCOME_BAD_LINE;
        if (*at == 'b' && !meta_has(walk->meta, 'b')) {
            walk->meta->flags |= META_FLAG('b');
            decode_key(walk);
        }
        at = text_word_end(at, end);
    }
    return walk->bad != OUTCOME_NONE || walk->key.len > COMMAND_KEY_MAX ? OUTCOME_BAD_LINE
                                                                        : OUTCOME_NONE;
}

/* Flags of all verbs but me. */
static enum outcome_code
parse_flags(struct walk *walk, enum verb verb, const char *at, const char *end)
{
    bool key_long = walk->key.len > COMMAND_KEY_MAX;
    unsigned words = take_flags(walk, at, end, verb == VERB_MS ? 3 : 2);
    enum outcome_code error = walk_error(walk, verb, words, key_long);

    return error != OUTCOME_NONE ? error : mode_error(walk->meta, verb);
}

/* The length of an ms. */
static bool
parse_length(const char **at, const char *end, uint32_t *len_out)
{
    const char *first = skip_blanks(*at, end), *stop = text_word_end(first, end);
    int64_t len;

    if (!num_i64(slice_of(first, (size_t)(stop - first)), SHORT_DIGITS, &len) ||
        len < 0 || len > COMMAND_VALUE_MAX)
        return false;
    *len_out = (uint32_t)len;
    *at = stop;
    return true;
}

void
meta_parse(struct command *command, struct meta_command *meta)
{
    struct walk walk = { .meta = meta };
    const char *end = command->rest.data + command->rest.len;
    const char *key = skip_blanks(command->rest.data, end);
    const char *at = text_word_end(key, end);

    meta->flags = 0;
    meta->nletters = 0;
    walk.key = slice_of(key, (size_t)(at - key));
    command->error = OUTCOME_BAD_LINE;
    if (walk.key.len == 0)
        return;
    if (command->verb == VERB_MS && !parse_length(&at, end, &command->value_len))
        return;
    command->error = command->verb == VERB_ME
                         ? parse_debug(&walk, at, end)
                         : parse_flags(&walk, command->verb, at, end);
    command->swallow = command->verb == VERB_MS && command->error != OUTCOME_NONE;
    if (command->error != OUTCOME_NONE)
        return;
    command->key = walk.key;
    command->meta = meta;
    if (meta_has(meta, 'F'))
        command->client_flags = meta->client_flags;
    if (meta_has(meta, 'T'))
        command->exptime = meta->exptime;
}

bool
meta_key_unprintable(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        unsigned char byte = (unsigned char)key.data[i];

        if (byte <= ' ' || byte == 0x7f)
            return true;
    }
    return false;
}

/* ---- Rewriting --------------------------------------------------------------------- */

static char *
put_signed(char *to, int32_t number)
{
    if (number < 0)
        *to++ = '-';
    return num_put(to, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

/* A flag's argument, in its shortest form; nothing where it does not matter. */
static char *
put_argument(char *to, const struct meta_command *meta, char letter)
{
    switch (letter) {
    case 'C':
        return num_put(to, meta->cas_expected);
    case 'E':
        return num_put(to, meta->cas_new);
    case 'D':
        return num_put(to, meta->delta);
    case 'J':
        return num_put(to, meta->initial);
    case 'F':
        return num_put(to, meta->client_flags);
    case 'N':
        return put_signed(to, meta->vivify_exptime);
    case 'R':
        return put_signed(to, meta->recache);
    case 'T':
        return put_signed(to, meta->exptime);
    case 'M':
        *to = meta->mode;
        return to + 1;
    case 'O':
        memcpy(to, meta->opaque.data, meta->opaque.len);
        return to + meta->opaque.len;
    default:
        return to;
    }
}

size_t
meta_rewrite_store(const struct command *command, char *to)
{
    const struct meta_command *meta = command->meta;
    char *at = to;

    assert(command->verb == VERB_MS);
    assert(command->error == OUTCOME_NONE);
    memcpy(at, "ms ", 3);
    at += 3;
    if (meta_has(meta, 'b')) {
        at = base64_encode(at, command->key);
    } else {
        memcpy(at, command->key.data, command->key.len);
        at += command->key.len;
    }
    *at++ = ' ';
    at = num_put(at, command->value_len);
    for (unsigned i = 0; i < meta->nletters; i++) {
        *at++ = ' ';
        *at++ = meta->letters[i];
        at = put_argument(at, meta, meta->letters[i]);
    }
    memcpy(at, "\r\n", 2);
    at += 2;
    assert((size_t)(at - to) <= META_STORE_ROOM);
    return (size_t)(at - to);
}
