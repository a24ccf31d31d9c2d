/* SPDX-License-Identifier: MIT */
/*
 * The engine of malloc with one lane, behind one lock: what the heap and the slab are.
 *
 * The lock stands for the lane's thread: whoever holds it may do what the thread of a lane may do,
 * and so every free is a local one. What belongs to the caller alone, a live block, is read without
 * it, and large blocks have a lock of their own. A misuse is found under the lock, and reported
 * when it is dropped.
 *
 * Lock order: the allocator's lock here, then those of lane.h.
 */
#ifndef FREEHOLD_ALLOCATORS_SINGLE_H
#define FREEHOLD_ALLOCATORS_SINGLE_H

#include "allocators/blocks.h"
#include "allocators/front.h"

/* What such an allocator has in its words. */
typedef struct freehold__single {
    freehold__lock lock;
    freehold__lane *lane;                        /* the lock; NULL until the first allocation */
    uint64_t failures, requested, reallocations; /* the lock */
    /* What the engine had counted at the last reset. */
    uint64_t frees_before, purged_before;
    freehold__heap heap;
} freehold__single;

/* ---- allocating ------------------------------------------------------------------------------ */

/* Under the lock. *zeroed: whether the slot is known to read zero. */
static inline void *freehold__single_take_slot(freehold__single *s, unsigned index, bool *zeroed)
{
    if (freehold__unlikely(s->lane == NULL) && (s->lane = freehold__lane_acquire(&s->heap)) == NULL)
        return NULL;
    freehold__bin *bin = &s->lane->bin[index];
    void *slot = freehold__bin_pop(bin);
    if (freehold__unlikely(slot == NULL))
        slot = freehold__lane_refill(s->lane, index);
    *zeroed = freehold__bin_known_zero(bin, slot);
    return slot;
}

/* Under the lock: a request was granted, or not. */
static inline void freehold__single_count(freehold__single *s, const void *block, size_t bytes)
{
    if (freehold__likely(block != NULL))
        s->requested += bytes;
    else
        s->failures++;
}

static inline void *freehold__single_allocate_slot(
    freehold__single *s, size_t bytes, unsigned index, bool *zeroed)
{
    freehold__lock_take(&s->lock);
    void *slot = freehold__single_take_slot(s, index, zeroed);
    freehold__single_count(s, slot, bytes);
    freehold__lock_drop(&s->lock);
    return slot;
}

