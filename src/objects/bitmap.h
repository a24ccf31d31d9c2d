/* SPDX-License-Identifier: MIT */
/*
 * A set of the numbers below `bits`, as a tree of bitmaps: the lowest member in one step a level.
 *
 *     level 2 (top)   1                                one word
 *     level 1         0110..  1000..                   bit w of it: word w of level 0 has members
 *     level 0         0000..  0010..  1100..  ...      bit i: i is a member
 *
 * The words are the caller's, top level first, level 0 last. Bits that stand for nothing are 0.
 * The set takes no locks and calls nobody.
 *
 * Cost: add, remove and lowest O(levels), which is log64 of bits; init and check O(words).
 */
#ifndef FREEHOLD_OBJECTS_BITMAP_H
#define FREEHOLD_OBJECTS_BITMAP_H

#include "base/assert.h"
#include "base/bits.h"

#define FREEHOLD__BITMAP_MAX ((size_t)1 << (sizeof(size_t) == 8 ? 48 : 31))

typedef struct freehold__bitmap {
    uint64_t *top, *leaf; /* the top level's word and the first word of level 0 */
    size_t bits, members;
    unsigned top_shift; /* 6 for each level above level 0 */
} freehold__bitmap;

/* The words that a set needs; 0: it has no number below `bits`, or more than there can be. */
size_t freehold__bitmap_words(size_t bits);

/* Makes so many words, freehold__bitmap_words, the set of all numbers. */
void freehold__bitmap_init(freehold__bitmap *set, uint64_t *words, size_t bits);

/* NULL, or what is wrong with the words. */
const char *freehold__bitmap_check(const freehold__bitmap *set);

/* How many bits, or words, a level has: the one whose number is a sixth of the shift. (In two steps, none
 * of which is as wide as a word.) */
static inline size_t freehold__bitmap_level_bits(size_t bits, unsigned shift)
{
    return ((bits - 1) >> shift) + 1;
}

static inline size_t freehold__bitmap_level_words(size_t bits, unsigned shift)
{
    return ((bits - 1) >> shift >> 6) + 1;
}

/* The half of a word that has a bit. */
typedef uint32_t __attribute__((may_alias)) freehold__half;

static inline freehold__half *freehold__half_of(uint64_t *words, size_t bit)
{
    return (freehold__half *)words + (bit / 32 ^ (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__));
}

static inline bool freehold__bitmap_has(const freehold__bitmap *set, size_t i)
{
    freehold__assert(i < set->bits);
    if (FREEHOLD_SMALL)
        return (*freehold__half_of(set->leaf, i) >> (i % 32) & 1) != 0;
    return freehold__has_bit(set->leaf[i / 64], i);
}

/* FREEHOLD_SMALL: a number that is no member becomes one, so that there is 1 more, or the other way round. Both of
 * the functions that follow are this one then. */
void freehold__bitmap_turn(freehold__bitmap *set, size_t i, size_t more);

/* i is no member. A word that had members already is known to the levels above. */
static inline void freehold__bitmap_add(freehold__bitmap *set, size_t i)
{
    freehold__assert(!freehold__bitmap_has(set, i));
    if (FREEHOLD_SMALL) {
        freehold__bitmap_turn(set, i, 1);
        return;
    }
    uint64_t *words = set->leaf;
    set->members++;
    for (unsigned shift = 6;; shift += 6) {
        uint64_t old = words[i / 64];
        words[i / 64] = freehold__with_bit(old, i);
        if (old != 0 || words == set->top)
            return;
        i /= 64;
        words -= freehold__bitmap_level_words(set->bits, shift);
    }
}

/* i is a member. */
static inline void freehold__bitmap_remove(freehold__bitmap *set, size_t i)
{
    freehold__assert(freehold__bitmap_has(set, i));
    if (FREEHOLD_SMALL) {
        freehold__bitmap_turn(set, i, (size_t)-1);
        return;
    }
    uint64_t *words = set->leaf;
    set->members--;
    for (unsigned shift = 6;; shift += 6) {
        uint64_t rest = freehold__without_bit(words[i / 64], i);
        words[i / 64] = rest;
        if (rest != 0 || words == set->top)
            return;
        i /= 64;
        words -= freehold__bitmap_level_words(set->bits, shift);
    }
}

/* The lowest member of a set that is not empty. */
static inline size_t freehold__bitmap_lowest(const freehold__bitmap *set)
{
    freehold__assert(set->members != 0);
    const uint64_t *words = set->top;
    size_t i = 0;
    for (unsigned shift = set->top_shift;; shift -= 6) {
        i = i * 64 + (size_t)freehold__lowest_bit(words[i]);
        if (shift == 0)
            return i;
        words += freehold__bitmap_level_words(set->bits, shift);
    }
}

#endif
