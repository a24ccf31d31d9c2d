#!/bin/sh
# SPDX-License-Identifier: MIT
#
# F64, F66: PORTING.md, to the letter, for a board with a processor of 32 bits: the library by scripts/freestanding, its step 2
# with two hooks, and its program; each ends in the report of a double free.
#
# Usage: test_board.sh ROOT
set -eu
root=$1 cc=arm-none-eabi-gcc
flags="-mcpu=cortex-m3 -mthumb -Os"
command -v $cc >/dev/null && command -v qemu-system-arm >/dev/null || { echo "there is no $cc, or no QEMU"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$root/scripts/freestanding" "$folder/libfreehold.a" $cc $flags -Wall -Wextra -Wundef -Wno-type-limits -Werror
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$root/PORTING.md" >"$folder/porting.c"

# step STEP SOURCE...: what it writes
step() {
    number=$1
    shift
    $cc $flags -ffreestanding -nostdlib -nostdinc -isystem "$($cc -print-file-name=include)" -I"$root/include" \
        -Wall -Wextra -Wundef -Werror -DSTEP="$number" -Wl,--gc-sections,-T,"$root/tests/freestanding/board.ld" \
        "$root/tests/freestanding/board.c" "$@" "$folder/libfreehold.a" -lgcc -o "$folder/step.elf" || exit 1
    timeout 60 qemu-system-arm -M mps2-an385 -display none -monitor none -serial stdio -semihosting \
        -kernel "$folder/step.elf" </dev/null
}

# expect STEP PATTERN WHAT-IT-WROTE
expect() {
    printf 'step %s:\n%s\n' "$1" "$3"
    printf '%s' "$3" | tr '\n' '|' | grep -Eqx "$2" || { echo "that is not: $2"; exit 1; }
}

report='freehold: freehold_free\(0x[0-9a-f]+\): double free: slot'
two=$(step 2)
expect 2 "all of them\|$report 0 of 64, size 64, is already free" "$two"
six=$(step 6 "$folder/porting.c")
expect 6 "added\|for DMA\|$report [0-9]+ of [0-9]+, size 112, slab 0x[0-9a-f]+, is already free" "$six"
