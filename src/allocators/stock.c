/* SPDX-License-Identifier: MIT */
#include "allocators/stock.h"

#include "base/corrupt.h"
#include "pages/page_map.h"

/* Granules: 512 KiB. */
#define GIVE_UNIT 64u

/* ---- lists ------------------------------------------------------------------------------------- */

static unsigned list_of(unsigned granules)
{
    if (granules < 4)
        return granules - 1;
    unsigned doubling = freehold__highest_bit(granules) - 2;
    return doubling * 4 + (granules >> doubling & 3) + 3;
}

static unsigned length_of(const freehold__slab *slab)
{
    return freehold__span_granules(slab->base);
}

static size_t bytes_of(const freehold__slab *slab)
{
    return (size_t)length_of(slab) << FREEHOLD__GRANULE_SHIFT;
}

static void link_span(freehold__stock *stock, freehold__slab *slab)
{
    unsigned list = list_of(length_of(slab));
    slab->prev = NULL;
    slab->next = stock->first[list];
    if (slab->next != NULL)
        slab->next->prev = slab;
    stock->first[list] = slab;
    stock->nonempty |= UINT64_C(1) << list;
    stock->bytes += bytes_of(slab);
    atomic_store_explicit(&slab->stock, (uintptr_t)stock, memory_order_relaxed);
}

static void unlink_span(freehold__stock *stock, freehold__slab *slab)
{
    unsigned list = list_of(length_of(slab));
    if (slab->next != NULL)
        slab->next->prev = slab->prev;
    *(slab->prev != NULL ? &slab->prev->next : &stock->first[list]) = slab->next;
    if (stock->first[list] == NULL)
        stock->nonempty &= ~(UINT64_C(1) << list);
    stock->bytes -= bytes_of(slab);
    atomic_store_explicit(&slab->stock, 0, memory_order_relaxed);
}

/* ---- neighbours -------------------------------------------------------------------------------- */

/*
 * The span in this stock that the address is in, or NULL. Of another's span nothing is known: its map may just be
 * written. But whatever is read there leads to a descriptor, or to nothing; and `stock` is set to this one, and away
 * from it, under the lock that is held.
 */
static freehold__slab *span_at(const freehold__stock *stock, uintptr_t address)
{
    freehold__slab *slab = freehold__page_map_guess(address);
    bool here = atomic_load_explicit(&slab->stock, memory_order_relaxed) == (uintptr_t)stock;
    return here ? slab : NULL;
}

static freehold__slab *span_behind(const freehold__stock *stock, const freehold__slab *slab)
{
    uintptr_t end = slab->base + bytes_of(slab);
    bool last = freehold__granule_index(end) == 0; /* that is another section */
    return last ? NULL : span_at(stock, end);
}

static freehold__slab *join(freehold__slab *first, const freehold__slab *second)
{
    freehold__span_join(first->base, second->base);
    first->zeroed = first->zeroed && second->zeroed;
    return first;
}

void freehold__stock_add(freehold__stock *stock, freehold__slab *slab)
{
    freehold__slab *behind = span_behind(stock, slab), *before = span_at(stock, slab->base - 1);
    if (behind != NULL) {
        unlink_span(stock, behind);
        slab = join(slab, behind);
    }
    if (before != NULL) {
        unlink_span(stock, before);
        slab = join(before, slab);
    }
    link_span(stock, slab);
}

/* ---- taking ------------------------------------------------------------------------------------ */

/* Granules at the front of the span before a multiple of `align`. */
static unsigned before_aligned(const freehold__slab *slab, unsigned align)
{
    return -freehold__granule_index(slab->base) & (align - 1);
}

static freehold__slab *best_of(freehold__slab *first, unsigned granules, unsigned align)
{
    freehold__slab *best = NULL;
    unsigned least = FREEHOLD__SECTION_GRANULES + 1;
    for (freehold__slab *slab = first; slab != NULL && least != granules; slab = slab->next) {
        unsigned length = length_of(slab);
        if (length < least && length >= granules + before_aligned(slab, align)) {
            least = length;
            best = slab;
        }
    }
    return best;
}

