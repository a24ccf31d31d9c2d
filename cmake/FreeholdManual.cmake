# SPDX-License-Identifier: MIT
#
# The manual of section 3, made from the public headers (tools/manual.py), where python3 is there. The date is that of
# SOURCE_DATE_EPOCH, if it is set.
find_package(Python3 COMPONENTS Interpreter QUIET)
if(Python3_Interpreter_FOUND)
    file(GLOB freehold_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/freehold/*.h)
    string(TIMESTAMP date "%Y-%m-%d" UTC)
    set(manual_dir ${PROJECT_BINARY_DIR}/man3)
    set(manual ${PROJECT_SOURCE_DIR}/tools/manual.py)
    add_custom_command(OUTPUT ${manual_dir}/freehold.3
        COMMAND ${CMAKE_COMMAND} -E rm -rf ${manual_dir}
        COMMAND ${Python3_EXECUTABLE} ${manual} ${PROJECT_VERSION} ${date} ${manual_dir} ${freehold_headers}
        DEPENDS ${manual} ${freehold_headers} COMMENT "Making the manual from the headers" VERBATIM)
    add_custom_target(freehold_manual ALL DEPENDS ${manual_dir}/freehold.3)
    install(DIRECTORY ${manual_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 FILES_MATCHING PATTERN "*.3")
else()
    message(STATUS "The manual of section 3 needs python3: left out")
endif()
