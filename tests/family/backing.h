/* SPDX-License-Identifier: MIT */
/*
 * A backing allocator for tests, over the C library's malloc (which AddressSanitizer watches): its
 * memory is never zero, the chosen call fails, and it knows how many blocks are not given back. It
 * can do no alignment but 16, and does not know the size of its blocks.
 */
#ifndef FREEHOLD_TESTS_BACKING_H
#define FREEHOLD_TESTS_BACKING_H

#include <stdlib.h>
#include <string.h>

#include "freehold/freehold.h"

#if defined(_WIN32)
#define aligned_alloc(alignment, bytes) malloc(bytes) /* a multiple of 16 there */
#endif

typedef struct backing {
    freehold_allocator base;
    uint64_t calls, failing; /* the call that fails, counted from 1; 0: none */
    uint64_t failing_from;   /* this one and all later ones; 0: none */
    size_t live;             /* blocks */
    size_t largest;          /* requests above it fail; 0: none */
    unsigned char *last;     /* the last block that it gave, and its bytes */
    size_t last_bytes;
} backing;

static void *backing_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    backing *b = (backing *)self;
    uint64_t call = ++b->calls;
    bool fails = call == b->failing || (b->failing_from != 0 && call >= b->failing_from) ||
                 (b->largest != 0 && bytes > b->largest) || alignment > 16 || offset != 0 ||
                 bytes >> 20 > 1 << 14;
    void *block = fails ? NULL : aligned_alloc(16, (bytes + 15) / 16 * 16);
    if (block == NULL)
        return NULL;
    b->live++;
    b->last = block;
    b->last_bytes = bytes;
    return memset(block, zeroed ? 0 : 0xA5, bytes);
}

static size_t backing_free(freehold_allocator *self, void *block)
{
    ((backing *)self)->live--;
    free(block);
    return 0;
}

static void backing_init(backing *b)
{
    static const freehold_operations table = {
        .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'b', 'a', 'c', 'k'),
        .name = "backing",
        .allocate = backing_allocate,
        .free = backing_free};
    *b = (backing){.calls = 0};
    freehold_allocator_init(&b->base, &table, 16);
}

#endif
