/* SPDX-License-Identifier: MIT */
/*
 * Blocks of one size, and all of them gone at once when it ends: as little memory for each as can
 * be, and what is freed serves the next request.
 *
 * The functions are those of freehold/allocator.h; freehold_slab_alloc and so on are their typed
 * forms.
 *
 * State        By value, with no memory until the first allocation. Then bitmaps out of line, never
 *              in a block: as the heap's (freehold/heap.h).
 * Sizes        Every block has the slot size, which is what may be used of it. A request for more
 *              gives NULL (FREEHOLD_UNSUPPORTED). No bytes are lost between slots, and at most an
 *              eighth behind the last one of each 8 to 256 KiB; slots over 64 KiB lie by themselves
 *              in whole units of 8 KiB, those over 512 KiB in whole pages.
 * Alignments   Every slot is a multiple of the alignment given at the beginning. A request for more,
 *              or with an offset, gives NULL (FREEHOLD_UNSUPPORTED).
 * Threads      Any, also for blocks of another thread; one lock guards it.
 * Failure      NULL or false, and nothing changed, when the system has no memory, or the request is
 *              more than a slot. Init cannot fail.
 * Cost         Alloc, free, freehold_owns and freehold_base O(1) up to slots of 512 KiB. What is free
 *              goes back to the system as the heap's does, single pages among used slots too.
 * fork         The child may use an allocator that no other thread was in a call on.
 */
#ifndef FREEHOLD_SLAB_H
#define FREEHOLD_SLAB_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__SLAB_STATE_WORDS 104 /* opaque; with room to grow */

struct freehold_slab {
    freehold_allocator base;
    uint64_t state[FREEHOLD__SLAB_STATE_WORDS];
};

/*
 * Makes the structure an allocator of blocks of slot_bytes, rounded up to a multiple of 16; at least
 * one byte. It cannot fail, makes no system call, and needs nothing of what was there. (Slots larger
 * than memory are refused when they are asked for.)
 */
FREEHOLD_API void freehold_slab_init(freehold_slab *slab, size_t slot_bytes);

/* The same, with slots that are multiples of an alignment, in place and in size: it is rounded up to
 * a power of two, at least 16. */
FREEHOLD_API void freehold_slab_init_aligned(
    freehold_slab *slab, size_t slot_bytes, size_t alignment);

/*
 * Ends the allocator and all its blocks, and gives all of its memory back. Any later use but
 * freehold_slab_init is fatal. NULL is none. Linear in the number of its mappings.
 */
FREEHOLD_API void freehold_slab_deinit(freehold_slab *slab);

/* The size of its slots, as rounded. */
FREEHOLD_API size_t freehold_slab_slot_size(freehold_slab *slab);

#ifdef __cplusplus
}
#endif
#endif
