#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The unit file is one that systemd accepts without a word, and it confines the server.
#
# What it protects: a misspelt setting is ignored by systemd with a warning that nobody
# reads, and the server runs without that fence.
set -eu

command -v systemd-analyze >/dev/null || {
    echo "systemd-analyze is not installed" >&2
    [ "${LARDER_CHECK_ALL:-0}" = 1 ] && exit 1
    exit 77
}
unit=${LARDER_UNIT:-scripts/systemd/larder.service}
larder=${LARDER:-./larder}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The program is not installed where the unit looks for it; systemd wants to see it.
sed "s|^ExecStart=[^ ]*|ExecStart=$larder|; s|man:larder(1)|https://example.org|" \
    "$unit" >"$folder/larder.service"
systemd-analyze verify "$folder/larder.service" >"$folder/said" 2>&1 || {
    cat "$folder/said" >&2
    exit 1
}
if [ -s "$folder/said" ]; then
    cat "$folder/said" >&2
    exit 1
fi

# 0 is safe, 100 exposed.
systemd-analyze security --offline=true --threshold=11 "$folder/larder.service" \
    >"$folder/security" 2>&1 || {
    cat "$folder/security" >&2
    exit 1
}
grep -q '^Type=notify$' "$unit"
