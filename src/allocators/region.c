/* SPDX-License-Identifier: MIT */
/*
 * The region: the engine (objects/region.h) over the caller's memory, with what an engine does not do:
 * locks, hooks, statistics, reports. All that outlives this structure is in the memory; here is what
 * belongs to this process.
 */
#include "freehold/region.h"

#include <string.h>

#include "allocators/front.h"
#include "allocators/region.h"
#include "objects/region.h"
#include "port/port.h"

#define MAGIC FREEHOLD__REGION_TYPE

/* What each of the functions for it has in itself, but where the program is to be small. */
#ifdef __OPTIMIZE_SIZE__
#define fast static
#else
#define fast __attribute__((always_inline)) static inline
#endif

typedef freehold__region engine;
typedef freehold__region_result result;

/* What freehold_region has in its words. */
typedef struct state {
    engine *region;    /* in the caller's memory; NULL when wrong */
    const char *wrong; /* with what init or attach was given; NULL: nothing */
    const freehold_region_hooks *hooks;
    size_t largest, grow_bytes;
    bool zeroed, pages, validate;
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__REGION_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a region must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_region *)(void *)self)->state;
}

/* ---- reports --------------------------------------------------------------------------------- */

static void add_block(freehold__text *text, const engine *r, size_t place, size_t bytes)
{
    freehold__text_hex(text, (uintptr_t)freehold__region_address(r, place));
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, " bytes");
}

static freehold_misuse explain_free(
    freehold__text *text, const engine *r, uintptr_t address, size_t place, size_t bytes)
{
    size_t offset = address - (uintptr_t)r, at = offset >> r->shift;
    bool twice = offset == at << r->shift && at < r->pristine;
    freehold__text_add(
        text, twice ? "double free: in the free block " : "invalid pointer: in the free block ");
    add_block(text, r, place, bytes);
    freehold__text_add(text, twice ? "" : ", where no block can have begun");
    return twice ? FREEHOLD_DOUBLE_FREE : FREEHOLD_INVALID_POINTER;
}

static freehold_misuse explain_inside(
    freehold__text *text, const engine *r, uintptr_t address, size_t place, size_t bytes)
{
    size_t inside = address - (uintptr_t)freehold__region_address(r, place);
    bool misaligned = inside % FREEHOLD_ALIGNMENT != 0;
    freehold__text_add(text, misaligned ? "misaligned pointer: " : "interior pointer: ");
    freehold__text_decimal(text, inside);
    freehold__text_add(text, " bytes into the block ");
    add_block(text, r, place, bytes);
    return misaligned ? FREEHOLD_MISALIGNED_POINTER : FREEHOLD_INTERIOR_POINTER;
}

static freehold_misuse explain(freehold__text *text, const engine *r, uintptr_t address)
{
    size_t place, bytes;
    switch (
        r != NULL ? freehold__region_find(r, address, &place, &bytes) : FREEHOLD__REGION_OUTSIDE) {
    case FREEHOLD__REGION_FREE:
    case FREEHOLD__REGION_INSIDE_FREE:
        return explain_free(text, r, address, place, bytes);
    case FREEHOLD__REGION_LIVE: /* it is by now: the memory changes under us */
    case FREEHOLD__REGION_INSIDE_LIVE:
        return explain_inside(text, r, address, place, bytes);
    case FREEHOLD__REGION_FRONT:
        freehold__text_add(text, "invalid pointer: in the header or the tags of the region");
        return FREEHOLD_INVALID_POINTER;
    case FREEHOLD__REGION_LOST:
        freehold__text_add(text, "corrupt: the tags of the region around it are damaged");
        return FREEHOLD_CORRUPT;
    default:
        freehold__text_add(text, "foreign pointer: not from this allocator");
        return FREEHOLD_FOREIGN_POINTER;
    }
}

