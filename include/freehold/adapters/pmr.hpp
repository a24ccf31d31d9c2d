/* SPDX-License-Identifier: MIT */
/*
 * std::pmr containers in an allocator.
 *
 *     freehold::memory_resource resource(&heap.base);
 *     std::pmr::vector<std::pmr::string> words(&resource);
 *
 * The resource owns nothing, and must outlive its containers as the allocator must. Two of the same
 * allocator are equal. A sized free that does not fit the block ends the program with a report.
 *
 * Threads    As the allocator.
 * Source     ISO C++17, [mem.res]
 */
#ifndef FREEHOLD_ADAPTERS_PMR_HPP
#define FREEHOLD_ADAPTERS_PMR_HPP

#include <memory_resource>

#include "freehold/freehold.hpp"

namespace freehold
{

class memory_resource final : public std::pmr::memory_resource
{
  public:
    explicit memory_resource(freehold_allocator *allocator) noexcept : allocator(allocator) {}

    freehold_allocator *get() const noexcept
    {
        return allocator;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        return freehold::allocate(allocator, bytes, alignment);
    }

    void do_deallocate(void *block, std::size_t bytes, std::size_t alignment) override
    {
        freehold::deallocate(allocator, block, bytes, alignment);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        const memory_resource *same = dynamic_cast<const memory_resource *>(&other);
        return same != nullptr && same->allocator == allocator;
    }

    freehold_allocator *allocator;
};

} // namespace freehold

#endif
