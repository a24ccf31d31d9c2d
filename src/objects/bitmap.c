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

/* From the last level, whose words lie behind those of all others, to the top. */
void freehold__bitmap_init(freehold__bitmap *set, uint64_t *words, size_t bits, bool full)
{
    freehold__assert(freehold__bitmap_words(bits) != 0);
    uint64_t *level = words + freehold__bitmap_words(bits);
    size_t n = bits, count = freehold__bitmap_level_words(bits, 0);
    *set = (freehold__bitmap){
        .top = words, .leaf = level - count, .bits = bits, .members = full ? bits : 0};
    for (;;) {
        level -= count;
        memset(level, full ? 0xff : 0, count * sizeof *level);
        if (full && n % 64 != 0)
            level[count - 1] = freehold__bit(n) - 1;
        if (count == 1)
            return;
        set->levels++;
        n = count;
        count = (count + 63) / 64;
    }
}

#if FREEHOLD_SMALL

typedef uint32_t __attribute__((may_alias)) half; /* of a word */

/* Which of them has a bit. */
static size_t half_of(size_t bit)
{
    return bit / 32 ^ (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

/* By halves of words: so no machine needs a shift of 64 bits. The levels above have something to learn when no other
 * number of the word is a member. */
void freehold__bitmap_turn(freehold__bitmap *set, size_t i)
{
    size_t count = set->bits;
    half *level = (half *)set->leaf;
    set->members += freehold__bitmap_has(set, i) ? (size_t)-1 : 1;
    for (;;) {
        half *at = &level[half_of(i)], bit = UINT32_C(1) << (i % 32);
        half others = (*at & ~bit) | level[half_of(i) ^ 1];
        *at ^= bit;
        if (others != 0 || level == (half *)set->top)
            return;
        i /= 64;
        count = (count + 63) / 64;
        level -= (count + 63) / 64 * 2;
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
    for (unsigned level = 0;; level++) {
        size_t bits = freehold__bitmap_level_bits(set->bits, level);
        if (bits % 64 != 0 && (words[bits / 64] & ~freehold__low_bits(bits % 64)) != 0)
            return freehold__corrupt(
                "a bitmap has a bit that stands for nothing", &words[bits / 64]);
        if (level == set->levels)
            return NULL;
        const uint64_t *above = words - freehold__bitmap_level_words(set->bits, level + 1);
        if (!level_agrees(above, words, freehold__bitmap_level_words(set->bits, level)))
            return freehold__corrupt(
                "a level of a bitmap does not agree with the one below", above);
        words = above;
    }
}
