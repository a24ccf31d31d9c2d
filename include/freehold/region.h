/* SPDX-License-Identifier: MIT */
/*
 * A region: a heap in one block of the caller's memory, in constant time.
 *
 *     static _Alignas(16) unsigned char memory[256 * 1024];
 *     freehold_region region;
 *     freehold_region_init(&region, memory, sizeof memory);
 *     void *p = freehold_alloc(&region, 100);
 *
 * The functions are those of freehold/allocator.h. The memory holds everything but this structure: a
 * header, bins of free blocks by their size, two bits for each granule, and the blocks. All that it
 * says are distances from its start, so that it can be mapped at another address, by another process,
 * or saved, and attached again.
 *
 * State        Two bits for each granule say where blocks begin and which are live. They lie in front
 *              of the blocks; there are no headers between blocks. Free blocks are linked by their
 *              first 16 bytes, with a check: what is written to a block after its free is found when
 *              these links are next looked at, and reported instead of followed. Whatever they say,
 *              a live block is never handed out again.
 * Memory       Is never freed, unmapped or grown over its end. It must be a multiple of the granule.
 *              1/64 of it, and a few KiB at most, are not for blocks (freehold_region_front).
 * Sizes        Any that there is room for, in multiples of the granule: 16 bytes, or more if asked for.
 * Alignments   Any, with any offset that is a multiple of the granule. They are of addresses: memory
 *              that is mapped elsewhere keeps those up to a page.
 * Threads      One at a time, or as the lock among the hooks allows.
 * Cost         Constant time, whatever the sizes, the memory and its state; the number of words
 *              that a call looks at is bounded and asserted in the debug build (objects/region.h). Linear
 *              in bytes: contents that move or are zeroed. Linear in the memory: init and growth, two
 *              bits for each granule that they add, check, walk, trim, usage.
 *              freehold_base and freehold_owns of a pointer into a block: a word for each 64 granules before it.
 * Fragments    n bytes can be had from a region whose memory for blocks is at least
 *              M + (k + 1) * (n + n / sub_bins), with k live blocks of M bytes together.
 * Failure      NULL when no free block is large enough, also when the sum of all free ones is; nothing has
 *              changed. What was written to the memory from outside is a misuse: it is reported
 *              (FREEHOLD_CORRUPT), with nothing changed.
 * Mistakes     Init and attach return what is wrong with what they were given, or NULL. When something
 *              is, every allocation is refused with FREEHOLD_INVALID, and freehold_check says it again.
 *
 * Sources: the heap of PatchworkOS (exact bins, memory known to be zero), mheap of VPP (offsets, a block
 * that describes itself, validator, usage), TLSF (Masmano et al. 2004: two-level good fit).
 */
#ifndef FREEHOLD_REGION_H
#define FREEHOLD_REGION_H

#include "freehold/allocator.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FREEHOLD__REGION_WORDS 12 /* opaque; with room to grow */

struct freehold_region {
    freehold_allocator base;
    uint64_t state[FREEHOLD__REGION_WORDS];
};

/*
 * What a region asks of its user; each may be NULL. The structure stays the user's and must outlive the
 * region. No hook may call the region.
 */
typedef struct freehold_region_hooks {
    /* Around every call. False: it is held now, and whoever held it before has died holding it: the region
     * then repairs itself, if it was in the middle of something. */
    bool (*lock)(void *context);
    void (*unlock)(void *context);
    /* Before the region grows into these bytes: makes them accessible. False: it cannot. */
    bool (*commit)(void *context, void *start, size_t bytes);
    /* Drops the contents of whole pages, which read zero after; false: it cannot, and they are unchanged. */
    bool (*purge)(void *context, void *start, size_t bytes);
    void *context;
} freehold_region_hooks;

/* How a region is to be. All zero is what freehold_region_init takes. */
typedef struct freehold_region_options {
    size_t max_bytes; /* it may grow to so many bytes, which belong to it; 0: it does not grow */
    size_t
        grow_bytes; /* when it is full it grows by so many, or what is needed; 0: only when told */
    size_t granule; /* sizes and addresses are multiples of it: a power of two; 0: 16 */
    size_t exact_bins; /* sizes with a bin of their own, a power of two; 0: as goes with the size */
    size_t sub_bins;   /* bins for each power of two above, a power of two; 0: likewise */
    uint64_t key;      /* any number, for the checks of links */
    bool zeroed;       /* the memory, also what it grows into, reads zero: it need not be written */
    bool overwrite;    /* memory that holds a region already is laid out anew, and not refused */
    bool pages;        /* it is private and anonymous: trim gives free pages back to the system */
    bool validate;     /* the full validator after every call that changes something; linear */
    size_t largest;    /* larger requests are refused, for the fallback of a policy; 0: none is */
    const freehold_region_hooks *hooks;
} freehold_region_options;