static void report_mismatch(const engine *r, const void *block, size_t size, size_t bytes)
{
    freehold__text report = freehold__report_begin("freehold_free_sized", block), *text = &report;
    freehold__text_add(text, "size mismatch: given ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, ", but the block has ");
    freehold__text_decimal(text, size);
    freehold__text_add(text, " bytes, for ");
    freehold__text_decimal(text, size - ((size_t)1 << r->shift) + 1);
    freehold__text_add(text, " to ");
    freehold__text_decimal(text, size);
    freehold__report_end(text, FREEHOLD_SIZE_MISMATCH, "freehold_free_sized", block);
}

static void report_damage(const engine *r, size_t place, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, "corrupt: the links or tags of the free block ");
    if (place == SIZE_MAX || place > r->end)
        freehold__text_add(&text, "somewhere");
    else
        freehold__text_hex(&text, (uintptr_t)freehold__region_address(r, place));
    freehold__text_add(&text, " of the region are damaged (written to after its free?)");
    freehold__report_end(&text, FREEHOLD_CORRUPT, function, pointer);
}

static void report_wrong(const char *wrong, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__text_add(&text, "corrupt: ");
    freehold__text_add(&text, wrong);
    freehold__report_end(&text, FREEHOLD_CORRUPT, function, pointer);
}

/* ---- the lock -------------------------------------------------------------------------------- */

/* The hooks are called by functions of their own: they are the only calls here by way of a pointer,
 * and a region without hooks goes around them. */
#define CALLS_USER __attribute__((noinline)) static

CALLS_USER bool call_user_lock(const freehold_region_hooks *hooks)
{
    return hooks->lock(hooks->context);
}

CALLS_USER void call_user_unlock(const freehold_region_hooks *hooks)
{
    hooks->unlock(hooks->context);
}

CALLS_USER bool call_user_commit(const freehold_region_hooks *hooks, void *start, size_t bytes)
{
    return hooks->commit(hooks->context, start, bytes);
}

CALLS_USER bool call_user_purge(const freehold_region_hooks *hooks, void *start, size_t bytes)
{
    return hooks->purge(hooks->context, start, bytes);
}

static inline void leave(const state *s)
{
    if (freehold__unlikely(s->hooks != NULL) && s->hooks->unlock != NULL)
        call_user_unlock(s->hooks);
}

/* Whoever held the lock has died in the middle of a call, now or before. */
static freehold__cold void inherit(const state *s, const char *function)
{
    if (freehold__region_repair(s->region))
        return;
    leave(s);
    report_wrong("the region cannot be repaired: a process was killed in the middle of a call, and "
                 "its tags are damaged",
        function, s->region);
}

static inline void enter(const state *s, const char *function)
{
    if (freehold__likely(s->hooks == NULL) || s->hooks->lock == NULL || s->region == NULL)
        return; /* where there is no region there is nothing to lock, nor to repair */
    call_user_lock(
        s->hooks); /* what it says of a death the region says itself, until it is repaired */
    if (freehold__unlikely(freehold__region_is_busy(s->region)))
        inherit(s, function);
}

static freehold__cold void leave_watched(const state *s, const char *function, const void *pointer)
{
    size_t place;
    const char *wrong = s->validate ? freehold__region_check(s->region, &place) : NULL;
    leave(s);
    if (wrong != NULL)
        report_wrong(wrong, function, pointer);
}

/* A call that changes something ends. */
static inline void leave_changed(const state *s, const char *function, const void *pointer)
{
    if (freehold__unlikely(s->hooks != NULL || s->validate))
        leave_watched(s, function, pointer);
}

static freehold__cold void report_misuse(const state *s, const void *block, const char *function)
{
    freehold__text text = freehold__report_begin(function, block);
    freehold_misuse kind = explain(&text, s->region, (uintptr_t)block);
    if (s->region != NULL)
        leave(s);
    freehold__report_end(&text, kind, function, block);
}

/* The place of a live block, under the lock; anything else is fatal. */
static inline size_t place_of(const state *s, const void *block, const char *function)
{
    size_t place = 0;
    if (freehold__unlikely(s->region == NULL) ||
        freehold__unlikely(!freehold__region_is_live(s->region, (uintptr_t)block, &place)))
        report_misuse(s, block, function);
    return place;
}

/* Of the live block there. */
static size_t size_at(const state *s, size_t place)
{
    return freehold__region_size(s->region, place);
}

