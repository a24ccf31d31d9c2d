/* SPDX-License-Identifier: MIT */
/*
 * The typed heap: one lane behind one lock (allocators/single.h), with all size classes. Blocks with
 * an offset begin within their memory, and have records for that (allocators/shifted.h).
 */
#include "freehold/heap.h"

#include <string.h>

#include "allocators/shifted.h"
#include "allocators/single.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'h', 'e', 'a', 'p', '1')

/* What freehold_heap has in its words. */
typedef struct state {
    freehold__single single;
    freehold__shifted shifted; /* the single's lock */
    bool few;                  /* constant: whether it has a choice of classes, which is this set */
    uint64_t class[(FREEHOLD__CLASSES + 63) / 64];
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__HEAP_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a heap must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_heap *)(void *)self)->state;
}

static freehold__single *single_of(freehold_allocator *self)
{
    return &state_of(self)->single;
}

/* ---- size classes ---------------------------------------------------------------------------- */

static bool has_class(const state *s, unsigned index)
{
    return (s->class[index / 64] >> (index % 64) & 1) != 0;
}

/* From a class on, the first of the heap's choice whose slots are multiples of an alignment. */
static freehold__cold unsigned chosen_class(const state *s, unsigned index, size_t align)
{
    while (index < FREEHOLD__CLASSES &&
           (!has_class(s, index) || freehold__size_classes[index].size % align != 0))
        index++;
    return index;
}

/* The class of a request; FREEHOLD__CLASSES: it is a large block. align >= 16, a power of two. */
static unsigned class_for(const state *s, size_t bytes, size_t align)
{
    unsigned index = FREEHOLD__CLASSES;
    if (freehold__unlikely(align > FREEHOLD__MIN_ALIGN))
        index = freehold__class_of_aligned(bytes, align);
    else if (freehold__likely(bytes <= FREEHOLD__SLOT_MAX))
        index = freehold__class_of(bytes);
    return freehold__likely(!s->few) ? index : chosen_class(s, index, align);
}

/* ---- blocks with an offset (shifted.h) ------------------------------------------------------- */

/* Whether the memory that begins there is free, and the heap's. */
static bool rests(const void *owner, uintptr_t start)
{
    freehold__heap *heap = (freehold__heap *)&((const state *)owner)->single.heap;
    if (!freehold__page_map_has(start))
        return freehold__large_kept_at(&heap->pages.large, (void *)start).base == start;
    const freehold__slab *slab = freehold__page_map_find(start);
    const freehold__lane *lane = freehold__block_owner_of(slab);
    freehold__place place = freehold__slab_place(slab, start);
    return lane != NULL && lane->heap == heap && !place.inside && place.slot < slab->slots &&
           !freehold__block_is_live(slab, (unsigned)place.slot);
}

static size_t bytes_at(const void *owner, uintptr_t start)
{
    freehold__heap *heap = (freehold__heap *)&((const state *)owner)->single.heap;
    return freehold__heap_find(heap, (void *)start).bytes;
}

static freehold__shifted_record record_at(state *s, const void *address)
{
    freehold__lock_take(&s->single.lock);
    freehold__shifted_record record = freehold__shifted_at(&s->shifted, (uintptr_t)address);
    freehold__lock_drop(&s->single.lock);
    return record;
}

/* Where the memory of a block begins; 0: memory begins there, but no block. */
static uintptr_t start_of(state *s, const void *block)
{
    if (freehold__likely(!freehold__shifted_any(&s->shifted)))
        return (uintptr_t)block;
    freehold__shifted_record record = record_at(s, block);
    if (record.kind == FREEHOLD__SHIFTED_START)
        return 0;
    return record.kind == FREEHOLD__SHIFTED_BLOCK ? record.other : (uintptr_t)block;
}

