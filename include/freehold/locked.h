/* SPDX-License-Identifier: MIT */
/*
 * Any allocator, made usable from any thread: each call of it is made under one lock.
 *
 *     freehold_arena arena;  ...
 *     freehold_locked locked;
 *     freehold_locked_init(&locked, &arena.base);
 *     void *p = freehold_alloc(&locked, 100);         from any thread
 *
 * The parent must then be used in no other way. What it calls itself, a hook or a visitor, runs
 * under the lock and must not use the locked allocator. A misuse that the parent finds is reported
 * without the lock.
 *
 * State        By value: a pointer and a lock. Its blocks and its statistics are the parent's.
 * Sizes, Alignments   As the parent.
 * Failure      As the parent.
 * Threads      Any.
 * Cost         The parent's, and one atomic operation to take and to drop the lock.
 */
#ifndef FREEHOLD_LOCKED_H
#define FREEHOLD_LOCKED_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

struct freehold_locked {
    freehold_allocator base;
    freehold_allocator *parent;
    uint32_t lock[2]; /* the library's */
};

/* Cannot fail, and makes no system call. The parent must be initialised, and outlive it. */
FREEHOLD_API void freehold_locked_init(freehold_locked *locked, freehold_allocator *parent);

/* Ends it, and no block: those are the parent's. Any later use but init is fatal. NULL is none. */
FREEHOLD_API void freehold_locked_deinit(freehold_locked *locked);

#ifdef __cplusplus
}
#endif
#endif
