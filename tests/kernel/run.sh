#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh ARCH OUT: builds the kernel for a processor in OUT and runs it; 77 when something is missing for it.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
missing=$("$root/scripts/install-needs" --list kernel)
if [ -n "$missing" ]; then
    echo "The kernels need packages that are not here: $missing"
    exit 77
fi
exec env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$root/examples/kernel" ARCH="$1" OUT="$2" run