static freehold__cold void damage(
    const state *s, const result *out, const char *function, const void *pointer)
{
    leave(s);
    report_damage(s->region, out->place, function, pointer);
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* From start on, which are the region's, it may use so many bytes more. */
static bool commit(const state *s, size_t bytes)
{
    size_t now = (size_t)s->region->end << s->region->shift;
    if (s->hooks == NULL || s->hooks->commit == NULL)
        return true;
    return call_user_commit(s->hooks, (char *)s->region + now, bytes - now);
}

/* It is full: it grows so far that the request can be granted, if it may. What is free at its end is a
 * part of the new block. */
static freehold__cold bool make_room(state *s, size_t bytes, size_t alignment, result *out)
{
    engine *r = s->region;
    size_t now = (size_t)r->end << r->shift, most = (size_t)r->max_bytes >> r->shift << r->shift;
    size_t granule = (size_t)1 << r->shift, needed, to;
    if (s->grow_bytes == 0 || now >= most || __builtin_add_overflow(bytes, alignment, &needed))
        return false;
    size_t there = freehold__region_free_end(r);
    if (needed > most - now + there)
        return false;
    if (__builtin_add_overflow(needed, (needed >> r->sub) + granule, &needed))
        needed = SIZE_MAX;
    needed -= there < needed ? there : needed;
    if (needed < s->grow_bytes)
        needed = s->grow_bytes;
    to = needed < most - now ? freehold__round_down(now + needed, granule) : most;
    if (!commit(s, to))
        return false;
    *out = freehold__region_grow(s->region, to, s->zeroed);
    return out->status == FREEHOLD__REGION_DONE;
}

/* Whether a request is none for this region; why it is refused then. */
static freehold__cold void refuse(freehold_allocator *self)
{
    freehold__allocator_says(
        self, state_of(self)->region == NULL ? FREEHOLD_INVALID : FREEHOLD_UNSUPPORTED);
}

static inline void *granted(state *s, const result *out, size_t bytes, bool zeroed)
{
    s->region->requested += bytes;
    void *block = freehold__region_address(s->region, out->place);
    return zeroed ? memset(block, 0, out->zero_from < bytes ? out->zero_from : bytes) : block;
}

/* It was not granted: it is when there is more room, or never, or there is damage. */
static freehold__cold void *allocate_otherwise(state *s, const result *first, size_t bytes,
    size_t alignment, size_t offset, bool zeroed, const char *function, const void *pointer)
{
    result out = *first;
    if (out.status == FREEHOLD__REGION_FULL && make_room(s, bytes, alignment, &out))
        out = freehold__region_take(s->region, bytes, alignment, offset);
    if (out.status == FREEHOLD__REGION_DAMAGED)
        damage(s, &out, function, pointer);
    if (out.status == FREEHOLD__REGION_DONE)
        return granted(s, &out, bytes, zeroed);
    s->region->failures++;
    return NULL;
}

/* A new block, under the lock. NULL: there is no room. */
static inline void *allocate(state *s, size_t bytes, size_t alignment, size_t offset, bool zeroed,
    const char *function, const void *pointer)
{
    result out = freehold__region_take(s->region, bytes, alignment, offset);
    if (freehold__unlikely(out.status != FREEHOLD__REGION_DONE))
        return allocate_otherwise(s, &out, bytes, alignment, offset, zeroed, function, pointer);
    return granted(s, &out, bytes, zeroed);
}

fast void *region_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    if (freehold__unlikely(bytes > s->largest)) {
        refuse(self);
        return NULL;
    }
    enter(s, "freehold_alloc");
    void *block = allocate(s, bytes, alignment, offset, zeroed, "freehold_alloc", self);
    leave_changed(s, "freehold_alloc", self);
    return block;
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* Under the lock, which is dropped. */
fast size_t release(const state *s, size_t place, void *block, const char *function)
{
    result out = freehold__region_put(s->region, place);
    if (freehold__unlikely(out.status == FREEHOLD__REGION_DAMAGED))
        damage(s, &out, function, block);
    leave_changed(s, function, block);
    return out.bytes;
}

fast size_t region_free(freehold_allocator *self, void *block)
{
    const state *s = state_of(self);
    enter(s, "freehold_free");
    return release(s, place_of(s, block, "freehold_free"), block, "freehold_free");
}

/* Blocks have no more than the granules that their size needs: so it is verified to the granule. */
static size_t region_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    const state *s = state_of(self);
    enter(s, "freehold_free_sized");
    size_t place = place_of(s, block, "freehold_free_sized"), size = size_at(s, place);
    if (freehold__unlikely(size - bytes >= (size_t)1 << s->region->shift)) {
        leave(s);
        report_mismatch(s->region, block, size, bytes);
    }
    return release(s, place, block, "freehold_free_sized");
}

