#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples/kv.c: its commands, several processes at once, and writers that are killed: every value that was read
# back before the end is there after it.
#
# Usage: test_kv.sh KV
set -eu
program=$1
kv() {
    # shellcheck disable=SC2086 # an emulator's words, or none
    ${FREEHOLD_TEST_EMULATOR:-} "$program" "$@"
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
store=$folder/store

fail() {
    echo "test_kv: $*" >&2
    exit 1
}
expect() { # WANTED COMMAND...
    wanted=$1
    shift
    found=$("$@" 2>&1) || true
    [ "$found" = "$wanted" ] || fail "$*: '$found' and not '$wanted'"
}

if [ -n "${FREEHOLD_TEST_EMULATOR:-}" ] && ! kv "$store" list >"$folder/said" 2>&1; then
    cat "$folder/said" # QEMU has no lock that processes can share
    exit 77
fi
expect "" kv "$store" put colour blue
expect "" kv "$store" put shape "a long circle"
expect blue kv "$store" get colour
expect "" kv "$store" put colour green
expect green kv "$store" get colour
expect "" kv "$store" delete shape
expect "" kv "$store" get shape
expect "colour green" kv "$store" list
expect "1 records, 0 damaged; 0 lost blocks given back; region: good" kv "$store" check
printf 'put a 1\nput b 2 and 3\nget b\nget none\n' >"$folder/commands"
[ "$(kv "$store" <"$folder/commands")" = "2 and 3" ] || fail "commands from standard input"

if [ -n "${FREEHOLD_TEST_EMULATOR:-}" ]; then
    echo "QEMU tells nobody of a death: nobody is killed"
    exit 0
fi

# Writers of keys of their own; what they have read back, they have.
round=0
while [ $round -lt 6 ]; do
    pids=
    for writer in 1 2 3; do
        awk -v w="$round.$writer" 'BEGIN { for (i = 0; i < 4000; i++) { k = "k" w "." (i % 200)
            print "put " k " value" i; print "get " k; if (i % 3 == 0) print "delete t" w; print "put t" w " " i } }' \
            >"$folder/in.$writer"
        "$program" "$store" <"$folder/in.$writer" >"$folder/out.$round.$writer" 2>/dev/null &
        pids="$pids $!"
    done
    sleep "0.0$((round % 3))5"
    for pid in $pids; do
        kill -9 "$pid" 2>/dev/null || true
    done
    wait $pids 2>/dev/null || true
    round=$((round + 1))
done
kv "$store" check >"$folder/check" 2>&1 || fail "check: $(cat "$folder/check")"
grep -q " 0 damaged; .*region: good" "$folder/check" || fail "check: $(cat "$folder/check")"
kv "$store" list >"$folder/list"

# The n-th line that a writer read back is value n-1 of key (n-1) % 200; the next put may have happened, too.
written=0
for out in "$folder"/out.*; do
    w=${out#"$folder"/out.}
    awk -v w="$w" '
        NR == FNR { if (split($0, p, " ") == 2) value[p[1]] = p[2]; next }
        { last[FNR % 200] = $0; if ($0 != "value" (FNR - 1)) { print "read back " $0 " as number " FNR; exit 1 } count = FNR }
        END { for (i = count - 200 > 0 ? count - 200 : 0; i < count; i++) { k = "k" w "." (i % 200)
                if (value[k] != "value" i && !(i == count - 200 && value[k] == "value" count)) { print k " is " value[k] " and not value" i; exit 1 } } }
    ' "$folder/list" "$out" || fail "a value is lost"
    written=$((written + $(wc -l <"$out")))
done
[ "$written" -gt 0 ] || fail "no writer wrote anything"
# A damaged file says so, and is left as it is.
printf 'X' | dd of="$store" bs=1 seek=3 conv=notrunc 2>/dev/null
expect "kv: $store: the memory holds no region" kv "$store" list
echo "$written values read back by writers that were killed: all are there"
