/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * args.h - the command line of larderctl.
 *
 * Commands and options are rows of tables in args.c, which become the parser, the text
 * of --help and the refusals. An option that means nothing to the command is refused.
 */
#ifndef LARDER_CTL_ARGS_H
#define LARDER_CTL_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"
#include "ctl/link.h"
#include "ctl/server.h"

#define ARGS_SERVERS_MAX 64

/* How many servers a command goes to, and how to order the classes in `top`. */
enum args_sort { ARGS_SORT_CLASS, ARGS_SORT_ITEMS, ARGS_SORT_MEMORY, ARGS_SORT_EVICTED };

struct args {
    const struct command *command;
    char **words; /* what follows the command; NULL ends it */
    int n_words;
    struct server servers[ARGS_SERVERS_MAX];
    unsigned n_servers; /* at least 1 */
    struct link_options link;
    bool json;
    const char *auth_file, *user; /* NULL: not given */
    const char *output;           /* dump: NULL or "-" is stdout */
    const char *prefix;           /* dump: only keys that begin with it; NULL: all */
    uint64_t limit;               /* dump: at most so many items; 0: all */
    bool quiet, progress;         /* dump, load */
    bool keep;                    /* load: what is there already stays */
    uint32_t count;               /* ping, watch, top: 0: no end */
    bool count_given;
    uint32_t interval_ms; /* ping, top */
    bool plain;           /* top: no full screen */
    enum args_sort sort;  /* top */
};

/* Runs one command; `login` is who we are. */
struct login;
struct command {
    const char *name;
    const char *words; /* what follows it in --help */
    unsigned bit;      /* for the options' lists */
    int words_max;     /* -1: any number */
    bool several;      /* goes to more than one server */
    enum ctl_status (*run)(const struct args *args, const struct login *login);
    const char *help;
};

/* Ends with a row without a name; main has it, as it knows all commands. */
extern const struct command commands[];

/* The bits. */
#define COMMAND_STATS    1u /* and settings, items, slabs, version */
#define COMMAND_PING     2u
#define COMMAND_DUMP     4u
#define COMMAND_LOAD     8u
#define COMMAND_WATCH    16u
#define COMMAND_TOP      32u
#define COMMAND_UPGRADE  64u
#define COMMAND_ALL      127u

/* -1: go on with `args_out`, which borrows from argv and the environment. Otherwise a
 * status to exit with; everything is said. */
int args_parse(struct args *args_out, int argc, char **argv);

#endif
