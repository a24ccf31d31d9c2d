# SPDX-License-Identifier: MIT
# IBM Z: 64-bit, big-endian.
set(CMAKE_SYSTEM_PROCESSOR s390x)
set(triple s390x-linux-gnu)
set(qemu s390x)
set(loader ld64.so.1)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
