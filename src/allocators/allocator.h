/* SPDX-License-Identifier: MIT */
/*
 * What the typed allocators share: the seal of the base, and requests with an alignment.
 *
 * A base is sealed with the magic of its type and its own address. So zeroed memory, memory that
 * was never initialised, another type, and a copy are each found by one comparison, before a
 * pointer in it is followed.
 */
#ifndef FREEHOLD_ALLOCATORS_ALLOCATOR_H
#define FREEHOLD_ALLOCATORS_ALLOCATOR_H

#include "base/assert.h"
#include "base/bits.h"
#include "base/corrupt.h"
#include "freehold/allocator.h"

#define FREEHOLD__ENDED FREEHOLD_MAGIC('f', 'h', ' ', 'e', 'n', 'd', 'e', 'd')

static inline uint64_t freehold__seal(const freehold_allocator *allocator, uint64_t magic)
{
    return magic ^ (uintptr_t)allocator;
}

/* What an alignment that is asked for becomes. */
static inline size_t freehold__allocator_alignment(size_t wanted)
{
    size_t alignment = FREEHOLD_ALIGNMENT;
    while (alignment < wanted && alignment <= SIZE_MAX / 2)
        alignment *= 2;
    return alignment;
}

/* The base of an allocator of a type, with its table or without. */
static inline void freehold__allocator_begin_with(freehold_allocator *allocator,
    const freehold_operations *operations, uint64_t magic, size_t alignment)
{
    *allocator = (freehold_allocator){.operations = operations,
        .seal = freehold__seal(allocator, magic),
        .alignment = freehold__allocator_alignment(alignment)};
}

static inline bool freehold__sealed(const freehold_allocator *allocator, uint64_t magic)
{
    return freehold__likely(allocator != NULL) &&
           freehold__likely(allocator->seal == freehold__seal(allocator, magic));
}

/* Begins the base of a type that has no parent; without its table, which names every function, where a program is
 * to have only those that it calls (FREEHOLD_SMALL). */
__attribute__((always_inline)) static inline void freehold__allocator_begin(
    freehold_allocator *allocator, const freehold_operations *operations, size_t alignment)
{
    if (FREEHOLD_SMALL)
        freehold__allocator_begin_with(allocator, NULL, operations->magic, alignment);
    else
        freehold_allocator_init(allocator, operations, alignment);
}

/* What is wrong with what an init was given, for its check. */
#define FREEHOLD__WRONG(text) (FREEHOLD_SMALL ? "" : (text))
#define FREEHOLD__NOT_USABLE  "what init was given cannot be used" /* where there are no texts */

/* Reports an allocator that is not an initialised one of the type `name`; does not return. */
freehold__cold void freehold__allocator_wrong(
    const freehold_allocator *allocator, const char *function, const char *name);

/* Reports what is not an initialised allocator of any type. */
void freehold__allocator_check(freehold_allocator *allocator, const char *function);

/*
 * In base.error, behind the reason of the last refusal: an operation has just said why it fails, and that is the
 * reason of the refusal that follows, if one does. (A small library has no policy: one always does.)
 */
#define FREEHOLD__REFUSED    0xFFu
#define FREEHOLD__SAID       0x100u
#define FREEHOLD__SAID_SHIFT 16

static inline void freehold__set_error(freehold_allocator *allocator, uint32_t error)
{
    __atomic_store_n(&allocator->error, error, __ATOMIC_RELAXED);
}

static inline uint32_t freehold__get_error(const freehold_allocator *allocator)
{
    return __atomic_load_n(&allocator->error, __ATOMIC_RELAXED);
}

/* For an operation that refuses a request: why, if it is not that memory is out. */
static inline void freehold__allocator_says(freehold_allocator *allocator, freehold_error error)
{
    uint32_t refused = FREEHOLD_SMALL ? 0 : freehold__get_error(allocator) & FREEHOLD__REFUSED;
    freehold__set_error(
        allocator, refused | FREEHOLD__SAID | (uint32_t)error << FREEHOLD__SAID_SHIFT);
}

/*
 * Makes a request with alignment and offset one that an operation may get (freehold/allocator.h);
 * false when the alignment is none, or does not go with the allocator's own.
 */
static inline bool freehold__aligned_request(size_t floor, size_t *alignment, size_t *offset)
{
    if (!freehold__is_power_of_two(*alignment))
        return false;
    *offset &= *alignment - 1;
    if (*alignment > floor)
        return (*offset & (floor - 1)) == 0;
    *alignment = floor;
    return *offset == 0;
}

/* Whether a refusal is one of freehold_statistics.failures: of those that are not, no other moment
 * would change anything. */
static inline bool freehold__is_failure(freehold_error error)
{
    return error == FREEHOLD_NO_MEMORY || error == FREEHOLD_LIMIT;
}

#endif
