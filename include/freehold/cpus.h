/* SPDX-License-Identifier: MIT */
/*
 * Which CPU a call runs on, for allocators that keep something for each.
 *
 * From enter to leave the caller stays on its CPU, and nothing else runs there that uses the same
 * allocator: not another thread, not the handler of an interrupt. enter returns the number of the
 * CPU, less than `count` (any other is reported), and leave is given it back. They nest, for one
 * allocator may be below another. Without an operating system these are freehold_hook_enter and
 * freehold_hook_leave (freehold/hooks.h); on one they can be any stand-in, say a lock for each of a
 * few numbers.
 */
#ifndef FREEHOLD_CPUS_H
#define FREEHOLD_CPUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct freehold_cpus {
    unsigned count;
    unsigned (*enter)(void);
    void (*leave)(unsigned cpu);
} freehold_cpus;

#ifdef __cplusplus
}
#endif

#endif