/* For a request of so many bytes, a block of size. */
static freehold__cold void *freehold__single_allocate_large(
    freehold__single *s, size_t bytes, size_t size, size_t align, bool *zeroed)
{
    void *block = freehold__large_alloc(&s->heap.pages.large, size, align, zeroed);
    freehold__lock_take(&s->lock);
    if (block == NULL)
        block = freehold__heap_large(&s->heap, s->lane, size, align, zeroed);
    freehold__single_count(s, block, bytes);
    freehold__lock_drop(&s->lock);
    return block;
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* Under the lock. Returns the size of the slot, or 0: misuse, and nothing was changed. */
static inline size_t freehold__single_put_slot(freehold__single *s, uintptr_t address)
{
    freehold__slab *slab = freehold__page_map_find(address);
    if (freehold__unlikely(s->lane == NULL || freehold__slab_owner(slab) != (uintptr_t)s->lane))
        return 0;
    size_t bytes = slab->size; /* before the event, which may give the slab back */
    freehold__put put = freehold__slab_put(slab, address);
    if (freehold__unlikely(put == FREEHOLD__PUT_EVENT))
        freehold__lane_event(s->lane, slab);
    return freehold__likely(put != FREEHOLD__PUT_MISUSE) ? bytes : 0;
}

static inline size_t freehold__single_free_slot(freehold__single *s, uintptr_t address)
{
    freehold__lock_take(&s->lock);
    size_t bytes = freehold__single_put_slot(s, address);
    freehold__lock_drop(&s->lock);
    return bytes;
}

static freehold__cold size_t freehold__single_free_large(freehold__single *s, void *block)
{
    uint32_t now = freehold__port_milliseconds();
    size_t bytes = freehold__large_free(&s->heap.pages.large, block, now);
    if (bytes != 0) { /* a slow path, like those of a lane: a time to look at what is old */
        freehold__lock_take(&s->lock);
        freehold__heap_tend_at(&s->heap, s->lane, now);
        freehold__lock_drop(&s->lock);
    }
    return bytes;
}

/* Frees a block; its size, or 0: misuse, and nothing was changed. */
static inline size_t freehold__single_free(freehold__single *s, void *block)
{
    return freehold__likely(freehold__page_map_has((uintptr_t)block))
               ? freehold__single_free_slot(s, (uintptr_t)block)
               : freehold__single_free_large(s, block);
}

static inline size_t freehold__single_release(
    freehold__single *s, void *block, const char *function)
{
    size_t bytes = freehold__single_free(s, block);
    if (freehold__unlikely(bytes == 0))
        freehold__heap_misuse(&s->heap, function, block);
    return bytes;
}

/* A live block; anything else is fatal. */
static inline freehold__found freehold__single_find(
    freehold__single *s, const void *block, const char *function)
{
    freehold__found found = freehold__heap_find(&s->heap, block);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(&s->heap, function, block);
    return found;
}

static inline void freehold__single_count_reallocation(
    freehold__single *s, const void *block, size_t bytes)
{
    freehold__lock_take(&s->lock);
    freehold__single_count(s, block, bytes);
    s->reallocations += block != NULL;
    freehold__lock_drop(&s->lock);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* Under the lock: a pointer that is no live block may point into a slab that comes or goes. */
static inline uintptr_t freehold__single_slot_around(const freehold__single *s, uintptr_t address)
{
    const freehold__slab *slab = freehold__page_map_find(address);
    if (s->lane == NULL || freehold__block_owner_of(slab) != s->lane)
        return 0;
    freehold__place place = freehold__slab_place(slab, address);
    return place.slot < slab->slots && freehold__block_is_live(slab, (unsigned)place.slot)
               ? slab->base + (uintptr_t)place.slot * slab->size
               : 0;
}

static inline void *freehold__single_block_around(freehold__single *s, const void *pointer)
{
    if (!freehold__page_map_has((uintptr_t)pointer))
        return (void *)freehold__large_around(&s->heap.pages.large, pointer).base;
    freehold__lock_take(&s->lock);
    uintptr_t slot = freehold__single_slot_around(s, (uintptr_t)pointer);
    freehold__lock_drop(&s->lock);
    return (void *)slot;
}

/* Under the lock. */
static inline freehold_statistics freehold__single_stats_held(freehold__single *s)
{
    freehold__heap_stats counted = freehold__heap_count(&s->heap);
    return (freehold_statistics){
        .requested_bytes = s->requested,
        .allocations = counted.allocations - s->frees_before,
        .frees = counted.frees - s->frees_before,
        .reallocations = s->reallocations,
        .failures = s->failures,
        .live_bytes = counted.live_bytes,
        .used_bytes = counted.used_bytes,
        .peak_bytes = counted.peak_bytes,
        .mapped_bytes = counted.mapped_bytes,
        .retained_bytes = counted.retained_bytes,
        .purged_bytes = counted.purged_bytes - s->purged_before,
    };
}

static inline freehold_statistics freehold__single_stats(freehold__single *s)
{
    freehold__lock_take(&s->lock);
    freehold_statistics result = freehold__single_stats_held(s);
    freehold__lock_drop(&s->lock);
    return result;
}

/* What is live stays an allocation; what was freed is none any more. */
static inline void freehold__single_reset_stats(freehold__single *s)
{
    freehold__lock_take(&s->lock);
    freehold__heap_stats counted = freehold__heap_count(&s->heap);
    s->frees_before = counted.frees;
    s->purged_before = counted.purged_bytes;
    s->requested = s->reallocations = s->failures = 0;
    freehold__heap_reset_peak(&s->heap);
    freehold__lock_drop(&s->lock);
}

static inline const char *freehold__single_check(freehold__single *s)
{
    freehold__lock_take(&s->lock);
    const char *wrong = freehold__heap_check(&s->heap);
    freehold__lock_drop(&s->lock);
    return wrong;
}

static inline bool freehold__single_walk(freehold__single *s, freehold_visitor visit, void *context)
{
    freehold__visit w = {visit, context, true};
    freehold__lock_take(&s->lock);
    freehold__pages_walk(&s->heap.pages, freehold__block_walk_slab, &w);
    freehold__large_walk(&s->heap.pages.large, freehold__walk_block, &w);
    freehold__lock_drop(&s->lock);
    return w.goes_on;
}

static inline uint64_t freehold__single_purged(const freehold__single *s)
{
    return s->heap.pages.purged_bytes + s->heap.pages.large.purged_bytes;
}

static inline size_t freehold__single_trim(freehold__single *s)
{
    freehold__lock_take(&s->lock);
    uint64_t before = freehold__single_purged(s);
    freehold__heap_trim(&s->heap, s->lane);
    size_t bytes = (size_t)(freehold__single_purged(s) - before);
    freehold__lock_drop(&s->lock);
    return bytes;
}

#endif
