/* SPDX-License-Identifier: MIT */
/*
 * The lanes of a heap: they come with threads, are parked with all their slabs when the thread
 * exits, and go to the next thread as they are. Retention, fork and statistics go over all of them.
 */
#include "allocators/lane.h"

/* Parked lanes that an adopter asks before it takes new pages, and lanes that one look of retention
 * visits. */
#define ASK_AT_MOST   4
#define VISIT_AT_MOST 8

/* ---- coming and going ------------------------------------------------------------------------ */

static void lane_init(freehold__lane *lane, freehold__heap *heap)
{
    lane->heap = heap;
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++) {
        lane->bin[i].cur = &freehold__no_word;
        lane->bin[i].size = freehold__heap_class(heap, i)->size;
        lane->bin[i].index = (uint8_t)i;
    }
    lane->direct[0] = &lane->bin[0]; /* malloc(0) is a unique pointer */
    for (unsigned step = 1; step <= FREEHOLD__DIRECT_MAX / 16; step++)
        lane->direct[step] = &lane->bin[freehold__class_of(step * 16)];
    for (unsigned step = 0; step < FREEHOLD__MIDDLE_MAX / 128; step++)
        lane->middle[step] = &lane->bin[freehold__class_of((step + 1) * 128)];
}

/* The parked lanes are a queue. Under the heap's lock. */
static void parked_append(freehold__heap *heap, freehold__lane *lane)
{
    lane->next_parked = NULL;
    *(heap->last_parked != NULL ? &heap->last_parked->next_parked : &heap->parked) = lane;
    heap->last_parked = lane;
}

static freehold__lane *parked_take(freehold__heap *heap)
{
    freehold__lane *lane = heap->parked;
    if (lane != NULL) {
        heap->parked = lane->next_parked;
        if (heap->parked == NULL)
            heap->last_parked = NULL;
    }
    return lane;
}

freehold__lane *freehold__lane_acquire(freehold__heap *heap)
{
    freehold__lock_take(&heap->lock);
    freehold__lane *lane = parked_take(heap);
    if (lane != NULL) {
        heap->parked_count--;
    } else {
        freehold__lock_take(&heap->pages.lock); /* guards the meta memory */
        lane = freehold__meta_alloc(&heap->pages.meta, sizeof *lane);
        freehold__lock_drop(&heap->pages.lock);
        if (lane != NULL) {
            lane_init(lane, heap);
            lane->next = heap->lanes;
            heap->lanes = lane;
            heap->lane_count++;
        }
    }
    freehold__lock_drop(&heap->lock);
    if (lane != NULL) {
        freehold__lock_take(&lane->guard); /* a helper may be at work in it */
        atomic_store(&lane->state, FREEHOLD__LANE_LIVE);
        freehold__lane_part(lane);
    }
    return lane;
}

void freehold__lane_park(freehold__lane *lane)
{
    freehold__heap *heap = lane->heap;
    freehold__lane_enter(lane);
    freehold__lane_drain(lane);
    freehold__lane_leave(lane);
    freehold__lock_take(&lane->guard);
    atomic_store(&lane->state, FREEHOLD__LANE_PARKED);
    freehold__lock_drop(&lane->guard);
    freehold__lock_take(&heap->lock);
    parked_append(heap, lane);
    heap->parked_count++;
    freehold__lock_drop(&heap->lock);
    freehold__lane_help(lane); /* for a freer that still saw it live */
}

/* Asks the parked lane that waits longest, and puts it to the end: the next asker begins with
 * another one. */
static freehold__slab *ask_parked(
    freehold__heap *heap, freehold__lane *lane, unsigned index, freehold__lane **asked)
{
    freehold__slab *slab = NULL;
    freehold__lock_take(&heap->lock);
    freehold__lane *parked = parked_take(heap);
    if (parked != NULL) {
        freehold__lock_take(&parked->guard); /* it stays parked while the heap's lock is held */
        freehold__lane_drain(parked);
        slab = freehold__lane_surrender(parked, index, lane);
        parked_append(heap, parked);
        freehold__lane_part_quietly(parked);
    }
    freehold__lock_drop(&heap->lock);
    *asked = parked;
    return slab;
}

