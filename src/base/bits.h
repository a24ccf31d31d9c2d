/* SPDX-License-Identifier: MIT */
/*
 * Bit operations with one meaning on every compiler, and the arithmetic that must not wrap.
 */
#ifndef FREEHOLD_BASE_BITS_H
#define FREEHOLD_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define freehold__likely(x)   __builtin_expect(!!(x), 1)
#define freehold__unlikely(x) __builtin_expect(!!(x), 0)
#define freehold__cold        __attribute__((cold, noinline))
/* A constant that every process reads: it lies with the variables that the loader writes, whose page
 * is resident anyway, and not in a window of the file of its own. (The linker puts the section into
 * .data.rel.ro. By that name itself it would be a conflict, when all is one unit under -flto, with
 * constants that do have relocations.) */
#define freehold__near __attribute__((section(".data.rel.ro.freehold")))
/* A zero-filled variable that lies behind all others: large or seldom used, it must not come between those that
 * share a page. */
#define freehold__aside __attribute__((common))

/* Index of the lowest set bit; v must not be 0. (As the builtin, but its 64-bit result needs no
 * extension.) */
static inline uint64_t freehold__lowest_bit(uint64_t v)
{
#if defined(__x86_64__)
    uint64_t index;
    __asm__("rep bsfq %1, %0" : "=r"(index) : "rm"(v) : "cc");
    return index;
#elif UINTPTR_MAX == UINT32_MAX
    /* By halves: for the whole it would be a call. */
    uint32_t low = (uint32_t)v;
    return (low != 0 ? 0u : 32u) + (unsigned)__builtin_ctz(low != 0 ? low : (uint32_t)(v >> 32));
#else
    return (uint64_t)__builtin_ctzll(v);
#endif
}

/* 1 << n % 64. (Where words have 32 bits, without the shift of two that most machines do not have.) */
static inline uint64_t freehold__bit(uint64_t n)
{
#if UINTPTR_MAX == UINT32_MAX
    uint32_t bit = UINT32_C(1) << (n % 32);
    return (n & 32) != 0 ? (uint64_t)bit << 32 : bit;
#else
    return UINT64_C(1) << (n % 64);
#endif
}

static inline bool freehold__has_bit(uint64_t word, uint64_t n)
{
#if UINTPTR_MAX == UINT32_MAX
    return ((uint32_t)((n & 32) != 0 ? word >> 32 : word) >> (n % 32) & 1) != 0;
#else
    return (word >> (n % 64) & 1) != 0;
#endif
}

/* The word with bit n % 64 set. (One instruction on x86-64, where compilers mask n first, in two
 * more.) */
static inline uint64_t freehold__with_bit(uint64_t word, uint64_t n)
{
#if defined(__x86_64__)
    __asm__("btsq %1, %0" : "+r"(word) : "r"(n) : "cc");
    return word;
#else
    return word | freehold__bit(n);
#endif
}

/* The same with it clear. */
static inline uint64_t freehold__without_bit(uint64_t word, uint64_t n)
{
#if defined(__x86_64__)
    __asm__("btrq %1, %0" : "+r"(word) : "r"(n) : "cc");
    return word;
#else
    return word & ~freehold__bit(n);
#endif
}

/*
 * Index of the highest set bit; v must not be 0. (On x86-64 bsr may keep its destination, so it
 * waits for whatever wrote that last: a register of the free before, which made each pair of malloc
 * and free wait for the one before. Zeroed first, it waits for nobody.)
 */
static inline unsigned freehold__highest_bit(uint64_t v)
{
#if defined(__x86_64__)
    uint64_t index = 0;
    __asm__("bsrq %1, %0" : "+r"(index) : "rm"(v) : "cc");
    return (unsigned)index;
#else
    return 63u - (unsigned)__builtin_clzll(v);
#endif
}

/* Inline, where the builtin would be a call: the baseline of x86-64 has no instruction for it.
 * (Warren, 5-1.) */
static inline unsigned freehold__count_bits(uint64_t v)
{
    v -= v >> 1 & UINT64_C(0x5555555555555555);
    v = (v & UINT64_C(0x3333333333333333)) + (v >> 2 & UINT64_C(0x3333333333333333));
    v = (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(v * UINT64_C(0x0101010101010101) >> 56);
}

/* A word with its n lowest bits set, 0 <= n <= 64. */
static inline uint64_t freehold__low_bits(unsigned n)
{
    return n >= 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* The product of two numbers, whole. */
typedef struct freehold__wide {
    uint64_t high, low;
} freehold__wide;

/* Where one of them has 32 bits, no sum of the partial products overflows. */
static inline freehold__wide freehold__multiply_short(uint32_t a, uint64_t b)
{
    uint64_t low = (uint64_t)a * (uint32_t)b;
    uint64_t high = (uint64_t)a * (b >> 32) + (low >> 32);
    return (freehold__wide){high >> 32, high << 32 | (uint32_t)low};
}

static inline freehold__wide freehold__multiply(uintptr_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (freehold__wide){(uint64_t)(product >> 64), (uint64_t)product};
#else
    _Static_assert(sizeof a == sizeof(uint32_t), "64-bit processors have a 128-bit type");
    return freehold__multiply_short(a, b);
#endif
}

static inline bool freehold__is_power_of_two(size_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* Whether two ranges of memory, neither of which is empty or goes beyond its end, have a byte in common. (By
 * their last bytes: either may end with memory.) */
static inline bool freehold__overlap(uintptr_t a, size_t a_bytes, uintptr_t b, size_t b_bytes)
{
    return a <= b + (b_bytes - 1) && b <= a + (a_bytes - 1);
}

/* Rounding to a multiple of `to`, a power of two. Up must not wrap: see freehold__round_up_checked.
 * */
static inline uintptr_t freehold__round_down(uintptr_t v, uintptr_t to)
{
    return v & ~(to - 1);
}

static inline uintptr_t freehold__round_up(uintptr_t v, uintptr_t to)
{
    return (v + to - 1) & ~(to - 1);
}

/* The same, false when the result does not fit (T1). */
static inline bool freehold__round_up_checked(size_t v, size_t to, size_t *result)
{
    size_t sum;
    if (__builtin_add_overflow(v, to - 1, &sum))
        return false;
    *result = sum & ~(to - 1);
    return true;
}

static inline bool freehold__multiply_checked(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

#endif
