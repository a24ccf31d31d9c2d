/* SPDX-License-Identifier: MIT */
/*
 * The full validator of a heap: everything that is known twice is compared (T14). Sections, buddies
 * and large blocks first, then every slab by itself, then each lane with its lists, its inbox and
 * its sums. No pointer is followed before it is known to be what it should be, and no list further
 * than there are slabs, so that a damaged heap is reported and does not end the validator.
 *
 * At rest these hold as well, and are checked: remote bits have a notice, and each notice is in the
 * inbox; a bin pops from exactly the lifted words of its active slab. Cost: linear in slabs and
 * granules, times lanes for owners.
 */
#include "allocators/lane.h"
#include "base/corrupt.h"

typedef struct tally {
    freehold__heap *heap;
    const char *wrong;
    size_t slabs, bytes, pending;                           /* in the page map */
    size_t stocked, stocked_bytes;                          /* there too */
    size_t used;                                            /* bytes, by the pages, then */
    size_t in_state[5];                                     /* by freehold__slab_state */
    size_t granules, held, notices, active, partial, empty; /* by the lanes */
    size_t resting, resting_bytes, in_stock;
} tally;

static const freehold__lane *owner_of(const freehold__slab *slab)
{
    return (const freehold__lane *)(slab->owner & ~FREEHOLD__PENDING);
}

static bool is_lane(const freehold__heap *heap, const freehold__lane *lane)
{
    const freehold__lane *l = heap->lanes;
    while (l != NULL && l != lane)
        l = l->next;
    return l != NULL;
}

/* Whether there is a slab's descriptor of this heap. */
static bool is_slab(const freehold__heap *heap, const freehold__slab *slab)
{
    uintptr_t address = (uintptr_t)slab;
    if (address % FREEHOLD__DESCRIPTOR_UNIT != 0 || !freehold__page_map_has(address))
        return false;
    const freehold__section *section = freehold__section_at(address);
    /* wraps for the guard, and is too large then */
    uintptr_t offset = address - (uintptr_t)section;
    return offset >= FREEHOLD__FIRST_DESCRIPTOR * FREEHOLD__DESCRIPTOR_UNIT &&
           offset <= FREEHOLD__USER_OFFSET - 2 * FREEHOLD__GUARD - FREEHOLD__DESCRIPTOR &&
           section->pages == &heap->pages && freehold__section_at(slab->base) == section &&
           freehold__page_map_find(slab->base) == slab;
}

/* ---- slabs, as the page map has them --------------------------------------------------------- */

static void check_slab(void *context, uintptr_t base, void *descriptor)
{
    tally *t = context;
    const freehold__slab *slab = descriptor;
    unsigned slot;
    if (t->wrong != NULL)
        return;
    bool whole = is_slab(t->heap, slab) && slab->base == base;
    if (whole && slab->stock != 0 && owner_of(slab) == NULL) {
        t->stocked++; /* whose, its lane's stock says */
        t->stocked_bytes += (size_t)freehold__span_granules(base) << FREEHOLD__GRANULE_SHIFT;
        return;
    }
    if (!whole || slab->stock != 0 || !is_lane(t->heap, owner_of(slab))) {
        t->wrong = freehold__corrupt(
            "heap: a span has no owner, another heap's, or is not where its slab says",
            (void *)base);
        return;
    }
    bool pending = (slab->owner & FREEHOLD__PENDING) != 0;
    unsigned index = slab->index < FREEHOLD__CLASSES ? slab->index : 0;
    t->wrong = freehold__corrupt_in(
        freehold__slab_check(slab, freehold__heap_class(t->heap, index)), (void *)base);
    if (t->wrong == NULL && !pending && freehold__slab_any_remote(slab, &slot))
        t->wrong = freehold__corrupt(
            "heap: slots were freed by other threads, and their owner has no notice", (void *)base);
    if (t->wrong != NULL)
        return;
    t->slabs++;
    t->bytes += freehold__slab_bytes(slab);
    t->pending += pending;
    t->in_state[slab->state]++;
}

/* ---- bins ------------------------------------------------------------------------------------ */

static bool belongs(const freehold__lane *lane, const freehold__bin *bin,
    const freehold__slab *slab, freehold__slab_state state)
{
    return is_slab(lane->heap, slab) && slab->state == state && slab->index == bin->index &&
           owner_of(slab) == lane;
}

static const char *check_list(const freehold__lane *lane, const freehold__bin *bin,
    const freehold__slab *first, freehold__slab_state state, size_t *length,
    const freehold__slab **last)
{
    *last = NULL;
    for (const freehold__slab *s = first; s != NULL; *last = s, s = s->next, ++*length)
        if (*length >= bin->granules || !belongs(lane, bin, s, state) || s->prev != *last)
            return freehold__corrupt(
                state == FREEHOLD__SLAB_PARTIAL
                    ? "lane: a slab in the queue of partial slabs does not belong there"
                    : "lane: a slab in the stack of empty slabs does not belong there",
                bin);
    return NULL;
}

