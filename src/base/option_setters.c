/* SPDX-License-Identifier: BSD-3-Clause */
/* option_setters.c - options that are more than a number, a switch or a text. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memlimit.h"
#include "base/option_rows.h"

/* Item references have 40 bits and count units of 8 bytes. */
#define MEMORY_MIB_MAX (INT64_C(1) << 23)
#define MEMORY_AUTO_PERCENT 70
#define MEMORY_TOTAL_LEAST 16
#define SLAB_SIZES_MAX 62
#define CHUNK_KIB_MAX 1024

/* Appends to a comma list that may be NULL, unless the very same entry is in it. */
static int
append_entry(char **list, const char *entry)
{
    size_t old = *list == NULL ? 0 : strlen(*list);
    size_t len = strlen(entry);

    for (const char *at = *list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, entry, len) == 0 && (at[len] == ',' || at[len] == '\0'))
            return OPTIONS_GO_ON;
    }
    char *longer = realloc(*list, old + len + 2);
    if (longer == NULL) {
        perror("options");
        return OPTIONS_BAD_VALUE;
    }
    if (old > 0)
        longer[old++] = ',';
    memcpy(longer + old, entry, len + 1);
    *list = longer;
    return OPTIONS_GO_ON;
}

int
option_set_listen(struct options *options, const struct option_row *row, const char *text)
{
    (void)row;
    return append_entry(&options->listen, text);
}

/* -1 is any free port; the upper bound is checked with the other cross-checks. */
int
option_set_port(struct options *options, const struct option_row *row, const char *text)
{
    int64_t number;

    if (!option_number(text, &number) || number < -1 || number > INT_MAX) {
        fprintf(stderr, "-%c, --%s: not a port number: \"%s\"\n", row->letter, row->name,
            text);
        return OPTIONS_BAD_VALUE;
    }
    if (row->letter == 'U') {
        options->udp_port = (int)number;
        return OPTIONS_GO_ON;
    }
    options->port = (int)number;
    options->port_given = true;
    return OPTIONS_GO_ON;
}

/* Without its last character if that is the unit `letter` in either case. */
static bool
number_with_unit(const char *text, char letter, int64_t *number_out)
{
    char digits[32];
    size_t len = strlen(text);

    if (len < 2 || len >= sizeof digits || (text[len - 1] | 0x20) != letter)
        return false;
    memcpy(digits, text, len - 1);
    digits[len - 1] = '\0';
    return option_number(digits, number_out);
}

/* A share of the memory that this process may use: `auto`, or `70%`. 0: neither of them, or
 * nobody knows how much there is. */
static uint64_t
share_of_memory(const char *text)
{
    int64_t percent;

    if (strcmp(text, "auto") == 0)
        percent = MEMORY_AUTO_PERCENT;
    else if (!number_with_unit(text, '%' | 0x20, &percent) || percent < 1 || percent > 100)
        return 0;
    return memlimit_here() / 100 * (uint64_t)percent >> 20 << 20;
}

/* MiB. memcached takes `64m` for 64, and garbage for 0, which is too little. */
int
option_set_memory(struct options *options, const struct option_row *row, const char *text)
{
    int64_t number;
    uint64_t share = share_of_memory(text);

    (void)row;
    options->memory_given = true;
    if (share > 0) {
        options->memory_max = share;
        return OPTIONS_GO_ON;
    }
    if (!option_number(text, &number) && !number_with_unit(text, 'm', &number)) {
        fprintf(stderr, "-m, --memory-limit: not a number of MiB: \"%s\"\n"
            "Cannot set item size limit higher than 1/2 of memory max.\n", text);
        return OPTIONS_BAD_USAGE;
    }
    if (number < 0 || number > MEMORY_MIB_MAX) {
        fprintf(stderr, "-m, --memory-limit: must be between 0 and %lld MiB\n",
            (long long)MEMORY_MIB_MAX);
        return OPTIONS_BAD_USAGE;
    }
    options->memory_max = (uint64_t)number << 20;
    return OPTIONS_GO_ON;
}

/* MiB or a share of memory, for the whole process. */
int
option_set_memory_total(struct options *options, const struct option_row *row,
    const char *text)
{
    int64_t number;

    (void)row;
    options->memory_total = share_of_memory(text);
    if (options->memory_total > 0)
        return OPTIONS_GO_ON;
    if ((!option_number(text, &number) && !number_with_unit(text, 'm', &number)) ||
        number < MEMORY_TOTAL_LEAST || number > MEMORY_MIB_MAX) {
        fprintf(stderr, "--memory-total: must be at least %d (MiB), auto, or a percentage: "
            "\"%s\"\n", MEMORY_TOTAL_LEAST, text);
        return OPTIONS_BAD_USAGE;
    }
    options->memory_total = (uint64_t)number << 20;
    return OPTIONS_GO_ON;
}

