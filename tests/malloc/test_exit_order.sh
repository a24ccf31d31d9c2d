#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_exit_order.sh PROGRAM: it comes to its very end, past its atexit handlers and its library's destructor.
set -eu
# shellcheck disable=SC2086 # an emulator's words, or none
said=$(${FREEHOLD_TEST_EMULATOR:-} "$1")
[ "$said" = "atexit library" ]
