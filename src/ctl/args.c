/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctl/args.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "config.h"
#include "ctl/report.h"
#include "ctl/tls.h"

enum letter {
    JSON = 'j', SERVER = 's', TIMEOUT = 't', OUTPUT = 'o', QUIET = 'q', COUNT = 'c',
    INTERVAL = 'i', HELP = 'h', ABOUT = 'V',
    AUTH_FILE = 256, USER, TLS, TLS_CA, TLS_CERT, TLS_KEY, TLS_SERVERNAME, TLS_INSECURE,
    PREFIX, LIMIT, PROGRESS, KEEP, PLAIN, SORT,
};

static const struct option_row {
    const char *name;
    enum letter letter;
    unsigned commands;
    const char *argument; /* NULL: none */
    const char *help;
} OPTIONS[] = {
    { "server", SERVER, COMMAND_ALL, "SERVER",
        "HOST, HOST:PORT, [IPV6]:PORT or unix:/PATH; may be repeated" },
    { "timeout", TIMEOUT, COMMAND_ALL, "SECONDS",
        "patience with connecting and with each step (10)" },
    { "json", JSON, COMMAND_ALL, NULL, "print JSON, one document a line" },
    { "auth-file", AUTH_FILE, COMMAND_ALL, "FILE",
        "log in as the first user:password of FILE, or as --user" },
    { "user", USER, COMMAND_ALL, "NAME",
        "log in as NAME; asks for the password if no file has it" },
    { "tls", TLS, COMMAND_ALL, NULL, "speak TLS (not on unix sockets)" },
    { "tls-ca", TLS_CA, COMMAND_ALL, "FILE",
        "trust these certificates instead of the system's" },
    { "tls-cert", TLS_CERT, COMMAND_ALL, "FILE", "certificate to show" },
    { "tls-key", TLS_KEY, COMMAND_ALL, "FILE", "its key, if it is in another file" },
    { "tls-servername", TLS_SERVERNAME, COMMAND_ALL, "NAME",
        "what the server's certificate must be for, if not HOST" },
    { "tls-insecure", TLS_INSECURE, COMMAND_ALL, NULL,
        "do not look at the server's certificate" },
    { "output", OUTPUT, COMMAND_DUMP, "FILE",
        "dump: write FILE, which appears when it is whole" },
    { "prefix", PREFIX, COMMAND_DUMP, "TEXT", "dump: only keys that begin with TEXT" },
    { "limit", LIMIT, COMMAND_DUMP, "N", "dump: at most N items" },
    { "keep", KEEP, COMMAND_LOAD, NULL, "load: leave keys alone that are there already" },
    { "progress", PROGRESS, COMMAND_DUMP | COMMAND_LOAD, NULL,
        "dump, load: show progress even if stderr is no terminal" },
    { "quiet", QUIET, COMMAND_DUMP | COMMAND_LOAD, NULL,
        "dump, load: say nothing unless something is wrong" },
    { "count", COUNT, COMMAND_PING | COMMAND_WATCH | COMMAND_TOP, "N",
        "ping, watch, top: end after N answers, lines, rounds" },
    { "interval", INTERVAL, COMMAND_PING | COMMAND_TOP, "SECONDS",
        "ping, top: time from one to the next (1)" },
    { "plain", PLAIN, COMMAND_TOP, NULL, "top: print on and on, no full screen" },
    { "sort", SORT, COMMAND_TOP, "COLUMN",
        "top: order of classes: class, items, memory, evicted" },
    { "help", HELP, COMMAND_ALL, NULL, "print this" },
    { "version", ABOUT, COMMAND_ALL, NULL, "print the version of larderctl" },
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

static void
print_help(void)
{
    char left[40];

    puts("larderctl " PACKAGE_VERSION " - looks at Larder, and at other servers of "
         "memcached's protocol\n\nUsage: larderctl [OPTION...] COMMAND [WORD...]\n\n"
         "Commands:");
    for (const struct command *row = commands; row->name != NULL; row++) {
        snprintf(left, sizeof left, "%s %s", row->name, row->words);
        printf("  %-26s %s\n", left, row->help);
    }
    puts("\nOptions:");
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option_row *row = &OPTIONS[i];

        snprintf(left, sizeof left, "--%s%s%s", row->name,
            row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
        if (row->letter < 256)
            printf("  -%c, %-22s %s\n", (char)row->letter, left, row->help);
        else
            printf("      %-22s %s\n", left, row->help);
    }
    puts("\nEnvironment: LARDER_SERVER (servers, with blanks between) stands in for "
         "--server,\nLARDER_AUTH (user:password) for --auth-file.\n\n"
         "Exit status: 0 done, 1 a server said no, 2 no connection, 64 wrong usage, "
         "74 a file\ncould not be read or written. See larderctl(1).");
}

__attribute__((format(printf, 1, 2))) static int
usage(const char *format, ...)
{
    char text[CTL_WHY_MAX];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    ctl_complain("%s; see larderctl --help", text);
    return CTL_USAGE;
}

/* Seconds with up to nine decimals, at least a millisecond. */
static bool
parse_ms(const char *text, uint32_t *ms_out)
{
    double seconds = report_parse_real(slice_of(text, strlen(text)));

    if (seconds < 0.001 || seconds > 86400)
        return false;
    *ms_out = (uint32_t)(seconds * 1000 + 0.5);
    return true;
}

static int
add_server(struct args *args, struct slice text)
{
    const char *why;

    if (args->n_servers == ARGS_SERVERS_MAX)
        return usage("more than %u servers", ARGS_SERVERS_MAX);
    if (!server_parse(text, &args->servers[args->n_servers], &why))
        return usage("%.*s: %s", (int)(text.len < 200 ? text.len : 200), text.data, why);
    args->n_servers++;
    return -1;
}

static int
servers_of_environment(struct args *args)
{
    const char *at = getenv("LARDER_SERVER");
    int status = -1;

    while (at != NULL && status < 0 && *(at += strspn(at, " \t")) != '\0') {
        size_t len = strcspn(at, " \t");

        status = add_server(args, slice_of(at, len));
        at += len;
    }
    if (status < 0 && args->n_servers == 0)
        status = add_server(args, SLICE(SERVER_DEFAULT));
    return status;
}

static int
set_sort(struct args *args, const char *text)
{
    static const char *const NAMES[] = { [ARGS_SORT_CLASS] = "class",
        [ARGS_SORT_ITEMS] = "items", [ARGS_SORT_MEMORY] = "memory",
        [ARGS_SORT_EVICTED] = "evicted" };

    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            args->sort = (enum args_sort)i;
            return -1;
        }
    }
    return usage("--sort: class, items, memory or evicted, not \"%s\"", text);
}

