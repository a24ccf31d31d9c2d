# SPDX-License-Identifier: MIT
# 32-bit Arm, ARMv7 with floating point (Debian: armhf).
set(CMAKE_SYSTEM_PROCESSOR armv7l)
# Unwinding C, which backtraces do, needs tables that this processor has for C++ only.
set(CMAKE_C_FLAGS_INIT -funwind-tables)
set(triple arm-linux-gnueabihf)
set(qemu arm)
set(loader ld-linux-armhf.so.3)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
