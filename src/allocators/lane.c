/* SPDX-License-Identifier: MIT */
/*
 * The slow paths of a lane: refill, events, remote frees, and giving free pages back.
 */
#include "allocators/lane.h"

freehold__lane freehold__no_lane = {
    .direct = {[0 ... FREEHOLD__DIRECT_MAX / 16] = &freehold__no_lane.bin[0]},
    .middle = {[0 ... FREEHOLD__MIDDLE_MAX / 128 - 1] = &freehold__no_lane.bin[0]},
    .bin = {[0 ... FREEHOLD__CLASSES - 1] = {.cur = &freehold__no_word}},
};
freehold__aside freehold__lane freehold__past_lane;

void freehold__past_lane_make(void)
{
    for (unsigned i = 0; i < FREEHOLD__CLASSES; i++)
        freehold__past_lane.bin[i].cur = &freehold__no_word;
    for (unsigned i = 0; i <= FREEHOLD__DIRECT_MAX / 16; i++)
        freehold__past_lane.direct[i] = &freehold__past_lane.bin[0];
    for (unsigned i = 0; i < FREEHOLD__MIDDLE_MAX / 128; i++)
        freehold__past_lane.middle[i] = &freehold__past_lane.bin[0];
}

/* A class that holds less than this makes a full slab rejoin late: the slack is small, and refills
 * get rare. */
#define SMALL_CLASS (64u * 1024)

/*
 * Empty slabs that a lane keeps. Of classes with many slots only a few, for there a way to the page
 * layer is shared by many allocations, and there the memory serves every class; of the others up to
 * so many bytes, more when it holds much.
 */
#define MANY_SLOTS  32
#define EMPTIES_FEW 4
#define EMPTY_SHARE 16

/* Empty slabs are put into stock before it is asked when they are such a part of what the lane holds. */
#define STOCK_AT 32

/*
 * The same with what is in stock, when there is anything: a quarter, and while that is little as much again. It is
 * what lies free between blocks of random lengths, and what the sum of a hundred of them, 256 KiB each, goes up and
 * down by. When there is more, a quarter of that goes back.
 */
#define STOCK_SHARE 4
#define STOCK_MORE  (8 * FREEHOLD__EMPTY_FLOOR)
#define GIVE_SHARE  4

/* Where slabs are short (base/config.h), a bin holds at least so many of the length of the next one. */
#define SLAB_SHARE 24

/* Slabs that one visit of retention looks at: 4096 are 0.3 ms, when nothing of them is in a cache. */
#define LOOK_AT_MOST 4096

/* Slow paths between two looks at the clock. */
#define TEND_EVERY 32

static freehold__bin *bin_of(freehold__lane *lane, const freehold__slab *slab)
{
    return &lane->bin[slab->index];
}

static size_t page(void)
{
    return freehold__port_page_size();
}

/* ---- the lock -------------------------------------------------------------------------------- */

/*
 * The thread says that it is inside, then looks for a visitor; a visitor says that it is there,
 * then looks whether the thread is inside. With the asymmetric fence between, at least one of them
 * sees the other; the thread gives way. Releases and acquires on `inside` and `visited` order what
 * both do under the lock. Where there is no such fence, `visited` is always set, and the thread
 * enters by way of the guard.
 */
static uint32_t unvisited(void)
{
    return !atomic_load_explicit(&freehold__port_asymmetric, memory_order_relaxed);
}

static freehold__cold void enter_after_visitor(freehold__lane *lane)
{
    atomic_store_explicit(&lane->inside, 0, memory_order_release);
    freehold__lock_take(&lane->guard); /* no visitor now, and none until it is dropped */
    atomic_store_explicit(&lane->inside, 1, memory_order_seq_cst);
    atomic_store_explicit(&lane->visited, unvisited(), memory_order_relaxed);
    freehold__lock_drop(&lane->guard);
}

void freehold__lane_enter(freehold__lane *lane)
{
    if (freehold__unlikely(!freehold__lane_try_enter(lane)))
        enter_after_visitor(lane);
}

/* A double free that was found by a merge: taken out under the lock, reported without it. */
static void report(freehold__slab *raced, unsigned slot)
{
    if (freehold__unlikely(raced != NULL))
        freehold__heap_raced(raced, slot);
}

/* Under the lock. Mostly there is nothing, and nothing is written. */
static freehold__slab *take_raced(freehold__lane *lane, unsigned *slot)
{
    freehold__slab *raced = atomic_load_explicit(&lane->raced, memory_order_relaxed);
    *slot = lane->raced_slot;
    if (freehold__unlikely(raced != NULL))
        atomic_store_explicit(&lane->raced, NULL, memory_order_relaxed);
    return raced;
}

void freehold__lane_leave_quietly(freehold__lane *lane)
{
    atomic_store_explicit(&lane->inside, 0, memory_order_release);
}

void freehold__lane_leave(freehold__lane *lane)
{
    unsigned slot;
    freehold__slab *raced = take_raced(lane, &slot);
    freehold__lane_leave_quietly(lane);
    if (freehold__unlikely(raced != NULL))
        lane->slow_paths = TEND_EVERY; /* it may be at its end, and the report leave by longjmp */
    report(raced, slot);
}

