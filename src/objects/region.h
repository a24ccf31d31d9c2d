/* SPDX-License-Identifier: MIT */
/*
 * The region engine: a coalescing heap in one block of memory, in constant time. The block describes
 * itself; its address may differ from one look to the next.
 *
 *     block    | header | bins | tags ....................... | blocks ...................... | later
 *              0        bins_at tags_at                       first                         end
 *
 * Places are numbers of granules from the block's start; 0 is none. Two bits a granule are the whole
 * truth, and they are no part of what users hold:
 *
 *     blocks   | A, live          | B, free | C, live |   ...  | the end
 *     begins    1  0  0  0  0  0    1  0  0   1  0  0            1
 *     live      1                   0         1                  1
 *
 * Where 64 granules in a row begin nothing, the word of `live` says nothing of its own. The first and the
 * last of such a run of words have the number of words in it: so the size of a block, and the block
 * before it, are found in three words at most (boundary tags, Knuth 1968, but out of line).
 *
 *     begins   ..1...   0         0        ..   0         ...1..     a block over n whole words
 *     live     ..s...   n         any      ..   n         ...s..
 *
 * A free block is linked into the bin of its size. The links lie in the first 16 bytes of the free
 * block, with a check over them and their place. They are looked at, and the tags with them, before
 * anything is changed; what is wrong is reported and not followed. Even links that are forged to the
 * bit lead to free blocks only, because what is free the tags say.
 *
 * Bins: one for each size up to `exact` granules, then `sub` of equal width for each power of two, and
 * a bitmap of two levels of those that are not empty. Good fit: a few blocks in the bin of the
 * size are tried, then the first one of the next bins is taken, in which all are large enough.
 *
 * Killed in the middle: every store to the tags leaves a partition of the block into live and free
 * blocks, and everything else can be made from the tags (freehold__region_repair). `busy` says that
 * an operation has begun and not ended.
 *
 * Cost: FREEHOLD__REGION_STEPS bounds the words of tags and the links that an operation looks at or
 * writes, whatever the size of the block and its state; the debug build counts them. Init and growth
 * write two bits for each granule that they add; check, repair and walks are linear.
 *
 * Memory: with k live blocks of M bytes together, n bytes are there if the blocks' memory is at least
 *
 *     M + (k + 1) * (n + n / sub)
 *
 * as a gap between live blocks that is not large enough is shorter than what the search asks for.
 * No good or best fit does much better in the worst case (Robson 1977, about M * n), and no allocator
 * that does not move blocks better than M * log2(n) / 2 (Robson 1971, 1974). Sources: Masmano et al., TLSF (2004).
 */
#ifndef FREEHOLD_OBJECTS_REGION_H
#define FREEHOLD_OBJECTS_REGION_H

#include "base/assert.h"
#include "base/bits.h"

#define FREEHOLD__REGION_MAGIC   UINT64_C(0x6672656872676e31) /* "frehrgn1" */
#define FREEHOLD__REGION_VERSION 2
#define FREEHOLD__REGION_ORDER   UINT32_C(0x01020304) /* reads 0x04030201 in the other byte order */
#define FREEHOLD__REGION_GRANULE ((size_t)16)         /* the smallest: links need as much */
#define FREEHOLD__REGION_WIDTH   40                   /* bits of a place */
#define FREEHOLD__REGION_PROBES  4                    /* blocks tried in the bin of the size */
#define FREEHOLD__REGION_STEPS   112  /* 9 blocks tried, 6 each; 33 for the rest; 18 to assert it */
#define FREEHOLD__REGION_BINS    4096 /* the most */

/* Begun and not ended; which one is for a person who looks at it. */
typedef enum freehold__region_busy {
    FREEHOLD__REGION_IDLE,
    FREEHOLD__REGION_ALLOCATES,
    FREEHOLD__REGION_FREES,
    FREEHOLD__REGION_RESIZES,
    FREEHOLD__REGION_GROWS,
    FREEHOLD__REGION_REPAIRS,
    FREEHOLD__REGION_MARKS
} freehold__region_busy;

/* The tags of 64 granules. */
typedef struct freehold__region_tags {
    uint64_t begins, live;
} freehold__region_tags;

