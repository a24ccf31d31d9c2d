# SPDX-License-Identifier: MIT
#
# libfreehold-freestanding.a: base, pages, objects and allocators over port/none.c, for programs without an
# operating system. For another compiler or other options of the processor: scripts/freestanding.
set(freestanding_flags -ffreestanding -fno-pic -fno-pie -fno-asynchronous-unwind-tables -fno-exceptions
    -ffunction-sections -fdata-sections)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # Atomics in place: the functions of libgcc that choose between two ways of them ask the C library.
    list(APPEND freestanding_flags -mno-outline-atomics)
endif()
set(freestanding_sources ${freehold_pages_sources} ${freehold_objects_sources} ${freehold_allocators_sources}
    ${freehold_base_sources} ${PROJECT_SOURCE_DIR}/src/port/none.c)
add_library(freehold_freestanding STATIC ${freestanding_sources})
set_target_properties(freehold_freestanding PROPERTIES OUTPUT_NAME freehold-freestanding
    ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} POSITION_INDEPENDENT_CODE OFF)
target_compile_options(freehold_freestanding PRIVATE ${freestanding_flags})
target_compile_definitions(freehold_freestanding PRIVATE FREEHOLD_FREESTANDING=1)
target_include_directories(freehold_freestanding BEFORE PRIVATE ${PROJECT_SOURCE_DIR}/src/port/none)
target_include_directories(freehold_freestanding INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(freehold_freestanding PRIVATE freehold_warnings freehold_library_flags)

# The same as a program has it that needs little.
freehold_test_library(freehold_freestanding_small ${freestanding_sources})
target_compile_options(freehold_freestanding_small PRIVATE -Os -ffunction-sections -fdata-sections)
target_compile_definitions(freehold_freestanding_small PRIVATE FREEHOLD_FREESTANDING=1 FREEHOLD_SMALL=1)

# The same for tests that make threads into CPUs, with this build's sanitizer.
freehold_test_library(freehold_freestanding_tested ${freestanding_sources})
target_compile_definitions(freehold_freestanding_tested PRIVATE FREEHOLD_FREESTANDING=1)
