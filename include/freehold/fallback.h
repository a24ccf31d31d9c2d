/* SPDX-License-Identifier: MIT */
/*
 * Two allocators as one: what the primary refuses, the secondary is asked for.
 *
 *     freehold_fallback both;
 *     freehold_fallback_init(&both, &budget.base, &heap.base);    a buffer on the stack, then a heap
 *
 * A block is freed, resized and looked at where it is: in the primary if that owns it
 * (freehold_owns), else in the secondary, which reports it if it is none there either. A block that
 * cannot grow where it is moves to the other one. So the primary must know its own blocks, which
 * every typed allocator does. (A policy's fallback, freehold_set_policy, does the same for requests
 * after retries; this one is an allocator of its own, and both may be shared with others.)
 *
 * State        By value. Statistics are the sums of both, with peaks that may not have been at the
 *              same time (and no peak of live bytes where one of them has none); failures are requests that both have refused.
 * Sizes, Alignments   The alignment of every block is the smaller one of the two.
 * Failure      NULL or false when both have refused.
 * Threads      As both allow.
 * Cost         The primary's freehold_owns for each call with a block, then the owner's.
 */
#ifndef FREEHOLD_FALLBACK_H
#define FREEHOLD_FALLBACK_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

struct freehold_fallback {
    freehold_allocator base;
    freehold_allocator *primary, *secondary;
    uint64_t failures, moves; /* atomic; moves from one to the other */
};

/* Cannot fail, and makes no system call. Both must be initialised, and outlive it. */
FREEHOLD_API void freehold_fallback_init(
    freehold_fallback *fallback, freehold_allocator *primary, freehold_allocator *secondary);

/* Ends it, and no block: those are of the two. Any later use but init is fatal. NULL is none. */
FREEHOLD_API void freehold_fallback_deinit(freehold_fallback *fallback);

#ifdef __cplusplus
}
#endif
#endif