/* The header, at the start of the block. All of it, and of what follows, has this layout everywhere. */
typedef struct freehold__region {
    /* Never change, and are in the checksum. */
    uint64_t magic;
    uint32_t version, order;
    uint64_t max_bytes;        /* that the block may grow to */
    uint32_t shift;            /* a granule is 1 << shift bytes */
    uint32_t exact, sub;       /* exact bins, and those of a power of two, as shifts */
    uint32_t bins;             /* how many */
    uint64_t bins_at, tags_at; /* bytes from the start */
    uint64_t first;            /* where blocks begin */
    uint64_t key;              /* of the checks of links */
    uint64_t checksum;

    /* The lock, if any, is the user's. */
    uint64_t end;  /* where blocks end now: begins and is live, as a sentinel */
    uint64_t busy; /* freehold__region_busy */
    uint64_t root; /* a place and its check: the user's, for finding the first block again */
    uint64_t live_granules;
    uint64_t
        peak_granules; /* the most that they have been. (Here, so that no compiler adds to both neighbours
                                  * by one vector: reading that would wait for the stores of its halves.) */
    uint64_t allocations, frees; /* allocations - frees blocks are live */
    uint64_t pristine;           /* from this place on all reads zero, but for links */
    uint64_t searches, probes;   /* for free blocks; and blocks looked at in them */
    uint64_t repairs;

    /* The user's counts. */
    uint64_t reallocations, failures, requested, purged;

    uint32_t steps, most_steps; /* of an operation; counted in the debug build */
    uint64_t reserved[8];
    uint64_t nonempty; /* of the words below, which are not 0 */
    /* The heads of the bins, then uint64_t nonempty words: at bins_at */
} freehold__region;

_Static_assert(sizeof(freehold__region) % 8 == 0, "the layout is the same everywhere");

/* How a block is to be laid out. */
typedef struct freehold__region_layout {
    size_t bytes, max_bytes; /* now, and the most that it may grow to */
    size_t granule;          /* a power of two, at least 16 */
    size_t exact, sub;       /* bins: powers of two, sub <= exact; 0: as goes with max_bytes */
    uint64_t key;            /* any number */
    bool zeroed;             /* all of it reads zero */
} freehold__region_layout;

/* Lays the block out anew. NULL, or what is wrong with the memory or the layout: then nothing was written. */
const char *freehold__region_init(void *memory, const freehold__region_layout *layout);

/* What is wrong with a block that is said to be laid out already, of so many bytes at least; NULL: nothing. */
const char *freehold__region_judge(const void *memory, size_t bytes);

/* Whether there is, by its header, a region of this byte order or the other one. */
bool freehold__region_is_there(const void *memory);

/* The block is none any more. */
void freehold__region_end(freehold__region *region);

/* The bytes before the first block, when the block may grow to max_bytes of such a layout; 0: there can be none. */
size_t freehold__region_front(const freehold__region_layout *layout);

/* ---- operations ------------------------------------------------------------------------------ */

typedef enum freehold__region_status {
    FREEHOLD__REGION_DONE,
    FREEHOLD__REGION_FULL,   /* no free block is large enough; nothing was changed */
    FREEHOLD__REGION_DAMAGED /* by somebody else; nothing was changed */
} freehold__region_status;

/* What an operation did. */
typedef struct freehold__region_result {
    freehold__region_status status;
    size_t place;     /* of the block; or where the damage was met */
    size_t bytes;     /* of the block */
    size_t zero_from; /* of a new block: from this byte on it is known to read zero */
} freehold__region_result;

/* The same in two words, of the calls that are made most: the block's place, and what is known of it; or 0, and the
 * place of the damage, 0: it is full. */
typedef struct freehold__region_answer {
    size_t place, more;
} freehold__region_answer;

static inline freehold__region_result freehold__region_result_of(
    freehold__region_answer answer, size_t bytes, size_t zero_from)
{
    if (answer.place == 0)
        return (freehold__region_result){.place = answer.more,
            .status = answer.more != 0 ? FREEHOLD__REGION_DAMAGED : FREEHOLD__REGION_FULL};
    return (freehold__region_result){FREEHOLD__REGION_DONE, answer.place, bytes, zero_from};
}

/* A block with its address + offset a multiple of alignment; both are multiples of the granule, or 1 and 0. More: from
 * which byte on it is known to read zero. */
freehold__region_answer freehold__region_ask(
    freehold__region *region, size_t bytes, size_t alignment, size_t offset);

static inline freehold__region_result freehold__region_take(
    freehold__region *region, size_t bytes, size_t alignment, size_t offset)
{
    freehold__region_answer answer = freehold__region_ask(region, bytes, alignment, offset);
    size_t taken = (((bytes - 1) >> region->shift) + 1) << region->shift;
    return freehold__region_result_of(answer, taken, answer.more);
}

