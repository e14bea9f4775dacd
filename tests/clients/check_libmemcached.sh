#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs libmemcached.c against servers of its own: by text, by binary, and with a password.

here=$(cd "$(dirname "$0")" && pwd)
program=tests/clients/libmemcached

if [ ! -x "$program" ]; then
    echo "not built: libmemcached.c (configure found no libmemcached)"
    [ "${LARDER_CHECK_ALL-}" = 1 ] && exit 1
    exit 77
fi
serve() {
    /usr/bin/python3 -B "$here/../wire/server.py" "$@" || exit 1
}

serve --server="-m 64" "$program" @HOST @PORT
serve --server="-m 64" "$program" @HOST @PORT binary

if "${LARDER:-./larder}" -S -B ascii 2>&1 | grep -q "not built"; then
    echo "the server is built without SASL"
    exit 0
fi
passwords=$(mktemp) || exit 2
trap 'rm -f "$passwords"' EXIT
echo "ann:p:a ss" >"$passwords"
MEMCACHED_SASL_PWDB=$passwords
export MEMCACHED_SASL_PWDB
serve --binary --server="-m 64 -S" "$program" @HOST @PORT binary ann "p:a ss"
