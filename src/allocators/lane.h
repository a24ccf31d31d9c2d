/* SPDX-License-Identifier: MIT */
/*
 * Lanes: a heap has one per thread (or CPU), and each slab has one lane as its owner.
 *
 * The owner's malloc pops a lifted bit and its free sets a freed bit, without a lock or an atomic
 * operation. Everything else is a slow path and runs under the lane's lock: lifting, the lists, the
 * inbox. The lock is biased: for the lane's own thread, taking it is a store and a load, without an
 * atomic operation. It is there so that others may purge free pages of a thread that sleeps; and
 * once the thread has exited, so that anybody may act for it.
 *
 * Another thread's free sets a bit in the slab's remote bitmap and, if it is the first since the
 * owner looked, puts the slab into the owner's inbox. DESIGN.md walks these paths; tests/model/ has
 * the protocol in Spin.
 *
 * Lock order: tend < heap < lane < purge < pages < large. No two lanes are locked at once, but
 * before fork.
 */
#ifndef FREEHOLD_ALLOCATORS_LANE_H
#define FREEHOLD_ALLOCATORS_LANE_H

#include "allocators/stock.h"
#include "base/assert.h"
#include "objects/slab.h"
#include "pages/page_map.h"
#include "pages/pages.h"

#define FREEHOLD__LANE_LIVE   0u /* a thread allocates from it */
#define FREEHOLD__LANE_PARKED 1u /* its thread has exited: whoever holds the lock acts for it */

/* The slabs of one size class in one lane. All but cur is guarded by the lane's lock. */
typedef struct freehold__bin {
    freehold__slab_word *cur; /* owner's thread: the word to pop from */
    uint64_t size;            /* constant */
    freehold__slab *active;
    freehold__slab *first, *last;   /* queue of partial slabs, first in first out */
    freehold__slab *empty;          /* stack of empty slabs */
    uint32_t granules;              /* of all slabs of the class in this lane, in whichever state */
    uint32_t empties, idle_empties; /* now; the fewest since retention last looked */
    uint8_t index;
} freehold__bin;

/* One look of retention over all slabs of a lane, in as many visits as it takes. The lane's lock. */
typedef struct freehold__look {
    freehold__slab *at; /* the next one: in the queue of the bin, or in the inbox */
    size_t spare;       /* bytes of free memory that may still stay in the slabs */
    uint32_t began;     /* milliseconds */
    uint32_t slabs;     /* at most so many more in the bin: its queue may grow for ever */
    uint8_t bin;        /* FREEHOLD__CLASSES: the inbox */
    bool under_way, in_bin;
} freehold__look;

typedef struct freehold__lane {
    /* Constants, heap among them because every free by another thread reads it. */
    struct freehold__heap *heap;
    freehold__bin *direct[FREEHOLD__DIRECT_MAX / 16 + 1]; /* by request size / 16 */
    freehold__bin *middle[FREEHOLD__MIDDLE_MAX / 128];    /* by (size - 1) / 128 */
    freehold__bin bin[FREEHOLD__CLASSES];
    uint32_t slow_paths; /* owner's thread: counts down to a look at the clock */

    /* The lane's lock (see freehold__lane_enter): whether its thread is inside, and whether a
     * visitor is. */
    _Atomic uint32_t inside;
    _Alignas(64) _Atomic(freehold__slab *) inbox; /* slabs with remote frees, by any thread */
    freehold__lock guard; /* among visitors, and for a lane without a thread */
    _Atomic uint32_t visited;
    _Atomic uint32_t state;             /* changed under the guard, or by its thread from inside */
    struct freehold__lane *next;        /* all lanes of the heap, for ever */
    struct freehold__lane *next_parked; /* heap's lock */
    size_t held_bytes, empty_bytes;     /* spans owned, spans of empty slabs */
    freehold__stock stock;
    freehold__look look;
    freehold__slab *resting;         /* stack of resting slabs, of any class; only under a quota */
    uint64_t lifted;                 /* slots ever lifted: allocations, and those still lifted */
    _Atomic(freehold__slab *) raced; /* a double free found by a merge, not yet reported */
    unsigned raced_slot;
    freehold__large_memo large_memo; /* owner's thread */
} freehold__lane;

