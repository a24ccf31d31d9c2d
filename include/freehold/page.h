/* SPDX-License-Identifier: MIT */
/*
 * Whole pages: each block begins at a page, is as many pages as its size needs, and is mapped by
 * itself. So it can be made read-only or inaccessible, and it is what others build allocators of.
 *
 * The functions are those of freehold/allocator.h; freehold_page_alloc and so on are their typed
 * forms.
 *
 * State        By value, and a table out of line between guards, never in a block.
 * Sizes        Any. What may be used is exactly the size rounded up to whole pages.
 * Alignments   The page size, or more: any power of two that the address space has. An offset must
 *              be a multiple of the alignment asked for.
 * Threads      Any, also for blocks of another thread.
 * Failure      NULL or false, and nothing changed, when the system has no memory, or a size is more
 *              than there can be. Init cannot fail.
 * Cost         O(1) and a walk over at most 64 kept blocks; a system call where none of them fits.
 *              freehold_owns and freehold_base are linear in the number of blocks.
 * Retention    What is freed is kept, merged with free neighbours, and handed out again: the best
 *              fit, cut to size. What has been free for half a second goes back in later calls, all
 *              but 4 MiB or an eighth of what is live. A block over 128 MiB goes back at once.
 * Statistics   mapped_bytes is the footprint: what is live and what is kept.
 * fork         The child may use an allocator that no other thread was in a call on.
 */
#ifndef FREEHOLD_PAGE_H
#define FREEHOLD_PAGE_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__PAGE_WORDS 32 /* opaque; with room to grow */

struct freehold_page {
    freehold_allocator base;
    uint64_t state[FREEHOLD__PAGE_WORDS];
};

/* Makes the structure an allocator without memory. It cannot fail, makes no system call, and needs
 * nothing of what was there. */
FREEHOLD_API void freehold_page_init(freehold_page *page);

/* The same, with blocks that are multiples of an alignment: it is rounded up to a power of two, at
 * least the page size. */
FREEHOLD_API void freehold_page_init_aligned(freehold_page *page, size_t alignment);

/* Ends the allocator and all its blocks, protected ones too. Any later use but freehold_page_init
 * is fatal. NULL is none. Linear in the number of blocks. */
FREEHOLD_API void freehold_page_deinit(freehold_page *page);

/* The system's page size: a power of two, at least 4096. */
FREEHOLD_API size_t freehold_page_size(void);

/* What may be done with pages. */
typedef enum freehold_protection {
    FREEHOLD_PROTECT_NONE, /* every access ends the process */
    FREEHOLD_PROTECT_READ,
    FREEHOLD_PROTECT_READ_WRITE
} freehold_protection;

/*
 * Says what may be done with a part of a live block, or all of it: from `start`, which is at a page,
 * on, `bytes` rounded up to whole pages. A range that is not inside one live block is fatal. False,
 * and nothing is changed: the system refuses, 0 bytes, or no such protection.
 *
 * Contents are kept. A block that has a part which is not READ_WRITE can be freed, and is handed
 * out again as any other. It cannot be given another size (FREEHOLD_UNSUPPORTED) until all of it is
 * made READ_WRITE by one call, and freehold_free_zeroed, which writes it, is an access like others.
 */
FREEHOLD_API bool freehold_page_protect(
    freehold_page *page, void *start, size_t bytes, freehold_protection protection);

#ifdef __cplusplus
}
#endif
#endif
