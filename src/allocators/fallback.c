/* SPDX-License-Identifier: MIT */
/*
 * Two allocators as one (freehold/fallback.h). Nothing is kept of a block: the primary is asked
 * whether it is one of its own, and what it does not own is the secondary's, or the secondary
 * reports it.
 */
#include "freehold/fallback.h"

#include "allocators/front.h"
#include "allocators/wrap.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', 'f', 'a', 'l', 'l', 'b', 'k')

static freehold_fallback *of(freehold_allocator *self)
{
    return (freehold_fallback *)(void *)self;
}

static void count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static freehold_allocator *owner_of(const freehold_fallback *f, const void *pointer)
{
    return freehold_owns(f->primary, pointer) ? f->primary : f->secondary;
}

static void *fallback_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    freehold_fallback *f = of(self);
    void *block = freehold__wrap_ask(f->primary, bytes, alignment, offset, zeroed);
    if (block == NULL)
        block = freehold__wrap_ask(f->secondary, bytes, alignment, offset, zeroed);
    if (block == NULL && freehold__is_failure(freehold__wrap_refused(self, f->secondary)))
        count(&f->failures);
    return block;
}

static size_t fallback_free(freehold_allocator *self, void *block)
{
    return freehold_free(owner_of(of(self), block), block);
}

static size_t fallback_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    return freehold_free_sized(owner_of(of(self), block), block, bytes);
}

static bool fallback_resize(freehold_allocator *self, void *block, size_t bytes)
{
    return freehold_resize(owner_of(of(self), block), block, bytes);
}

/* From the owner, which could not, to the other one. */
static void *move(freehold_allocator *self, freehold_allocator *owner, void *block, size_t bytes)
{
    freehold_fallback *f = of(self);
    freehold_allocator *other = owner == f->primary ? f->secondary : f->primary;
    size_t have = freehold_usable_size(owner, block);
    if (have == 0) { /* the owner does not know what there is to copy */
        count(&f->failures);
        return NULL;
    }
    void *moved = freehold__wrap_ask(other, bytes, self->alignment, 0, false);
    if (moved == NULL) {
        if (freehold__is_failure(freehold__wrap_refused(self, other)))
            count(&f->failures);
        return NULL;
    }
    memcpy(moved, block, have < bytes ? have : bytes);
    freehold_free(owner, block);
    count(&f->moves);
    return moved;
}

static void *fallback_remap(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_allocator *owner = owner_of(of(self), block);
    void *moved = freehold_remap(owner, block, bytes);
    return moved != NULL ? moved : move(self, owner, block, bytes);
}

static void *fallback_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_allocator *owner = owner_of(of(self), block);
    void *moved = freehold_realloc(owner, block, bytes);
    return moved != NULL ? moved : move(self, owner, block, bytes);
}

static size_t fallback_usable_size(freehold_allocator *self, const void *block)
{
    return freehold_usable_size(owner_of(of(self), block), block);
}

static void *fallback_base(freehold_allocator *self, const void *pointer)
{
    freehold_fallback *f = of(self);
    void *base = freehold_base(f->primary, pointer);
    return base != NULL ? base : freehold_base(f->secondary, pointer);
}

/* One of them may not count it, which is a 0: then there is no sum. */
static size_t peak_live(const freehold_statistics *a, const freehold_statistics *b)
{
    bool both = (a->peak_live_bytes != 0 || a->allocations == 0) &&
                (b->peak_live_bytes != 0 || b->allocations == 0);
    return both ? a->peak_live_bytes + b->peak_live_bytes : 0;
}

static freehold_statistics fallback_stats(freehold_allocator *self)
{
    freehold_fallback *f = of(self);
    freehold_statistics a = freehold_stats(f->primary), b = freehold_stats(f->secondary);
    return (freehold_statistics){
        .requested_bytes = a.requested_bytes + b.requested_bytes,
        .allocations = a.allocations + b.allocations,
        .frees = a.frees + b.frees,
        .reallocations =
            a.reallocations + b.reallocations + __atomic_load_n(&f->moves, __ATOMIC_RELAXED),
        .failures = __atomic_load_n(&f->failures, __ATOMIC_RELAXED),
        .live_bytes = a.live_bytes + b.live_bytes,
        .peak_live_bytes = peak_live(&a, &b),
        .used_bytes = a.used_bytes + b.used_bytes,
        .peak_bytes = a.peak_bytes + b.peak_bytes,
        .mapped_bytes = a.mapped_bytes + b.mapped_bytes,
        .retained_bytes = a.retained_bytes + b.retained_bytes,
        .purged_bytes = a.purged_bytes + b.purged_bytes,
    };
}

static void fallback_reset_stats(freehold_allocator *self)
{
    freehold_fallback *f = of(self);
    freehold_reset_stats(f->primary);
    freehold_reset_stats(f->secondary);
    __atomic_store_n(&f->failures, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&f->moves, 0, __ATOMIC_RELAXED);
}

static const char *fallback_check(freehold_allocator *self)
{
    const char *wrong = freehold_check(of(self)->primary);
    return wrong != NULL ? wrong : freehold_check(of(self)->secondary);
}

static bool fallback_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    return freehold_walk(of(self)->primary, visit, context) &&
           freehold_walk(of(self)->secondary, visit, context);
}

static size_t fallback_trim(freehold_allocator *self)
{
    return freehold_trim(of(self)->primary) + freehold_trim(of(self)->secondary);
}

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "fallback",
    .allocate = fallback_allocate,
    .free = fallback_free,
    .resize = fallback_resize,
    .remap = fallback_remap,
    .realloc = fallback_realloc,
    .free_sized = fallback_free_sized,
    .usable_size = fallback_usable_size,
    .base = fallback_base,
    .stats = fallback_stats,
    .check = fallback_check,
    .walk = fallback_walk,
    .trim = fallback_trim,
    .reset_stats = fallback_reset_stats,
};

FREEHOLD__DEFINE(fallback)

void freehold_fallback_init(
    freehold_fallback *fallback, freehold_allocator *primary, freehold_allocator *secondary)
{
    freehold__allocator_check(primary, "freehold_fallback_init");
    freehold__allocator_check(secondary, "freehold_fallback_init");
    fallback->primary = primary;
    fallback->secondary = secondary;
    fallback->failures = fallback->moves = 0;
    bool first = primary->alignment < secondary->alignment;
    freehold_allocator_init(
        &fallback->base, &operations, first ? primary->alignment : secondary->alignment);
}

void freehold_fallback_deinit(freehold_fallback *fallback)
{
    if (!freehold__wrap_ends(fallback, MAGIC, "freehold_fallback_deinit", "fallback"))
        return;
    freehold_allocator_deinit(&fallback->base);
    fallback->primary = fallback->secondary = NULL;
}
