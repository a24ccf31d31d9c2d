#!/bin/bash
# SPDX-License-Identifier: MIT
# node: node.js. V8 maps its own heap, but buffers, zlib, OpenSSL, and everything in C++ come from
# malloc; worker threads end with their isolates, and blocks change threads with the buffers.
. "$(dirname "$0")/lib.sh"
need node nodejs
rounds=$([ "$MODE" = quick ] && echo 2 || echo 20)

on_glibc node "$HERE/node.js" "$rounds" | sort >"$WORK/glibc"
on_freehold node "$HERE/node.js" "$rounds" | sort >"$WORK/freehold"

value() { grep -m1 "^$1" "$WORK/freehold"; }
is "$(value json | cut -d' ' -f3)" 40000 "records"
is "$(value zlib | cut -d' ' -f2)" true "gunzip of gzip"
is "$(value jobs | cut -d' ' -f2)" $((rounds * 40)) "jobs"
for worker in 0 1 2 3; do
    is "$(value "worker $worker" | cut -d' ' -f3-4)" "0 $((rounds * 10))" "worker $worker, status and answers"
done
same "$WORK/glibc" "$WORK/freehold" "output"
counted node $((20000 * rounds))