void freehold__lane_visit(freehold__lane *lane)
{
    if (freehold__unlikely(freehold__lock_is_kept(&lane->guard)))
        return; /* over a fork: the visit goes on, and who was inside may be gone */
    freehold__lock_take(&lane->guard);
    if (atomic_load(&lane->state) == FREEHOLD__LANE_PARKED)
        return; /* no thread, and none comes before the guard is dropped */
    atomic_store(&lane->visited, 1);
    freehold__port_heavy_fence();
    for (unsigned times = 0; atomic_load_explicit(&lane->inside, memory_order_acquire) != 0;
         times++)
        freehold__port_pause(times);
}

void freehold__lane_part_for_good(freehold__lane *lane)
{
    atomic_store_explicit(&lane->visited, unvisited(), memory_order_release);
    freehold__lock_release(&lane->guard);
}

void freehold__lane_part_quietly(freehold__lane *lane)
{
    if (freehold__likely(!freehold__lock_is_kept(&lane->guard)))
        freehold__lane_part_for_good(lane);
}

void freehold__lane_part(freehold__lane *lane)
{
    unsigned slot;
    freehold__slab *raced = take_raced(lane, &slot);
    freehold__lane_part_quietly(lane);
    report(raced, slot);
}

/* ---- the lists of a bin ---------------------------------------------------------------------- */

static void enqueue(freehold__bin *bin, freehold__slab *slab)
{
    slab->state = FREEHOLD__SLAB_PARTIAL;
    slab->next = NULL;
    slab->prev = bin->last;
    *(bin->last != NULL ? &bin->last->next : &bin->first) = slab;
    bin->last = slab;
}

static void push_empty(freehold__lane *lane, freehold__bin *bin, freehold__slab *slab)
{
    slab->state = FREEHOLD__SLAB_EMPTY;
    slab->prev = NULL;
    slab->next = bin->empty;
    if (bin->empty != NULL)
        bin->empty->prev = slab;
    bin->empty = slab;
    bin->empties++;
    lane->empty_bytes += freehold__slab_bytes(slab);
}

/* Takes a slab out of whichever list its state says. */
static void unlink_slab(freehold__lane *lane, freehold__bin *bin, freehold__slab *slab)
{
    switch ((freehold__slab_state)slab->state) {
    case FREEHOLD__SLAB_PARTIAL:
        if (lane->look.at == slab)
            lane->look.at = slab->next;
        *(slab->next != NULL ? &slab->next->prev : &bin->last) = slab->prev;
        *(slab->prev != NULL ? &slab->prev->next : &bin->first) = slab->next;
        break;
    case FREEHOLD__SLAB_EMPTY:
        if (slab->next != NULL)
            slab->next->prev = slab->prev;
        *(slab->prev != NULL ? &slab->prev->next : &bin->empty) = slab->next;
        bin->empties--;
        if (bin->empties < bin->idle_empties)
            bin->idle_empties = bin->empties;
        lane->empty_bytes -= freehold__slab_bytes(slab);
        break;
    case FREEHOLD__SLAB_ACTIVE:
        bin->active = NULL;
        bin->cur = &freehold__no_word;
        break;
    case FREEHOLD__SLAB_FULL:
    case FREEHOLD__SLAB_RESTING: /* which only wake takes out of its stack */
        break;
    }
    slab->state = FREEHOLD__SLAB_FULL;
}

/* ---- slabs come and go ----------------------------------------------------------------------- */

/*
 * Gives an empty slab's span back to the page layer. Fails when a notice is on its way: the slab
 * must then stay this lane's until the notice is taken from the inbox, which brings the slab here
 * again.
 */
static bool release_slab(freehold__lane *lane, freehold__slab *slab)
{
    uintptr_t mine = (uintptr_t)lane;
    if (!atomic_compare_exchange_strong_explicit(
            &slab->owner, &mine, 0, memory_order_seq_cst, memory_order_relaxed))
        return false;
    freehold__lane_count(lane, slab, -1);
    bool touched = slab->opened != 0 || !slab->zeroed;
    freehold__pages_give(&lane->heap->pages, slab->base, touched);
    return true;
}

/* The class, in slabs of so many granules. */
static freehold__size_class in_granules(const freehold__size_class *class, size_t granules)
{
    freehold__size_class result = *class;
    if (granules != class->granules) {
        result.granules = (uint16_t)granules;
        result.slots = (uint16_t)((granules << FREEHOLD__GRANULE_SHIFT) / class->size);
    }
    return result;
}

/* A span of so many granules becomes a slab of the bin's class, which `to` owns. Under the lane's lock. */
static freehold__slab *make_slab(freehold__lane *lane, const freehold__bin *bin,
    freehold__span span, size_t granules, freehold__lane *to)
{
    freehold__size_class class =
        in_granules(freehold__heap_class(lane->heap, bin->index), granules);
    freehold__slab *slab = span.descriptor;
    freehold__slab_init(slab, span.base, &class, bin->index, span.zeroed);
    slab->state = FREEHOLD__SLAB_FULL;
    /* A store, not an exchange: it wipes a stale freer's PENDING, for which there is no notice.
     * Then look: a bit of a double free that raced with the release is either seen here or brings a
     * notice. */
    atomic_store_explicit(&slab->owner, (uintptr_t)to, memory_order_seq_cst);
    if (freehold__unlikely(freehold__slab_any_remote(slab, &lane->raced_slot))) {
        lane->raced = slab;
        for (unsigned w = 0; w < FREEHOLD__SLAB_WORDS; w++)
            atomic_store(&slab->remote[w], 0);
    }
    return slab;
}

