# SPDX-License-Identifier: BSD-3-Clause
"""A system check that says, as Arches' own does, whether the cache is one on which rate
limiting is safe: shared by all processes."""
from django.apps import AppConfig
from django.conf import settings
from django.core import checks

SHARED = {
    "django.core.cache.backends.memcached.PyLibMCCache",
    "django.core.cache.backends.memcached.PyMemcacheCache",
}


def check_cache(app_configs, **kwargs):
    backend = settings.CACHES["default"]["BACKEND"]
    if backend in SHARED:
        return []
    return [checks.Warning("%s cannot count over processes" % backend, id="site.W001")]


class SiteConfig(AppConfig):
    name = "apps"
    label = "site_under_test"

    def ready(self):
        checks.register(check_cache, checks.Tags.compatibility)
