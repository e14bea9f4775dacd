/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * json.h - JSON, written as it comes and never held in memory.
 *
 * A dump is longer than memory, and keys are not UTF-8, so libraries that build a tree of
 * strings do not fit; writing needs no more than this. The caller sees to it that names
 * and values alternate in objects; commas are put here. Strings are escaped as show.h
 * says, so that everything written is ASCII and can be taken back to the very bytes.
 */
#ifndef LARDER_CTL_JSON_H
#define LARDER_CTL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"

struct json {
    FILE *to;
    bool comma; /* something stands before the next value */
    unsigned n_carry; /* bytes of base64 that wait for a third */
    char carry[3];
};

void json_begin(struct json *json, char bracket); /* { or [ */
void json_end(struct json *json, char bracket);   /* } or ] */
/* Ends a document: one line each. */
void json_line(struct json *json);

void json_name(struct json *json, struct slice name);
void json_text(struct json *json, struct slice text);
/* Text that a server has escaped already: it shall not be escaped twice. */
void json_escaped(struct json *json, struct slice text);
void json_u64(struct json *json, uint64_t number);
void json_i64(struct json *json, int64_t number);
/* With three decimals; null for what is no number. */
void json_real(struct json *json, double number);
void json_bool(struct json *json, bool value);
/* A number when the text is one of JSON's, of at most 20 digits; else a string. */
void json_word(struct json *json, struct slice text);

/* A string in base64, in pieces. */
void json_base64_begin(struct json *json);
void json_base64_more(struct json *json, struct slice piece);
void json_base64_end(struct json *json);

/* A name and its value. */
void json_pair_text(struct json *json, const char *name, struct slice text);
void json_pair_u64(struct json *json, const char *name, uint64_t number);
void json_pair_i64(struct json *json, const char *name, int64_t number);
void json_pair_real(struct json *json, const char *name, double number);

#endif
