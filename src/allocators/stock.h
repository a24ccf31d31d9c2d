/* SPDX-License-Identifier: MIT */
/*
 * The stock of a lane: spans that it has taken from the page layer, and that are no slabs now. Slabs
 * of few slots come from here, cut to their length, and go back, put together with what lies beside
 * them: without the page layer, whose lock all lanes share.
 *
 * A span in stock is in the descriptor of its first granule: base, next, prev, and `stock`, by which its
 * neighbours know it. Its owner word is 0, as that of a span in nobody's hands: a free there is found
 * as one. Everything is under the lane's lock. Cost: a look at spans of about the length, at least.
 */
#ifndef FREEHOLD_ALLOCATORS_STOCK_H
#define FREEHOLD_ALLOCATORS_STOCK_H

#include "objects/slab.h"
#include "pages/section.h"

/* By length: four to a doubling, up to a section. */
#define FREEHOLD__STOCK_LISTS 44

typedef struct freehold__stock {
    uint64_t nonempty; /* bit per list */
    freehold__slab *first[FREEHOLD__STOCK_LISTS];
    size_t bytes;
    size_t idle; /* the fewest bytes since retention last looked */
} freehold__stock;

/*
 * The span of a descriptor comes into stock, with its base and `zeroed` as they are in it, and its owner word 0: no
 * thread may find a slab in it any more, by an address or by a walk.
 */
void freehold__stock_add(freehold__stock *stock, freehold__slab *slab);

/*
 * A span of so many granules, at a multiple of `align` of them, from the shortest that is long enough; the rest of
 * that one stays. NULL: there is none.
 */
freehold__slab *freehold__stock_take(freehold__stock *stock, unsigned granules, unsigned align);

/* What a span, not in stock, has more than so many granules comes into stock. */
void freehold__stock_keep_rest(freehold__stock *stock, freehold__slab *slab, unsigned granules);

/* One of the longest, of a stock that is not empty. If it is much longer than so many bytes, its front stays. */
freehold__slab *freehold__stock_take_longest(freehold__stock *stock, size_t bytes);

/* What the validator knows: which descriptors there are, and how many of spans in stock. */
typedef struct freehold__stock_known {
    bool (*is_span)(const void *context, const freehold__slab *slab);
    const void *context;
    size_t spans;
} freehold__stock_known;

/* The validator: NULL, or what is wrong. Counts the spans that are listed. */
const char *freehold__stock_check(
    const freehold__stock *stock, freehold__stock_known known, size_t *spans);

#endif
