#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_exit_order.sh PROGRAM: it comes to its very end, past its atexit handlers and its library's destructor.
set -eu
said=$("$1")
[ "$said" = "atexit library" ]
