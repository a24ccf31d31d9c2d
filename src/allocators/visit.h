/* SPDX-License-Identifier: MIT */
/*
 * A walk that its visitor may end, over an engine that does not know that: what is behind the end is
 * passed over.
 */
#ifndef FREEHOLD_ALLOCATORS_VISIT_H
#define FREEHOLD_ALLOCATORS_VISIT_H

#include "freehold/allocator.h"

typedef struct freehold__visit {
    freehold_visitor visit;
    void *context;
    bool goes_on; /* true at first */
} freehold__visit;

/* For an engine that is given a function for each block: `context` is the freehold__visit. */
static inline void freehold__walk_block(void *context, void *block, size_t bytes)
{
    freehold__visit *v = context;
    if (v->goes_on)
        v->goes_on = v->visit(v->context, block, bytes);
}

#endif
