// SPDX-License-Identifier: MIT
//
// Boost's pool as a subject of family.c, with the loops that the others have from its macros.
#include <boost/pool/pool.hpp>
#include <boost/version.hpp>
#include <cstdint>

extern "C" {
extern const char *const bench_boost_version;
void *bench_boost_make(size_t bytes, size_t blocks);
void *bench_boost_one(void *object, size_t bytes);
void bench_boost_pairs(void *object, size_t bytes, uint64_t count);
void bench_boost_fills(void *object, size_t bytes, uint64_t count);
}

enum { FILL = 10000 }; // as in family.c

typedef boost::pool<> pool;
const char *const bench_boost_version = BOOST_LIB_VERSION;

void *bench_boost_make(size_t bytes, size_t)
{
    return new pool(bytes);
}

void *bench_boost_one(void *object, size_t)
{
    return static_cast<pool *>(object)->malloc();
}

void bench_boost_pairs(void *object, size_t, uint64_t count)
{
    pool &p = *static_cast<pool *>(object);
    for (uint64_t i = 0; i < count; i++) {
        void *block = p.malloc();
        *static_cast<volatile char *>(block) = 1;
        asm volatile("" : : "r"(block) : "memory"); // or all of it stays in registers
        p.free(block);
    }
}

void bench_boost_fills(void *object, size_t, uint64_t count)
{
    pool &p = *static_cast<pool *>(object);
    static void *table[FILL];
    for (uint64_t i = 0; i < count; i++) {
        for (auto &block : table) {
            block = p.malloc();
            *static_cast<volatile char *>(block) = 1;
        }
        for (auto block : table) {
            p.free(block);
        }
    }
}