static size_t region_usable_size(freehold_allocator *self, const void *block)
{
    const state *s = state_of(self);
    enter(s, "freehold_usable_size");
    size_t size = size_at(s, place_of(s, block, "freehold_usable_size"));
    leave(s);
    return size;
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* Under the lock. */
static bool resize(const state *s, size_t place, void *block, size_t bytes, const char *function)
{
    if (bytes > s->largest)
        return false;
    result out = freehold__region_resize(s->region, place, bytes);
    if (freehold__unlikely(out.status == FREEHOLD__REGION_DAMAGED))
        damage(s, &out, function, block);
    if (out.status != FREEHOLD__REGION_DONE)
        return false;
    s->region->requested += bytes;
    s->region->reallocations++;
    return true;
}

static bool region_resize(freehold_allocator *self, void *block, size_t bytes)
{
    const state *s = state_of(self);
    enter(s, "freehold_resize");
    bool resized =
        resize(s, place_of(s, block, "freehold_resize"), block, bytes, "freehold_resize");
    leave_changed(s, "freehold_resize", block);
    return resized;
}

/* Under the lock. NULL: it is as it was. */
static void *move(state *s, size_t place, void *block, size_t bytes, const char *function)
{
    size_t size = size_at(s, place);
    void *moved = allocate(s, bytes, 1, 0, false, function, block);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, size < bytes ? size : bytes);
    result out = freehold__region_put(s->region, place);
    if (freehold__unlikely(out.status == FREEHOLD__REGION_DAMAGED))
        damage(s, &out, function, block);
    s->region->reallocations++;
    return moved;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    enter(s, function);
    size_t place = place_of(s, block, function);
    void *result = block;
    if (!resize(s, place, block, bytes, function))
        result = bytes <= s->largest ? move(s, place, block, bytes, function) : NULL;
    leave_changed(s, function, block);
    if (result == NULL && bytes > s->largest)
        refuse(self);
    return result;
}

static void *region_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

static void *region_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

/* ---- looking --------------------------------------------------------------------------------- */

static void *region_base(freehold_allocator *self, const void *pointer)
{
    const state *s = state_of(self);
    size_t place, bytes;
    if (s->region == NULL)
        return NULL;
    enter(s, "freehold_base");
    freehold__region_at at = freehold__region_find(s->region, (uintptr_t)pointer, &place, &bytes);
    leave(s);
    return at == FREEHOLD__REGION_LIVE || at == FREEHOLD__REGION_INSIDE_LIVE
               ? freehold__region_address(s->region, place)
               : NULL;
}

static freehold_statistics region_stats(freehold_allocator *self)
{
    const state *s = state_of(self);
    const engine *r = s->region;
    if (r == NULL)
        return (freehold_statistics){0};
    enter(s, "freehold_stats");
    size_t live = freehold__region_live_bytes(r), all = freehold__region_bytes(r);
    freehold_statistics stats = {
        .requested_bytes = r->requested,
        .allocations = r->allocations,
        .frees = r->frees,
        .reallocations = r->reallocations,
        .failures = r->failures,
        .live_bytes = live,
        .peak_live_bytes = (size_t)r->peak_granules << r->shift,
        .used_bytes = live,
        .peak_bytes = (size_t)r->peak_granules << r->shift,
        .mapped_bytes = all,
        .retained_bytes = all - live,
        .purged_bytes = r->purged,
    };
    leave(s);
    return stats;
}

