/* SPDX-License-Identifier: MIT */
/*
 * A budget: a fixed number of equal blocks in a buffer of the caller's, and never any more.
 *
 *     static _Alignas(16) unsigned char buffer[64 * 1024];
 *     static uint64_t words[FREEHOLD_BITMAP_WORDS(sizeof buffer / 64)];
 *     freehold_budget budget;
 *     freehold_budget_init(&budget, buffer, sizeof buffer, 64, words, sizeof words / 8);
 *
 * The functions are those of freehold/allocator.h. The lowest free block is handed out first.
 *
 * State        The bitmap lies in words that the caller hands over besides the buffer, and not at
 *              the buffer's start: so the caller decides what lies before them, and a write past the
 *              end of a block, or of what lies below the buffer, does not reach them. The buffer
 *              belongs to the blocks alone, down to its last byte. Neither is ever freed or
 *              unmapped.
 * Sizes        Up to the slot size, which is rounded up to a multiple of the alignment. What is
 *              larger is refused.
 * Alignments   Every block has the budget's; a larger one, and any offset that is a multiple of the
 *              budget's alignment, if there is a free block that happens to have it.
 * Failure      NULL when no block is free, or the request is more than a block.
 * Threads      One at a time.
 * Cost         Constant time: a step for each factor of 64 in the number of blocks (three up to
 *              262,144). Init, freehold_check, freehold_walk and an alignment larger than the
 *              budget's are linear in the number of blocks.
 * Mistakes     Init cannot fail. Where what it was given cannot be used, every allocation is refused
 *              with FREEHOLD_INVALID, and freehold_check says why: no buffer or no words, slots of 0
 *              bytes, a buffer that is not aligned or smaller than a slot, words that are fewer than
 *              FREEHOLD_BITMAP_WORDS of the number of slots, or that lie in the buffer.
 *
 * Source: the Budget of MisraStdC, which has its bitmap in the buffer.
 */
#ifndef FREEHOLD_BUDGET_H
#define FREEHOLD_BUDGET_H

#include "freehold/allocator.h"
#include "freehold/bitmap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__BUDGET_WORDS 24 /* opaque; with room to grow */

struct freehold_budget {
    freehold_allocator base;
    uint64_t state[FREEHOLD__BUDGET_WORDS];
};

/*
 * Makes the structure a budget over a buffer; both the buffer and the words stay the caller's, and
 * must outlive it. There are as many blocks as fit. What the memory held does not matter.
 */
FREEHOLD_API void freehold_budget_init(freehold_budget *budget, void *buffer, size_t bytes,
    size_t slot_bytes, uint64_t *words, size_t word_count);

/* The same, with blocks, each of them, that are multiples of an alignment: it is rounded up to a
 * power of two, at least 16. The buffer must be one, too. */
FREEHOLD_API void freehold_budget_init_aligned(freehold_budget *budget, void *buffer, size_t bytes,
    size_t slot_bytes, uint64_t *words, size_t word_count, size_t alignment);

/* How many blocks it has, free or not. */
FREEHOLD_API size_t freehold_budget_slots(freehold_budget *budget);

/* Ends the budget and all its blocks; the memory is the caller's again. Any later use but an init
 * is fatal. NULL is no budget. */
FREEHOLD_API void freehold_budget_deinit(freehold_budget *budget);

#ifdef __cplusplus
}
#endif
#endif
