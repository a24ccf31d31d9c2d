/* SPDX-License-Identifier: MIT */
/*
 * Whole pages: the large blocks of the heap (pages/large.h) by themselves, each cut exactly to size.
 *
 * The engine has its own lock; the counts that it does not keep are atomics here. A block that was
 * protected has a mark in the engine's table, and is made usable before the engine may keep it.
 */
#include "freehold/page.h"

#include <string.h>

#include "allocators/front.h"
#include "allocators/lane.h"
#include "allocators/visit.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'p', 'a', 'g', 'e', '1')

/* What freehold_page has in its words. */
typedef struct state {
    freehold__large large;
    _Atomic uint64_t failures, requested, reallocations;
    _Atomic uint64_t frees_before,
        purged_before; /* what the engine had counted at the last reset */
    freehold__pace pace;
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__PAGE_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a page allocator must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_page *)(void *)self)->state;
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* Gives back what the policy no longer keeps, when its period is over. */
static void tend(state *s, uint32_t now)
{
    size_t slice;
    if (!freehold__pace_take(&s->pace, now, &slice))
        return;
    freehold__large_retain(&s->large, s->large.live_bytes, now, &slice);
    freehold__pace_done(&s->pace, &slice);
}

static bool release_kept(state *s)
{
    uint64_t before = s->large.purged_bytes;
    freehold__large_retain(&s->large, 0, 0, NULL);
    return s->large.purged_bytes != before;
}

static void *page_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    bool known = false;
    if (freehold__unlikely(offset != 0)) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    void *block = freehold__large_alloc(&s->large, bytes, alignment, &known);
    if (block == NULL && release_kept(s)) /* which may be free in another shape */
        block = freehold__large_alloc(&s->large, bytes, alignment, &known);
    if (block == NULL) {
        s->failures++;
        return NULL;
    }
    s->requested += bytes;
    return zeroed && !known ? memset(block, 0, bytes) : block;
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* The live block that begins there; anything else is fatal. */
static freehold__large_block find(state *s, const void *block, const char *function)
{
    freehold__large_block found = freehold__large_at(&s->large, block);
    if (freehold__unlikely(found.base == 0))
        freehold__large_misuse(&s->large, function, block);
    return found;
}

/* Whether the block may be kept: what is handed out again must be usable (T6). */
static bool is_usable(freehold__large_block block)
{
    return !block.marked ||
           freehold__port_protect((void *)block.base, block.bytes, FREEHOLD__PROTECT_READ_WRITE);
}

static size_t release(state *s, freehold__large_block block, const char *function)
{
    uint32_t now = freehold__port_milliseconds();
    size_t bytes = is_usable(block) ? freehold__large_free(&s->large, (void *)block.base, now)
                                    : freehold__large_discard(&s->large, (void *)block.base);
    if (freehold__unlikely(bytes == 0)) /* another thread has just freed it */
        freehold__large_misuse(&s->large, function, (void *)block.base);
    tend(s, now);
    return bytes;
}

static size_t page_free(freehold_allocator *self, void *block)
{
    state *s = state_of(self);
    return release(s, find(s, block, "freehold_free"), "freehold_free");
}

static bool is_as_long(freehold__large_block block, size_t bytes)
{
    size_t exact;
    return freehold__round_up_checked(bytes, freehold__port_page_size(), &exact) &&
           exact == block.bytes;
}

static size_t page_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    freehold__large_block found = find(s, block, "freehold_free_sized");
    if (freehold__unlikely(!is_as_long(found, bytes)))
        freehold__large_mismatch("freehold_free_sized", block, bytes, found);
    return release(s, found, "freehold_free_sized");
}

/* ---- resizing -------------------------------------------------------------------------------- */

static void count_reallocation(state *s, size_t bytes)
{
    s->requested += bytes;
    s->reallocations++;
}

static bool page_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    freehold__large_block found = find(s, block, "freehold_resize");
    bool resized = is_as_long(found, bytes) ||
                   (!found.marked && freehold__large_resize_in_place(&s->large, block, bytes));
    if (resized)
        count_reallocation(s, bytes);
    return resized;
}

/* By a copy: where the system cannot move it, or might to a place that is less aligned. */
static void *move(freehold_allocator *self, freehold__large_block block, size_t bytes)
{
    void *moved = page_allocate(self, bytes, self->alignment, 0, false);
    if (moved == NULL)
        return NULL;
    memcpy(moved, (void *)block.base, block.bytes < bytes ? block.bytes : bytes);
    freehold__large_free(&state_of(self)->large, (void *)block.base, freehold__port_milliseconds());
    return moved;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    freehold__large_block found = find(s, block, function);
    if (is_as_long(found, bytes)) {
        count_reallocation(s, bytes);
        return block;
    }
    if (found.marked) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    void *moved = NULL;
    if (self->alignment <= freehold__port_page_size())
        moved = freehold__large_resize(&s->large, block, bytes);
    else if (freehold__large_resize_in_place(&s->large, block, bytes))
        moved = block;
    if (moved != NULL) {
        count_reallocation(s, bytes);
        return moved;
    }
    moved = move(self, found, bytes);
    if (moved != NULL)
        count_reallocation(s, 0); /* the bytes were counted when it was allocated */
    return moved;
}

static void *page_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

/* What freehold_resize can do, freehold_remap does as well, where the block is. */
static void *page_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

/* ---- looking --------------------------------------------------------------------------------- */

