/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c - defaults, and reading argv by the rows of option_rows.c. */
#include "base/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/option_rows.h"

/* Rows of the command line, the last one included; letters appear once or twice. */
#define ROWS_MAX 64

void
options_init(struct options *options)
{
    *options = (struct options){
        .port = 11211,
        .unix_mask = 0700,
        .memory_max = 64u << 20,
        .evict = true,
        .connections_max = 1024,
        .growth_factor = 1.125,
        .chunk_min = 24,
        .prefix_delimiter = ':',
        .threads = 4,
        .requests_per_event = 20,
        .cas = true,
        .backlog = 1024,
        .item_size_max = 1u << 20,
        .flush_allowed = true,
        .dump_allowed = true,
        .watch_allowed = true,
        .maxconns_fast = true,
        .hash_expand = true,
        .slab_reassign = true,
        .object_bias = 100,
        .counter_reserve = 10,
        .slab_automove = 1,
        .slab_automove_ratio = 0.8,
        .slab_automove_window = 10,
        .slab_automove_freeratio = 0.010,
        .hash_algorithm = "siphash13",
        .lru_crawler = true,
        .huge_pages = true,
        .lru_crawler_sleep = 100,
        .lru_maintainer = true,
        .hot_lru_pct = 20,
        .warm_lru_pct = 40,
        .hot_max_factor = 0.2,
        .warm_max_factor = 2.0,
        .temporary_ttl = 61,
        .udp_amplification = 3,
        .partial_timeout = 30,
        .latency_sample = 16,
        .hotkeys_sample = 256,
        .sandbox = SANDBOX_ON,
        .slab_chunk_max = 512u << 10,
        .ssl_keyformat = 1,
        .ssl_min_version = 2,
        .ssl_wbuf_size = 16u << 10,
        .watcher_logbuf_size = 256u << 10,
        .worker_logbuf_size = 64u << 10,
    };
    option_listeners_forget(options);
}

void
options_fini(struct options *options)
{
    free(options->unix_socket);
    free(options->listen);
    free(options->user);
    free(options->pid_file);
    free(options->auth_file);
    free(options->memory_file);
    free(options->slab_sizes);
    free(options->ssl_chain_cert);
    free(options->ssl_key);
    free(options->ssl_ciphers);
    free(options->ssl_ca_cert);
    free(options->config_file);
    free(options->directory);
    free(options->idle_words);
    free(options->http);
    free(options->http_names);
    free(options->flush_prefixes);
    option_listeners_forget(options);
    *options = (struct options){ .port = 0 };
}

const struct option_row *
option_find_letter(int letter)
{
    const struct option_row *row;

    for (row = option_rows; !option_row_is_last(row); row++)
        if (row->kind != OPTION_GROUP && row->letter == letter)
            return row;
    return NULL;
}

const struct option_row *
option_find_name(const struct option_row *rows, const char *name, size_t len)
{
    for (const struct option_row *row = rows; !option_row_is_last(row); row++)
        if (row->kind != OPTION_GROUP && row->name != NULL && strlen(row->name) == len &&
            memcmp(row->name, name, len) == 0)
            return row;
    return NULL;
}

void
option_print_nearest(const struct option_row *rows, const char *name, size_t len)
{
    const struct option_row *tables[] = { rows,
        rows == option_rows ? option_words : option_rows };
    struct nearest nearest;
    const char *best = NULL;
    unsigned table = 0;

    nearest_init(&nearest, name, len);
    for (unsigned i = 0; i < 2; i++) {
        for (const struct option_row *row = tables[i]; !option_row_is_last(row); row++)
            if (row->kind != OPTION_GROUP && row->name != NULL)
                nearest_show(&nearest, row->name);
        if (nearest.name != best)
            table = i;
        best = nearest.name;
    }
    if (best != NULL)
        fprintf(stderr, "Nearest: %s%s\n", tables[table] == option_words ? "-o " : "--",
            best);
}

/* Fills in what getopt_long() wants to know. */
static void
describe_rows(struct option *long_options, char *letters)
{
    const struct option_row *row;

    for (row = option_rows; !option_row_is_last(row); row++) {
        if (row->kind == OPTION_GROUP)
            continue;
        if (row->letter <= UCHAR_MAX)
            *letters++ = (char)row->letter;
        if (row->letter <= UCHAR_MAX && row->argument != NULL)
            *letters++ = ':';
        if (row->name == NULL)
            continue;
        *long_options++ = (struct option){
            .name = row->name,
            .has_arg = row->optional ? optional_argument
                       : row->argument != NULL ? required_argument : no_argument,
            .val = row->letter,
        };
    }
    *letters = '\0';
    *long_options = (struct option){ .name = NULL };
}