static void region_reset_stats(freehold_allocator *self)
{
    const state *s = state_of(self);
    engine *r = s->region;
    if (r == NULL)
        return;
    enter(s, "freehold_reset_stats");
    r->allocations = freehold__region_live_blocks(r);
    r->peak_granules = r->live_granules;
    r->frees = r->reallocations = r->failures = r->requested = r->purged = 0;
    leave(s);
}

static const char *region_check(freehold_allocator *self)
{
    const state *s = state_of(self);
    size_t place;
    if (s->region == NULL)
        return freehold__corrupt(s->wrong, self);
    enter(s, "freehold_check");
    const char *wrong = freehold__region_check(s->region, &place);
    leave(s);
    return wrong != NULL ? freehold__corrupt(wrong, freehold__region_address(s->region, place))
                         : NULL;
}

static bool region_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    const state *s = state_of(self);
    freehold__region_block b = {.bytes = 0};
    bool goes_on = true;
    if (s->region == NULL)
        return true;
    enter(s, "freehold_walk");
    while (goes_on && freehold__region_next(s->region, &b))
        if (b.live)
            goes_on = visit(context, freehold__region_address(s->region, b.place), b.bytes);
    leave(s);
    return goes_on;
}

/* ---- giving pages back ----------------------------------------------------------------------- */

static bool purge_pages(const state *s, void *start, size_t bytes)
{
    if (s->hooks != NULL && s->hooks->purge != NULL)
        return call_user_purge(s->hooks, start, bytes);
    return s->pages && freehold__port_purge(start, bytes);
}

/* The pages within a free block are dropped, and what is left of it cleared: all of it reads zero
 * then, but for the links. Returns how much was dropped. */
static size_t purge_block(const state *s, const freehold__region_block *b)
{
    size_t page = freehold__port_page_size();
    uintptr_t start = (uintptr_t)freehold__region_address(s->region, b->place),
              end = start + b->bytes;
    uintptr_t from = freehold__round_up(start + FREEHOLD__REGION_GRANULE, page);
    uintptr_t to = freehold__round_down(end, page);
    if (b->live || b->zero || from >= to || !purge_pages(s, (void *)from, to - from))
        return 0;
    start += FREEHOLD__REGION_GRANULE;
    memset((void *)start, 0, from - start);
    memset((void *)to, 0, end - to);
    freehold__region_mark_zero(s->region, b->place);
    return to - from;
}

static size_t region_trim(freehold_allocator *self)
{
    const state *s = state_of(self);
    freehold__region_block b = {.bytes = 0};
    size_t bytes = 0;
    if (s->region == NULL || (!s->pages && (s->hooks == NULL || s->hooks->purge == NULL)))
        return 0;
    enter(s, "freehold_trim");
    while (freehold__region_next(s->region, &b))
        bytes += purge_block(s, &b);
    s->region->purged += bytes;
    leave_changed(s, "freehold_trim", self);
    return bytes;
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "region",
    .allocate = region_allocate,
    .free = region_free,
    .resize = region_resize,
    .remap = region_remap,
    .realloc = region_realloc,
    .free_sized = region_free_sized,
    .usable_size = region_usable_size,
    .base = region_base,
    .stats = region_stats,
    .check = region_check,
    .walk = region_walk,
    .trim = region_trim,
    .reset_stats = region_reset_stats,
};

FREEHOLD__DEFINE(region)

/* ---- beginning and end ----------------------------------------------------------------------- */

static freehold__region_layout layout_of(size_t bytes, const freehold_region_options *options)
{
    return (freehold__region_layout){
        .bytes = bytes,
        .max_bytes = options->max_bytes != 0 ? options->max_bytes : bytes,
        .granule = options->granule != 0 ? options->granule : FREEHOLD_ALIGNMENT,
        .exact = options->exact_bins,
        .sub = options->sub_bins,
        .key = options->key,
        .zeroed = options->zeroed,
    };
}

static const freehold_region_options no_options;

