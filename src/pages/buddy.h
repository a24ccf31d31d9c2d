/* SPDX-License-Identifier: MIT */
/*
 * Buddy over sections: free blocks of 2^order granules, at multiples of their length, one list per
 * order.
 *
 *     take(3 of 8):  [        8        ]  =>  [ 3 used |1|   4    ]   the tail goes back in blocks
 *     give(3):       [ 3 used |1|   4  ]  =>  [        8          ]   neighbours merge at once
 *
 * Every list is LIFO for blocks that may be resident ("dirty") and FIFO for those that are not, so
 * that memory which is still there is used first. Dirty blocks are also in one list by age, which
 * is what retention purges from. Which granules are dirty is exact, a bit each, so merging loses
 * nothing.
 *
 * Cost: O(orders) = O(12) for take and give. Source: Knowlton 1965, "A fast storage allocator".
 * Not thread-safe: the page instance holds its lock around every call.
 */
#ifndef FREEHOLD_PAGES_BUDDY_H
#define FREEHOLD_PAGES_BUDDY_H

#include "pages/section.h"

/* The largest block is half a section: 2^11 granules, 16 MiB, when hosted with 64-bit addresses. */
#define FREEHOLD__ORDERS    (FREEHOLD__SECTION_SHIFT - FREEHOLD__GRANULE_SHIFT)
#define FREEHOLD__BLOCK_MAX (1u << (FREEHOLD__ORDERS - 1))

typedef struct freehold__buddy {
    freehold__granule *first[FREEHOLD__ORDERS], *last[FREEHOLD__ORDERS];
    uint32_t nonempty;                  /* bit per order */
    freehold__granule *oldest, *newest; /* dirty free blocks by freed_at */
    size_t free, dirty;                 /* granules */
} freehold__buddy;

/*
 * Adds the next part of a fresh section, which is clean; false when all of it has been added. The parts are
 * the natural blocks of its user part: 2, 4, 8, 16 MiB. One at a time, because each free block
 * costs a page of granule structs.
 */
bool freehold__buddy_add(freehold__buddy *buddy, freehold__section *section);

/* Takes all of a section out again, as it was before the first part was added; false when not all of it is free. */
bool freehold__buddy_remove(freehold__buddy *buddy, freehold__section *section);

/* Takes `granules` (1 to 2^11) that start at a multiple of the next power of two; NULL when there
 * are none. */
freehold__granule *freehold__buddy_take(freehold__buddy *buddy, unsigned granules);

/* Gives a range back, at the time `now`; `dirty` when its pages may be resident. */
void freehold__buddy_give(freehold__buddy *buddy, freehold__section *section, unsigned first,
    unsigned granules, bool dirty, uint32_t now);

/* Takes a whole free block out, to purge it without the lock; buddy_give brings it back. */
void freehold__buddy_detach(freehold__buddy *buddy, freehold__granule *block);

/* Number of dirty granules in a range; runs of them, from `from`: the next one's start, its end in
 * *end. */
unsigned freehold__dirty_count(const freehold__section *section, unsigned first, unsigned granules);
unsigned freehold__dirty_run(
    const freehold__section *section, unsigned from, unsigned limit, unsigned *end);
void freehold__dirty_mark(
    freehold__section *section, unsigned first, unsigned granules, bool dirty);

/* The full validator: NULL, or what is wrong. */
const char *freehold__buddy_check(const freehold__buddy *buddy, const freehold__section *sections);

static inline freehold__section *freehold__granule_section(const freehold__granule *granule)
{
    return freehold__section_at((uintptr_t)granule);
}

static inline unsigned freehold__granule_number(const freehold__granule *granule)
{
    return (unsigned)(granule - freehold__granule_section(granule)->granule);
}

#endif