static int
set_limit(struct args *args, const char *text)
{
    if (!num_u64(slice_of(text, strlen(text)), NUM_U64_MAX, &args->limit) ||
        args->limit == 0)
        return usage("--limit: a number from 1, not \"%s\"", text);
    return -1;
}

static int
set_number(struct args *args, enum letter letter, const char *text)
{
    uint64_t number;
    uint32_t ms;

    if (letter == COUNT) {
        if (!num_u64(slice_of(text, strlen(text)), 10, &number) || number == 0 ||
            number > UINT32_MAX)
            return usage("--count: a number from 1, not \"%s\"", text);
        args->count = (uint32_t)number;
        args->count_given = true;
        return -1;
    }
    if (!parse_ms(text, &ms))
        return usage("--%s: seconds from 0.001 to 86400, not \"%s\"",
            letter == TIMEOUT ? "timeout" : "interval", text);
    if (letter == TIMEOUT)
        args->link.timeout_ms = (int)ms;
    else
        args->interval_ms = ms;
    return -1;
}

static int
set_text(const char **field, const char *name, const char *text)
{
    if (*text == '\0')
        return usage("--%s: is empty", name);
    *field = text;
    return -1;
}

static int
set(struct args *args, const struct option_row *row, const char *text)
{
    switch (row->letter) {
    case SERVER:
        return add_server(args, slice_of(text, strlen(text)));
    case TIMEOUT:
    case COUNT:
    case INTERVAL:
        return set_number(args, row->letter, text);
    case LIMIT:
        return set_limit(args, text);
    case SORT:
        return set_sort(args, text);
    case OUTPUT:
        return set_text(&args->output, row->name, text);
    case PREFIX:
        return set_text(&args->prefix, row->name, text);
    case AUTH_FILE:
        return set_text(&args->auth_file, row->name, text);
    case USER:
        return set_text(&args->user, row->name, text);
    case TLS_CA:
        return set_text(&args->link.tls.ca, row->name, text);
    case TLS_CERT:
        return set_text(&args->link.tls.cert, row->name, text);
    case TLS_KEY:
        return set_text(&args->link.tls.key, row->name, text);
    case TLS_SERVERNAME:
        return set_text(&args->link.tls.name, row->name, text);
    case TLS_INSECURE:
        args->link.tls.insecure = true;
        return -1;
    case TLS:
        args->link.tls.wanted = true;
        return -1;
    case JSON:
        args->json = true;
        return -1;
    case QUIET:
        args->quiet = true;
        return -1;
    case PROGRESS:
        args->progress = true;
        return -1;
    case KEEP:
        args->keep = true;
        return -1;
    case PLAIN:
        args->plain = true;
        return -1;
    case HELP:
        print_help();
        return CTL_OK;
    case ABOUT:
        puts("larderctl " PACKAGE_VERSION);
        return CTL_OK;
    }
    return CTL_USAGE;
}

