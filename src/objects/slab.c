/* SPDX-License-Identifier: MIT */
#include "objects/slab.h"

#include "base/assert.h"

_Static_assert(sizeof(freehold__slab) == (sizeof(void *) == 8 ? 448 : 384),
    "a slab fills its descriptor of 7 lines exactly (6 where pointers have 32 bits)");

freehold__slab_word freehold__no_word = {0, 0, 0, &freehold__no_word};

/* The bits of word w that stand for slots below `limit`. */
static uint64_t slots_below(unsigned w, unsigned limit)
{
    return limit <= w * 64 ? 0 : freehold__low_bits(limit - w * 64);
}

void freehold__slab_init(freehold__slab *slab, uintptr_t base, const freehold__size_class *class,
    unsigned index, bool zeroed)
{
    slab->base = base;
    slab->reciprocal = class->reciprocal;
    slab->size = class->size;
    slab->slots = class->slots;
    slab->bytes = (uint32_t) class->granules << FREEHOLD__GRANULE_SHIFT;
    slab->index = (uint8_t)index;
    slab->next = slab->prev = NULL;
    slab->zeroed = zeroed;
    slab->clean_from = 0;
    slab->purged = 0;
    slab->opened = 0;
    slab->open = 0;
    slab->seen_used = 0;
    slab->purged_lifted = 0;
    slab->trigger = 0;
    slab->countdown = 0;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++) {
        freehold__slab_word *word = &slab->word[w];
        word->base = base + (uintptr_t)w * 64 * class->size;
        word->next = &freehold__no_word;
        /* Freed first: a late reader finds a free slot in one of them. */
        freehold__word_set_freed(word, UINT64_MAX);
        freehold__word_set_lifted(word, 0);
    }
}

/* What a fresh slab opens at once: a page, or a few slots if they are no more memory than this. The
 * refill is cheap beside the page fault that each page costs the first time. */
#define OPEN_SLOTS 8u
#define OPEN_BYTES (8u * 1024)

unsigned freehold__slab_opening(const freehold__slab *slab, size_t page)
{
    if (!slab->zeroed || slab->opened == slab->slots)
        return slab->slots; /* it may be resident anyway */
    size_t bytes = OPEN_BYTES > page ? OPEN_BYTES : page;
    unsigned more = (unsigned)(page / slab->size), most = (unsigned)(bytes / slab->size);
    if (more < OPEN_SLOTS)
        more = OPEN_SLOTS < most ? OPEN_SLOTS : most;
    if (more == 0)
        more = 1;
    unsigned opened = slab->opened + more;
    return opened > slab->slots ? slab->slots : opened;
}

unsigned freehold__slab_liftable(const freehold__slab *slab)
{
    return slab->opened - (unsigned)freehold__slab_used(slab); /* what is not open is not used */
}

freehold__slab_word *freehold__slab_lift(freehold__slab *slab, unsigned opened, unsigned *count)
{
    slab->clean_from = slab->opened;
    slab->opened = (uint16_t)opened;
    slab->open = opened <= 64 ? freehold__low_bits(opened) : 0;
    freehold__slab_word *first = &freehold__no_word;
    freehold__slab_word **link = &first;
    for (unsigned w = 0; w * 64 < slab->opened; w++) {
        freehold__slab_word *word = &slab->word[w];
        uint64_t freed = freehold__word_freed(word);
        uint64_t bits = freed & slots_below(w, slab->opened);
        freehold__assert(freehold__word_lifted(word) == 0);
        if (bits == 0)
            continue;
        freehold__word_set_lifted(word, bits); /* in its next place before it leaves this one */
        freehold__word_set_freed(word, freed & ~bits);
        *link = word;
        link = &word->next;
    }
    *link = &freehold__no_word;
    *count = freehold__slab_liftable(slab);
    slab->countdown += (int32_t)*count; /* lifted slots count as used */
    slab->purged = 0;
    freehold__assert(freehold__slab_lifted(slab) == *count);
    return first;
}

unsigned freehold__slab_unlift(freehold__slab *slab)
{
    unsigned count = 0;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++) {
        freehold__slab_word *word = &slab->word[w];
        uint64_t bits = freehold__word_lifted(word);
        freehold__word_set_freed(word, freehold__word_freed(word) | bits);
        freehold__word_set_lifted(word, 0);
        count += freehold__count_bits(bits);
    }
    slab->countdown -= (int32_t)count;
    return count;
}

unsigned freehold__slab_count_freed(const freehold__slab *slab)
{
    unsigned count = 0;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++)
        count += freehold__count_bits(
            freehold__word_freed(&slab->word[w]) & slots_below(w, slab->slots));
    return count;
}

