# SPDX-License-Identifier: MIT
#
# Compiler flags, kept on targets of our own (interface libraries), so that a project that includes this
# one with add_subdirectory keeps its own flags.

# Warnings, for everything that is compiled here.
add_library(freehold_warnings INTERFACE)
target_compile_options(freehold_warnings INTERFACE -Wall -Wextra -Wundef $<$<BOOL:${FREEHOLD_WERROR}>:-Werror>)

if(WIN32) # whose objects have no visibility
    target_compile_options(freehold_warnings INTERFACE -Wno-attributes)
endif()

# The library itself. No stack protector and no _FORTIFY_SOURCE, which some distributions turn on by
# default: both call into libc from the core layers (which know none), and the first costs every call.
add_library(freehold_library_flags INTERFACE)
target_compile_options(freehold_library_flags INTERFACE
    -fvisibility=hidden -fno-stack-protector -U_FORTIFY_SOURCE -fno-tree-vectorize -fno-builtin-bcmp)
target_compile_definitions(freehold_library_flags INTERFACE FREEHOLD_DEBUG=$<BOOL:${FREEHOLD_DEBUG}>)
target_include_directories(freehold_library_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)

# Optimisation is -O2 in the builds that people run, whatever CMake's own default would be.
if(NOT FREEHOLD_SANITIZE)
    target_compile_options(freehold_library_flags INTERFACE $<$<OR:$<CONFIG:RelWithDebInfo>,$<CONFIG:Release>>:-O2>)
endif()

# The sanitizer of this build, as a usage requirement of the test libraries: whoever links one of them is
# compiled and linked with it. libfreehold.so and libfreehold.a never are.
add_library(freehold_sanitizer INTERFACE)
if(FREEHOLD_SANITIZE)
    if(NOT FREEHOLD_SANITIZE MATCHES "^(address|undefined|thread)$")
        message(FATAL_ERROR "FREEHOLD_SANITIZE is '${FREEHOLD_SANITIZE}': give address, undefined or thread")
    endif()
    target_compile_options(freehold_sanitizer INTERFACE
        -fsanitize=${FREEHOLD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(freehold_sanitizer INTERFACE -fsanitize=${FREEHOLD_SANITIZE})
endif()
