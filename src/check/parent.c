/* SPDX-License-Identifier: MIT */
#include "check/check.h"

static void *parent_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    (void)self;
    if (offset != 0)
        return NULL;
    if (alignment <= FREEHOLD__MIN_ALIGN)
        return zeroed ? freehold__block_allocate_zeroed(1, bytes) : freehold__allocate(bytes);
    void *block = freehold__allocate_aligned(bytes, alignment);
    return block != NULL && zeroed ? memset(block, 0, bytes) : block;
}

/* A pointer that is not the parent's never comes here: the records know better. */
static size_t parent_free(freehold_allocator *self, void *block)
{
    (void)self;
    freehold__free(block, "free");
    return 0;
}

static bool parent_resize(freehold_allocator *self, void *block, size_t bytes)
{
    (void)self;
    return freehold__stays(freehold__block_size(block, "realloc"), bytes);
}

static size_t parent_trim(freehold_allocator *self)
{
    (void)self;
    freehold__heap_trim(&freehold__process_heap, freehold__thread_lane);
    return 0;
}

static const freehold_operations operations = {
    .magic = FREEHOLD_MAGIC('f', 'h', 'm', 'a', 'l', 'l', 'o', 'c'),
    .name = "malloc",
    .allocate = parent_allocate,
    .free = parent_free,
    .resize = parent_resize,
    .trim = parent_trim,
};

void freehold__check_parent_init(freehold_allocator *parent)
{
    freehold_allocator_init(parent, &operations, FREEHOLD__MIN_ALIGN);
}