freehold__slab *freehold__heap_adopt(freehold__heap *heap, freehold__lane *lane, unsigned index)
{
    freehold__slab *slab = NULL;
    freehold__lane *asked, *first = NULL;
    for (unsigned i = 0; i < ASK_AT_MOST && slab == NULL; i++) {
        slab = ask_parked(heap, lane, index, &asked);
        if (asked == NULL || asked == first)
            break;
        freehold__lane_help(asked);
        first = first == NULL ? asked : first;
    }
    return slab;
}

/* ---- retention ------------------------------------------------------------------------------- */

/* `mine` is the caller's own lane, or NULL. The caller calls after_retaining when it has dropped
 * its lock. */
static void retain_lane(
    freehold__lane *lane, const freehold__lane *mine, uint32_t now, size_t *slice)
{
    if (lane == mine)
        freehold__lane_enter(lane);
    else
        freehold__lane_visit(lane);
    bool still = lane == mine || atomic_load(&lane->state) == FREEHOLD__LANE_PARKED;
    if (still)
        freehold__lane_drain(lane);
    freehold__lane_retain(lane, still, now, slice);
    if (lane == mine)
        freehold__lane_leave_quietly(lane);
    else
        freehold__lane_part_quietly(lane);
}

/* Reports what a merge has found, and looks into the inbox of a parked lane again: both without any
 * other lock. */
static void after_retaining(freehold__lane *lane)
{
    if (freehold__unlikely(atomic_load(&lane->raced) != NULL)) {
        freehold__lane_visit(lane);
        freehold__lane_part(lane);
    }
    freehold__lane_help(lane);
}

/*
 * One look at the lanes: the caller's own, and a few others in turn, until the slice is spent; then the
 * cursor stays where there may be more to do. The lanes that were visited are in *chosen. Under the tend
 * lock.
 */
static unsigned retain_lanes(freehold__heap *heap, freehold__lane *mine, uint32_t now,
    size_t *slice, freehold__lane *chosen[VISIT_AT_MOST + 1])
{
    unsigned count = 0;
    if (mine != NULL && !freehold__slice_is_spent(slice))
        retain_lane(chosen[count++] = mine, mine, now, slice);
    for (unsigned asked = 0; asked < VISIT_AT_MOST && !freehold__slice_is_spent(slice); asked++) {
        if (heap->cursor == NULL)
            heap->cursor = heap->lanes;
        if (heap->cursor == NULL)
            break;
        if (heap->cursor != mine)
            retain_lane(chosen[count++] = heap->cursor, mine, now, slice);
        if (freehold__slice_is_spent(slice))
            break;
        heap->cursor = heap->cursor->next;
        if (heap->cursor == NULL)
            break; /* once around is enough */
    }
    return count;
}

static freehold__cold void tend(freehold__heap *heap, freehold__lane *mine, uint32_t now)
{
    freehold__lane *chosen[VISIT_AT_MOST + 1];
    size_t slice;
    if (!freehold__pace_take(&heap->pace, now, &slice) || !freehold__lock_try(&heap->tend_lock))
        return;
    freehold__pages_retain(&heap->pages, now, &slice);
    unsigned count = retain_lanes(heap, mine, now, &slice, chosen);
    freehold__pace_done(&heap->pace, &slice);
    freehold__lock_drop(&heap->tend_lock);
    for (unsigned i = 0; i < count; i++)
        after_retaining(chosen[i]);
}

void freehold__heap_tend_at(freehold__heap *heap, freehold__lane *lane, uint32_t now)
{
    if (freehold__unlikely(freehold__pace_is_due(&heap->pace, now)))
        tend(heap, lane, now);
}

void freehold__heap_tend(freehold__heap *heap, freehold__lane *lane)
{
    freehold__heap_tend_at(heap, lane, freehold__port_milliseconds());
}

bool freehold__heap_trim(freehold__heap *heap, freehold__lane *mine)
{
    uint64_t before = heap->pages.purged_bytes + heap->pages.large.purged_bytes;
    size_t used = heap->pages.used; /* where nothing can be purged, spans go back all the same */
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next) {
        retain_lane(lane, mine, 0, NULL);
        after_retaining(lane);
    }
    freehold__pages_retain(&heap->pages, freehold__port_milliseconds(), NULL);
    freehold__pages_shed(&heap->pages);
    return heap->pages.used < used ||
           heap->pages.purged_bytes + heap->pages.large.purged_bytes != before;
}