/* cur leads through exactly those words of the active slab that have lifted slots; or it is at its
 * first word, which has none, and nor has any other. */
static const char *check_chain(const freehold__bin *bin)
{
    const freehold__slab *slab = bin->active;
    unsigned lifted = 0, chained = 0;
    for (unsigned w = 0; slab != NULL && w < freehold__slab_words(slab); w++)
        lifted += freehold__word_lifted(&slab->word[w]) != 0;
    const freehold__slab_word *word = bin->cur;
    if (slab != NULL && word == slab->word && lifted == 0)
        word = word->next;
    for (; word != &freehold__no_word; word = word->next) {
        uintptr_t offset = slab != NULL ? (uintptr_t)word - (uintptr_t)slab->word : UINTPTR_MAX;
        if (offset >= sizeof slab->word || offset % sizeof *word != 0 || chained == lifted ||
            freehold__word_lifted(word) == 0)
            return freehold__corrupt(
                "lane: a bin does not pop from the lifted words of its active slab", bin);
        chained++;
    }
    return freehold__corrupt_unless(
        "lane: lifted slots are out of reach of their bin", bin, lifted, chained);
}

static const char *check_bin(
    const freehold__lane *lane, const freehold__bin *bin, tally *t, size_t *empty_bytes)
{
    size_t partial = 0, empty = 0;
    const freehold__slab *last;
    if (bin->index != bin - lane->bin ||
        bin->size != freehold__heap_class(t->heap, bin->index)->size)
        return freehold__corrupt("lane: a bin is not that of its class", bin);
    const char *wrong = check_list(lane, bin, bin->first, FREEHOLD__SLAB_PARTIAL, &partial, &last);
    if (wrong == NULL && bin->last != last)
        wrong = freehold_corrupted("lane: the queue of partial slabs has a wrong end", bin,
            (uintptr_t)last, (uintptr_t)bin->last);
    if (wrong == NULL)
        wrong = check_list(lane, bin, bin->empty, FREEHOLD__SLAB_EMPTY, &empty, &last);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(
            "lane: the number of empty slabs is wrong", bin, empty, bin->empties);
    if (wrong == NULL && bin->active != NULL &&
        !belongs(lane, bin, bin->active, FREEHOLD__SLAB_ACTIVE))
        wrong = freehold__corrupt("lane: the active slab is not marked as active", bin);
    if (wrong == NULL)
        wrong = check_chain(bin);
    t->active += bin->active != NULL;
    t->partial += partial;
    t->empty += empty;
    for (const freehold__slab *s = bin->empty; s != NULL && wrong == NULL; s = s->next)
        *empty_bytes += freehold__slab_bytes(s);
    t->granules += bin->granules;
    return wrong;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static const char *check_direct(freehold__lane *lane)
{
    for (size_t step = 0; step <= FREEHOLD__DIRECT_MAX / 16; step++)
        if (lane->direct[step] != &lane->bin[step == 0 ? 0 : freehold__class_of(step * 16)])
            return freehold__corrupt(
                "lane: the table of small sizes is wrong", &lane->direct[step]);
    for (size_t step = 0; step < FREEHOLD__MIDDLE_MAX / 128; step++)
        if (lane->middle[step] != &lane->bin[freehold__class_of((step + 1) * 128)])
            return freehold__corrupt(
                "lane: the table of middle sizes is wrong", &lane->middle[step]);
    return NULL;
}

static const char *check_inbox(const freehold__lane *lane, tally *t)
{
    const freehold__slab *s = lane->inbox;
    for (; s != NULL; s = atomic_load_explicit(&s->next_pending, memory_order_relaxed)) {
        if (t->notices >= t->pending || !is_slab(lane->heap, s) ||
            s->owner != ((uintptr_t)lane | FREEHOLD__PENDING))
            return freehold__corrupt("lane: a slab in the inbox does not belong there", s);
        t->notices++;
    }
    return NULL;
}

static const char *check_resting(const freehold__lane *lane, tally *t)
{
    for (const freehold__slab *s = lane->resting; s != NULL; s = s->next) {
        if (t->resting >= t->slabs || !is_slab(lane->heap, s) || owner_of(s) != lane ||
            s->state != FREEHOLD__SLAB_RESTING)
            return freehold__corrupt(
                "lane: a slab in the stack of resting slabs does not belong there", s);
        t->resting++;
        t->resting_bytes += freehold__slab_bytes(s);
    }
    return NULL;
}

static bool is_span(const void *heap, const freehold__slab *slab)
{
    return is_slab(heap, slab);
}

static const char *check_stock(const freehold__lane *lane, tally *t)
{
    freehold__stock_known known = {is_span, t->heap, t->stocked};
    return freehold__stock_check(&lane->stock, known, &t->in_stock);
}

static const char *check_lane(freehold__lane *lane, tally *t)
{
    size_t empty_bytes = 0;
    if (lane->heap != t->heap || lane->state > FREEHOLD__LANE_PARKED)
        return freehold__corrupt("lane: it is of another heap, or in no state that there is", lane);
    const char *wrong = check_direct(lane);
    for (unsigned i = 0; i < FREEHOLD__CLASSES && wrong == NULL; i++)
        wrong = check_bin(lane, &lane->bin[i], t, &empty_bytes);
    if (wrong == NULL)
        wrong = check_inbox(lane, t);
    if (wrong == NULL)
        wrong = check_resting(lane, t);
    if (wrong == NULL)
        wrong = check_stock(lane, t);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(
            "lane: the bytes of empty slabs are wrong", lane, empty_bytes, lane->empty_bytes);
    t->held += lane->held_bytes;
    return wrong;
}

/* The list of all lanes, before it is used for anything else. */
static const char *check_lane_list(const freehold__heap *heap)
{
    size_t count = 0;
    for (const freehold__lane *l = heap->lanes; l != NULL; l = l->next, count++)
        if (count >= heap->lane_count || !freehold__meta_holds(&heap->pages.meta, l, sizeof *l))
            return freehold__corrupt("heap: the list of lanes leads elsewhere", l);
    return freehold__corrupt_unless(
        "heap: the number of lanes is wrong", heap, count, heap->lane_count);
}

static const char *check_parked(freehold__heap *heap)
{
    size_t listed = 0, parked = 0;
    const freehold__lane *last = NULL;
    freehold__lock_take(&heap->lock);
    const char *wrong = NULL;
    for (const freehold__lane *l = heap->lanes; l != NULL; l = l->next)
        parked += l->state == FREEHOLD__LANE_PARKED;
    for (const freehold__lane *l = heap->parked; l != NULL; last = l, l = l->next_parked, listed++)
        if (listed >= parked || !is_lane(heap, l) || l->state != FREEHOLD__LANE_PARKED) {
            wrong = freehold__corrupt(
                "heap: a lane in the queue of parked lanes does not belong there", l);
            break;
        }
    const char *number = "heap: the number of parked lanes is wrong";
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(number, heap, parked, listed);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(number, heap, parked, heap->parked_count);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless("heap: the queue of parked lanes has a wrong end", heap,
            (uintptr_t)last, (uintptr_t)heap->last_parked);
    freehold__lock_drop(&heap->lock);
    return wrong;
}

static const char *check_sums(const tally *t)
{
    const char *slabs = "heap: the lanes do not count as many slabs as there are spans";
    const char *resting = "heap: the lanes do not count as many bytes at rest as the pages";
    const char *states = "heap: a slab is in no list, and its state says that it is";
    const struct {
        const char *what;
        size_t expected, found;
    } sums[] = {
        {"heap: the slabs are not as long as the spans in use", t->used,
            t->bytes + t->stocked_bytes},
        {slabs, t->bytes, t->held},
        {slabs, t->bytes, t->granules * FREEHOLD__GRANULE},
        {resting, t->resting_bytes, t->heap->pages.resting * FREEHOLD__GRANULE},
        {"heap: a slab with a notice is in no inbox", t->pending, t->notices},
        {"heap: a span in stock is in no list", t->stocked, t->in_stock},
        {states, t->in_state[FREEHOLD__SLAB_ACTIVE], t->active},
        {states, t->in_state[FREEHOLD__SLAB_PARTIAL], t->partial},
        {states, t->in_state[FREEHOLD__SLAB_EMPTY], t->empty},
        {states, t->in_state[FREEHOLD__SLAB_RESTING], t->resting},
    };
    const char *wrong = NULL;
    for (size_t i = 0; i < sizeof sums / sizeof *sums && wrong == NULL; i++)
        wrong = freehold__corrupt_unless(sums[i].what, t->heap, sums[i].expected, sums[i].found);
    return wrong;
}

const char *freehold__heap_check(freehold__heap *heap)
{
    tally t = {.heap = heap, .wrong = freehold__pages_check(&heap->pages)};
    if (t.wrong == NULL)
        t.wrong = check_lane_list(heap);
    t.used = heap->pages.used * FREEHOLD__GRANULE; /* helping a lane gives spans back */
    if (t.wrong == NULL)
        freehold__pages_walk(&heap->pages, check_slab, &t);
    for (freehold__lane *lane = heap->lanes; lane != NULL && t.wrong == NULL; lane = lane->next) {
        freehold__lane_visit(lane);
        t.wrong = check_lane(lane, &t);
        freehold__lane_part(lane);
        if (t.wrong == NULL)
            freehold__lane_help(lane);
    }
    if (t.wrong == NULL)
        t.wrong = check_sums(&t);
    return t.wrong != NULL ? t.wrong : check_parked(heap);
}
