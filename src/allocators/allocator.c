/* SPDX-License-Identifier: MIT */
/*
 * The functions of freehold/allocator.h for the base type: check that it is an allocator, take the
 * requests that need none (NULL, 0 bytes), and call the operation of its table, or do what stands
 * for an operation that is not there. Cost: an indirect call more than the typed functions.
 */
#include "allocators/allocator.h"

#include <string.h>

/* ---- the base -------------------------------------------------------------------------------- */

void freehold__allocator_wrong(
    const freehold_allocator *allocator, const char *function, const char *name)
{
    freehold__text text = freehold__report_begin(function, allocator);
    freehold__text_add(&text, "wrong type: ");
    if (allocator != NULL && allocator->seal == freehold__seal(allocator, FREEHOLD__ENDED)) {
        freehold__text_add(&text, "the allocator was deinitialised");
    } else {
        freehold__text_add(&text, "not an initialised ");
        freehold__text_add(&text, name);
    }
    freehold__report_end(&text, FREEHOLD_WRONG_TYPE, function, allocator);
}

static size_t alignment_of(size_t wanted)
{
    size_t alignment = FREEHOLD_ALIGNMENT;
    while (alignment < wanted && alignment <= SIZE_MAX / 2)
        alignment *= 2;
    return alignment;
}

void freehold_allocator_init(
    freehold_allocator *allocator, const freehold_operations *operations, size_t alignment)
{
    *allocator =
        (freehold_allocator){.operations = operations, .alignment = alignment_of(alignment)};
    if (operations != NULL && operations->allocate != NULL && operations->free != NULL)
        allocator->seal = freehold__seal(allocator, operations->magic);
}

void freehold_allocator_deinit(freehold_allocator *allocator)
{
    if (allocator != NULL)
        *allocator = (freehold_allocator){.seal = freehold__seal(allocator, FREEHOLD__ENDED)};
}

void freehold_misused(freehold_allocator *allocator, const char *function, const void *pointer)
{
    (void)allocator;
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, "foreign pointer: not from this allocator");
    freehold__report_end(&text, FREEHOLD_FOREIGN_POINTER, function, pointer);
}

/* The table of an allocator, which is checked. (Memory that was never initialised has hardly a
 * pointer to a table there.) */
static const freehold_operations *operations_of(
    const freehold_allocator *allocator, const char *function)
{
    if (allocator == NULL || allocator->operations == NULL ||
        !freehold__sealed(allocator, allocator->operations->magic))
        freehold__allocator_wrong(allocator, function, "allocator");
    return allocator->operations;
}

/* ---- allocating ------------------------------------------------------------------------------ */

void *freehold_allocator_alloc(freehold_allocator *allocator, size_t bytes)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_alloc");
    return bytes != 0 ? operations->allocate(allocator, bytes, allocator->alignment, 0, false)
                      : NULL;
}

void *freehold_allocator_alloc_zeroed(freehold_allocator *allocator, size_t bytes)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_alloc_zeroed");
    return bytes != 0 ? operations->allocate(allocator, bytes, allocator->alignment, 0, true)
                      : NULL;
}

void *freehold_allocator_alloc_aligned(
    freehold_allocator *allocator, size_t bytes, size_t alignment, size_t offset)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_alloc_aligned");
    if (bytes == 0 || !freehold__aligned_request(allocator->alignment, &alignment, &offset))
        return NULL;
    return operations->allocate(allocator, bytes, alignment, offset, false);
}

/* ---- freeing --------------------------------------------------------------------------------- */

size_t freehold_allocator_free(freehold_allocator *allocator, void *block)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_free");
    return block != NULL ? operations->free(allocator, block) : 0;
}

static freehold__cold void report_too_large(const void *block, size_t bytes, size_t usable)
{
    freehold__text text = freehold__report_begin("freehold_free_sized", block);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, ", but the block has ");
    freehold__text_decimal(&text, usable);
    freehold__text_add(&text, " bytes");
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, "freehold_free_sized", block);
}