/* A heap: pages, and the lanes that share them. */
typedef struct freehold__heap {
    freehold__pages pages;
    freehold__lock lock; /* guards the two lists; the first one may be read without it */
    _Atomic(freehold__lane *) lanes;
    freehold__lane *parked, *last_parked;
    freehold__lock tend_lock; /* whoever looks after retention; guards the cursor */
    freehold__lane *cursor;   /* the lane that it looks at next */
    _Atomic uint32_t parked_count, lane_count;
    freehold__pace pace;
    /* Constant: the class of all its slots (freehold/slab.h), which has the index 0; NULL: the usual
     * ones. */
    const freehold__size_class *own_class;
} freehold__heap;

static inline const freehold__size_class *freehold__heap_class(
    const freehold__heap *heap, unsigned index)
{
    return heap->own_class != NULL ? heap->own_class : &freehold__size_classes[index];
}

/*
 * What a thread has before its first allocation, and after its last one, when its lane has gone:
 * every bin is out of slots, it owns no slab, has no heap.
 */
extern freehold__lane freehold__no_lane __attribute__((visibility("hidden")));
extern freehold__lane freehold__past_lane __attribute__((visibility("hidden")));

/* Once, before a thread is given it. Not initialised like the other: the loader would have to relocate it, and
 * its pages would be resident in every process. */
void freehold__past_lane_make(void);

/* ---- fast paths ------------------------------------------------------------------------------ */

/* For requests of more than FREEHOLD__DIRECT_MAX. */
static inline freehold__bin *freehold__lane_long_bin(freehold__lane *lane, size_t bytes)
{
    return bytes <= FREEHOLD__MIDDLE_MAX ? lane->middle[(bytes - 1) / 128]
                                         : &lane->bin[freehold__class_of_long(bytes)];
}

static inline freehold__bin *freehold__lane_bin(freehold__lane *lane, size_t bytes)
{
    return bytes <= FREEHOLD__DIRECT_MAX ? lane->direct[(bytes + 15) / 16]
                                         : freehold__lane_long_bin(lane, bytes);
}

/* Whether the bin has a lifted slot; bits and word are what freehold__bin_take then wants. */
static inline bool freehold__bin_has(
    const freehold__bin *bin, freehold__slab_word **word, uint64_t *bits)
{
    *word = bin->cur;
    *bits = freehold__word_lifted(*word);
    return *bits != 0;
}

static inline void *freehold__bin_take(freehold__bin *bin, freehold__slab_word *word, uint64_t bits)
{
    uint64_t rest = bits & (bits - 1);
    freehold__word_set_lifted(word, rest);
    /* Without a branch: it would be irregular, and cost the caller's branch history. */
    freehold__slab_word *next = word->next;
    bin->cur = rest == 0 ? next : word;
    return (void *)(word->base + (uintptr_t)freehold__lowest_bit(bits) * (uintptr_t)bin->size);
}

/* Takes a slot, or NULL when the bin must be refilled. */
static inline void *freehold__bin_pop(freehold__bin *bin)
{
    freehold__slab_word *word;
    uint64_t bits;
    return freehold__bin_has(bin, &word, &bits) ? freehold__bin_take(bin, word, bits) : NULL;
}

typedef enum freehold__put {
    FREEHOLD__PUT_DONE,
    FREEHOLD__PUT_EVENT, /* done, and the slab wants to be looked at: freehold__lane_event */
    FREEHOLD__PUT_MISUSE /* nothing was changed */
} freehold__put;

/* A slab comes to the lane (1), or leaves it (-1). The lane's lock. */
static inline void freehold__lane_count(freehold__lane *lane, const freehold__slab *slab, int n)
{
    size_t bytes = freehold__slab_bytes(slab);
    lane->bin[slab->index].granules += (uint32_t)n * (uint32_t)(bytes >> FREEHOLD__GRANULE_SHIFT);
    lane->held_bytes += (size_t)n * bytes;
}

/* Puts a slot back into a slab of this lane's own. */
static inline freehold__put freehold__slab_put(freehold__slab *slab, uintptr_t address)
{
    freehold__place place = freehold__slab_place(slab, address);
    if (freehold__unlikely(place.inside))
        return FREEHOLD__PUT_MISUSE;
    size_t offset = freehold__slab_word_offset(place.slot);
    freehold__slab_word *word = (freehold__slab_word *)((char *)slab->word + offset);
    uint64_t freed = freehold__word_freed(word), lifted = freehold__word_lifted(word);
    if (freehold__unlikely((freed | lifted) >> (place.slot % 64) & 1))
        return FREEHOLD__PUT_MISUSE;
    freehold__word_set_freed(word, freehold__with_bit(freed, place.slot));
    return freehold__unlikely(--slab->countdown == 0) ? FREEHOLD__PUT_EVENT : FREEHOLD__PUT_DONE;
}

