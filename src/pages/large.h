/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: mapped one by one, found by a hash of their address, kept for a while after they
 * are freed, and resized by the port's remap.
 *
 * All state is in a table of its own (open addressing, linear probing with backward-shift deletion,
 * at most half full; Knuth, TAOCP 3, 6.4, algorithm R). One lock guards it; the only system calls
 * made under it grow the table and remap a block.
 *
 * A freed block is kept for a while, merged with kept neighbours. A request takes the best fit of
 * what is kept, and leaves the rest there, or has the largest resized; a block that grows takes it back from a kept neighbour
 * behind it before it asks the system. Cost: O(1), plus the walk over at most FREEHOLD__LARGE_KEPT
 * entries.
 */
#ifndef FREEHOLD_PAGES_LARGE_H
#define FREEHOLD_PAGES_LARGE_H

#include "pages/quota.h"
#include "pages/retention.h"
#include "port/port.h"

#define FREEHOLD__LARGE_KEPT     64                          /* blocks */
#define FREEHOLD__LARGE_KEPT_MAX ((size_t)128 * 1024 * 1024) /* bytes: a longer block is not kept */
/* What is left of a kept block is worth keeping apart from here on, or from an eighth of the
 * request; less goes along with that. */
#define FREEHOLD__LARGE_REST ((size_t)64 * 1024)

typedef struct freehold__large_block {
    uintptr_t base; /* 0: no block */
    size_t bytes;   /* as mapped: a multiple of the page size; what the user may write */
    bool marked;    /* by the owner: it must do something before the block may be kept */
} freehold__large_block;

typedef struct freehold__large {
    freehold__lock lock;
    /* All below is guarded by the lock; the counters are atomics so that statistics need not take
     * it. */
    freehold__large_block *table; /* capacity entries, a power of two; NULL until the first block */
    size_t capacity, count;
    struct freehold__large_kept *kept; /* FREEHOLD__LARGE_KEPT entries, before the table */
    unsigned kept_count;
    freehold__retain retain;
    /* Constant from the start: of every block that is mapped. One for all, since kept blocks merge, and
     * a remap needs one kind of mapping. */
    freehold__huge huge;
    bool exact;             /* constant: no block is a page longer than it was asked for */
    freehold__quota *quota; /* NULL: none. Blocks are charged to it, live and kept. */
    _Atomic size_t live_bytes, kept_bytes, peak_bytes;
    _Atomic uint64_t allocations, frees, purged_bytes;
    _Atomic uint64_t changes; /* of live blocks: how often one has ended, or got another size */
} freehold__large;

/*
 * What a thread has looked up last. It holds while no live block has changed since: whatever the
 * program has put in order before a look has also counted `changes` before it.
 */
typedef struct freehold__large_memo {
    const void *base;
    size_t bytes;
    uint64_t changes;
} freehold__large_memo;

/* NULL when the port refuses or the size does not fit. *zeroed: the block is known to read zero;
 * `zeroed` is NULL where nobody asks. */
void *freehold__large_alloc(freehold__large *large, size_t bytes, size_t align, bool *zeroed);

/* Bytes that were freed; 0 when no large block starts there. `now`: the port's milliseconds. */
size_t freehold__large_free(freehold__large *large, void *base, uint32_t now);

/* The same, but the block is not kept. */
size_t freehold__large_discard(freehold__large *large, void *base);

/* The block that starts there; its base is 0 when none does. */
freehold__large_block freehold__large_at(freehold__large *large, const void *base);

/* Marks a live block, or takes its mark away; a resize forgets it. */
void freehold__large_mark(freehold__large *large, void *base, bool marked);

/* Size of the block that starts there; 0 when none does. */
size_t freehold__large_size(freehold__large *large, const void *base);

/* The same, if the memo knows; else 0. No lock. */
static inline size_t freehold__large_remembered(
    const freehold__large *large, const freehold__large_memo *memo, const void *base)
{
    return memo->base == base &&
                   memo->changes == atomic_load_explicit(&large->changes, memory_order_acquire)
               ? memo->bytes
               : 0;
}

/* Resizes; may move, keeps contents. NULL: the block is as it was (or there is none). */
void *freehold__large_resize(freehold__large *large, void *base, size_t bytes);

/* The same without moving it: into kept memory behind it, or by giving its end back. False: it is
 * as it was. */
bool freehold__large_resize_in_place(freehold__large *large, void *base, size_t bytes);

/* Unmaps kept memory that the policy no longer keeps beside `live` bytes, as much as the slice has room
 * for; all of it when that is NULL. */
void freehold__large_retain(freehold__large *large, size_t live, uint32_t now, size_t *slice);

/*
 * Whether this thread holds the lock: it is in a signal handler that has interrupted one of the
 * functions above, and each of them would wait for itself.
 */
bool freehold__large_interrupted(const freehold__large *large);

/* For the report of a misuse: the live block, or the kept memory, that contains the address. */
freehold__large_block freehold__large_around(freehold__large *large, const void *address);
freehold__large_block freehold__large_kept_at(freehold__large *large, const void *address);

/* The peak is what is live now. */
void freehold__large_reset_peak(freehold__large *large);

/* Calls visit for every live block, under the lock; visit must not call back. */
void freehold__large_walk(
    freehold__large *large, void (*visit)(void *context, void *base, size_t bytes), void *context);

const char *freehold__large_check(freehold__large *large);

/* Unmaps every block, kept or live, and the table. */
void freehold__large_release(freehold__large *large);

#endif
