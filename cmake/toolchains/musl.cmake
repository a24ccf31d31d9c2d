# SPDX-License-Identifier: MIT
#
# Linux on x86-64 with musl, by Debian's musl-tools: GCC with another C library. There is no C++ library for it, no
# libgcc_s, and no package of what the tests need.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_FIND_ROOT_PATH /usr/lib/x86_64-linux-musl /usr/include/x86_64-linux-musl)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/x86_64-linux-musl/pkgconfig)
set(FREEHOLD_BUILD_CMOCKA ON)
set(FREEHOLD_NO_CXX ON)
set(FREEHOLD_NO_LIBGCC_S ON)

# The kernel's own headers, which any C library can be used with, but which lie among glibc's.
set(kernel_headers ${CMAKE_BINARY_DIR}/kernel-headers)
file(MAKE_DIRECTORY ${kernel_headers})
file(CREATE_LINK /usr/include/linux ${kernel_headers}/linux SYMBOLIC)
file(CREATE_LINK /usr/include/asm-generic ${kernel_headers}/asm-generic SYMBOLIC)
file(CREATE_LINK /usr/include/x86_64-linux-gnu/asm ${kernel_headers}/asm SYMBOLIC)
set(CMAKE_C_FLAGS_INIT "-idirafter ${kernel_headers}")
# The tables for backtraces, which GCC asks the linker for by itself, but not under musl-gcc's specs.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,--eh-frame-hdr)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -Wl,--eh-frame-hdr)
