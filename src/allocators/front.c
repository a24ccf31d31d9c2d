/* SPDX-License-Identifier: MIT */
/*
 * What the functions of the interface do seldom: when a request fails, and when a block may be the
 * fallback's.
 */
#include "allocators/front.h"

/* ---- refusing -------------------------------------------------------------------------------- */

static const char *const reasons[] = {
    [FREEHOLD_OK] = "memory is out",
    [FREEHOLD_INVALID] = "there is no such alignment or offset",
    [FREEHOLD_NO_MEMORY] = "memory is out",
    [FREEHOLD_LIMIT] = "the limit is reached",
    [FREEHOLD_UNSUPPORTED] = "the allocator cannot do that",
    [FREEHOLD_OVERLAP] = "the memory is there already",
    [FREEHOLD_TOO_SMALL] = "the memory is too little",
};

static freehold__cold void report_failure(
    freehold__front front, freehold_error error, const char *function)
{
    freehold__text text = freehold__report_begin(function, front.self);
    freehold__text_add(&text, "allocation failed: ");
    freehold__text_add(&text, reasons[error]);
    freehold__text_add(&text, ", and the policy of this ");
    freehold__text_add(&text, front.operations->name);
    freehold__text_add(&text, " is to end the process");
    freehold__report_end(&text, FREEHOLD_ALLOCATION_FAILED, function, front.self);
}

void *freehold__front_refuse(freehold__front front, freehold_error error, const char *function)
{
    freehold__set_error(front.self, (uint32_t)error);
    if (front.self->policy != NULL && front.self->policy->abort)
        report_failure(front, error, function);
    return NULL;
}

/* What an operation has said, or that memory is out. */
FREEHOLD__OPERATION freehold_error reason_of(const freehold_allocator *self)
{
    uint32_t said = freehold__get_error(self);
    return (said & FREEHOLD__SAID) != 0 ? (freehold_error)(said >> FREEHOLD__SAID_SHIFT)
                                        : FREEHOLD_NO_MEMORY;
}

void *freehold__front_refuse_small(freehold_allocator *self)
{
    freehold__set_error(self, (uint32_t)reason_of(self));
    return NULL;
}

static void *refuse(freehold__front front, const char *function)
{
    return freehold__front_refuse(front, reason_of(front.self), function);
}

/* What was said before a try that succeeded is no refusal; and the hook before it may have validated. */
static void *grant(freehold__front front, void *block)
{
    freehold__front_changed(front);
    freehold__set_error(front.self, freehold__get_error(front.self) & FREEHOLD__REFUSED);
    return block;
}

/* ---- trying again ---------------------------------------------------------------------------- */

/* Whether there is another try; *left counts them. */
static bool reclaims(freehold__front front, size_t bytes, unsigned *left)
{
    const freehold_policy *policy = front.self->policy;
    if (policy == NULL || *left == 0)
        return false;
    --*left;
    return policy->reclaim == NULL || policy->reclaim(policy->context, front.self, bytes);
}

static unsigned retries(freehold__front front)
{
    return front.self->policy != NULL ? front.self->policy->retries : 0;
}

static freehold_allocator *fallback_of(freehold__front front)
{
    bool knows_its_own = front.operations->base != NULL;
    return front.self->policy != NULL && knows_its_own ? front.self->policy->fallback : NULL;
}

static void *ask_fallback(freehold__front front, freehold__request request)
{
    freehold_allocator *fallback = fallback_of(front);
    void *block = fallback != NULL ? freehold_alloc_aligned(
                                         fallback, request.bytes, request.alignment, request.offset)
                                   : NULL;
    return block != NULL && request.zeroed ? memset(block, 0, request.bytes) : block;
}

void *freehold__front_retry(freehold__front front, freehold__request request, const char *function)
{
    unsigned left = retries(front);
    void *block = NULL;
    while (block == NULL && reclaims(front, request.bytes, &left))
        block = front.operations->allocate(
            front.self, request.bytes, request.alignment, request.offset, request.zeroed);
    if (block == NULL)
        block = ask_fallback(front, request);
    return block != NULL ? grant(front, block) : refuse(front, function);
}

/* The block moves into the fallback. */
static void *move_to_fallback(freehold__front front, void *block, size_t bytes)
{
    if (fallback_of(front) == NULL || front.operations->usable_size == NULL)
        return NULL;
    size_t have = front.operations->usable_size(front.self, block);
    if (have == 0)
        return NULL; /* its parent does not know what there is to copy */
    void *moved = ask_fallback(front, (freehold__request){bytes, front.self->alignment, 0, false});
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, have < bytes ? have : bytes);
    front.operations->free(front.self, block);
    return moved;
}

void *freehold__front_retry_remap(
    freehold__front front, void *block, size_t bytes, const char *function)
{
    unsigned left = retries(front);
    void *moved = NULL;
    while (moved == NULL && reclaims(front, bytes, &left))
        moved = freehold__front_remap_once(front, block, bytes);
    if (moved == NULL)
        moved = move_to_fallback(front, block, bytes);
    return moved != NULL ? grant(front, moved) : refuse(front, function);
}

/* ---- blocks of the fallback ------------------------------------------------------------------ */

freehold_allocator *freehold__front_owner(freehold__front front, const void *pointer)
{
    freehold_allocator *fallback = fallback_of(front);
    if (fallback == NULL || front.operations->base(front.self, pointer) != NULL)
        return front.self;
    return freehold_owns(fallback, pointer) ? fallback : front.self; /* which reports it */
}

/* ---- the rest -------------------------------------------------------------------------------- */

void freehold__front_too_large(const void *block, size_t bytes, size_t usable)
{
    freehold__text text = freehold__report_begin("freehold_free_sized", block);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, ", but the block has ");
    freehold__text_decimal(&text, usable);
    freehold__text_add(&text, " bytes");
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, "freehold_free_sized", block);
}

void freehold__front_wipe(void *block, size_t bytes)
{
    memset(block, 0, bytes);
    __asm__ volatile("" : : "r"(block) : "memory"); /* not dead stores: somebody may look */
}
