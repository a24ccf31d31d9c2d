/* SPDX-License-Identifier: MIT */
/*
 * Two allocators as users write them, over another one.
 *
 * checker  has every operation, does offsets, counts exactly, knows its blocks by a table of its
 *          own, and asserts that what comes to an operation is what freehold/allocator.h promises.
 * least    has nothing but allocate and free: all the rest are the defaults of the interface.
 */
#ifndef FREEHOLD_TESTS_FAMILY_CHECKER_H
#define FREEHOLD_TESTS_FAMILY_CHECKER_H

#include "freehold/freehold.h"

#define CHECKER_BLOCKS 2048

typedef struct freehold_checker {
    freehold_allocator base;
    freehold_allocator *under;
    freehold_statistics counted;
    size_t checks;     /* calls of its validator */
    const char *wrong; /* what that is to answer */
    size_t count;
    struct checked {
        char *block, *raw; /* what was handed out, and what came from below */
        size_t usable;
    } blocks[CHECKER_BLOCKS];
} freehold_checker;

void freehold_checker_init(freehold_checker *checker, freehold_allocator *under);
void freehold_checker_deinit(freehold_checker *checker);

typedef struct freehold_least {
    freehold_allocator base;
    freehold_allocator *under;
} freehold_least;

void freehold_least_init(freehold_least *least, freehold_allocator *under);
void freehold_least_deinit(freehold_least *least);

#endif