static inline uintptr_t freehold__slab_owner(const freehold__slab *slab)
{
    return atomic_load_explicit(&slab->owner, memory_order_relaxed);
}

/* Takes the lane's lock for its thread; false: a visitor is there (see freehold__lane_enter). */
static inline bool freehold__lane_try_enter(freehold__lane *lane)
{
    atomic_store_explicit(&lane->inside, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* the light side of the asymmetric fence */
    return freehold__likely(atomic_load_explicit(&lane->visited, memory_order_acquire) == 0);
}

/*
 * The shortest refill: the active slab is open in its first word alone, and all free. A slot; NULL
 * when it is not that simple. The owner's thread.
 */
static inline void *freehold__lane_relift(freehold__lane *lane, freehold__bin *bin)
{
    freehold__slab *slab = bin->active;
    bool lifted = false;
    /* With a notice pending what others have freed comes first; and tending has its turn. */
    if (freehold__unlikely(slab == NULL) || freehold__unlikely(--lane->slow_paths == 0) ||
        freehold__unlikely(freehold__slab_owner(slab) != (uintptr_t)lane))
        return NULL;
    if (freehold__lane_try_enter(lane))
        lifted = freehold__slab_relift(slab);
    if (freehold__likely(lifted)) {
        lane->lifted += slab->opened;
        bin->cur = &slab->word[0]; /* which may have no bits: then the next is the end, as ever */
    }
    atomic_store_explicit(&lane->inside, 0, memory_order_release);
    return lifted ? (void *)slab->base : NULL;
}

/*
 * Puts a slot back into a slab that is another lane's. Looks at all three bitmaps, in the order in
 * which a free slot moves, each read an acquire, so that it cannot slip past; then publishes the
 * bit. From there on the slab may be gone, and only what keeps its type for ever is touched.
 *
 * DONE: a notice was on its way after that, and not every slot of the bitmap word was free then, so
 * there is nobody to tell (see freehold__lane_tell, which EVENT asks for, with the word's number in
 * *w, and the slab's slots as they were before). Inline, because this is nearly all of a free by
 * another thread: the processor does it while it waits for the one locked instruction.
 */
static inline freehold__put freehold__slab_put_remotely(
    freehold__slab *slab, uintptr_t address, unsigned *w, unsigned *slots)
{
    freehold__place place = freehold__slab_place(slab, address);
    *slots = slab->slots;
    if (freehold__unlikely(place.inside || place.slot >= *slots))
        return FREEHOLD__PUT_MISUSE;
    uint64_t bit = UINT64_C(1) << (place.slot % 64);
    *w = (unsigned)(place.slot / 64);
    const freehold__slab_word *word = &slab->word[*w];
    uint64_t free = atomic_load_explicit(&slab->remote[*w], memory_order_acquire);
    free |= atomic_load_explicit(&word->freed, memory_order_acquire);
    free |= atomic_load_explicit(&word->lifted, memory_order_acquire);
    if (freehold__unlikely((free & bit) != 0))
        return FREEHOLD__PUT_MISUSE;
    free = atomic_fetch_or_explicit(&slab->remote[*w], bit, memory_order_seq_cst);
    if (freehold__unlikely((free & bit) != 0)) /* two threads at once */
        return FREEHOLD__PUT_MISUSE;
    /* seq_cst: with the drain's clearing of the flag and its load of remote, store buffering. */
    bool told = atomic_load_explicit(&slab->owner, memory_order_seq_cst) & FREEHOLD__PENDING;
    if (freehold__likely(told) && freehold__likely(!freehold__slab_word_is_free(slab, *w)))
        return FREEHOLD__PUT_DONE;
    return FREEHOLD__PUT_EVENT;
}

/* Whether a slot that was just taken from the bin is known to read zero. */
static inline bool freehold__bin_known_zero(const freehold__bin *bin, const void *slot)
{
    const freehold__slab *active = bin->active;
    if (active == NULL)
        return false;
    uintptr_t offset = (uintptr_t)slot - active->base;
    return offset < freehold__slab_bytes(active) && active->zeroed &&
           offset >= (uintptr_t)active->clean_from * active->size;
}

/* ---- slow paths of the owner ----------------------------------------------------------------- */

/* Refills the bin of a class and takes a slot; NULL when memory is out. */
void *freehold__lane_refill(freehold__lane *lane, unsigned index);

/* A slot of the class from what the lane has of it; NULL: it would need another slab. */
void *freehold__lane_spare(freehold__lane *lane, unsigned index);

/* A free has reached the slab's trigger. */
void freehold__lane_event(freehold__lane *lane, freehold__slab *slab);

/*
 * Frees a slot of a slab whose owner word is not exactly `lane`: another thread's, nobody's, or the
 * lane's own with a notice pending. `slab` is what the page map gave. False: misuse, and nothing
 * was changed.
 */
bool freehold__lane_free_elsewhere(
    freehold__heap *heap, freehold__lane *lane, freehold__slab *slab, uintptr_t address);

/*
 * After freehold__slab_put_remotely has said EVENT. Sends the notice; and for a lane whose thread
 * has exited somebody must look into the inbox: whoever finds, after its own bit and notice, that
 * every slot of the slab is free. So a slab's frees pay for one look, and whoever comes last always
 * looks. And a thread that only frees what is others' has no slow path of its own that leads to
 * retention: that is asked once a bitmap word.
 */
void freehold__lane_tell(
    freehold__heap *heap, freehold__lane *lane, freehold__slab *slab, unsigned w, unsigned slots);

/* ---- lanes of a heap ------------------------------------------------------------------------- */

/* A lane for a thread: one whose thread has exited, or a new one; NULL when memory is out. */
freehold__lane *freehold__lane_acquire(freehold__heap *heap);

/* The thread of the lane is done with it. */
void freehold__lane_park(freehold__lane *lane);

/* A slab of the class from a parked lane, owned by `lane` now and in no list; NULL: none found. No
 * lane locked. */
freehold__slab *freehold__heap_adopt(freehold__heap *heap, freehold__lane *lane, unsigned index);

/* Acts for the lane if its thread has exited: takes what is in its inbox. */
void freehold__lane_help(freehold__lane *lane);

/*
 * The lane's lock. enter and leave are for the lane's own thread, visit and part for all others;
 * and for everybody when the lane is parked. leave and part also report what a merge has found,
 * when the lock is dropped. Whoever has held the lock of a lane that may be parked calls
 * freehold__lane_help afterwards.
 */
void freehold__lane_enter(freehold__lane *lane);
void freehold__lane_leave(freehold__lane *lane);
void freehold__lane_visit(freehold__lane *lane);
void freehold__lane_part(freehold__lane *lane);
/* The same under another lock: somebody reports later. */
void freehold__lane_leave_quietly(freehold__lane *lane);
void freehold__lane_part_quietly(freehold__lane *lane);
/* The same for a lane whose guard is kept (freehold__lock_keep). */
void freehold__lane_part_for_good(freehold__lane *lane);

/* Under the lane's lock, by whoever may act for it. */
void freehold__lane_drain(freehold__lane *lane);
freehold__slab *freehold__lane_surrender(freehold__lane *lane, unsigned index, freehold__lane *to);

/*
 * Under the lane's lock, by anybody: purges free pages and gives empty slabs back, as much as the slice
 * has room for, and of a bounded number of slabs; then the next call goes on from there. With a NULL
 * slice all that is free, else what has been at rest for a period. `still`: no thread can pop a slot of this lane meanwhile, because it is
 * parked or the caller is its thread, so what is lifted may be purged too.
 */
void freehold__lane_retain(freehold__lane *lane, bool still, uint32_t now, size_t *slice);

/* Retention, when its period is over; called on slow paths without a lock. */
void freehold__heap_tend(freehold__heap *heap, freehold__lane *lane);
void freehold__heap_tend_at(freehold__heap *heap, freehold__lane *lane, uint32_t now);

/* Gives back everything that is free; true when anything was. `mine`: the lane of the caller's
 * thread, or NULL. */
bool freehold__heap_trim(freehold__heap *heap, freehold__lane *mine);

/* The same before a request is refused: whether it is worth another try. */
bool freehold__heap_make_room(freehold__heap *heap, freehold__lane *mine);
/* That try came to nothing: notes it when requests did not fit into the quota, beyond so many. */
void freehold__heap_refused(freehold__heap *heap, uint64_t misses);

/* A large block; before it says no, everything that is free goes back. `mine` as above, `zeroed` as
 * for freehold__large_alloc. */
void *freehold__heap_large(
    freehold__heap *heap, freehold__lane *mine, size_t bytes, size_t align, bool *zeroed);

/* Before and after fork: all locks are taken, and dropped. In the child every lane but `mine` is
 * made parked. */
void freehold__heap_lock_all(freehold__heap *heap);
void freehold__heap_unlock_all(freehold__heap *heap);
void freehold__heap_repair(freehold__heap *heap, freehold__lane *mine);

typedef struct freehold__heap_stats {
    uint64_t allocations, frees; /* of slots and of large blocks, ever */
    uint64_t large_allocations;
    size_t live_bytes;     /* slots in use times their size, and large blocks */
    size_t used_bytes;     /* spans in use and large blocks */
    size_t peak_bytes;     /* the peak of spans plus the peak of large blocks */
    size_t mapped_bytes;   /* address space for users' memory */
    size_t retained_bytes; /* free spans and large blocks that may be resident */
    uint64_t purged_bytes; /* ever */
    uint32_t lanes;
} freehold__heap_stats;
freehold__heap_stats freehold__heap_count(freehold__heap *heap);

/* One size class, over all lanes. */
typedef struct freehold__class_stats {
    size_t live;  /* slots in use */
    size_t slabs; /* in whichever state */
    size_t bytes; /* of their spans */
} freehold__class_stats;
void freehold__heap_count_classes(
    freehold__heap *heap, freehold__class_stats classes[FREEHOLD__CLASSES]);

/* The peak is what is used now. */
void freehold__heap_reset_peak(freehold__heap *heap);

/* The full validator: NULL, or what is wrong. Other threads must be at rest. */
const char *freehold__heap_check(freehold__heap *heap);

/* Unmaps everything. */
void freehold__heap_release(freehold__heap *heap);

/* ---- finding and misuse ---------------------------------------------------------------------- */

/* A live allocation: its slab and slot, or a large block (slab NULL). bytes is what may be written;
 * 0: none. */
typedef struct freehold__found {
    freehold__slab *slab;
    unsigned slot;
    size_t bytes;
} freehold__found;
freehold__found freehold__heap_find(freehold__heap *heap, const void *pointer);

/* Whether a live allocation may have been asked for with these numbers; align 0: with none. */
bool freehold__found_fits(freehold__found found, size_t align, size_t bytes);

/* A block stays where it is while it is no smaller than needed and no more than twice as large, or
 * the smallest. */
static inline bool freehold__stays(size_t have, size_t bytes)
{
    return bytes <= have && (bytes >= have / 2 || have == FREEHOLD__MIN_ALIGN);
}

/*
 * A block that grows beyond this goes to the large ones, before its size sends it there: it will
 * grow again, and there it then seldom needs a copy. (Slots need one for every class on the way.)
 */
#define FREEHOLD__GROWN_MIN ((size_t)128 * 1024)

static inline bool freehold__grows_large(size_t have, size_t bytes)
{
    return bytes > FREEHOLD__GROWN_MIN && bytes > have && have >= FREEHOLD__GROWN_MIN / 2;
}

/* Resizes a live allocation (bytes > 0) without a copy; NULL: it is as it was, and must be moved
 * for that. */
static inline void *freehold__heap_remap(
    freehold__heap *heap, freehold__found found, void *pointer, size_t bytes)
{
    if (freehold__stays(found.bytes, bytes))
        return pointer;
    return found.slab == NULL && (bytes > FREEHOLD__SLOT_MAX || bytes > found.bytes)
               ? freehold__large_resize(&heap->pages.large, pointer, bytes)
               : NULL;
}

/* Says exactly what is wrong with the pointer, and ends the process (or longjmps out of the
 * handler). */
freehold__cold void freehold__heap_misuse(
    freehold__heap *heap, const char *function, const void *pointer);
/* The size or alignment that was given for a live allocation is not one it can have. */
freehold__cold void freehold__heap_mismatch(
    freehold__heap *heap, const char *function, const void *pointer, size_t bytes, size_t align);
/* The same for large blocks alone. */
freehold__cold void freehold__large_misuse(
    freehold__large *large, const char *function, const void *pointer);
freehold__cold void freehold__large_mismatch(
    const char *function, const void *pointer, size_t bytes, freehold__large_block block);
freehold__cold void freehold__heap_raced(freehold__slab *slab, unsigned slot);

#endif
