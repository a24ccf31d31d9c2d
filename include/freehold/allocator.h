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
typedef struct freehold_arena freehold_arena;               /* freehold/arena.h */
typedef struct freehold_buddy freehold_buddy;               /* freehold/buddy.h */
typedef struct freehold_budget freehold_budget;             /* freehold/budget.h */
typedef struct freehold_cpu_heap freehold_cpu_heap;         /* freehold/cpu_heap.h */
typedef struct freehold_debug freehold_debug;               /* freehold/debug.h */
typedef struct freehold_fallback freehold_fallback;         /* freehold/fallback.h */
typedef struct freehold_heap freehold_heap;                 /* freehold/heap.h */
typedef struct freehold_limit freehold_limit;               /* freehold/limit.h */
typedef struct freehold_locked freehold_locked;             /* freehold/locked.h */
typedef struct freehold_object_cache freehold_object_cache; /* freehold/object_cache.h */
typedef struct freehold_page freehold_page;                 /* freehold/page.h */
typedef struct freehold_region freehold_region;             /* freehold/region.h */
typedef struct freehold_slab freehold_slab;                 /* freehold/slab.h */
typedef struct freehold_trace freehold_trace;               /* freehold/trace.h */

/* What an allocator has counted: since it was initialised, or, where it says so, is now. */
typedef struct freehold_statistics {
    uint64_t requested_bytes; /* asked for in all allocations and reallocations that were granted */
    uint64_t allocations;     /* blocks handed out; one that moves counts as a new one and a free */
    uint64_t frees;           /* blocks taken back: allocations - frees are live */
    uint64_t reallocations;   /* resizes that were granted, in place or not */
    uint64_t failures;        /* refused for want of memory, each try of a request (a policy) */
    size_t live_bytes;        /* now: of live blocks, each with its usable size */
    size_t peak_live_bytes;   /* the most that live_bytes has been; 0: it is not counted */
    size_t used_bytes;        /* now: of pages that have live blocks, or may have in a moment */
    size_t peak_bytes;        /* the most that used_bytes has been, or a little above */
    size_t mapped_bytes;      /* now: address space for blocks */
    size_t retained_bytes;    /* now: free pages that may be resident */
    uint64_t purged_bytes;    /* given back to where the memory came from */
} freehold_statistics;

/* Is given each live block, with its usable size; false ends the walk. It must not call the
 * allocator, nor leave by a jump: the allocator's locks are held. */
typedef bool (*freehold_visitor)(void *context, void *block, size_t bytes);

/* Why the last request that an allocator refused was refused (freehold_last_error). */
typedef enum freehold_error {
    FREEHOLD_OK,          /* nothing was refused yet */
    FREEHOLD_INVALID,     /* an alignment or offset that there cannot be */
    FREEHOLD_NO_MEMORY,   /* memory is out, or the request larger than memory */
    FREEHOLD_LIMIT,       /* a limit was reached (freehold/limit.h) */
    FREEHOLD_UNSUPPORTED, /* this allocator does not do that */
    FREEHOLD_OVERLAP,     /* memory that is added is there already (freehold/buddy.h) */
    FREEHOLD_TOO_SMALL,   /* memory that is added is too little for its purpose */
} freehold_error;

/* What a validator has found wrong first (freehold_first_corrupt). */
typedef struct freehold_corruption {
    const char *what;  /* as freehold_check has said it; NULL: nothing */
    const void *where; /* the part of the allocator's state, or the memory; NULL: not known */
    uint64_t expected; /* what the rest of the state says; the same as found: that is not known */
    uint64_t found;    /* what is there */
} freehold_corruption;

/*
 * What an allocator does before it refuses a request, for every function that allocates, typed or
 * by way of the table. The structure stays the caller's, and must outlive its use.
 *
 * A request that fails is tried again, up to `retries` times; before each, `reclaim` is asked to
 * give memory up somewhere (it may use the allocator; a request of its own that fails asks it anew, so
 * that it must end that), and there is no further try when it answers
 * false. Then the fallback is asked: its blocks are freed, resized and looked at by way of this
 * allocator, and go back to where they came from. So it needs an allocator that knows its own
 * blocks (freehold_owns). Last, with `abort`, the process ends with a report.
 */
typedef struct freehold_policy {
    unsigned retries;
    bool (*reclaim)(void *context, freehold_allocator *allocator, size_t bytes); /* or NULL */
    void *context;
    freehold_allocator *fallback; /* or NULL */
    bool abort;
} freehold_policy;

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
    void (*reset_stats)(freehold_allocator *self); /* NULL: nothing */
    void (*reserved[3])(void);
} freehold_operations;

/* What every typed allocator begins with. It must not be copied or moved: the seal knows its
 * address. */
