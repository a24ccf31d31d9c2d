/* SPDX-License-Identifier: MIT */
#include "objects/bitmap.h"

#include <string.h>

#include "base/corrupt.h"

#include "freehold/bitmap.h"

size_t freehold__bitmap_words(size_t bits)
{
    size_t words = 0, level = bits;
    if (bits == 0 || bits > FREEHOLD__BITMAP_MAX)
        return 0;
    do {
        level = (level + 63) / 64;
        words += level;
    } while (level > 1);
    return words;
}

#if FREEHOLD_SMALL

/* Each number is added. */
static void fill(freehold__bitmap *set, size_t words)
{
    memset(set->top, 0, words * sizeof *set->top);
    for (size_t i = set->bits; i-- > 0;)
        freehold__bitmap_add(set, i);
}

#else

/* All ones at once; the last word of a level may have bits that stand for nothing. */
static void fill(freehold__bitmap *set, size_t words)
{
    uint64_t *end = set->top + words;
    set->members = set->bits;
    memset(set->top, 0xff, words * sizeof *end);
    for (unsigned shift = 0; shift <= set->top_shift; shift += 6) {
        size_t n = freehold__bitmap_level_bits(set->bits, shift);
        if (n % 64 != 0)
            end[-1] = freehold__bit(n) - 1;
        end -= freehold__bitmap_level_words(set->bits, shift);
    }
}

#endif

void freehold__bitmap_init(freehold__bitmap *set, uint64_t *words, size_t bits)
{
    size_t count = freehold__bitmap_words(bits);
    freehold__assert(count != 0);
    set->top = words;
    set->leaf = words + count - freehold__bitmap_level_words(bits, 0);
    set->bits = bits;
    set->members = 0;
    set->top_shift = 0;
    while (freehold__bitmap_level_words(bits, set->top_shift) > 1)
        set->top_shift += 6;
    fill(set, count);
}

#if FREEHOLD_SMALL

/* By halves of words: so no machine needs a shift of 64 bits. The levels above have something to learn when no other
 * number of the word is a member. */
void freehold__bitmap_turn(freehold__bitmap *set, size_t i, size_t more)
{
    size_t last = set->bits - 1; /* bit of the level */
    uint64_t *level = set->leaf;
    set->members += more;
    for (;;) {
        freehold__half *half = freehold__half_of(level, i), bit = UINT32_C(1) << (i % 32);
        freehold__half others = (*half & ~bit) | *freehold__half_of(level, i ^ 32);
        *half ^= bit;
        if (others != 0 || level == set->top)
            return;
        i /= 64;
        last /= 64;
        level -= last / 64 + 1;
    }
}

#endif

/* Whether a level says of each word of the level below whether that has members. */
static bool level_agrees(const uint64_t *above, const uint64_t *below, size_t words)
{
    for (size_t w = 0; w < words; w++)
        if ((above[w / 64] >> (w % 64) & 1) != (below[w] != 0))
            return false;
    return true;
}

const char *freehold__bitmap_check(const freehold__bitmap *set)
{
    const uint64_t *words = set->leaf;
    size_t members = 0, count = freehold__bitmap_level_words(set->bits, 0);
    for (size_t w = 0; w < count; w++)
        members += freehold__count_bits(words[w]);
    if (members != set->members)
        return freehold_corrupted("a bitmap has more or fewer members than were counted", set->leaf,
            members, set->members);
    for (unsigned shift = 0;; shift += 6) {
        size_t bits = freehold__bitmap_level_bits(set->bits, shift);
        if (bits % 64 != 0 && (words[bits / 64] & ~freehold__low_bits(bits % 64)) != 0)
            return freehold__corrupt(
                "a bitmap has a bit that stands for nothing", &words[bits / 64]);
        if (shift == set->top_shift)
            return NULL;
        const uint64_t *above = words - freehold__bitmap_level_words(set->bits, shift + 6);
        if (!level_agrees(above, words, freehold__bitmap_level_words(set->bits, shift)))
            return freehold__corrupt(
                "a level of a bitmap does not agree with the one below", above);
        words = above;
    }
}
