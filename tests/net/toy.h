/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * toy.h - a small struct service for tests of the network layer, and a server around it.
 *
 * Commands are lines:
 *   echo TEXT   answers TEXT
 *   pin N       answers N bytes by reference, and LF
 *   flood N     answers N outboxes full of dots, and LF
 *   up N        takes N bytes, into memory of its own where it can, and answers up SUM
 *   stick       answers ok; from now on the session wants to be given up when it stalls
 *   nap, ears   runs nothing more until toy_ring(), or goes on and says ding then
 *   quit        answers bye and closes
 *
 * In another process, or server, sessions go on that are in the middle of nothing; with
 * "ears", which are to be like those that watch, none does.
 */
#ifndef LARDER_TESTS_NET_TOY_H
#define LARDER_TESTS_NET_TOY_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/options.h"
#include "base/service.h"
#include "net/net.h"

#define TOY_FULL "too many\n"
#define TOY_PIN_MAX 1000000u
#define TOY_SHARED_MAX 64

/* What the service has seen, summed over workers. */
struct toy {
    atomic_int sessions; /* open now */
    atomic_int opened;
    atomic_int lanes;
    atomic_int pins; /* not released yet */
    atomic_int looks, looked, direct_bytes, ticks;
    atomic_int opened_most; /* sessions between two turns of a worker */
    atomic_int denied; /* as the last session's peer had it */
    atomic_int sleepers; /* sessions that toy_ring() would reach */
    atomic_int echoes;   /* commands of this kind */
    atomic_int packed, unpacked;
    /* "share X": a turn has so many of them for all clients. X goes to the end of `order`. */
    atomic_int shares;
    atomic_int refused; /* sessions that have had to wait for one */
    atomic_int shared;
    _Atomic char order[TOY_SHARED_MAX];
    pthread_mutex_t lock; /* guards the next; all zero is unlocked; "nap" takes it */
    struct toy_session *first_sleeper;
};

/* Wakes every session that has said "nap" or "ears", from any thread. */
void toy_ring(struct toy *toy);

void toy_service(struct service *service_out);
/* Byte number `i` of what `pin` answers. */
char toy_pin_byte(size_t i);

/* What one server has left for the next: parcels. */
struct toy_cargo {
    unsigned n, size;
    struct toy_parcel {
        int fd;
        size_t len;
        char *bytes;
    } *parcels;
};

/* A net_parcel_fn. */
void toy_cargo_put(void *cargo, int fd, const void *bytes, size_t len);
/* Closes what is in it. */
void toy_cargo_drop(struct toy_cargo *cargo);

/* A server with this service, in a thread of its own. */
struct toy_server {
    struct toy toy;
    struct toy second; /* of the listeners in another namespace, if the options have any */
    struct options options; /* to be changed between init and start */
    struct toy_cargo cargo; /* likewise: what it takes; it is empty afterwards */
    const int *activated;   /* likewise */
    unsigned nactivated;
    const struct net_totals *totals_before; /* likewise */
    const struct counts *counts_before;
    unsigned refused;       /* parcels that it did not understand */
    struct toy_cargo *leave_to; /* NULL: net_stop() ends it */
    struct net_figures last_figures; /* as it ended */
    struct counts last_counts;
    struct service service;
    struct clock clock;
    struct event_base *base;
    struct net *net;
    pthread_t thread;
    sem_t ready;
    int status; /* of net_listen() and net_start() */
    int stop_fd;
    int port;
};

/* Defaults: a free port of 127.0.0.1, two workers. */
struct toy_server *toy_server_create(void);
void toy_server_start(struct toy_server *server);
/* Stops it and checks that nothing was left behind. */
void toy_server_destroy(struct toy_server *server);
/* As toy_server_destroy(), but it leaves and what it gives away is in `cargo`. */
void toy_server_leave(struct toy_server *server, struct toy_cargo *cargo);
/* Ends it, without freeing. */
void toy_server_end(struct toy_server *server);
void toy_server_free(struct toy_server *server);

/* Clients. All abort the test when ten seconds pass without progress. */
int toy_connect(const struct toy_server *server);
void toy_say(int fd, const char *text);
void toy_send(int fd, const void *data, size_t len);
/* Reads exactly `len` bytes. */
void toy_read(int fd, void *to, size_t len);
/* What comes next is `text`. */
void toy_hear(int fd, const char *text);
/* The server closes the connection, and says nothing more. */
void toy_hear_end(int fd);
/* Waits until a number is reached; false: it was not within five seconds. */
bool toy_wait(atomic_int *number, int value);
void toy_sleep_ms(unsigned ms);

#endif
