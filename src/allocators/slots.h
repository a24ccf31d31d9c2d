/* SPDX-License-Identifier: MIT */
/*
 * What the allocators of one size share: the counts, resizing, the report of a wrong pointer, and the
 * walk.
 */
#ifndef FREEHOLD_ALLOCATORS_SLOTS_H
#define FREEHOLD_ALLOCATORS_SLOTS_H

#include "freehold/allocator.h"
#include "objects/slots.h"

/* What such an allocator counts. */
typedef struct freehold__slots_counts {
    uint64_t allocations, frees, reallocations, failures, requested;
} freehold__slots_counts;

/* The same as statistics, the rest of them 0. */
freehold_statistics freehold__slots_stats(const freehold__slots_counts *counts);

/* The counts begin anew, with so many blocks live. */
void freehold__slots_reset(freehold__slots_counts *counts, size_t live);

/*
 * Every block has all of its slot of `size` bytes, so that it fits where it is or nowhere: whether
 * so many bytes fit, which is counted; and the same as a remap of a live block, which may fail.
 */
bool freehold__slots_fit(freehold__slots_counts *counts, size_t size, size_t bytes);
void *freehold__slots_remap(freehold__slots_counts *counts, size_t size, void *block, size_t bytes);

/* Reports a pointer that is not the start of a live slot, but what freehold__slots_at has said. Does not return. */
freehold__cold void freehold__slots_misuse(const freehold__slots *slots, freehold__at at,
    size_t slot, const char *function, const void *pointer);

/* The same for a size that the slot does not hold. */
freehold__cold void freehold__slots_mismatch(const freehold__slots *slots, size_t slot,
    const char *function, const void *pointer, size_t bytes);

/* Visits every live slot; false: the visitor has ended it. */
bool freehold__slots_walk(const freehold__slots *slots, freehold_visitor visit, void *context);

#endif
