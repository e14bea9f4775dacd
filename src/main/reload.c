/* SPDX-License-Identifier: BSD-3-Clause */
#include "main/reload.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct change {
    const struct options *new;
    const struct reload_targets *targets;
};

void
reload_init(struct reload *reload, const struct options *options)
{
    *reload = (struct reload){ .last = *options };
}

void
reload_fini(struct reload *reload)
{
    if (reload->owned)
        options_fini(&reload->last);
    *reload = (struct reload){ .owned = false };
}

/* False: the store can't. */
static bool
apply(const struct change *change, const char *name)
{
    const struct reload_targets *targets = change->targets;

    if (strcmp(name, "memory-limit") == 0)
        return store_memory_limit(
            targets->spaces->at[0].store, change->new->memory_max);
    if (strcmp(name, "verbose") == 0)
        log_set_verbosity(change->new->verbose);
    else
        net_set_idle_timeout(targets->net, (uint32_t)change->new->idle_timeout);
    for (unsigned i = 0; i < targets->spaces->n; i++)
        admin_update(targets->spaces->at[i].admin, change->new);
    return true;
}

/* With --memory-total the limit is not the option's to set: main/bound.h moves it. */
static bool
may_change(const struct options *new, const char *name)
{
    if (strcmp(name, "memory-limit") == 0)
        return new->memory_total == 0;
    return strcmp(name, "verbose") == 0 || strcmp(name, "idle_timeout") == 0;
}

static const char *
or_none(const char *text)
{
    return *text == '\0' ? "none" : text;
}

static void
on_difference(void *context, const char *name, const char *before, const char *after)
{
    const struct change *change = context;

    if (!may_change(change->new, name))
        log_line(LOG_ALWAYS, "SIGHUP: %s stays %s until a restart, not %s", name,
            or_none(before), or_none(after));
    else if (apply(change, name))
        log_line(LOG_NOTICE, "SIGHUP: %s is %s now, was %s", name, or_none(after),
            or_none(before));
    else
        log_line(LOG_ALWAYS, "SIGHUP: %s stays %s: %s is more than was reserved at the "
            "start, or memory was taken then (-L)", name, before, after);
}

bool
reload_options(struct reload *reload, const struct reload_targets *targets)
{
    struct options new;
    struct change change = { .new = &new, .targets = targets };

    if (reload->last.config_file == NULL)
        return true; /* the command line alone says what it has said before */
    options_init(&new);
    new.directory = reload->last.directory == NULL ? NULL
                                                   : strdup(reload->last.directory);
    if (options_parse(&new, reload->last.argc, reload->last.argv) >= 0) {
        log_line(LOG_ALWAYS, "SIGHUP: %s: refused; nothing was changed",
            reload->last.config_file);
        options_fini(&new);
        return false;
    }
    if (!options_differ(&reload->last, &new, on_difference, &change))
        log_line(LOG_NOTICE, "SIGHUP: %s: nothing new", new.config_file);
    if (reload->owned)
        options_fini(&reload->last);
    reload->last = new;
    reload->owned = true;
    return true;
}
