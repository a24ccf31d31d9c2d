# SPDX-License-Identifier: MIT
# 64-bit Arm (Debian: arm64).
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(triple aarch64-linux-gnu)
set(qemu aarch64)
set(loader ld-linux-aarch64.so.1)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