unsigned freehold__slab_count_any(const freehold__slab *slab)
{
    unsigned count = 0;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++) {
        uint64_t free = freehold__word_freed(&slab->word[w]) |
                        freehold__word_lifted(&slab->word[w]) |
                        atomic_load_explicit(&slab->remote[w], memory_order_relaxed);
        count += freehold__count_bits(free & slots_below(w, slab->slots));
    }
    return count;
}

unsigned freehold__slab_lifted(const freehold__slab *slab)
{
    unsigned count = 0;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++)
        count += freehold__count_bits(freehold__word_lifted(&slab->word[w]));
    return count;
}

bool freehold__slab_collect(freehold__slab *slab, unsigned *slot)
{
    bool clean = true;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++) {
        uint64_t bits = atomic_load_explicit(&slab->remote[w], memory_order_seq_cst);
        if (bits == 0)
            continue;
        freehold__slab_word *word = &slab->word[w];
        uint64_t freed = freehold__word_freed(word);
        uint64_t twice = bits & (freed | freehold__word_lifted(word));
        if (freehold__unlikely(twice != 0) && clean) {
            *slot = w * 64 + freehold__lowest_bit(twice);
            clean = false;
        }
        freehold__word_set_freed(word, freed | (bits & ~twice));
        slab->countdown -= (int32_t)freehold__count_bits(bits & ~twice);
        /* Only now do they leave remote: a free slot is always in sight of who looks for it. */
        atomic_fetch_and_explicit(&slab->remote[w], ~bits, memory_order_seq_cst);
    }
    return clean;
}

freehold__slot_state freehold__slab_slot_state(const freehold__slab *slab, unsigned slot)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);
    const freehold__slab_word *word = &slab->word[slot / 64];
    /* The order in which a free slot moves, each read an acquire: it cannot slip past. */
    if (atomic_load_explicit(&slab->remote[slot / 64], memory_order_acquire) & bit)
        return FREEHOLD__SLOT_FREE_REMOTELY;
    if (atomic_load_explicit(&word->freed, memory_order_acquire) & bit)
        return FREEHOLD__SLOT_FREE;
    if (atomic_load_explicit(&word->lifted, memory_order_acquire) & bit)
        return FREEHOLD__SLOT_FREE;
    return FREEHOLD__SLOT_ALLOCATED;
}

bool freehold__slab_live_slot(const freehold__slab *slab, uintptr_t address, unsigned *slot)
{
    freehold__place place = freehold__slab_place(slab, address);
    if (place.inside || place.slot >= slab->slots)
        return false;
    *slot = (unsigned)place.slot;
    return freehold__slab_slot_state(slab, *slot) == FREEHOLD__SLOT_ALLOCATED;
}

bool freehold__slab_is_free(const freehold__slab *slab, unsigned slots)
{
    for (unsigned w = 0; w * 64 < slots; w++)
        if (!freehold__slab_word_is_free(slab, w))
            return false;
    return true;
}

freehold__slab_word *freehold__slab_rechain(freehold__slab *slab)
{
    freehold__slab_word *first = &freehold__no_word;
    for (unsigned w = freehold__slab_words(slab); w-- > 0;)
        if (freehold__word_lifted(&slab->word[w]) != 0) {
            slab->word[w].next = first;
            first = &slab->word[w];
        }
    return first;
}

bool freehold__slab_any_remote(const freehold__slab *slab, unsigned *slot)
{
    for (unsigned w = 0; w < FREEHOLD__SLAB_WORDS; w++) {
        uint64_t bits = atomic_load_explicit(&slab->remote[w], memory_order_acquire);
        if (bits != 0) {
            *slot = w * 64 + freehold__lowest_bit(bits);
            return true;
        }
    }
    return false;
}

bool freehold__slab_recount(freehold__slab *slab)
{
    int32_t used = freehold__slab_used(slab);
    slab->countdown = (int32_t)(slab->slots - freehold__slab_count_freed(slab)) - slab->trigger;
    return freehold__slab_used(slab) != used;
}

/* ---- free pages ------------------------------------------------------------------------------ */

/* The span in at most 64 units of whole pages: what a bit of `purged` stands for. */
static size_t unit_bytes(const freehold__slab *slab, size_t page)
{
    size_t unit = freehold__round_up(freehold__slab_bytes(slab) / 64, page);
    return unit > page ? unit : page;
}

/* Whether every slot that touches [from, to) is free, and not lifted unless `parked`. */
static bool all_free(const freehold__slab *slab, bool parked, size_t from, size_t to)
{
    unsigned first = (unsigned)(from / slab->size), end = (unsigned)((to - 1) / slab->size) + 1;
    for (unsigned w = first / 64; w * 64 < end; w++) {
        uint64_t wanted = slots_below(w, end) & ~slots_below(w, first);
        uint64_t free = atomic_load_explicit(&slab->word[w].freed, memory_order_acquire) |
                        atomic_load_explicit(&slab->remote[w], memory_order_acquire);
        if (parked)
            free |= freehold__word_lifted(&slab->word[w]);
        if ((free & wanted) != wanted)
            return false;
    }
    return true;
}

