/* SPDX-License-Identifier: MIT */
/*
 * The allocators that the conformance suite runs on. A new one is a line here:
 *
 *     R(name, type, how to begin one, what it does not do ...)
 *
 * The type is what stands behind freehold_. To begin one, `a` is the structure, `under` a fresh
 * heap for those that need an allocator below them, and `buffer` are ROW_BUFFER bytes. What is not
 * said is that it does everything (struct row).
 */
#ifndef FREEHOLD_TESTS_FAMILY_ROWS_H
#define FREEHOLD_TESTS_FAMILY_ROWS_H

#include <pthread.h>
#include <string.h>

#include "checker.h"

#define ROW_BUFFER ((size_t)128 * 1024 * 1024)

typedef struct row_limits {
    size_t largest;        /* the most bytes of a block; 0: as memory permits */
    freehold_error beyond; /* why a request for more is refused; 0: memory is out */
    size_t fixed;          /* usable size of every block; 0: as asked for */
    size_t most_aligned;   /* the largest alignment; 0: any */
    bool by_chance;  /* beyond that, and with offsets, it has a block that happens to be there, or
                     * none */
    bool any_offset; /* offsets that are multiples of its alignment work, and not only of that asked
                      * for */
    size_t same_up_to; /* up to that size its answers depend on nothing but the calls; 0: always */
    size_t same_aligned; /* likewise up to that alignment; 0: always */
    bool ends_no_block;  /* its blocks are its parent's, also after its end */
    bool parents_pages;  /* its statistics of pages are its parent's, which has its own resets */
    bool keeps;          /* a free gives no memory back for the next request */
    bool no_usable;      /* knows no usable size: then it cannot move a block either */
    bool no_base;        /* does not know its own blocks: owns, base, fallback */
    bool no_walk;        /* cannot visit its blocks */
    bool no_stats;       /* counts nothing */
    bool no_resizes;     /* counts no resizes that the interface makes for it */
    bool no_misuse;      /* reports no misuse of blocks */
    bool by_user;        /* is written outside the library: its refusals are for want of memory */
    bool no_trim;        /* keeps what is free until its end */
    bool few_sizes;      /* is slow, or a heap for the most part: fewer sizes are tried when each
                         * call of the port fails */
    bool one_thread;     /* is for one thread at a time */
    unsigned asks;       /* calls of the port when it is begun: without them it would be none */
    bool given;          /* has the memory that it was given, which may be resident, and no other */
} row_limits;

/* A budget over the start of the buffer, with its words behind that. */
#define ROW_SLOT   ((size_t)1024)
#define ROW_SLOTS  ((size_t)4096)
#define ROW_BUDGET (ROW_SLOT * ROW_SLOTS)

static inline freehold_allocator *row_budget(freehold_budget *budget, void *buffer)
{
    uint64_t *words = (uint64_t *)(void *)((unsigned char *)buffer + ROW_BUDGET);
    freehold_budget_init(
        budget, buffer, ROW_BUDGET, ROW_SLOT, words, FREEHOLD_BITMAP_WORDS(ROW_SLOTS));
    return &budget->base;
}

/* The same, for another allocator: the structure lies behind the words. */
static inline freehold_allocator *row_inner_budget(void *buffer)
{
    return row_budget(
        (freehold_budget *)(void *)((unsigned char *)buffer + 2 * ROW_BUDGET), buffer);
}

/* A region over all of the buffer, where one of a test that has left early may be. */
static inline void row_region(freehold_region *region, void *buffer, size_t granule, bool pages)
{
    freehold_region_options options = {.granule = granule, .pages = pages, .overwrite = true};
    freehold_region_init_with(region, buffer, ROW_BUFFER, &options);
}

/*
 * The same between processes, of which there is one here. What begins and ends it is of another kind: it asks for
 * its lock, and is left, not ended. All the rest is the region's.
 */
#define shared_region_functions region_functions

static inline void row_shared_region(freehold_shared_region *shared, void *buffer)
{
    static const freehold_shared_region_options options = {.overwrite = true};
    freehold_shared_region_create(shared, buffer, ROW_BUFFER, &options);
}

