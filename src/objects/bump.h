/* SPDX-License-Identifier: MIT */
/*
 * The bump engine: memory handed out from its start to its end, one piece after the other, with two
 * bits for every 16 bytes out of line that say where a piece begins and what it is.
 *
 *     memory      | block A      | gap | block B                 | block C | not handed out
 *     begins      1   0   0        0     1   0   0   0   0   0     1   0   ^ used
 *     live        1   0   0        1     1   0   0   0   0   0     0   0
 *
 *     begins, live   1 1  a live block begins here
 *                    1 0  a block that was freed begins here, and is not used again before the end
 *                         of the memory in use comes back to it
 *                    0 1  a gap begins here, in front of a block with a large alignment
 *                    0 0  nothing begins here
 *
 * The bits from `used` on say nothing, and are never read: a piece clears its own when it is taken.
 * So it costs nothing to go back. The first piece begins at 0, each next one where one ends.
 *
 * Cost: take, put and find O(1) and a word of bits for each KiB of the pieces that are passed over.
 */
#ifndef FREEHOLD_OBJECTS_BUMP_H
#define FREEHOLD_OBJECTS_BUMP_H

#include "base/assert.h"
#include "base/bits.h"

#define FREEHOLD__BUMP_GRANULE ((size_t)16)

typedef struct freehold__bump_word {
    uint64_t begins, live; /* of 64 granules */
} freehold__bump_word;

typedef struct freehold__bump {
    uintptr_t base;
    size_t bytes, used;        /* multiples of the granule */
    freehold__bump_word *word; /* freehold__bump_words(bytes) of them */
    size_t blocks, live_bytes; /* live blocks, and the sum of their sizes */
} freehold__bump;

static inline size_t freehold__bump_words(size_t bytes)
{
    return bytes / (64 * FREEHOLD__BUMP_GRANULE) + 1;
}

static inline size_t freehold__bump_room(const freehold__bump *bump)
{
    return bump->bytes - bump->used;
}

/* The next block, a multiple of alignment with the offset; NULL when there is no room. The alignment
 * is at least a granule, the offset a multiple of it. */
void *freehold__bump_take(freehold__bump *bump, size_t bytes, size_t alignment, size_t offset);

/* What an address is. */
typedef enum freehold__bump_at {
    FREEHOLD__BUMP_LIVE,   /* a live block begins there */
    FREEHOLD__BUMP_FREED,  /* a freed one */
    FREEHOLD__BUMP_INSIDE, /* within a block, live or freed */
    FREEHOLD__BUMP_NONE    /* in no block */
} freehold__bump_at;

/* *start: the offset of the block, if any. The address may be any. */
freehold__bump_at freehold__bump_find(const freehold__bump *bump, uintptr_t address, size_t *start);

bool freehold__bump_is_live(const freehold__bump *bump, size_t start);

/* The size of the piece that begins there: up to the next one. */
size_t freehold__bump_size(const freehold__bump *bump, size_t start);

/* Frees the live block there, which has this size. */
void freehold__bump_put(freehold__bump *bump, size_t start, size_t size);

/* Goes back over what is not live at the end, but not below `floor`, where a piece begins or ends. */
void freehold__bump_settle(freehold__bump *bump, size_t floor);

/* Gives the last block, which is live and begins there, another size; false: there is no room. */
bool freehold__bump_resize_last(freehold__bump *bump, size_t start, size_t bytes);

/* Whether a piece begins or ends there: at an offset of the memory in use, or its end. */
bool freehold__bump_is_border(const freehold__bump *bump, size_t offset);

/* Ends all blocks from `to` on, where a piece begins or ends. */
void freehold__bump_cut(freehold__bump *bump, size_t to);

/* The first live block at or behind *start; false: there is none. */
bool freehold__bump_next_live(const freehold__bump *bump, size_t *start);

/* NULL, or what is wrong. */
const char *freehold__bump_check(const freehold__bump *bump);

#endif
