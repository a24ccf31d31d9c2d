# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034  # what looks unused is for the tests
# Common part of the program tests; each sources it and gets the library as its first argument.
#
# A test runs one real program twice with the same work, on_glibc and on_freehold, and compares what
# came out, byte for byte (same) or with a value known beforehand (is). A program can also give the
# right answer without Freehold, so the test then asks the library's own counters (counted): the
# process named must have taken at least so many blocks from it.
#
# Exit: 0 passed, 1 failed, 77 could not be run (one line says what is missing).
# Environment: FREEHOLD_TEST_OPTIONS       more of FREEHOLD_OPTIONS, for example "purger=1"
#              FREEHOLD_TEST_NO_COUNTERS   try the tests themselves on another allocator: the
#                                          counters are not asked, and no test can pass
# Everything runs under timeout, in a folder of its own that is removed at the end; only processes
# that the test started are ended, each by its process id.

set -euo pipefail
export LC_ALL=C TZ=UTC
unset LD_PRELOAD FREEHOLD_OPTIONS

[ -f "${1-}" ] || { echo "usage: $0 LIBRARY [MODE]" >&2; exit 1; }
LIB=$(realpath "$1")
MODE=${2-}
HERE=$(dirname "$(realpath "$0")")
NAME=$(basename "$0" .sh)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/freehold-$NAME.XXXXXX")
STATS=$WORK/stats
LIMIT=60       # seconds for one command
STARTED=()     # what cleanup has to end
UNCOUNTED=0

say() { echo "$NAME: $*"; }
fail() { echo "$NAME: FAILED: $*" >&2; exit 1; }
skip() { echo "$NAME: skipped: $*"; exit 77; }

cleanup() {
    local rc=$? pid
    trap - EXIT
    for pid in ${STARTED[@]+"${STARTED[@]}"}; do
        ! running "$pid" || kill "$pid" 2>/dev/null || true
    done
    for pid in ${STARTED[@]+"${STARTED[@]}"}; do
        wait_until 5 ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
    if [ "$rc" = 0 ] && [ "$UNCOUNTED" = 1 ]; then
        say "counters were not checked (FREEHOLD_TEST_NO_COUNTERS), so this is no pass"
        rc=77
    fi
    exit "$rc"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null || skip "$1 is not here (package $2)"
}

# A sanitized library must be loaded after its runtime, which these programs do not have.
! ldd "$LIB" | grep -qE 'lib(a|t|ub)san' || skip "the library is built with a sanitizer"

# Arguments of env, not variables of this shell, so that only the program itself is preloaded.
PRELOAD=("LD_PRELOAD=$LIB"
    "FREEHOLD_OPTIONS=stats=$STATS${FREEHOLD_TEST_OPTIONS:+,$FREEHOLD_TEST_OPTIONS}")

on_glibc() { run_bounded env "$@"; }
on_freehold() { run_bounded env "${PRELOAD[@]}" "$@"; }

run_bounded() {
    local rc=0
    timeout -k 5 "$LIMIT" "$@" || rc=$?
    case $rc in
    0) ;;
    124) fail "no end within $LIMIT s: ${*:2}" ;;
    *)
        [ "$rc" -le 128 ] || fail "ended by SIG$(kill -l "$rc"): ${*:2}"
        fail "exit status $rc: ${*:2}"
        ;;
    esac
}

# serve PLACE COMMAND...: start a server in the background, PLACE being glibc or freehold; $! is then
# the id of its timeout, which passes signals on and bounds the life of the server in any case.
serve() {
    local place=$1
    shift
    [ "$place" = glibc ] || set -- "${PRELOAD[@]}" "$@"
    timeout -k 5 "$LIMIT" env "$@" &
    STARTED+=($!)
}

# A child that has ended but was not waited for is a zombie: it counts as ended.
running() {
    local state
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) && [ "${state%% *}" != Z ]
}
ended() { ! running "$1"; }

# wait_until SECONDS COMMAND...: repeat the command every 0.05 s until it succeeds.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -le $end ] || return 1
        sleep 0.05
    done
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A TCP port of 127.0.0.1 on which nobody answers, below the range that the kernel gives out itself.
free_port() {
    local port
    while :; do
        port=$((15000 + RANDOM % 15000))
        answers "$port" || break
    done
    echo "$port"
}

digest() { sha256sum <"$1" | cut -c1-16; }

# same EXPECTED ACTUAL WHAT: two files are equal.
same() {
    if ! cmp -s "$1" "$2"; then
        diff -a "$1" "$2" 2>&1 | cut -c1-200 | head -20 >&2 || true
        fail "$3: $(digest "$2"), under glibc $(digest "$1")"
    fi
    [ -s "$2" ] || fail "$3: empty"
    say "$3: digest $(digest "$2"), the same as under glibc"
}

# is ACTUAL EXPECTED WHAT
is() {
    [ "$1" = "$2" ] || fail "$3: $1, not $2"
    say "$3: $1"
}

# counted PROGRAM FLOOR [PID]: a process of this name (and id) ended with at least FLOOR allocations
# taken from Freehold. Processes that end by _exit or a signal leave no line.
counted() {
    local line
    if [ -n "${FREEHOLD_TEST_NO_COUNTERS-}" ]; then
        UNCOUNTED=1
        return
    fi
    [ -s "$STATS" ] || fail "no process left counters: Freehold was not in use"
    line=$(awk -v program="$1" -v pid="${3-}" '
        function value(key) {
            return match($0, "\"" key "\":[0-9]+") ? substr($0, RSTART + length(key) + 3) + 0 : -1
        }
        index($0, "\"program\":\"" program "\"") && (pid == "" || value("pid") == pid) {
            n++
            if (value("allocations") > most) {
                most = value("allocations")
                peak = value("peak_bytes")
            }
        }
        END { printf "%d %.0f %.0f", n, most, peak / 1024 }' "$STATS")
    # shellcheck disable=SC2086  # three words
    set -- "$1" "$2" $line
    [ "$3" -gt 0 ] || fail "no process $1 left counters; $(sed 's/.*"program":\("[^"]*"\).*/\1/' \
        "$STATS" | sort | uniq -c | tr -s ' \n' ' ')did"
    [ "$4" -ge "$2" ] || fail "$1 took only $4 blocks from Freehold, fewer than $2"
    say "$1: $4 allocations from Freehold in one process, peak $5 KiB; $3 processes counted"
}
