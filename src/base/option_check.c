/* SPDX-License-Identifier: BSD-3-Clause */
/* option_check.c - what can only be checked when all options are known. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/option_rows.h"

#define ITEM_SIZE_LEAST 1024u
#define ITEM_SIZE_MOST (1u << 30)
#define SLAB_PAGE (1u << 20) /* memcached's; what slab_chunk_max must divide */
#define SLAB_STEP 8u         /* what slab_sizes must ascend by, at least */
#define PERCENT_MAX 80
#define TOTAL_LEAST (16u << 20) /* as of --memory-total */

static int refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int
refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return OPTIONS_BAD_USAGE;
}

/* What namespaces are given is theirs; the default one and all else have the rest. */
static int
check_total(const struct options *o)
{
    uint64_t spaces = option_spaces_memory(o);

    if (o->memory_total == 0 || spaces == 0 || o->memory_total >= spaces + TOTAL_LEAST)
        return OPTIONS_GO_ON;
    return refuse("--memory-total: %llu MiB are less than the namespaces' %llu MiB and %u "
        "MiB for everything else", (unsigned long long)o->memory_total >> 20,
        (unsigned long long)spaces >> 20, TOTAL_LEAST >> 20);
}

static int
check_sizes(const struct options *o)
{
    unsigned long long item = o->item_size_max, chunk = o->slab_chunk_max;

    if (item < ITEM_SIZE_LEAST)
        return refuse("Item max size cannot be less than 1024 bytes.");
    if (item > o->memory_max / 2)
        return refuse("Cannot set item size limit higher than 1/2 of memory max.");
    if (item > ITEM_SIZE_MOST)
        return refuse("Cannot set item size limit higher than a gigabyte.");
    if (chunk > item)
        return refuse("slab_chunk_max (bytes: %llu) cannot be larger than -I "
            "(item_size_max %llu)", chunk, item);
    if (item % chunk != 0)
        return refuse("-I (item_size_max: %llu) must be evenly divisible by "
            "slab_chunk_max (bytes: %llu)", item, chunk);
    if (SLAB_PAGE % chunk != 0)
        return refuse("slab_chunk_max (bytes: %llu) must divide 1 MiB evenly", chunk);
    return OPTIONS_GO_ON;
}

static int
check_slab_sizes(const struct options *o)
{
    uint32_t before = 0;

    for (unsigned i = 0; i < o->nslab_sizes; i++) {
        uint32_t size = o->slab_sizes[i];
        if (size < (uint32_t)o->chunk_min || size > o->slab_chunk_max)
            return refuse("slab size %u is out of valid range", size);
        if (size <= before)
            return refuse("slab size %u cannot be lower than or equal to a previous "
                "class size", size);
        if (i > 0 && size <= before + SLAB_STEP)
            return refuse("slab size %u must be at least %u bytes larger than previous "
                "class size", size, SLAB_STEP);
        before = size;
    }
    return OPTIONS_GO_ON;
}

static int
check_words(const struct options *o)
{
    if (o->hot_lru_pct + o->warm_lru_pct > PERCENT_MAX)
        return refuse("hot_lru_pct + warm_lru_pct cannot be more than 80%% combined");
    if (o->temp_lru && !o->lru_maintainer)
        return refuse("temporary_ttl requires lru_maintainer to be enabled");
    return OPTIONS_GO_ON;
}

static int
check_ports(const struct options *o)
{
    if (o->port > UINT16_MAX)
        return refuse("ERROR: Invalid port number %d.", o->port);
    if (o->udp_port > UINT16_MAX)
        return refuse("ERROR: Invalid UDP port number %d.", o->udp_port);
    return OPTIONS_GO_ON;
}

static bool
has_tcp_listener(const struct options *o)
{
    for (unsigned i = 0; i < o->nlisteners; i++)
        if (!option_listener_is_local(&o->listeners[i]))
            return true;
    return false;
}

