/* SPDX-License-Identifier: MIT */
/*
 * The C members of the family under their prefixed names (libraries freehold_prefixed and
 * freehold_prefixed_fault): a test that includes this after the system's headers calls Freehold by
 * the usual names, and everything else in the process keeps the malloc of the sanitizer.
 */
#ifndef FREEHOLD_TESTS_PREFIXED_H
#define FREEHOLD_TESTS_PREFIXED_H

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define malloc             freehold_malloc
#define free               freehold_free
#define calloc             freehold_calloc
#define realloc            freehold_realloc
#define reallocarray       freehold_reallocarray
#define reallocarr         freehold_reallocarr
#define aligned_alloc      freehold_aligned_alloc
#define posix_memalign     freehold_posix_memalign
#define memalign           freehold_memalign
#define valloc             freehold_valloc
#define pvalloc            freehold_pvalloc
#define cfree              freehold_cfree
#define free_sized         freehold_free_sized
#define free_aligned_sized freehold_free_aligned_sized
#define malloc_usable_size freehold_malloc_usable_size
#define malloc_good_size   freehold_malloc_good_size
#define malloc_trim        freehold_malloc_trim
#define mallopt            freehold_mallopt
#define malloc_info        freehold_malloc_info
#define malloc_stats       freehold_malloc_stats

void *malloc(size_t);
void free(void *);
void *calloc(size_t, size_t);
void *realloc(void *, size_t);
void *reallocarray(void *, size_t, size_t);
int reallocarr(void *, size_t, size_t);
void *aligned_alloc(size_t, size_t);
int posix_memalign(void **, size_t, size_t);
void *memalign(size_t, size_t);
void *valloc(size_t);
void *pvalloc(size_t);
void cfree(void *);
void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t, size_t);
size_t malloc_usable_size(void *);
size_t malloc_good_size(size_t);
int malloc_trim(size_t);
struct mallinfo freehold_mallinfo(void);
struct mallinfo2 freehold_mallinfo2(void);
int mallopt(int, int);
int malloc_info(int, FILE *);
void malloc_stats(void);

#endif