static freehold__cold void misuse(state *s, const char *function, const void *pointer)
{
    freehold__heap *heap = &s->single.heap;
    freehold__shifted_wrong wrong = {.bytes = 0};
    if (!freehold__large_interrupted(&heap->pages.large)) {
        uintptr_t around = (uintptr_t)freehold__single_block_around(&s->single, pointer);
        freehold__lock_take(&s->single.lock);
        wrong = freehold__shifted_explain(
            &s->shifted, pointer, around, around != 0 ? bytes_at(s, around) : 0);
        freehold__lock_drop(&s->single.lock);
    }
    if (wrong.record.kind != FREEHOLD__SHIFTED_NONE)
        freehold__shifted_misuse(wrong, function, pointer);
    else
        freehold__heap_misuse(heap, function, pointer);
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* For a request of so many bytes, memory of `whole` > 0; align >= 16, a power of two. *zeroed:
 * whether it is known to read zero. */
static void *allocate(state *s, size_t bytes, size_t whole, size_t align, bool *zeroed)
{
    unsigned index = class_for(s, whole, align);
    return freehold__likely(index < FREEHOLD__CLASSES)
               ? freehold__single_allocate_slot(&s->single, bytes, index, zeroed)
               : freehold__single_allocate_large(&s->single, bytes, whole, align, zeroed);
}

/* A block that begins `shift` behind a multiple of the alignment. */
static freehold__cold void *allocate_shifted(
    state *s, size_t bytes, size_t align, size_t shift, bool *zeroed)
{
    size_t whole;
    char *start = NULL;
    freehold__lock_take(&s->single.lock);
    bool room =
        !__builtin_add_overflow(bytes, shift, &whole) && freehold__shifted_reserve(&s->shifted);
    if (!room)
        freehold__single_count(&s->single, NULL, bytes);
    freehold__lock_drop(&s->single.lock);
    if (!room)
        return NULL;
    start = allocate(s, bytes, whole, align, zeroed);
    freehold__lock_take(&s->single.lock);
    freehold__shifted_add(&s->shifted, (uintptr_t)start, shift);
    freehold__lock_drop(&s->single.lock);
    return start != NULL ? start + shift : NULL;
}

static void *heap_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    bool known = false;
    void *block = freehold__likely(offset == 0)
                      ? allocate(s, bytes, bytes, alignment, &known)
                      : allocate_shifted(s, bytes, alignment, alignment - offset, &known);
    return !zeroed || known || block == NULL ? block : memset(block, 0, bytes);
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* Ends the records of a block that has any; returns where its memory begins, as start_of. */
static freehold__cold uintptr_t end_shifted(state *s, const void *block)
{
    freehold__lock_take(&s->single.lock);
    freehold__shifted_record record = freehold__shifted_at(&s->shifted, (uintptr_t)block);
    uintptr_t start = (uintptr_t)block;
    if (record.kind == FREEHOLD__SHIFTED_START)
        start = 0;
    if (record.kind == FREEHOLD__SHIFTED_BLOCK) {
        start = record.other;
        freehold__shifted_end(
            &s->shifted, (uintptr_t)block, bytes_at(s, start) - ((uintptr_t)block - start));
    }
    freehold__lock_drop(&s->single.lock);
    return start;
}

static size_t release(state *s, void *block, const char *function)
{
    uintptr_t start = (uintptr_t)block;
    if (freehold__unlikely(freehold__shifted_any(&s->shifted)))
        start = end_shifted(s, block);
    size_t bytes =
        freehold__likely(start != 0) ? freehold__single_free(&s->single, (void *)start) : 0;
    if (freehold__unlikely(bytes == 0))
        misuse(s, function, block);
    return bytes - ((uintptr_t)block - start);
}

static size_t heap_free(freehold_allocator *self, void *block)
{
    return release(state_of(self), block, "freehold_free");
}

/* A live block, with its memory. */
typedef struct live {
    freehold__found found; /* the memory */
    void *start;           /* of the memory */
    size_t shift;          /* of the block in it */
} live;

static live find(state *s, const void *block, const char *function)
{
    uintptr_t start = start_of(s, block);
    live l = {.start = (void *)start, .shift = (uintptr_t)block - start};
    if (freehold__likely(start != 0))
        l.found = freehold__heap_find(&s->single.heap, l.start);
    if (freehold__unlikely(l.found.bytes == 0))
        misuse(s, function, block);
    return l;
}

/*
 * Whether memory may have been asked for with so many bytes: with any alignment that its class has,
 * because which one it was is not known.
 */
static bool fits(
    const freehold_allocator *self, const state *s, freehold__found found, size_t bytes)
{
    if (found.slab == NULL || bytes > found.bytes || bytes >= found.bytes / 2)
        return freehold__found_fits(found, 0, bytes);
    size_t least = bytes == 0 ? 1 : bytes;
    bool fits = false;
    for (size_t align = self->alignment; !fits && align <= (found.bytes & -found.bytes); align *= 2)
        fits = class_for(s, least, align) == found.slab->index;
    return fits;
}

static size_t heap_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    const char *function = "freehold_free_sized";
    live l = find(s, block, function);
    size_t whole;
    bool possible =
        !__builtin_add_overflow(bytes, l.shift, &whole) && fits(self, s, l.found, whole);
    if (freehold__unlikely(!possible) && (l.shift != 0 || s->few))
        freehold__shifted_mismatch(function, block, bytes, l.found.bytes - l.shift);
    else if (freehold__unlikely(!possible))
        freehold__heap_mismatch(&s->single.heap, function, block, bytes, 0);
    return release(s, block, function);
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* New memory of so many bytes would be no smaller either, or little so. */
static bool stays(freehold_allocator *self, freehold__found found, size_t bytes)
{
    return freehold__stays(found.bytes, bytes) ||
           (found.slab != NULL && bytes <= found.bytes &&
               class_for(state_of(self), bytes, self->alignment) == found.slab->index);
}

static bool resize_in_place(freehold_allocator *self, live l, size_t bytes)
{
    freehold__large *large = &single_of(self)->heap.pages.large;
    size_t whole;
    if (__builtin_add_overflow(bytes, l.shift, &whole))
        return false;
    return stays(self, l.found, whole) ||
           (l.found.slab == NULL &&
               class_for(state_of(self), whole, self->alignment) == FREEHOLD__CLASSES &&
               freehold__large_resize_in_place(large, l.start, whole));
}

static bool heap_resize(freehold_allocator *self, void *block, size_t bytes)
{
    bool resized = resize_in_place(self, find(state_of(self), block, "freehold_resize"), bytes);
    if (resized)
        freehold__single_count_reallocation(single_of(self), block, bytes);
    return resized;
}

/* Without a copy; NULL: it is as it was. What the system moves is aligned to a page. */
static void *move(freehold_allocator *self, live l, void *block, size_t bytes)
{
    if (l.shift == 0 && stays(self, l.found, bytes))
        return block;
    if (l.shift == 0 && self->alignment <= freehold__port_page_size())
        return freehold__heap_remap(&single_of(self)->heap, l.found, block, bytes);
    return l.shift != 0 && resize_in_place(self, l, bytes) ? block : NULL;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    freehold__single *s = single_of(self);
    live l = find(state_of(self), block, function);
    void *moved = move(self, l, block, bytes);
    if (moved != NULL) {
        freehold__single_count_reallocation(s, moved, bytes);
        return moved;
    }
    bool zeroed;
    size_t have = l.found.bytes - l.shift;
    moved = allocate(state_of(self), bytes, bytes, self->alignment, &zeroed);
    if (moved != NULL) {
        memcpy(moved, block, have < bytes ? have : bytes);
        release(state_of(self), block, function);
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
    live l = find(state_of(self), block, "freehold_usable_size");
    return l.found.bytes - l.shift;
}

static void *heap_base(freehold_allocator *self, const void *pointer)
{
    state *s = state_of(self);
    uintptr_t start = (uintptr_t)freehold__single_block_around(&s->single, pointer);
    if (freehold__likely(!freehold__shifted_any(&s->shifted)) || start == 0)
        return (void *)start;
    freehold__shifted_record record = record_at(s, (void *)start);
    uintptr_t block = record.kind == FREEHOLD__SHIFTED_START ? record.other : start;
    return block <= (uintptr_t)pointer ? (void *)block : NULL;
}

static freehold_statistics heap_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->single.lock);
    freehold_statistics result = freehold__single_stats_held(&s->single);
    result.live_bytes -= s->shifted.bytes; /* of memory that was live all the while */
    freehold__lock_drop(&s->single.lock);
    return result;
}

