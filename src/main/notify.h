/* SPDX-License-Identifier: BSD-3-Clause */
/* notify.h - telling the service manager (sd_notify(3)'s protocol, one datagram). */
#ifndef LARDER_MAIN_NOTIFY_H
#define LARDER_MAIN_NOTIFY_H

/* Sends `text`, "READY=1" for instance, to $NOTIFY_SOCKET; nothing if that is not set. */
void notify_manager(const char *text);

#endif
