# SPDX-License-Identifier: MIT
#
# What `make install` puts where: the libraries, the public headers, the command with its manual page, the manual of section 3, the
# pkg-config file and the CMake package (find_package(freehold) gives freehold::freehold, freehold::static).
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/freehold)
set(targets)
foreach(target freehold freehold_static freehold_symbolize)
    if(TARGET ${target})
        list(APPEND targets ${target})
    endif()
endforeach()
if(targets)
    install(TARGETS ${targets} EXPORT freehold_targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT freehold_targets NAMESPACE freehold:: FILE freehold-targets.cmake DESTINATION ${package_dir})
    configure_package_config_file(cmake/freehold-config.cmake.in ${PROJECT_BINARY_DIR}/freehold-config.cmake
        INSTALL_DESTINATION ${package_dir})
    write_basic_package_version_file(${PROJECT_BINARY_DIR}/freehold-config-version.cmake COMPATIBILITY SameMinorVersion)
    install(FILES ${PROJECT_BINARY_DIR}/freehold-config.cmake ${PROJECT_BINARY_DIR}/freehold-config-version.cmake
        DESTINATION ${package_dir})
    # The pkg-config file finds its prefix from where it lies, so that an installation can be moved. Folders that
    # were given absolute stay where they are.
    set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
    if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
        file(RELATIVE_PATH up ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
        string(REGEX REPLACE "/$" "" up "${up}")
        set(pc_prefix "\${pcfiledir}/${up}")
    endif()
    foreach(dir LIBDIR INCLUDEDIR)
        if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
            set(pc_${dir} "${CMAKE_INSTALL_${dir}}")
        else()
            set(pc_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
        endif()
    endforeach()
    configure_file(cmake/freehold.pc.in ${PROJECT_BINARY_DIR}/freehold.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/freehold.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
    if(TARGET freehold_symbolize)
        configure_file(cmake/freehold-symbolize.pc.in ${PROJECT_BINARY_DIR}/freehold-symbolize.pc @ONLY)
        install(FILES ${PROJECT_BINARY_DIR}/freehold-symbolize.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
    endif()
    install(DIRECTORY include/freehold DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
    if(TARGET freehold_check)
        install(TARGETS freehold_check LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    endif()
    install(TARGETS freehold_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    install(FILES tools/freehold.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    include(cmake/FreeholdManual.cmake)
    install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