static void heap_reset_stats(freehold_allocator *self)
{
    freehold__single_reset_stats(single_of(self));
}

static const char *heap_check(freehold_allocator *self)
{
    state *s = state_of(self);
    const char *wrong = freehold__single_check(&s->single);
    if (wrong != NULL)
        return wrong;
    freehold__lock_take(&s->single.lock);
    wrong = freehold__shifted_check(&s->shifted, bytes_at);
    freehold__lock_drop(&s->single.lock);
    return wrong;
}

typedef struct walk {
    const freehold__shifted *shifted;
    freehold_visitor visit;
    void *context;
} walk;

/* Under the lock. */
static bool walk_block(void *context, void *start, size_t bytes)
{
    const walk *w = context;
    freehold__shifted_record record = freehold__shifted_at(w->shifted, (uintptr_t)start);
    size_t shift = record.kind == FREEHOLD__SHIFTED_START ? record.other - (uintptr_t)start : 0;
    return w->visit(w->context, (char *)start + shift, bytes - shift);
}

static bool heap_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    walk w = {&state_of(self)->shifted, visit, context};
    return freehold__single_walk(single_of(self), walk_block, &w);
}

static size_t heap_trim(freehold_allocator *self)
{
    return freehold__single_trim(single_of(self));
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
    freehold__allocator_begin(&heap->base, &operations, alignment);
    state *s = state_of(&heap->base);
    freehold__shifted_init(&s->shifted, rests, s);
}

