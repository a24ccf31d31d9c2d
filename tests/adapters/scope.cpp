/* SPDX-License-Identifier: MIT */
/* Typed allocators and the current allocator in C++ scopes (F1, F9). */
#include "check.hpp"

#include <stdexcept>
#include <type_traits>

static_assert(!std::is_copy_constructible<freehold::heap>::value &&
                  !std::is_move_constructible<freehold::heap>::value &&
                  !std::is_copy_assignable<freehold::heap>::value &&
                  !std::is_move_assignable<freehold::heap>::value,
    "a heap knows its address");
static_assert(!std::is_copy_constructible<freehold::scope>::value &&
                  !std::is_move_constructible<freehold::scope>::value &&
                  !std::is_copy_assignable<freehold::scope>::value,
    "a scope knows its address");
static_assert(sizeof(freehold::heap) == sizeof(freehold_heap), "and is nothing else");

static void a_heap_ends_with_its_scope()
{
    std::uint64_t mapped = freehold__fault_mapped();
    {
        freehold::heap heap;
        CHECK(freehold_heap_alloc(&heap, 100) != nullptr); /* a freehold_heap in every way */
        CHECK(freehold_alloc(&heap, 1000000) != nullptr);
        CHECK(freehold_alloc(&heap.base, 10) != nullptr);
        CHECK(live_blocks(&heap) == 3);
        CHECK(freehold__fault_mapped() > mapped);
    }
    CHECK(freehold__fault_mapped() == mapped);
    {
        freehold::heap heap(256);
        CHECK(is_multiple(freehold_alloc(&heap, 1), 256) &&
              is_multiple(freehold_alloc(&heap, 1), 256));
    }
    {
        using table = freehold::owned<freehold_heap, freehold_heap_deinit>;
        table plain(freehold_heap_init), aligned(freehold_heap_init_aligned, 512u);
        CHECK(
            freehold_alloc(&plain, 1) != nullptr && is_multiple(freehold_alloc(&aligned, 1), 512));
    }
    CHECK(freehold__fault_mapped() == mapped);
}

static void a_heap_ends_when_an_exception_leaves_it()
{
    std::uint64_t mapped = freehold__fault_mapped();
    CHECK(throws<std::runtime_error>([] {
        freehold::heap heap;
        freehold::scope current(&heap.base);
        CHECK(freehold_alloc(freehold_current(), 100) != nullptr && live_blocks(&heap) == 1);
        throw std::runtime_error("");
    }));
    CHECK(freehold__fault_mapped() == mapped);
}

static void scopes_nest()
{
    freehold_allocator *first = freehold_current();
    freehold::heap a, b;
    {
        freehold::scope outer(&a.base);
        CHECK(freehold_current() == &a.base);
        {
            freehold::scope inner(&b.base);
            CHECK(freehold_current() == &b.base);
        }
        CHECK(freehold_current() == &a.base);
        CHECK(throws<int>([&] {
            freehold::scope inner(&b.base);
            throw 1;
        }));
        CHECK(freehold_current() == &a.base);
    }
    CHECK(freehold_current() == first);
}

int main()
{
    a_heap_ends_with_its_scope();
    a_heap_ends_when_an_exception_leaves_it();
    scopes_nest();
    return 0;
}
