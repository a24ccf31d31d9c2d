/* SPDX-License-Identifier: MIT */
/* What the tests in C++ share. cmocka leaves a failed test by longjmp, over destructors: these tests
 * end the program instead. */
#ifndef TESTS_ADAPTERS_CHECK_HPP
#define TESTS_ADAPTERS_CHECK_HPP

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "freehold/freehold.hpp"

extern "C" {
#include "port/fault.h"
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);           \
            std::exit(1);                                                                          \
        }                                                                                          \
    } while (0)

template <typename Exception, typename Function> bool throws(Function function)
{
    try {
        function();
    } catch (const Exception &) {
        return true;
    }
    return false;
}

inline std::uint64_t live_blocks(freehold_heap *heap)
{
    freehold_statistics stats = freehold_stats(heap);
    return stats.allocations - stats.frees;
}

inline std::size_t live_bytes(freehold_heap *heap)
{
    return freehold_stats(heap).live_bytes;
}

inline bool is_multiple(const void *pointer, std::size_t alignment)
{
    return reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0;
}

#endif
