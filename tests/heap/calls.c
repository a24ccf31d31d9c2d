/* SPDX-License-Identifier: MIT */
/*
 * Every function of the interface on each type, and on the base: check_calls.py reads the object
 * code of this file. The functions are never called. They are made from the two lists of
 * freehold/allocator.h, and check_calls.py learns from their names what there is.
 */
#include <freehold/freehold.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In C the choice of the type needs the list of types, which is in use while these are made: so it
 * waits for a second look. */
#define NOTHING()
#define AGAIN(...) __VA_ARGS__
#define CALL_ONE(T, result, name, parameters, arguments)                                           \
    result typed_##T##__##name parameters;                                                         \
    result typed_##T##__##name parameters                                                          \
    {                                                                                              \
        return freehold_##name NOTHING() arguments;                                                \
    }
#define CALL(T, unused) FREEHOLD__EACH_FUNCTION(CALL_ONE, T)
AGAIN(CALL(allocator, ) FREEHOLD__EACH_TYPE(CALL, ))

/* What the check must find, or it would find nothing: a call by way of a table. */
void *planted_indirect(freehold_allocator *a, size_t n);
void *planted_indirect(freehold_allocator *a, size_t n)
{
    return a->operations->allocate(a, n, 16, 0, false);
}

#ifdef __cplusplus
}
#endif
