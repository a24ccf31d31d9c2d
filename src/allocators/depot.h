/* SPDX-License-Identifier: MIT */
/*
 * A depot of stacks: each distinct one is kept once, and has a number for as long as the depot is
 * there. Programs allocate from few places, so a record that would have the whole stack needs a
 * number of 30 bits for it.
 *
 * It is a table by a hash of the frames, which is the number as well; two stacks with one hash have
 * numbers that follow each other. Nothing is ever taken out, so no number comes to mean another stack.
 * Its memory is bounded by how many there may be; what comes then has no number. The caller has
 * the lock. Cost: the hash of the frames, and one look into the table.
 */
#ifndef FREEHOLD_ALLOCATORS_DEPOT_H
#define FREEHOLD_ALLOCATORS_DEPOT_H

#include "allocators/stack.h"
#include "allocators/table.h"

typedef struct freehold__depot {
    freehold__table stacks;
    unsigned frames; /* of each */
} freehold__depot;

void freehold__depot_init(
    freehold__depot *depot, freehold_allocator *memory, unsigned frames, size_t most);

/* The number of a stack, which may be new. 0: it is empty, or there is no room for it. */
uint32_t freehold__depot_put(freehold__depot *depot, const freehold__stack *stack);

/* The stack of a number; an empty one for 0. */
freehold__stack freehold__depot_get(const freehold__depot *depot, uint32_t number);

/* Gives its memory back; it is empty then. */
void freehold__depot_release(freehold__depot *depot);

#endif
