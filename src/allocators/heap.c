/* SPDX-License-Identifier: MIT */
/*
 * The typed heap: the engine of malloc with one lane, behind one lock.
 *
 * The lock stands for the lane's thread: whoever holds it may do what the thread of a lane may do,
 * and so every free is a local one. What belongs to the caller alone, a live block, is read without
 * it, and large blocks have a lock of their own. A misuse is found under the lock, and reported
 * when it is dropped.
 *
 * Lock order: the heap's lock here, then those of lane.h.
 */
#include "freehold/heap.h"

#include <string.h>

#include "allocators/front.h"
#include "allocators/lane.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'h', 'e', 'a', 'p', '1')

/* What freehold_heap has in its words. */
typedef struct state {
    freehold__lock lock;
    freehold__lane *lane;                        /* the lock; NULL until the first allocation */
    uint64_t failures, requested, reallocations; /* the lock */
    /* What the engine had counted at the last reset. */
    uint64_t frees_before, purged_before;
    freehold__heap heap;
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__HEAP_WORDS &&
                   _Alignof(state) <= _Alignof(uint64_t),
    "the state of a heap must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_heap *)(void *)self)->state;
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* Under the lock. *zeroed: whether the slot is known to read zero. */
static void *take_slot(state *s, unsigned index, bool *zeroed)
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
static void count(state *s, const void *block, size_t bytes)
{
    if (freehold__likely(block != NULL))
        s->requested += bytes;
    else
        s->failures++;
}

static void *allocate_slot(state *s, size_t bytes, unsigned index, bool *zeroed)
{
    freehold__lock_take(&s->lock);
    void *slot = take_slot(s, index, zeroed);
    count(s, slot, bytes);
    freehold__lock_drop(&s->lock);
    return slot;
}

static freehold__cold void *allocate_large(state *s, size_t bytes, size_t align, bool *zeroed)
{
    void *block = freehold__large_alloc(&s->heap.pages.large, bytes, align, zeroed);
    freehold__lock_take(&s->lock);
    if (block == NULL)
        block = freehold__heap_large(&s->heap, s->lane, bytes, align, zeroed);
    count(s, block, bytes);
    freehold__lock_drop(&s->lock);
    return block;
}

/* bytes > 0; align >= 16, a power of two. *zeroed: whether the block is known to read zero. */
static void *allocate(state *s, size_t bytes, size_t align, bool *zeroed)
{
    unsigned index = FREEHOLD__CLASSES;
    if (freehold__unlikely(align > FREEHOLD__MIN_ALIGN))
        index = freehold__class_of_aligned(bytes, align);
    else if (freehold__likely(bytes <= FREEHOLD__SLOT_MAX))
        index = freehold__class_of(bytes);
    return freehold__likely(index < FREEHOLD__CLASSES) ? allocate_slot(s, bytes, index, zeroed)
                                                       : allocate_large(s, bytes, align, zeroed);
}

/* A slot begins at a multiple of its size, so that no offset but a multiple of the alignment can be
 * had. */
static void *heap_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    bool known = false;
    if (freehold__unlikely(offset != 0)) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    void *block = allocate(s, bytes, alignment, &known);
    return !zeroed || known || block == NULL ? block : memset(block, 0, bytes);
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* Under the lock. Returns the size of the slot, or 0: misuse, and nothing was changed. */
static size_t put_slot(state *s, uintptr_t address)
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

static size_t free_slot(state *s, uintptr_t address)
{
    freehold__lock_take(&s->lock);
    size_t bytes = put_slot(s, address);
    freehold__lock_drop(&s->lock);
    return bytes;
}

static freehold__cold size_t free_large(state *s, void *block)
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

static size_t release(state *s, void *block, const char *function)
{
    size_t bytes = freehold__likely(freehold__page_map_has((uintptr_t)block))
                       ? free_slot(s, (uintptr_t)block)
                       : free_large(s, block);
    if (freehold__unlikely(bytes == 0))
        freehold__heap_misuse(&s->heap, function, block);
    return bytes;
}

/* A live block; anything else is fatal. */
static freehold__found find(state *s, const void *block, const char *function)
{
    freehold__found found = freehold__heap_find(&s->heap, block);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(&s->heap, function, block);
    return found;
}

static size_t heap_free(freehold_allocator *self, void *block)
{
    return release(state_of(self), block, "freehold_free");
}

/*
 * Whether the block may have been asked for with so many bytes: with any alignment that its class
 * has, because which one it was is not known.
 */
static bool fits(const freehold_allocator *self, freehold__found found, size_t bytes)
{
    bool fits = freehold__found_fits(found, 0, bytes);
    size_t most = found.slab != NULL ? found.bytes & -found.bytes : 0;
    for (size_t align = self->alignment; !fits && align <= most; align *= 2)
        fits = freehold__found_fits(found, align, bytes);
    return fits;
}

static size_t heap_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    const char *function = "freehold_free_sized";
    if (!fits(self, find(s, block, function), bytes))
        freehold__heap_mismatch(&s->heap, function, block, bytes, 0);
    return release(s, block, function);
}