/* Of a span of so many granules, in 1024ths. */
static size_t left_behind(const freehold__size_class *class, size_t granules)
{
    uint32_t bytes = (uint32_t)(granules << FREEHOLD__GRANULE_SHIFT);
    return bytes % class->size / 8 / (uint32_t)granules; /* a granule has 8 * 1024 bytes */
}

/*
 * How long the bin's next slab is to be. Short ones are at most a 24th of what the bin holds, or the shortest behind
 * whose last slot no more than a sixteenth is left (of the first ones a quarter); of those, that with the least. So
 * little is free in a bin's last slab while others ask in vain: a machine of 32 MiB and four CPUs has room for one slab
 * of the usual length of each class and CPU.
 */
static size_t wanted_granules(const freehold__lane *lane, const freehold__bin *bin)
{
    const freehold__size_class *class = freehold__heap_class(lane->heap, bin->index);
    size_t most = class->granules < FREEHOLD__BLOCK_MAX ? class->granules : FREEHOLD__BLOCK_MAX;
    size_t best = most, least = 1024;
    bool first = bin->granules < 4;
    if (!FREEHOLD__SHORT_SLABS)
        return best;
    for (size_t n = freehold__in_granules(class->size); n <= most; n++) {
        if (n * SLAB_SHARE > bin->granules && least * (first ? 4 : 16) <= 1024)
            break;
        size_t left = left_behind(class, n);
        if (left <= least) {
            least = left;
            best = n;
        }
    }
    return best;
}

/* A span of so many granules, or down to a quarter, that needs no other section and wastes little; *granules is how many. */
static freehold__span span_that_is_there(
    freehold__lane *lane, const freehold__size_class *class, size_t *granules)
{
    freehold__span span = {0, NULL, false};
    size_t least = freehold__in_granules(class->size), quarter = *granules / 4;
    for (size_t n = *granules; span.base == 0 && n >= least && n >= quarter && n != 0; n--)
        if (n == *granules || left_behind(class, n) * 16 <= 1024) {
            span = freehold__pages_take_free(&lane->heap->pages, (unsigned)n);
            *granules = span.base != 0 ? n : *granules;
        }
    return span;
}

/* Where slabs are short, so that sections are used up, one by one; to the last slot, when there are no more. */
static freehold__span short_span(
    freehold__lane *lane, const freehold__size_class *class, size_t *granules)
{
    size_t least = freehold__in_granules(class->size);
    freehold__span span = span_that_is_there(lane, class, granules);
    if (span.base == 0)
        span = freehold__pages_take(&lane->heap->pages, (unsigned)*granules);
    while (span.base == 0 && *granules > least) {
        *granules = *granules / 2 > least ? *granules / 2 : least;
        span = freehold__pages_take(&lane->heap->pages, (unsigned)*granules);
    }
    return span;
}

/* ---- the stock ------------------------------------------------------------------------------- */

/* Of few slots: else a way to the page layer is shared by many allocations, and there the memory serves all. */
static bool stocked(const freehold__lane *lane, const freehold__bin *bin)
{
    return lane->heap->own_class == NULL && /* else there is no other class */
           freehold__size_classes[bin->index].slots < MANY_SLOTS;
}

/*
 * An empty slab's span comes into stock. As if it went back: it leaves its owner first, which fails when a
 * notice is on its way; and who walks all spans has read what it was.
 */
static bool stock_slab(freehold__lane *lane, freehold__slab *slab)
{
    uintptr_t mine = (uintptr_t)lane;
    if (!atomic_compare_exchange_strong_explicit(
            &slab->owner, &mine, 0, memory_order_seq_cst, memory_order_relaxed))
        return false;
    freehold__pages_await_walk(&lane->heap->pages);
    freehold__lane_count(lane, slab, -1);
    slab->zeroed = slab->zeroed && slab->opened == 0;
    freehold__stock_add(&lane->stock, slab);
    return true;
}

static void stock_empties(freehold__lane *lane)
{
    for (unsigned i = 0; i < FREEHOLD__CLASSES && lane->empty_bytes != 0; i++) {
        freehold__bin *bin = &lane->bin[i];
        if (!stocked(lane, bin))
            continue;
        for (freehold__slab *slab = bin->empty, *next; slab != NULL; slab = next) {
            next = slab->next;
            unlink_slab(lane, bin, slab);
            if (!stock_slab(lane, slab))
                push_empty(lane, bin, slab);
        }
    }
}

/* How many bytes may be empty, in stock or not. */
static size_t empty_bound(const freehold__lane *lane)
{
    size_t bound = lane->held_bytes / EMPTY_SHARE;
    if (lane->stock.bytes != 0) {
        size_t share = (lane->held_bytes + lane->stock.bytes) / STOCK_SHARE;
        bound = share + (share < STOCK_MORE ? share : STOCK_MORE);
    }
    return bound > FREEHOLD__EMPTY_FLOOR ? bound : FREEHOLD__EMPTY_FLOOR;
}

/* Granules of which a span of the class begins at a multiple: its slots lie at such of their size, and whole pages
 * can be purged. */
static unsigned alignment(const freehold__size_class *class)
{
    size_t align = class->size & -class->size;
    if (align < page())
        align = page();
    return (unsigned)freehold__in_granules(align);
}

