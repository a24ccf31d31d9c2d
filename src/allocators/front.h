/* SPDX-License-Identifier: MIT */
/*
 * The functions of freehold/allocator.h, written once, over a table of operations. The typed
 * functions (FREEHOLD__DEFINE in a type's file, whose table is a constant there) get them with
 * every operation called directly; those of the base type (allocator.c) go through the table of the
 * allocator. So both agree in result, errors, retries and reports (T17).
 *
 * Here are the requests that need no operation (NULL, 0 bytes), and what stands for an operation
 * that is not there, and in front.c what happens when a request fails.
 */
#ifndef FREEHOLD_ALLOCATORS_FRONT_H
#define FREEHOLD_ALLOCATORS_FRONT_H

#include <string.h>

#include "allocators/allocator.h"
#include "base/config.h"

/* An allocator that is checked to be one, with its table. */
typedef struct freehold__front {
    freehold_allocator *self;
    const freehold_operations *operations;
} freehold__front;

typedef struct freehold__request {
    size_t bytes, alignment, offset;
    bool zeroed;
} freehold__request;

/* ---- seldom (front.c) ------------------------------------------------------------------------ */

/* The request has failed: does what the policy says; NULL: it is refused. */
freehold__cold void *freehold__front_retry(
    freehold__front front, freehold__request request, const char *function);
/* The same for a block that was to move: `move` is tried again. */
freehold__cold void *freehold__front_retry_remap(
    freehold__front front, void *block, size_t bytes, const char *function);
freehold__cold void *freehold__front_refuse(
    freehold__front front, freehold_error error, const char *function);
/* The same without a table, where there is no policy (FREEHOLD_SMALL). */
freehold__cold void *freehold__front_refuse_small(freehold_allocator *self);
/* The allocator that a block belongs to: the one of the front, or its fallback. */
freehold__cold freehold_allocator *freehold__front_owner(
    freehold__front front, const void *pointer);
freehold__cold void freehold__front_too_large(const void *block, size_t bytes, size_t usable);
void freehold__front_wipe(void *block, size_t bytes);

/* ---- parts ----------------------------------------------------------------------------------- */

#define FREEHOLD__FRONT __attribute__((always_inline)) static inline

FREEHOLD__FRONT void freehold__front_changed(freehold__front front)
{
    /* Written only when it says something new: several threads share it. (Where code is dear, always.) */
    if (FREEHOLD_SMALL || __atomic_load_n(&front.self->changed, __ATOMIC_RELAXED) == 0)
        __atomic_store_n(&front.self->changed, 1, __ATOMIC_RELAXED);
}

/* The fallback, if the block is one of its own. */
FREEHOLD__FRONT freehold_allocator *freehold__front_elsewhere(
    freehold__front front, const void *pointer)
{
    const freehold_policy *policy = FREEHOLD_SMALL ? NULL : front.self->policy;
    if (freehold__likely(policy == NULL) || policy->fallback == NULL)
        return NULL;
    freehold_allocator *owner = freehold__front_owner(front, pointer);
    return owner != front.self ? owner : NULL;
}

FREEHOLD__FRONT void *freehold__front_allocate(
    freehold__front front, freehold__request request, const char *function)
{
    void *block = front.operations->allocate(
        front.self, request.bytes, request.alignment, request.offset, request.zeroed);
    freehold__front_changed(front);
    if (freehold__likely(block != NULL))
        return block;
    return FREEHOLD_SMALL ? freehold__front_refuse_small(front.self)
                          : freehold__front_retry(front, request, function);
}

FREEHOLD__FRONT freehold__request freehold__front_plain(
    freehold__front front, size_t bytes, bool zeroed)
{
    return (freehold__request){bytes, front.self->alignment, 0, zeroed};
}

/* For an allocator without remap: allocate, copy and free; NULL when it cannot. */
FREEHOLD__FRONT void *freehold__front_move(freehold__front front, void *block, size_t bytes)
{
    const freehold_operations *operations = front.operations;
    if (operations->usable_size == NULL)
        return NULL;
    size_t have = operations->usable_size(front.self, block);
    void *moved = operations->allocate(front.self, bytes, front.self->alignment, 0, false);
    if (moved != NULL) {
        memcpy(moved, block, have < bytes ? have : bytes);
        operations->free(front.self, block);
    }
    return moved;
}

FREEHOLD__FRONT void *freehold__front_refuse_remap(
    freehold__front front, void *block, size_t bytes, const char *function)
{
    return FREEHOLD_SMALL ? freehold__front_refuse_small(front.self)
                          : freehold__front_retry_remap(front, block, bytes, function);
}

/* One try at a remap, of a live block to bytes > 0. */
FREEHOLD__FRONT void *freehold__front_remap_once(freehold__front front, void *block, size_t bytes)
{
    return front.operations->remap != NULL ? front.operations->remap(front.self, block, bytes)
                                           : freehold__front_move(front, block, bytes);
}

