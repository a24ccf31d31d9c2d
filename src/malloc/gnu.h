/* SPDX-License-Identifier: MIT */
/*
 * glibc's additions to malloc, for a C library whose header has not got them: the functions are in the drop-in
 * whatever the C library is.
 */
#ifndef FREEHOLD_MALLOC_GNU_H
#define FREEHOLD_MALLOC_GNU_H

#include <malloc.h>
#include <stddef.h>
#include <stdio.h>

#if !defined(__GLIBC__)

struct mallinfo {
    int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

#define M_TRIM_THRESHOLD (-1)
#define M_MMAP_THRESHOLD (-3)
#define M_ARENA_MAX      (-8)

struct mallinfo mallinfo(void);
struct mallinfo2 mallinfo2(void);
int malloc_info(int options, FILE *stream);
void malloc_stats(void);
int malloc_trim(size_t pad);
int mallopt(int parameter, int value);
void *pvalloc(size_t bytes);

#endif
#endif
