/* SPDX-License-Identifier: MIT */
/*
 * What the typed allocators over the engine of malloc have in common, whether they have one lane
 * (single.h) or one for each CPU (cpu_heap.c): questions about a block, and the walk over a slab.
 */
#ifndef FREEHOLD_ALLOCATORS_BLOCKS_H
#define FREEHOLD_ALLOCATORS_BLOCKS_H

#include "allocators/visit.h"
#include "allocators/lane.h"

static inline freehold__lane *freehold__block_owner_of(const freehold__slab *slab)
{
    uintptr_t word = atomic_load_explicit(&slab->owner, memory_order_acquire);
    return (freehold__lane *)(word & ~FREEHOLD__PENDING);
}

static inline bool freehold__block_is_live(const freehold__slab *slab, unsigned slot)
{
    return freehold__slab_slot_state(slab, slot) == FREEHOLD__SLOT_ALLOCATED;
}

static inline void freehold__block_walk_slab(void *context, uintptr_t base, void *descriptor)
{
    freehold__visit *w = context;
    const freehold__slab *slab = descriptor;
    for (unsigned slot = 0;
         freehold__block_owner_of(slab) != NULL && slot < slab->slots && w->goes_on; slot++)
        if (freehold__block_is_live(slab, slot))
            freehold__walk_block(w, (void *)(base + (uintptr_t)slot * slab->size), slab->size);
}

#endif