int
option_set_eviction(struct options *options, const struct option_row *row, const char *text)
{
    (void)row;
    options->evict_lru = strcmp(text, "lru") == 0;
    if (options->evict_lru || strcmp(text, "segmented") == 0)
        return OPTIONS_GO_ON;
    fprintf(stderr, "-o eviction: must be segmented or lru, not \"%s\"\n", text);
    return OPTIONS_BAD_USAGE;
}

int
option_set_handover(struct options *options, const struct option_row *row, const char *text)
{
    (void)row;
    if (strcmp(text, "off") == 0)
        options->handover = HANDOVER_OFF;
    else if (strcmp(text, "manager") == 0)
        options->handover = HANDOVER_MANAGER;
    else if (strcmp(text, "process") == 0)
        options->handover = HANDOVER_PROCESS;
    else {
        fprintf(stderr, "-o handover: must be off, manager or process, not \"%s\"\n", text);
        return OPTIONS_BAD_USAGE;
    }
    return OPTIONS_GO_ON;
}

int
option_set_item_size(struct options *options, const struct option_row *row,
    const char *text)
{
    int64_t number;
    unsigned shift = 0;

    (void)row;
    if (!option_number(text, &number)) {
        if (number_with_unit(text, 'k', &number)) {
            shift = 10;
        } else if (number_with_unit(text, 'm', &number)) {
            shift = 20;
        } else {
            fprintf(stderr, "-I, --max-item-size: not a number of bytes, k or m: \"%s\"\n"
                "Item max size cannot be less than 1024 bytes.\n", text);
            return OPTIONS_BAD_USAGE;
        }
    }
    if (number < 0)
        number = 0;
    if (number > INT64_C(1) << 40)
        number = INT64_C(1) << 40; /* refused later; must not overflow here */
    options->item_size_max = (uint64_t)number << shift;
    return OPTIONS_GO_ON;
}

int
option_set_mask(struct options *options, const struct option_row *row, const char *text)
{
    unsigned mask = 0;

    (void)row;
    for (const char *at = text; *at != '\0'; at++) {
        mask = mask << 3 | (unsigned)(*at - '0');
        if (*at < '0' || *at > '7' || mask > 0777) {
            fprintf(stderr, "-a, --unix-mask: not octal permissions: \"%s\"\n", text);
            return OPTIONS_BAD_VALUE;
        }
    }
    if (*text == '\0') {
        fprintf(stderr, "-a, --unix-mask: must not be empty\n");
        return OPTIONS_BAD_VALUE;
    }
    options->unix_mask = mask;
    return OPTIONS_GO_ON;
}

int
option_set_prefix(struct options *options, const struct option_row *row, const char *text)
{
    (void)row;
    if (*text == '\0') {
        fprintf(stderr, "No delimiter specified\n");
        return OPTIONS_BAD_VALUE;
    }
    options->prefix_delimiter = *text;
    options->detail_enabled = true;
    return OPTIONS_GO_ON;
}

int
option_set_protocol(struct options *options, const struct option_row *row,
    const char *text)
{
    (void)row;
    options->protocol_given = true;
    if (strcmp(text, "auto") == 0) {
        options->protocol = PROTOCOL_AUTO;
    } else if (strcmp(text, "ascii") == 0) {
        options->protocol = PROTOCOL_ASCII;
    } else if (strcmp(text, "binary") == 0) {
        options->protocol = PROTOCOL_BINARY;
    } else {
        fprintf(stderr, "Invalid value for binding protocol: %s\n"
            " -- should be one of auto, binary, or ascii\n", text);
        return OPTIONS_BAD_USAGE;
    }
    return OPTIONS_GO_ON;
}

/* --verbose=3 counts once, as in memcached. */
int
option_set_verbose(struct options *options, const struct option_row *row,
    const char *text)
{
    (void)row;
    (void)text;
    options->verbose++;
    return OPTIONS_GO_ON;
}

/* options.c has read it, before all others. */
int
option_set_config(struct options *options, const struct option_row *row, const char *text)
{
    (void)options;
    (void)row;
    (void)text;
    return OPTIONS_GO_ON;
}

int
option_set_check(struct options *options, const struct option_row *row, const char *text)
{
    (void)row;
    (void)text;
    options->check_config = true;
    return OPTIONS_GO_ON;
}

