/* SPDX-License-Identifier: MIT */
/*
 * An index pool: hands out the numbers 0 to count - 1, the lowest free one first. For handles,
 * descriptors, slots of tables. It has no bytes, so it is no freehold_allocator, and has functions of
 * its own.
 *
 *     uint64_t words[FREEHOLD_BITMAP_WORDS(1000)];
 *     freehold_index_pool pool;
 *     freehold_index_pool_init(&pool, 1000, words, sizeof words / 8);
 *     size_t index;
 *     if (freehold_index_pool_take(&pool, &index))
 *         freehold_index_pool_put(&pool, index);
 *
 * State        A bit per index and 1/63 of that more, in words of the caller's or from an allocator.
 * Misuse       An index that is free already or that the pool has not is fatal, in every build, with
 *              an exact report, and so is a pool that is not initialised.
 * Failure      False when no index is free, or the words cannot be had. Init and put cannot fail.
 * Threads      One at a time.
 * Cost         Constant time: a step for each factor of 64 in `count` (four up to 16 million).
 *              Making the words ready, in init or at the first take, and check are linear in count.
 *
 * Source: the index pool of PatchworkOS, which is a lock-free list of links; the tree of bitmaps is
 * for lowest first, and for a free index to be known by its bit.
 */
#ifndef FREEHOLD_INDEX_POOL_H
#define FREEHOLD_INDEX_POOL_H

#include "freehold/allocator.h"
#include "freehold/bitmap.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__INDEX_POOL_WORDS 14 /* opaque; with room to grow */

typedef struct freehold_index_pool {
    uint64_t seal;
    uint64_t state[FREEHOLD__INDEX_POOL_WORDS];
} freehold_index_pool;

/*
 * Makes the structure a pool with all of its indices free, over FREEHOLD_BITMAP_WORDS(count) words
 * or more of the caller's, who keeps them while the pool lives. It cannot fail: with too few words,
 * or none, nothing can be taken, and freehold_index_pool_check says why.
 */
FREEHOLD_API void freehold_index_pool_init(
    freehold_index_pool *pool, size_t count, uint64_t *words, size_t word_count);

/* The same, with words that the first take gets from an allocator. */
FREEHOLD_API void freehold_index_pool_init_from(
    freehold_index_pool *pool, size_t count, freehold_allocator *backing);

/* The lowest free index. False: there is none, or no memory for the words. */
FREEHOLD_API bool freehold_index_pool_take(freehold_index_pool *pool, size_t *index);

/* This very index. False: it is taken, or there is no memory for the words, or the pool has no such
 * index. */
FREEHOLD_API bool freehold_index_pool_take_at(freehold_index_pool *pool, size_t index);

/* Gives an index back. */
FREEHOLD_API void freehold_index_pool_put(freehold_index_pool *pool, size_t index);

/* Whether an index, any number, is one that is taken now. */
FREEHOLD_API bool freehold_index_pool_is_taken(freehold_index_pool *pool, size_t index);

/* How many are taken now. */
FREEHOLD_API size_t freehold_index_pool_taken(freehold_index_pool *pool);

/* The full validator: NULL, or what is wrong. */
FREEHOLD_API const char *freehold_index_pool_check(freehold_index_pool *pool);

/* Ends the pool, and gives its words back to where they came from. Any later use but an init is
 * fatal. NULL is no pool. */
FREEHOLD_API void freehold_index_pool_deinit(freehold_index_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
