/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * json.h - pieces of JSON, appended to a buffer.
 *
 * What comes out is valid JSON in valid UTF-8 whatever the bytes are that go in, and
 * holds none of < > & as itself, so that it can't be mistaken for anything else.
 */
#ifndef LARDER_HTTP_JSON_H
#define LARDER_HTTP_JSON_H

#include <stdbool.h>

#include "base/slice.h"

struct evbuffer;

struct json {
    struct evbuffer *out;
    bool comma;  /* something stands before at this level */
    bool failed; /* out of memory */
};

/* `name` is NULL inside a list, and needs no escaping otherwise. */
void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);
void json_number(struct json *json, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void json_bool(struct json *json, const char *name, bool value);
/* Text that need not be UTF-8: what is none becomes U+FFFD. */
void json_text(struct json *json, struct slice name, struct slice value);

/* The members "key" and, if it must be shown as lru_crawler metadump shows it, with %XX,
 * "encoded": true. That is so for a key with control characters or that is not UTF-8. */
void json_key(struct json *json, struct slice key);

#endif
