# SPDX-License-Identifier: MIT
#
# Linux on another processor, with the cross compilers and C libraries of Debian. Included by the file of each, which
# sets `triple`, as in the compiler's name; `qemu`, QEMU's name of the processor; and `loader`, the C library's.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_C_COMPILER ${triple}-gcc)
set(CMAKE_CXX_COMPILER ${triple}-g++)
set(CMAKE_FIND_ROOT_PATH /usr/${triple})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} /usr/${triple}/lib/pkgconfig)
set(FREEHOLD_BUILD_CMOCKA ON)

# Where the kernel runs such programs, they run as they are, with that C library; elsewhere in QEMU.
execute_process(COMMAND /usr/${triple}/lib/${loader} --version OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE needs_qemu)
if(needs_qemu)
    set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${qemu}-static;-L;/usr/${triple})
else()
    set(CMAKE_EXE_LINKER_FLAGS_INIT
        "-Wl,--dynamic-linker=/usr/${triple}/lib/${loader} -Wl,-rpath,/usr/${triple}/lib")
endif()