/* name, name=value, ... */
int
option_set_words(struct options *options, const struct option_row *outer,
    const char *text)
{
    int status = OPTIONS_GO_ON;
    char *copy = strdup(text), *rest = copy, *word;

    (void)outer;
    if (copy == NULL) {
        perror("options");
        return OPTIONS_BAD_VALUE;
    }
    while (*copy != '\0' && status == OPTIONS_GO_ON &&
           (word = strsep(&rest, ",")) != NULL) {
        char *value = strchr(word, '=');
        if (value != NULL)
            *value++ = '\0';
        const struct option_row *row = option_find_name(option_words, word, strlen(word));
        if (row == NULL) {
            fprintf(stderr, "Illegal suboption \"%s\"\n", word);
            option_print_nearest(option_words, word, strlen(word));
            status = OPTIONS_BAD_VALUE;
            break;
        }
        status = option_apply(options, row, value);
        if (status == OPTIONS_GO_ON && row->idle)
            status = append_entry(&options->idle_words, row->name);
    }
    free(copy);
    return status;
}

int
option_set_automove(struct options *options, const struct option_row *row,
    const char *text)
{
    int64_t number = strncmp(row->name, "no_", 3) == 0 ? 0 : 1;

    if (text != NULL && number == 1 &&
        (!option_number(text, &number) || number < 0 || number > 2)) {
        fprintf(stderr, "slab_automove must be between 0 and 2\n");
        return OPTIONS_BAD_VALUE;
    }
    options->slab_automove = (int)number;
    return OPTIONS_GO_ON;
}

int
option_set_chunk_max(struct options *options, const struct option_row *row,
    const char *text)
{
    int64_t number = CHUNK_KIB_MAX; /* no_chunked_items */

    if (row->argument != NULL && !option_number(text, &number)) {
        fprintf(stderr, "could not parse argument to slab_chunk_max: \"%s\"\n", text);
        return OPTIONS_BAD_VALUE;
    }
    if (number <= 0 || number > CHUNK_KIB_MAX) {
        fprintf(stderr, "slab_chunk_max must be specified in kilobytes.\n");
        return OPTIONS_BAD_VALUE;
    }
    options->slab_chunk_max = (uint64_t)number << 10;
    options->slab_chunk_max_given = row->argument != NULL;
    return OPTIONS_GO_ON;
}

/* Reads the list; that it ascends is checked when -n and slab_chunk_max are known. */
int
option_set_slab_sizes(struct options *options, const struct option_row *row,
    const char *text)
{
    uint32_t sizes[SLAB_SIZES_MAX];
    unsigned count = 0;

    (void)row;
    for (const char *at = text;; at++) {
        char *end;
        unsigned long size = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : 0;
        if (size == 0 || size > UINT32_MAX || (*end != '-' && *end != '\0')) {
            fprintf(stderr, "slab_sizes must be numbers joined by '-': \"%s\"\n", text);
            return OPTIONS_BAD_VALUE;
        }
        if (count == SLAB_SIZES_MAX) {
            fprintf(stderr, "too many slab classes specified\n");
            return OPTIONS_BAD_USAGE;
        }
        sizes[count++] = (uint32_t)size;
        at = end;
        if (*at == '\0')
            break;
    }
    uint32_t *copy = malloc(count * sizeof *copy);
    if (copy == NULL) {
        perror("options");
        return OPTIONS_BAD_VALUE;
    }
    memcpy(copy, sizes, count * sizeof *copy);
    free(options->slab_sizes);
    options->slab_sizes = copy;
    options->nslab_sizes = count;
    return OPTIONS_GO_ON;
}

static int
replace_text(char **field, const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL) {
        perror("options");
        return OPTIONS_BAD_VALUE;
    }
    free(*field);
    *field = copy;
    return OPTIONS_GO_ON;
}

/* memcached's names stand for the default here: they promise nothing but a hash. */
int
option_set_hash(struct options *options, const struct option_row *row, const char *text)
{
    static const char *const names[] = { "siphash13", "xxh3", "jenkins", "murmur3" };
    size_t i = 0, n = sizeof names / sizeof *names;

    while (i < n && strcmp(text, names[i]) != 0)
        i++;
    if (i == n) {
        fprintf(stderr, "Unknown hash_algorithm option (siphash13, xxh3, jenkins, "
            "murmur3): \"%s\"\n", text);
        return OPTIONS_BAD_VALUE;
    }
#ifndef HAVE_XXHASH
    if (strcmp(text, "xxh3") == 0) {
        fprintf(stderr, "This server is not built with xxh3: -o hash_algorithm\n");
        return OPTIONS_BAD_USAGE;
    }
#endif
    options->hash_algorithm = names[i];
    bool idle = strcmp(text, "jenkins") == 0 || strcmp(text, "murmur3") == 0;
    return idle ? append_entry(&options->idle_words, row->name) : OPTIONS_GO_ON;
}