/*
 * A slab for `to`, which is in no list. Memory that is resident is used before other is: that of the lane's empty slabs
 * too. A few are kept as they are until nothing else is long enough, because what comes next is often the same again.
 */
static freehold__slab *from_stock(
    freehold__lane *lane, const freehold__bin *bin, freehold__lane *to)
{
    if (!stocked(lane, bin))
        return NULL;
    unsigned granules = (unsigned)wanted_granules(lane, bin);
    unsigned align = alignment(freehold__heap_class(lane->heap, bin->index));
    if (lane->empty_bytes > lane->held_bytes / STOCK_AT)
        stock_empties(lane);
    freehold__slab *slab = freehold__stock_take(&lane->stock, granules, align);
    if (slab == NULL && lane->empty_bytes != 0) {
        stock_empties(lane);
        slab = freehold__stock_take(&lane->stock, granules, align);
    }
    if (slab == NULL)
        return NULL;
    return make_slab(lane, bin, (freehold__span){slab->base, slab, slab->zeroed}, granules, to);
}

/*
 * Where slabs are not short. A class that is stocked takes the block that the page layer would cut, as a whole: the
 * rest is of more use here, where what lies side by side is put together whatever its length.
 */
static freehold__span long_span(freehold__lane *lane, freehold__bin *bin, size_t granules)
{
    freehold__pages *pages = &lane->heap->pages;
    bool exact = (granules & (granules - 1)) == 0 || !stocked(lane, bin) || pages->quota != NULL ||
                 pages->retain == FREEHOLD__RETAIN_IMMEDIATE;
    size_t block = exact ? granules : (size_t)2 << freehold__highest_bit(granules);
    freehold__span span = freehold__pages_take(pages, (unsigned)block);
    if (span.base != 0 && !exact) {
        freehold__slab *slab = span.descriptor;
        slab->base = span.base;
        slab->zeroed = span.zeroed;
        freehold__stock_keep_rest(&lane->stock, slab, (unsigned)granules);
    }
    return span;
}

static freehold__slab *new_slab(freehold__lane *lane, freehold__bin *bin)
{
    const freehold__size_class *class = freehold__heap_class(lane->heap, bin->index);
    size_t granules = wanted_granules(lane, bin);
    freehold__span span =
        FREEHOLD__SHORT_SLABS ? short_span(lane, class, &granules) : long_span(lane, bin, granules);
    return span.base != 0 ? make_slab(lane, bin, span, granules, lane) : NULL;
}

/* Gives spans back, the longest first, until there are no more than so many bytes. */
static freehold__cold void shrink_stock(freehold__lane *lane, size_t to)
{
    while (lane->stock.bytes > to) {
        freehold__slab *slab = freehold__stock_take_longest(&lane->stock, lane->stock.bytes - to);
        freehold__pages_give(&lane->heap->pages, slab->base, !slab->zeroed);
    }
}

/* Free slots at which a full slab is worth lifting again: an eighth. Of few slots a quarter, for a
 * refill that lifts two of sixteen costs more than they are worth. */
static unsigned rejoin_at(const freehold__bin *bin, const freehold__slab *slab)
{
    bool small = bin->granules < SMALL_CLASS >> FREEHOLD__GRANULE_SHIFT;
    unsigned free = slab->slots / (small ? 2 : slab->slots <= MANY_SLOTS ? 4 : 8);
    return free > 0 ? free : 1;
}

/* Whether there is room for another empty slab; or it is put together with what is in stock first (give_empties). */
static bool keeps_empty(
    const freehold__lane *lane, const freehold__bin *bin, const freehold__slab *slab)
{
    size_t empty = lane->empty_bytes + lane->stock.bytes + freehold__slab_bytes(slab);
    if (lane->heap->pages.retain == FREEHOLD__RETAIN_IMMEDIATE)
        return false;
    if (slab->slots >= MANY_SLOTS)
        return bin->empties < EMPTIES_FEW;
    return empty <= empty_bound(lane) || lane->stock.bytes != 0;
}

/* The lane has too much that is empty: what is longest goes back, put together from what lies side by side. */
static freehold__cold void give_empties(freehold__lane *lane)
{
    size_t bound = empty_bound(lane);
    stock_empties(lane);
    bound -= bound / GIVE_SHARE;
    shrink_stock(lane, lane->empty_bytes < bound ? bound - lane->empty_bytes : 0);
}

/* Puts a slab into the list that its count of free slots calls for, from wherever it is now; or
 * gives it back. */
static void place(freehold__lane *lane, freehold__slab *slab)
{
    freehold__bin *bin = bin_of(lane, slab);
    unlink_slab(lane, bin, slab);
    unsigned free = freehold__slab_free(slab), enough = rejoin_at(bin, slab);
    if (free == slab->slots) {
        freehold__slab_set_trigger(slab, FREEHOLD__TRIGGER_NEVER);
        if (keeps_empty(lane, bin, slab) || !release_slab(lane, slab))
            push_empty(lane, bin, slab);
        if (lane->stock.bytes != 0 && lane->empty_bytes + lane->stock.bytes > empty_bound(lane))
            give_empties(lane);
    } else if (free >= enough) {
        freehold__slab_set_trigger(slab, 0);
        enqueue(bin, slab);
    } else {
        freehold__slab_set_trigger(slab, (int32_t)(slab->slots - enough));
    }
}

