# SPDX-License-Identifier: BSD-3-Clause
"""A login that may be tried so often in a window of time, counted in the cache."""
import hashlib
import time

from django.conf import settings
from django.core.cache import caches
from django.http import HttpResponse
from django.urls import path


def window_of(now, name, period):
    """When the window ends that `now` is in; each name has its own phase."""
    phase = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % period
    return int((now - phase) // period * period + phase + period)


def key_of(name, limit, period, end):
    text = "login|%d/%d|%s|%d|POST" % (limit, period, name, end)
    return "rl:" + hashlib.sha256(text.encode()).hexdigest()


def count(cache, key, period):
    """How often this key was counted, this time included; None if it cannot be told.
    The first one adds the counter, which outlives its window a little; all others, on
    whatever process, find it there and count up."""
    if cache.add(key, 1, period + 5):
        return 1
    try:
        return cache.incr(key)
    except ValueError:
        return None


def login(request):
    name = request.POST.get("username", "")
    end = window_of(time.time(), name, settings.LOGIN_WINDOW)
    key = key_of(name, settings.LOGIN_LIMIT, settings.LOGIN_WINDOW, end)
    tries = count(caches[request.GET.get("cache", "default")], key, settings.LOGIN_WINDOW)
    if tries is None or tries > settings.LOGIN_LIMIT:
        return HttpResponse("%d %s" % (end, tries), status=429)
    return HttpResponse("%d %s" % (end, tries))


urlpatterns = [path("login", login)]
