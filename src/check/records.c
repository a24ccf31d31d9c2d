/* SPDX-License-Identifier: MIT */
/*
 * Memory for the records, straight from the port: each block a mapping of its own between guards, gone
 * when it is freed. So what a record has said before is nowhere any more, and every page that has one is
 * known: reach.c is to tell them from memory of the program, and the smallest rest of an older table,
 * in a block that is longer than what was asked for, would look like a few hundred pointers of it.
 *
 * They are a handful, and large. The lock of the debugging allocator guards them.
 */
#include "check/check.h"
#include "pages/guarded.h"

#define MOST 16

typedef struct mapping {
    uintptr_t start; /* 0: there is none */
    size_t bytes;
} mapping;

static mapping mappings[MOST];

static mapping *mapping_at(uintptr_t start)
{
    for (size_t i = 0; i < MOST; i++)
        if (mappings[i].start == start)
            return &mappings[i];
    return NULL;
}

static void *records_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    size_t page = freehold__port_page_size(), whole;
    mapping *unused = mapping_at(0);
    (void)self, (void)zeroed; /* it is */
    if (unused == NULL || offset != 0 || alignment > page ||
        !freehold__round_up_checked(bytes, page, &whole) || whole > PTRDIFF_MAX)
        return NULL;
    void *start = freehold__map_guarded(whole);
    if (start != NULL)
        *unused = (mapping){(uintptr_t)start, whole};
    return start;
}

static size_t records_free(freehold_allocator *self, void *block)
{
    mapping *of = mapping_at((uintptr_t)block);
    (void)self;
    freehold__assert(of != NULL);
    size_t bytes = of->bytes;
    freehold__unmap_guarded(block, bytes);
    *of = (mapping){0, 0};
    return bytes;
}

static const freehold_operations operations = {
    .magic = FREEHOLD_MAGIC('f', 'h', 'r', 'e', 'c', 'o', 'r', 'd'),
    .name = "records",
    .allocate = records_allocate,
    .free = records_free,
};

void freehold__check_records_init(freehold_allocator *records)
{
    freehold_allocator_init(records, &operations, FREEHOLD__MIN_ALIGN);
}

bool freehold__check_records_have(uintptr_t address)
{
    for (size_t i = 0; i < MOST; i++)
        if (address - mappings[i].start < mappings[i].bytes)
            return true;
    return false;
}