/* What does not go together is said first, what was not built in afterwards. */
static int
check_features(const struct options *o)
{
#ifndef HAVE_SASL
    if (o->sasl)
        return refuse("This server is not built with SASL support: -S, --enable-sasl");
#endif
    if (o->sasl && o->auth_file != NULL)
        return refuse("ERROR: You cannot use SASL and ascii authentication tokens "
            "together.");
    if (o->sasl && o->protocol != PROTOCOL_BINARY)
        return refuse("ERROR: You cannot allow the ASCII protocol while using SASL.");
    if (o->sasl && o->udp_port != 0)
        return refuse("ERROR: Cannot enable UDP while using binary SASL authentication.");
    if (o->auth_file != NULL && o->protocol != PROTOCOL_ASCII)
        return refuse("ERROR: You cannot allow the BINARY protocol while using ascii "
            "authentication tokens.");
    if (o->auth_file != NULL && o->udp_port != 0)
        return refuse("Cannot use UDP with ascii authentication enabled (-U 0 to "
            "disable)");
    if (o->tls && o->port == 0 && !has_tcp_listener(o))
        return refuse("ERROR: You cannot enable SSL without a TCP port.");
    if (o->napi_ids > o->threads)
        return refuse("Number of NAPI IDs (%d) cannot be greater than the number of "
            "threads (%d)", o->napi_ids, o->threads);
    if (o->tls && !OPTIONS_TLS)
        return refuse("This server is not built with TLS: -Z, --enable-ssl");
    if (o->large_pages && (o->memory_file != NULL || o->handover != HANDOVER_OFF))
        return refuse("-L, --enable-largepages: its memory can't be kept over a restart by "
            "-e or -o handover");
    if (o->napi_ids != 0)
        return refuse("This server is not built with NAPI IDs: -N, --napi-ids");
    return OPTIONS_GO_ON;
}

static bool
asks_for_certificates(const struct options *o)
{
    for (unsigned i = 0; i < o->nlisteners; i++)
        if (strncmp(o->listeners[i].address, "mtls:", 5) == 0)
            return true;
    return o->ssl_verify_mode > 0 ||
           (o->listen != NULL && strstr(o->listen, "mtls:") != NULL);
}

/* Nothing is ignored without a word. */
static void
warn(const struct options *o)
{
    if (o->tls && o->unix_socket != NULL)
        fprintf(stderr, "WARNING: -s: a unix socket is served without TLS\n");
    for (unsigned i = 0; o->tls && i < o->nlisteners; i++)
        if (option_listener_is_local(&o->listeners[i]))
            fprintf(stderr, "WARNING: --listener: a unix socket is served without TLS: "
                "\"%s\"\n", o->listeners[i].address);
    if (o->tls && o->ssl_ca_cert == NULL && asks_for_certificates(o))
        fprintf(stderr, "WARNING: without -o ssl_ca_cert no certificate of a client is "
            "good\n");
    if (o->idle_words != NULL)
        fprintf(stderr, "-o %s: accepted; no effect in this server\n", o->idle_words);
    if (o->threads > 64)
        fprintf(stderr, "WARNING: Setting a high number of worker threads is not "
            "recommended.\n Set this value to the number of cores in your machine or "
            "less.\n");
}

int
option_check(struct options *options)
{
    static int (*const checks[])(const struct options *) = { check_sizes,
        check_slab_sizes, check_words, check_ports, check_features,
        option_listeners_check };

    /* Each way to log in is a part of one protocol. */
    if (!options->protocol_given && options->sasl)
        options->protocol = PROTOCOL_BINARY;
    else if (!options->protocol_given && options->auth_file != NULL)
        options->protocol = PROTOCOL_ASCII;
    if (!options->port_given && options->udp_port != 0)
        options->port = options->udp_port;
    int status = check_total(options);
    if (status != OPTIONS_GO_ON)
        return status;
    if (options->memory_total > 0 && !options->memory_given)
        options->memory_max = options->memory_total - option_spaces_memory(options);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        status = checks[i](options);
        if (status != OPTIONS_GO_ON)
            return status;
    }
    warn(options);
    return OPTIONS_GO_ON;
}
