/* SPDX-License-Identifier: MIT */
/*
 * The base of every allocator, and the functions of freehold/allocator.h for it. Cost: an indirect
 * call more than the typed functions.
 */
#include "allocators/front.h"

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

void freehold_allocator_init(
    freehold_allocator *allocator, const freehold_operations *operations, size_t alignment)
{
    bool usable = operations != NULL && operations->allocate != NULL && operations->free != NULL;
    freehold__allocator_begin_with(
        allocator, operations, usable ? operations->magic : 0, alignment);
    if (!usable)
        allocator->seal = 0;
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

/* ---- the functions, by way of the table ------------------------------------------------------ */

/* The table of an allocator, which is checked. (Memory that was never initialised has hardly a
 * pointer to a table there.) */
static freehold__front front_of(freehold_allocator *allocator, const char *function)
{
    if (allocator == NULL || allocator->operations == NULL ||
        !freehold__sealed(allocator, allocator->operations->magic))
        freehold__allocator_wrong(allocator, function, "allocator");
    return (freehold__front){allocator, allocator->operations};
}

#define DEFINE_ONE(T, result, name, parameters, arguments)                                         \
    result freehold_##T##_##name parameters                                                        \
    {                                                                                              \
        freehold__front front = front_of(self, "freehold_" #name);                                 \
        return freehold__front_##name arguments;                                                   \
    }
FREEHOLD__EACH_FUNCTION(DEFINE_ONE, allocator)

void freehold__allocator_check(freehold_allocator *allocator, const char *function)
{
    front_of(allocator, function);
}

void freehold_set_policy(freehold_allocator *allocator, const freehold_policy *policy)
{
    front_of(allocator, "freehold_set_policy").self->policy = policy;
}
