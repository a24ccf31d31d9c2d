/* SPDX-License-Identifier: MIT */
/*
 * Page frames: blocks of whole pages out of ranges of memory that the user registers, as a kernel
 * has them, or a part of a microcontroller's memory.
 *
 *     freehold_buddy_init(&memory, NULL);
 *     freehold_buddy_add(&memory, base, bytes);            a range; its own start holds its state
 *     page_table = freehold_alloc_zeroed(&memory, 4096);
 *     ring = freehold_buddy_take(&memory, &(freehold_buddy_request){
 *         .bytes = 3 * 4096, .below = FREEHOLD_BUDDY_4_GIB});
 *
 * The functions are those of freehold/allocator.h; freehold_buddy_alloc and so on are their typed
 * forms. An allocator and its blocks may be used from any thread or CPU.
 *
 * State        By value, and for each range a table out of line, 16 bytes a page and about 200: in
 *              its first pages or, better, elsewhere, where what is written past the end of some
 *              other memory does not reach it. The memory stays the user's; it is never unmapped, and
 *              a free page is never read or written.
 * Sizes        What may be used is exactly the size rounded up to whole pages. The largest block is
 *              the largest power of two that lies in a range at a multiple of itself.
 * Alignments   Any power of two, of the address. An offset must be a multiple of the alignment. A
 *              block of 2^n pages is aligned to its length, and no memory is taken for that.
 * Threads      Any thread or CPU, one lock; single pages by a cache for each CPU, if there is one.
 * Failure      Where there is no such block: FREEHOLD_NO_MEMORY. What is added has errors of its own
 *              (freehold_buddy_add).
 * Cost         O(ranges + log pages). Beyond that linear in the free blocks, in the two cases that
 *              pages/frames.h names: a limit that lies within a range, and an alignment that only a
 *              shorter block may happen to have. freehold_base is linear in the length of the block
 *              that is pointed into. Source: Knowlton 1965, "A fast storage allocator".
 * Statistics   mapped_bytes is what is managed. Pages in the caches count as free (retained_bytes),
 *              and as used_bytes, which peak_bytes is the peak of.
 */
#ifndef FREEHOLD_BUDDY_H
#define FREEHOLD_BUDDY_H

#include "freehold/allocator.h"
#include "freehold/cpus.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__BUDDY_WORDS       48 /* opaque; with room to grow */
#define FREEHOLD__BUDDY_CACHE_WORDS 80 /* opaque */
/* How many kinds of blocks the usage tells apart. */
#define FREEHOLD_BUDDY_KINDS  8
#define FREEHOLD_BUDDY_MAPPED 7 /* the kind of the pages of freehold_buddy_map */
/* The limit of what 32 bits can address. */
#define FREEHOLD_BUDDY_4_GIB (UINT64_C(1) << 32)

struct freehold_buddy {
    freehold_allocator base;
    uint64_t state[FREEHOLD__BUDDY_WORDS];
};

/*
 * Single pages kept for one CPU, up to 64: it takes and gives most of them without the lock that
 * all CPUs share. They come and go 32 at a time, and all go back before a request is refused. A
 * page that was taken with a limit never stays in a cache.
 */
typedef struct freehold_buddy_cache {
    uint64_t state[FREEHOLD__BUDDY_CACHE_WORDS];
} freehold_buddy_cache;

/* What is constant of a buddy; all of it may be 0. */
typedef struct freehold_buddy_options {
    size_t page; /* bytes of a page, a power of two, at least 16; 0: 4096 */
    /* The physical address of an address in a range, or NULL: they are the same. A range must be
     * physically one; it is asked for the range's first and last byte when that is added. */
    uint64_t (*physical)(const void *address);
    const freehold_cpus *cpus;    /* with caches: who is asked which of them is the caller's */
    freehold_buddy_cache *caches; /* one for each CPU, zeroed. NULL, or no hook or CPU: none */
} freehold_buddy_options;

/* Makes the structure an allocator without memory. The options are copied, but not what they point
 * to; NULL: all of them 0. A page that is no power of two is rounded up to one. */
FREEHOLD_API void freehold_buddy_init(freehold_buddy *buddy, const freehold_buddy_options *options);

/* Ends the allocator. The memory of its ranges is the user's again. */
FREEHOLD_API void freehold_buddy_deinit(freehold_buddy *buddy);