/*
 * Another lane becomes the owner, under this lane's lock; fails like release. The slab leaves its
 * list first: once it is the other's, its state may be read under that lane's lock.
 */
static bool hand_over(
    freehold__lane *lane, freehold__bin *bin, freehold__slab *slab, freehold__lane *to)
{
    uintptr_t mine = (uintptr_t)lane;
    unlink_slab(lane, bin, slab);
    if (!atomic_compare_exchange_strong_explicit(
            &slab->owner, &mine, (uintptr_t)to, memory_order_seq_cst, memory_order_relaxed)) {
        place(lane, slab);
        return false;
    }
    freehold__lane_count(lane, slab, -1);
    return true;
}

freehold__slab *freehold__lane_surrender(freehold__lane *lane, unsigned index, freehold__lane *to)
{
    freehold__bin *bin = &lane->bin[index];
    freehold__slab *slab = bin->first != NULL ? bin->first : bin->empty;
    if (slab == NULL)
        return from_stock(lane, bin, to);
    return hand_over(lane, bin, slab, to) ? slab : NULL;
}

/* ---- the inbox ------------------------------------------------------------------------------- */

void freehold__lane_drain(freehold__lane *lane)
{
    if (atomic_load_explicit(&lane->inbox, memory_order_relaxed) == NULL)
        return;
    freehold__slab *slab = atomic_exchange_explicit(&lane->inbox, NULL, memory_order_seq_cst);
    if (lane->look.bin == FREEHOLD__CLASSES)
        lane->look.at = NULL;
    while (slab != NULL) {
        freehold__slab *next = atomic_load_explicit(&slab->next_pending, memory_order_relaxed);
        /* First the flag, then the bits: a freer that still saw the flag has its bit collected
         * here, and one that comes later sends a new notice. (With the freer's OR and its look at
         * the flag, a store-buffering pair: all four are seq_cst.) The slab is off the list by now,
         * and may be put on it again. */
        atomic_fetch_and_explicit(&slab->owner, ~FREEHOLD__PENDING, memory_order_seq_cst);
        if (freehold__unlikely(!freehold__slab_collect(slab, &lane->raced_slot)))
            lane->raced = slab;
        if (slab->state != FREEHOLD__SLAB_ACTIVE && slab->state != FREEHOLD__SLAB_RESTING)
            place(lane, slab);
        slab = next;
    }
}

void freehold__lane_help(freehold__lane *lane)
{
    for (;;) {
        /* After a push, or after dropping the lock: whoever finds the lock taken has been pushing
         * before its holder drops it, and the holder comes through here. (Store buffering, both
         * ways.) */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&lane->state) != FREEHOLD__LANE_PARKED ||
            atomic_load(&lane->inbox) == NULL || !freehold__lock_try(&lane->guard))
            return;
        if (atomic_load(&lane->state) != FREEHOLD__LANE_PARKED) {
            /* it has a thread again: all but the guard is that one's */
            freehold__lane_part_quietly(lane);
            return;
        }
        freehold__lane_drain(lane);
        freehold__lane_part(lane);
    }
}

/* Returns the lane that has or gets the notice; NULL: the slab is nobody's any more. */
static freehold__lane *notify(freehold__slab *slab)
{
    /* The bit is published: from here on only the owner word and the link may be written, which
     * keep their type for ever. If the slab has a new owner by now, the notice is spurious, and
     * harmless. */
    uintptr_t before = atomic_load_explicit(&slab->owner, memory_order_seq_cst);
    if ((before & FREEHOLD__PENDING) == 0)
        before = atomic_fetch_or_explicit(&slab->owner, FREEHOLD__PENDING, memory_order_seq_cst);
    freehold__lane *owner = (freehold__lane *)(before & ~FREEHOLD__PENDING);
    if ((before & FREEHOLD__PENDING) != 0 || owner == NULL)
        return owner;
    freehold__slab *head = atomic_load_explicit(&owner->inbox, memory_order_relaxed);
    do
        atomic_store_explicit(&slab->next_pending, head, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&owner->inbox, &head, slab));
    return owner;
}

void freehold__lane_tell(
    freehold__heap *heap, freehold__lane *lane, freehold__slab *slab, unsigned w, unsigned slots)
{
    freehold__lane *told = notify(slab);
    if (!freehold__slab_word_is_free(slab, w))
        return;
    if (told != NULL && freehold__slab_is_free(slab, slots))
        freehold__lane_help(told);
    freehold__heap_tend(heap, lane->heap != NULL ? lane : NULL);
}

/* ---- freeing what is not simply the lane's own ----------------------------------------------- */

bool freehold__lane_free_elsewhere(
    freehold__heap *heap, freehold__lane *lane, freehold__slab *slab, uintptr_t address)
{
    uintptr_t word = atomic_load_explicit(&slab->owner, memory_order_acquire);
    freehold__lane *owner = (freehold__lane *)(word & ~FREEHOLD__PENDING);
    freehold__put put;
    unsigned at, slots;
    if (owner == NULL || owner->heap != heap)
        return false;
    if (owner != lane) {
        put = freehold__slab_put_remotely(slab, address, &at, &slots);
        if (put == FREEHOLD__PUT_EVENT)
            freehold__lane_tell(heap, lane, slab, at, slots);
        return put != FREEHOLD__PUT_MISUSE;
    }
    /* The lane's own, with a notice pending: when the remote bits have been looked at, this is a
     * local free. */
    if (!freehold__slab_live_slot(slab, address, &at))
        return false;
    put = freehold__slab_put(slab, address);
    if (put == FREEHOLD__PUT_EVENT)
        freehold__lane_event(lane, slab);
    return put != FREEHOLD__PUT_MISUSE;
}

