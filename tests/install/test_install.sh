#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_install.sh BUILD HERE CC CXX: installs BUILD into an empty prefix; every public header compiles by itself as
# C11 and as C++17, or as C++17 alone (.hpp), with all warnings; a C and a C++ program, built by way of pkg-config (shared and static) and of
# CMake's find_package, run and have their memory from Freehold; the installed command finds the installed
# library, also after the whole prefix has been moved.
set -eu
build=$1
here=$2
cc=$3
cxx=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
prefix=$dir/prefix

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# The program must print "done", and its own line must show at least the 5000 allocations that it makes.
expect_freehold() { # expect_freehold NAME COMMAND...
    name=$1
    shift
    rm -f "$dir/stats"
    FREEHOLD_OPTIONS="stats=$dir/stats" "$@" >"$dir/out" || fail "$name: exit status $?"
    [ "$(cat "$dir/out")" = "done" ] || fail "$name: printed '$(cat "$dir/out")'"
    count=$(sed -n 's/.*"allocations":\([0-9]*\).*/\1/p' "$dir/stats" 2>/dev/null)
    [ "${count:-0}" -ge 5000 ] || fail "$name: Freehold counted ${count:-no} allocations"
    echo "$name: $count allocations"
}

cmake --install "$build" --prefix "$prefix" >"$dir/log" || { cat "$dir/log"; fail "cmake --install"; }
libdir=$(dirname "$(find "$prefix" -name libfreehold.a)")

manual=
command -v python3 >/dev/null 2>&1 && manual="share/man/man3/freehold_heap.3 share/man/man3/freehold_heap_alloc.3"
for file in bin/freehold share/man/man1/freehold.1 $manual; do
    [ -e "$prefix/$file" ] || fail "$file is not installed"
done
for file in libfreehold.so libfreehold.a pkgconfig/freehold.pc cmake/freehold/freehold-config.cmake; do
    [ -e "$libdir/$file" ] || fail "$file is not installed"
done

: >"$dir/headers.h"
for header in "$prefix"/include/freehold/*.h; do
    name=freehold/$(basename "$header")
    printf "#include <%s>\nextern int one_declaration;\n" "$name" >"$dir/one.c"
    cp "$dir/one.c" "$dir/one.cpp"
    "$cc" -std=c11 -Wall -Wextra -Wundef -Wpedantic -Werror -I "$prefix/include" -fsyntax-only "$dir/one.c" ||
        fail "$name as C11"
    "$cxx" -std=c++17 -Wall -Wextra -Wundef -Wpedantic -Werror -I "$prefix/include" -fsyntax-only "$dir/one.cpp" ||
        fail "$name as C++17"
    cat "$dir/one.c" >>"$dir/headers.h"
done
for header in "$prefix"/include/freehold/*.hpp "$prefix"/include/freehold/adapters/*.hpp; do
    name=${header#"$prefix/include/"}
    printf "#include <%s>\nextern int one_declaration;\n" "$name" >"$dir/one.cpp"
    "$cxx" -std=c++17 -Wall -Wextra -Wundef -Wpedantic -Werror -I "$prefix/include" -fsyntax-only "$dir/one.cpp" ||
        fail "$name as C++17"
done
# Those of other libraries are compiled with them in tests/adapters.
[ -e "$prefix/include/freehold/adapters/sqlite.h" ] || fail "the adapters are not installed"

# Freehold's own functions are exported with its version, and nothing between its files; libc's and C++'s names have
# none, as a reference to malloc@GLIBC_2.2.5 is bound to a definition of another version by no linker.
nm -D --defined-only "$libdir/libfreehold.so" >"$dir/symbols"
grep -q ' malloc$' "$dir/symbols" || fail "malloc is not exported under its plain name"
grep ' freehold_[^_]' "$dir/symbols" | grep -v '@@FREEHOLD_[0-9.]*$' && fail "exported without a version"
grep -E ' freehold__|@@' "$dir/symbols" | grep -v -E ' freehold_[^_]| FREEHOLD_[0-9.]*(@|$)' && fail "exported by mistake"

PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion freehold)" = "$("$prefix/bin/freehold" --version | cut -d' ' -f2)" ] ||
    fail "pkg-config and the command disagree about the version"
flags=$(pkg-config --cflags --libs freehold)
static_flags=$(pkg-config --cflags --libs --static freehold)
# shellcheck disable=SC2086 # lists of flags
{
    "$cc" "$here/consumer/consumer.c" -o "$dir/pc_c" $flags -Wl,-rpath,"$libdir"
    "$cxx" -I "$dir" "$here/consumer/consumer.cpp" -o "$dir/pc_cpp" $flags -Wl,-rpath,"$libdir"
    "$cc" "$here/consumer/consumer.c" -o "$dir/pc_static_c" -static $static_flags 2>"$dir/log"
    "$cxx" -I "$dir" "$here/consumer/consumer.cpp" -o "$dir/pc_static_cpp" -static $static_flags
}
[ ! -s "$dir/log" ] || fail "the linker says of a static program: $(cat "$dir/log")"
for program in pc_c pc_cpp pc_static_c pc_static_cpp; do
    expect_freehold "pkg-config, $program" "$dir/$program"
done

if [ -e "$libdir/libfreehold-symbolize.a" ]; then
    cat >"$dir/names.c" <<'END'
#include <freehold/freehold.h>
#include <freehold/symbolize.h>
int main(void)
{
    freehold_heap heap;
    freehold_debug debug;
    freehold_symbolize_start();
    freehold_heap_init(&heap);
    freehold_debug_init(&debug, &heap.base, NULL, NULL);
    char *block = freehold_alloc(&debug, 100);
    freehold_free(&debug, block);
    freehold_free(&debug, block);
}
END
    # shellcheck disable=SC2046 # a list of flags
    "$cc" -g "$dir/names.c" -o "$dir/names" $(pkg-config --cflags --libs freehold-symbolize) -Wl,-rpath,"$libdir"
    "$dir/names" 2>"$dir/out" || true
    grep -q 'allocated at main (names.c:10) .*, freed at main (names.c:11) .*, freed again at main (names.c:12)' \
        "$dir/out" || fail "names in a report: $(cat "$dir/out")"
fi

if ! { cmake -S "$here/consumer" -B "$dir/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="-I$dir" && cmake --build "$dir/consumer"; } >"$dir/log" 2>&1; then
    cat "$dir/log"
    fail "find_package"
fi
for program in shared_c shared_cpp static_c static_cpp; do
    expect_freehold "find_package, $program" "$dir/consumer/$program"
done

"$cc" -DPLAIN "$here/consumer/consumer.c" -o "$dir/plain"
expect_freehold "installed command" "$prefix/bin/freehold" run -- "$dir/plain"
"$prefix/bin/freehold" run --check -- "$dir/plain" >"$dir/out" 2>"$dir/found" || fail "installed --check"
grep -q '^freehold: .*lost' "$dir/found" || fail "installed --check: $(cat "$dir/found")"
mv "$prefix" "$dir/moved"
expect_freehold "moved command" "$dir/moved/bin/freehold" run -- "$dir/plain"
