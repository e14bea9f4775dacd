/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option_rows.h - what one option looks like; private to the options files of base/.
 *
 * Every option of the command line and every word of -o is a row in option_rows.c. The
 * row becomes the parser, the bounds, the text of the refusal and the line of --help.
 */
#ifndef LARDER_BASE_OPTION_ROWS_H
#define LARDER_BASE_OPTION_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"

/* Status to exit with: what memcached uses, see <sysexits.h>. */
#define OPTIONS_GO_ON (-1)
#define OPTIONS_BAD_VALUE 1
#define OPTIONS_BAD_USAGE 64

enum option_kind {
    OPTION_GROUP,  /* a heading of --help, no option */
    OPTION_ACT,    /* help, licence, version: options.c does it */
    OPTION_FLAG,   /* bool at `offset` becomes `value` */
    OPTION_INT,    /* int */
    OPTION_U32,    /* uint32_t, times `unit` */
    OPTION_U64,    /* uint64_t, times `unit` */
    OPTION_REAL,   /* double, over `low` and up to `high` */
    OPTION_TEXT,   /* char *, not empty */
    OPTION_OTHER,  /* `set` does it */
    OPTION_NOTHING, /* accepted, and rightly without any effect in memcached too */
    OPTION_LATER,  /* needs something this program was not built with: `help` says what */
};

struct option_row {
    const char *name; /* long option or -o word */
    int letter;       /* short option; over 255 when there is none; 0 for -o words */
    enum option_kind kind;
    size_t offset; /* of the field in struct options */
    bool value;
    bool optional; /* the argument may be missing */
    bool idle;     /* Larder has no such machinery: accepted, shown, without effect */
    int64_t min, max;
    uint32_t unit; /* 0 counts as 1 */
    double low, high;
    const char *refusal; /* for a number out of range; NULL: a general one */
    int status;          /* to exit with on a bad value; 0: OPTIONS_BAD_VALUE */
    /* `text` is NULL when there is no argument. Prints its own complaint. */
    int (*set)(struct options *options, const struct option_row *row, const char *text);
    const char *argument; /* what the argument is called in --help; NULL: takes none */
    const char *help;
};

/* Both end with a row that option_row_is_last(). */
extern const struct option_row option_rows[];
extern const struct option_row option_words[];

static inline bool
option_row_is_last(const struct option_row *row)
{
    return row->name == NULL && row->letter == 0 && row->kind != OPTION_GROUP;
}

/* Puts `text` into the field of `row`, or complains. OPTIONS_GO_ON or a status. */
int option_apply(struct options *options, const struct option_row *row, const char *text);
/* Reads a decimal number, blanks around it allowed, nothing else. */
bool option_number(const char *text, int64_t *number_out);
/* The row of a letter or a full name; NULL: there is none. */
const struct option_row *option_find_letter(int letter);
const struct option_row *option_find_name(
    const struct option_row *rows, const char *name, size_t len);
/* Says which option may have been meant by a name that is none, on stderr, if one is near.
 * `rows` are those where the name was looked for; the others are searched as well. */
void option_print_nearest(const struct option_row *rows, const char *name, size_t len);

/* The value of `row`, as it would be written; "on" or "off" of a flag; empty when there is
 * none. Cut to `size` bytes. */
void option_show(const struct options *options, const struct option_row *row, char *to,
    size_t size);

/* A larger file is refused. */
#define OPTION_FILE_MAX (1u << 20)
/* Reads a file of options, one a line. OPTIONS_GO_ON, or a status: `path`, the line and
 * what is the matter were printed, and `options` hold what came before. */
int option_file_read(struct options *options, const char *path);
/* The same with the file's bytes, which are changed; text[len] must be 0. */
int option_file_apply(struct options *options, const char *path, char *text, size_t len);

/* Number `i` of --listener, as it would be written. Cut to `size` bytes. */
void option_listener_show(const struct options *options, unsigned i, char *to,
    size_t size);
/* Forgets all of them, and the namespaces but the default one. */
void option_listeners_forget(struct options *options);
/* OPTIONS_GO_ON or a status. */
int option_listeners_check(const struct options *options);

/* Checks that need more than one option. OPTIONS_GO_ON or a status. */
int option_check(struct options *options);

void option_print_help(const struct options *options);
void option_print_licence(void);

/* Setters that rows refer to; option_setters.c. */
int option_set_listen(struct options *, const struct option_row *, const char *);
int option_set_listener(struct options *, const struct option_row *, const char *);
int option_set_memory(struct options *, const struct option_row *, const char *);
int option_set_memory_total(struct options *, const struct option_row *, const char *);
int option_set_eviction(struct options *, const struct option_row *, const char *);
int option_set_port(struct options *, const struct option_row *, const char *);
int option_set_item_size(struct options *, const struct option_row *, const char *);
int option_set_mask(struct options *, const struct option_row *, const char *);
int option_set_prefix(struct options *, const struct option_row *, const char *);
int option_set_protocol(struct options *, const struct option_row *, const char *);
int option_set_verbose(struct options *, const struct option_row *, const char *);
int option_set_config(struct options *, const struct option_row *, const char *);
int option_set_check(struct options *, const struct option_row *, const char *);
int option_set_words(struct options *, const struct option_row *, const char *);
int option_set_automove(struct options *, const struct option_row *, const char *);
int option_set_chunk_max(struct options *, const struct option_row *, const char *);
int option_set_slab_sizes(struct options *, const struct option_row *, const char *);
int option_set_hash(struct options *, const struct option_row *, const char *);
int option_set_temporary_ttl(struct options *, const struct option_row *, const char *);
int option_set_no_modern(struct options *, const struct option_row *, const char *);
int option_set_http(struct options *, const struct option_row *, const char *);
int option_set_http_name(struct options *, const struct option_row *, const char *);
int option_set_handover(struct options *, const struct option_row *, const char *);
int option_set_flush_prefix(struct options *, const struct option_row *, const char *);
int option_set_sandbox(struct options *, const struct option_row *, const char *);
int option_set_retired(struct options *, const struct option_row *, const char *);
int option_set_hash_power(struct options *, const struct option_row *, const char *);

#endif