/* ---- resizing -------------------------------------------------------------------------------- */

static void count_reallocation(state *s, const void *block, size_t bytes)
{
    freehold__lock_take(&s->lock);
    count(s, block, bytes);
    s->reallocations += block != NULL;
    freehold__lock_drop(&s->lock);
}

/* A new block of so many bytes would be no smaller either, or little so. */
static bool stays(const freehold_allocator *self, freehold__found found, size_t bytes)
{
    return freehold__stays(found.bytes, bytes) ||
           (found.slab != NULL && bytes <= found.bytes &&
               freehold__class_of_aligned(bytes, self->alignment) == found.slab->index);
}

static bool heap_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    freehold__found found = find(s, block, "freehold_resize");
    bool resized = stays(self, found, bytes) ||
                   (found.slab == NULL && bytes > FREEHOLD__SLOT_MAX &&
                       freehold__large_resize_in_place(&s->heap.pages.large, block, bytes));
    if (resized)
        count_reallocation(s, block, bytes);
    return resized;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    freehold__found found = find(s, block, function);
    void *moved = stays(self, found, bytes) ? block : NULL;
    /* what the system moves is aligned to a page */
    if (moved == NULL && self->alignment <= freehold__port_page_size())
        moved = freehold__heap_remap(&s->heap, found, block, bytes);
    if (moved != NULL) {
        count_reallocation(s, moved, bytes);
        return moved;
    }
    bool zeroed;
    moved = allocate(s, bytes, self->alignment, &zeroed);
    if (moved != NULL) {
        memcpy(moved, block, found.bytes < bytes ? found.bytes : bytes);
        release(s, block, function);
        count_reallocation(s, moved, 0);
    }
    return moved;
}

static void *heap_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

/* What freehold_resize can do, freehold_remap does as well, where the block is. */
static void *heap_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

/* ---- looking --------------------------------------------------------------------------------- */

static freehold__lane *owner_of(const freehold__slab *slab)
{
    uintptr_t word = atomic_load_explicit(&slab->owner, memory_order_acquire);
    return (freehold__lane *)(word & ~FREEHOLD__PENDING);
}

static bool is_live(const freehold__slab *slab, unsigned slot)
{
    return freehold__slab_slot_state(slab, slot) == FREEHOLD__SLOT_ALLOCATED;
}

static size_t heap_usable_size(freehold_allocator *self, const void *block)
{
    return find(state_of(self), block, "freehold_usable_size").bytes;
}

/* Under the lock: a pointer that is no live block may point into a slab that comes or goes. */
static uintptr_t slot_around(const state *s, uintptr_t address)
{
    const freehold__slab *slab = freehold__page_map_find(address);
    if (s->lane == NULL || owner_of(slab) != s->lane)
        return 0;
    freehold__place place = freehold__slab_place(slab, address);
    return place.slot < slab->slots && is_live(slab, (unsigned)place.slot)
               ? slab->base + (uintptr_t)place.slot * slab->size
               : 0;
}

