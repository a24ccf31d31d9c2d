/* SPDX-License-Identifier: MIT */
/*
 * F90 under _FORTIFY_SOURCE=3: the compiler knows the size that was asked for and checks every
 * memset against it. A program that wants to use all of a block tells it so by a realloc to the
 * usable size, which must stay in place and not fail; where the compiler knows no size, all of the
 * usable size may be written at once.
 */
#define _GNU_SOURCE 1
#include <malloc.h>

#include "check.h"

#if !defined(__OPTIMIZE__) || !defined(_FORTIFY_SOURCE) || _FORTIFY_SOURCE < 3
#error "compile this with -O2 -D_FORTIFY_SOURCE=3"
#endif

static void known(size_t size)
{
    char *block = malloc(size);
    memset(block, 1, size);
    size_t usable = malloc_usable_size(block);
    char *same = realloc(block, usable);
    CHECK((uintptr_t)opaque(same) == (uintptr_t)same);
    memset(same, 2, usable);
    CHECK(malloc_usable_size(same) == usable);
    for (size_t i = 0; i < usable; i++)
        CHECK(same[i] == 2);
    free(same);
}

static void unknown(size_t size)
{
    char *block = opaque(malloc(size)), *next = opaque(malloc(size));
    memset(next, 3, malloc_usable_size(next));
    memset(block, 1, malloc_usable_size(block));
    for (size_t i = 0; i < malloc_usable_size(next); i++)
        CHECK(next[i] == 3);
    free(block);
    free(next);
}

int main(void)
{
    for (size_t size = 1; size < (size_t)2 << 20; size += 1 + size / 11) {
        known(size);
        unknown(size);
    }
    return 0;
}