static inline void freehold_shared_region_deinit(void *shared)
{
    freehold_shared_region_detach(shared);
}

/* CPUs that threads are on one at a time; it may be the same thread again. */
static pthread_mutex_t row_cpu[2];

__attribute__((constructor)) static void make_row_cpus(void)
{
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    for (unsigned i = 0; i < 2; i++)
        pthread_mutex_init(&row_cpu[i], &kind);
    pthread_mutexattr_destroy(&kind);
}

/* Page frames: nearly the whole buffer, with its state at its start. */
static inline freehold_allocator *row_buddy(
    freehold_buddy *buddy, void *buffer, const freehold_buddy_options *options)
{
    uintptr_t start = ((uintptr_t)buffer + 4095) & ~(uintptr_t)4095;
    freehold_buddy_init(buddy, options);
    freehold_buddy_add(buddy, (void *)start, ROW_BUFFER - 8192);
    return &buddy->base;
}

/* The same with a cache of pages. One CPU is all threads, and what keeps two from being there is
 * the cache's own lock. */
static inline unsigned row_enter(void)
{
    return 0;
}

static inline void row_leave(unsigned cpu)
{
    (void)cpu;
}

static inline freehold_allocator *row_cached_buddy(freehold_buddy *buddy, void *buffer)
{
    static const freehold_cpus cpus = {1, row_enter, row_leave};
    freehold_buddy_cache *cache =
        (freehold_buddy_cache *)(void *)((unsigned char *)buffer + ROW_BUFFER - 4096);
    memset(cache, 0, sizeof *cache);
    return row_buddy(buddy, buffer, &(freehold_buddy_options){.cpus = &cpus, .caches = cache});
}

/* A heap with two CPUs. The threads are on them in turn, and one at a time on each. */
static inline unsigned row_cpu_enter(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine;
    if (mine == 0)
        mine = ++threads;
    pthread_mutex_lock(&row_cpu[mine % 2]);
    return mine % 2;
}

static inline void row_cpu_leave(unsigned cpu)
{
    pthread_mutex_unlock(&row_cpu[cpu]);
}

static inline freehold_allocator *row_cpu_heap(freehold_cpu_heap *heap, void *buffer)
{
    static const freehold_cpus cpus = {2, row_cpu_enter, row_cpu_leave};
    freehold_cpu_heap_init(heap, &cpus, (freehold_cpu_lane *)buffer);
    return &heap->base;
}

/* clang-format off */
#if defined(_WIN32) /* where processes cannot share a region */
#define ROWS_OF_PROCESSES(R)
#else
#define ROWS_OF_PROCESSES(R)                                                                       \
    R(shared_region, shared_region, row_shared_region(a, buffer),                                  \
        .any_offset = true, .no_trim = true, .given = true, .asks = 1)