size_t freehold_allocator_free_sized(freehold_allocator *allocator, void *block, size_t bytes)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_free_sized");
    if (block == NULL)
        return 0;
    if (operations->free_sized != NULL)
        return operations->free_sized(allocator, block, bytes);
    if (operations->usable_size != NULL) {
        size_t usable = operations->usable_size(allocator, block);
        if (bytes > usable)
            report_too_large(block, bytes, usable);
    }
    return operations->free(allocator, block);
}

/* ---- resizing -------------------------------------------------------------------------------- */

static bool resize(
    freehold_allocator *allocator, const freehold_operations *operations, void *block, size_t bytes)
{
    return block != NULL && bytes != 0 && operations->resize != NULL &&
           operations->resize(allocator, block, bytes);
}

bool freehold_allocator_resize(freehold_allocator *allocator, void *block, size_t bytes)
{
    return resize(allocator, operations_of(allocator, "freehold_resize"), block, bytes);
}

/* For an allocator without remap. */
static void *move(
    freehold_allocator *allocator, const freehold_operations *operations, void *block, size_t bytes)
{
    if (operations->usable_size == NULL)
        return NULL;
    size_t have = operations->usable_size(allocator, block);
    void *moved = operations->allocate(allocator, bytes, allocator->alignment, 0, false);
    if (moved != NULL) {
        memcpy(moved, block, have < bytes ? have : bytes);
        operations->free(allocator, block);
    }
    return moved;
}

static void *remap(
    freehold_allocator *allocator, const freehold_operations *operations, void *block, size_t bytes)
{
    if (bytes == 0) {
        if (block != NULL)
            operations->free(allocator, block);
        return NULL;
    }
    if (block == NULL)
        return operations->allocate(allocator, bytes, allocator->alignment, 0, false);
    return operations->remap != NULL ? operations->remap(allocator, block, bytes)
                                     : move(allocator, operations, block, bytes);
}

void *freehold_allocator_remap(freehold_allocator *allocator, void *block, size_t bytes)
{
    return remap(allocator, operations_of(allocator, "freehold_remap"), block, bytes);
}

void *freehold_allocator_realloc(freehold_allocator *allocator, void *block, size_t bytes)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_realloc");
    if (block != NULL && bytes != 0 && operations->realloc != NULL)
        return operations->realloc(allocator, block, bytes);
    return resize(allocator, operations, block, bytes) ? block
                                                       : remap(allocator, operations, block, bytes);
}

/* ---- looking --------------------------------------------------------------------------------- */

size_t freehold_allocator_usable_size(freehold_allocator *allocator, const void *block)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_usable_size");
    return block != NULL && operations->usable_size != NULL
               ? operations->usable_size(allocator, block)
               : 0;
}

void *freehold_allocator_base(freehold_allocator *allocator, const void *pointer)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_base");
    return operations->base != NULL ? operations->base(allocator, pointer) : NULL;
}

bool freehold_allocator_owns(freehold_allocator *allocator, const void *pointer)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_owns");
    return operations->base != NULL && operations->base(allocator, pointer) != NULL;
}

freehold_statistics freehold_allocator_stats(freehold_allocator *allocator)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_stats");
    return operations->stats != NULL ? operations->stats(allocator) : (freehold_statistics){0};
}

const char *freehold_allocator_check(freehold_allocator *allocator)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_check");
    return operations->check != NULL ? operations->check(allocator) : NULL;
}

bool freehold_allocator_walk(freehold_allocator *allocator, freehold_visitor visit, void *context)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_walk");
    return operations->walk != NULL && operations->walk(allocator, visit, context);
}

size_t freehold_allocator_trim(freehold_allocator *allocator)
{
    const freehold_operations *operations = operations_of(allocator, "freehold_trim");
    return operations->trim != NULL ? operations->trim(allocator) : 0;
}