bool freehold__heap_make_room(freehold__heap *heap, freehold__lane *mine)
{
    /* Under a quota also spans that nobody touched were in the way. */
    return freehold__heap_trim(heap, mine) || heap->pages.quota != NULL;
}

void freehold__heap_refused(freehold__heap *heap, uint64_t misses)
{
    if (freehold__pages_misses(&heap->pages) != misses)
        atomic_store(&heap->pages.quota->refused, true);
}

static freehold__cold void *large_again(
    freehold__heap *heap, freehold__lane *mine, size_t bytes, size_t align, bool *zeroed)
{
    if (!freehold__heap_make_room(heap, mine))
        return NULL;
    uint64_t misses = freehold__pages_misses(&heap->pages);
    void *block = freehold__large_alloc(&heap->pages.large, bytes, align, zeroed);
    if (block == NULL)
        freehold__heap_refused(heap, misses);
    return block;
}

void *freehold__heap_large(
    freehold__heap *heap, freehold__lane *mine, size_t bytes, size_t align, bool *zeroed)
{
    void *block = freehold__large_alloc(&heap->pages.large, bytes, align, zeroed);
    return freehold__likely(block != NULL) ? block : large_again(heap, mine, bytes, align, zeroed);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void keep(freehold__lock *lock)
{
    freehold__lock_take(lock);
    freehold__lock_keep(lock);
}

void freehold__heap_lock_all(freehold__heap *heap)
{
    keep(&heap->tend_lock);
    keep(&heap->lock);
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next) {
        freehold__lane_visit(lane);
        freehold__lock_keep(&lane->guard);
    }
    keep(&heap->pages.purge_lock);
    keep(&heap->pages.lock);
    keep(&heap->pages.large.lock);
}

void freehold__heap_unlock_all(freehold__heap *heap)
{
    freehold__lock_release(&heap->pages.large.lock);
    freehold__lock_release(&heap->pages.lock);
    freehold__lock_release(&heap->pages.purge_lock);
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next)
        if (freehold__lock_is_kept(&lane->guard)) /* not one that was made since */
            freehold__lane_part_for_good(lane);
    freehold__lock_release(&heap->lock);
    freehold__lock_release(&heap->tend_lock);
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next)
        freehold__lane_help(lane);
}

/*
 * The other threads are gone, each between any two instructions of a fast path or of a notice. What
 * they may have left: a freed bit not yet counted, a popped word not yet passed, an event not yet
 * handled, a remote bit without a notice, a PENDING that is in no inbox, a slab that changes its
 * lane. All of it is made up for by counting anew and sending a notice.
 */
static void repair_slab(void *context, uintptr_t base, void *descriptor)
{
    freehold__slab *slab = descriptor;
    freehold__lane *mine = context;
    unsigned slot;
    (void)base;
    freehold__lane *owner = (freehold__lane *)(slab->owner & ~FREEHOLD__PENDING);
    if (owner == NULL)
        return;
    slab->owner = (uintptr_t)owner;
    bool notice = freehold__slab_any_remote(slab, &slot);
    if (owner != mine) {
        freehold__bin *bin = &owner->bin[slab->index];
        if (freehold__slab_recount(slab) || slab->countdown == 0)
            notice = true;
        if (slab == bin->active)
            bin->cur = freehold__slab_rechain(slab);
        if (slab->state == FREEHOLD__SLAB_FULL && freehold__slab_count_freed(slab) != 0)
            notice = true; /* on its way between two lanes, perhaps */
    }
    freehold__lane_count(owner, slab, 1);
    if (notice) {
        slab->owner = (uintptr_t)owner | FREEHOLD__PENDING;
        slab->next_pending = owner->inbox;
        owner->inbox = slab;
    }
}