/* What does not go together. `used` is a bit for each row of OPTIONS. */
static int
check(struct args *args, uint32_t used)
{
    const struct command *command = args->command;
    const struct link_tls *tls = &args->link.tls;
    bool details = tls->ca != NULL || tls->cert != NULL || tls->key != NULL ||
        tls->name != NULL || tls->insecure;

    for (size_t i = 0; i < N_OPTIONS; i++)
        if ((used & 1u << i) != 0 && (OPTIONS[i].commands & command->bit) == 0)
            return usage("--%s means nothing to %s", OPTIONS[i].name, command->name);
    if (command->words_max >= 0 && args->n_words > command->words_max)
        return usage("%s: too many words", command->name);
    if (!command->several && args->n_servers > 1)
        return usage("%s: takes one server", command->name);
    if (details && !tls->wanted)
        return usage("--tls-... without --tls");
    if (tls->insecure && tls->ca != NULL)
        return usage("--tls-insecure trusts everybody, --tls-ca does not");
    if (tls->key != NULL && tls->cert == NULL)
        return usage("--tls-key without --tls-cert");
    if (tls->wanted && !tls_there())
        return usage("--tls: built without TLS");
    for (unsigned i = 0; tls->wanted && i < args->n_servers; i++)
        if (args->servers[i].path[0] != '\0')
            return usage("%s: there is no TLS on unix sockets", args->servers[i].text);
    if (args->quiet && args->progress)
        return usage("--quiet or --progress?");
    return -1;
}

static int
find_command(struct args *args, int argc, char **argv)
{
    if (optind == argc)
        return usage("no command is given");
    for (const struct command *row = commands; row->name != NULL; row++)
        if (strcmp(row->name, argv[optind]) == 0)
            args->command = row;
    if (args->command == NULL)
        return usage("there is no command \"%s\"", argv[optind]);
    args->words = argv + optind + 1;
    args->n_words = argc - optind - 1;
    return -1;
}

/* Makes the tables of getopt_long(). */
static void
describe(struct option options[N_OPTIONS + 1], char letters[2 * N_OPTIONS + 1])
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option_row *row = &OPTIONS[i];

        options[i] = (struct option){ .name = row->name, .val = (int)row->letter,
            .has_arg = row->argument != NULL ? required_argument : no_argument };
        if (row->letter < 256) {
            *letters++ = (char)row->letter;
            if (row->argument != NULL)
                *letters++ = ':';
        }
    }
    options[N_OPTIONS] = (struct option){ .name = NULL };
    *letters = '\0';
}

int
args_parse(struct args *args_out, int argc, char **argv)
{
    struct args args = { .interval_ms = 1000,
        .link = { .timeout_ms = 10000, .wake_fd = -1 } };
    struct option options[N_OPTIONS + 1];
    char letters[2 * N_OPTIONS + 1];
    uint32_t used = 0;
    int letter, status = -1;

    describe(options, letters);
    while (status < 0 && (letter = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        size_t i = 0;

        while (i < N_OPTIONS && (int)OPTIONS[i].letter != letter)
            i++;
        if (i == N_OPTIONS)
            return CTL_USAGE;
        used |= 1u << i;
        status = set(&args, &OPTIONS[i], optarg);
    }
    if (status < 0)
        status = find_command(&args, argc, argv);
    if (status < 0 && args.n_servers == 0)
        status = servers_of_environment(&args);
    if (status < 0)
        status = check(&args, used);
    if (status < 0)
        *args_out = args;
    return status;
}
