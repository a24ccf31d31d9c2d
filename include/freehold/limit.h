/* SPDX-License-Identifier: MIT */
/*
 * A budget over any allocator.
 *
 *     freehold_limit limit;
 *     freehold_limit_init(&limit, &heap.base, 64 << 20);          no more than 64 MiB live
 *     freehold_limit_set_soft(&limit, 48 << 20, warn, NULL);      and a call above 48 MiB
 *     void *p = freehold_alloc(&limit, 100);                      the heap's, and charged
 *
 * What is live is charged with its usable size. A request that would take the charge above the hard
 * limit is refused, with FREEHOLD_LIMIT as its reason, and the parent is not asked; it is charged
 * before the parent is asked, so that several threads together do not exceed it either. What a
 * parent rounds a request up by is known only afterwards: if that is too much, the block goes back
 * at once, and the request is refused. For that moment the parent has more live than the limit, by
 * the rounding of one request a thread, which nobody has touched. A block that was to grow where it
 * is keeps what the parent does not take back, and is charged with it, above the limit as well. A block
 * that moves is charged twice until its old place is free. A limit below what is live refuses all
 * growth, and changes nothing else. Limits nest: each has its own charge, its own counts, and the outer
 * one hands on the reason of the inner one.
 *
 * The soft limit calls back once when what is live has risen above it, at the end of that call and
 * without a lock, and again only after it has been at it or below.
 *
 * The parent must know the usable size of its blocks (else every request is refused, as
 * FREEHOLD_UNSUPPORTED). It may be used by others too: but a block that was allocated from it
 * directly must not be freed here; that is found when more is freed than was charged, and not
 * before.
 *
 * State        By value. Blocks, pages and what is known of them are the parent's; the counts of
 *              requests and of live bytes are the limit's own. A walk is of all the parent's
 *              blocks.
 * Sizes, Alignments   As the parent.
 * Failure      NULL or false at the hard limit (FREEHOLD_LIMIT), else as the parent.
 * Threads      As the parent: the limit itself is atomic.
 * Cost         The parent's, its freehold_usable_size, and a few atomic operations. Resizing asks
 *              the parent's freehold_base as well.
 */
#ifndef FREEHOLD_LIMIT_H
#define FREEHOLD_LIMIT_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD_UNLIMITED SIZE_MAX /* no limit, in bytes */

#define FREEHOLD__LIMIT_WORDS 16 /* opaque */

struct freehold_limit {
    freehold_allocator base;
    uint64_t state[FREEHOLD__LIMIT_WORDS];
};

/* What is live has risen above the soft limit. It may use the allocator. */
typedef void (*freehold_limit_callback)(void *context, freehold_limit *limit, size_t live_bytes);

/* No more than so many bytes live, or FREEHOLD_UNLIMITED. It cannot fail, and makes no system call.
 * The parent must be initialised, and outlive it. */
FREEHOLD_API void freehold_limit_init(
    freehold_limit *limit, freehold_allocator *parent, size_t hard_bytes);

/* Ends it, and no block: those are the parent's. Any later use but init is fatal. NULL is none. */
FREEHOLD_API void freehold_limit_deinit(freehold_limit *limit);

/* Changes the hard limit, at any time and from any thread. */
FREEHOLD_API void freehold_limit_set_hard(freehold_limit *limit, size_t bytes);

/* Sets or changes the soft limit likewise; FREEHOLD_UNLIMITED ends it. When more is live already,
 * there is no call before it has fallen. */
FREEHOLD_API void freehold_limit_set_soft(
    freehold_limit *limit, size_t bytes, freehold_limit_callback callback, void *context);

#ifdef __cplusplus
}
#endif
#endif