static bool unit_purgeable(const freehold__slab *slab, size_t unit, bool parked, size_t from)
{
    size_t end = freehold__slab_bytes(slab);
    size_t to = from + unit < end ? from + unit : end;
    return (slab->purged >> (from / unit) & 1) == 0 && all_free(slab, parked, from, to);
}

bool freehold__slab_free_pages(
    const freehold__slab *slab, size_t page, bool parked, size_t *at, size_t *from)
{
    size_t unit = unit_bytes(slab, page);
    /* Only whole pages of the span: with pages larger than a granule its ends may lie inside one.
     * */
    size_t end = freehold__round_down(freehold__slab_bytes(slab), page);
    if ((slab->base & (page - 1)) != 0)
        return false;
    size_t start = *at;
    while (start < end && !unit_purgeable(slab, unit, parked, start))
        start += unit;
    size_t stop = start;
    while (stop < end && unit_purgeable(slab, unit, parked, stop))
        stop += unit;
    *from = start;
    *at = stop < end ? stop : end;
    return start < end;
}

void freehold__slab_set_purged(freehold__slab *slab, size_t page, size_t from, size_t to)
{
    size_t unit = unit_bytes(slab, page);
    for (size_t at = from; at < to; at += unit)
        slab->purged |= UINT64_C(1) << (at / unit);
}

/* ---- the validator --------------------------------------------------------------------------- */

static bool has_length_of(const freehold__slab *slab, const freehold__size_class *class)
{
    uint32_t usual = (uint32_t) class->granules << FREEHOLD__GRANULE_SHIFT;
    if (slab->bytes == usual)
        return slab->slots == class->slots;
    return FREEHOLD__SHORT_SLABS && slab->bytes < usual && slab->bytes % FREEHOLD__GRANULE == 0 &&
           slab->slots == slab->bytes / slab->size && slab->slots != 0;
}

const char *freehold__slab_check(const freehold__slab *slab, const freehold__size_class *class)
{
    if (slab->index >= FREEHOLD__CLASSES)
        return "slab: no such size class";
    if (slab->size != class->size || slab->reciprocal != class->reciprocal ||
        !has_length_of(slab, class))
        return "slab: slot size, count or reciprocal is not that of its class";
    if (slab->opened > slab->slots ||
        slab->open != (slab->opened <= 64 ? freehold__low_bits(slab->opened) : 0))
        return "slab: more slots are open than there are";
    unsigned free = 0, lifted = 0;
    for (unsigned w = 0; w < freehold__slab_words(slab); w++) {
        const freehold__slab_word *word = &slab->word[w];
        uint64_t freed = freehold__word_freed(word), up = freehold__word_lifted(word);
        uint64_t remote = atomic_load_explicit(&slab->remote[w], memory_order_acquire);
        uint64_t none = ~slots_below(w, slab->slots);
        if (((up | remote) & none) != 0 || (freed & none) != none)
            return "slab: a bit is wrong for a slot that does not exist";
        if ((~freed & ~none & ~slots_below(w, slab->opened)) != 0)
            return "slab: a slot is in use that was never opened";
        if ((freed & up) != 0 || (remote & (freed | up)) != 0)
            return "slab: a slot is free in two bitmaps";
        if (word->base != slab->base + (uintptr_t)w * 64 * slab->size)
            return "slab: a word has a wrong base address";
        free += freehold__count_bits(freed & ~none);
        lifted += freehold__count_bits(up);
    }
    for (unsigned w = freehold__slab_words(slab); w < FREEHOLD__SLAB_WORDS; w++)
        if (atomic_load_explicit(&slab->remote[w], memory_order_acquire) != 0)
            return "slab: a bit is set for a slot that does not exist";
    if (slab->state > FREEHOLD__SLAB_RESTING)
        return "slab: no such state";
    if (free != freehold__slab_free(slab))
        return "slab: used does not agree with the bitmap";
    if (lifted != 0 && slab->state != FREEHOLD__SLAB_ACTIVE &&
        slab->state != FREEHOLD__SLAB_RESTING)
        return "slab: slots are lifted, but it is not active";
    if (slab->state == FREEHOLD__SLAB_RESTING && free + lifted != slab->slots)
        return "slab: it is at rest, but has slots in use";
    if (slab->state == FREEHOLD__SLAB_EMPTY && freehold__slab_used(slab) != 0)
        return "slab: it is listed as empty, but is not";
    return NULL;
}
