#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run the models of this folder through Spin: check.sh [MODEL [holds|fails]]
#
# Each line of cases.txt is one exhaustive search. A case that holds must end without an
# error, complete; a mutation must be found. Exit status 0 when all cases say what the table
# says, 1 when not, 77 when spin or a C compiler is missing. A violation that was not asked
# for is printed step by step.

here=$(cd "$(dirname "$0")" && pwd)
only_model=${1:-}
only_want=${2:-}
cc=${CC:-cc}

for tool in spin "$cc"; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "check.sh: $tool is not installed; on Debian: apt-get install spin gcc" >&2
        exit 77
    }
done

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cp "$here"/*.pml "$work" && cd "$work" || exit 1

run=0
wrong=0

# one_case MODEL WANT OPTION...
one_case()
{
    model=$1
    want=$2
    shift 2
    defines=
    flags=
    for option in "$@"; do
        case $option in
        pan:*) flags="$flags ${option#pan:}" ;;
        *) defines="$defines $option" ;;
        esac
    done
    optimise=-O2
    [ "$want" = fails ] && optimise=-O0

    rm -f pan pan.* ./*.trail out
    run=$((run + 1))
    # shellcheck disable=SC2086 # defines and flags are lists of words
    if ! spin -a $defines "$model.pml" >out 2>&1 ||
        ! "$cc" $optimise -w -DSAFETY -DCOLLAPSE -DMEMLIM=2048 -o pan pan.c >>out 2>&1; then
        wrong=$((wrong + 1))
        echo "BROKEN  $model $want $*"
        cat out
        return
    fi
    # shellcheck disable=SC2086
    ./pan -m1000000 $flags >out 2>&1
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
    if grep -q 'max search depth too small\|out of memory\|Search not completed' out &&
        ! grep -q 'errors: 1' out; then
        verdict=incomplete
    elif grep -q 'errors: 0$' out; then
        verdict=holds
    elif grep -q 'errors: 1$' out && grep -q '^pan:1: \(assertion violated\|invalid end state\)' out; then
        verdict=fails
    else
        verdict=broken
    fi
    if [ "$verdict" = "$want" ]; then
        echo "ok      $model $want $* ($states states)"
        return
    fi
    wrong=$((wrong + 1))
    echo "WRONG   $model $* : should be '$want', is '$verdict' ($states states)"
    cat out
    # shellcheck disable=SC2086
    [ "$verdict" = fails ] && spin $defines -t -p -g "$model.pml"
}

while read -r model want options; do
    case $model in '' | '#'*) continue ;; esac
    [ -n "$only_model" ] && [ "$model" != "$only_model" ] && continue
    [ -n "$only_want" ] && [ "$want" != "$only_want" ] && continue
    # shellcheck disable=SC2086
    one_case "$model" "$want" $options
done <"$here/cases.txt"

echo "$run cases, $wrong wrong"
[ "$run" -gt 0 ] && [ "$wrong" -eq 0 ]
