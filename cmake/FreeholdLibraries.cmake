# SPDX-License-Identifier: MIT
#
# The libraries. Sources are found by folder, one folder a layer; a new file needs no edit here.
find_package(Threads REQUIRED)

foreach(layer base port pages objects allocators malloc check)
    file(GLOB freehold_${layer}_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${layer}/*.c)
endforeach()
# The port of the target; fault.c goes into tests only.
set(other_ports fault windows none)
if(WIN32)
    set(other_ports fault linux linux_shared none backtrace scan trap unwind)
endif()
list(JOIN other_ports "|" other_ports)
list(FILTER freehold_port_sources EXCLUDE REGEX "/(${other_ports})\\.c$")
# In the shared library alone.
set(freehold_shared_sources ${PROJECT_SOURCE_DIR}/src/malloc/announce.c ${PROJECT_SOURCE_DIR}/src/malloc/deepbind.c)
list(REMOVE_ITEM freehold_malloc_sources ${freehold_shared_sources})
set(freehold_fault_source ${PROJECT_SOURCE_DIR}/src/port/fault.c)
if(NOT EXISTS ${freehold_fault_source})
    set(freehold_fault_source)
endif()
set(freehold_core_sources ${freehold_pages_sources} ${freehold_objects_sources} ${freehold_port_sources}
    ${freehold_allocators_sources} ${freehold_base_sources})
set(malloc_flags -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -fexceptions)
# A few pointers of thread-local storage are addressed directly, which glibc's static surplus allows also
# for a library that dlopen loads.
set(tls_flags -ftls-model=initial-exec)

# The drop-in's objects: compiled once, position-independent, for libfreehold.so and libfreehold.a.
# Under UndefinedBehaviorSanitizer they trap instead of calling its runtime, which allocates.
add_library(freehold_core_objects OBJECT ${freehold_core_sources})
add_library(freehold_malloc_objects OBJECT ${freehold_malloc_sources})
add_library(freehold_shared_objects OBJECT ${freehold_shared_sources})
# The same entry points over a debugging allocator (src/check), for libfreehold-check.so.
set(freehold_entry_sources ${freehold_malloc_sources})
list(FILTER freehold_entry_sources INCLUDE REGEX "/(malloc|jemalloc|new)\\.c$")
add_library(freehold_check_objects OBJECT EXCLUDE_FROM_ALL ${freehold_check_sources} ${freehold_entry_sources})
target_compile_definitions(freehold_check_objects PRIVATE FREEHOLD_CHECK=1)
if(WIN32)
    set_target_properties(freehold_core_objects freehold_malloc_objects freehold_shared_objects PROPERTIES
        EXCLUDE_FROM_ALL ON)
endif()
foreach(objects freehold_core_objects freehold_malloc_objects freehold_shared_objects freehold_check_objects)
    set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    # near.ld names functions; stacks are found by unwind tables, which C does not have on every processor.
    target_compile_options(${objects} PRIVATE ${tls_flags} -ffunction-sections -funwind-tables)
    target_link_libraries(${objects} PRIVATE freehold_warnings freehold_library_flags)
    if(FREEHOLD_SANITIZE STREQUAL "undefined")
        if(CMAKE_C_COMPILER_ID MATCHES "Clang")
            target_compile_options(${objects} PRIVATE -fsanitize=undefined -fsanitize-trap=undefined)
        else()
            target_compile_options(${objects} PRIVATE -fsanitize=undefined -fsanitize-undefined-trap-on-error)
        endif()
    endif()
endforeach()
target_compile_options(freehold_malloc_objects PRIVATE ${malloc_flags})
target_compile_options(freehold_check_objects PRIVATE ${malloc_flags})

# AddressSanitizer and ThreadSanitizer replace malloc themselves: in their builds there is no drop-in.
# On Windows there is none yet: the CRT's malloc stays what it is.
set(FREEHOLD_DROP_IN ON)
if(FREEHOLD_SANITIZE MATCHES "address|thread" OR WIN32)
    set(FREEHOLD_DROP_IN OFF)
endif()

function(freehold_drop_in target kind)
    add_library(${target} ${kind} ${ARGN})
    set_target_properties(${target} PROPERTIES OUTPUT_NAME freehold LINKER_LANGUAGE C
        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
    target_include_directories(${target} INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target} PUBLIC Threads::Threads)
endfunction()

set(drop_in_objects $<TARGET_OBJECTS:freehold_malloc_objects> $<TARGET_OBJECTS:freehold_core_objects>)
if(FREEHOLD_DROP_IN AND FREEHOLD_SHARED)
    freehold_drop_in(freehold SHARED $<TARGET_OBJECTS:freehold_shared_objects> ${drop_in_objects})
    target_link_libraries(freehold PRIVATE ${CMAKE_DL_LIBS})
    add_library(freehold::freehold ALIAS freehold)
    set(map ${PROJECT_SOURCE_DIR}/src/malloc/freehold.map)
    set(near ${PROJECT_SOURCE_DIR}/src/malloc/near.ld)
    # Relocations in a bit each, not 24 bytes: they are in the file's first window, with the code of near.ld.
    include(CheckCSourceCompiles)
    include(CheckLinkerFlag)
    check_c_source_compiles("#include <features.h>
#if !__GLIBC_PREREQ(2, 36)
#error the loader does not know them
#endif
int main(void) { return 0; }" FREEHOLD_LOADER_HAS_RELR)
    check_linker_flag(C -Wl,-z,pack-relative-relocs FREEHOLD_LINKER_HAS_RELR)
    if(FREEHOLD_LOADER_HAS_RELR AND FREEHOLD_LINKER_HAS_RELR)
        target_link_options(freehold PRIVATE -Wl,-z,pack-relative-relocs)
    endif()
    set_target_properties(freehold PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
        LINK_DEPENDS "${map};${near}")
    target_link_options(freehold PRIVATE
        -Wl,-z,noseparate-code -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,--version-script=${map}
        -Wl,-T,${near})
endif()

# What `freehold run --check` preloads: the process layer of the drop-in with the entry points of src/check. It takes
# stacks from the first call on, when the unwinder could not be loaded yet: so it is linked with it.
if(FREEHOLD_DROP_IN AND FREEHOLD_SHARED)
    set(process_objects $<FILTER:$<TARGET_OBJECTS:freehold_malloc_objects>,EXCLUDE,/\(malloc|jemalloc|new\)\.c>)
    add_library(freehold_check SHARED $<TARGET_OBJECTS:freehold_check_objects> ${process_objects}
        $<TARGET_OBJECTS:freehold_shared_objects> $<TARGET_OBJECTS:freehold_core_objects>)
    set_target_properties(freehold_check PROPERTIES OUTPUT_NAME freehold-check LINKER_LANGUAGE C
        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} LINK_DEPENDS ${map})
    target_link_libraries(freehold_check PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
    target_link_options(freehold_check PRIVATE -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete
        -Wl,--version-script=${map})
    if(NOT FREEHOLD_NO_LIBGCC_S)
        target_link_options(freehold_check PRIVATE -Wl,--no-as-needed -lgcc_s)
    endif()
endif()

# libfreehold.a has one object. From an archive of many, a linker takes only what is missing when it comes by: a C++
# program that calls only operator new would take that one, and its malloc, which the C++ library behind it asks for,
# from libc. And a program that calls no member itself, only by way of libc, is to have this malloc as well.
if(FREEHOLD_DROP_IN)
    set(whole ${PROJECT_BINARY_DIR}/freehold_whole.o)
    add_custom_command(OUTPUT ${whole} COMMAND ${CMAKE_LINKER} -r -o ${whole} ${drop_in_objects}
        DEPENDS freehold_core_objects freehold_malloc_objects ${drop_in_objects}
        COMMENT "Joining the objects of libfreehold.a" COMMAND_EXPAND_LISTS VERBATIM)
    set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    freehold_drop_in(freehold_static STATIC ${whole})
    set_target_properties(freehold_static PROPERTIES EXPORT_NAME static)
    target_link_options(freehold_static INTERFACE LINKER:-u,malloc)
    add_library(freehold::static ALIAS freehold_static)
endif()

# The libraries that tests link, with this build's sanitizer.
function(freehold_test_library target)
    add_library(${target} STATIC EXCLUDE_FROM_ALL ${ARGN})
    target_compile_options(${target} PRIVATE ${tls_flags})
    target_link_libraries(${target} PRIVATE freehold_warnings
        PUBLIC freehold_library_flags freehold_sanitizer Threads::Threads $<$<BOOL:${WIN32}>:synchronization>)
endfunction()

freehold_test_library(freehold_core ${freehold_core_sources})
freehold_test_library(freehold_fault ${freehold_core_sources} ${freehold_fault_source})
freehold_test_library(freehold_prefixed ${freehold_core_sources} ${freehold_malloc_sources})
freehold_test_library(freehold_prefixed_fault
    ${freehold_core_sources} ${freehold_malloc_sources} ${freehold_fault_source})
foreach(target freehold_prefixed freehold_prefixed_fault)
    target_compile_definitions(${target} PUBLIC FREEHOLD_PREFIXED=1)
    target_compile_options(${target} PRIVATE ${malloc_flags})
endforeach()
foreach(target freehold_fault freehold_prefixed_fault)
    target_compile_definitions(${target} PUBLIC FREEHOLD_FAULT=1)
endforeach()
