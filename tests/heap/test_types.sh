#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_types.sh INCLUDE COMPILER...: what is an allocator compiles, in C11 and C++17 with all warnings, and what is none
# does not, with each of the compilers (F2). A compiler that is not here is passed over; one of each language must be.
# Each call is a line of its own, and of those that must not compile every line must have its error.
set -u
include=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
compiled=

begin='#include <freehold/freehold.h>
void f(freehold_heap *heap, freehold_allocator *any, void *p);
void f(freehold_heap *heap, freehold_allocator *any, void *p) { (void)heap; (void)any; (void)p;'
first=4

calls() { # calls ALLOCATOR...: every function with each of them, a line each
    for given; do
        for call in 'alloc(@, 1)' 'alloc_zeroed(@, 1)' 'alloc_aligned(@, 1, 16, 0)' 'resize(@, p, 1)' 'remap(@, p, 1)' \
            'realloc(@, p, 1)' 'free(@, p)' 'free_sized(@, p, 1)' 'usable_size(@, p)' 'owns(@, p)' 'base(@, p)' \
            'stats(@)' 'check(@)' 'walk(@, 0, p)' 'trim(@)'; do
            printf '(void)freehold_%s;\n' "$call" | sed "s|@|$given|"
        done
    done
}

{ # an object-like macro of a common name is not in the way
    printf '%s\n#define free my_free\n#define alloc my_alloc\n' "$begin"
    calls heap any '\&heap->base'
    echo '}'
} >"$dir/good"
{
    printf '%s\n' "$begin"
    calls p '(int *)p' '*heap' '\&heap' '(const freehold_heap *)heap' '(const freehold_allocator *)any' '"text"' 0
    printf '(void)freehold_alloc(heap);\n(void)freehold_alloc(heap, 1, 2);\n'
    echo '}'
} >"$dir/bad"
last=$(($(wc -l <"$dir/bad") - 1))

for compiler; do
    command -v "$compiler" >/dev/null || continue
    case $compiler in
    *++*) language=c++ standard=c++17 ;;
    *) language=c standard=c11 ;;
    esac
    case $compiler in
    clang*) all='-ferror-limit=0 -fmacro-backtrace-limit=1' ;;
    *) all='-fmax-errors=0' ;;
    esac
    compiled="$compiled $language "
    "$compiler" -std=$standard -x $language -Wall -Wextra -Wundef -Wpedantic -Werror -I "$include" -fsyntax-only \
        "$dir/good" || { echo "FAILED: $compiler"; failed=1; }
    # shellcheck disable=SC2086 # a list of flags
    "$compiler" -std=$standard -x $language -w $all -I "$include" -fsyntax-only "$dir/bad" >"$dir/log" 2>&1
    sed -n "s|^$dir/bad:\([0-9]*\):.*|\1|p" "$dir/log" | sort -n -u >"$dir/found"
    seq $first "$last" >"$dir/wanted"
    grep -v -x -F -f "$dir/found" "$dir/wanted" >"$dir/missing"
    while read -r line; do
        echo "FAILED: $compiler accepts: $(sed -n "${line}p" "$dir/bad")"
        failed=1
    done <"$dir/missing"
done
case $compiled in *" c "*) ;; *) echo "FAILED: no C compiler"; failed=1 ;; esac
case $compiled in *" c++ "*) ;; *) echo "FAILED: no C++ compiler"; failed=1 ;; esac
[ $failed -eq 0 ] && echo "$((last - first + 1)) refused, as$compiled"
exit $failed
