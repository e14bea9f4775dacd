#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Asks libmemcached's own tools whether they take the server for a memcached: memccapable's
# text and binary tests, memcping, memcstat, and a file there and back by memccp and memccat.

here=$(cd "$(dirname "$0")" && pwd)

if [ $# -eq 0 ]; then
    for tool in memccapable memcping memcstat memccp memccat memcrm memcexist; do
        if ! command -v $tool >/dev/null; then
            echo "not installed: $tool"
            [ "${LARDER_CHECK_ALL-}" = 1 ] && exit 1
            exit 77
        fi
    done
    exec /usr/bin/python3 -B "$here/../wire/server.py" /bin/sh "$0" @HOST @PORT
fi

host=$1 port=$2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAILED: $*"
    failed=1
}

# Both of these end in a step that knows only what memcached answered before 1.6.45, where
# delete took no surplus words. All else must pass.
allowed='ascii delete|ascii delete noreply'

memccapable -h "$host" -p "$port" -a -t 10 >"$work/out" 2>&1
cat "$work/out"
[ "$(grep -c '\[pass\]' "$work/out")" -ge 25 ] || fail "fewer than 25 tests of memccapable pass"
grep 'FAIL' "$work/out" | grep -vE "^($allowed) +\[" && fail "memccapable"

memccapable -h "$host" -p "$port" -b -t 10 >"$work/out" 2>&1 || fail "memccapable -b"
cat "$work/out"
[ "$(grep -c '^binary .*\[pass\]' "$work/out")" -ge 27 ] || fail "fewer than 27 binary tests pass"
grep FAIL "$work/out" && fail "memccapable -b"

memcping --servers="$host:$port" || fail memcping
memcstat --binary --servers="$host:$port" >"$work/stat" || fail "memcstat --binary"
grep -q "limit_maxbytes: *[0-9]" "$work/stat" || fail "memcstat --binary shows nothing"
memcstat --servers="$host:$port" >"$work/stat" || fail memcstat
for name in version pid curr_items limit_maxbytes threads; do
    grep -q "$name: *[0-9]" "$work/stat" || fail "memcstat shows no $name"
done

seq 1 30000 >"$work/file"
memccp --servers="$host:$port" "$work/file" || fail memccp
memcexist --servers="$host:$port" file || fail memcexist
memccat --servers="$host:$port" file >"$work/again" || fail memccat
# memccat ends what it prints with a line end of its own.
head -c "$(wc -c <"$work/file")" "$work/again" | cmp - "$work/file" || fail "memccat differs"
memcrm --servers="$host:$port" file || fail memcrm
memcexist --servers="$host:$port" file && fail "memcrm removed nothing"
exit $failed
