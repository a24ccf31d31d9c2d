/* SPDX-License-Identifier: MIT */
/*
 * What the allocators of one size share: the report of a wrong pointer, and the walk.
 */
#ifndef FREEHOLD_ALLOCATORS_SLOTS_H
#define FREEHOLD_ALLOCATORS_SLOTS_H

#include "freehold/allocator.h"
#include "objects/slots.h"

/* Reports a pointer that is not the start of a live slot; `slots` is NULL when it is not in their
 * memory at all. Does not return. */
freehold__cold void freehold__slots_misuse(
    const freehold__slots *slots, const char *function, const void *pointer);

/* The same for a size that no slot holds. */
freehold__cold void freehold__slots_mismatch(
    const freehold__slots *slots, const char *function, const void *pointer, size_t bytes);

/* Visits every live slot; false: the visitor has ended it. */
bool freehold__slots_walk(const freehold__slots *slots, freehold_visitor visit, void *context);

#endif
