/* SPDX-License-Identifier: MIT */
/*
 * C's malloc, calloc, realloc and strdup over an allocator, for the adapters of libraries that
 * expect those: unlike Freehold's own functions they give a block for 0 bytes too, which such a
 * library would otherwise take for a failure.
 */
#ifndef FREEHOLD_ADAPTERS_LIBC_H
#define FREEHOLD_ADAPTERS_LIBC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "freehold/allocator.h"

static inline void *freehold__c_malloc(freehold_allocator *allocator, size_t bytes)
{
    return freehold_alloc(allocator, bytes != 0 ? bytes : 1);
}

static inline void *freehold__c_calloc(freehold_allocator *allocator, size_t count, size_t bytes)
{
    if (bytes != 0 && count > SIZE_MAX / bytes)
        return NULL;
    bytes *= count;
    return freehold_alloc_zeroed(allocator, bytes != 0 ? bytes : 1);
}

/* 0 bytes free the block and give NULL, as in the GNU C library. */
static inline void *freehold__c_realloc(freehold_allocator *allocator, void *block, size_t bytes)
{
    return block != NULL ? freehold_realloc(allocator, block, bytes)
                         : freehold__c_malloc(allocator, bytes);
}

static inline char *freehold__c_strdup(freehold_allocator *allocator, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = (char *)freehold_alloc(allocator, bytes);
    return copy != NULL ? (char *)memcpy(copy, text, bytes) : NULL;
}

#endif