struct freehold_allocator {
    const freehold_operations *operations;
    uint64_t seal; /* the magic of the type and the address of this structure; 0: not initialised */
    size_t alignment; /* every block is a multiple of it: a power of two, at least 16 */
    const freehold_policy *policy; /* freehold_set_policy; NULL: a request is tried once */
    uint32_t error;                /* freehold_error of the last refusal */
    uint32_t changed;              /* since freehold_validate last found nothing wrong */
    uintptr_t reserved[3];         /* 0 */
} FREEHOLD__ALIGNED_8; /* what follows it in a type has 64-bit atomics, also where words have 32 bits */

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

/* For an operation: its check has found this wrong, for freehold_first_corrupt. Equal values stand
 * for none. Returns `what`, which is to stay: a constant, or in the allocator. */
FREEHOLD_API const char *freehold_corrupted(
    const char *what, const void *where, uint64_t expected, uint64_t found);

/* ---- the functions --------------------------------------------------------------------------- */

/*
 * Every function of the interface, as F(type, result, name, (parameters), (arguments)): from this
 * list come the typed functions (freehold_heap_alloc and so on, and freehold_allocator_alloc for
 * the base), C++'s overloads, and in the library the definitions of all of them.
 */
#define FREEHOLD__SELF self
#define FREEHOLD__EACH_FUNCTION(F, T)                                                              \
    F(T, void *, alloc, (freehold_##T * self, size_t bytes), (FREEHOLD__SELF, bytes))              \
    F(T, void *, alloc_zeroed, (freehold_##T * self, size_t bytes), (FREEHOLD__SELF, bytes))       \
    F(T, void *, alloc_aligned,                                                                    \
        (freehold_##T * self, size_t bytes, size_t alignment, size_t offset),                      \
        (FREEHOLD__SELF, bytes, alignment, offset))                                                \
    F(T, bool, resize, (freehold_##T * self, void *block, size_t bytes),                           \
        (FREEHOLD__SELF, block, bytes))                                                            \
    F(T, void *, remap, (freehold_##T * self, void *block, size_t bytes),                          \
        (FREEHOLD__SELF, block, bytes))                                                            \
    F(T, void *, realloc, (freehold_##T * self, void *block, size_t bytes),                        \
        (FREEHOLD__SELF, block, bytes))                                                            \
    F(T, size_t, free, (freehold_##T * self, void *block), (FREEHOLD__SELF, block))                \
    F(T, size_t, free_sized, (freehold_##T * self, void *block, size_t bytes),                     \
        (FREEHOLD__SELF, block, bytes))                                                            \
    F(T, size_t, free_zeroed, (freehold_##T * self, void *block), (FREEHOLD__SELF, block))         \
    F(T, size_t, usable_size, (freehold_##T * self, const void *block), (FREEHOLD__SELF, block))   \
    F(T, bool, owns, (freehold_##T * self, const void *pointer), (FREEHOLD__SELF, pointer))        \
    F(T, void *, base, (freehold_##T * self, const void *pointer), (FREEHOLD__SELF, pointer))      \
    F(T, freehold_statistics, stats, (freehold_##T * self), (FREEHOLD__SELF))                      \
    F(T, bool, reset_stats, (freehold_##T * self), (FREEHOLD__SELF))                               \
    F(T, const char *, check, (freehold_##T * self), (FREEHOLD__SELF))                             \
    F(T, const char *, validate, (freehold_##T * self), (FREEHOLD__SELF))                          \
    F(T, bool, walk, (freehold_##T * self, freehold_visitor visit, void *context),                 \
        (FREEHOLD__SELF, visit, context))                                                          \
    F(T, size_t, trim, (freehold_##T * self), (FREEHOLD__SELF))                                    \
    F(T, freehold_error, last_error, (freehold_##T * self), (FREEHOLD__SELF))

/* The typed allocators: a new one is entered here, and nowhere else. */
/* clang-format off */
#define FREEHOLD__EACH_TYPE(X, argument) \
    X(arena, argument) \
    X(buddy, argument) \
    X(budget, argument) \
    X(cpu_heap, argument) \
    X(debug, argument) \
    X(fallback, argument) \
    X(heap, argument) \
    X(limit, argument) \
    X(locked, argument) \
    X(object_cache, argument) \
    X(page, argument) \
    X(region, argument) \
    X(slab, argument) \
    X(trace, argument)
/* clang-format on */

#define FREEHOLD__DECLARE_ONE(T, result, name, parameters, arguments)                              \
    FREEHOLD_API result freehold_##T##_##name parameters;
#define FREEHOLD__DECLARE(T, unused) FREEHOLD__EACH_FUNCTION(FREEHOLD__DECLARE_ONE, T)
FREEHOLD__DECLARE(allocator, )
FREEHOLD__EACH_TYPE(FREEHOLD__DECLARE, )

#ifdef __cplusplus
} /* extern "C" */
#define FREEHOLD__OVERLOAD_ONE(T, result, name, parameters, arguments)                             \
    inline result freehold_##name parameters                                                       \
    {                                                                                              \
        return freehold_##T##_##name arguments;                                                    \
    }
#define FREEHOLD__OVERLOAD(T, unused) FREEHOLD__EACH_FUNCTION(FREEHOLD__OVERLOAD_ONE, T)
FREEHOLD__OVERLOAD(allocator, )
FREEHOLD__EACH_TYPE(FREEHOLD__OVERLOAD, )
#else
/* The function for the type of the allocator. The names have their underscore so that no macro can
 * be in their way. */
#define FREEHOLD__CASE(T, name) freehold_##T * : freehold_##T##name,
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

/* The same as freehold_free, and all of the block is overwritten with zeros before: its usable size. Linear. */
#define freehold_free_zeroed(allocator, block)                                                     \
    FREEHOLD__PICK(allocator, _free_zeroed)((allocator), (block))

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

/* Begins the counts anew: what is live stays counted, and is the new peak. False: this allocator
 * keeps no counts. */
#define freehold_reset_stats(allocator) FREEHOLD__PICK(allocator, _reset_stats)((allocator))

/* The full validator: NULL, or what is wrong with the allocator's own state, the first thing that it
 * finds; freehold_first_corrupt says where. Linear in the pages of the allocator. */
#define freehold_check(allocator) FREEHOLD__PICK(allocator, _check)((allocator))

/* The same, unless it found nothing the last time and no call has changed anything since: to be
 * called often. */
#define freehold_validate(allocator) FREEHOLD__PICK(allocator, _validate)((allocator))

/* Visits every live block, in no order. False: the visitor has ended it, or the allocator cannot.
 * Linear. */
#define freehold_walk(allocator, visit, context)                                                   \
    FREEHOLD__PICK(allocator, _walk)((allocator), (visit), (context))

/*
 * Gives all free memory back that can be, and returns how many bytes: some of them may have been
 * given back before, and not touched since. Linear in the pages of the allocator.
 */
#define freehold_trim(allocator) FREEHOLD__PICK(allocator, _trim)((allocator))

/* Why the last refused request was refused, by any thread. */
#define freehold_last_error(allocator) FREEHOLD__PICK(allocator, _last_error)((allocator))
#endif

/* ---- for any allocator ------------------------------------------------------------------------- */

#ifdef __cplusplus
extern "C" {
#endif

/* What the allocator does before it refuses a request; NULL: it refuses at once. The fallback must
 * not be changed while it has blocks. */
FREEHOLD_API void freehold_set_policy(freehold_allocator *allocator, const freehold_policy *policy);

/* A push that has not been popped: the caller's, who looks at nothing in it. */
typedef struct freehold_scope {
    freehold_allocator *allocator;
    struct freehold_scope *outer;
} freehold_scope;

/*
 * The allocator of the thread: what code that takes none is to use. It begins as a heap of the
 * process, and is never NULL. push makes another one current until its pop; `scope` is the caller's,
 * and lives as long. They nest; a pop that is not of the last push is fatal.
 */
FREEHOLD_API freehold_allocator *freehold_current(void);
FREEHOLD_API void freehold_push(freehold_scope *scope, freehold_allocator *allocator);
FREEHOLD_API void freehold_pop(freehold_scope *scope);

/*
 * The same for the statement or block that follows, also when it is left early by break, return or
 * goto (GCC and Clang; not by longjmp):
 *
 *     FREEHOLD_WITH (&arena.base) {
 *         parse(text);                     uses freehold_current()
 *     }
 */
#if defined(__GNUC__)
#define FREEHOLD_WITH(new_allocator)                                                               \
    for (freehold_scope freehold__scope                                                            \
         __attribute__((cleanup(freehold__scope_end))) = freehold__scope_begin(),                  \
         *freehold__once = (freehold_push(&freehold__scope, (new_allocator)), &freehold__scope);   \
         freehold__once != NULL; freehold__once = NULL)
static inline freehold_scope freehold__scope_begin(void)
{
    freehold_scope none = {NULL, NULL};
    return none;
}
static inline void freehold__scope_end(freehold_scope *scope)
{
    freehold_pop(scope);
}
#endif

/*
 * More of what a freehold_check, freehold_validate or freehold_index_pool_check of the calling thread
 * has just found wrong: where, and which values do not agree. `what` is NULL when it has found
 * nothing.
 */
FREEHOLD_API freehold_corruption freehold_first_corrupt(void);

/*
 * Writes what the allocator is and has, as lines of text without their newlines: its type, its
 * statistics, what the validator finds and where, and with `blocks` every live block and a histogram of their
 * sizes by powers of two. The writer must not use the allocator. Linear.
 */
FREEHOLD_API void freehold_dump(freehold_allocator *allocator,
    void (*write_line)(void *context, const char *line), void *context, bool blocks);

#ifdef __cplusplus
}
#endif

#endif
