#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The unit files are ones that systemd accepts without a word, and they confine the server;
# the configuration that goes with them is one that the server accepts.
#
# What it protects: a misspelt setting is ignored by systemd with a warning that nobody
# reads, and the server runs without that fence.
set -eu

command -v systemd-analyze >/dev/null || {
    echo "systemd-analyze is not installed" >&2
    [ "${LARDER_CHECK_ALL:-0}" = 1 ] && exit 1
    exit 77
}
units=${LARDER_UNITS:-scripts/systemd}
source=${srcdir:-.}
larder=${LARDER:-./larder}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The program is not installed where the units look for it; systemd wants to see it.
for unit in larder.service larder@.service larder-activated.service; do
    sed "s|^ExecStart=[^ ]*|ExecStart=$larder|; s|man:larder(1)|https://example.org|" \
        "$units/$unit" >"$folder/$unit"
done
sed 's|man:larder(1)|https://example.org|' "$source/scripts/systemd/larder.socket" \
    >"$folder/larder.socket"
for unit in larder.service larder@one.service larder-activated.service larder.socket; do
    systemd-analyze verify "$folder/$unit" >"$folder/said" 2>&1 || {
        cat "$folder/said" >&2
        exit 1
    }
    if [ -s "$folder/said" ]; then
        cat "$folder/said" >&2
        exit 1
    fi
done

# What the unit may do at most, in tenths: 0 is safe, 100 exposed.
expose() {
    systemd-analyze security --offline=true --threshold="$2" "$folder/$1" \
        >"$folder/security" 2>&1 || {
        cat "$folder/security" >&2
        exit 1
    }
}
expose larder.service 11
cp "$folder/larder@.service" "$folder/larder@one.service"
expose larder@one.service 11
expose larder-activated.service 4

for unit in larder.service larder@.service larder-activated.service; do
    for line in Type=notify 'ExecReload=/bin/kill -HUP $MAINPID' LimitNOFILE=65536 \
        WatchdogSec=30; do
        grep -Fqx "$line" "$units/$unit" || {
            echo "$unit: no $line" >&2
            exit 1
        }
    done
    if grep -q '@[a-z]*dir@' "$units/$unit"; then
        echo "$unit: a path is not filled in" >&2
        exit 1
    fi
done

# The file is good, and has what a Django site needs.
"$larder" --config "$source/packaging/larder.conf" --check-config >"$folder/settings"
for line in 'max-item-size 8388608' 'memory-limit 256'; do
    grep -Fqx "$line" "$folder/settings" || {
        echo "larder.conf: no $line" >&2
        exit 1
    }
done
