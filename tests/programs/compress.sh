#!/bin/bash
# SPDX-License-Identifier: MIT
# xz and zstd with several threads: few but large blocks, allocated by one thread and freed by
# another. Their output does not depend on the timing of the threads, so the archives are compared
# as well.
. "$(dirname "$0")/lib.sh"
need xz xz-utils
need zstd zstd

# 24 MB: lines that repeat in part, so that both the matcher and the entropy coder have work.
awk 'BEGIN { s = 12345; for (i = 0; i < 500000; i++) {
    s = (s * 16807) % 2147483647
    printf "%d line %d of the load, with %x and %s\n", i, s % 1000, s, s % 3 ? "more" : "less" } }' \
    >"$WORK/data"

# Into files, not --stdout: then xz forbids itself to open any more, the one for the counters too.
xz_flags=(-1 -T4 --block-size=2MiB --keep)
on_glibc xz "${xz_flags[@]}" --suffix=.glibc "$WORK/data"
on_freehold xz "${xz_flags[@]}" --suffix=.freehold "$WORK/data"
same "$WORK/data.glibc" "$WORK/data.freehold" "xz archive"
mv "$WORK/data.freehold" "$WORK/back.xz"
on_freehold xz -d -T4 "$WORK/back.xz"
same "$WORK/data" "$WORK/back" "xz, decompressed"
counted xz 50

zstd_flags=(-q -9 -T4 --stdout)
on_glibc zstd "${zstd_flags[@]}" "$WORK/data" >"$WORK/glibc.zst"
on_freehold zstd "${zstd_flags[@]}" "$WORK/data" >"$WORK/freehold.zst"
same "$WORK/glibc.zst" "$WORK/freehold.zst" "zstd archive"
on_freehold zstd -q -d --stdout "$WORK/freehold.zst" >"$WORK/back"
same "$WORK/data" "$WORK/back" "zstd, decompressed"
counted zstd 50
