#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs libmemcached.c against a server of its own.

here=$(cd "$(dirname "$0")" && pwd)
program=tests/clients/libmemcached

if [ ! -x "$program" ]; then
    echo "not built: libmemcached.c (configure found no libmemcached)"
    [ "${LARDER_CHECK_ALL-}" = 1 ] && exit 1
    exit 77
fi
exec /usr/bin/python3 -B "$here/../wire/server.py" --server="-m 64" "$program" @HOST @PORT
