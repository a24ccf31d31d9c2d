#!/bin/bash
# SPDX-License-Identifier: MIT
# A C++ program (cxx.cpp) on the drop-in: containers, threads, exceptions, std::bad_alloc for sizes
# that cannot be had, new-handlers, aligned new, destructors at thread and process exit.
. "$(dirname "$0")/lib.sh"
need g++ g++
scale=$([ "$MODE" = long ] && echo 30 || echo 5)

g++ -std=c++17 -O1 -pthread -w -o "$WORK/cxx" "$HERE/cxx.cpp"
on_glibc "$WORK/cxx" "$scale" >"$WORK/glibc"
on_freehold "$WORK/cxx" "$scale" >"$WORK/freehold"

is "$(grep -c bad_alloc "$WORK/freehold")" 13 "lines with bad_alloc"
is "$(grep failures "$WORK/freehold")" "failures 0" "checks"
is "$(grep -o '^at exit [0-9]*' "$WORK/freehold")" "at exit 499500" "static destructor"
same "$WORK/glibc" "$WORK/freehold" "output"
counted cxx $((500000 * scale))
