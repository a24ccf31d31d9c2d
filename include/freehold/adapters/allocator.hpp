/* SPDX-License-Identifier: MIT */
/*
 * Standard containers in an allocator, without std::pmr.
 *
 *     std::vector<int, freehold::allocator<int>> numbers(&heap.base);
 *     std::map<int, int, std::less<int>, freehold::allocator<std::pair<const int, int>>> m(&heap.base);
 *
 * It is a pointer: the Freehold allocator must outlive the containers. Without one it is the
 * thread's current allocator (freehold_current) at that moment. Two are equal when their memory can
 * be exchanged, which is when they are of the same Freehold allocator.
 *
 * A container that is moved or swapped takes its allocator along, so that both are done in constant
 * time. A copy is made with the same allocator; what is assigned to keeps its own.
 *
 * Threads    As the Freehold allocator.
 * Source     ISO C++17, [allocator.requirements]
 */
#ifndef FREEHOLD_ADAPTERS_ALLOCATOR_HPP
#define FREEHOLD_ADAPTERS_ALLOCATOR_HPP

#include <type_traits>

#include "freehold/freehold.hpp"

namespace freehold
{

template <typename T> class allocator
{
  public:
    using value_type = T;
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    allocator() noexcept : self(freehold_current()) {}

    allocator(freehold_allocator *self) noexcept : self(self) {}

    template <typename U> allocator(const allocator<U> &other) noexcept : self(other.get()) {}

    [[nodiscard]] T *allocate(std::size_t count)
    {
        if (count > static_cast<std::size_t>(-1) / sizeof(T))
            throw std::bad_array_new_length();
        return static_cast<T *>(freehold::allocate(self, count * sizeof(T), alignof(T)));
    }

    void deallocate(T *block, std::size_t count) noexcept
    {
        freehold::deallocate(self, block, count * sizeof(T), alignof(T));
    }

    freehold_allocator *get() const noexcept
    {
        return self;
    }

  private:
    freehold_allocator *self;
};

template <typename T, typename U>
bool operator==(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.get() == b.get();
}

template <typename T, typename U>
bool operator!=(const allocator<T> &a, const allocator<U> &b) noexcept
{
    return a.get() != b.get();
}

} // namespace freehold

#endif
