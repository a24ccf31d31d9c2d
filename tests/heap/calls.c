/* SPDX-License-Identifier: MIT */
/*
 * Every function of the interface on a typed pointer, and on the base: check_calls.py reads the
 * object code of this file. The functions are never called.
 */
#include <freehold/freehold.h>

#define CALLS(prefix, type)                                                                        \
    void *prefix##_alloc(type *a, size_t n);                                                       \
    void *prefix##_alloc(type *a, size_t n)                                                        \
    {                                                                                              \
        return freehold_alloc(a, n);                                                               \
    }                                                                                              \
    void *prefix##_alloc_zeroed(type *a, size_t n);                                                \
    void *prefix##_alloc_zeroed(type *a, size_t n)                                                 \
    {                                                                                              \
        return freehold_alloc_zeroed(a, n);                                                        \
    }                                                                                              \
    void *prefix##_alloc_aligned(type *a, size_t n, size_t m, size_t o);                           \
    void *prefix##_alloc_aligned(type *a, size_t n, size_t m, size_t o)                            \
    {                                                                                              \
        return freehold_alloc_aligned(a, n, m, o);                                                 \
    }                                                                                              \
    bool prefix##_resize(type *a, void *p, size_t n);                                              \
    bool prefix##_resize(type *a, void *p, size_t n)                                               \
    {                                                                                              \
        return freehold_resize(a, p, n);                                                           \
    }                                                                                              \
    void *prefix##_remap(type *a, void *p, size_t n);                                              \
    void *prefix##_remap(type *a, void *p, size_t n)                                               \
    {                                                                                              \
        return freehold_remap(a, p, n);                                                            \
    }                                                                                              \
    void *prefix##_realloc(type *a, void *p, size_t n);                                            \
    void *prefix##_realloc(type *a, void *p, size_t n)                                             \
    {                                                                                              \
        return freehold_realloc(a, p, n);                                                          \
    }                                                                                              \
    size_t prefix##_free(type *a, void *p);                                                        \
    size_t prefix##_free(type *a, void *p)                                                         \
    {                                                                                              \
        return freehold_free(a, p);                                                                \
    }                                                                                              \
    size_t prefix##_free_sized(type *a, void *p, size_t n);                                        \
    size_t prefix##_free_sized(type *a, void *p, size_t n)                                         \
    {                                                                                              \
        return freehold_free_sized(a, p, n);                                                       \
    }                                                                                              \
    size_t prefix##_usable_size(type *a, const void *p);                                           \
    size_t prefix##_usable_size(type *a, const void *p)                                            \
    {                                                                                              \
        return freehold_usable_size(a, p);                                                         \
    }                                                                                              \
    bool prefix##_owns(type *a, const void *p);                                                    \
    bool prefix##_owns(type *a, const void *p)                                                     \
    {                                                                                              \
        return freehold_owns(a, p);                                                                \
    }                                                                                              \
    void *prefix##_base(type *a, const void *p);                                                   \
    void *prefix##_base(type *a, const void *p)                                                    \
    {                                                                                              \
        return freehold_base(a, p);                                                                \
    }                                                                                              \
    freehold_statistics prefix##_stats(type *a);                                                   \
    freehold_statistics prefix##_stats(type *a)                                                    \
    {                                                                                              \
        return freehold_stats(a);                                                                  \
    }                                                                                              \
    const char *prefix##_check(type *a);                                                           \
    const char *prefix##_check(type *a)                                                            \
    {                                                                                              \
        return freehold_check(a);                                                                  \
    }                                                                                              \
    bool prefix##_walk(type *a, freehold_visitor v, void *c);                                      \
    bool prefix##_walk(type *a, freehold_visitor v, void *c)                                       \
    {                                                                                              \
        return freehold_walk(a, v, c);                                                             \
    }                                                                                              \
    size_t prefix##_trim(type *a);                                                                 \
    size_t prefix##_trim(type *a)                                                                  \
    {                                                                                              \
        return freehold_trim(a);                                                                   \
    }

#ifdef __cplusplus
extern "C" {
#endif
CALLS(typed_heap, freehold_heap)
CALLS(typed_allocator, freehold_allocator)

/* What the check must find, or it would find nothing: a call by way of a table. */
void *planted_indirect(freehold_allocator *a, size_t n);
void *planted_indirect(freehold_allocator *a, size_t n)
{
    return a->operations->allocate(a, n, 16, 0, false);
}
#ifdef __cplusplus
}
#endif
