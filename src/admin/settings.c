/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * settings.c - `stats settings`: the options in force. One step.
 */
#include <string.h>

#include "admin/stats.h"
#include "base/num.h"

/* A number for each prefix, with commas between. */
#define FLUSHES_MAX (STORE_FLUSH_PREFIXES_MAX * (NUM_U64_MAX + 1))

static const char *
protocol_name(enum protocol_choice protocol)
{
    switch (protocol) {
    case PROTOCOL_ASCII:
        return "ascii";
    case PROTOCOL_BINARY:
        return "binary";
    case PROTOCOL_AUTO:
        break;
    }
    return "auto-negotiate";
}

static const char *
handover_name(enum handover_choice choice)
{
    switch (choice) {
    case HANDOVER_MANAGER:
        return "manager";
    case HANDOVER_PROCESS:
        return "process";
    case HANDOVER_OFF:
        break;
    }
    return "off";
}

static const char *
sandbox_name(enum sandbox_mode mode)
{
    switch (mode) {
    case SANDBOX_OFF:
        return "off";
    case SANDBOX_LOG:
        return "log";
    case SANDBOX_STRICT:
        return "strict";
    case SANDBOX_ON:
        break;
    }
    return "on";
}

static const char *
or_null(const char *text, const char *null)
{
    return text != NULL ? text : null;
}

/* As OpenSSL's bits, which is how memcached shows it: verify, refuse without a certificate,
 * only once. */
static int
verify_bits(int mode)
{
    return (1 << mode) - 1;
}

static const char *
version_name(int number)
{
    static const char *const names[] = { "tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3" };

    return names[number];
}

static bool
listens_to_many(const struct options *options)
{
    return options->listen != NULL && strchr(options->listen, ',') != NULL;
}

/* How often each prefix of -o flush_prefix was flushed, in their order. */
static void
tell_flushes(const struct store *store, char text[FLUSHES_MAX])
{
    char *to = text;

    for (unsigned i = 0; i < store_flush_prefixes(store); i++) {
        uint64_t flushes;

        (void)store_flush_prefix_text(store, i, &flushes);
        if (i > 0)
            *to++ = ',';
        to = num_put(to, flushes);
    }
    *to = '\0';
}

bool
settings_step(struct report *report, struct stat_sink *sink)
{
    const struct options *o = report->admin->parts.options;
    struct tunables *t = &report->admin->tunables;
    const char delimiter[2] = { o->prefix_delimiter, '\0' };
    bool detail = atomic_load_explicit(
        prefix_on(report->admin->prefixes), memory_order_relaxed);
    struct store_totals totals;
    char flushes[FLUSHES_MAX];

    tell_flushes(report->admin->parts.store, flushes);
    store_totals(report->admin->parts.store, &totals);
#define STAT(when, kind, name, value) \
    if (when) \
        stat_##kind(sink, #name, value);
#include "admin/settings.def"
#undef STAT
    return false;
}
