/* SPDX-License-Identifier: MIT */
/*
 * What the entry points (malloc.c, new.c) do to blocks: two sets of the same functions. BLOCK(free) is
 * that of the process heap, freehold__block_free, below; in the files that are compiled with
 * FREEHOLD_CHECK, for libfreehold-check.so, it is freehold__check_free (src/check), which keeps a
 * record of each block.
 */
#ifndef FREEHOLD_MALLOC_BLOCKS_H
#define FREEHOLD_MALLOC_BLOCKS_H

#include <string.h>

#include "malloc/process.h"

#ifndef FREEHOLD_CHECK
#define FREEHOLD_CHECK 0
#endif
#if FREEHOLD_CHECK
#define BLOCK(name) freehold__check_##name
#else
#define BLOCK(name) freehold__block_##name
#endif

/* Static, and inlined where the compiler finds that good: not every file calls them all. */
#define FREEHOLD__BLOCK __attribute__((unused)) static

void *freehold__check_allocate(size_t bytes);
void *freehold__check_allocate_zeroed(size_t count, size_t size);
void *freehold__check_allocate_aligned(size_t align, size_t bytes);
void freehold__check_free(void *pointer, const char *function);
void freehold__check_free_sized(void *pointer, size_t bytes, const char *function);
void freehold__check_free_aligned_sized(
    void *pointer, size_t align, size_t bytes, const char *function);
void *freehold__check_resize(void *pointer, size_t bytes, const char *function);
size_t freehold__check_size(const void *pointer, const char *function);

/* ---- allocate, free ---------------------------------------------------------------------------- */

__attribute__((always_inline)) static inline void *freehold__block_allocate(size_t bytes)
{
    return freehold__allocate(bytes);
}

__attribute__((always_inline)) static inline void freehold__block_free(
    void *pointer, const char *function)
{
    freehold__free(pointer, function);
}

FREEHOLD__BLOCK void freehold__block_free_sized(void *pointer, size_t bytes, const char *function)
{
    freehold__free_sized(pointer, bytes, function);
}

FREEHOLD__BLOCK void freehold__block_free_aligned_sized(
    void *pointer, size_t align, size_t bytes, const char *function)
{
    freehold__free_sized_slow(pointer, align, bytes, function);
}

FREEHOLD__BLOCK void *freehold__block_allocate_aligned(size_t align, size_t bytes)
{
    return align <= FREEHOLD__MIN_ALIGN ? freehold__allocate(bytes)
                                        : freehold__allocate_aligned(bytes, align);
}

FREEHOLD__BLOCK void *block_allocate_large_zeroed(size_t bytes)
{
    bool zeroed = false;
    void *block = freehold__allocate_large(bytes, &zeroed);
    return block == NULL || zeroed ? block : memset(block, 0, bytes);
}

