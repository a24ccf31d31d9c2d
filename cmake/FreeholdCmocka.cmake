# SPDX-License-Identifier: MIT
#
# cmocka for a target for which there is no package of it: the source of Debian's package, one file, compiled as
# a library of that name.
set(folder ${PROJECT_BINARY_DIR}/cmocka)
execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/debian-source cmocka ${folder} RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "The tests need cmocka for this target, and its source could not be had (see above)")
endif()
add_library(cmocka STATIC EXCLUDE_FROM_ALL ${folder}/src/cmocka.c)
target_include_directories(cmocka PUBLIC ${folder}/include)
target_compile_definitions(cmocka PRIVATE HAVE_SIGNAL_H=1 HAVE_INTTYPES_H=1 HAVE_MALLOC_H=1 HAVE_STRUCT_TIMESPEC=1)
target_compile_options(cmocka PRIVATE -w)
set(cmocka cmocka) # for tests that look for the library