/* Cuts the span behind so many granules: the second part. */
static freehold__slab *cut(const freehold__slab *slab, unsigned granules)
{
    freehold__slab *second = freehold__span_split(slab->base, granules);
    second->base = slab->base + ((uintptr_t)granules << FREEHOLD__GRANULE_SHIFT);
    second->zeroed = slab->zeroed;
    return second;
}

/* It leaves the stock. */
static freehold__slab *take(freehold__stock *stock, freehold__slab *slab)
{
    unlink_span(stock, slab);
    if (stock->bytes < stock->idle)
        stock->idle = stock->bytes;
    return slab;
}

freehold__slab *freehold__stock_take(freehold__stock *stock, unsigned granules, unsigned align)
{
    freehold__slab *slab = NULL;
    uint64_t lists = stock->nonempty >> list_of(granules) << list_of(granules);
    for (; lists != 0 && slab == NULL; lists &= lists - 1)
        slab = best_of(stock->first[freehold__lowest_bit(lists)], granules, align);
    if (slab == NULL)
        return NULL;
    take(stock, slab);
    unsigned before = before_aligned(slab, align);
    if (before != 0) {
        freehold__slab *front = slab;
        slab = cut(front, before);
        link_span(stock, front);
    }
    freehold__stock_keep_rest(stock, slab, granules);
    return slab;
}

void freehold__stock_keep_rest(freehold__stock *stock, freehold__slab *slab, unsigned granules)
{
    if (length_of(slab) > granules)
        freehold__stock_add(stock, cut(slab, granules));
}

freehold__slab *freehold__stock_take_longest(freehold__stock *stock, size_t bytes)
{
    freehold__slab *slab = take(stock, stock->first[freehold__highest_bit(stock->nonempty)]);
    unsigned length = length_of(slab), first = freehold__granule_index(slab->base);
    if (bytes >= bytes_of(slab))
        return slab;
    /* Where blocks of the page layer begin, or what goes back is of little use there. */
    unsigned from = (first + length - (unsigned)freehold__in_granules(bytes)) & ~(GIVE_UNIT - 1);
    if (from <= first)
        return slab;
    freehold__slab *front = slab;
    slab = cut(front, from - first);
    link_span(stock, front);
    return slab;
}

/* ---- the validator ----------------------------------------------------------------------------- */

/* Whether the descriptor can be followed, and what it says of itself. */
static bool is_listed(
    const freehold__stock *stock, const freehold__slab *slab, freehold__stock_known known)
{
    return known.is_span(known.context, slab) && slab->stock == (uintptr_t)stock &&
           (slab->owner & ~FREEHOLD__PENDING) == 0;
}

static const char *check_span(
    const freehold__stock *stock, const freehold__slab *slab, unsigned list)
{
    if (list_of(length_of(slab)) != list)
        return freehold__corrupt("stock: a span is in the list of another length", slab);
    if (span_behind(stock, slab) != NULL)
        return freehold__corrupt("stock: two spans side by side are not put together", slab);
    return NULL;
}

const char *freehold__stock_check(
    const freehold__stock *stock, freehold__stock_known known, size_t *spans)
{
    size_t bytes = 0;
    if (stock->nonempty >> FREEHOLD__STOCK_LISTS != 0)
        return freehold__corrupt("stock: the mask of lists does not agree with them", stock);
    for (unsigned list = 0; list < FREEHOLD__STOCK_LISTS; list++) {
        const freehold__slab *before = NULL;
        if ((stock->first[list] != NULL) != (stock->nonempty >> list & 1))
            return freehold__corrupt("stock: the mask of lists does not agree with them", stock);
        for (const freehold__slab *slab = stock->first[list]; slab != NULL; slab = slab->next) {
            if (*spans >= known.spans || !is_listed(stock, slab, known) || slab->prev != before)
                return freehold__corrupt("stock: a span in a list does not belong there",
                    before != NULL ? (const void *)before : &stock->first[list]);
            const char *wrong = check_span(stock, slab, list);
            if (wrong != NULL)
                return wrong;
            bytes += bytes_of(slab);
            ++*spans;
            before = slab;
        }
    }
    return freehold__corrupt_unless(
        "stock: the bytes of its spans are wrong", stock, bytes, stock->bytes);
}