int
option_set_hash_power(struct options *options, const struct option_row *row,
    const char *text)
{
    int64_t number;

    if (!option_number(text, &number)) {
        fprintf(stderr, "-o %s: not a number: \"%s\"\n", row->name, text);
        return OPTIONS_BAD_VALUE;
    }
    if (number != 0 && (number < 12 || number > 32)) {
        fprintf(stderr, "Initial hashtable multiplier of %lld is too %s\n",
            (long long)number, number < 12 ? "low" : "high");
        return OPTIONS_BAD_VALUE;
    }
    options->hash_power = (int)number;
    return OPTIONS_GO_ON;
}

int
option_set_temporary_ttl(struct options *options, const struct option_row *row,
    const char *text)
{
    int64_t number;

    if (!option_number(text, &number) || number < 0 || number > UINT32_MAX) {
        fprintf(stderr, "-o %s: not a number of seconds: \"%s\"\n", row->name, text);
        return OPTIONS_BAD_VALUE;
    }
    options->temporary_ttl = (unsigned)number;
    options->temp_lru = true;
    return OPTIONS_GO_ON;
}

int
option_set_no_modern(struct options *options, const struct option_row *row,
    const char *text)
{
    (void)row;
    (void)text;
    options->slab_reassign = false;
    options->slab_automove = 0;
    options->maxconns_fast = false;
    options->lru_crawler = false;
    options->lru_maintainer = false;
    if (!options->slab_chunk_max_given)
        options->slab_chunk_max = (uint64_t)CHUNK_KIB_MAX << 10;
    return OPTIONS_GO_ON;
}

/* "unix:" and a path, or a port behind an address; whether there is such an address is seen
 * when the socket is opened. */
static bool
is_http_place(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;

    if (strncmp(text, "unix:", 5) == 0)
        return text[5] == '/';
    if (colon != NULL && text[0] != '[' && strchr(text, ':') != colon)
        return false; /* IPv6 without its brackets */
    return option_number(colon == NULL ? text : colon + 1, &port) && port > 0 &&
           port <= UINT16_MAX;
}

int
option_set_http(struct options *options, const struct option_row *row, const char *text)
{
    if (!is_http_place(text)) {
        fprintf(stderr, "-o %s: not [address:]port nor unix:/path: \"%s\"\n", row->name,
            text);
        return OPTIONS_BAD_VALUE;
    }
    return replace_text(&options->http, text);
}

int
option_set_http_name(struct options *options, const struct option_row *row,
    const char *text)
{
    if (*text == '\0' || text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] != '\0') {
        fprintf(stderr, "-o %s: not a name of a machine: \"%s\"\n", row->name, text);
        return OPTIONS_BAD_VALUE;
    }
    return append_entry(&options->http_names, text);
}

static unsigned
count_entries(const char *list)
{
    unsigned n = list != NULL;

    for (; list != NULL && *list != '\0'; list++)
        n += *list == ',';
    return n;
}

/* What a key of the text protocol may begin with; a comma would end the word of -o. */
static bool
is_key_start(const char *text)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++)
        if (text[len] == ',' || (unsigned char)text[len] <= ' ' || text[len] == 0x7f)
            return false;
    return len >= 1 && len <= FLUSH_PREFIX_MAX;
}

int
option_set_flush_prefix(struct options *options, const struct option_row *row,
    const char *text)
{
    int status;

    if (!is_key_start(text)) {
        fprintf(stderr, "-o %s: must be 1 to %u bytes without blanks, control characters "
            "and commas: \"%s\"\n", row->name, FLUSH_PREFIX_MAX, text);
        return OPTIONS_BAD_VALUE;
    }
    status = append_entry(&options->flush_prefixes, text);
    if (status == OPTIONS_GO_ON &&
        count_entries(options->flush_prefixes) > FLUSH_PREFIXES_MAX) {
        fprintf(stderr, "-o %s: at most %u of them\n", row->name, FLUSH_PREFIXES_MAX);
        return OPTIONS_BAD_VALUE;
    }
    return status;
}

/* And memcached's two words for the same. */
int
option_set_sandbox(struct options *options, const struct option_row *row,
    const char *text)
{
    static const char *const words[] = { [SANDBOX_OFF] = "off", [SANDBOX_LOG] = "log",
        [SANDBOX_ON] = "on", [SANDBOX_STRICT] = "strict" };

    if (row->argument == NULL)
        text = strncmp(row->name, "no_", 3) == 0 ? "off" : "on";
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) == 0) {
            options->sandbox = (enum sandbox_mode)i;
            return OPTIONS_GO_ON;
        }
    }
    fprintf(stderr, "Unknown sandbox option (off, log, on, strict): \"%s\"\n", text);
    return OPTIONS_BAD_VALUE;
}

int
option_set_retired(struct options *options, const struct option_row *row,
    const char *text)
{
    (void)options;
    (void)text;
    fprintf(stderr, "-o %s is deprecated and has no effect\n", row->name);
    return OPTIONS_GO_ON;
}
