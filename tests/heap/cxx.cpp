/* SPDX-License-Identifier: MIT */
/* The interface from C++17: overloads in the place of _Generic, the same functions behind them. */
#include <freehold/freehold.h>

#include <cstdio>
#include <cstring>
#include <type_traits>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);           \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static_assert(
    std::is_standard_layout<freehold_heap>::value && std::is_trivial<freehold_heap>::value,
    "a heap is plain data");
static_assert(offsetof(freehold_heap, base) == 0, "the base comes first");

template <typename Allocator> static int use(Allocator *a)
{
    char *text = static_cast<char *>(freehold_alloc(a, 10));
    CHECK(text != nullptr && freehold_usable_size(a, text) == 16);
    std::strcpy(text, "contents");
    CHECK(freehold_resize(a, text, 16) && !freehold_resize(a, text, 17));
    text = static_cast<char *>(freehold_realloc(a, text, 1000));
    text = static_cast<char *>(freehold_remap(a, text, 100));
    CHECK(text != nullptr && std::strcmp(text, "contents") == 0);
    CHECK(freehold_owns(a, text + 5) && freehold_base(a, text + 5) == text);
    CHECK(freehold_free_sized(a, text, 100) == 112);
    char *zero = static_cast<char *>(freehold_alloc_zeroed(a, 100));
    CHECK(zero != nullptr && zero[0] == 0 && zero[99] == 0);
    void *aligned = freehold_alloc_aligned(a, 100, 4096, 0);
    CHECK(aligned != nullptr && reinterpret_cast<uintptr_t>(aligned) % 4096 == 0);
    size_t blocks = 0;
    CHECK(freehold_walk(
        a, [](void *context, void *, size_t) { return ++*static_cast<size_t *>(context) != 0; },
        &blocks));
    CHECK(blocks == 2 && freehold_stats(a).allocations - freehold_stats(a).frees == 2);
    CHECK(freehold_free(a, zero) == 112 && freehold_free(a, aligned) == 4096);
    CHECK(freehold_trim(a) > 0 && freehold_check(a) == nullptr);
    return 0;
}

int main()
{
    freehold_heap heap;
    freehold_heap_init(&heap);
    int failed = use(&heap);
    failed |= use(&heap.base);
    freehold_heap_deinit(&heap);
    return failed;
}
