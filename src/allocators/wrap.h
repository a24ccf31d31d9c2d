/* SPDX-License-Identifier: MIT */
/*
 * What allocators over another one, their parent, have in common: a request handed on, with the
 * parent's reason when it is refused, and a block that must be looked at before it is handed on.
 */
#ifndef FREEHOLD_ALLOCATORS_WRAP_H
#define FREEHOLD_ALLOCATORS_WRAP_H

#include "allocators/allocator.h"
#include "freehold/heap.h"

/* Why the parent has refused its last request. */
freehold_error freehold__wrap_reason(freehold_allocator *parent);

/* The same; it becomes the reason of this allocator. */
freehold_error freehold__wrap_refused(freehold_allocator *self, freehold_allocator *parent);

/* A block of the parent, for an allocate operation. */
void *freehold__wrap_ask(
    freehold_allocator *parent, size_t bytes, size_t alignment, size_t offset, bool zeroed);

/* The same; NULL: it is refused, and the reason said. */
void *freehold__wrap_allocate(freehold_allocator *self, freehold_allocator *parent, size_t bytes,
    size_t alignment, size_t offset, bool zeroed);

/*
 * Whether it is a live block of the parent, or the parent does not know its own. When it is not,
 * the parent's function of the same name is called with it, and reports that: so the report names
 * what was called, and says what the parent knows.
 */
static inline bool freehold__wrap_has(freehold_allocator *parent, const void *block)
{
    return parent->operations->base == NULL || freehold_base(parent, block) == block;
}

/* Statistics with their own counts of requests and live bytes, and the parent's of pages. */
freehold_statistics freehold__wrap_stats(freehold_allocator *parent, freehold_statistics own);

/* Where an allocator keeps its records: with the one that is given, or in a heap of its own; the other one is none.
 * (Inline, so that nobody else's program has the heap for it.) */
static inline freehold_allocator *freehold__wrap_records(
    freehold_allocator *given, freehold_heap *own, const char *function)
{
    if (given == NULL) {
        freehold_heap_init(own);
        return &own->base;
    }
    freehold__allocator_check(given, function);
    freehold_allocator_deinit(&own->base);
    return given;
}

/* An option, or what it is where it is 0. */
static inline size_t freehold__wrap_option(size_t value, size_t otherwise)
{
    return value != 0 ? value : otherwise;
}

/* What is given to a function of the type `name` alone: anything but one of them is fatal. */
void freehold__wrap_checked(
    void *allocator, uint64_t magic, const char *function, const char *name);

/* The same for a deinit: false for NULL, which is none. */
bool freehold__wrap_ends(void *allocator, uint64_t magic, const char *function, const char *name);

#endif