/*
 * Adds a range; all functions may be at work meanwhile. Its pages are free, whatever is in them.
 * add_with has the state of the range at `state`, which must be aligned to 16, and of
 * freehold_buddy_state_bytes. Anything but FREEHOLD_OK: nothing has changed.
 *
 * FREEHOLD_INVALID    start or bytes is no multiple of the page, or start is NULL; the range is not
 *                     one range physically, or has 2^31 pages or more; state is not aligned
 * FREEHOLD_TOO_SMALL  the range has no page beside its state, or the state is too short
 * FREEHOLD_OVERLAP    some of it is in a range, or in the state of one, that is there already
 */
FREEHOLD_API freehold_error freehold_buddy_add(freehold_buddy *buddy, void *start, size_t bytes);
FREEHOLD_API freehold_error freehold_buddy_add_with(
    freehold_buddy *buddy, void *start, size_t bytes, void *state, size_t state_bytes);
FREEHOLD_API size_t freehold_buddy_state_bytes(freehold_buddy *buddy, size_t bytes);

/* A block as it is wanted; what is 0 does not matter. */
typedef struct freehold_buddy_request {
    size_t bytes;
    size_t alignment; /* a power of two; 0: the page */
    uint64_t below;   /* no byte lies at this physical address or above; 0: anywhere */
    unsigned kind;    /* what it is for, 0 to FREEHOLD_BUDDY_KINDS - 1: for the usage */
} freehold_buddy_request;

/* A block as requested; it is freed like any other. NULL as freehold_alloc, but that the fallback of a policy is not
 * asked, which knows no physical addresses. */
FREEHOLD_API void *freehold_buddy_take(
    freehold_buddy *buddy, const freehold_buddy_request *request);

/* The block of these very pages: for what lies at an address that is known. `start` is a multiple
 * of the page. NULL: not all of them are free. There is no retry. */
FREEHOLD_API void *freehold_buddy_take_at(freehold_buddy *buddy, void *start, size_t bytes);

/* Up to `count` single pages into blocks[], all under one lock; how many there were. And back: before the first that is
 * no live block is reported, those in front of it are free. */
FREEHOLD_API size_t freehold_buddy_take_batch(freehold_buddy *buddy, void **blocks, size_t count);
FREEHOLD_API void freehold_buddy_free_batch(freehold_buddy *buddy, void **blocks, size_t count);

/* Cuts a live block into blocks of `unit_bytes`, the last of them perhaps shorter, each of which is
 * freed by itself from now on. How many; 0: unit_bytes is no multiple of the page. */
FREEHOLD_API size_t freehold_buddy_split(freehold_buddy *buddy, void *block, size_t unit_bytes);

/*
 * What freehold_hook_map and freehold_hook_unmap are to do (freehold/hooks.h): zeroed pages of the
 * kind FREEHOLD_BUDDY_MAPPED, of which any may be given back. NULL: there is none. They take no policy into account.
 */
FREEHOLD_API void *freehold_buddy_map(freehold_buddy *buddy, size_t bytes, size_t alignment);
FREEHOLD_API void freehold_buddy_unmap(freehold_buddy *buddy, void *base, size_t bytes);

/* Where the bytes of the ranges are now: managed_bytes == free_bytes + cached_bytes + the sum of
 * kind_bytes. state_bytes is beside that. */
typedef struct freehold_buddy_usage {
    size_t managed_bytes, free_bytes, cached_bytes, state_bytes;
    size_t kind_bytes[FREEHOLD_BUDDY_KINDS];
    size_t ranges; /* their number */
} freehold_buddy_usage;
FREEHOLD_API freehold_buddy_usage freehold_buddy_get_usage(freehold_buddy *buddy);

/* The range of a number, from 0 on, in the order in which requests go through them: the highest
 * physical address first. False: there are not as many. */
typedef struct freehold_buddy_range {
    void *start; /* of what is managed, behind its state */
    size_t bytes, free_bytes;
    uint64_t physical;
} freehold_buddy_range;
FREEHOLD_API bool freehold_buddy_get_range(
    freehold_buddy *buddy, unsigned number, freehold_buddy_range *range);

#ifdef __cplusplus
}
#endif

#endif
