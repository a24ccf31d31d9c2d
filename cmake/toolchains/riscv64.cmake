# SPDX-License-Identifier: MIT
# 64-bit RISC-V.
set(CMAKE_SYSTEM_PROCESSOR riscv64)
# As on 32-bit Arm: unwinding C, which backtraces do, needs tables that this processor has for C++ only.
set(CMAKE_C_FLAGS_INIT -fasynchronous-unwind-tables)
set(triple riscv64-linux-gnu)
set(qemu riscv64)
set(loader ld-linux-riscv64-lp64d.so.1)
include(${CMAKE_CURRENT_LIST_DIR}/linux.cmake)
