/* SPDX-License-Identifier: MIT */
/*
 * Freehold for C++17: typed allocators and the current allocator bound to a scope.
 *
 *     freehold::heap heap;                          a freehold_heap, ended with its scope
 *     void *p = freehold_alloc(&heap, 100);         the functions are those of C, called directly
 *     freehold::scope current(&heap.base);          freehold_current() until the end of the scope
 *
 * What has no class of its own here is made one by freehold::owned, with its init and deinit:
 *
 *     using table = freehold::owned<freehold_heap, freehold_heap_deinit>;
 *     table t(freehold_heap_init_aligned, 64);
 *
 * Memory for containers: freehold/adapters/pmr.hpp and freehold/adapters/allocator.hpp.
 */
#ifndef FREEHOLD_FREEHOLD_HPP
#define FREEHOLD_FREEHOLD_HPP

#include <cstddef>
#include <new>
#include <utility>

#include "freehold/freehold.h"

namespace freehold
{

/* A typed allocator that is initialised and ended with its object. It knows its address, and so is
 * neither copied nor moved. */
template <typename Typed, void (*Deinit)(Typed *)> class owned : public Typed
{
  public:
    template <typename Init, typename... Arguments>
    explicit owned(Init init, Arguments &&...arguments)
    {
        init(this, std::forward<Arguments>(arguments)...);
    }

    ~owned()
    {
        Deinit(this);
    }

    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
};

class heap : public owned<freehold_heap, freehold_heap_deinit>
{
  public:
    heap() : owned(freehold_heap_init) {}

    /* Blocks are multiples of the alignment. */
    explicit heap(std::size_t alignment) : owned(freehold_heap_init_aligned, alignment) {}
};

/* Makes an allocator the thread's current one, until the object ends. They nest. */
class scope
{
  public:
    [[nodiscard]] explicit scope(freehold_allocator *allocator)
    {
        freehold_push(&pushed, allocator);
    }

    ~scope()
    {
        freehold_pop(&pushed);
    }

    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;

  private:
    freehold_scope pushed;
};

/*
 * What C++ asks of its allocators: a block for 0 bytes too, of any alignment, or std::bad_alloc. It
 * is freed with the same size and alignment, which is checked where the alignment is no more than
 * the allocator's own.
 */
inline void *allocate(freehold_allocator *allocator, std::size_t bytes, std::size_t alignment)
{
    bytes = bytes != 0 ? bytes : 1;
    void *block = alignment <= allocator->alignment
                      ? freehold_alloc(allocator, bytes)
                      : freehold_alloc_aligned(allocator, bytes, alignment, 0);
    if (block == nullptr)
        throw std::bad_alloc();
    return block;
}

inline void deallocate(
    freehold_allocator *allocator, void *block, std::size_t bytes, std::size_t alignment) noexcept
{
    if (alignment <= allocator->alignment)
        freehold_free_sized(allocator, block, bytes != 0 ? bytes : 1);
    else
        freehold_free(allocator, block);
}

} // namespace freehold

#endif
