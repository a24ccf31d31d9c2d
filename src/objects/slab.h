/* SPDX-License-Identifier: MIT */
/*
 * The slab engine: a span cut into equal slots, whose whole state is bitmaps in a descriptor out of
 * line.
 *
 *     span        | slot 0 | slot 1 | slot 2 | ...                            | slot n-1 |
 *     descriptor  word[0]: freed 0010..  lifted 1000..   word[1]: ...   remote[0], remote[1] ...
 *
 * A slot is in exactly one of four states, and moves in a circle. It enters its next bitmap before
 * it leaves the one before, so that somebody who reads remote, freed, lifted in this order always
 * finds a free slot:
 *
 *   allocated --free by another thread--> remote --collect--> freed --lift--> lifted --pop--> again
 *   allocated --free by the owner---------------------------> freed
 *
 *   freed   what free has put back. Two bitmaps, because popping and setting bits in one word makes
 *   lifted  every pair wait for two store-to-load forwards; lifted is what malloc may take. Lifting
 *           takes all freed words of the slab at once and chains the words that have bits, closed
 *           by an empty word, so that pop goes on to the next word without a branch.
 *   remote  what other threads have put back, by atomic OR. The old value tells a double free.
 *
 * The bits of the last word that stand for no slot are set in freed for ever, and never lifted: so
 * a free behind the last slot is found like a double one.
 *
 * Who may write: freed and lifted belong to the owner (owner's thread; lists and lifting also under
 * its lane's lock); remote and owner are atomics for everyone. Engines take no locks and call
 * nobody.
 *
 * Accounting: used == slots - freed slots == countdown + trigger; lifted slots count as used.
 * countdown and trigger are the owner's alone (or of who holds the lock of a parked lane); others
 * count bits.
 *
 * Cost: pop and put O(1); lift and collect O(words) <= 8.
 */
#ifndef FREEHOLD_OBJECTS_SLAB_H
#define FREEHOLD_OBJECTS_SLAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/size_class.h"

#define FREEHOLD__SLAB_WORDS (FREEHOLD__MAX_SLOTS / 64)
/* in the owner word: a notice is on its way to the owner */
#define FREEHOLD__PENDING ((uintptr_t)1)

typedef enum freehold__slab_state {
    FREEHOLD__SLAB_FULL,    /* too few free slots to be worth lifting: in no list */
    FREEHOLD__SLAB_ACTIVE,  /* the one that its class allocates from */
    FREEHOLD__SLAB_PARTIAL, /* in the queue of its class */
    FREEHOLD__SLAB_EMPTY,   /* no slot in use, kept for a while */
    FREEHOLD__SLAB_RESTING  /* was active; no slot in use, but some lifted; holds no memory */
} freehold__slab_state;

typedef struct freehold__slab_word {
    _Atomic uint64_t freed, lifted;
    uintptr_t base;                   /* address of the word's first slot */
    struct freehold__slab_word *next; /* the next word with lifted bits, or freehold__no_word */
} freehold__slab_word;

typedef struct freehold__slab {
    /* The line that every free reads. */
    uintptr_t base;
    uint64_t reciprocal;     /* of the slot size, see freehold__size_class */
    _Atomic uintptr_t owner; /* its lane, with FREEHOLD__PENDING; 0 when it is no slab now */
    int32_t countdown;       /* frees by the owner until something is to be done */
    int32_t trigger;         /* value of used at which it is to be done */
    uint32_t size;           /* bytes of a slot */
    uint32_t bytes;          /* bytes of the span: what is behind the last slot is nobody's */
    uint16_t slots;
    uint8_t index;       /* size class */
    uint8_t state;       /* freehold__slab_state; the lane's lock */
    uint16_t opened;     /* slots that may be lifted: a fresh slab opens page by page */
    uint16_t clean_from; /* of a zeroed span: slots from this one on were never handed out */
    _Atomic(struct freehold__slab *) next_pending; /* in the owner's inbox */
    uint64_t open; /* bits of the open slots, if they are all in the first word; else 0 */

    _Alignas(64) _Atomic uint64_t remote[FREEHOLD__SLAB_WORDS];
    freehold__slab_word word[FREEHOLD__SLAB_WORDS];

    /* Seldom read; the lane's lock. */
    _Alignas(64) struct freehold__slab *next; /* the list of its state */
    struct freehold__slab *prev;
    uint64_t purged;         /* bit per unit of the span (see slab.c) that holds no memory */
    uint16_t seen_used;      /* value of used at the last look of retention */
    uint16_t purged_lifted;  /* slots that were lifted when it was purged: less now means use */
    bool zeroed;             /* the span came reading zero */
    _Atomic uintptr_t stock; /* where the span is while it is no slab (allocators/stock.h), or 0 */
} freehold__slab;

