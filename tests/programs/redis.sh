#!/bin/bash
# SPDX-License-Identifier: MIT
# redis-server under redis-benchmark with 50 clients, on a socket in the test's folder: first random
# keys and sizes, thrown away by a flush in the background (another thread frees them), then
# commands whose results are known, a rewrite and reload of the data in a forked child and in place.
# DEBUG DIGEST, a digest of all keys and values, is compared with the server under glibc.
#
# Debian's redis-server is linked with libjemalloc. That library exports malloc and the others under
# their plain names, so a preloaded library comes before it; only its mallctl is still called
# (settings), and INFO still names jemalloc. (Redis 8 takes what its cache need not keep by mallocx.) Both sets of counters show
# where the memory came from: Freehold's own, and those of jemalloc, which must stay near 0. (What
# is called glibc here is then the server on jemalloc.)
. "$(dirname "$0")/lib.sh"
need redis-server redis-server
need redis-benchmark redis-tools
need redis-cli redis-tools
LIMIT=200
requests=$([ "$MODE" = quick ] && echo 5000 || echo 60000)

cli() { timeout 60 redis-cli -s "$socket" "$@"; }
load() { # benchmark arguments; stands for 50 clients
    timeout "$LIMIT" redis-benchmark -s "$socket" -c 50 -q "$@" >"$WORK/benchmark" 2>&1 ||
        fail "redis-benchmark $*: $(tail -c 300 "$WORK/benchmark")"
    ! grep -aiE 'error|warning: could not' "$WORK/benchmark" >&2 || fail "redis-benchmark $*"
}
info() { cli info "$1" | tr -d '\r' | sed -n "s/^$2://p"; }
saved() { [ "$(info persistence rdb_bgsave_in_progress)" = 0 ]; }
flushed() { [ "$(info memory lazyfree_pending_objects)" = 0 ]; }

drive() { # PLACE
    local place=$1
    socket=$WORK/$place.sock
    mkdir "$WORK/$place"
    serve "$place" redis-server --port 0 --unixsocket "$socket" --dir "$WORK/$place" --save '' \
        --appendonly no --enable-debug-command yes --hash-max-listpack-entries 16 --activedefrag no \
        --logfile "$WORK/$place.log" --daemonize no
    wait_until 20 cli ping >"$WORK/ping" ||
        fail "redis-server does not answer: $(tail -5 "$WORK/$place.log")"

    # Random churn. The clients choose the keys, so the contents differ from run to run.
    for size in 16 200 3000; do
        load -n "$requests" -r 20000 -d "$size" -t set,get,lpush,sadd,hset,zadd,mset
    done
    load -n "$requests" -r 20000 -P 16 eval \
        "redis.call('append', KEYS[1], ARGV[1]); return redis.call('strlen', KEYS[1])" \
        1 k:__rand_int__ abcdefgh
    cli flushall async >"$WORK/flushall"
    wait_until 30 flushed || fail "the flush in the background does not end"
    is "$(cli dbsize)" 0 "$place: keys after the flush"

    # Known commands: these keys are literal, and each benchmark sends exactly as many as told.
    load -n "$requests" incr counter
    load -n "$requests" -P 8 rpush list a-value-of-some-length
    load -n "$requests" hincrby hash field 3
    load -n "$requests" append string 0123456789
    awk -v n="$((requests / 2))" 'BEGIN { for (i = 1; i <= n; i++) {
        printf "SET key:%d %0*d\r\nSADD set %d\r\n", i, i % 500 + 1, i, i
        printf "HSET table f%d %d\r\nZADD scores %d m%d\r\n", i, i * i, i, i
        if (i % 4 == 0) printf "DEL key:%d\r\n", i - 2
    } }' | cli --pipe >"$WORK/$place.pipe"
    is "$(sed -n 's/^errors: //p' "$WORK/$place.pipe")" \
        "0, replies: $((requests * 2 + requests / 8))" "$place: piped commands"

    cli bgsave >"$WORK/bgsave"
    load -n "$requests" incr counter # while the child writes
    wait_until 60 saved || fail "the background save does not end"
    is "$(info persistence rdb_last_bgsave_status)" ok "$place: background save"
    is "$(cli debug reload)" OK "$place: reload"

    {
        cli get counter
        cli llen list
        cli hget hash field
        cli strlen string
        cli scard set
        cli hlen table
        cli zcard scores
        cli dbsize
        cli debug digest
    } >"$WORK/$place.values"
    local server held in_jemalloc
    server=$(info server process_id)
    if [[ $(info memory mem_allocator) = jemalloc* ]]; then
        held=$(info memory used_memory)
        in_jemalloc=$(info memory allocator_allocated)
        say "$place: the server holds $held bytes, and has $in_jemalloc from jemalloc"
        [ "$place" = glibc ] || [ "$in_jemalloc" -lt $((held / 20)) ] ||
            fail "the server's memory comes from jemalloc"
    fi
    cli shutdown nosave >"$WORK/shutdown" 2>&1 || true
    wait_until 30 ended "$server" || fail "redis-server does not shut down"
    wait "${STARTED[-1]}" || fail "redis-server on $place: $(tail -20 "$WORK/$place.log")"
    ! grep -aE 'crashed|ASSERTION|BUG REPORT' "$WORK/$place.log" >&2 || fail "redis-server on $place"
    SERVER=$server
}

drive glibc
drive freehold

printf '%s\n' $((requests * 2)) "$requests" $((requests * 3)) $((requests * 10)) $((requests / 2)) \
    $((requests / 2)) $((requests / 2)) $((requests / 2 - requests / 8 + 7)) >"$WORK/known"
head -n 8 "$WORK/freehold.values" >"$WORK/counts"
is "$(paste -sd' ' "$WORK/counts")" "$(paste -sd' ' "$WORK/known")" "sizes and counters"
same "$WORK/glibc.values" "$WORK/freehold.values" "values with DEBUG DIGEST"
counted redis-server $((requests * 20)) "$SERVER"
