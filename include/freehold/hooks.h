/* SPDX-License-Identifier: MIT */
/*
 * What Freehold without an operating system asks of its user: the hooks that a program which links
 * libfreehold-freestanding.a defines. There are no others; besides them the library needs memcpy,
 * memmove, memset and memcmp.
 *
 * Each hook is a function of the program. Those that say "may be left out" are defined weakly in
 * the library. A program that uses only some of the allocators needs only the hooks that these call:
 * a budget alone, write and halt.
 */
#ifndef FREEHOLD_HOOKS_H
#define FREEHOLD_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * From enter to leave the caller stays on its CPU, and nothing else runs on that CPU that calls
 * Freehold. Returns the number of the CPU: small, different for each. leave is given it back. They
 * nest. Freehold is inside whenever it holds a lock, and for the whole of a call where a heap has a
 * lane per CPU (freehold/cpu_heap.h).
 *
 *     a kernel             disable interrupts (if their handlers allocate; else preemption alone),
 *                          count up for this CPU; leave counts down, and enables again at 0 what
 *                          was enabled before
 *     a single CPU         the same; the number is 0
 *     nothing interrupts   {return 0;} and {}
 *     threads of a system  the number of the thread; nothing to disable
 */
unsigned freehold_hook_enter(void);
void freehold_hook_leave(unsigned cpu);

/*
 * Memory for heaps, at a multiple of `alignment` and of the page (4096 bytes, or what the library
 * was built with), which is looked at, and reading zero, which is not. NULL: there is none.
 * freehold_buddy_map (freehold/buddy.h) does this from the ranges that a buddy was given. unmap
 * gives back any whole pages of what was mapped. Both are called from several CPUs at once, inside
 * or not.
 */
void *freehold_hook_map(size_t bytes, size_t alignment);
void freehold_hook_unmap(void *base, size_t bytes);

/* Text for a person, as it is: no lock, no memory. A report of misuse is one line, in two or three pieces. */
void freehold_hook_write(const char *text, size_t length);

/* After the report of a misuse: the end. It must not return. */
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void freehold_hook_halt(void);

/*
 * May be left out: milliseconds of a clock that never goes back. Without it nothing counts as old,
 * so that a heap gives free memory back only when it is trimmed, or before it refuses a request.
 */
uint32_t freehold_hook_milliseconds(void);

/* May be left out: is called while another CPU is waited for, with the number of times in this
 * wait. On a system of threads it should yield. */
void freehold_hook_pause(unsigned times);

/*
 * May be left out: room for what the library keeps for each thread, zeroed when the thread (or the
 * CPU, or the system) begins. It is the allocator that freehold_current returns, what
 * freehold_first_corrupt returns, and the locks of a freehold_locked that is in a call. Without the hook all have the same: then freehold_push,
 * freehold_pop and freehold_locked are for one CPU and one thread.
 */
typedef struct freehold_local {
    void *current, *held;
    freehold_corruption corruption;
} freehold_local;
freehold_local *freehold_hook_local(void);

#ifdef __cplusplus
}
#endif

#endif