static int
act(const struct options *options, int letter)
{
    if (letter == 'h')
        option_print_help(options);
    else if (letter == 'i')
        option_print_licence();
    else
        puts(PACKAGE_NAME " " OPTIONS_VERSION);
    return fflush(stdout) == 0 ? 0 : OPTIONS_BAD_VALUE;
}

/* What the command line says about the file, found before anything is set. */
struct outline {
    const char *config_file;
    bool check_config;
    bool act;     /* --help and its like: no file is read for them */
    bool listen;  /* -l */
    bool listener; /* --listener */
    bool verbose; /* -v */
};

static struct outline
look_ahead(int argc, char **argv, const char *letters, const struct option *long_options)
{
    struct outline outline = { .config_file = NULL };
    int letter;

    optind = 0; /* start afresh: argv is read more than once */
    opterr = 0;
    while ((letter = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        const struct option_row *row = letter == '?' ? NULL : option_find_letter(letter);
        if (row == NULL)
            continue;
        if (row->set == option_set_config)
            outline.config_file = optarg;
        outline.check_config |= row->set == option_set_check;
        outline.act |= row->kind == OPTION_ACT;
        outline.listen |= row->set == option_set_listen;
        outline.listener |= row->set == option_set_listener;
        outline.verbose |= row->set == option_set_verbose;
    }
    opterr = 1;
    return outline;
}

/* Makes it absolute: it is to be found again when the process has moved to /. */
static int
name_config_file(struct options *options, const char *path)
{
    int len = *path == '/' || options->directory == NULL
        ? asprintf(&options->config_file, "%s", path)
        : asprintf(&options->config_file, "%s/%s", options->directory, path);
    if (len >= 0)
        return OPTIONS_GO_ON;
    options->config_file = NULL;
    perror("options");
    return OPTIONS_BAD_VALUE;
}

static int
read_config_file(struct options *options, const struct outline *outline)
{
    if (outline->config_file == NULL || outline->act)
        return OPTIONS_GO_ON;
    int status = name_config_file(options, outline->config_file);
    if (status == OPTIONS_GO_ON)
        status = option_file_read(options, options->config_file);
    /* These collect; those of the command line are to take the place of the file's. */
    if (outline->listen) {
        free(options->listen);
        options->listen = NULL;
    }
    if (outline->listener)
        option_listeners_forget(options);
    if (outline->verbose)
        options->verbose = 0;
    return status;
}

static int
refuse_argument(int argc, char **argv)
{
    const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

    fprintf(stderr, "Illegal argument \"?\"\n");
    /* optopt: of a letter, or of a name that lacks its value or has one too many. */
    if (optopt == 0 && strncmp(word, "--", 2) == 0)
        option_print_nearest(option_rows, word + 2, strcspn(word + 2, "="));
    return OPTIONS_BAD_VALUE;
}

static int
read_arguments(struct options *options, int argc, char **argv, const char *letters,
    const struct option *long_options)
{
    int letter;

    optind = 0;
    while ((letter = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        const struct option_row *row = letter == '?' ? NULL : option_find_letter(letter);
        if (row == NULL)
            return refuse_argument(argc, argv);
        int status = row->kind == OPTION_ACT ? act(options, letter)
                                             : option_apply(options, row, optarg);
        if (status != OPTIONS_GO_ON)
            return status;
    }
    if (optind < argc) {
        fprintf(stderr, "Unexpected argument \"%s\"\n", argv[optind]);
        return OPTIONS_BAD_USAGE;
    }
    return OPTIONS_GO_ON;
}

int
options_parse(struct options *options, int argc, char **argv)
{
    struct option long_options[ROWS_MAX];
    char letters[2 * ROWS_MAX];

    describe_rows(long_options, letters);
    struct outline outline = look_ahead(argc, argv, letters, long_options);
    options->argc = argc;
    options->argv = argv;
    if (options->directory == NULL)
        options->directory = getcwd(NULL, 0);
    int status = read_config_file(options, &outline);
    if (status == OPTIONS_GO_ON)
        status = read_arguments(options, argc, argv, letters, long_options);
    if (status == OPTIONS_GO_ON)
        status = option_check(options);
    /* One status for everything that is wrong with a configuration. */
    return status > 0 && outline.check_config ? OPTIONS_BAD_USAGE : status;
}