/* All but the region itself. */
static state *begin(freehold_region *region, size_t granule, const freehold_region_options *options)
{
    memset(region->state, 0, sizeof region->state);
    freehold__allocator_begin(&region->base, &operations, granule);
    state *s = state_of(&region->base);
    s->hooks = options->hooks;
    s->grow_bytes = options->grow_bytes;
    s->zeroed = options->zeroed;
    s->pages = options->pages;
    s->validate = options->validate;
    return s;
}

/* With a region, or with what is wrong. */
static const char *settle(
    state *s, void *memory, const char *wrong, const freehold_region_options *options)
{
    s->wrong = wrong;
    if (wrong == NULL) {
        s->region = memory;
        s->largest = options->largest != 0 ? options->largest : SIZE_MAX;
    }
    return wrong;
}

static const char *judge(const freehold_region *region, const void *memory, size_t bytes,
    size_t max_bytes, const freehold_region_options *options)
{
    if (memory != NULL &&
        freehold__overlap((uintptr_t)region, sizeof *region, (uintptr_t)memory, max_bytes))
        return "the structure of the region lies in its memory";
    if (memory != NULL && (uintptr_t)memory % FREEHOLD_ALIGNMENT == 0 && bytes >= sizeof(engine) &&
        !options->overwrite && freehold__region_is_there(memory))
        return "the memory holds a region already: attach it, or say that it is to be overwritten";
    return NULL;
}

const char *freehold_region_init_with(
    freehold_region *region, void *memory, size_t bytes, const freehold_region_options *options)
{
    options = options != NULL ? options : &no_options;
    freehold__region_layout layout = layout_of(bytes, options);
    state *s = begin(region, layout.granule, options);
    const char *wrong = judge(region, memory, bytes, layout.max_bytes, options);
    if (wrong == NULL)
        wrong = freehold__region_init(memory, &layout);
    return settle(s, memory, wrong, options);
}

const char *freehold_region_init(freehold_region *region, void *memory, size_t bytes)
{
    return freehold_region_init_with(region, memory, bytes, NULL);
}

const char *freehold_region_attach(
    freehold_region *region, void *memory, size_t bytes, const freehold_region_options *options)
{
    options = options != NULL ? options : &no_options;
    const char *wrong = freehold__region_judge(memory, bytes);
    size_t granule = wrong == NULL ? (size_t)1 << ((const engine *)memory)->shift : 0;
    state *s = begin(region, granule, options);
    bool alone = options->hooks == NULL || options->hooks->lock == NULL;
    if (wrong == NULL && alone && freehold__region_is_busy(memory) &&
        !freehold__region_repair(memory))
        wrong = "a call in the region has not ended, and its tags are damaged";
    return settle(s, memory, wrong, options);
}

size_t freehold_region_front(size_t max_bytes, const freehold_region_options *options)
{
    freehold__region_layout layout = layout_of(max_bytes, options != NULL ? options : &no_options);
    layout.max_bytes = max_bytes;
    return freehold__region_front(&layout);
}

freehold_region_options freehold_region_options_patchwork(void)
{
    return (freehold_region_options){
        .granule = 64, .exact_bins = 256, .sub_bins = 16, .largest = 16384};
}

freehold_region_options freehold_region_options_mheap(void)
{
    return (freehold_region_options){.granule = 16, .exact_bins = 256, .sub_bins = 16};
}

/* The region, or a report. */
static freehold_allocator *checked(freehold_region *region, const char *function)
{
    check_type(&region->base, function);
    return &region->base;
}

bool freehold_region_grow(freehold_region *region, size_t bytes)
{
    freehold_allocator *self = checked(region, "freehold_region_grow");
    const state *s = state_of(self);
    if (s->region == NULL)
        return false;
    enter(s, "freehold_region_grow");
    result out = {.status = FREEHOLD__REGION_FULL};
    size_t now = (size_t)s->region->end << s->region->shift;
    if (bytes > now && bytes <= s->region->max_bytes && commit(s, bytes))
        out = freehold__region_grow(s->region, bytes, s->zeroed);
    if (freehold__unlikely(out.status == FREEHOLD__REGION_DAMAGED))
        damage(s, &out, "freehold_region_grow", self);
    freehold__front_changed((freehold__front){self, &operations});
    leave_changed(s, "freehold_region_grow", self);
    return out.status == FREEHOLD__REGION_DONE;
}

