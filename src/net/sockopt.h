/* SPDX-License-Identifier: BSD-3-Clause */
/* sockopt.h - options of sockets, without which serving goes on: a failure is logged. */
#ifndef LARDER_NET_SOCKOPT_H
#define LARDER_NET_SOCKOPT_H

#include <stdint.h>

/* `what`: the option's name in the log. */
void sockopt_set(int fd, int level, int name, int value, const char *what);
/* -o sock_cookie_id, SO_MARK; 0: none. Who asks for it relies on it, so a failure is always
 * logged. */
void sockopt_mark(int fd, uint32_t mark);

#endif
