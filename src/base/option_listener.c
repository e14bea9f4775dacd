/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * option_listener.c - --listener ADDRESS[,KEY=VALUE...]: its words, and what they come to.
 *
 * A namespace begins with the first listener that names it. Where its listeners stand, on
 * the command line or in a file, and in which order, makes no difference.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/option_rows.h"
#include "base/service.h"

#define NAME_LETTERS \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
#define UNIX "unix:"
#define PATH_LEN_MAX 107u /* what struct sockaddr_un has room for */
#define MEMORY_MOST (UINT64_C(1) << 43) /* as of -m */
#define MEMORY_LEAST (UINT64_C(2) << 20)

static const char *const DENIALS[] = { "admin", "flush", "write" }; /* enum right's bits */
#define NDENIALS (sizeof DENIALS / sizeof *DENIALS)

static int refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int
refuse(const char *format, ...)
{
    va_list arguments;

    fputs("--listener: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return OPTIONS_BAD_VALUE;
}

static int
no_memory(void)
{
    perror("options");
    return OPTIONS_BAD_VALUE;
}

/* A listener that is being read. Its texts are part of what was given. */
struct reading {
    struct options *options;
    struct option_listener listener;
    uint64_t memory; /* 0: nothing was said */
};

/* ---- Keys --------------------------------------------------------------------------- */

/* The number of a namespace; it begins if it is new. OPTION_SPACES_MAX: there is no room. */
static unsigned
find_space(struct options *options, const char *name)
{
    unsigned i = 0;

    while (i < options->nspaces && strcmp(options->spaces[i].name, name) != 0)
        i++;
    if (i == options->nspaces && i < OPTION_SPACES_MAX) {
        options->spaces[i] = (struct option_space){ .memory = 0 };
        snprintf(options->spaces[i].name, sizeof options->spaces[i].name, "%s", name);
        options->nspaces++;
    }
    return i;
}

static int
set_namespace(struct reading *reading, char *value)
{
    size_t len = strlen(value);

    if (len >= OPTION_NAME_SIZE || value[strspn(value, NAME_LETTERS)] != '\0')
        return refuse("namespace: not 1 to %u of the letters A-Z a-z 0-9 _ . -: \"%s\"",
            OPTION_NAME_SIZE - 1, value);
    reading->listener.space = find_space(reading->options, value);
    if (reading->listener.space == OPTION_SPACES_MAX)
        return refuse("namespace: more than %u of them: \"%s\"", OPTION_SPACES_MAX - 1,
            value);
    return OPTIONS_GO_ON;
}

static int
set_memory(struct reading *reading, char *value)
{
    size_t len = strlen(value);
    unsigned shift = 20;
    int64_t number;
    char unit = len > 1 ? (char)(value[len - 1] | 0x20) : '\0';
    bool has_unit = unit == 'k' || unit == 'm' || unit == 'g';

    if (has_unit) {
        shift = unit == 'k' ? 10 : unit == 'm' ? 20 : 30;
        value[len - 1] = '\0';
    }
    bool good = value[strspn(value, "0123456789")] == '\0' && option_number(value, &number);
    if (has_unit)
        value[len - 1] = unit;
    if (!good)
        return refuse("memory: not a number of MiB, nor one with k, m or g: \"%s\"", value);
    if (number < 1 || (uint64_t)number > MEMORY_MOST >> shift)
        return refuse("memory: must be between %llu and %llu MiB: \"%s\"",
            (unsigned long long)MEMORY_LEAST >> 20, (unsigned long long)MEMORY_MOST >> 20,
            value);
    reading->memory = (uint64_t)number << shift;
    return OPTIONS_GO_ON;
}

static int
set_deny(struct reading *reading, char *value)
{
    char *rest = value, *word;
    struct nearest nearest;

    while ((word = strsep(&rest, "+")) != NULL) {
        unsigned i = 0;
        nearest_init(&nearest, word, strlen(word));
        while (i < NDENIALS && strcmp(word, DENIALS[i]) != 0)
            nearest_show(&nearest, DENIALS[i++]);
        if (i < NDENIALS) {
            reading->listener.denied |= (uint8_t)(1u << i);
            continue;
        }
        refuse("deny: must be admin, flush or write, joined by +, not \"%s\"", word);
        if (nearest.name != NULL)
            fprintf(stderr, "Nearest: %s\n", nearest.name);
        return OPTIONS_BAD_VALUE;
    }
    return OPTIONS_GO_ON;
}

static int
set_mode(struct reading *reading, char *value)
{
    unsigned mode = 0;

    for (const char *at = value; *at != '\0'; at++) {
        mode = mode << 3 | (unsigned)(*at - '0');
        if (*at < '0' || *at > '7' || mode > 0777)
            return refuse("mode: not octal permissions: \"%s\"", value);
    }
    reading->listener.mode = (int)mode;
    return OPTIONS_GO_ON;
}

static int
set_group(struct reading *reading, char *value)
{
    reading->listener.group = value;
    return OPTIONS_GO_ON;
}

static int
set_users(struct reading *reading, char *value)
{
    for (const char *at = value;; at++) {
        if (*at == '+' || *at == '\0')
            return refuse("users: must be names or numbers, joined by +: \"%s\"", value);
        at += strcspn(at, "+");
        if (*at == '\0')
            break;
    }
    reading->listener.users = value;
    return OPTIONS_GO_ON;
}

static const struct key {
    const char *name;
    bool local; /* of unix sockets only */
    int (*set)(struct reading *reading, char *value);
} KEYS[] = {
    { "namespace", false, set_namespace },
    { "memory", false, set_memory },
    { "deny", false, set_deny },
    { "mode", true, set_mode },
    { "group", true, set_group },
    { "users", true, set_users },
};
#define NKEYS (sizeof KEYS / sizeof *KEYS)

static int
refuse_key(const char *name)
{
    struct nearest nearest;

    nearest_init(&nearest, name, strlen(name));
    for (unsigned i = 0; i < NKEYS; i++)
        nearest_show(&nearest, KEYS[i].name);
    refuse("unknown word \"%s\"", name);
    if (nearest.name != NULL)
        fprintf(stderr, "Nearest: %s\n", nearest.name);
    return OPTIONS_BAD_VALUE;
}

/* KEY=VALUE. `seen` has a bit for each key that was there before. */
static int
read_word(struct reading *reading, char *word, unsigned *seen)
{
    char *value = strchr(word, '=');
    unsigned i = 0;

    if (value != NULL)
        *value++ = '\0';
    while (i < NKEYS && strcmp(word, KEYS[i].name) != 0)
        i++;
    if (i == NKEYS)
        return refuse_key(word);
    if (value == NULL || *value == '\0')
        return refuse("needs a value: %s", word);
    if ((*seen & 1u << i) != 0)
        return refuse("given twice: %s", word);
    *seen |= 1u << i;
    if (KEYS[i].local && !option_listener_is_local(&reading->listener))
        return refuse("%s: only a unix socket has that, not \"%s\"", word,
            reading->listener.address);
    return KEYS[i].set(reading, value);
}

/* ---- A whole listener ---------------------------------------------------------------- */

bool
option_listener_is_local(const struct option_listener *listener)
{
    return strncmp(listener->address, UNIX, strlen(UNIX)) == 0;
}

const char *
option_listener_path(const struct option_listener *listener)
{
    return option_listener_is_local(listener) ? listener->address + strlen(UNIX) : NULL;
}

/* Whether there is such an address is seen when the socket is opened, as of -l. */
static int
check_address(const struct options *options, const struct option_listener *listener)
{
    const char *path = option_listener_path(listener);

    if (*listener->address == '\0')
        return refuse("no address");
    if (path != NULL && *path != '/')
        return refuse("not unix:/path: \"%s\"", listener->address);
    if (path != NULL && strlen(path) > PATH_LEN_MAX)
        return refuse("longer than %u bytes: \"%s\"", PATH_LEN_MAX, path);
    if (path == NULL && strpbrk(listener->address, "; /=") != NULL)
        return refuse("not an address, nor unix:/path: \"%s\"", listener->address);
    /* The second would take the file away from the first; a port is refused by the kernel. */
    for (unsigned i = 0; path != NULL && i < options->nlisteners; i++)
        if (strcmp(options->listeners[i].address, listener->address) == 0)
            return refuse("given twice: \"%s\"", listener->address);
    return OPTIONS_GO_ON;
}

static int
give_memory(struct reading *reading)
{
    struct option_space *space = &reading->options->spaces[reading->listener.space];

    if (reading->memory == 0)
        return OPTIONS_GO_ON;
    if (reading->listener.space == 0)
        return refuse("memory: namespace \"%s\" has what -m says", space->name);
    if (space->memory != 0)
        return refuse("memory: namespace \"%s\" has been given some already", space->name);
    space->memory = reading->memory;
    return OPTIONS_GO_ON;
}

/* False: out of memory. */
static bool
copy_text(char **text)
{
    if (*text != NULL)
        *text = strdup(*text);
    else
        return true;
    return *text != NULL;
}

static void
free_texts(struct option_listener *listener)
{
    free(listener->address);
    free(listener->group);
    free(listener->users);
}

static int
keep(struct options *options, struct option_listener listener)
{
    size_t size = (options->nlisteners + 1) * sizeof listener;
    struct option_listener *longer = realloc(options->listeners, size);

    if (longer == NULL)
        return no_memory();
    options->listeners = longer;
    bool address = copy_text(&listener.address);
    bool group = copy_text(&listener.group);
    bool users = copy_text(&listener.users);
    if (!address || !group || !users) {
        free_texts(&listener);
        return no_memory();
    }
    longer[options->nlisteners++] = listener;
    return OPTIONS_GO_ON;
}

int
option_set_listener(struct options *options, const struct option_row *row,
    const char *text)
{
    struct reading reading = { .options = options, .listener = { .mode = -1 } };
    char copy[OPTION_LISTENER_MAX + 1], *rest = copy, *word;
    unsigned seen = 0;

    (void)row;
    if (strlen(text) > OPTION_LISTENER_MAX)
        return refuse("longer than %u bytes", OPTION_LISTENER_MAX);
    if (options->nlisteners == OPTION_LISTENERS_MAX)
        return refuse("more than %u of them: \"%s\"", OPTION_LISTENERS_MAX, text);
    memcpy(copy, text, strlen(text) + 1);
    reading.listener.address = strsep(&rest, ",");
    int status = check_address(options, &reading.listener);
    while (status == OPTIONS_GO_ON && (word = strsep(&rest, ",")) != NULL)
        status = read_word(&reading, word, &seen);
    if (status == OPTIONS_GO_ON)
        status = give_memory(&reading);
    return status == OPTIONS_GO_ON ? keep(options, reading.listener) : status;
}

void
option_listeners_forget(struct options *options)
{
    for (unsigned i = 0; i < options->nlisteners; i++)
        free_texts(&options->listeners[i]);
    free(options->listeners);
    options->listeners = NULL;
    options->nlisteners = 0;
    options->nspaces = 0;
    (void)find_space(options, OPTION_SPACE_DEFAULT);
}

/* ---- Shown, and checked together ------------------------------------------------------ */

/* Is this the listener by which its namespace is shown to have memory? */
static bool
shows_memory(const struct options *options, unsigned i)
{
    unsigned space = options->listeners[i].space;

    for (unsigned before = 0; before < i; before++)
        if (options->listeners[before].space == space)
            return false;
    return space != 0;
}

void
option_listener_show(const struct options *options, unsigned i, char *to, size_t size)
{
    const struct option_listener *listener = &options->listeners[i];
    const struct option_space *space = &options->spaces[listener->space];
    FILE *out = fmemopen(to, size, "w");

    *to = '\0';
    if (out == NULL)
        return;
    fputs(listener->address, out);
    if (listener->space != 0)
        fprintf(out, ",namespace=%s", space->name);
    if (shows_memory(options, i) && space->memory % (1u << 20) == 0)
        fprintf(out, ",memory=%llu", (unsigned long long)space->memory >> 20);
    else if (shows_memory(options, i))
        fprintf(out, ",memory=%lluk", (unsigned long long)space->memory >> 10);
    for (unsigned bit = 0, any = 0; bit < NDENIALS; bit++)
        if ((listener->denied & 1u << bit) != 0)
            fprintf(out, "%s%s", any++ == 0 ? ",deny=" : "+", DENIALS[bit]);
    if (listener->mode >= 0)
        fprintf(out, ",mode=%04o", (unsigned)listener->mode);
    if (listener->group != NULL)
        fprintf(out, ",group=%s", listener->group);
    if (listener->users != NULL)
        fprintf(out, ",users=%s", listener->users);
    fclose(out);
}

uint64_t
option_spaces_memory(const struct options *options)
{
    uint64_t sum = 0;

    for (unsigned i = 1; i < options->nspaces; i++)
        sum += options->spaces[i].memory;
    return sum;
}

int
option_listeners_check(const struct options *options)
{
    for (unsigned i = 1; i < options->nspaces; i++) {
        const struct option_space *space = &options->spaces[i];
        if (space->memory == 0)
            return refuse("namespace \"%s\": none of its listeners says memory=",
                space->name);
        if (space->memory < MEMORY_LEAST || space->memory / 2 < options->item_size_max)
            return refuse("memory: namespace \"%s\" needs at least 2 MiB and twice -I "
                "(%llu)", space->name, (unsigned long long)options->item_size_max);
    }
    for (unsigned i = 0; i < options->nlisteners; i++) {
        const char *path = option_listener_path(&options->listeners[i]);
        if (path != NULL && options->unix_socket != NULL &&
            strcmp(path, options->unix_socket) == 0)
            return refuse("the socket of -s, too: \"%s\"", path);
    }
    return OPTIONS_GO_ON;
}
