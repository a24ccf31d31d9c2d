/* SPDX-License-Identifier: MIT */
/* Standard containers with freehold::allocator (F108): filled, moved, swapped, copied, refused. */
#include "check.hpp"

#include "freehold/adapters/allocator.hpp"

#include <csetjmp>
#include <cstring>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

template <typename T> using vector = std::vector<T, freehold::allocator<T>>;
using string = std::basic_string<char, std::char_traits<char>, freehold::allocator<char>>;
template <typename K, typename V>
using map = std::map<K, V, std::less<K>, freehold::allocator<std::pair<const K, V>>>;
template <typename K, typename V>
using table = std::unordered_map<K, V, std::hash<K>, std::equal_to<K>,
    freehold::allocator<std::pair<const K, V>>>;

using traits = std::allocator_traits<freehold::allocator<int>>;
static_assert(std::is_same<traits::pointer, int *>::value && !traits::is_always_equal::value &&
                  std::is_same<traits::rebind_alloc<char>, freehold::allocator<char>>::value &&
                  std::is_nothrow_copy_constructible<freehold::allocator<int>>::value,
    "as the standard wants it");
static_assert(std::is_nothrow_move_assignable<vector<int>>::value, "it goes along with a move");

static void all_bytes_are_the_heaps()
{
    freehold::heap heap;
    {
        vector<string> words(&heap.base);
        map<int, string> by_number(&heap.base);
        table<int, int> squares(&heap.base);
        std::list<int, freehold::allocator<int>> list(&heap.base);
        std::deque<int, freehold::allocator<int>> queue(&heap.base);
        for (int i = 0; i < 10000; i++) {
            words.emplace_back("a word that is too long to be inside of its string", &heap.base);
            by_number.emplace(i, words.back());
            squares[i] = i * i;
            list.push_back(i);
            queue.push_front(i);
        }
        CHECK(live_blocks(&heap) > 50000 && live_bytes(&heap) > 10000 * 37 * sizeof(void *));
        CHECK(by_number.size() == 10000 && squares.at(77) == 77 * 77 && queue.front() == 9999);
        CHECK(freehold_owns(&heap, words.data()) && freehold_owns(&heap, &*by_number.find(5)) &&
              freehold_owns(&heap, &list.front()) && freehold_owns(&heap, &queue[4711]));
        for (int i = 0; i < 10000; i += 2)
            by_number.erase(i);
        CHECK(by_number.size() == 5000 && by_number.begin()->first == 1);
        auto shared = std::allocate_shared<int>(freehold::allocator<int>(&heap.base), 5);
        CHECK(freehold_owns(&heap, shared.get()) && *shared == 5);
    }
    CHECK(live_blocks(&heap) == 0 && freehold_check(&heap) == nullptr);
}

static void a_heap_ends_with_all_of_it()
{
    std::uint64_t mapped = freehold__fault_mapped();
    {
        freehold::heap heap;
        using numbers = map<int, int>;
        numbers *never_ended = new (freehold_alloc(&heap, sizeof(numbers))) numbers(&heap.base);
        for (int i = 0; i < 1000; i++)
            never_ended->emplace(i, i);
        CHECK(live_blocks(&heap) == 1001);
    }
    CHECK(freehold__fault_mapped() == mapped);
}

static void equal_is_of_the_same_allocator()
{
    freehold::heap a, b;
    freehold::allocator<int> one(&a.base), other(&b.base);
    freehold::allocator<char> same(one);
    CHECK(one == same && !(one != same) && one != other && same.get() == &a.base);
    char *text = same.allocate(10);
    freehold::allocator<char>(one).deallocate(text, 10); /* what equal ones may do */
    CHECK(live_blocks(&a) == 0);
}

