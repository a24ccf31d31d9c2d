/* SPDX-License-Identifier: MIT */
/*
 * Where an allocator was called: the calls that a thread is in, without those of the interface
 * itself. Cost: a few nanoseconds a frame (port/unwind.c), or some hundred (the compiler's unwinder).
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

/* The same for a function in this code: its callers outside. */
freehold__stack freehold__stack_outside(uintptr_t code, size_t bytes, unsigned most);

/* " app+0x1136 libc.so.6+0x271c9", or as the program's namer has it (freehold/fatal.h): the first,
 * and as many as fit before the text has this length. */
void freehold__stack_text(freehold__text *text, void *const *frames, unsigned count, size_t length);
#define FREEHOLD__STACK_WHOLE SIZE_MAX

#endif
