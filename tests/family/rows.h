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

#include "checker.h"

#define ROW_BUFFER ((size_t)64 * 1024 * 1024)

typedef struct row_limits {
    size_t largest;        /* the most bytes of a block; 0: as memory permits */
    freehold_error beyond; /* why a request for more is refused; 0: memory is out */
    size_t fixed;          /* usable size of every block; 0: as asked for */
    size_t most_aligned;   /* the largest alignment; 0: any */
    bool any_offset; /* offsets that are multiples of its alignment work, and not only of that asked
                      * for */
    size_t same_up_to; /* up to that size its answers depend on nothing but the calls; 0: always */
    bool keeps;        /* a free gives no memory back for the next request */
    bool no_usable;    /* knows no usable size: then it cannot move a block either */
    bool no_base;      /* does not know its own blocks: owns, base, fallback */
    bool no_walk;      /* cannot visit its blocks */
    bool no_stats;     /* counts nothing */
    bool no_resizes;   /* counts no resizes that the interface makes for it */
    bool no_misuse;    /* reports no misuse of blocks */
    bool by_user;          /* is written outside the library: its refusals are for want of memory */
    bool no_trim;      /* keeps what is free until its end */
    bool one_thread;   /* is for one thread at a time */
} row_limits;

/* clang-format off */
#define EACH_ROW(R)                                                                                \
    R(heap, heap, freehold_heap_init(a), .same_up_to = 524288)                                     \
    R(heap_of_64, heap, freehold_heap_init_aligned(a, 64), .same_up_to = 524288)                   \
    R(checker, checker, freehold_checker_init(a, under),                                           \
        .any_offset = true, .same_up_to = 524288, .one_thread = true, .by_user = true)                              \
    R(least, least, freehold_least_init(a, under),                                                 \
        .no_usable = true, .no_base = true, .no_walk = true, .no_stats = true, .no_trim = true, \
        .by_user = true)
/* clang-format on */

#endif
