/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notify.h - telling the service manager, by sd_notify(3)'s protocol: datagrams to
 * $NOTIFY_SOCKET. Without that variable nothing happens.
 */
#ifndef LARDER_MAIN_NOTIFY_H
#define LARDER_MAIN_NOTIFY_H

#include <stdbool.h>

#include "main/baggage.h"

/* Is there a manager? */
bool notify_is_possible(void);
/* Sends `text`, "READY=1" for instance; nothing if there is no manager. */
void notify_manager(const char *text);

/* Gives copies of all descriptors to the manager's descriptor store, from which the next
 * start gets them, and waits until it has them (at most NOTIFY_WAIT_MS). 0 or -errno;
 * -ENOTCONN: there is no manager. */
int notify_keep(const struct baggage *baggage);
#define NOTIFY_WAIT_MS 5000
/* The manager closes what it keeps under this name. */
void notify_forget(const char *name);

#endif
