/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the whole allocator share: the allocation functions under the name they have in
 * this build (freehold_malloc and so on when FREEHOLD_PREFIXED is 1, else malloc), a seeded
 * generator, a check that says where it failed, and contents that give away who wrote them.
 */
#ifndef FREEHOLD_TESTS_FAMILY_H
#define FREEHOLD_TESTS_FAMILY_H

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mangled.h"

#ifndef FREEHOLD_PREFIXED
#define FREEHOLD_PREFIXED 0
#endif

#if FREEHOLD_PREFIXED
#define FH(name)          freehold_##name
#define FH_PREFIXED(name) freehold_##name
#define FH_CXX(name)      FH_PREFIXED(name) /* which takes the name that mangled.h gives it */
#else
#define FH(name)     name
#define FH_CXX(name) name
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

#if FREEHOLD_PREFIXED
void *FH(malloc)(size_t bytes);
void *FH(calloc)(size_t count, size_t size);
void *FH(realloc)(void *pointer, size_t bytes);
void *FH(reallocarray)(void *pointer, size_t count, size_t size);
void FH(free)(void *pointer);
void *FH(aligned_alloc)(size_t align, size_t bytes);
void *FH(memalign)(size_t align, size_t bytes);
int FH(posix_memalign)(void **result, size_t align, size_t bytes);
void *FH(valloc)(size_t bytes);
void *FH(pvalloc)(size_t bytes);
size_t FH(malloc_usable_size)(void *pointer);
int FH(malloc_trim)(size_t pad);
struct mallinfo2 FH(mallinfo2)(void);
#endif
void FH(cfree)(void *pointer);
int FH(reallocarr)(void *where, size_t count, size_t size);
size_t FH(malloc_good_size)(size_t bytes);
void FH(free_sized)(void *pointer, size_t bytes);
void FH(free_aligned_sized)(void *pointer, size_t align, size_t bytes);

/* Names of the Itanium C++ ABI (mangled.h). */
void *FH_CXX(_Znwm)(size_t bytes);
void *FH_CXX(_Znam)(size_t bytes);
void *FH_CXX(_ZnwmRKSt9nothrow_t)(size_t bytes, const void *tag);
void *FH_CXX(_ZnamRKSt9nothrow_t)(size_t bytes, const void *tag);
void *FH_CXX(_ZnwmSt11align_val_t)(size_t bytes, size_t align);
void *FH_CXX(_ZnamSt11align_val_t)(size_t bytes, size_t align);
void *FH_CXX(_ZnwmSt11align_val_tRKSt9nothrow_t)(size_t bytes, size_t align, const void *tag);
void *FH_CXX(_ZnamSt11align_val_tRKSt9nothrow_t)(size_t bytes, size_t align, const void *tag);
void FH_CXX(_ZdlPv)(void *pointer);
void FH_CXX(_ZdaPv)(void *pointer);
void FH_CXX(_ZdlPvm)(void *pointer, size_t bytes);
void FH_CXX(_ZdaPvm)(void *pointer, size_t bytes);
void FH_CXX(_ZdlPvSt11align_val_t)(void *pointer, size_t align);
void FH_CXX(_ZdaPvSt11align_val_t)(void *pointer, size_t align);
void FH_CXX(_ZdlPvmSt11align_val_t)(void *pointer, size_t bytes, size_t align);
void FH_CXX(_ZdaPvmSt11align_val_t)(void *pointer, size_t bytes, size_t align);

/* ---- checks ---------------------------------------------------------------------------------- */

/* Set by main: printed when a check fails, so that the run can be repeated. */
static char test_replay[256];

static inline _Noreturn void test_failed(const char *file, int line, const char *what)
{
    char text[640];
    int length = snprintf(text, sizeof text, "%s:%d: check failed: %s\n%s%s", file, line, what,
        test_replay, test_replay[0] != '\0' ? "\n" : "");
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(3);
    abort();
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            test_failed(__FILE__, __LINE__, #condition);                                           \
    } while (0)

/* For functions that return NULL or what is wrong. */
#define CHECK_SOUND(call)                                                                          \
    do {                                                                                           \
        const char *wrong_ = (call);                                                               \
        if (wrong_ != NULL)                                                                        \
            test_failed(__FILE__, __LINE__, wrong_);                                               \
    } while (0)

/* ---- random numbers -------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014): every seed is good, and neighbours differ. */
static inline uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline uint64_t next_random(uint64_t *state)
{
    return mix((*state)++);
}

static inline size_t random_below(uint64_t *state, size_t limit)
{
    return (size_t)(next_random(state) % limit);
}

/* Sizes as programs ask for them: each power of two about as often as the next one down, up to
 * `limit`. */
static inline size_t random_size(uint64_t *state, size_t limit)
{
    unsigned top = 63u - (unsigned)__builtin_clzll(limit);
    unsigned power = 3 + (unsigned)random_below(state, top - 2);
    size_t size = ((size_t)1 << power) + random_below(state, (size_t)1 << power);
    if (random_below(state, 8) == 0)
        size = (size_t)1 << power; /* exact powers, and one off */
    else if (random_below(state, 16) == 0)
        size = ((size_t)1 << power) + 1;
    else if (random_below(state, 16) == 0)
        size = 1 + random_below(state, 64);
    return size > limit ? limit : size;
}

/* ---- contents -------------------------------------------------------------------------------- */

/* Words are compared whole up to here; of longer blocks both ends and every 61st word. */
#define WHOLE_BYTES 8192u

static inline size_t next_word(size_t at, size_t words)
{
    const size_t ends = WHOLE_BYTES / 16;
    return at < ends || at + ends >= words ? at + 1 : at + 61;
}

static inline void fill(void *block, size_t bytes, uint64_t tag)
{
    uint64_t *word = block;
    size_t words = bytes / 8;
    for (size_t i = 0; i < words; i = next_word(i, words))
        word[i] = (tag + i) * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = words * 8; i < bytes; i++)
        ((unsigned char *)block)[i] = (unsigned char)(tag + i);
}

/* Whether the first `bytes` bytes are what fill wrote for a block of `filled` >= bytes bytes. */
static inline bool filled_as(const void *block, size_t bytes, size_t filled, uint64_t tag)
{
    const uint64_t *word = block;
    size_t words = filled / 8;
    for (size_t i = 0; i < words && (i + 1) * 8 <= bytes; i = next_word(i, words))
        if (word[i] != (tag + i) * UINT64_C(0x9E3779B97F4A7C15))
            return false;
    for (size_t i = words * 8; i < bytes; i++)
        if (((const unsigned char *)block)[i] != (unsigned char)(tag + i))
            return false;
    return true;
}

static inline bool reads_zero(const void *block, size_t bytes)
{
    const unsigned char *byte = block;
    return bytes == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, bytes - 1) == 0);
}

#endif
