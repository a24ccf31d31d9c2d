/* SPDX-License-Identifier: MIT */
/*
 * Where an allocator was called: the calls that a thread is in, without those of the interface
 * itself. Cost: some hundred nanoseconds a frame.
 */
#ifndef FREEHOLD_ALLOCATORS_STACK_H
#define FREEHOLD_ALLOCATORS_STACK_H

#include "allocators/allocator.h"

/* The most that are ever kept. */
#define FREEHOLD__STACK_MOST 16

typedef struct freehold__stack {
    void *frame[FREEHOLD__STACK_MOST]; /* where each call goes on, innermost first */
    unsigned count;                    /* 0: the host cannot tell */
} freehold__stack;

/*
 * For an operation of this table: the callers of the function of the interface that it is behind.
 */
freehold__stack freehold__stack_here(const freehold_operations *operations, unsigned most);

/* " 0x401136 0x40125a": as many as fit. */
void freehold__stack_text(freehold__text *text, void *const *frames, unsigned count);

#endif
