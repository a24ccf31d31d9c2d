/* SPDX-License-Identifier: MIT */
/*
 * The interface of every allocator. The contract is written here, once.
 *
 *     freehold_heap heap;                          a typed allocator, by value
 *     freehold_heap_init(&heap);
 *     void *p = freehold_alloc(&heap, 100);        a direct call: the type of &heap chooses it
 *     freehold_allocator *any = &heap.base;
 *     void *q = freehold_alloc(any, 100);          the same by way of the table of operations
 *     freehold_free(any, p);
 *     freehold_heap_deinit(&heap);
 *
 * The first argument of every function below is a pointer to a typed allocator (freehold_heap *) or
 * to the base that each of them has as its first member (freehold_allocator *). Any other type does
 * not compile. Each argument is evaluated once. In C these are macros over _Generic, in C++
 * overloads.
 *
 * Sizes and addresses  Sizes are in bytes. A request of 0 bytes gives NULL, and is no failure. A
 *                      block is a multiple of the allocator's alignment (base.alignment, at least
 *                      16), and no byte of it, before, during or after its life, is used by the
 *                      allocator.
 * Failure              When memory is out, or a size or an alignment is more than there can be, the
 *                      result is NULL or false, and nothing has changed. errno is left alone.
 * Misuse               A pointer that is not a live block of this allocator, and an allocator that
 *                      is not initialised or of another type, are fatal in every build, with an
 *                      exact report (freehold/fatal.h). The report comes before anything is
 *                      changed, and without a lock held. A block may be freed only by the allocator
 *                      that it came from; another one calls it foreign.
 * Threads              Each typed allocator says in its header which threads may use it.
 *                      Initialising and ending an allocator is for one thread, while no other one
 *                      uses it.
 * Cost                 Constant time, but for what a function or a header says otherwise.
 */
#ifndef FREEHOLD_ALLOCATOR_H
#define FREEHOLD_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freehold/api.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct freehold_allocator freehold_allocator;
typedef struct freehold_heap freehold_heap; /* freehold/heap.h */

/* What an allocator has counted. Numbers without a word are now, the others say since when. */
typedef struct freehold_statistics {
    uint64_t allocations;  /* blocks handed out, ever; a block that moves counts as a new one */
    uint64_t frees;        /* blocks taken back, ever: allocations - frees are live */
    uint64_t failures;     /* requests that memory could not be found for, ever */
    size_t live_bytes;     /* of live blocks, each with its usable size */
    size_t used_bytes;     /* of pages that have live blocks, or may have in a moment */
    size_t peak_bytes;     /* the most that used_bytes has been, or a little above */
    size_t mapped_bytes;   /* address space for blocks */
    size_t retained_bytes; /* free pages that may be resident */
    uint64_t purged_bytes; /* given back to the system, ever */
} freehold_statistics;

/* Is given each live block, with its usable size; false ends the walk. It must not call the
 * allocator. */
typedef bool (*freehold_visitor)(void *context, void *block, size_t bytes);

/* ---- writing an allocator -------------------------------------------------------------------- */

/*
 * The operations of a type of allocators. allocate and free must be there, the others may be NULL.
 * They are never called with a NULL block, with 0 bytes, or with an alignment that is no power of
 * two or below the allocator's own: a remap to 0 bytes comes as a free, one of NULL as an allocate.
 * Whether a block is one of its own is for the operation to say: freehold_misused reports that it
 * is not. examples/count.c is an allocator in fifty lines.
 */
