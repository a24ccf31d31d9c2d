#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_member.sh PROGRAM [MAP]: PROGRAM, which prints how many allocations it made, exits with 0, and Freehold counted
# at least as many. With a linker map, of a static program: the linker took no object of libc's malloc, nor is one
# of its functions there under another name.
set -eu
program=$1
map=${2:-}
stats=$(mktemp)
trap 'rm -f "$stats"' EXIT

# shellcheck disable=SC2086 # an emulator's words, or none
made=$(FREEHOLD_OPTIONS="stats=$stats" ${FREEHOLD_TEST_EMULATOR:-} "$program")
counted=$(sed -n 's/.*"allocations":\([0-9]*\).*/\1/p' "$stats")
echo "$made allocations made, ${counted:-none} counted"
[ "${counted:-0}" -ge "$made" ]

[ -n "$map" ] || exit 0
if grep -E 'libc\.a\((malloc|arena|hooks|reallocarray|mallinfo|morecore|set-freeres-malloc)\.o\)' "$map"; then
    echo "libc's own malloc was linked"
    exit 1
fi
if nm "$program" | grep -E ' (_int_malloc|_int_free|ptmalloc_init|sysmalloc|main_arena|arena_get2|tcache_init)$'; then
    echo "the program has functions of libc's own malloc"
    exit 1
fi
