/* SPDX-License-Identifier: MIT */
/*
 * How many words of memory the bitmap of an allocator needs that has its bitmap in words of the
 * caller's (freehold/budget.h, freehold/index_pool.h): a bit for each of `count` things, and a bit
 * for each word of those, and so on up to one word. For constants and variables alike, up to 2^48;
 * it evaluates its argument more than once.
 */
#ifndef FREEHOLD_BITMAP_H
#define FREEHOLD_BITMAP_H

#include <stddef.h>
#include <stdint.h>

/* The words of level k: a level is there when the one below has more than one word. */
#define FREEHOLD__LEVEL_BITS(count, k) (((uint64_t)(count)-1) >> (6 * (k)))
#define FREEHOLD__LEVEL_WORDS(count, k)                                                            \
    (FREEHOLD__LEVEL_BITS(count, k) != 0 ? FREEHOLD__LEVEL_BITS(count, (k) + 1) + 1 : 0)
/* Words of 64 bits for a bitmap of so many things. */
#define FREEHOLD_BITMAP_WORDS(count)                                                               \
    ((size_t)((count) == 0                                                                         \
                  ? 0                                                                              \
                  : FREEHOLD__LEVEL_BITS(count, 1) + 1 + FREEHOLD__LEVEL_WORDS(count, 1) +         \
                        FREEHOLD__LEVEL_WORDS(count, 2) + FREEHOLD__LEVEL_WORDS(count, 3) +        \
                        FREEHOLD__LEVEL_WORDS(count, 4) + FREEHOLD__LEVEL_WORDS(count, 5) +        \
                        FREEHOLD__LEVEL_WORDS(count, 6) + FREEHOLD__LEVEL_WORDS(count, 7)))

#endif
