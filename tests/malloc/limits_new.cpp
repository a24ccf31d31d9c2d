// SPDX-License-Identifier: MIT
//
// F89, the C++ part: at the limit (FREEHOLD_OPTIONS=limit=64M) operator new calls the new-handler, which
// may make room, and throws std::bad_alloc without one.
#include <new>

#include "check.h"

namespace
{
void *reserve;
int calls;

void make_room()
{
    calls++;
    ::operator delete(reserve);
    reserve = nullptr;
    std::set_new_handler(nullptr);
}
} // namespace

int main()
{
    const std::size_t large = std::size_t(40) << 20;
    bool thrown = false;
    reserve = ::operator new(large);
    try {
        reserve = ::operator new(large);
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown && ::operator new(large, std::nothrow) == nullptr);
    std::set_new_handler(make_room);
    void *block = ::operator new(large);
    CHECK(block != nullptr && calls == 1 && reserve == nullptr);
    ::operator delete(block);
    return 0;
}
