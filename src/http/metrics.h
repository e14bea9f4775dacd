/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metrics.h - the answer of /metrics.
 *
 * The names, labels and meanings are those of prometheus/memcached_exporter, so that
 * dashboards and alerts made for it go on working; larder_... are Larder's own. Two
 * forms: Prometheus' text format 0.0.4 and OpenMetrics 1.0.0.
 */
#ifndef LARDER_HTTP_METRICS_H
#define LARDER_HTTP_METRICS_H

#include <stdbool.h>

#include "http/fields.h"
#include "http/http.h"

struct evbuffer;

#define METRICS_TYPE_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_TYPE_OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Appends all metrics. False: out of memory. */
bool metrics_put(struct evbuffer *out, const struct fields *fields,
    const struct http_parts *parts, bool openmetrics);

#endif
