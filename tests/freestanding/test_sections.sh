#!/bin/sh
# SPDX-License-Identifier: MIT
#
# F66: the shortest sections that there are, the next ones, and longer ones than usual: cpus.c over a library that was built with them
# and with all assertions. Usage: test_sections.sh ROOT COMPILER
set -eu
root=$1 compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for shift in 17 18 22; do
    "$root/scripts/freestanding" "$work/library.a" "$compiler" -O1 -DFREEHOLD_DEBUG=1 -DFREEHOLD_SECTION_SHIFT=$shift
    "$compiler" -std=gnu11 -O1 -DSECTION_SHIFT=$shift -I"$root/include" "$root/tests/freestanding/cpus.c" \
        "$work/library.a" -pthread -o "$work/cpus"
    echo "sections of 2^$shift bytes: $("$work/cpus" 5000)"
done