FREEHOLD__FRONT void *freehold__front_remap_block(
    freehold__front front, void *block, size_t bytes, const char *function)
{
    void *moved = freehold__front_remap_once(front, block, bytes);
    return freehold__likely(moved != NULL)
               ? moved
               : freehold__front_refuse_remap(front, block, bytes, function);
}

/* An operation that is a few instructions: in a small program there is only the function that is called. */
#if FREEHOLD_SMALL
#define FREEHOLD__OPERATION FREEHOLD__FRONT
#define FREEHOLD__ONCE      __attribute__((noinline)) static
#else
#define FREEHOLD__OPERATION static
#define FREEHOLD__ONCE      FREEHOLD__FRONT
#endif

/* ---- the functions --------------------------------------------------------------------------- */

FREEHOLD__FRONT void *freehold__front_alloc(freehold__front front, size_t bytes)
{
    return freehold__likely(bytes != 0)
               ? freehold__front_allocate(
                     front, freehold__front_plain(front, bytes, false), "freehold_alloc")
               : NULL;
}

FREEHOLD__FRONT void *freehold__front_alloc_zeroed(freehold__front front, size_t bytes)
{
    return freehold__likely(bytes != 0)
               ? freehold__front_allocate(
                     front, freehold__front_plain(front, bytes, true), "freehold_alloc_zeroed")
               : NULL;
}

FREEHOLD__FRONT void *freehold__front_alloc_aligned(
    freehold__front front, size_t bytes, size_t alignment, size_t offset)
{
    if (bytes == 0)
        return NULL;
    if (!freehold__aligned_request(front.self->alignment, &alignment, &offset)) {
        if (!FREEHOLD_SMALL)
            return freehold__front_refuse(front, FREEHOLD_INVALID, "freehold_alloc_aligned");
        freehold__allocator_says(front.self, FREEHOLD_INVALID);
        return freehold__front_refuse_small(front.self);
    }
    return freehold__front_allocate(
        front, (freehold__request){bytes, alignment, offset, false}, "freehold_alloc_aligned");
}

FREEHOLD__FRONT size_t freehold__front_free(freehold__front front, void *block)
{
    if (freehold__unlikely(block == NULL))
        return 0;
    freehold_allocator *other = freehold__front_elsewhere(front, block);
    if (freehold__unlikely(other != NULL))
        return freehold_free(other, block);
    freehold__front_changed(front);
    return front.operations->free(front.self, block);
}

FREEHOLD__FRONT size_t freehold__front_free_sized(freehold__front front, void *block, size_t bytes)
{
    if (freehold__unlikely(block == NULL))
        return 0;
    freehold_allocator *other = freehold__front_elsewhere(front, block);
    if (freehold__unlikely(other != NULL))
        return freehold_free_sized(other, block, bytes);
    freehold__front_changed(front);
    if (front.operations->free_sized != NULL)
        return front.operations->free_sized(front.self, block, bytes);
    if (front.operations->usable_size != NULL) {
        size_t usable = front.operations->usable_size(front.self, block);
        if (freehold__unlikely(bytes > usable))
            freehold__front_too_large(block, bytes, usable);
    }
    return front.operations->free(front.self, block);
}

FREEHOLD__FRONT size_t freehold__front_usable_size(freehold__front front, const void *block)
{
    if (block == NULL)
        return 0;
    freehold_allocator *other = freehold__front_elsewhere(front, block);
    if (freehold__unlikely(other != NULL))
        return freehold_usable_size(other, block);
    return front.operations->usable_size != NULL ? front.operations->usable_size(front.self, block)
                                                 : 0;
}

FREEHOLD__FRONT size_t freehold__front_free_zeroed(freehold__front front, void *block)
{
    if (block == NULL)
        return 0;
    freehold__front_wipe(block, freehold__front_usable_size(front, block));
    return freehold__front_free(front, block);
}

FREEHOLD__FRONT bool freehold__front_resize(freehold__front front, void *block, size_t bytes)
{
    if (block == NULL || bytes == 0)
        return false;
    freehold_allocator *other = freehold__front_elsewhere(front, block);
    if (freehold__unlikely(other != NULL))
        return freehold_resize(other, block, bytes);
    freehold__front_changed(front);
    return front.operations->resize != NULL && front.operations->resize(front.self, block, bytes);
}

/* What remap and realloc have in common: a block that is none, or shall be none, or another's. */
FREEHOLD__FRONT bool freehold__front_remap_special(
    freehold__front front, void *block, size_t bytes, const char *function, void **result)
{
    *result = NULL;
    if (bytes == 0) {
        freehold__front_free(front, block);
        return true;
    }
    if (block == NULL) {
        *result =
            freehold__front_allocate(front, freehold__front_plain(front, bytes, false), function);
        return true;
    }
    freehold_allocator *other = freehold__front_elsewhere(front, block);
    if (freehold__unlikely(other != NULL)) {
        *result = freehold_realloc(other, block, bytes);
        return true;
    }
    freehold__front_changed(front);
    return false;
}

