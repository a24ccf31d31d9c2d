/* SPDX-License-Identifier: MIT */
/*
 * The budget: one piece of memory cut into slots (objects/slots.h) whose memory and whose bitmap are
 * both the caller's. It asks nobody for anything.
 */
#include "freehold/budget.h"

#include <string.h>

#include "allocators/front.h"
#include "allocators/slots.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'b', 'u', 'd', 'g', '1')

/* What freehold_budget has in its words. */
typedef struct state {
    freehold__slots slots; /* of size 1, and none, when what init was given cannot be used */
    const char *wrong;     /* with that; not with FREEHOLD_SMALL */
    freehold__slots_counts counts;
    size_t least_free; /* slots, since statistics begin */
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__BUDGET_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a budget must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_budget *)(void *)self)->state;
}

static bool is_usable(const state *s)
{
    return s->slots.free.bits != 0;
}

/* ---- allocating ------------------------------------------------------------------------------ */

/*
 * The lowest free slot that has the alignment with the offset. Slot k is at base + k * size: with
 * `step` slots to a multiple of the alignment, only each step-th can have it.
 */
static bool find_aligned(
    const freehold__slots *slots, size_t alignment, size_t offset, size_t *result)
{
    size_t unit = slots->size & (0 - slots->size); /* the power of two in the slot size */
    size_t step = alignment > unit ? alignment / unit : 1;
    for (size_t first = 0; first < step && first < slots->free.bits; first++) {
        if (((slots->base + first * slots->size + offset) & (alignment - 1)) != 0)
            continue;
        for (*result = first; *result < slots->free.bits; *result += step)
            if (freehold__bitmap_has(&slots->free, *result))
                return true;
        return false;
    }
    return false;
}

FREEHOLD__OPERATION bool find(
    const state *s, size_t alignment, size_t offset, size_t floor, size_t *slot)
{
    if (freehold__unlikely(s->slots.free.members == 0))
        return false;
    if (freehold__unlikely(alignment > floor))
        return find_aligned(&s->slots, alignment, offset, slot);
    *slot = freehold__bitmap_lowest(&s->slots.free);
    return true;
}

FREEHOLD__OPERATION void *take(state *s, size_t slot, size_t bytes)
{
    freehold__bitmap_remove(&s->slots.free, slot);
    s->counts.allocations++;
    s->counts.requested += bytes;
    if (s->slots.free.members < s->least_free)
        s->least_free = s->slots.free.members;
    return freehold__slots_address(&s->slots, slot);
}

FREEHOLD__OPERATION void *budget_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    size_t slot;
    if (freehold__unlikely(bytes > s->slots.size) ||
        freehold__unlikely(!find(s, alignment, offset, self->alignment, &slot))) {
        if (is_usable(s))
            s->counts.failures++;
        else
            freehold__allocator_says(self, FREEHOLD_INVALID);
        return NULL;
    }
    void *block = take(s, slot, bytes);
    return zeroed ? memset(block, 0, bytes) : block;
}

/* ---- live blocks ----------------------------------------------------------------------------- */

/* The slot of a live block; anything else is fatal. */
static size_t slot_of(const state *s, const void *block, const char *function)
{
    size_t slot;
    freehold__at at = freehold__slots_at(&s->slots, (uintptr_t)block, &slot);
    if (freehold__unlikely(at != FREEHOLD__AT_LIVE))
        freehold__slots_misuse(&s->slots, at, slot, function, block);
    return slot;
}

static size_t put(state *s, size_t slot)
{
    freehold__bitmap_add(&s->slots.free, slot);
    s->counts.frees++;
    return s->slots.size;
}

FREEHOLD__OPERATION size_t budget_free(freehold_allocator *self, void *block)
{
    state *s = state_of(self);
    return put(s, slot_of(s, block, "freehold_free"));
}

static size_t budget_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    size_t slot = slot_of(s, block, "freehold_free_sized");
    if (freehold__unlikely(bytes == 0 || bytes > s->slots.size))
        freehold__slots_mismatch(&s->slots, slot, "freehold_free_sized", block, bytes);
    return put(s, slot);
}

static bool budget_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    slot_of(s, block, "freehold_resize");
    return freehold__slots_fit(&s->counts, s->slots.size, bytes);
}

static void *budget_remap(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    slot_of(s, block, "freehold_remap");
    return freehold__slots_remap(&s->counts, s->slots.size, block, bytes);
}

static void *budget_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    slot_of(s, block, "freehold_realloc");
    return freehold__slots_remap(&s->counts, s->slots.size, block, bytes);
}

static size_t budget_usable_size(freehold_allocator *self, const void *block)
{
    state *s = state_of(self);
    slot_of(s, block, "freehold_usable_size");
    return s->slots.size;
}

/* ---- looking --------------------------------------------------------------------------------- */

static void *budget_base(freehold_allocator *self, const void *pointer)
{
    const state *s = state_of(self);
    return freehold__slots_around(&s->slots, (uintptr_t)pointer);
}

