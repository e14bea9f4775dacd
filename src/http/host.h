/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - what a request says of itself: for which host it is, what it wants to read.
 *
 * Pure functions over bytes of strangers.
 */
#ifndef LARDER_HTTP_HOST_H
#define LARDER_HTTP_HOST_H

#include <stdbool.h>

/*
 * Is a request whose Host header is `host` meant for us? Against DNS rebinding: a page of
 * evil.example can have its own name resolve to 127.0.0.1 and then read what we answer as
 * if it were its own. Its requests carry its name, so only these are answered: addresses
 * in numbers, localhost, `own` (the machine's name, may be empty), and `names` (joined by
 * commas, may be NULL). A port is not looked at. Case does not matter.
 */
bool host_is_ours(const char *host, const char *own, const char *names);

/* What `Accept` (may be NULL) would rather have: true for OpenMetrics, false for the text
 * format 0.0.4. */
bool accept_openmetrics(const char *accept);

#endif