/* ---- refill ---------------------------------------------------------------------------------- */

/*
 * Before slots are lifted, what others have freed in the slab is merged, if a notice says that
 * there is anything: a slot that its owner and another thread have freed at once must not come into
 * use while the other's bit still stands - the merge that finds it later would take it for a free
 * of the new block. The notice stays in the inbox.
 */
static void collect_noticed(freehold__lane *lane, freehold__slab *slab)
{
    if (freehold__slab_owner(slab) & FREEHOLD__PENDING)
        if (freehold__unlikely(!freehold__slab_collect(slab, &lane->raced_slot)))
            lane->raced = slab;
}

static void lift(freehold__lane *lane, freehold__bin *bin, freehold__slab *slab, unsigned opened)
{
    unsigned count;
    bin->cur = freehold__slab_lift(slab, opened, &count);
    lane->lifted += count;
    freehold__assert(count != 0);
}

/*
 * A slab with one slot open is lifted at each allocation. One that is found so when the count of
 * slow paths ends, as one in 32 is, opens a second slot: then every other allocation is a fast one.
 */
static bool wants_second(const freehold__lane *lane, const freehold__slab *slab)
{
    return slab->opened == 1 && slab->slots > 1 && lane->slow_paths == 0;
}

/*
 * Goes on with the active slab when half of it is free again, else sends it where it belongs. A
 * fresh slab opens page by page, and opens more only when less than half of what is open is free,
 * and no other slab of the class has slots to give: memory that was never touched comes last.
 */
static bool reuse_active(freehold__lane *lane, freehold__bin *bin)
{
    freehold__slab *slab = bin->active;
    if (slab == NULL)
        return false;
    if (freehold__slab_liftable(slab) * 2 >= slab->opened && !wants_second(lane, slab)) {
        lift(lane, bin, slab, slab->opened);
        return true;
    }
    if (slab->opened < slab->slots && bin->first == NULL) {
        lift(lane, bin, slab, freehold__slab_opening(slab, page()));
        return true;
    }
    place(lane, slab);
    return false;
}

static void activate(freehold__lane *lane, freehold__bin *bin, freehold__slab *slab)
{
    slab->state = FREEHOLD__SLAB_ACTIVE;
    bin->active = slab;
    freehold__slab_set_trigger(slab, FREEHOLD__TRIGGER_NEVER);
    collect_noticed(lane, slab);
    unsigned opened = slab->opened;
    if (freehold__slab_liftable(slab) * 2 < opened || opened == 0)
        opened = freehold__slab_opening(slab, page());
    lift(lane, bin, slab, opened);
}

/* The quick way for slabs that are open in their first word alone: it is the one to pop from. */
static bool relift_half(freehold__lane *lane, freehold__bin *bin)
{
    freehold__slab *slab = bin->active;
    unsigned count = 0;
    if (slab != NULL && !wants_second(lane, slab))
        count = freehold__slab_relift_half(slab);
    if (count == 0)
        return false;
    lane->lifted += count;
    bin->cur = &slab->word[0];
    return true;
}

/* A slab of the bin that rests becomes active again, as it was, if the quota has room for it. */
static freehold__cold bool wake(freehold__lane *lane, freehold__bin *bin)
{
    freehold__slab **link = &lane->resting;
    while (*link != NULL && (*link)->index != bin->index)
        link = &(*link)->next;
    freehold__slab *slab = *link;
    if (slab == NULL || !freehold__pages_wake(&lane->heap->pages, freehold__slab_bytes(slab)))
        return false;
    *link = slab->next;
    slab->state = FREEHOLD__SLAB_ACTIVE;
    bin->active = slab;
    collect_noticed(lane, slab);
    bin->cur = freehold__slab_rechain(slab);
    return true;
}

/* From what the lane has itself. */
static bool refill_own(freehold__lane *lane, freehold__bin *bin)
{
    if (reuse_active(lane, bin) || (freehold__unlikely(lane->resting != NULL) && wake(lane, bin)))
        return true;
    /* The inbox is emptied only when something is needed: then each notice stands for many frees.
     * */
    if (bin->first == NULL)
        freehold__lane_drain(lane);
    freehold__slab *slab = bin->first != NULL ? bin->first : bin->empty;
    if (slab == NULL)
        return false;
    unlink_slab(lane, bin, slab);
    activate(lane, bin, slab);
    return true;
}

/* From a lane whose thread has exited, or from the page layer. */
static bool refill_more(freehold__lane *lane, freehold__bin *bin)
{
    freehold__slab *slab = from_stock(lane, bin, lane);
    if (slab == NULL &&
        atomic_load_explicit(&lane->heap->parked_count, memory_order_relaxed) != 0) {
        freehold__lane_leave(lane); /* no two lanes are locked at once */
        slab = freehold__heap_adopt(lane->heap, lane, bin->index);
        freehold__lane_enter(lane);
    }
    if (slab == NULL)
        slab = new_slab(lane, bin);
    if (slab == NULL)
        return false;
    freehold__lane_count(lane, slab, 1);
    activate(lane, bin, slab);
    return true;
}

