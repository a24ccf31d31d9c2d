/* SPDX-License-Identifier: MIT */
/*
 * Blocks that know what is in them, so that whoever gets one, on any CPU, can see whether it is
 * whole.
 *
 *     | bytes | key | next | a word that follows from the key and its place | another | ...
 */
#ifndef KERNEL_BLOCK_H
#define KERNEL_BLOCK_H

#include "kernel.h"

typedef struct block {
    uint32_t bytes, key;
    struct block *next; /* for the owner's lists */
    uintptr_t words[];
} block;

#define BLOCK_MIN sizeof(block)

/* Fills memory of so many bytes, at least BLOCK_MIN. */
block *block_fill(void *memory, size_t bytes);

/* Whether the first `bytes` of a block are as they were filled: all of them, or what a realloc has
 * kept. */
bool block_is_whole(const block *b, size_t bytes);

/* Whether memory is all zero. */
bool is_zero(const void *memory, size_t bytes);

/* A list of blocks, last in, first out. */
static inline void block_push(block **list, block *b)
{
    b->next = *list;
    *list = b;
}

static inline block *block_pop(block **list)
{
    block *b = *list;
    *list = b->next;
    return b;
}

#endif