/* The classes of the presets, each as the systems have them that they are from. */
static const uint32_t stepped[] = {
    16, 24, 32, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 1536, 2048};
static const uint32_t powers[] = {8, 16, 32, 64, 128, 256, 512, 1024, 2048};

const freehold_size_classes freehold_classes_stepped = {sizeof stepped / sizeof *stepped, stepped};
const freehold_size_classes freehold_classes_powers = {sizeof powers / sizeof *powers, powers};

void freehold_heap_init_classes(
    freehold_heap *heap, size_t alignment, const freehold_size_classes *classes)
{
    freehold_heap_init_aligned(heap, alignment);
    state *s = state_of(&heap->base);
    for (size_t i = 0; classes != NULL && i < classes->count; i++) {
        uint32_t bytes = classes->bytes[i];
        if (bytes == 0 || bytes > FREEHOLD__SLOT_MAX)
            continue; /* what is so large is mapped by itself anyway */
        unsigned index = freehold__class_of(bytes);
        s->class[index / 64] |= UINT64_C(1) << (index % 64);
        s->few = true;
    }
}

void freehold_heap_init(freehold_heap *heap)
{
    freehold_heap_init_aligned(heap, FREEHOLD_ALIGNMENT);
}

void freehold_heap_deinit(freehold_heap *heap)
{
    if (heap == NULL)
        return;
    check_type(&heap->base, "freehold_heap_deinit");
    state *s = state_of(&heap->base);
    freehold_allocator_deinit(&heap->base);
    freehold__heap_release(&s->single.heap);
    freehold__shifted_release(&s->shifted);
    memset(heap->state, 0, sizeof heap->state);
}
