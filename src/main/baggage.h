/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * baggage.h - descriptors with names: what one process leaves to the next.
 *
 * Names are what the service manager's descriptor store (sd_notify(3), FDSTORE=1) and the
 * messages between two servers carry: "larder-store" is a memory file of items,
 * "larder-state" tells what else there is to know, "larder-socket" are sockets, of which
 * there are many.
 */
#ifndef LARDER_MAIN_BAGGAGE_H
#define LARDER_MAIN_BAGGAGE_H

#include <stdbool.h>
#include <stddef.h>

#define BAGGAGE_NAME_MAX 64
/* All names of ours begin so. */
#define BAGGAGE_PREFIX "larder-"

struct bag {
    char name[BAGGAGE_NAME_MAX];
    int fd; /* -1: taken out */
};

/* All zero is empty. */
struct baggage {
    struct bag *bags;
    size_t n, size;
};

/* Adds a descriptor, which is taken in any case. False: out of memory, or the name is too
 * long; it is closed. */
bool baggage_put(struct baggage *baggage, const char *name, int fd);
/* Takes out the next with this name; -1: there is none left. The caller's to close. */
int baggage_take(struct baggage *baggage, const char *name);
/* Closes what is left and frees the memory. */
void baggage_fini(struct baggage *baggage);

/* The most descriptors that the kernel passes in one message (SCM_MAX_FD). */
#define BAGGAGE_RUN_MAX 253
/* The descriptors from `at` on that have the name of the one there, at most
 * BAGGAGE_RUN_MAX; *at is moved behind them. 0: there are no more. */
size_t baggage_run(const struct baggage *baggage, size_t *at, const char **name_out,
    int fds_out[BAGGAGE_RUN_MAX]);

/*
 * Sends one message with `n` descriptors (0 .. BAGGAGE_RUN_MAX) over a unix socket; to
 * `name` (a struct sockaddr_un) if that is not NULL. Waits and tries again while too many
 * descriptors are under way. 0 or -errno.
 */
int baggage_send(int socket, const void *name, size_t name_len, const char *text,
    size_t len, const int *fds, size_t n);
/* Receives one, into text[size], with a zero behind it; descriptors are close-on-exec.
 * Its length; 0: the other end has gone; or -errno. */
long baggage_receive(int socket, char *text, size_t size, int fds_out[BAGGAGE_RUN_MAX],
    size_t *n_out);

#endif
