/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - commands that change the running server.
 *
 * Each answers with one line. The order of the checks is memcached's; words are matched
 * whole (memcached takes any leading part of most, by which a typing slip can reset or
 * stop a server).
 */
#ifndef LARDER_ADMIN_CONTROL_H
#define LARDER_ADMIN_CONTROL_H

#include "admin/inside.h"

void control_slabs(struct ask *ask);       /* slabs reassign|automove ... */
void control_lru(struct ask *ask);         /* lru tune|mode|temp_ttl ... */
void control_lru_crawler(struct ask *ask); /* lru_crawler enable|...|mgdump ... */
void control_memlimit(struct ask *ask);    /* cache_memlimit <MiB> */
void control_verbosity(struct ask *ask);   /* verbosity <n> */
void control_shutdown(struct ask *ask);    /* shutdown [graceful] */
void control_refresh_certs(struct ask *ask);

#endif
