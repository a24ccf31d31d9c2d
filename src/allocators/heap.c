/* SPDX-License-Identifier: MIT */
/*
 * The typed heap: one lane behind one lock (allocators/single.h), with all size classes.
 */
#include "freehold/heap.h"

#include <string.h>

#include "allocators/single.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'h', 'e', 'a', 'p', '1')

typedef freehold__single state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__HEAP_WORDS &&
                   _Alignof(state) <= _Alignof(uint64_t),
    "the state of a heap must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_heap *)(void *)self)->state;
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* bytes > 0; align >= 16, a power of two. *zeroed: whether the block is known to read zero. */
static void *allocate(state *s, size_t bytes, size_t align, bool *zeroed)
{
    unsigned index = FREEHOLD__CLASSES;
    if (freehold__unlikely(align > FREEHOLD__MIN_ALIGN))
        index = freehold__class_of_aligned(bytes, align);
    else if (freehold__likely(bytes <= FREEHOLD__SLOT_MAX))
        index = freehold__class_of(bytes);
    return freehold__likely(index < FREEHOLD__CLASSES)
               ? freehold__single_allocate_slot(s, bytes, index, zeroed)
               : freehold__single_allocate_large(s, bytes, bytes, align, zeroed);
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

static size_t heap_free(freehold_allocator *self, void *block)
{
    return freehold__single_release(state_of(self), block, "freehold_free");
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
    if (!fits(self, freehold__single_find(s, block, function), bytes))
        freehold__heap_mismatch(&s->heap, function, block, bytes, 0);
    return freehold__single_release(s, block, function);
}

/* ---- resizing -------------------------------------------------------------------------------- */

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
    freehold__found found = freehold__single_find(s, block, "freehold_resize");
    bool resized = stays(self, found, bytes) ||
                   (found.slab == NULL && bytes > FREEHOLD__SLOT_MAX &&
                       freehold__large_resize_in_place(&s->heap.pages.large, block, bytes));
    if (resized)
        freehold__single_count_reallocation(s, block, bytes);
    return resized;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    freehold__found found = freehold__single_find(s, block, function);
    void *moved = stays(self, found, bytes) ? block : NULL;
    /* what the system moves is aligned to a page */
    if (moved == NULL && self->alignment <= freehold__port_page_size())
        moved = freehold__heap_remap(&s->heap, found, block, bytes);
    if (moved != NULL) {
        freehold__single_count_reallocation(s, moved, bytes);
        return moved;
    }
    bool zeroed;
    moved = allocate(s, bytes, self->alignment, &zeroed);
    if (moved != NULL) {
        memcpy(moved, block, found.bytes < bytes ? found.bytes : bytes);
        freehold__single_release(s, block, function);
        freehold__single_count_reallocation(s, moved, 0);
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

static size_t heap_usable_size(freehold_allocator *self, const void *block)
{
    return freehold__single_find(state_of(self), block, "freehold_usable_size").bytes;
}

static void *heap_base(freehold_allocator *self, const void *pointer)
{
    return freehold__single_block_around(state_of(self), pointer);
}

static freehold_statistics heap_stats(freehold_allocator *self)
{
    return freehold__single_stats(state_of(self));
}

static void heap_reset_stats(freehold_allocator *self)
{
    freehold__single_reset_stats(state_of(self));
}

static const char *heap_check(freehold_allocator *self)
{
    return freehold__single_check(state_of(self));
}

static bool heap_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    return freehold__single_walk(state_of(self), visit, context);
}

static size_t heap_trim(freehold_allocator *self)
{
    return freehold__single_trim(state_of(self));
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
