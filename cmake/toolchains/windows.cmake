# SPDX-License-Identifier: MIT
#
# 64-bit Windows, with Debian's MinGW; programs run in Wine, with a folder of their own for what it keeps.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(triple x86_64-w64-mingw32)
set(CMAKE_C_COMPILER ${triple}-gcc-posix)
set(CMAKE_CXX_COMPILER ${triple}-g++-posix)
set(CMAKE_FIND_ROOT_PATH /usr/${triple})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} /usr/${triple}/lib/pkgconfig)
# (cmocka's declarations say that it is the CRT's.) Windows 8, for WaitOnAddress. printf as C has it: the CRT's own writes pointers in another way.
set(CMAKE_C_FLAGS_INIT "-D_WIN32_WINNT=0x0602 -D__USE_MINGW_ANSI_STDIO=1 -Wno-format -Wno-format-extra-args")
set(CMAKE_CXX_FLAGS_INIT "-D_WIN32_WINNT=0x0602")
set(CMAKE_EXE_LINKER_FLAGS_INIT -static) # or Wine would have to find MinGW's libraries
set(FREEHOLD_BUILD_CMOCKA ON)
set(CMAKE_CROSSCOMPILING_EMULATOR
    env;-u;DISPLAY;WINEDEBUG=-all;WINEDLLOVERRIDES=mscoree,mshtml=;WINEPREFIX=${CMAKE_BINARY_DIR}/wine;/usr/lib/wine/wine64)