uint64_t freehold_region_offset(freehold_region *region, const void *pointer)
{
    const engine *r = state_of(checked(region, "freehold_region_offset"))->region;
    uint64_t offset = (uintptr_t)pointer - (uintptr_t)r;
    return r != NULL && offset >= r->first << r->shift && offset < r->end << r->shift ? offset : 0;
}

void *freehold_region_at(freehold_region *region, uint64_t offset)
{
    engine *r = state_of(checked(region, "freehold_region_at"))->region;
    bool there = r != NULL && offset >= r->first << r->shift && offset < r->end << r->shift;
    return there ? (char *)r + offset : NULL;
}

void freehold_region_set_root(freehold_region *region, void *block)
{
    const state *s = state_of(checked(region, "freehold_region_set_root"));
    if (s->region == NULL)
        return;
    enter(s, "freehold_region_set_root");
    size_t place = block != NULL ? place_of(s, block, "freehold_region_set_root") : 0;
    freehold__region_set_root(s->region, place);
    freehold__front_changed((freehold__front){&region->base, &operations});
    leave(s);
}

void *freehold_region_root(freehold_region *region)
{
    const state *s = state_of(checked(region, "freehold_region_root"));
    size_t place;
    void *block = NULL;
    if (s->region == NULL)
        return NULL;
    enter(s, "freehold_region_root");
    place = freehold__region_root(s->region);
    if (place != 0 && place != SIZE_MAX) {
        block = freehold__region_address(s->region, place);
        block = freehold__region_is_live(s->region, (uintptr_t)block, &place) ? block : NULL;
    }
    leave(s);
    return block;
}

static void add_usage(freehold_region_usage *u, const freehold__region_block *b)
{
    if (b->live)
        return;
    u->free += b->bytes;
    u->free_blocks++;
    u->reclaimed += b->zero ? b->bytes : 0;
    if (b->bytes > u->largest_free)
        u->largest_free = b->bytes;
}

freehold_region_usage freehold_region_get_usage(freehold_region *region)
{
    const state *s = state_of(checked(region, "freehold_region_get_usage"));
    const engine *r = s->region;
    freehold_region_usage u = {0};
    freehold__region_block b = {.bytes = 0};
    if (r == NULL)
        return u;
    enter(s, "freehold_region_get_usage");
    while (freehold__region_next(r, &b))
        add_usage(&u, &b);
    u.objects = (size_t)freehold__region_live_blocks(r);
    u.used = freehold__region_live_bytes(r);
    u.overhead = (size_t)r->first << r->shift;
    u.total = (size_t)r->end << r->shift;
    u.max = (size_t)r->max_bytes;
    u.searches = r->searches;
    u.probes = r->probes;
    u.repairs = r->repairs;
    leave(s);
    return u;
}

void freehold_region_histogram(freehold_region *region, bool live, size_t count[64])
{
    const state *s = state_of(checked(region, "freehold_region_histogram"));
    freehold__region_block b = {.bytes = 0};
    memset(count, 0, 64 * sizeof *count);
    if (s->region == NULL)
        return;
    enter(s, "freehold_region_histogram");
    while (freehold__region_next(s->region, &b))
        count[freehold__highest_bit(b.bytes)] += b.live == live;
    leave(s);
}

static void end(freehold_region *region)
{
    freehold_allocator_deinit(&region->base);
    memset(region->state, 0, sizeof region->state);
}

void freehold_region_detach(freehold_region *region)
{
    if (region != NULL)
        end((checked(region, "freehold_region_detach"), region));
}

void freehold_region_deinit(freehold_region *region)
{
    if (region == NULL)
        return;
    const state *s = state_of(checked(region, "freehold_region_deinit"));
    if (s->region != NULL)
        freehold__region_end(s->region);
    end(region);
}