static void tend_sometimes(freehold__lane *lane)
{
    /* The relift that has found it at its end has left it there. */
    if (freehold__unlikely(lane->slow_paths == 0 || --lane->slow_paths == 0)) {
        lane->slow_paths = TEND_EVERY; /* first: a report may leave from here by longjmp */
        freehold__heap_tend(lane->heap, lane);
        if (freehold__pace_hurries(&lane->heap->pace))
            lane->slow_paths = 1;
    }
}

static void *refill_and_pop(freehold__lane *lane, freehold__bin *bin)
{
    freehold__lane_enter(lane);
    if (bin->active != NULL)
        collect_noticed(lane, bin->active);
    bool filled = relift_half(lane, bin) || refill_own(lane, bin) || refill_more(lane, bin);
    freehold__lane_leave(lane);
    tend_sometimes(lane);
    return filled ? freehold__bin_pop(bin) : NULL;
}

/* A full slab of a bin that has a free slot all the same: too few of them to be in the queue. */
typedef struct search {
    const freehold__lane *lane;
    unsigned index;
    freehold__slab *found;
} search;

static void look_at(void *context, uintptr_t base, void *descriptor)
{
    search *s = context;
    freehold__slab *slab = descriptor;
    (void)base;
    if ((freehold__slab_owner(slab) & ~FREEHOLD__PENDING) == (uintptr_t)s->lane &&
        slab->index == s->index && slab->state == FREEHOLD__SLAB_FULL &&
        freehold__slab_free(slab) != 0)
        s->found = slab;
}

static freehold__cold void *refill_from_full(freehold__lane *lane, freehold__bin *bin)
{
    search s = {lane, bin->index, NULL};
    freehold__lane_enter(lane);
    freehold__pages_walk(&lane->heap->pages, look_at, &s);
    if (s.found != NULL)
        activate(lane, bin, s.found);
    freehold__lane_leave(lane);
    return s.found != NULL ? freehold__bin_pop(bin) : NULL;
}

/* Before it says no, everything that is free goes back: it may be free in another shape. */
static freehold__cold void *refill_again(freehold__lane *lane, freehold__bin *bin)
{
    freehold__heap *heap = lane->heap;
    uint64_t misses = freehold__pages_misses(&heap->pages);
    void *slot = freehold__heap_make_room(heap, lane) ? refill_and_pop(lane, bin) : NULL;
    if (slot == NULL)
        slot = refill_from_full(lane, bin);
    if (slot == NULL)
        freehold__heap_refused(heap, misses);
    return slot;
}

void *freehold__lane_refill(freehold__lane *lane, unsigned index)
{
    freehold__bin *bin = &lane->bin[index];
    void *slot = refill_and_pop(lane, bin);
    return freehold__likely(slot != NULL) ? slot : refill_again(lane, bin);
}

void *freehold__lane_spare(freehold__lane *lane, unsigned index)
{
    freehold__bin *bin = &lane->bin[index];
    void *slot = freehold__bin_pop(bin);
    if (slot != NULL)
        return slot;
    freehold__lane_enter(lane);
    if (bin->active != NULL)
        collect_noticed(lane, bin->active);
    bool filled = relift_half(lane, bin) || refill_own(lane, bin);
    freehold__lane_leave(lane);
    return filled ? freehold__bin_pop(bin) : NULL;
}

void freehold__lane_event(freehold__lane *lane, freehold__slab *slab)
{
    freehold__lane_enter(lane);
    if (slab->state != FREEHOLD__SLAB_ACTIVE)
        place(lane, slab);
    freehold__lane_leave(lane);
    tend_sometimes(lane);
}

/* ---- giving memory back ---------------------------------------------------------------------- */

/* Purges the free pages of one slab; returns the bytes. */
static size_t purge_slab(freehold__slab *slab, bool still)
{
    size_t at = 0, from, bytes = 0;
    uint16_t lifted = (uint16_t)freehold__slab_lifted(slab);
    if (lifted != slab->purged_lifted) /* what is lifted comes into use without another lift */
        slab->purged = 0;
    slab->purged_lifted = lifted;
    while (freehold__slab_free_pages(slab, page(), still, &at, &from)) {
        if (!freehold__section_purge(slab->base + from, at - from))
            break;
        freehold__slab_set_purged(slab, page(), from, at);
        bytes += at - from;
    }
    return bytes;
}

/*
 * A slab has been at rest since the last look, and has enough free to be worth a look at its pages.
 * Any thread may ask: it counts bits. *free is in bytes.
 */
static bool at_rest(freehold__slab *slab, size_t *free)
{
    unsigned slots = freehold__slab_count_any(slab);
    uint16_t used = (uint16_t)(slab->slots - slots);
    bool rest = slab->seen_used == used;
    slab->seen_used = used;
    *free = (size_t)slots * slab->size;
    return rest && *free >= page();
}

static void retain_slab(freehold__lane *lane, freehold__slab *slab, bool still, size_t *slice)
{
    freehold__look *look = &lane->look;
    size_t free;
    bool rest = at_rest(slab, &free);
    if (!rest && slice != NULL)
        return;
    if (slice != NULL && free <= look->spare) {
        look->spare -= free;
        return;
    }
    size_t purged = purge_slab(slab, still);
    lane->heap->pages.purged_bytes += purged;
    freehold__slice_spend(slice, purged);
}