typedef struct freehold_operations {
    uint64_t magic;   /* of the type: FREEHOLD_MAGIC */
    const char *name; /* of the type, for reports: "heap" */

    /* A block with block + offset a multiple of alignment, offset < alignment; all zero when
     * zeroed. */
    void *(*allocate)(
        freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed);
    size_t (*free)(freehold_allocator *self, void *block);

    bool (*resize)(freehold_allocator *self, void *block, size_t bytes); /* NULL: always false */
    /* NULL: allocate, copy and free, if there is usable_size; else it fails. */
    void *(*remap)(freehold_allocator *self, void *block, size_t bytes);
    void *(*realloc)(
        freehold_allocator *self, void *block, size_t bytes); /* NULL: resize, else remap */
    /* NULL: freed, when the size is no larger than usable_size. */
    size_t (*free_sized)(freehold_allocator *self, void *block, size_t bytes);
    size_t (*usable_size)(freehold_allocator *self, const void *block); /* NULL: 0 */
    void *(*base)(freehold_allocator *self, const void *pointer);       /* NULL: owns nothing */
    freehold_statistics (*stats)(freehold_allocator *self);             /* NULL: all 0 */
    const char *(*check)(freehold_allocator *self);                     /* NULL: finds nothing */
    bool (*walk)(freehold_allocator *self, freehold_visitor visit, void *context); /* NULL: false */
    size_t (*trim)(freehold_allocator *self);                                      /* NULL: 0 */
    void (*reserved[4])(void);
} freehold_operations;

/* What every typed allocator begins with. It must not be copied or moved: the seal knows its
 * address. */
struct freehold_allocator {
    const freehold_operations *operations;
    uint64_t seal; /* the magic of the type and the address of this structure; 0: not initialised */
    size_t alignment;      /* every block is a multiple of it: a power of two, at least 16 */
    uintptr_t reserved[5]; /* 0 */
};

/* Eight characters that no other type has: the library's own begin with "fh". */
#define FREEHOLD_MAGIC(a, b, c, d, e, f, g, h)                                                     \
    ((uint64_t)(a) << 56 | (uint64_t)(b) << 48 | (uint64_t)(c) << 40 | (uint64_t)(d) << 32 |       \
        (uint64_t)(e) << 24 | (uint64_t)(f) << 16 | (uint64_t)(g) << 8 | (uint64_t)(h))

/* The smallest alignment of any allocator. */
#define FREEHOLD_ALIGNMENT 16

/*
 * Makes the base of an allocator usable, and unusable again: from then on each call with it is
 * fatal, until it is initialised anew. The alignment is rounded up to a power of two, at least
 * FREEHOLD_ALIGNMENT.
 */
FREEHOLD_API void freehold_allocator_init(
    freehold_allocator *allocator, const freehold_operations *operations, size_t alignment);
FREEHOLD_API void freehold_allocator_deinit(freehold_allocator *allocator);

/* For an operation: the pointer is not a live block of this allocator. Reports it as foreign; does
 * not return. */
FREEHOLD_API void freehold_misused(
    freehold_allocator *allocator, const char *function, const void *pointer);

/* ---- the functions --------------------------------------------------------------------------- */

/* The set of functions of one type: freehold_heap_alloc and so on, and freehold_allocator_alloc for
 * the base. */
#define FREEHOLD__DECLARE(type, unused)                                                            \
    FREEHOLD_API void *freehold_##type##_alloc(freehold_##type *allocator, size_t bytes);          \
    FREEHOLD_API void *freehold_##type##_alloc_zeroed(freehold_##type *allocator, size_t bytes);   \
    FREEHOLD_API void *freehold_##type##_alloc_aligned(                                            \
        freehold_##type *allocator, size_t bytes, size_t alignment, size_t offset);                \
    FREEHOLD_API bool freehold_##type##_resize(                                                    \
        freehold_##type *allocator, void *block, size_t bytes);                                    \
    FREEHOLD_API void *freehold_##type##_remap(                                                    \
        freehold_##type *allocator, void *block, size_t bytes);                                    \
    FREEHOLD_API void *freehold_##type##_realloc(                                                  \
        freehold_##type *allocator, void *block, size_t bytes);                                    \
    FREEHOLD_API size_t freehold_##type##_free(freehold_##type *allocator, void *block);           \
    FREEHOLD_API size_t freehold_##type##_free_sized(                                              \
        freehold_##type *allocator, void *block, size_t bytes);                                    \
    FREEHOLD_API size_t freehold_##type##_usable_size(                                             \
        freehold_##type *allocator, const void *block);                                            \
    FREEHOLD_API bool freehold_##type##_owns(freehold_##type *allocator, const void *pointer);     \
    FREEHOLD_API void *freehold_##type##_base(freehold_##type *allocator, const void *pointer);    \
    FREEHOLD_API freehold_statistics freehold_##type##_stats(freehold_##type *allocator);          \
    FREEHOLD_API const char *freehold_##type##_check(freehold_##type *allocator);                  \
    FREEHOLD_API bool freehold_##type##_walk(                                                      \
        freehold_##type *allocator, freehold_visitor visit, void *context);                        \
    FREEHOLD_API size_t freehold_##type##_trim(freehold_##type *allocator);