void freehold__heap_repair(freehold__heap *heap, freehold__lane *mine)
{
    freehold__lane *only = heap->lanes;
    if (only == NULL || (only == mine && only->next == NULL))
        return; /* there was no other thread */
    heap->parked = heap->last_parked = NULL;
    heap->parked_count = 0;
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next) {
        lane->inbox = NULL;
        lane->look.under_way = false; /* it may be in the inbox */
        lane->held_bytes = 0;
        for (unsigned i = 0; i < FREEHOLD__CLASSES; i++)
            lane->bin[i].granules = 0;
        if (lane != mine) {
            lane->state = FREEHOLD__LANE_PARKED;
            lane->inside = 0; /* a thread that was giving way to the fork may have left its mark */
            parked_append(heap, lane);
            heap->parked_count++;
        }
    }
    freehold__pages_walk(&heap->pages, repair_slab, mine);
}

/* ---- statistics, the end --------------------------------------------------------------------- */

/* With threads at work a slot may be in two bitmaps for a moment: so it is looked for in all of
 * them at once. */
static void count_slab(void *context, uintptr_t base, void *descriptor)
{
    freehold__heap_stats *stats = context;
    const freehold__slab *slab = descriptor;
    (void)base;
    if ((slab->owner & ~FREEHOLD__PENDING) == 0)
        return;
    uint64_t lifted = freehold__slab_lifted(slab);
    uint64_t live = slab->slots - freehold__slab_count_any(slab);
    stats->allocations -= lifted;
    stats->frees -= lifted + live;
    stats->live_bytes += live * slab->size;
}

static void count_in_class(void *context, uintptr_t base, void *descriptor)
{
    freehold__class_stats *classes = context;
    const freehold__slab *slab = descriptor;
    (void)base;
    if ((slab->owner & ~FREEHOLD__PENDING) == 0)
        return;
    freehold__class_stats *class = &classes[slab->index];
    class->live += slab->slots - freehold__slab_count_any(slab);
    class->slabs++;
    class->bytes += freehold__slab_bytes(slab);
}

void freehold__heap_count_classes(
    freehold__heap *heap, freehold__class_stats classes[FREEHOLD__CLASSES])
{
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++)
        classes[i] = (freehold__class_stats){0};
    freehold__pages_walk(&heap->pages, count_in_class, classes);
}

/* What was counted at different moments may not add up. */
static uint64_t not_negative(uint64_t count)
{
    return (int64_t)count < 0 ? 0 : count;
}

freehold__heap_stats freehold__heap_count(freehold__heap *heap)
{
    freehold__heap_stats stats = {0};
    freehold__pages *pages = &heap->pages;
    for (freehold__lane *lane = heap->lanes; lane != NULL; lane = lane->next) {
        freehold__lane_visit(lane);
        stats.allocations += lane->lifted;
        freehold__lane_part(lane);
        freehold__lane_help(lane);
        stats.lanes++;
    }
    stats.frees = stats.allocations;
    freehold__pages_walk(pages, count_slab, &stats);
    stats.allocations = not_negative(stats.allocations);
    stats.frees = not_negative(stats.frees);
    stats.large_allocations = pages->large.allocations;
    stats.allocations += pages->large.allocations;
    stats.frees += pages->large.frees;
    stats.live_bytes += pages->large.live_bytes;
    stats.used_bytes = freehold__pages_live(pages);
    stats.peak_bytes = pages->peak * FREEHOLD__GRANULE + pages->large.peak_bytes;
    stats.mapped_bytes =
        pages->mapped * FREEHOLD__GRANULE + pages->large.live_bytes + pages->large.kept_bytes;
    freehold__lock_take(&pages->lock);
    stats.retained_bytes = pages->buddy.dirty * FREEHOLD__GRANULE + pages->large.kept_bytes;
    freehold__lock_drop(&pages->lock);
    stats.purged_bytes = pages->purged_bytes + pages->large.purged_bytes;
    return stats;
}

void freehold__heap_reset_peak(freehold__heap *heap)
{
    freehold__lock_take(&heap->pages.lock);
    heap->pages.peak = heap->pages.used;
    freehold__lock_drop(&heap->pages.lock);
    freehold__large_reset_peak(&heap->pages.large);
}

void freehold__heap_release(freehold__heap *heap)
{
    freehold__pages_release(&heap->pages);
    *heap = (freehold__heap){0};
}