static void moves_and_swaps_take_the_allocator_along()
{
    freehold::heap a, b;
    vector<int> in_a(1000, 1, &a.base), in_b(2000, 2, &b.base);
    const int *data_a = in_a.data(), *data_b = in_b.data();
    std::swap(in_a, in_b);
    CHECK(in_a.data() == data_b && in_a.get_allocator().get() == &b.base && in_a.size() == 2000);
    CHECK(in_b.data() == data_a && in_b.get_allocator().get() == &a.base && in_b.size() == 1000);
    in_a = std::move(in_b);
    CHECK(in_a.data() == data_a && in_a.get_allocator().get() == &a.base);
    CHECK(live_blocks(&a) == 1 && live_blocks(&b) == 0);
    vector<int> moved(std::move(in_a));
    CHECK(moved.data() == data_a && moved.get_allocator().get() == &a.base);
    vector<int> elsewhere(std::move(moved), &b.base); /* told to: it must copy */
    CHECK(elsewhere.data() != data_a && freehold_owns(&b, elsewhere.data()));
    CHECK(elsewhere.size() == 1000 && elsewhere[999] == 1);

    map<int, int> m(&a.base), n(&b.base);
    m[1] = 1;
    n[2] = 2;
    m.swap(n);
    CHECK(m.count(2) == 1 && m.get_allocator().get() == &b.base);
    std::list<int, freehold::allocator<int>> l(10, 1, &a.base), k(&b.base);
    k = std::move(l);
    CHECK(k.size() == 10 && k.get_allocator().get() == &a.base);
}

static void copies_stay()
{
    freehold::heap a, b;
    vector<int> in_a(1000, 1, &a.base), in_b(&b.base);
    vector<int> copy(in_a);
    CHECK(copy.get_allocator().get() == &a.base && live_blocks(&a) == 2);
    in_b = in_a;
    CHECK(in_b.get_allocator().get() == &b.base && in_b == in_a && live_blocks(&b) == 1);
}

/* F9: what is given no allocator takes the thread's. */
static void without_one_it_is_the_current()
{
    freehold::heap heap;
    freehold::scope current(&heap.base);
    vector<int> numbers(100);
    CHECK(numbers.get_allocator().get() == &heap.base && live_blocks(&heap) == 1);
}

static char reported[400];
static std::jmp_buf after_report;

static void report_handler(const freehold_report *report)
{
    std::snprintf(reported, sizeof reported, "%s", report->message);
    std::longjmp(after_report, 1);
}

/* A block that comes back with another size than it was asked for is not taken. */
static void a_wrong_size_is_reported()
{
    static freehold_heap heap; /* plain data: there is a longjmp */
    freehold_heap_init(&heap);
    freehold::allocator<int> ints(&heap.base);
    static int *block;
    block = ints.allocate(25);
    freehold_set_fatal_handler(report_handler);
    if (setjmp(after_report) == 0)
        ints.deallocate(block, 250);
    freehold_set_fatal_handler(nullptr);
    char wanted[400];
    std::snprintf(wanted, sizeof wanted,
        "freehold: freehold_free_sized(%p): size mismatch: given 1000, but slot 0 of 292, "
        "size 112, slab %p, holds 97 to 112 bytes",
        static_cast<void *>(block), static_cast<void *>(block));
    CHECK(std::strcmp(reported, wanted) == 0);
    ints.deallocate(block, 25);
    CHECK(live_blocks(&heap) == 0);
    freehold_heap_deinit(&heap);
}

struct alignas(256) wide {
    unsigned char byte[256];
};

static void sizes_and_alignments_at_the_edge()
{
    freehold::heap heap;
    vector<wide> wides(33, &heap.base);
    CHECK(is_multiple(wides.data(), 256));
    freehold::allocator<long> longs(&heap.base);
    longs.deallocate(longs.allocate(0), 0);
    const std::size_t most = std::numeric_limits<std::size_t>::max();
    CHECK(
        throws<std::bad_array_new_length>([&] { (void)longs.allocate(most / sizeof(long) + 1); }));
    CHECK(throws<std::bad_array_new_length>([&] { (void)longs.allocate(most); }));
    CHECK(throws<std::bad_alloc>([&] { (void)longs.allocate(most / sizeof(long)); }));
    CHECK(throws<std::length_error>([&] { vector<long> none(most, &heap.base); }));
    vector<int> numbers(&heap.base);
    numbers.push_back(1);
    freehold__fault_set(1, UINT64_MAX);
    CHECK(throws<std::bad_alloc>([&] { numbers.resize(10000000); }));
    freehold__fault_set(0, 0);
    CHECK(numbers.size() == 1 && numbers[0] == 1);
}

int main()
{
    all_bytes_are_the_heaps();
    a_heap_ends_with_all_of_it();
    equal_is_of_the_same_allocator();
    moves_and_swaps_take_the_allocator_along();
    copies_stay();
    without_one_it_is_the_current();
    a_wrong_size_is_reported();
    sizes_and_alignments_at_the_edge();
    return 0;
}
