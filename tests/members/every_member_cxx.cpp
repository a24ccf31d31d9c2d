/* SPDX-License-Identifier: MIT */
/*
 * F80, F81: every operator new and delete once, and bad_alloc and the new-handler; prints how many
 * allocations it made.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace
{

int made;
int handled;

void check(bool condition, const char *what)
{
    if (!condition) {
        std::fprintf(stderr, "%s\n", what);
        std::exit(1);
    }
}

void *fresh(void *block, std::size_t align = 16)
{
    check(block != nullptr, "null");
    check(reinterpret_cast<std::uintptr_t>(block) % align == 0, "alignment");
    std::memset(block, 0xa5, 100);
    made++;
    return block;
}

void operators()
{
    const auto align = std::align_val_t{256};
    const auto &quiet = std::nothrow;
    operator delete(fresh(operator new(100)));
    operator delete (fresh(operator new(100)), std::size_t{100});
    operator delete(fresh(operator new(100, quiet)), quiet);
    operator delete[](fresh(operator new[](100)));
    operator delete[](fresh(operator new[](100)), std::size_t{100});
    operator delete[](fresh(operator new[](100, quiet)), quiet);
    operator delete(fresh(operator new(100, align), 256), align);
    operator delete (fresh(operator new(100, align), 256), std::size_t{100}, align);
    operator delete(fresh(operator new(100, align, quiet), 256), align, quiet);
    operator delete[](fresh(operator new[](100, align), 256), align);
    operator delete[](fresh(operator new[](100, align), 256), std::size_t{100}, align);
    operator delete[](fresh(operator new[](100, align, quiet), 256), align, quiet);
}

const std::size_t too_much = SIZE_MAX / 2;

void failures()
{
    bool caught = false;
    try {
        operator delete(operator new(too_much));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    check(caught, "bad_alloc");
    check(operator new(too_much, std::nothrow) == nullptr, "nothrow");

    std::set_new_handler([] {
        if (++handled == 3)
            std::set_new_handler(nullptr);
    });
    check(operator new(too_much, std::nothrow) == nullptr &&handled == 3, "new-handler");
}

void library()
{
    std::vector<std::string> strings;
    for (int i = 0; i < 1000; i++)
        strings.push_back(std::string(100, static_cast<char>('a' + i % 26)));
    check(strings[999][99] == 'a' + 999 % 26, "contents");
    made += 1000;
}

} // namespace

int main()
{
    operators();
    failures();
    library();
    std::printf("%d\n", made);
    return 0;
}
