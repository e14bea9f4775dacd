/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/meta_reply.h"

#include <string.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/num.h"

/* The flags that each kind of reply shows. */
static const uint64_t ECHOES[] = {
    [META_ECHO_KEY] = META_FLAG('O') | META_FLAG('k'),
    [META_ECHO_STORE] =
        META_FLAG('O') | META_FLAG('k') | META_FLAG('c') | META_FLAG('s'),
    [META_ECHO_ARITH] = META_FLAG('O') | META_FLAG('k') | META_FLAG('c') |
                        META_FLAG('t') | META_FLAG('T') | META_FLAG('N'),
    [META_ECHO_GET] = META_FLAG('O') | META_FLAG('k') | META_FLAG('c') | META_FLAG('s') |
                      META_FLAG('t') | META_FLAG('f') | META_FLAG('h') | META_FLAG('l') |
                      META_FLAG('T') | META_FLAG('N'),
};

static char *
put_text(char *to, const char *text)
{
    size_t len = strlen(text);

    memcpy(to, text, len);
    return to + len;
}

static char *
put_slice(char *to, struct slice slice)
{
    assert(slice.len <= COMMAND_KEY_MAX);
    memcpy(to, slice.data, slice.len);
    return to + slice.len;
}

static char *
put_key(char *to, struct slice key, bool binary)
{
    return binary ? base64_encode(to, key) : put_slice(to, key);
}

/* Seconds left; an item that has just expired has 0 left. */
static char *
put_ttl(char *to, uint32_t exptime, uint32_t now)
{
    if (exptime == 0)
        return put_text(to, "-1");
    return num_put(to, exptime > now ? exptime - now : 0);
}

static uint32_t
seconds_since(uint32_t then, uint32_t now)
{
    return now > then ? now - then : 0;
}

/* One flag that is to be shown, with the blank before it. `exptime` is what t shows here,
 * behind all flags to its left. */
static char *
put_flag(char *to, char letter, const struct meta_command *meta, struct slice key,
    const struct meta_shown *shown, uint32_t *exptime)
{
    if (letter == 'T' || letter == 'N') {
        if (letter == 'T' && shown->touched)
            *exptime = shown->exptime_touched;
        if (letter == 'N' && shown->created)
            *exptime = shown->exptime_created;
        return to;
    }
    *to++ = ' ';
    *to++ = letter;
    switch (letter) {
    case 'O':
        return put_slice(to, meta->opaque);
    case 'k':
        to = put_key(to, key, shown->key_binary);
        return shown->key_binary ? put_text(to, " b") : to;
    case 'c':
        return num_put(to, shown->cas);
    case 's':
        return num_put(to, shown->size);
    case 't':
        return put_ttl(to, *exptime, shown->now);
    case 'f':
        return num_put(to, shown->client_flags);
    case 'h':
        *to = shown->fetched ? '1' : '0';
        return to + 1;
    case 'l':
        return num_put(to, seconds_since(shown->last_access, shown->now));
    default:
        return to;
    }
}

char *
meta_put_line(char *to, const struct meta_command *meta, struct slice key,
    enum meta_echo echo, const struct meta_shown *shown)
{
    uint32_t exptime = shown->exptime;

    memcpy(to, shown->code, 2);
    to += 2;
    if (shown->with_value) {
        *to++ = ' ';
        to = num_put(to, shown->value_len);
    }
    if (meta->flags & ECHOES[echo])
        for (unsigned i = 0; i < meta->nletters; i++)
            if (META_FLAG(meta->letters[i]) & ECHOES[echo])
                to = put_flag(to, meta->letters[i], meta, key, shown, &exptime);
    if (shown->sent)
        to = put_text(to, " Z");
    if (shown->stale)
        to = put_text(to, " X");
    if (shown->won)
        to = put_text(to, " W");
    memcpy(to, "\r\n", 2);
    return to + 2;
}

char *
meta_put_debug(char *to, struct slice key, const struct meta_debug *debug)
{
    to = put_text(to, "ME ");
    to = put_key(to, key, debug->key_binary);
    to = put_text(to, " exp=");
    to = put_ttl(to, debug->exptime, debug->now);
    to = put_text(to, " la=");
    to = num_put(to, seconds_since(debug->last_access, debug->now));
    to = put_text(to, " cas=");
    to = num_put(to, debug->cas);
    to = put_text(to, debug->fetched ? " fetch=yes cls=" : " fetch=no cls=");
    to = num_put(to, debug->slab_class);
    to = put_text(to, " size=");
    to = num_put(to, debug->size);
    return put_text(to, "\r\n");
}