FREEHOLD__BLOCK void *freehold__block_allocate_zeroed(size_t count, size_t size)
{
    size_t bytes;
    if (freehold__unlikely(!freehold__multiply_checked(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    if (freehold__unlikely(bytes > FREEHOLD__SLOT_MAX))
        return block_allocate_large_zeroed(bytes);
    void *pointer = freehold__allocate(bytes);
    if (freehold__likely(pointer != NULL) &&
        !freehold__bin_known_zero(freehold__lane_bin(freehold__thread_lane, bytes), pointer))
        memset(pointer, 0, bytes);
    return pointer;
}

/* ---- realloc ----------------------------------------------------------------------------------- */

/* What grows by little will do so again: it passes every other one of the fine classes. */
FREEHOLD__BLOCK size_t block_with_room(size_t have, size_t bytes)
{
    bool little = bytes > have && bytes - have <= have / 8 && bytes > FREEHOLD__DIRECT_MAX;
    return little && bytes < have + have / 4 ? have + have / 4 : bytes;
}

FREEHOLD__BLOCK void *block_allocate_resized(size_t have, size_t bytes)
{
    if (freehold__unlikely(freehold__grows_large(have, bytes)))
        return freehold__allocate_growing(bytes);
    size_t roomy = block_with_room(have, bytes);
    if (freehold__unlikely(bytes < have || roomy != bytes) && freehold__limited())
        return bytes < have && bytes <= FREEHOLD__SLOT_MAX ? freehold__allocate_shrinking(bytes)
                                                           : freehold__allocate(bytes);
    void *block = freehold__allocate(roomy);
    return freehold__likely(block != NULL) || roomy == bytes ? block : freehold__allocate(bytes);
}

FREEHOLD__BLOCK void *block_move(void *pointer, size_t have, size_t bytes, const char *function)
{
    void *moved = block_allocate_resized(have, bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, pointer, have < bytes ? have : bytes);
    freehold__free(pointer, function);
    return moved;
}

/* The size of a large block that this thread has looked up last, if that is the one; else 0. */
FREEHOLD__BLOCK size_t block_remembered(const void *pointer)
{
    return freehold__large_remembered(
        &freehold__process_heap.pages.large, &freehold__thread_lane->large_memo, pointer);
}

/* As freehold__heap_find, and the next look at a large block needs no lock. */
FREEHOLD__BLOCK freehold__found block_find(const void *pointer)
{
    uint64_t before = freehold__process_heap.pages.large.changes;
    freehold__found found = freehold__heap_find(&freehold__process_heap, pointer);
    freehold__lane *lane = freehold__thread_lane;
    if (found.slab == NULL && found.bytes != 0 && lane->heap != NULL)
        lane->large_memo = (freehold__large_memo){pointer, found.bytes, before};
    return found;
}

/* In the way of a large block that grows there may be what is free, in other shapes, and is charged. */
FREEHOLD__BLOCK freehold__cold void *block_remap_limited(
    freehold__found found, void *pointer, size_t bytes, void *resized)
{
    bool grows = found.slab == NULL && bytes > found.bytes;
    if (resized == NULL && grows &&
        freehold__heap_make_room(&freehold__process_heap, freehold__thread_lane))
        resized = freehold__heap_remap(&freehold__process_heap, found, pointer, bytes);
    freehold__limit_tell();
    return resized;
}

/* The size of a live block that must move, or 0: it has been resized where it is (*resized). */
FREEHOLD__BLOCK size_t block_resize_in_place(
    void *pointer, size_t bytes, const char *function, void **resized)
{
    size_t own = freehold__own_size(pointer);
    if (freehold__likely(own != 0)) {
        *resized = pointer;
        return freehold__stays(own, bytes) ? 0 : own;
    }
    if (freehold__stays(block_remembered(pointer), bytes)) {
        *resized = pointer;
        return 0;
    }
    freehold__found found = block_find(pointer);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(&freehold__process_heap, function, pointer);
    *resized = freehold__heap_remap(&freehold__process_heap, found, pointer, bytes);
    if (freehold__unlikely(freehold__limited()))
        *resized = block_remap_limited(found, pointer, bytes, *resized);
    return *resized != NULL ? 0 : found.bytes;
}

FREEHOLD__BLOCK void *freehold__block_resize(void *pointer, size_t bytes, const char *function)
{
    if (pointer == NULL)
        return freehold__allocate(bytes);
    if (bytes == 0) {
        freehold__free(pointer, function);
        return NULL;
    }
    void *resized;
    size_t have = block_resize_in_place(pointer, bytes, function, &resized);
    if (have == 0)
        return resized;
    void *moved = block_move(pointer, have, bytes, function);
    return moved == NULL && bytes <= have ? pointer : moved; /* shrinking does not fail */
}

/* The size of a live block; anything else is reported. */
FREEHOLD__BLOCK size_t freehold__block_size(const void *pointer, const char *function)
{
    size_t own = freehold__own_size(pointer);
    if (freehold__likely(own != 0))
        return own;
    freehold__found found = freehold__heap_find(&freehold__process_heap, pointer);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(&freehold__process_heap, function, pointer);
    return found.bytes;
}

#endif
