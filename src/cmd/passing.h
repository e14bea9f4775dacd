/* SPDX-License-Identifier: BSD-3-Clause */
/* passing.h - sessions that go on in another process; inside src/cmd only. */
#ifndef LARDER_CMD_PASSING_H
#define LARDER_CMD_PASSING_H

#include <stddef.h>

struct peer;

/* The pack and unpack of struct service. */
size_t passing_pack(const void *session, char *bytes);
void *passing_unpack(
    void *lane, const struct peer *peer, const char *bytes, size_t len);

#endif
