# SPDX-License-Identifier: BSD-3-Clause
"""The smallest site that uses its cache the way an Arches installation does. Where the
cache listens comes from the environment; everything else is as its guide says."""
import os

_where = os.environ.get("SITE_CACHE", "127.0.0.1:11211")

SECRET_KEY = "a-test-site-has-no-secrets-but-its-checks-want-fifty-letters-at-least"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost"]
ROOT_URLCONF = "views"
INSTALLED_APPS = ["apps.SiteConfig"]
MIDDLEWARE = []
USE_TZ = True
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.memcached.PyLibMCCache",
        "LOCATION": _where,
    },
    "pymemcache": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": _where,
        "KEY_PREFIX": "pm",
    },
}

# "5/m" in words: so many posts of one user name in a window of so many seconds.
LOGIN_LIMIT = 5
LOGIN_WINDOW = 60
