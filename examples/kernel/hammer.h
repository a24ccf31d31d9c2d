/* SPDX-License-Identifier: MIT */
/*
 * Work for an allocator, whichever it is: several CPUs may do it at once where the allocator lets
 * them. Every block is filled when it comes and looked at before it goes; what was done is counted
 * in the CPU's structure, to be compared with the allocator's statistics.
 */
#ifndef KERNEL_HAMMER_H
#define KERNEL_HAMMER_H

#include <freehold/allocator.h>

#include "block.h"

/* Another allocator begins: blocks are counted from 0. */
void hammer_begin(void);

/* A block of so many bytes, filled, or NULL when the allocator refuses. */
block *hammer_alloc(freehold_allocator *allocator, size_t bytes);

/* Looks whether the block is whole, and frees it. */
void hammer_free(freehold_allocator *allocator, block *b);
void hammer_free_all(freehold_allocator *allocator, block **list);

/* BLOCK_MIN to `most` bytes: half of them small, most of them at most a KiB. */
size_t hammer_size(size_t most);

/*
 * Allocates, also zeroed and aligned, reallocates and frees, in random order, with up to `count`
 * blocks of up to `most` bytes at a time; `held` has room for them. They are all freed at the end.
 */
void hammer_random(
    freehold_allocator *allocator, block **held, unsigned count, size_t most, unsigned rounds);

/* Allocates until there is no block of BLOCK_MIN bytes left, beginning with `most`; the sum. */
size_t hammer_exhaust(freehold_allocator *allocator, block **list, size_t most);

/*
 * Compares the statistics and the live blocks with what all CPUs have counted, and has the
 * allocator check itself. For one CPU, while the others do nothing.
 */
void hammer_audit(freehold_allocator *allocator);

/* A double free, pointers that are no blocks, and a size that the block does not have: each is
 * reported, and the allocator is as it was. */
void hammer_misuse(freehold_allocator *allocator);

/* What all CPUs have done until now, in one line. */
void hammer_print(const char *type, const char *phase);

/* The same for the whole run, which has gone well; ends the machine. */
_Noreturn void hammer_pass(void);

#endif