static void *block_around(state *s, const void *pointer)
{
    if (!freehold__page_map_has((uintptr_t)pointer))
        return (void *)freehold__large_around(&s->heap.pages.large, pointer).base;
    freehold__lock_take(&s->lock);
    uintptr_t slot = slot_around(s, (uintptr_t)pointer);
    freehold__lock_drop(&s->lock);
    return (void *)slot;
}

static void *heap_base(freehold_allocator *self, const void *pointer)
{
    return block_around(state_of(self), pointer);
}

static freehold_statistics heap_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    freehold__heap_stats counted = freehold__heap_count(&s->heap);
    freehold_statistics result = {
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
    freehold__lock_drop(&s->lock);
    return result;
}

/* What is live stays an allocation; what was freed is none any more. */
static void heap_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    freehold__heap_stats counted = freehold__heap_count(&s->heap);
    s->frees_before = counted.frees;
    s->purged_before = counted.purged_bytes;
    s->requested = s->reallocations = s->failures = 0;
    freehold__heap_reset_peak(&s->heap);
    freehold__lock_drop(&s->lock);
}

static const char *heap_check(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    const char *wrong = freehold__heap_check(&s->heap);
    freehold__lock_drop(&s->lock);
    return wrong;
}

typedef struct walk {
    freehold_visitor visit;
    void *context;
    bool goes_on;
} walk;

static void walk_slab(void *context, uintptr_t base, void *descriptor)
{
    walk *w = context;
    const freehold__slab *slab = descriptor;
    for (unsigned slot = 0; owner_of(slab) != NULL && slot < slab->slots && w->goes_on; slot++)
        if (is_live(slab, slot))
            w->goes_on =
                w->visit(w->context, (void *)(base + (uintptr_t)slot * slab->size), slab->size);
}

static void walk_large(void *context, void *base, size_t bytes)
{
    walk *w = context;
    if (w->goes_on)
        w->goes_on = w->visit(w->context, base, bytes);
}

static bool heap_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    state *s = state_of(self);
    walk w = {visit, context, true};
    freehold__lock_take(&s->lock);
    freehold__pages_walk(&s->heap.pages, walk_slab, &w);
    freehold__large_walk(&s->heap.pages.large, walk_large, &w);
    freehold__lock_drop(&s->lock);
    return w.goes_on;
}

static uint64_t purged(const state *s)
{
    return s->heap.pages.purged_bytes + s->heap.pages.large.purged_bytes;
}

static size_t heap_trim(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    uint64_t before = purged(s);
    freehold__heap_trim(&s->heap, s->lane);
    size_t bytes = (size_t)(purged(s) - before);
    freehold__lock_drop(&s->lock);
    return bytes;
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "heap",
    .allocate = heap_allocate,
    .free = heap_free,
    .resize = heap_resize,
    .remap = heap_remap,
    .realloc = heap_realloc,
    .free_sized = heap_free_sized,
    .usable_size = heap_usable_size,
    .base = heap_base,
    .stats = heap_stats,
    .check = heap_check,
    .walk = heap_walk,
    .trim = heap_trim,
    .reset_stats = heap_reset_stats,
};

FREEHOLD__DEFINE(heap)

/* ---- beginning and end ----------------------------------------------------------------------- */

void freehold_heap_init_aligned(freehold_heap *heap, size_t alignment)
{
    memset(heap->state, 0, sizeof heap->state);
    freehold_allocator_init(&heap->base, &operations, alignment);
}

void freehold_heap_init(freehold_heap *heap)
{
    freehold_heap_init_aligned(heap, FREEHOLD_ALIGNMENT);
}

void freehold_heap_deinit(freehold_heap *heap)
{
    if (heap == NULL)
        return;
    if (!freehold__sealed(&heap->base, MAGIC))
        freehold__allocator_wrong(&heap->base, "freehold_heap_deinit", "heap");
    state *s = state_of(&heap->base);
    freehold_allocator_deinit(&heap->base);
    freehold__heap_release(&s->heap);
    memset(heap->state, 0, sizeof heap->state);
}
