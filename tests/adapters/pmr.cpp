/* SPDX-License-Identifier: MIT */
/* Containers of std::pmr from a heap (F108). */
#include "check.hpp"

#include "freehold/adapters/pmr.hpp"

#include <limits>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

static std::pmr::string word(int i, std::pmr::memory_resource *resource)
{
    std::pmr::string text("a word that is too long to be inside of its string: ", resource);
    text += std::to_string(i);
    return text;
}

static void all_bytes_are_the_heaps()
{
    freehold::heap heap;
    freehold::memory_resource resource(&heap.base);
    CHECK(resource.get() == &heap.base);
    {
        std::pmr::vector<std::pmr::string> words(&resource);
        std::pmr::unordered_map<std::pmr::string, int> numbers(&resource);
        for (int i = 0; i < 10000; i++) {
            words.push_back(word(i, &resource));
            numbers[words.back()] = i;
        }
        CHECK(live_blocks(&heap) > 30000 && live_bytes(&heap) > 10000 * (64 + 64 + 32));
        CHECK(freehold_owns(&heap, words.data()) && freehold_owns(&heap, words[77].data()));
        for (int i = 0; i < 10000; i++)
            CHECK(numbers.at(words[static_cast<std::size_t>(i)]) == i);

        std::size_t bytes = live_bytes(&heap);
        std::pmr::vector<std::pmr::string> moved(std::move(words));
        CHECK(live_bytes(&heap) == bytes && moved.size() == 10000);
        std::pmr::vector<std::pmr::string> copy(moved, &resource);
        CHECK(live_bytes(&heap) > bytes + 10000 * 64 && copy == moved);
        copy.clear();
        copy.shrink_to_fit();
        CHECK(live_bytes(&heap) == bytes);
        std::pmr::vector<std::pmr::string> outside(moved); /* the default resource */
        CHECK(live_bytes(&heap) == bytes);
    }
    CHECK(live_blocks(&heap) == 0 && freehold_check(&heap) == nullptr);
}

static void a_heap_ends_with_all_of_it()
{
    std::uint64_t mapped = freehold__fault_mapped();
    {
        freehold::heap heap;
        freehold::memory_resource resource(&heap.base);
        using words = std::pmr::vector<std::pmr::string>;
        void *place = freehold_alloc(&heap, sizeof(words));
        words *never_ended = new (place) words(&resource);
        for (int i = 0; i < 1000; i++)
            never_ended->push_back(word(i, &resource));
        CHECK(live_blocks(&heap) > 1000);
    }
    CHECK(freehold__fault_mapped() == mapped);
}

struct alignas(256) wide {
    unsigned char byte[256];
};

static void every_size_and_alignment()
{
    freehold::heap heap;
    freehold::memory_resource resource(&heap.base);
    for (std::size_t alignment = 1; alignment <= 8192; alignment *= 2)
        for (std::size_t bytes : {0, 1, 7, 16, 100, 5000, 600000}) {
            void *block = resource.allocate(bytes, alignment);
            CHECK(block != nullptr && is_multiple(block, alignment));
            resource.deallocate(block, bytes, alignment);
        }
    {
        std::pmr::list<wide> list(&resource);
        for (int i = 0; i < 100; i++)
            CHECK(is_multiple(&list.emplace_back(), 256));
        CHECK(live_blocks(&heap) == 100);
    }
    CHECK(live_blocks(&heap) == 0);
}

static void without_memory_it_throws()
{
    freehold::heap heap;
    freehold::memory_resource resource(&heap.base);
    const std::size_t most = std::numeric_limits<std::size_t>::max();
    for (std::size_t bytes : {most, most - 15, most / 2 + 1})
        for (std::size_t alignment : {std::size_t(1), std::size_t(64)})
            CHECK(throws<std::bad_alloc>([&] {
                void *volatile block = resource.allocate(bytes, alignment);
                (void)block;
            }));
    freehold__fault_set(1, UINT64_MAX);
    std::pmr::vector<int> numbers(&resource);
    CHECK(throws<std::bad_alloc>([&] { numbers.push_back(1); }));
    freehold__fault_set(0, 0);
    numbers.push_back(1);
    CHECK(numbers.size() == 1 && numbers[0] == 1);
}

static void equal_is_of_the_same_allocator()
{
    freehold::heap a, b;
    freehold::memory_resource one(&a.base), two(&a.base), other(&b.base);
    CHECK(one == two && one != other && one != *std::pmr::new_delete_resource());
    std::pmr::vector<int> from(1000, 7, &one), same(&two), apart(&other);
    const int *data = from.data();
    same = std::move(from);
    CHECK(same.data() == data); /* the memory could be taken over */
    apart = std::move(same);
    CHECK(apart.data() != data && freehold_owns(&b, apart.data()) && apart.size() == 1000);
}

int main()
{
    all_bytes_are_the_heaps();
    a_heap_ends_with_all_of_it();
    every_size_and_alignment();
    without_memory_it_throws();
    equal_is_of_the_same_allocator();
    return 0;
}