/* The typed allocators: a new one is entered here, and nowhere else. */
#define FREEHOLD__EACH_TYPE(X, argument) X(heap, argument)

FREEHOLD__DECLARE(allocator, )
FREEHOLD__EACH_TYPE(FREEHOLD__DECLARE, )

#ifdef __cplusplus
} /* extern "C" */
#define FREEHOLD__OVERLOAD(type, unused)                                                           \
    inline void *freehold_alloc(freehold_##type *a, size_t bytes)                                  \
    {                                                                                              \
        return freehold_##type##_alloc(a, bytes);                                                  \
    }                                                                                              \
    inline void *freehold_alloc_zeroed(freehold_##type *a, size_t bytes)                           \
    {                                                                                              \
        return freehold_##type##_alloc_zeroed(a, bytes);                                           \
    }                                                                                              \
    inline void *freehold_alloc_aligned(                                                           \
        freehold_##type *a, size_t bytes, size_t alignment, size_t offset)                         \
    {                                                                                              \
        return freehold_##type##_alloc_aligned(a, bytes, alignment, offset);                       \
    }                                                                                              \
    inline bool freehold_resize(freehold_##type *a, void *block, size_t bytes)                     \
    {                                                                                              \
        return freehold_##type##_resize(a, block, bytes);                                          \
    }                                                                                              \
    inline void *freehold_remap(freehold_##type *a, void *block, size_t bytes)                     \
    {                                                                                              \
        return freehold_##type##_remap(a, block, bytes);                                           \
    }                                                                                              \
    inline void *freehold_realloc(freehold_##type *a, void *block, size_t bytes)                   \
    {                                                                                              \
        return freehold_##type##_realloc(a, block, bytes);                                         \
    }                                                                                              \
    inline size_t freehold_free(freehold_##type *a, void *block)                                   \
    {                                                                                              \
        return freehold_##type##_free(a, block);                                                   \
    }                                                                                              \
    inline size_t freehold_free_sized(freehold_##type *a, void *block, size_t bytes)               \
    {                                                                                              \
        return freehold_##type##_free_sized(a, block, bytes);                                      \
    }                                                                                              \
    inline size_t freehold_usable_size(freehold_##type *a, const void *block)                      \
    {                                                                                              \
        return freehold_##type##_usable_size(a, block);                                            \
    }                                                                                              \
    inline bool freehold_owns(freehold_##type *a, const void *pointer)                             \
    {                                                                                              \
        return freehold_##type##_owns(a, pointer);                                                 \
    }                                                                                              \
    inline void *freehold_base(freehold_##type *a, const void *pointer)                            \
    {                                                                                              \
        return freehold_##type##_base(a, pointer);                                                 \
    }                                                                                              \
    inline freehold_statistics freehold_stats(freehold_##type *a)                                  \
    {                                                                                              \
        return freehold_##type##_stats(a);                                                         \
    }                                                                                              \
    inline const char *freehold_check(freehold_##type *a)                                          \
    {                                                                                              \
        return freehold_##type##_check(a);                                                         \
    }                                                                                              \
    inline bool freehold_walk(freehold_##type *a, freehold_visitor visit, void *context)           \
    {                                                                                              \
        return freehold_##type##_walk(a, visit, context);                                          \
    }                                                                                              \
    inline size_t freehold_trim(freehold_##type *a)                                                \
    {                                                                                              \
        return freehold_##type##_trim(a);                                                          \
    }
FREEHOLD__OVERLOAD(allocator, )
FREEHOLD__EACH_TYPE(FREEHOLD__OVERLOAD, )
#else
#define FREEHOLD__CASE(type, name) freehold_##type * : freehold_##type##name,
/* The function for the type of the allocator. The names have their underscore so that no macro can
 * be in their way. */
#define FREEHOLD__PICK(allocator, name)                                                            \
    _Generic((allocator), FREEHOLD__EACH_TYPE(FREEHOLD__CASE, name) freehold_allocator *           \
             : freehold_allocator##name)
#endif

#ifndef __cplusplus
/* A block of at least so many bytes, or NULL. */
#define freehold_alloc(allocator, bytes) FREEHOLD__PICK(allocator, _alloc)((allocator), (bytes))

/* The same, reading zero in all `bytes` bytes. Memory that is known to read zero is not written. */
#define freehold_alloc_zeroed(allocator, bytes)                                                    \
    FREEHOLD__PICK(allocator, _alloc_zeroed)((allocator), (bytes))

/*
 * A block with block + offset a multiple of `alignment`, a power of two. NULL when it is none; and
 * NULL when block could then not be a multiple of the allocator's own alignment. The typed
 * allocator's header says which offsets it can do. A block that is moved later has the allocator's
 * alignment alone.
 */
#define freehold_alloc_aligned(allocator, bytes, alignment, offset)                                \
    FREEHOLD__PICK(allocator, _alloc_aligned)((allocator), (bytes), (alignment), (offset))

/*
 * Gives a live block another size where it is, contents kept up to the smaller one. False: it has
 * the old size. Always false for NULL and for 0 bytes.
 */
#define freehold_resize(allocator, block, bytes)                                                   \
    FREEHOLD__PICK(allocator, _resize)((allocator), (block), (bytes))

/*
 * The same, but the block may move: the result is where it is now. NULL: it is as it was. A NULL
 * block is allocated, and 0 bytes free the block and give NULL. What a block gains is not zeroed.
 * Linear in what must be copied.
 */
#define freehold_remap(allocator, block, bytes)                                                    \
    FREEHOLD__PICK(allocator, _remap)((allocator), (block), (bytes))

/* freehold_resize where it does, else freehold_remap. */
#define freehold_realloc(allocator, block, bytes)                                                  \
    FREEHOLD__PICK(allocator, _realloc)((allocator), (block), (bytes))

/* Ends a block, and returns the bytes that this released: its usable size. NULL is no block, and
 * releases 0. */
#define freehold_free(allocator, block) FREEHOLD__PICK(allocator, _free)((allocator), (block))

/* The same; that the block cannot have been asked for, or resized to, with so many bytes is fatal.
 * */
#define freehold_free_sized(allocator, block, bytes)                                               \
    FREEHOLD__PICK(allocator, _free_sized)((allocator), (block), (bytes))

/* Bytes of a live block that may be used: at least as many as were asked for. 0 for NULL. */
#define freehold_usable_size(allocator, block)                                                     \
    FREEHOLD__PICK(allocator, _usable_size)((allocator), (block))

/* Whether the pointer, any pointer, points into a live block. Cost as freehold_base. */
#define freehold_owns(allocator, pointer) FREEHOLD__PICK(allocator, _owns)((allocator), (pointer))

/* The start of the live block that the pointer, any pointer, points into; NULL when there is none.
 * */
#define freehold_base(allocator, pointer) FREEHOLD__PICK(allocator, _base)((allocator), (pointer))

/* Linear in the pages of the allocator. */
#define freehold_stats(allocator) FREEHOLD__PICK(allocator, _stats)((allocator))

/* The full validator: NULL, or what is wrong with the allocator's own state. Linear in the pages of
 * the allocator. */
#define freehold_check(allocator) FREEHOLD__PICK(allocator, _check)((allocator))

/* Visits every live block, in no order. False: the visitor has ended it, or the allocator cannot.
 * Linear. */
#define freehold_walk(allocator, visit, context)                                                   \
    FREEHOLD__PICK(allocator, _walk)((allocator), (visit), (context))

/*
 * Gives all free memory back that can be, and returns how many bytes: some of them may have been
 * given back before, and not touched since. Linear in the pages of the allocator.
 */
#define freehold_trim(allocator) FREEHOLD__PICK(allocator, _trim)((allocator))
#endif

#endif
