# SPDX-License-Identifier: MIT
# 32-bit x86.
set(CMAKE_SYSTEM_PROCESSOR i686)
set(triple i686-linux-gnu)
set(qemu i386)
set(loader ld-linux.so.2)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
