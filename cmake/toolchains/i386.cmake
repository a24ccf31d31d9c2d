# SPDX-License-Identifier: MIT
# 32-bit x86.
set(CMAKE_SYSTEM_PROCESSOR i686)
# What is only read in pages of its own, as Debian's native linker has it.
set(CMAKE_SHARED_LINKER_FLAGS_INIT -Wl,-z,separate-code)
set(triple i686-linux-gnu)
set(qemu i386)
set(loader ld-linux.so.2)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
