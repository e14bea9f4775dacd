/* SPDX-License-Identifier: BSD-3-Clause */
#include "admin/tunables.h"

void
tunables_init(struct tunables *tunables, const struct options *options)
{
    atomic_init(&tunables->verbosity, (unsigned)options->verbose);
    atomic_init(&tunables->automove, (unsigned)options->slab_automove);
    atomic_init(&tunables->automove_ratio, options->slab_automove_ratio);
    atomic_init(&tunables->automove_window, options->slab_automove_window);
    atomic_init(&tunables->automove_freeratio, options->slab_automove_freeratio);
    atomic_init(&tunables->crawler_sleep, (unsigned)options->lru_crawler_sleep);
    atomic_init(&tunables->crawler_tocrawl, options->lru_crawler_tocrawl);
    atomic_init(&tunables->lru_segmented, options->lru_maintainer);
    atomic_init(&tunables->hot_lru_pct, (unsigned)options->hot_lru_pct);
    atomic_init(&tunables->warm_lru_pct, (unsigned)options->warm_lru_pct);
    atomic_init(&tunables->hot_max_factor, options->hot_max_factor);
    atomic_init(&tunables->warm_max_factor, options->warm_max_factor);
    atomic_init(&tunables->temp_lru, options->temp_lru);
    atomic_init(&tunables->temporary_ttl, options->temporary_ttl);
    atomic_init(&tunables->idle_timeout, (uint32_t)options->idle_timeout);
}
