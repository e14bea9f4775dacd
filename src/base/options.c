/* SPDX-License-Identifier: BSD-3-Clause */
/* options.c - defaults, and reading argv by the rows of option_rows.c. */
#include "base/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        .slab_automove = 1,
        .slab_automove_ratio = 0.8,
        .slab_automove_window = 10,
        .slab_automove_freeratio = 0.010,
        .hash_algorithm = strdup("siphash13"),
        .lru_crawler = true,
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
        .hotkeys_sample = 64,
        .sandbox = SANDBOX_ON,
        .slab_chunk_max = 512u << 10,
        .ssl_keyformat = 1,
        .ssl_min_version = 2,
        .ssl_wbuf_size = 16u << 10,
        .watcher_logbuf_size = 256u << 10,
        .worker_logbuf_size = 64u << 10,
    };
    if (options->hash_algorithm == NULL)
        abort();
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
    free(options->hash_algorithm);
    free(options->slab_sizes);
    free(options->ssl_chain_cert);
    free(options->ssl_key);
    free(options->ssl_ciphers);
    free(options->ssl_ca_cert);
    free(options->idle_words);
    *options = (struct options){ .port = 0 };
}

static const struct option_row *
find_letter(int letter)
{
    const struct option_row *row;

    for (row = option_rows; !option_row_is_last(row); row++)
        if (row->kind != OPTION_GROUP && row->letter == letter)
            return row;
    return NULL;
}

/* Fills in what getopt_long() wants to know. */
static void
describe_rows(struct option *long_options, char *letters)
{
    const struct option_row *row;

    for (row = option_rows; !option_row_is_last(row); row++) {
        if (row->kind == OPTION_GROUP)
            continue;
        *letters++ = (char)row->letter;
        if (row->argument != NULL)
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

int
options_parse(struct options *options, int argc, char **argv)
{
    struct option long_options[ROWS_MAX];
    char letters[2 * ROWS_MAX];
    int letter;

    describe_rows(long_options, letters);
    optind = 0; /* start afresh: a test parses more than once */
    while ((letter = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
        const struct option_row *row = letter == '?' ? NULL : find_letter(letter);
        if (row == NULL) {
            fprintf(stderr, "Illegal argument \"?\"\n");
            return OPTIONS_BAD_VALUE;
        }
        int status = row->kind == OPTION_ACT ? act(options, letter)
                                             : option_apply(options, row, optarg);
        if (status != OPTIONS_GO_ON)
            return status;
    }
    if (optind < argc) {
        fprintf(stderr, "Unexpected argument \"%s\"\n", argv[optind]);
        return OPTIONS_BAD_USAGE;
    }
    return option_check(options);
}
