/* SPDX-License-Identifier: MIT */
/*
 * Memory cut into equal slots, with the set of the free ones out of line. For allocators of one
 * thread and one size; what malloc needs, remote frees above all, is in slab.h.
 *
 *     memory      | slot 0 | slot 1 | slot 2 | ...  | slot n-1 | rest, nobody's |
 *     free        1          0        1
 *
 * Cost: that of bitmap.h.
 */
#ifndef FREEHOLD_OBJECTS_SLOTS_H
#define FREEHOLD_OBJECTS_SLOTS_H

#include "objects/bitmap.h"

typedef struct freehold__slots {
    uintptr_t base;
    size_t size; /* of a slot */
    freehold__bitmap free;
} freehold__slots;

static inline size_t freehold__slots_live(const freehold__slots *slots)
{
    return slots->free.bits - slots->free.members;
}

static inline void *freehold__slots_address(const freehold__slots *slots, size_t slot)
{
    return (void *)(slots->base + slot * slots->size);
}

/* What an address is. */
typedef enum freehold__at {
    FREEHOLD__AT_LIVE,   /* a slot in use begins there */
    FREEHOLD__AT_FREE,   /* a free slot begins there */
    FREEHOLD__AT_INSIDE, /* within a slot, free or not */
    FREEHOLD__AT_NONE    /* in no slot */
} freehold__at;

/* *slot: which one it is, if any. The address may be any; no memory of it is read. */
static inline freehold__at freehold__slots_at(
    const freehold__slots *slots, uintptr_t address, size_t *slot)
{
    size_t offset = address - slots->base; /* below the base it wraps, and is too large */
    *slot = offset / slots->size;
    if (freehold__unlikely(*slot >= slots->free.bits))
        return FREEHOLD__AT_NONE;
    if (freehold__unlikely(*slot * slots->size != offset))
        return FREEHOLD__AT_INSIDE;
    return freehold__bitmap_has(&slots->free, *slot) ? FREEHOLD__AT_FREE : FREEHOLD__AT_LIVE;
}

/* The start of the live slot around any address, or NULL. */
static inline void *freehold__slots_around(const freehold__slots *slots, uintptr_t address)
{
    size_t slot;
    if (freehold__slots_at(slots, address, &slot) == FREEHOLD__AT_NONE ||
        freehold__bitmap_has(&slots->free, slot))
        return NULL;
    return freehold__slots_address(slots, slot);
}

#endif
