/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl.h - what the files of larderctl have in common: how it ends, and how it complains.
 *
 * larderctl is a client. It shares nothing with the server but base/, so that it can be
 * built, tested and used with any server of this protocol. Whatever comes from a server
 * is foreign: it is bounded when it is read and escaped when it is shown (show.h).
 */
#ifndef LARDER_CTL_CTL_H
#define LARDER_CTL_CTL_H

/* Exit statuses; documented in larderctl(1). */
enum ctl_status {
    CTL_OK = 0,
    CTL_REFUSED = 1,    /* a server said no, or something that makes no sense */
    CTL_UNREACHABLE = 2, /* no connection, or one that was lost or silent for too long */
    CTL_USAGE = 64,     /* the command line */
    CTL_IO = 74,        /* a file or the output could not be read or written */
};

/* Room for a line that says what is the matter. */
#define CTL_WHY_MAX 512

/* One line on stderr, after "larderctl: ", with nothing in it that moves a terminal. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The worse of two statuses, for commands that ask several servers. */
enum ctl_status ctl_worse(enum ctl_status a, enum ctl_status b);

#endif
