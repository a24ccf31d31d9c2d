#!/bin/bash
# SPDX-License-Identifier: MIT
# gcc compiling this project: every object file, and what the linker makes of them, is byte for byte
# what the compiler produces under glibc. MODE quick takes the shorter half of the sources, once.
. "$(dirname "$0")/lib.sh"
need gcc gcc
need g++ g++

root=$(realpath "$HERE/../..")
[ -d "$root/src" ] || skip "no src/ in $root"
mapfile -t sources < <(find "$root/src" -name '*.c' ! -name fault.c ! -name none.c ! -name windows.c ! -path "$root/src/check/*" -printf '%s %p\n' |
    sort -n | cut -d' ' -f2)
[ ${#sources[@]} -gt 0 ] || skip "no sources in $root/src"
# The smaller half for a quick look, the larger half for the long one.
half=$(((${#sources[@]} + 1) / 2))
if [ "$MODE" = quick ]; then sources=("${sources[@]:0:half}"); else sources=("${sources[@]:half}"); fi

# The same output name on both sides, since it can get into the object.
compile() { # PLACE COMPILER FLAGS... -- SOURCES
    local place=$1 flags=() source
    shift
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    rm -rf "$WORK/out"
    mkdir "$WORK/out"
    for source; do
        on_$place "${flags[@]}" -I"$root/include" -I"$root/src" -c "$source" \
            -o "$WORK/out/$(echo "${source#"$root/"}" | tr / _).o"
    done
}
link() { # PLACE; into one object, for half of the sources do not make a library
    on_$1 ld -r -o "$WORK/out/linked.o" "$WORK"/out/src_*.o
}
keep() { # PLACE: what was made, under its name
    rm -rf "${WORK:?}/$1"
    mv "$WORK/out" "$WORK/$1"
}
compare() { # WHAT
    (cd "$WORK/glibc" && sha256sum -- *) >"$WORK/glibc.sums"
    (cd "$WORK/freehold" && sha256sum -- *) >"$WORK/freehold.sums"
    same "$WORK/glibc.sums" "$WORK/freehold.sums" "$1, $(wc -l <"$WORK/freehold.sums") files"
}

variants=("-O2 -g")
[ "$MODE" = quick ] || variants+=("-O3 -g3 -fsanitize=undefined" "-Os -flto -ffat-lto-objects -frandom-seed=1")
for variant in "${variants[@]}"; do
    for place in glibc freehold; do
        # shellcheck disable=SC2086  # the flags are words
        compile $place gcc -std=gnu11 -fPIC -ftls-model=initial-exec $variant -- "${sources[@]}"
        [ "$MODE" = quick ] || link $place
        keep $place
    done
    compare "$variant"
done
counted cc1 1000
counted as 1000

if [ "$MODE" != quick ]; then
    for place in glibc freehold; do
        compile $place g++ -std=c++17 -O2 -- "$HERE/cxx.cpp"
        keep $place
    done
    compare "C++"
    counted cc1plus 1000
    counted ld 1000
fi
