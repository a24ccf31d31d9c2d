/* SPDX-License-Identifier: MIT */
#include "objects/bitmap.h"

#include "base/corrupt.h"

#include "freehold/bitmap.h"

size_t freehold__bitmap_words(size_t bits)
{
    return bits <= FREEHOLD__BITMAP_MAX ? FREEHOLD_BITMAP_WORDS(bits) : 0;
}

static unsigned levels_of(size_t bits)
{
    unsigned levels = 0;
    while (freehold__bitmap_level_words(bits, levels) > 1)
        levels++;
    return levels;
}

static void fill(uint64_t *words, size_t bits)
{
    for (size_t w = 0; w < bits / 64; w++)
        words[w] = UINT64_MAX;
    if (bits % 64 != 0)
        words[bits / 64] = freehold__low_bits(bits % 64);
}

void freehold__bitmap_init(freehold__bitmap *set, uint64_t *words, size_t bits, bool full)
{
    freehold__assert(freehold__bitmap_words(bits) != 0);
    size_t count = freehold__bitmap_words(bits);
    *set = (freehold__bitmap){.top = words,
        .leaf = words + count - freehold__bitmap_level_words(bits, 0),
        .bits = bits,
        .members = full ? bits : 0,
        .levels = levels_of(bits)};
    for (size_t w = 0; w < count; w++)
        words[w] = 0;
    for (unsigned level = set->levels + 1; full && level-- > 0;) {
        fill(words, freehold__bitmap_level_bits(bits, level));
        words += freehold__bitmap_level_words(bits, level);
    }
}

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