/*
 * An active slab of which nothing is in use, where no thread can pop a slot. If nothing is lifted
 * either, it is an empty one. Lifted slots must stay as they are: their bits never go back, or one
 * who frees a slot twice would be missed (freehold__slab_slot_state). So, under a quota, to which
 * the active slabs of all threads that have ended would stay charged, such a slab rests: its memory
 * goes back, and its span and its bits stay the lane's. Where sections go back there is no memory
 * without its span: there they do go back (freehold__slab_unlift).
 */
static void retire(freehold__lane *lane, freehold__bin *bin, freehold__slab *slab)
{
    freehold__pages *pages = &lane->heap->pages;
    size_t bytes = freehold__slab_bytes(slab);
    if (pages->sheds && freehold__slab_free(slab) + freehold__slab_lifted(slab) == slab->slots)
        lane->lifted -= freehold__slab_unlift(slab);
    unsigned free = freehold__slab_free(slab);
    if (free == slab->slots) {
        place(lane, slab);
        return;
    }
    if (pages->quota == NULL || free + freehold__slab_lifted(slab) != slab->slots ||
        ((slab->base | bytes) & (page() - 1)) != 0 || !freehold__section_purge(slab->base, bytes))
        return;
    unlink_slab(lane, bin, slab);
    slab->state = FREEHOLD__SLAB_RESTING;
    slab->next = lane->resting;
    lane->resting = slab;
    freehold__pages_rest(pages, bytes);
}

/* A bin gives empty slabs back: those that nobody has needed since the last look, or all. */
static void retain_empties(freehold__lane *lane, freehold__bin *bin, bool all)
{
    unsigned surplus = all ? bin->empties : bin->idle_empties;
    for (freehold__slab *slab = bin->empty, *next; slab != NULL && surplus > 0; slab = next) {
        next = slab->next;
        unlink_slab(lane, bin, slab);
        if (release_slab(lane, slab))
            surplus--;
        else
            push_empty(lane, bin, slab);
    }
    bin->idle_empties = bin->empties;
}

/* Behind the last bin comes the inbox: full slabs that others have freed are in no list yet but that one. It only
 * grows at its head, and shrinks under the lock that is held. */
static void begin_bin(freehold__lane *lane, bool still, size_t *slice)
{
    freehold__look *look = &lane->look;
    look->in_bin = true;
    look->slabs = UINT32_MAX;
    if (look->bin == FREEHOLD__CLASSES) {
        look->at = atomic_load_explicit(&lane->inbox, memory_order_acquire);
        return;
    }
    freehold__bin *bin = &lane->bin[look->bin];
    if (still && slice == NULL && bin->active != NULL)
        retire(lane, bin, bin->active);
    retain_empties(lane, bin, slice == NULL);
    if (bin->active != NULL)
        retain_slab(lane, bin->active, still, slice);
    look->at = bin->first;
    if (slice != NULL) /* (where slabs are short there are more, but nothing to purge) */
        look->slabs = bin->granules / freehold__heap_class(lane->heap, bin->index)->granules;
}

/* The slabs of one bin. False when the visit is over before, because the slice is spent, or it has looked at as many
 * as it may. */
static bool retain_bin(freehold__lane *lane, bool still, size_t *slice, unsigned *left)
{
    freehold__look *look = &lane->look;
    bool inbox = look->bin == FREEHOLD__CLASSES;
    if (!look->in_bin)
        begin_bin(lane, still, slice);
    for (freehold__slab *slab; (slab = look->at) != NULL && look->slabs != 0; look->slabs--) {
        if (freehold__slice_is_spent(slice) || (slice != NULL && (*left)-- == 0))
            return false;
        look->at =
            inbox ? atomic_load_explicit(&slab->next_pending, memory_order_relaxed) : slab->next;
        if (!inbox || slab->state == FREEHOLD__SLAB_FULL) /* else it was met in its bin */
            retain_slab(lane, slab, still, slice);
    }
    look->in_bin = false;
    return true;
}

static void begin_look(freehold__lane *lane, uint32_t now)
{
    lane->look = (freehold__look){
        .spare = freehold__retain_bound(lane->held_bytes), .began = now, .under_way = true};
}

void freehold__lane_retain(freehold__lane *lane, bool still, uint32_t now, size_t *slice)
{
    freehold__look *look = &lane->look;
    unsigned left = LOOK_AT_MOST;
    if (slice != NULL && lane->heap->pages.retain == FREEHOLD__RETAIN_NEVER)
        return;
    if (slice == NULL ||
        (!look->under_way && freehold__has_passed(now, look->began, FREEHOLD__RETAIN_PERIOD)))
        begin_look(lane, now);
    if (!look->under_way)
        return;
    for (; look->bin <= FREEHOLD__CLASSES; look->bin++)
        if (!retain_bin(lane, still, slice, &left))
            return;
    /* Like empty slabs; last, for some have come into stock meanwhile. */
    if (lane->stock.bytes != 0)
        shrink_stock(lane, slice == NULL ? 0 : lane->stock.bytes - lane->stock.idle);
    lane->stock.idle = lane->stock.bytes;
    look->under_way = false;
}