static freehold_statistics budget_stats(freehold_allocator *self)
{
    const state *s = state_of(self);
    size_t live = freehold__slots_live(&s->slots) * s->slots.size;
    size_t all = s->slots.free.bits * s->slots.size;
    freehold_statistics stats = freehold__slots_stats(&s->counts);
    stats.live_bytes = live;
    stats.peak_live_bytes = (s->slots.free.bits - s->least_free) * s->slots.size;
    stats.used_bytes = live;
    stats.peak_bytes = stats.peak_live_bytes;
    stats.mapped_bytes = all;
    stats.retained_bytes = all - live;
    return stats;
}

static void budget_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    s->least_free = s->slots.free.members;
    freehold__slots_reset(&s->counts, freehold__slots_live(&s->slots));
}

static const char *budget_check(freehold_allocator *self)
{
    const state *s = state_of(self);
    if (!is_usable(s))
        return freehold__corrupt(FREEHOLD_SMALL ? FREEHOLD__NOT_USABLE : s->wrong, self);
    const char *wrong =
        freehold__corrupt_unless("the budget has more or fewer live blocks than were counted", s,
            freehold__slots_live(&s->slots), s->counts.allocations - s->counts.frees);
    return wrong != NULL ? wrong : freehold__bitmap_check(&s->slots.free);
}

static bool budget_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    return freehold__slots_walk(&state_of(self)->slots, visit, context);
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "budget",
    .allocate = budget_allocate,
    .free = budget_free,
    .resize = budget_resize,
    .remap = budget_remap,
    .realloc = budget_realloc,
    .free_sized = budget_free_sized,
    .usable_size = budget_usable_size,
    .base = budget_base,
    .stats = budget_stats,
    .check = budget_check,
    .walk = budget_walk,
    .reset_stats = budget_reset_stats,
};

FREEHOLD__DEFINE(budget)

/* ---- beginning and end ----------------------------------------------------------------------- */

/* What is wrong with what init was given, or NULL and the size of a slot. */
FREEHOLD__OPERATION const char *judge(uintptr_t base, size_t bytes, size_t slot_bytes,
    const uint64_t *words, size_t word_count, size_t alignment, size_t *size)
{
    if (slot_bytes == 0)
        return FREEHOLD__WRONG("the slots of the budget have 0 bytes");
    if (!freehold__round_up_checked(slot_bytes, alignment, size) || *size > bytes)
        return FREEHOLD__WRONG("the buffer of the budget is smaller than a slot");
    if (base == 0)
        return FREEHOLD__WRONG("the budget has no buffer");
    if (base % alignment != 0)
        return FREEHOLD__WRONG("the buffer of the budget is not aligned");
    if (bytes > UINTPTR_MAX - base)
        return FREEHOLD__WRONG("the buffer of the budget is larger than memory");
    if (words == NULL || (uintptr_t)words % _Alignof(uint64_t) != 0)
        return FREEHOLD__WRONG("the budget has no words, or they are not aligned");
    size_t needed = freehold__bitmap_words(bytes / *size); /* 0: more than there can be */
    if (needed - 1 >= word_count)
        return FREEHOLD__WRONG("the budget has too few words for its slots");
    if (freehold__overlap(base, bytes, (uintptr_t)words, needed * sizeof *words))
        return FREEHOLD__WRONG("the words of the budget lie in its buffer");
    return NULL;
}

FREEHOLD__OPERATION void init(freehold_budget *budget, void *buffer, size_t bytes,
    size_t slot_bytes, uint64_t *words, size_t word_count, size_t alignment)
{
    memset(budget->state, 0, sizeof budget->state);
    freehold__allocator_begin(&budget->base, &operations, alignment);
    state *s = state_of(&budget->base);
    size_t size;
    const char *wrong = judge((uintptr_t)buffer, bytes, slot_bytes, words, word_count,
        freehold__allocator_alignment(alignment), &size);
    if (wrong != NULL) {
        s->slots.size = 1;
        if (!FREEHOLD_SMALL)
            s->wrong = wrong;
        return;
    }
    s->slots.base = (uintptr_t)buffer;
    s->slots.size = size;
    s->least_free = bytes / size;
    freehold__bitmap_init(&s->slots.free, words, bytes / size);
}

void freehold_budget_init_aligned(freehold_budget *budget, void *buffer, size_t bytes,
    size_t slot_bytes, uint64_t *words, size_t word_count, size_t alignment)
{
    init(budget, buffer, bytes, slot_bytes, words, word_count, alignment);
}

void freehold_budget_init(freehold_budget *budget, void *buffer, size_t bytes, size_t slot_bytes,
    uint64_t *words, size_t word_count)
{
    init(budget, buffer, bytes, slot_bytes, words, word_count, FREEHOLD_ALIGNMENT);
}

size_t freehold_budget_slots(freehold_budget *budget)
{
    check_type(&budget->base, "freehold_budget_slots");
    return state_of(&budget->base)->slots.free.bits;
}

void freehold_budget_deinit(freehold_budget *budget)
{
    if (budget == NULL)
        return;
    check_type(&budget->base, "freehold_budget_deinit");
    freehold_allocator_deinit(&budget->base);
    memset(budget->state, 0, sizeof budget->state);
}
