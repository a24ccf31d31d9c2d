/* SPDX-License-Identifier: MIT */
#include "allocators/wrap.h"

#include <string.h>

freehold_error freehold__wrap_reason(freehold_allocator *parent)
{
    freehold_error error = freehold_last_error(parent);
    return error != FREEHOLD_OK ? error : FREEHOLD_NO_MEMORY;
}

freehold_error freehold__wrap_refused(freehold_allocator *self, freehold_allocator *parent)
{
    freehold_error error = freehold__wrap_reason(parent);
    freehold__allocator_says(self, error);
    return error;
}

void *freehold__wrap_ask(
    freehold_allocator *parent, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    if (alignment <= parent->alignment && offset == 0)
        return zeroed ? freehold_alloc_zeroed(parent, bytes) : freehold_alloc(parent, bytes);
    void *block = freehold_alloc_aligned(parent, bytes, alignment, offset);
    return block != NULL && zeroed ? memset(block, 0, bytes) : block;
}

void *freehold__wrap_allocate(freehold_allocator *self, freehold_allocator *parent, size_t bytes,
    size_t alignment, size_t offset, bool zeroed)
{
    void *block = freehold__wrap_ask(parent, bytes, alignment, offset, zeroed);
    if (freehold__unlikely(block == NULL))
        freehold__wrap_refused(self, parent);
    return block;
}

freehold_statistics freehold__wrap_stats(freehold_allocator *parent, freehold_statistics own)
{
    freehold_statistics pages = freehold_stats(parent);
    own.used_bytes = pages.used_bytes;
    own.peak_bytes = pages.peak_bytes;
    own.mapped_bytes = pages.mapped_bytes;
    own.retained_bytes = pages.retained_bytes;
    own.purged_bytes = pages.purged_bytes;
    return own;
}

void freehold__wrap_checked(void *allocator, uint64_t magic, const char *function, const char *name)
{
    if (!freehold__sealed(allocator, magic))
        freehold__allocator_wrong(allocator, function, name);
}

bool freehold__wrap_ends(void *allocator, uint64_t magic, const char *function, const char *name)
{
    if (allocator != NULL)
        freehold__wrap_checked(allocator, magic, function, name);
    return allocator != NULL;
}
