/* SPDX-License-Identifier: MIT */
/*
 * F80, F81: calls every C member of the family once and prints how many allocations it made. The
 * members' results are checked as far as their contracts go here; their edges have tests of their
 * own. Linked statically, dynamically and, under sanitizers, with the prefixed names.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FREEHOLD_PREFIXED
#include "prefixed.h"
#define mallinfo()  freehold_mallinfo()
#define mallinfo2() freehold_mallinfo2()
#else
/* Members that glibc's headers do not declare, or declare only for some standards. */
void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t, size_t);
int reallocarr(void *, size_t, size_t);
size_t malloc_good_size(size_t);
void cfree(void *);
void *aligned_alloc(size_t, size_t);
void *reallocarray(void *, size_t, size_t);
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);
void __libc_free(void *);
#endif

static int made;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Counts a block, and writes all that may be written of it. */
static void *fresh(void *block, size_t size, size_t align)
{
    CHECK(block != NULL);
    CHECK((uintptr_t)block % align == 0);
    CHECK(malloc_usable_size(block) >= size);
    memset(block, 0xa5, malloc_usable_size(block));
    made++;
    return block;
}

static void plain(void)
{
    char *block = fresh(malloc(100), 100, 16);
    memcpy(block, "kept", 5);
    block = realloc(block, 100000);
    CHECK(block && memcmp(block, "kept", 5) == 0);
    block = reallocarray(block, 300, 1000);
    CHECK(block && memcmp(block, "kept", 5) == 0);
    CHECK(reallocarr(&block, 10, 10) == 0 && memcmp(block, "kept", 5) == 0);
    free(block);
    unsigned char *zeroed = calloc(100, 10);
    for (int i = 0; zeroed && i < 1000; i++)
        CHECK(zeroed[i] == 0);
    cfree(fresh(zeroed, 1000, 16));
    free(NULL);
    CHECK(malloc_good_size(100) >= 100);
}

static void aligned(void)
{
    free(fresh(aligned_alloc(64, 640), 640, 64));
    void *block = NULL;
    CHECK(posix_memalign(&block, 256, 1000) == 0);
    free(fresh(block, 1000, 256));
    free(fresh(memalign(1 << 16, 10), 10, 1 << 16));
    free(fresh(valloc(10), 10, 4096));
    block = fresh(pvalloc(10), 4096, 4096);
    free(block);
}

static void sized(void)
{
    free_sized(fresh(malloc(333), 333, 16), 333);
    free_aligned_sized(fresh(aligned_alloc(128, 512), 512, 128), 128, 512);
}

static void libc_names(void)
{
#ifndef FREEHOLD_PREFIXED
    void *block = fresh(__libc_malloc(50), 50, 16);
    block = __libc_realloc(block, 5000);
    CHECK(block != NULL);
    __libc_free(block);
    free(fresh(__libc_calloc(5, 5), 25, 16));
    free(fresh(__libc_memalign(512, 5), 5, 512));
    free(fresh(__libc_valloc(5), 5, 4096));
    free(fresh(__libc_pvalloc(5), 5, 4096));
#endif
}

static void questions(void)
{
    void *block = fresh(malloc(1 << 20), 1 << 20, 16);
    CHECK(mallinfo2().uordblks >= 1 << 20);
    CHECK(mallinfo().uordblks >= 1 << 20);
    free(block);
    int result = mallopt(M_TRIM_THRESHOLD, 1 << 20);
    CHECK(result == 0 || result == 1);
    result = malloc_trim(0);
    CHECK(result == 0 || result == 1);
    FILE *file = tmpfile();
    CHECK(file && malloc_info(0, file) == 0 && ftell(file) > 0);
    fclose(file);
    malloc_stats();
}

int main(void)
{
    plain();
    aligned();
    sized();
    libc_names();
    questions();
    printf("%d\n", made);
    return 0;
}
