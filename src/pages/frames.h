/* SPDX-License-Identifier: MIT */
/*
 * A buddy over ranges of memory that somebody else gives: page frames, as a kernel has them. (The
 * buddy of a heap, pages/buddy.h, is over sections that the heap maps for itself.)
 *
 *     take 3:      [           8           ]  =>  [ 3 taken  |1|     4     ]
 *     give:        [ 3 taken  |1|     4    ]  =>  [           8            ]
 *     take at 5:   [           8           ]  =>  [    4     |1|#|    2    ]
 *
 * A free block is 2^order pages at a multiple of its length in the address space, so that its
 * alignment is its length; blocks of one range merge, those of two never do. A taken block has its
 * exact number of pages; what is left of the power of two is free. What is known of each page is in
 * a table out of line, 16 bytes a page, which is memory of the range's start or comes from
 * elsewhere.
 *
 * Ranges are in a list by physical address, the highest first: who does not care gets high memory,
 * and what lies below some limit is left for those who ask for it.
 *
 * Cost: O(ranges + orders) for take, give and find. Beyond that a take is linear in the free blocks
 * of a range only when no block of the usual kind is there and a small one may happen to be aligned,
 * or when the physical limit lies within the range. Source: Knowlton 1965, "A fast storage
 * allocator".
 *
 * Not thread-safe: the caller holds its lock around every call, but for find, which may be called
 * at any time. A page that is CACHED is its holder's alone.
 */
#ifndef FREEHOLD_PAGES_FRAMES_H
#define FREEHOLD_PAGES_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freehold/allocator.h"

#define FREEHOLD__FRAME_ORDERS 32
#define FREEHOLD__FRAME_KINDS  8 /* what a taken block is for, as its taker says */

typedef enum freehold__frame_state {
    FREEHOLD__FRAME_INSIDE, /* not the first of its block */
    FREEHOLD__FRAME_FREE,   /* first of a free block of 2^order pages */
    FREEHOLD__FRAME_TAKEN,  /* first of a taken block of `pages` */
    FREEHOLD__FRAME_CACHED, /* the same, of one page, that waits to be handed out */
    FREEHOLD__FRAME_RESIZED /* taken, and nobody may free it now */
} freehold__frame_state;

typedef struct freehold__frame {
    union {
        struct {
            uint32_t next, prev; /* free: the list of its order, as number + 1 */
        };
        struct {
            uint32_t kind;        /* taken */
            uint32_t constrained; /* taken with a limit, so that it goes back to where it was */
        };
    };
    uint32_t pages; /* length of the block; free: a power of two */
    _Atomic uint32_t
        state; /* a word, for there are processors that can change no less atomically */
} freehold__frame;

_Static_assert(sizeof(freehold__frame) == 16, "freehold_buddy_state_bytes says so");

typedef struct freehold__range {
    _Atomic(struct freehold__range *) next;
    uintptr_t start;   /* of the memory that is given out */
    uint64_t physical; /* address of the start */
    uint32_t pages, free;
    uint32_t nonempty; /* bit per order */
    uint32_t first[FREEHOLD__FRAME_ORDERS];
    uintptr_t state_start, state_end; /* what holds this structure and its table */
    _Alignas(16) freehold__frame frame[];
} freehold__range;

typedef struct freehold__frames {
    _Atomic(freehold__range *) ranges;
    unsigned shift;                      /* log2 of the page */
    size_t managed, free;                /* pages */
    size_t taken[FREEHOLD__FRAME_KINDS]; /* pages */
    size_t state_bytes;
    unsigned range_count;
} freehold__frames;

/* Bytes of state for so many pages. */
static inline size_t freehold__range_bytes(size_t pages)
{
    return sizeof(freehold__range) + pages * sizeof(freehold__frame);
}

/*
 * Adds whole pages, with their state at `state`; NULL: in the first of them. OK, or why not: not
 * whole pages, or physically not one range (INVALID); too few for their state, or the state too
 * short (TOO_SMALL); in a range or a state that is there (OVERLAP). `physical` may be NULL.
 */
freehold_error freehold__frames_add(freehold__frames *frames, uintptr_t start, size_t bytes,
    void *state, size_t state_bytes, uint64_t (*physical)(const void *address));

typedef struct freehold__frame_request {
    size_t pages, align; /* align in bytes, a power of two */
    uint64_t limit;      /* no byte is at this physical address or above it; 0: anywhere */
    unsigned kind;
} freehold__frame_request;

/* A page in a range, or range NULL. */
typedef struct freehold__frame_place {
    freehold__range *range;
    uint32_t number;
} freehold__frame_place;

freehold__frame_place freehold__frames_find(const freehold__frames *frames, uintptr_t address);

static inline freehold__frame *freehold__frame_of(freehold__frame_place place)
{
    return &place.range->frame[place.number];
}

static inline freehold__frame_state freehold__frame_get(const freehold__frame *frame)
{
    return (freehold__frame_state)atomic_load_explicit(&frame->state, memory_order_acquire);
}

static inline void freehold__frame_set(freehold__frame *frame, freehold__frame_state state)
{
    atomic_store_explicit(&frame->state, (uint32_t)state, memory_order_release);
}

/* False: it was not in the state `from`. */
static inline bool freehold__frame_change(
    freehold__frame *frame, freehold__frame_state from, freehold__frame_state to)
{
    uint32_t before = (uint32_t)from;
    return atomic_compare_exchange_strong(&frame->state, &before, (uint32_t)to);
}

/* Whether the address is in the state of a range. */
bool freehold__frames_is_state(const freehold__frames *frames, uintptr_t address);

/* The first taken block from a page on, in all ranges behind that; range NULL begins with the first
 * one, and is the end. */
freehold__frame_place freehold__frames_next(
    const freehold__frames *frames, freehold__range *range, uint32_t number);

/* range NULL: there is none. */
freehold__frame_place freehold__frames_take(
    freehold__frames *frames, freehold__frame_request request);

/* Takes these very pages, if all of them are free. */
bool freehold__frames_take_at(
    freehold__frames *frames, freehold__frame_place place, size_t pages, unsigned kind);

/* Gives a taken block back. */
void freehold__frames_give(freehold__frames *frames, freehold__frame_place place);

/* Makes a taken block longer or shorter where it is. False: what is behind it is not free. */
bool freehold__frames_resize(freehold__frames *frames, freehold__frame_place place, size_t pages);

/* Cuts a taken block into blocks of `unit` pages, the last of them perhaps shorter; how many. */
size_t freehold__frames_split(freehold__frame_place place, uint32_t unit);

/* The block, free or taken, that a page is in. Linear in its length: for reports. */
freehold__frame_place freehold__frames_block(
    const freehold__frames *frames, freehold__frame_place place);

/* The full validator: NULL, or what is wrong. *cached: pages in that state. */
const char *freehold__frames_check(const freehold__frames *frames, size_t *cached);

static inline uintptr_t freehold__frame_address(
    const freehold__frames *frames, freehold__frame_place place)
{
    return place.range->start + ((uintptr_t)place.number << frames->shift);
}

#endif