extern freehold__slab_word freehold__no_word; /* no bits, for ever */

/* An event never comes while the slab is active: used - trigger cannot reach 0. */
#define FREEHOLD__TRIGGER_NEVER (-(1 << 20))

/* ---- accessors ------------------------------------------------------------------------------- */

/*
 * The owner's thread reads and writes freed and lifted with these. Other threads read them, hence
 * the atomics; the store to freed is a release, so that who sees the bit set also sees the last use
 * of the slot done.
 */
static inline uint64_t freehold__word_freed(const freehold__slab_word *word)
{
    return atomic_load_explicit(&word->freed, memory_order_relaxed);
}

static inline void freehold__word_set_freed(freehold__slab_word *word, uint64_t bits)
{
    atomic_store_explicit(&word->freed, bits, memory_order_release);
}

static inline uint64_t freehold__word_lifted(const freehold__slab_word *word)
{
    return atomic_load_explicit(&word->lifted, memory_order_relaxed);
}

static inline void freehold__word_set_lifted(freehold__slab_word *word, uint64_t bits)
{
    atomic_store_explicit(&word->lifted, bits, memory_order_release);
}

static inline int32_t freehold__slab_used(const freehold__slab *slab)
{
    return slab->countdown + slab->trigger;
}

static inline unsigned freehold__slab_free(const freehold__slab *slab)
{
    return slab->slots - (unsigned)freehold__slab_used(slab);
}

static inline unsigned freehold__slab_words(const freehold__slab *slab)
{
    return (slab->slots + 63u) / 64;
}

static inline size_t freehold__slab_bytes(const freehold__slab *slab)
{
    return slab->bytes;
}

/* Keeps used and says at which value of it the next free of the owner is an event. */
static inline void freehold__slab_set_trigger(freehold__slab *slab, int32_t trigger)
{
    slab->countdown = freehold__slab_used(slab) - trigger;
    slab->trigger = trigger;
}

/* The word of a slot, as its offset among the words: slot / 64 times 32 bytes (24 where pointers have
 * 32 bits), in one shift and one mask. */
static inline size_t freehold__slab_word_offset(uint64_t slot)
{
    return sizeof(freehold__slab_word) == 32 ? slot / 2 & ~(size_t)31
                                             : (size_t)slot / 64 * sizeof(freehold__slab_word);
}

/* Where in its slab an address is: the slot, and whether it is not the slot's first byte. */
typedef struct freehold__place {
    uint64_t slot;
    bool inside;
} freehold__place;

