/* SPDX-License-Identifier: BSD-3-Clause */
/* document.h - the answer of /stats.json: every figure there is. doc/operations.md says
 * what is in it. */
#ifndef LARDER_HTTP_DOCUMENT_H
#define LARDER_HTTP_DOCUMENT_H

#include <stdbool.h>

#include "http/fields.h"
#include "http/http.h"

struct evbuffer;

/* Appends it. False: out of memory. */
bool document_put(
    struct evbuffer *out, const struct fields *fields, const struct http_parts *parts);

#endif
