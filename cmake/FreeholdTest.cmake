# SPDX-License-Identifier: MIT
#
# freehold_test(NAME SOURCES file... [LINK library...] [LABELS label...] [TIMEOUT seconds] [ARGS arg...])
#
# A test program with the house's warnings. Labels: `quick` is what `make test` runs (and the default),
# `long` is for `make check` alone, `once` marks a test whose result does not depend on the kind of build
# (the tree's own rules, the model), so that `make check` runs it in one build only.
function(freehold_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LINK;LABELS;ARGS")
    if(NOT arg_LABELS)
        set(arg_LABELS quick)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE freehold_warnings ${arg_LINK})
    add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()