/*
 * How the heap of PatchworkOS is: multiples of 64 bytes, 256 exact bins, and beyond 16 KiB a mapping for each
 * block, which is the page allocator as its fallback:
 *
 *     freehold_policy policy = {.fallback = &page.base};
 *     freehold_set_policy(&region.base, &policy);
 */
FREEHOLD_API freehold_region_options freehold_region_options_patchwork(void);

/* How an mheap of VPP is: 256 exact bins, and bins by powers of two, in 16 parts each. */
FREEHOLD_API freehold_region_options freehold_region_options_mheap(void);

/* Lays the memory out. NULL, or what is wrong; then nothing was written. The options may be NULL. */
FREEHOLD_API const char *freehold_region_init(freehold_region *region, void *memory, size_t bytes);
FREEHOLD_API const char *freehold_region_init_with(
    freehold_region *region, void *memory, size_t bytes, const freehold_region_options *options);

/*
 * For memory that a region was laid out in: with its blocks, here or by another process. NULL, or what is
 * wrong with it. Of the options, those of the layout and what the region is are not looked at. When an operation was
 * begun and not ended, and there is no lock among the hooks (so that nobody else can be about it), it is repaired.
 */
FREEHOLD_API const char *freehold_region_attach(
    freehold_region *region, void *memory, size_t bytes, const freehold_region_options *options);

/* The bytes of memory in front of the first block, with these options, which may be NULL, for memory that is, or may
 * grow to, max_bytes; 0: there is no such region. */
FREEHOLD_API size_t freehold_region_front(size_t max_bytes, const freehold_region_options *options);

/* Makes it larger, to so many bytes of memory. False: it may not, or the hook could not. */
FREEHOLD_API bool freehold_region_grow(freehold_region *region, size_t bytes);

/*
 * What is to be found again when the memory lies elsewhere is named by its distance from the start of the
 * region: offset of an address in a block, and the address at an offset. 0 is that of NULL, and of what is in no
 * place for blocks; at gives NULL for any number that is none of such an address. Neither looks at the blocks.
 */
FREEHOLD_API uint64_t freehold_region_offset(freehold_region *region, const void *pointer);
FREEHOLD_API void *freehold_region_at(freehold_region *region, uint64_t offset);

/* The block from which the others are found: a live one, or NULL; anything else is fatal. To set it is one store:
 * whoever is killed, it is the old one or the new one. NULL when it was freed since, and when there is none. */
FREEHOLD_API void freehold_region_set_root(freehold_region *region, void *block);
FREEHOLD_API void *freehold_region_root(freehold_region *region);

/* What it has. Linear in its blocks. */
typedef struct freehold_region_usage {
    size_t objects;     /* live blocks */
    size_t total;       /* bytes of memory now; total = overhead + used + free */
    size_t overhead;    /* header, bins and tags */
    size_t used, free;  /* of blocks */
    size_t free_blocks; /* two are never neighbours */
    size_t largest_free;
    size_t reclaimed;          /* free, known to read zero: never touched, or given back */
    size_t max;                /* that the memory may grow to */
    uint64_t searches, probes; /* for free blocks; and blocks looked at in them */
    uint64_t repairs;
} freehold_region_usage;
FREEHOLD_API freehold_region_usage freehold_region_get_usage(freehold_region *region);

/* Counts live or free blocks by the power of two of their sizes: count[k] of 2^k to 2^(k+1) - 1 bytes. */
FREEHOLD_API void freehold_region_histogram(freehold_region *region, bool live, size_t count[64]);

/* Ends the region and its blocks; the memory is the caller's again, and holds no region. Any later use
 * but an init is fatal. NULL is no region. */
FREEHOLD_API void freehold_region_deinit(freehold_region *region);

/* The same, but the memory goes on holding the region, to be attached again. */
FREEHOLD_API void freehold_region_detach(freehold_region *region);

#ifdef __cplusplus
}
#endif
#endif