FREEHOLD__FRONT void *freehold__front_remap(freehold__front front, void *block, size_t bytes)
{
    void *result;
    if (freehold__front_remap_special(front, block, bytes, "freehold_remap", &result))
        return result;
    return freehold__front_remap_block(front, block, bytes, "freehold_remap");
}

FREEHOLD__FRONT void *freehold__front_realloc(freehold__front front, void *block, size_t bytes)
{
    void *result;
    if (freehold__front_remap_special(front, block, bytes, "freehold_realloc", &result))
        return result;
    if (front.operations->realloc != NULL) {
        result = front.operations->realloc(front.self, block, bytes);
        return freehold__likely(result != NULL)
                   ? result
                   : freehold__front_refuse_remap(front, block, bytes, "freehold_realloc");
    }
    if (front.operations->resize != NULL && front.operations->resize(front.self, block, bytes))
        return block;
    return freehold__front_remap_block(front, block, bytes, "freehold_realloc");
}

FREEHOLD__FRONT void *freehold__front_base(freehold__front front, const void *pointer)
{
    void *base =
        front.operations->base != NULL ? front.operations->base(front.self, pointer) : NULL;
    const freehold_policy *policy = FREEHOLD_SMALL ? NULL : front.self->policy;
    if (freehold__unlikely(base == NULL && policy != NULL && policy->fallback != NULL))
        base = freehold_base(policy->fallback, pointer);
    return base;
}

FREEHOLD__FRONT bool freehold__front_owns(freehold__front front, const void *pointer)
{
    return freehold__front_base(front, pointer) != NULL;
}

FREEHOLD__FRONT freehold_statistics freehold__front_stats(freehold__front front)
{
    return front.operations->stats != NULL ? front.operations->stats(front.self)
                                           : (freehold_statistics){0};
}

FREEHOLD__FRONT bool freehold__front_reset_stats(freehold__front front)
{
    if (front.operations->reset_stats == NULL)
        return false;
    front.operations->reset_stats(front.self);
    return true;
}

FREEHOLD__FRONT const char *freehold__front_check(freehold__front front)
{
    freehold__corrupt(NULL, NULL);
    if (front.operations->check == NULL)
        return NULL;
    /* A user's operation may not have said where. */
    return freehold__corrupt_in(front.operations->check(front.self), NULL);
}

FREEHOLD__FRONT const char *freehold__front_validate(freehold__front front)
{
    if (__atomic_exchange_n(&front.self->changed, 0, __ATOMIC_ACQ_REL) == 0)
        return NULL;
    const char *wrong = freehold__front_check(front);
    if (wrong != NULL)
        freehold__front_changed(front);
    return wrong;
}

FREEHOLD__FRONT bool freehold__front_walk(
    freehold__front front, freehold_visitor visit, void *context)
{
    return front.operations->walk != NULL && front.operations->walk(front.self, visit, context);
}

FREEHOLD__FRONT size_t freehold__front_trim(freehold__front front)
{
    freehold__front_changed(front);
    return front.operations->trim != NULL ? front.operations->trim(front.self) : 0;
}

FREEHOLD__FRONT freehold_error freehold__front_last_error(freehold__front front)
{
    uint32_t error = freehold__get_error(front.self);
    return (error & FREEHOLD__SAID) != 0 /* a hook may ask before the refusal */
               ? (freehold_error)(error >> FREEHOLD__SAID_SHIFT)
               : (freehold_error)error;
}

/* ---- the functions of a type ----------------------------------------------------------------- */

/* In the library the arguments of FREEHOLD__EACH_FUNCTION begin with the front. */
#undef FREEHOLD__SELF
#define FREEHOLD__SELF front

/*
 * Defines freehold_TYPE_alloc and all the others, over `operations` of that file, for allocators
 * that are sealed with its magic.
 */
#define FREEHOLD__DEFINE_ONE(T, result, verb, parameters, arguments)                               \
    result freehold_##T##_##verb parameters                                                        \
    {                                                                                              \
        freehold__front front = {(freehold_allocator *)(void *)self, &operations};                 \
        check_type(front.self, "freehold_" #verb);                                                 \
        return freehold__front_##verb arguments;                                                   \
    }
#define FREEHOLD__DEFINE(T)                                                                        \
    /* An allocator of the type, or a report. */                                                   \
    FREEHOLD__ONCE void check_type(const freehold_allocator *self, const char *function)           \
    {                                                                                              \
        if (!freehold__sealed(self, operations.magic))                                             \
            freehold__allocator_wrong(self, function, FREEHOLD_SMALL ? NULL : operations.name);    \
    }                                                                                              \
    FREEHOLD__EACH_FUNCTION(FREEHOLD__DEFINE_ONE, T)

#endif
