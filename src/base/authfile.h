/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * authfile.h - users and their passwords, from a file of lines "user:password".
 *
 * The first colon divides, so a password may hold colons. LF or CR LF ends a line; empty
 * lines are skipped; nothing is a comment. The file may be read again while clients log
 * in: a table is complete and unchanging, and another takes its place in one step. What
 * is in memory is kept out of core dumps and wiped when it goes.
 */
#ifndef LARDER_BASE_AUTHFILE_H
#define LARDER_BASE_AUTHFILE_H

#include <stdbool.h>

#include "base/slice.h"

/* A larger file is refused. */
#define AUTHFILE_ENTRIES_MAX 4096u
#define AUTHFILE_BYTES_MAX   (1u << 20)
/* Room for a message that names the file. */
#define AUTHFILE_WHY_MAX 512

struct authfile;

/*
 * Reads `path`, which may be relative to the directory of this moment. NULL: `why` says
 * in a line what is the matter. The caller owns it.
 */
struct authfile *authfile_open(const char *path, char why[AUTHFILE_WHY_MAX]);
/* Nobody may be inside authfile_check(). */
void authfile_close(struct authfile *authfile);

/* Its absolute path; borrowed, as long as `authfile` is. */
const char *authfile_path(const struct authfile *authfile);

/* Reads the file again. False: the old table stays and `why` says what is the matter. One
 * thread at a time; others may be checking. */
bool authfile_reload(struct authfile *authfile, char why[AUTHFILE_WHY_MAX]);

/* Is this the password of this user? Any thread. How long it takes depends on the lengths
 * of what is compared, not on their bytes nor on which entry they match. */
bool authfile_check(struct authfile *authfile, struct slice user, struct slice password);

#endif
