/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rights.h - what a session may not ask, because its listener does without; inside src/cmd.
 *
 * Asked only of sessions that are denied something: all others don't come here.
 */
#ifndef LARDER_CMD_RIGHTS_H
#define LARDER_CMD_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/command.h"
#include "proto/meta.h"

/* Is this verb refused? `denied` is of enum right; `words`: something follows the verb. Of mg
 * its flags decide. */
bool rights_deny(uint8_t denied, enum verb verb, bool words);
bool rights_deny_get(uint8_t denied, const struct meta_command *meta);

#endif