static size_t page_usable_size(freehold_allocator *self, const void *block)
{
    return find(state_of(self), block, "freehold_usable_size").bytes;
}

static void *page_base(freehold_allocator *self, const void *pointer)
{
    return (void *)freehold__large_around(&state_of(self)->large, pointer).base;
}

static freehold_statistics page_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__large *large = &s->large;
    size_t live = large->live_bytes, kept = large->kept_bytes, peak = large->peak_bytes;
    return (freehold_statistics){
        .requested_bytes = s->requested,
        .allocations = large->allocations - s->frees_before,
        .frees = large->frees - s->frees_before,
        .reallocations = s->reallocations,
        .failures = s->failures,
        .live_bytes = live,
        .peak_live_bytes = peak,
        .used_bytes = live,
        .peak_bytes = peak,
        .mapped_bytes = live + kept,
        .retained_bytes = kept,
        .purged_bytes = large->purged_bytes - s->purged_before,
    };
}

/* What is live stays an allocation; what was freed is none any more. */
static void page_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    s->frees_before = s->large.frees;
    s->purged_before = s->large.purged_bytes;
    s->requested = s->reallocations = s->failures = 0;
    freehold__large_reset_peak(&s->large);
}

static const char *page_check(freehold_allocator *self)
{
    freehold__large *large = &state_of(self)->large;
    return freehold__corrupt_in(freehold__large_check(large), large);
}

static bool page_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    freehold__visit v = {visit, context, true};
    freehold__large_walk(&state_of(self)->large, freehold__walk_block, &v);
    return v.goes_on;
}

static size_t page_trim(freehold_allocator *self)
{
    state *s = state_of(self);
    uint64_t before = s->large.purged_bytes;
    release_kept(s);
    return (size_t)(s->large.purged_bytes - before);
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "page",
    .allocate = page_allocate,
    .free = page_free,
    .resize = page_resize,
    .remap = page_remap,
    .realloc = page_realloc,
    .free_sized = page_free_sized,
    .usable_size = page_usable_size,
    .base = page_base,
    .stats = page_stats,
    .check = page_check,
    .walk = page_walk,
    .trim = page_trim,
    .reset_stats = page_reset_stats,
};

FREEHOLD__DEFINE(page)

/* ---- protecting ------------------------------------------------------------------------------ */

size_t freehold_page_size(void)
{
    return freehold__port_page_size();
}

static freehold__cold void report_range(
    state *s, const void *start, size_t bytes, freehold__large_block block)
{
    const char *function = "freehold_page_protect";
    if (block.base == 0 || (uintptr_t)start % freehold__port_page_size() != 0) {
        freehold__large_misuse(&s->large, function, start);
        return;
    }
    freehold__text text = freehold__report_begin(function, start);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, ", but from there the large block ");
    freehold__text_hex(&text, block.base);
    freehold__text_add(&text, " has ");
    freehold__text_decimal(&text, block.bytes - ((uintptr_t)start - block.base));
    freehold__text_add(&text, " bytes");
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, start);
}

bool freehold_page_protect(
    freehold_page *page, void *start, size_t bytes, freehold_protection protection)
{
    static const freehold__protection of[] = {[FREEHOLD_PROTECT_NONE] = FREEHOLD__PROTECT_NONE,
        [FREEHOLD_PROTECT_READ] = FREEHOLD__PROTECT_READ,
        [FREEHOLD_PROTECT_READ_WRITE] = FREEHOLD__PROTECT_READ_WRITE};
    freehold_allocator *self = (freehold_allocator *)(void *)page; /* which may be NULL */
    check_type(self, "freehold_page_protect");
    state *s = state_of(self);
    freehold__large_block block = freehold__large_around(&s->large, start);
    size_t offset = (uintptr_t)start - block.base, exact = 0;
    bool whole = freehold__round_up_checked(bytes, freehold__port_page_size(), &exact);
    if (block.base == 0 || (offset & (freehold__port_page_size() - 1)) != 0 || !whole ||
        exact > block.bytes - offset) {
        report_range(s, start, bytes, block);
        return false;
    }
    if (bytes == 0 || (unsigned)protection >= sizeof of / sizeof *of)
        return false;
    bool marked = block.marked;
    freehold__front_changed((freehold__front){self, &operations});
    if (protection != FREEHOLD_PROTECT_READ_WRITE)
        freehold__large_mark(&s->large, (void *)block.base, true); /* before: it may fail halfway */
    bool done = freehold__port_protect(start, exact, of[protection]);
    if (done && protection == FREEHOLD_PROTECT_READ_WRITE && marked && exact == block.bytes)
        freehold__large_mark(&s->large, (void *)block.base, false);
    return done;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void freehold_page_init_aligned(freehold_page *page, size_t alignment)
{
    size_t least = freehold__port_page_size();
    memset(page->state, 0, sizeof page->state);
    freehold__allocator_begin(&page->base, &operations, alignment > least ? alignment : least);
    state_of(&page->base)->large.exact = true;
}

void freehold_page_init(freehold_page *page)
{
    freehold_page_init_aligned(page, 0);
}

void freehold_page_deinit(freehold_page *page)
{
    if (page == NULL)
        return;
    check_type(&page->base, "freehold_page_deinit");
    state *s = state_of(&page->base);
    freehold_allocator_deinit(&page->base);
    freehold__large_release(&s->large);
    memset(page->state, 0, sizeof page->state);
}