#endif
#define EACH_ROW(R)                                                                                \
    R(heap, heap, freehold_heap_init(a), .any_offset = true, .same_up_to = 524288)                 \
    R(heap_of_64, heap, freehold_heap_init_aligned(a, 64),                                         \
        .any_offset = true, .same_up_to = 524288, .few_sizes = true)                               \
    R(heap_stepped, heap, freehold_heap_init_classes(a, 16, &freehold_classes_stepped),            \
        .any_offset = true, .same_up_to = 2048, .same_aligned = 1024, .few_sizes = true)           \
    R(heap_powers, heap, freehold_heap_init_classes(a, 64, &freehold_classes_powers),              \
        .any_offset = true, .same_up_to = 2048, .same_aligned = 1024, .few_sizes = true)           \
    R(arena, arena, freehold_arena_init(a, under),                                                 \
        .any_offset = true, .same_up_to = 524288, .same_aligned = 16,                              \
        .keeps = true, .one_thread = true, .few_sizes = true)                                      \
    R(buddy, buddy, row_buddy(a, buffer, NULL),                                                    \
        .most_aligned = (size_t)1 << 20, .by_chance = true, .no_trim = true, .given = true)                       \
    R(cached_buddy, buddy, row_cached_buddy(a, buffer),                                            \
        .most_aligned = (size_t)1 << 20, .by_chance = true, .no_trim = true, .given = true)                       \
    R(budget, budget, row_budget(a, buffer),                                                       \
        .largest = ROW_SLOT, .fixed = ROW_SLOT, .most_aligned = ROW_SLOT, .by_chance = true,       \
        .no_trim = true, .one_thread = true)                                                       \
    R(object_cache, object_cache,                                                                  \
        freehold_object_cache_init(a, under, &(freehold_object_kind){.bytes = 1000}),              \
        .largest = 1008, .fixed = 1008, .most_aligned = 16, .one_thread = true)                    \
    R(cpu_heap, cpu_heap, row_cpu_heap(a, buffer), .same_up_to = 524288)                           \
    R(debug, debug, freehold_debug_init(a, under, NULL, NULL),                                     \
        .any_offset = true, .same_up_to = 500000, .parents_pages = true, .few_sizes = true)        \
    R(debug_pages, debug,                                                                          \
        freehold_debug_init(a, NULL, NULL, &(freehold_debug_options){.pages = true}),              \
        .any_offset = true, .keeps = true, .few_sizes = true)                                      \
    R(fallback, fallback, freehold_fallback_init(a, row_inner_budget(buffer), under),              \
        .any_offset = true, .by_chance = true, .same_up_to = 524288, .ends_no_block = true,        \
        .one_thread = true,                                                                        \
        .few_sizes = true)                                                                         \
    R(limit, limit, freehold_limit_init(a, under, (size_t)1 << 30),                                \
        .any_offset = true, .beyond = FREEHOLD_LIMIT, .same_up_to = 524288,                        \
        .ends_no_block = true, .parents_pages = true,                                              \
        .few_sizes = true)                                                                         \
    R(locked, locked, freehold_locked_init(a, under),                                              \
        .any_offset = true, .same_up_to = 524288, .ends_no_block = true, .few_sizes = true)        \
    R(locked_budget, locked, freehold_locked_init(a, row_inner_budget(buffer)),                    \
        .largest = ROW_SLOT, .fixed = ROW_SLOT, .most_aligned = ROW_SLOT, .by_chance = true,       \
        .ends_no_block = true, .no_trim = true)                                                    \
    R(trace, trace, freehold_trace_init(a, under, NULL, NULL),                                     \
        .any_offset = true, .same_up_to = 524288, .ends_no_block = true, .parents_pages = true,    \
        .few_sizes = true)                                                                         \
    R(page, page, freehold_page_init(a), .same_up_to = 1, .few_sizes = true)                       \
    R(page_of_64k, page, freehold_page_init_aligned(a, 65536), .same_up_to = 1, .few_sizes = true) \
    R(region, region, row_region(a, buffer, 16, false),                                            \
        .any_offset = true, .no_trim = true, .given = true, .one_thread = true)                    \
    R(region_of_64, region, row_region(a, buffer, 64, true),                                       \
        .any_offset = true, .given = true, .one_thread = true, .few_sizes = true)                  \
    ROWS_OF_PROCESSES(R)                                                                           \
    R(slab, slab, freehold_slab_init(a, 100), .largest = 112, .beyond = FREEHOLD_UNSUPPORTED,      \
        .fixed = 112, .most_aligned = 16)                                                          \
    R(slab_of_5000, slab, freehold_slab_init_aligned(a, 5000, 1024), .largest = 5120,              \
        .beyond = FREEHOLD_UNSUPPORTED, .fixed = 5120, .most_aligned = 1024)                       \
    R(slab_of_600k, slab, freehold_slab_init(a, 600000), .largest = 602112,                        \
        .beyond = FREEHOLD_UNSUPPORTED, .fixed = 602112, .most_aligned = 16)                       \
    R(checker, checker, freehold_checker_init(a, under),                                           \
        .any_offset = true, .same_up_to = 524288, .one_thread = true, .by_user = true,             \
        .few_sizes = true)                                                                         \
    R(least, least, freehold_least_init(a, under),                                                 \
        .no_usable = true, .no_base = true, .no_walk = true, .no_stats = true, .no_trim = true,    \
        .any_offset = true, .by_user = true)
/* clang-format on */

#endif
