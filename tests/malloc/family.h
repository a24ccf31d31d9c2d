/* SPDX-License-Identifier: MIT */
/* Members of the family that glibc's headers do not declare, or only for some standards. */
#ifndef FREEHOLD_TESTS_FAMILY_H
#define FREEHOLD_TESTS_FAMILY_H

#include <malloc.h>
#include <stddef.h>

void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t, size_t);
int reallocarr(void *, size_t, size_t);
size_t malloc_good_size(size_t);
void cfree(void *);
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);
void __libc_free(void *);
int __posix_memalign(void **, size_t, size_t);

#endif