/* Frees the live block at a place. More: its bytes. */
freehold__region_answer freehold__region_return(freehold__region *region, size_t place);

static inline freehold__region_result freehold__region_put(freehold__region *region, size_t place)
{
    freehold__region_answer answer = freehold__region_return(region, place);
    return freehold__region_result_of(answer, answer.more, SIZE_MAX);
}

/* Gives the live block there another size where it is. */
freehold__region_result freehold__region_resize(
    freehold__region *region, size_t place, size_t bytes);

/* Makes the block larger, up to max_bytes; zeroed: what it gains reads zero. FULL: it may not be. */
freehold__region_result freehold__region_grow(freehold__region *region, size_t bytes, bool zeroed);

/* Bytes of the free block that what it gains would merge with; 0: there is none, or it is damaged. */
size_t freehold__region_free_end(freehold__region *region);

/* The free block there reads zero now, but for its links. */
freehold__region_result freehold__region_mark_zero(freehold__region *region, size_t place);

/* Makes bins, links and counts from the tags, and merges what is free. False: the tags themselves are
 * damaged. */
bool freehold__region_repair(freehold__region *region);

/* ---- looking --------------------------------------------------------------------------------- */

typedef enum freehold__region_at {
    FREEHOLD__REGION_LIVE,        /* a live block begins there */
    FREEHOLD__REGION_FREE,        /* a free one */
    FREEHOLD__REGION_INSIDE_LIVE, /* within one */
    FREEHOLD__REGION_INSIDE_FREE,
    FREEHOLD__REGION_FRONT, /* the header, the bins and the tags */
    FREEHOLD__REGION_OUTSIDE,
    FREEHOLD__REGION_LOST /* the tags are damaged there */
} freehold__region_at;

/* What an address is, any one; the place and the bytes of the block that it is in, if any. Within a
 * block it is linear: a word for every 64 granules to its start. */
freehold__region_at freehold__region_find(
    const freehold__region *region, uintptr_t address, size_t *place, size_t *bytes);

/* A block for the user to find the others by; 0: none. One store: it is there or not, whoever is killed. */
void freehold__region_set_root(freehold__region *region, size_t place);
/* Its place; SIZE_MAX: the word is damaged. */
size_t freehold__region_root(const freehold__region *region);

/* From now on no free memory is known to read zero, but where a block's links say so. */
void freehold__region_forget_zero(freehold__region *region);

/* The bytes of the block that begins there; 0: its tags are damaged. */
size_t freehold__region_size(const freehold__region *region, size_t place);

typedef struct freehold__region_block {
    size_t place, bytes;
    bool live, zero; /* zero: free, and known to read zero but for its links */
} freehold__region_block;

/* The block behind *block; the first one when its bytes are 0. False: there is no other one. */
bool freehold__region_next(const freehold__region *region, freehold__region_block *block);

/* NULL, or what is wrong; *place: where. */
const char *freehold__region_check(const freehold__region *region, size_t *place);

static inline void *freehold__region_address(const freehold__region *region, size_t place)
{
    return (void *)((uintptr_t)region + (place << region->shift));
}

/* The hottest question: a live block begins there. */
static inline bool freehold__region_is_live(
    const freehold__region *region, uintptr_t address, size_t *place)
{
    size_t offset = address - (uintptr_t)region; /* below the start it wraps, and is too large */
    *place = offset >> region->shift;
    if (offset != *place << region->shift || *place < region->first || *place >= region->end)
        return false;
    const freehold__region_tags *tags =
        (const freehold__region_tags *)((uintptr_t)region + (uintptr_t)region->tags_at) +
        *place / 64;
    return (tags->begins & tags->live) >> (*place % 64) & 1;
}

static inline uint64_t freehold__region_live_blocks(const freehold__region *region)
{
    return region->allocations - region->frees;
}

/* Bytes for blocks, live and free. */
static inline size_t freehold__region_bytes(const freehold__region *region)
{
    return (size_t)(region->end - region->first) << region->shift;
}

static inline size_t freehold__region_live_bytes(const freehold__region *region)
{
    return (size_t)region->live_granules << region->shift;
}

/* Begun and not ended: whoever did so must be dead, if nobody holds the lock. */
static inline bool freehold__region_is_busy(const freehold__region *region)
{
    return *(const volatile uint64_t *)&region->busy != FREEHOLD__REGION_IDLE;
}

#endif
