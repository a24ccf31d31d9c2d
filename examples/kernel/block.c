/* SPDX-License-Identifier: MIT */
#include "block.h"

#define STEP 61 /* words: of a large block the first page, and then one in so many */
#define FULL 512

static uintptr_t word_at(uint32_t key, size_t i)
{
    return ((uintptr_t)key + i) * (uintptr_t)UINT64_C(0x9e3779b97f4a7c15);
}

static size_t next_word(size_t i)
{
    return i < FULL ? i + 1 : i + STEP;
}

static size_t words_of(size_t bytes)
{
    return bytes > sizeof(block) ? (bytes - sizeof(block)) / sizeof(uintptr_t) : 0;
}

block *block_fill(void *memory, size_t bytes)
{
    block *b = memory;
    b->bytes = (uint32_t)bytes;
    b->key = random_below(UINT32_MAX);
    b->next = NULL;
    size_t words = words_of(bytes);
    for (size_t i = 0; i < words; i = next_word(i))
        b->words[i] = word_at(b->key, i);
    if (words > 0)
        b->words[words - 1] = word_at(b->key, words - 1);
    return b;
}

bool block_is_whole(const block *b, size_t bytes)
{
    size_t words = words_of(bytes);
    for (size_t i = 0; i < words; i = next_word(i))
        if (b->words[i] != word_at(b->key, i))
            return false;
    return bytes < b->bytes || words == 0 || b->words[words - 1] == word_at(b->key, words - 1);
}

bool is_zero(const void *memory, size_t bytes)
{
    const uintptr_t *words = memory;
    const unsigned char *p = memory;
    size_t count = bytes / sizeof *words;
    for (size_t i = 0; i < count; i++)
        if (words[i] != 0)
            return false;
    for (size_t i = count * sizeof *words; i < bytes; i++)
        if (p[i] != 0)
            return false;
    return true;
}