static inline freehold__place freehold__slab_place(const freehold__slab *slab, uintptr_t address)
{
    freehold__wide product = freehold__multiply(address - slab->base, slab->reciprocal);
    return (freehold__place){product.high, product.low >= slab->reciprocal};
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Makes a span of its class into a slab with every slot free; `owner` is published last. The index
 * is what its owner knows the class by. */
void freehold__slab_init(freehold__slab *slab, uintptr_t base, const freehold__size_class *class,
    unsigned index, bool zeroed);

/* How many slots to have open next: a page more, or a few; all when the span may be resident
 * anyway. */
unsigned freehold__slab_opening(const freehold__slab *slab, size_t page);

/* Free slots among those that are open. */
unsigned freehold__slab_liftable(const freehold__slab *slab);

/*
 * Opens the slab up to `opened` slots (at least those that are open already) and lifts all free
 * ones of them. The first word with bits (freehold__no_word: none), their number in *count.
 */
freehold__slab_word *freehold__slab_lift(freehold__slab *slab, unsigned opened, unsigned *count);

/*
 * The same for an active slab that is open in its first word alone. Such slabs are lifted often,
 * down to one with a single slot open, which is lifted each time: so these are inline.
 *
 * relift: all slots must be free; else false, and nothing is done. The first slot counts as popped:
 * it is at the slab's base. Nothing is computed from the bits that are read: malloc would wait for
 * the free that has set them, and that for the address from malloc (11 ns a pair instead of 5).
 */
static inline bool freehold__slab_relift(freehold__slab *slab)
{
    freehold__slab_word *word = &slab->word[0];
    uint64_t open = slab->open;
    if (freehold__unlikely(freehold__word_freed(word) != UINT64_MAX) ||
        freehold__unlikely(open == 0))
        return false;
    freehold__word_set_lifted(word, open - 1); /* before they leave freed */
    freehold__word_set_freed(word, ~open);
    slab->countdown = slab->opened - FREEHOLD__TRIGGER_NEVER;
    slab->clean_from = slab->opened;
    slab->purged = 0;
    return true;
}

/* relift_half: at least half of what is open must be free. The number of slots that were lifted, or
 * 0. */
static inline unsigned freehold__slab_relift_half(freehold__slab *slab)
{
    freehold__slab_word *word = &slab->word[0];
    uint64_t freed = freehold__word_freed(word);
    uint64_t bits = freed & slab->open;
    unsigned count = freehold__count_bits(bits);
    if (count == 0 || count * 2 < slab->opened)
        return 0;
    freehold__word_set_lifted(word, bits);
    freehold__word_set_freed(word, freed ^ bits);
    slab->countdown += (int32_t)count;
    slab->clean_from = slab->opened;
    slab->purged = 0;
    return count;
}

/* Slots in freed, and slots that are free by any of the three bitmaps: by any thread. */
unsigned freehold__slab_count_freed(const freehold__slab *slab);
unsigned freehold__slab_count_any(const freehold__slab *slab);

/* Slots that are lifted now. */
unsigned freehold__slab_lifted(const freehold__slab *slab);

/*
 * Merges what other threads have freed. Returns false when one of them was free already: a double
 * free that raced; *slot is then the first such slot, and the others are merged.
 */
bool freehold__slab_collect(freehold__slab *slab, unsigned *slot);

/* Whether the slot is free, by whichever bitmap: exact for frees that the program orders (see
 * above). */
typedef enum freehold__slot_state {
    FREEHOLD__SLOT_ALLOCATED,
    FREEHOLD__SLOT_FREE,
    FREEHOLD__SLOT_FREE_REMOTELY
} freehold__slot_state;
freehold__slot_state freehold__slab_slot_state(const freehold__slab *slab, unsigned slot);

/* The slot of a live allocation that starts at the address; false when there is none. */
bool freehold__slab_live_slot(const freehold__slab *slab, uintptr_t address, unsigned *slot);

/*
 * Whether every slot of word w is free, read in the order in which they move. (Bits that stand for
 * no slot are always set in freed.) Only atomics are read: the slab may be stale, and then any
 * answer will do. seq_cst: of two that have just set their bits, of a merge, and of an owner that has freed the last of
 * its own and parks the lane, the last one in the total order sees all.
 */
static inline bool freehold__slab_word_is_free(const freehold__slab *slab, unsigned w)
{
    uint64_t free = atomic_load_explicit(&slab->remote[w], memory_order_seq_cst);
    free |= atomic_load_explicit(&slab->word[w].freed, memory_order_seq_cst);
    free |= atomic_load_explicit(&slab->word[w].lifted, memory_order_seq_cst);
    return free == UINT64_MAX;
}

/* The same for the whole slab, `slots` of which there were while it could not go. */
bool freehold__slab_is_free(const freehold__slab *slab, unsigned slots);

/*
 * What is lifted of a slab of which nothing is in use goes back to freed; the number. The one move against the
 * order above: whoever frees a slot twice at that moment may not see it, and leaves a bit in remote, by which it is
 * found afterwards, unless the slot is handed out before. Where no thread can pop.
 */
unsigned freehold__slab_unlift(freehold__slab *slab);

/* Chains the words that have lifted bits anew, and returns the first: after a fork, like recount.
 * */
freehold__slab_word *freehold__slab_rechain(freehold__slab *slab);

/* Whether remote has any bit: in a slab that nobody owns, the trace of a double free that raced. */
bool freehold__slab_any_remote(const freehold__slab *slab, unsigned *slot);

/* Counts used anew from the bitmaps: after a fork has caught the owner between two steps. True: it
 * was wrong. */
bool freehold__slab_recount(freehold__slab *slab);

/*
 * Runs of whole pages in which every slot is free, and not lifted, and which hold memory: from *at,
 * a byte offset (0 to begin with), the next one's offset in *from and its end in *at; false when
 * there is none. The caller purges it and says so. Under the lane's lock, by any thread: nothing is
 * lifted meanwhile, and free bits only get more. Lifted slots count as free when `parked`: the lane
 * has no thread that could pop them.
 */
bool freehold__slab_free_pages(
    const freehold__slab *slab, size_t page, bool parked, size_t *at, size_t *from);
void freehold__slab_set_purged(freehold__slab *slab, size_t page, size_t from, size_t to);

/* The full validator: NULL, or what is wrong. The owner must be at rest. */
const char *freehold__slab_check(const freehold__slab *slab, const freehold__size_class *class);

#endif
