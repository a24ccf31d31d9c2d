/* SPDX-License-Identifier: MIT */
/*
 * jemalloc's own functions beside malloc's: programs that are linked with its shared library (Redis
 * of Debian, for one) call some of them, and free what they get by free. If they were not here, such
 * a program would have two allocators under the drop-in.
 *
 * flags: the low six bits are the logarithm of the alignment, 0x40 asks for zeroes; which arena and
 * which cache is meant says the rest, and there is nothing here that it could mean. A block's size
 * is all of what may be written, and zeroes are asked for that.
 */
#include "malloc/blocks.h"

#define ALIGN_BITS 63
#define ZERO       0x40

FREEHOLD__EXPORT void *FREEHOLD__ENTRY(mallocx)(size_t bytes, int flags);
FREEHOLD__EXPORT void *FREEHOLD__ENTRY(rallocx)(void *pointer, size_t bytes, int flags);
FREEHOLD__EXPORT size_t FREEHOLD__ENTRY(xallocx)(
    void *pointer, size_t bytes, size_t extra, int flags);
FREEHOLD__EXPORT size_t FREEHOLD__ENTRY(sallocx)(const void *pointer, int flags);
FREEHOLD__EXPORT void FREEHOLD__ENTRY(dallocx)(void *pointer, int flags);
FREEHOLD__EXPORT void FREEHOLD__ENTRY(sdallocx)(void *pointer, size_t bytes, int flags);
FREEHOLD__EXPORT size_t FREEHOLD__ENTRY(nallocx)(size_t bytes, int flags);

static size_t align_of(int flags)
{
    unsigned lg = (unsigned)flags & ALIGN_BITS,
             most = sizeof(size_t) * 8 - 1; /* which nobody has */
    return (size_t)1 << (lg < most ? lg : most);
}

static void *allocate(size_t bytes, int flags)
{
    return align_of(flags) <= FREEHOLD__MIN_ALIGN ? BLOCK(allocate)(bytes)
                                                  : BLOCK(allocate_aligned)(align_of(flags), bytes);
}

static void *zero_from(void *pointer, size_t from, const char *function)
{
    size_t bytes = BLOCK(size)(pointer, function);
    if (bytes > from)
        memset((char *)pointer + from, 0, bytes - from);
    return pointer;
}

void *FREEHOLD__ENTRY(mallocx)(size_t bytes, int flags)
{
    void *pointer = allocate(bytes, flags);
    return pointer == NULL || (flags & ZERO) == 0 ? pointer : zero_from(pointer, 0, "mallocx");
}

/* Whether a block of `have` bytes can be one of `bytes`: one on record is as long as it was asked for. */
static bool keeps(size_t have, size_t bytes)
{
    return FREEHOLD_CHECK ? have == bytes : freehold__stays(have, bytes);
}

void *FREEHOLD__ENTRY(rallocx)(void *pointer, size_t bytes, int flags)
{
    size_t have = BLOCK(size)(pointer, "rallocx");
    if (keeps(have, bytes) && ((uintptr_t)pointer & (align_of(flags) - 1)) == 0)
        return pointer;
    void *moved = allocate(bytes, flags);
    if (moved == NULL)
        return NULL;
    size_t kept = have < bytes ? have : bytes;
    memcpy(moved, pointer, kept);
    BLOCK(free)(pointer, "rallocx");
    return (flags & ZERO) == 0 ? moved : zero_from(moved, kept, "rallocx");
}

/* Never moves: the size that the block has. */
size_t FREEHOLD__ENTRY(xallocx)(void *pointer, size_t bytes, size_t extra, int flags)
{
    (void)bytes, (void)extra, (void)flags;
    return BLOCK(size)(pointer, "xallocx");
}

size_t FREEHOLD__ENTRY(sallocx)(const void *pointer, int flags)
{
    (void)flags;
    return BLOCK(size)(pointer, "sallocx");
}

void FREEHOLD__ENTRY(dallocx)(void *pointer, int flags)
{
    (void)flags;
    BLOCK(free)(pointer, "dallocx");
}

void FREEHOLD__ENTRY(sdallocx)(void *pointer, size_t bytes, int flags)
{
    size_t align = align_of(flags);
    if (align <= FREEHOLD__MIN_ALIGN)
        BLOCK(free_sized)(pointer, bytes, "sdallocx");
    else
        BLOCK(free_aligned_sized)(pointer, align, bytes, "sdallocx");
}

/* The size that a block would have; 0: there cannot be such a block. */
size_t FREEHOLD__ENTRY(nallocx)(size_t bytes, int flags)
{
    size_t align = align_of(flags), rounded;
    if (bytes > PTRDIFF_MAX || align > PTRDIFF_MAX)
        return 0;
    if (FREEHOLD_CHECK)
        return bytes; /* a canary is behind it */
    unsigned index = freehold__class_of_aligned(bytes == 0 ? 1 : bytes, align);
    if (index < FREEHOLD__CLASSES)
        return freehold__size_classes[index].size;
    size_t page = freehold__port_page_size();
    return freehold__round_up_checked(bytes, page, &rounded) ? rounded : 0;
}
