// SPDX-License-Identifier: MIT
//
// F80, the C++ part: every operator new and delete; std::bad_alloc; the new-handler, which is
// called until it gives up, may free memory, and may throw; the nothrow forms, which return a null
// pointer whatever happens.
#include <cerrno>
#include <cstdlib>
#include <new>
#include <sys/resource.h>
#include <vector>

#include "check.h"
extern "C" size_t malloc_usable_size(void *);

namespace
{
volatile size_t never = SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 : SIZE_MAX / 2 + 1;
const std::align_val_t wide{256};

// The compiler may drop or merge calls of the operators only in new-expressions; these are plain
// calls.
template <class Call> bool throws_bad_alloc(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void every_form()
{
    for (size_t size :
        {size_t(0), size_t(1), size_t(100), size_t(3000), size_t(100000), size_t(1) << 20}) {
        void *block[] = {::operator new(size), ::operator new[](size),
            ::operator new(size, std::nothrow), ::operator new[](size, std::nothrow),
            ::operator new(size, wide), ::operator new[](size, wide),
            ::operator new(size, wide, std::nothrow), ::operator new[](size, wide, std::nothrow)};
        for (size_t i = 0; i < 8; i++) {
            CHECK(block[i] != nullptr);
            CHECK(reinterpret_cast<uintptr_t>(block[i]) % (i < 4 ? 16 : 256) == 0);
            CHECK(malloc_usable_size(block[i]) >= size);
            memset(block[i], 1, malloc_usable_size(block[i]));
            for (size_t j = 0; j < i; j++)
                CHECK(block[i] != block[j]);
        }
        ::operator delete(block[0]);
        ::operator delete[](block[1], size);
        ::operator delete(block[2], std::nothrow);
        ::operator delete[](block[3], std::nothrow);
        ::operator delete(block[4], wide);
        ::operator delete[](block[5], size, wide);
        ::operator delete(block[6], wide, std::nothrow);
        ::operator delete[](block[7], wide, std::nothrow);
        ::operator delete(::operator new(size), size);
        ::operator delete[](::operator new[](size));
        ::operator delete(::operator new(size, wide), size, wide);
        ::operator delete[](::operator new[](size, wide), wide);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete(nullptr, size_t(5));
    ::operator delete[](nullptr, size_t(5));
    ::operator delete(nullptr, std::nothrow);
    ::operator delete(nullptr, wide);
    ::operator delete(nullptr, size_t(5), wide);
}

// What new-expressions, containers and other libraries call.
struct alignas(512) Wide {
    char bytes[700];
};

void expressions()
{
    std::vector<std::vector<int>> table(100);
    for (int i = 0; i < 100; i++)
        for (int j = 0; j < i * 10; j++)
            table[size_t(i)].push_back(j);
    Wide *one = new Wide, *many = new Wide[5];
    CHECK(reinterpret_cast<uintptr_t>(one) % 512 == 0 &&
          reinterpret_cast<uintptr_t>(many) % 512 == 0);
    delete one;
    delete[] many;
    free(new int(5)); // the same heap
    delete static_cast<int *>(malloc(sizeof(int)));
}

void bad_alloc()
{
    CHECK(throws_bad_alloc([] { return ::operator new(never); }));
    CHECK(throws_bad_alloc([] { return ::operator new[](never); }));
    CHECK(throws_bad_alloc([] { return ::operator new(never, wide); }));
    CHECK(throws_bad_alloc([] { return ::operator new[](never, wide); }));
    CHECK(throws_bad_alloc([] { return ::operator new(SIZE_MAX); }));
    CHECK(throws_bad_alloc([] { return ::operator new(SIZE_MAX, wide); }));
    CHECK(::operator new(never, std::nothrow) == nullptr);
    CHECK(::operator new[](never, std::nothrow) == nullptr);
    CHECK(::operator new(never, wide, std::nothrow) == nullptr);
    CHECK(::operator new[](never, wide, std::nothrow) == nullptr);
}

// ---- the new-handler ----------------------------------------------------------------------------

int calls;

void gives_up()
{
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

void throws_bad()
{
    calls++;
    throw std::bad_alloc();
}

struct Own : std::bad_alloc {
};

void throws_own()
{
    calls++;
    throw Own();
}

template <class Call> int calls_of(std::new_handler handler, Call call)
{
    calls = 0;
    std::set_new_handler(handler);
    call();
    std::set_new_handler(nullptr);
    return calls;
}

void handler_gives_up()
{
    CHECK(calls_of(gives_up,
              [] { CHECK(throws_bad_alloc([] { return ::operator new(never); })); }) == 3);
    CHECK(calls_of(gives_up,
              [] { CHECK(throws_bad_alloc([] { return ::operator new[](never); })); }) == 3);
    CHECK(calls_of(gives_up,
              [] { CHECK(throws_bad_alloc([] { return ::operator new(never, wide); })); }) == 3);
    CHECK(calls_of(gives_up,
              [] { CHECK(throws_bad_alloc([] { return ::operator new[](never, wide); })); }) == 3);
}

void handler_throws()
{
    CHECK(calls_of(throws_own, [] {
        try {
            opaque(::operator new(never));
            CHECK(!"it returned");
        } catch (const Own &) {
        }
    }) == 1);
    CHECK(calls_of(throws_bad,
              [] { CHECK(throws_bad_alloc([] { return ::operator new[](never, wide); })); }) == 1);
}

// The nothrow forms call the handler as well, and turn what it throws into a null pointer. (Not in
// a static program: nobody there could catch for a library in C, and the handler must not throw.
// See new.c.)
void handler_and_nothrow(bool is_static)
{
    CHECK(calls_of(gives_up, [] { CHECK(::operator new(never, std::nothrow) == nullptr); }) == 3);
    CHECK(calls_of(gives_up, [] { CHECK(::operator new[](never, std::nothrow) == nullptr); }) == 3);
    CHECK(calls_of(gives_up, [] { CHECK(::operator new(never, wide, std::nothrow) == nullptr); }) ==
          3);
    CHECK(calls_of(gives_up,
              [] { CHECK(::operator new[](never, wide, std::nothrow) == nullptr); }) == 3);
    if (is_static)
        return;
    CHECK(calls_of(throws_bad, [] { CHECK(::operator new(never, std::nothrow) == nullptr); }) == 1);
    CHECK(
        calls_of(throws_bad, [] { CHECK(::operator new[](never, std::nothrow) == nullptr); }) == 1);
    CHECK(calls_of(throws_own,
              [] { CHECK(::operator new(never, wide, std::nothrow) == nullptr); }) == 1);
    CHECK(calls_of(throws_own,
              [] { CHECK(::operator new[](never, wide, std::nothrow) == nullptr); }) == 1);
}

void *reserve;

void frees_reserve()
{
    calls++;
    free(reserve);
    reserve = nullptr;
    std::set_new_handler(nullptr);
}

void handler_frees_memory()
{
    const size_t mebi = size_t(1) << 20;
    rlimit limit{600 * mebi, RLIM_INFINITY};
    reserve = malloc(300 * mebi);
    CHECK(reserve != nullptr);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    void *block = nullptr;
    CHECK(calls_of(frees_reserve, [&] { block = ::operator new(400 * mebi); }) == 1);
    CHECK(block != nullptr);
    ::operator delete(block);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}
} // namespace

int main(int argc, char **argv)
{
    every_form();
    expressions();
    bad_alloc();
    handler_gives_up();
    handler_throws();
    handler_and_nothrow(argc > 1 && strcmp(argv[1], "static") == 0);
    if (!emulated())
        handler_frees_memory();
    return 0;
}
