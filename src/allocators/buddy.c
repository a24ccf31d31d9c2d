/* SPDX-License-Identifier: MIT */
/*
 * Page frames: the engine of pages/frames.h behind one lock, and in front of it a cache of single
 * pages for each CPU, with a lock of its own that hardly anybody else takes.
 *
 * Lock order: a cache's lock, then the buddy's. Nothing is called under either, so that a heap may
 * have its memory from here under its own locks.
 */
#include "freehold/buddy.h"

#include <string.h>

#include "allocators/cpus.h"
#include "allocators/front.h"
#include "base/corrupt.h"
#include "pages/frames.h"
#include "port/port.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'b', 'u', 'd', 'd', '1')

#define CACHE_PAGES 64
#define CACHE_BATCH 32

/* What freehold_buddy_cache has in its words. All of it is guarded by the lock. */
typedef struct cache {
    freehold__lock lock;
    uint32_t count;
    uint64_t allocations, frees, requested; /* by way of this cache */
    uintptr_t page[CACHE_PAGES];
} cache;

/* What freehold_buddy has in its words. */
typedef struct state {
    freehold__lock lock; /* guards all below but the constants */
    freehold__frames frames;
    size_t peak; /* pages taken at once, those in caches included */
    uint64_t allocations, frees, requested, reallocations, failures;
    /* Constants. */
    uint64_t (*physical)(const void *address);
    freehold_cpus cpus;
    cache *caches;
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__BUDDY_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a buddy must fit its public structure");
_Static_assert(sizeof(cache) <= sizeof(freehold_buddy_cache) &&
                   _Alignof(cache) <= _Alignof(freehold_buddy_cache),
    "a cache must fit its public structure");
_Static_assert(FREEHOLD_BUDDY_KINDS == FREEHOLD__FRAME_KINDS, "a kind is a kind");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_buddy *)(void *)self)->state;
}

static size_t page_bytes(const state *s)
{
    return (size_t)1 << s->frames.shift;
}

/* False: more than memory. */
static bool pages_of(const state *s, size_t bytes, size_t *pages)
{
    bool fits = freehold__round_up_checked(bytes, page_bytes(s), pages);
    *pages >>= s->frames.shift;
    return fits;
}

static cache *cache_of(const state *s, unsigned cpu)
{
    return (cache *)(void *)((freehold_buddy_cache *)(void *)s->caches + cpu);
}

static size_t bytes_of(const state *s, freehold__frame_place place)
{
    return (size_t)freehold__frame_of(place)->pages << s->frames.shift;
}

/* ---- taking ------------------------------------------------------------------------------------ */

/* Under the lock: what has been taken, in how many blocks, for a request of so many bytes. */
static void count_taken(state *s, size_t blocks, size_t bytes)
{
    size_t taken = s->frames.managed - s->frames.free;
    if (taken > s->peak)
        s->peak = taken;
    s->allocations += blocks;
    s->requested += bytes;
}

/* Gives the last `count` pages of a cache back. Under its lock. */
static void drain(state *s, cache *c, uint32_t count)
{
    freehold__lock_take(&s->lock);
    for (; count > 0; count--)
        freehold__frames_give(&s->frames, freehold__frames_find(&s->frames, c->page[--c->count]));
    freehold__lock_drop(&s->lock);
}

/* All pages of all caches; how many. Without a lock. */
static size_t drain_all(state *s)
{
    size_t pages = 0;
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++) {
        cache *c = cache_of(s, cpu);
        freehold__lock_take(&c->lock);
        pages += c->count;
        if (c->count != 0)
            drain(s, c, c->count);
        freehold__lock_drop(&c->lock);
    }
    return pages;
}

static uintptr_t take_once(state *s, freehold__frame_request request, size_t bytes)
{
    freehold__lock_take(&s->lock);
    freehold__frame_place place = freehold__frames_take(&s->frames, request);
    if (place.range != NULL)
        count_taken(s, 1, bytes);
    freehold__lock_drop(&s->lock);
    return place.range != NULL ? freehold__frame_address(&s->frames, place) : 0;
}

/* What the caches have goes back before the answer is no. */
static uintptr_t take(state *s, freehold__frame_request request, size_t bytes)
{
    uintptr_t address = take_once(s, request, bytes);
    if (freehold__unlikely(address == 0) && drain_all(s) != 0)
        address = take_once(s, request, bytes);
    return address;
}

/* Under the cache's lock. The lowest address is handed out first. */
static void refill(state *s, cache *c)
{
    freehold__frame_place place[CACHE_BATCH];
    unsigned count = 0;
    freehold__lock_take(&s->lock);
    for (; count < CACHE_BATCH; count++) {
        place[count] = freehold__frames_take(&s->frames, (freehold__frame_request){1, 1, 0, 0});
        if (place[count].range == NULL)
            break;
        freehold__frame_set(freehold__frame_of(place[count]), FREEHOLD__FRAME_CACHED);
    }
    count_taken(s, 0, 0);
    freehold__lock_drop(&s->lock);
    while (count > 0)
        c->page[c->count++] = freehold__frame_address(&s->frames, place[--count]);
}

static uintptr_t take_cached(state *s, size_t bytes)
{
    unsigned cpu = call_user_enter(&s->cpus);
    cache *c = cache_of(s, cpu);
    uintptr_t address = 0;
    freehold__lock_take(&c->lock);
    if (c->count == 0)
        refill(s, c);
    if (c->count != 0) {
        address = c->page[--c->count];
        freehold__frame_place place = freehold__frames_find(&s->frames, address);
        freehold__frame_set(freehold__frame_of(place), FREEHOLD__FRAME_TAKEN);
        c->allocations++;
        c->requested += bytes;
    }
    freehold__lock_drop(&c->lock);
    call_user_leave(&s->cpus, cpu);
    return address;
}

static void count_failure(state *s)
{
    freehold__lock_take(&s->lock);
    s->failures++;
    freehold__lock_drop(&s->lock);
}

static uintptr_t take_pages(state *s, freehold__frame_request request, size_t bytes)
{
    uintptr_t address = 0;
    bool any_page = request.pages == 1 && request.align <= page_bytes(s) && request.limit == 0 &&
                    request.kind == 0;
    if (any_page && s->caches != NULL)
        address = take_cached(s, bytes);
    if (address == 0)
        address = take(s, request, bytes);
    if (freehold__unlikely(address == 0))
        count_failure(s);
    return address;
}

static void *buddy_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    freehold__frame_request request = {.align = alignment};
    uintptr_t address = 0;
    if (freehold__unlikely(offset != 0)) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    if (freehold__likely(pages_of(s, bytes, &request.pages)))
        address = take_pages(s, request, bytes);
    else
        count_failure(s);
    return zeroed && address != 0 ? memset((void *)address, 0, bytes) : (void *)address;
}

/* ---- misuse ------------------------------------------------------------------------------------ */

static void add_block(freehold__text *text, const char *what, uintptr_t base, size_t bytes)
{
    freehold__text_add(text, what);
    freehold__text_hex(text, base);
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, " bytes");
}

static freehold_misuse explain_free(
    freehold__text *text, const state *s, freehold__frame_place block, bool is_page)
{
    if (!is_page) {
        freehold__text_add(text,
            "invalid pointer: its pages hold no allocation (freed before, or never allocated)");
        return FREEHOLD_INVALID_POINTER;
    }
    freehold__text_add(text, "double free: the page is free, in ");
    if (freehold__frame_get(freehold__frame_of(block)) == FREEHOLD__FRAME_CACHED)
        freehold__text_add(text, "a cache");
    else
        add_block(text, "the free block ", freehold__frame_address(&s->frames, block),
            bytes_of(s, block));
    return FREEHOLD_DOUBLE_FREE;
}

static freehold_misuse explain_taken(
    freehold__text *text, const state *s, freehold__frame_place block, uintptr_t address)
{
    uintptr_t base = freehold__frame_address(&s->frames, block);
    if (address == base) {
        freehold__text_add(text, "double free: the block was freed by two callers at once");
        return FREEHOLD_REMOTE_DOUBLE_FREE;
    }
    bool misaligned = (address - base) % FREEHOLD_ALIGNMENT != 0;
    freehold__text_add(text, misaligned ? "misaligned pointer: " : "interior pointer: ");
    freehold__text_decimal(text, address - base);
    add_block(text, " bytes into the block ", base, bytes_of(s, block));
    return misaligned ? FREEHOLD_MISALIGNED_POINTER : FREEHOLD_INTERIOR_POINTER;
}

/* Under the lock. */
static freehold_misuse explain(freehold__text *text, const state *s, uintptr_t address)
{
    freehold__frame_place place = freehold__frames_find(&s->frames, address);
    if (place.range == NULL && freehold__frames_is_state(&s->frames, address)) {
        freehold__text_add(text, "invalid pointer: the state of a range is there");
        return FREEHOLD_INVALID_POINTER;
    }
    if (place.range == NULL) {
        freehold__text_add(text, "foreign pointer: not from this allocator");
        return FREEHOLD_FOREIGN_POINTER;
    }
    freehold__frame_place block = freehold__frames_block(&s->frames, place);
    return freehold__frame_get(freehold__frame_of(block)) == FREEHOLD__FRAME_TAKEN
               ? explain_taken(text, s, block, address)
               : explain_free(text, s, block, address % page_bytes(s) == 0);
}

static freehold__cold void report_misuse(state *s, const char *function, const void *pointer)
{
    freehold__text text = freehold__report_begin(function, pointer);
    freehold__lock_take(&s->lock);
    freehold_misuse kind = explain(&text, s, (uintptr_t)pointer);
    freehold__lock_drop(&s->lock);
    freehold__report_end(&text, kind, function, pointer);
}

static freehold__cold void report_mismatch(
    const state *s, freehold__frame_place place, const void *block, size_t bytes)
{
    freehold__text text = freehold__report_begin("freehold_free_sized", block);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    add_block(&text, ", but this is the block ", (uintptr_t)block, bytes_of(s, place));
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, "freehold_free_sized", block);
}

/* ---- live blocks ------------------------------------------------------------------------------- */

static bool is_live(const state *s, freehold__frame_place place, uintptr_t address)
{
    if (freehold__unlikely(place.range == NULL) ||
        freehold__unlikely((address & (page_bytes(s) - 1)) != 0))
        return false;
    freehold__frame_state state = freehold__frame_get(freehold__frame_of(place));
    return freehold__likely(state == FREEHOLD__FRAME_TAKEN) || state == FREEHOLD__FRAME_RESIZED;
}

/* The place of a live block; anything else is fatal. */
static freehold__frame_place find(state *s, const void *block, const char *function)
{
    freehold__frame_place place = freehold__frames_find(&s->frames, (uintptr_t)block);
    if (freehold__unlikely(!is_live(s, place, (uintptr_t)block)))
        report_misuse(s, function, block);
    return place;
}

/* False: another caller has just freed it. */
static bool put_cached(state *s, freehold__frame_place place)
{
    unsigned cpu = call_user_enter(&s->cpus);
    cache *c = cache_of(s, cpu);
    freehold__lock_take(&c->lock);
    bool was_taken = freehold__frame_change(
        freehold__frame_of(place), FREEHOLD__FRAME_TAKEN, FREEHOLD__FRAME_CACHED);
    if (freehold__likely(was_taken)) {
        if (c->count == CACHE_PAGES)
            drain(s, c, CACHE_BATCH);
        c->page[c->count++] = freehold__frame_address(&s->frames, place);
        c->frees++;
    }
    freehold__lock_drop(&c->lock);
    call_user_leave(&s->cpus, cpu);
    return was_taken;
}

/* The same; under the lock, without which a page may be put into a cache. */
static bool put(state *s, freehold__frame_place place)
{
    if (freehold__unlikely(!freehold__frame_change(
            freehold__frame_of(place), FREEHOLD__FRAME_TAKEN, FREEHOLD__FRAME_INSIDE)))
        return false;
    freehold__frames_give(&s->frames, place);
    s->frees++;
    return true;
}

static size_t release(state *s, freehold__frame_place place, void *block, const char *function)
{
    const freehold__frame *frame = freehold__frame_of(place);
    size_t bytes = bytes_of(s, place);
    bool done;
    if (s->caches != NULL && frame->pages == 1 && frame->kind == 0 && !frame->constrained) {
        done = put_cached(s, place);
    } else {
        freehold__lock_take(&s->lock);
        done = put(s, place);
        freehold__lock_drop(&s->lock);
    }
    if (freehold__unlikely(!done))
        report_misuse(s, function, block);
    return bytes;
}

static size_t buddy_free(freehold_allocator *self, void *block)
{
    state *s = state_of(self);
    return release(s, find(s, block, "freehold_free"), block, "freehold_free");
}

static size_t buddy_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    freehold__frame_place place = find(s, block, "freehold_free_sized");
    size_t pages;
    if (freehold__unlikely(
            !pages_of(s, bytes, &pages) || pages != freehold__frame_of(place)->pages))
        report_mismatch(s, place, block, bytes);
    return release(s, place, block, "freehold_free_sized");
}

/* Under the lock. */
static bool resize_taken(state *s, freehold__frame_place place, size_t pages, size_t bytes)
{
    if (pages != freehold__frame_of(place)->pages &&
        !freehold__frames_resize(&s->frames, place, pages))
        return false;
    count_taken(s, 0, bytes);
    s->reallocations++;
    return true;
}

/* What was taken below a limit might grow beyond it. Meanwhile the block may not be freed, into a cache for
 * example; that another caller has just done so is reported. */
static bool resize(
    state *s, freehold__frame_place place, size_t bytes, void *block, const char *function)
{
    freehold__frame *frame = freehold__frame_of(place);
    size_t pages;
    if (!pages_of(s, bytes, &pages) || (frame->constrained && pages > frame->pages))
        return false;
    freehold__lock_take(&s->lock);
    bool live = freehold__frame_change(frame, FREEHOLD__FRAME_TAKEN, FREEHOLD__FRAME_RESIZED);
    bool resized = live && resize_taken(s, place, pages, bytes);
    if (freehold__likely(live))
        freehold__frame_set(frame, FREEHOLD__FRAME_TAKEN);
    freehold__lock_drop(&s->lock);
    if (freehold__unlikely(!live))
        report_misuse(s, function, block);
    return resized;
}

static bool buddy_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    return resize(s, find(s, block, "freehold_resize"), bytes, block, "freehold_resize");
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    freehold__frame_place place = find(s, block, function);
    size_t have = bytes_of(s, place);
    freehold__frame_request request = {
        .align = self->alignment, .kind = freehold__frame_of(place)->kind};
    if (resize(s, place, bytes, block, function))
        return block;
    if (freehold__frame_of(place)->constrained) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    uintptr_t moved = 0;
    if (pages_of(s, bytes, &request.pages))
        moved = take_pages(s, request, bytes);
    else
        count_failure(s);
    if (moved == 0)
        return NULL;
    memcpy((void *)moved, block, have < bytes ? have : bytes);
    release(s, place, block, function);
    freehold__lock_take(&s->lock);
    s->reallocations++;
    freehold__lock_drop(&s->lock);
    return (void *)moved;
}

static void *buddy_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

static void *buddy_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

static size_t buddy_usable_size(freehold_allocator *self, const void *block)
{
    state *s = state_of(self);
    return bytes_of(s, find(s, block, "freehold_usable_size"));
}

/* ---- looking ----------------------------------------------------------------------------------- */

static void *buddy_base(freehold_allocator *self, const void *pointer)
{
    state *s = state_of(self);
    freehold__frame_place place = freehold__frames_find(&s->frames, (uintptr_t)pointer);
    if (place.range == NULL)
        return NULL;
    freehold__lock_take(&s->lock);
    place = freehold__frames_block(&s->frames, place);
    bool live = freehold__frame_get(freehold__frame_of(place)) == FREEHOLD__FRAME_TAKEN;
    freehold__lock_drop(&s->lock);
    return live ? (void *)freehold__frame_address(&s->frames, place) : NULL;
}

/* What the caches have counted goes to the rest, and under the lock, which stays taken, is known
 * how many pages they hold. */
static size_t lock_and_collect(state *s)
{
    size_t cached = 0;
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++)
        freehold__lock_take(&cache_of(s, cpu)->lock);
    freehold__lock_take(&s->lock);
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++) {
        cache *c = cache_of(s, cpu);
        s->allocations += c->allocations;
        s->frees += c->frees;
        s->requested += c->requested;
        c->allocations = c->frees = c->requested = 0;
        cached += c->count;
    }
    return cached;
}

static void unlock_all(state *s)
{
    freehold__lock_drop(&s->lock);
    for (unsigned cpu = s->cpus.count; cpu-- > 0;)
        freehold__lock_drop(&cache_of(s, cpu)->lock);
}

static freehold_statistics buddy_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    size_t cached = lock_and_collect(s) << s->frames.shift;
    size_t managed = s->frames.managed << s->frames.shift;
    size_t used = managed - (s->frames.free << s->frames.shift);
    freehold_statistics result = {
        .requested_bytes = s->requested,
        .allocations = s->allocations,
        .frees = s->frees,
        .reallocations = s->reallocations,
        .failures = s->failures,
        .live_bytes = used - cached,
        .peak_live_bytes = s->caches == NULL ? s->peak << s->frames.shift : 0,
        .used_bytes = used,
        .peak_bytes = s->peak << s->frames.shift,
        .mapped_bytes = managed,
        .retained_bytes = managed - used + cached,
    };
    unlock_all(s);
    return result;
}

static void buddy_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    lock_and_collect(s);
    s->allocations -= s->frees;
    s->frees = s->requested = s->reallocations = s->failures = 0;
    s->peak = s->frames.managed - s->frames.free;
    unlock_all(s);
}

static const char *check_caches(const state *s, size_t cached)
{
    size_t found = 0;
    const char *wrong = freehold__frames_check(&s->frames, &found);
    if (wrong == NULL && found != cached)
        wrong = "buddy: a page that is cached is in no cache";
    for (unsigned cpu = 0; cpu < s->cpus.count && wrong == NULL; cpu++) {
        const cache *c = cache_of(s, cpu);
        for (uint32_t i = 0; i < c->count && wrong == NULL; i++) {
            freehold__frame_place place = freehold__frames_find(&s->frames, c->page[i]);
            if (c->count > CACHE_PAGES || place.range == NULL ||
                freehold__frame_get(freehold__frame_of(place)) != FREEHOLD__FRAME_CACHED)
                wrong = "buddy: a page in a cache is not cached";
        }
    }
    return wrong;
}

static const char *buddy_check(freehold_allocator *self)
{
    state *s = state_of(self);
    const char *wrong = check_caches(s, lock_and_collect(s));
    unlock_all(s);
    return freehold__corrupt_in(wrong, self);
}

static bool buddy_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    state *s = state_of(self);
    bool goes_on = true;
    freehold__lock_take(&s->lock);
    freehold__frame_place place = freehold__frames_next(&s->frames, NULL, 0);
    while (goes_on && place.range != NULL) {
        goes_on =
            visit(context, (void *)freehold__frame_address(&s->frames, place), bytes_of(s, place));
        place = freehold__frames_next(&s->frames, place.range, place.number + 1);
    }
    freehold__lock_drop(&s->lock);
    return goes_on;
}

/* There is nowhere to give memory back to; what the caches hold can be merged. */
static size_t buddy_trim(freehold_allocator *self)
{
    drain_all(state_of(self));
    return 0;
}

/* ---- the type ---------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "buddy",
    .allocate = buddy_allocate,
    .free = buddy_free,
    .resize = buddy_resize,
    .remap = buddy_remap,
    .realloc = buddy_realloc,
    .free_sized = buddy_free_sized,
    .usable_size = buddy_usable_size,
    .base = buddy_base,
    .stats = buddy_stats,
    .check = buddy_check,
    .walk = buddy_walk,
    .trim = buddy_trim,
    .reset_stats = buddy_reset_stats,
};

FREEHOLD__DEFINE(buddy)

/* The buddy's state, or a report. */
static state *checked(freehold_buddy *buddy, const char *function)
{
    freehold_allocator *self = (freehold_allocator *)(void *)buddy; /* which may be NULL */
    check_type(self, function);
    return state_of(self);
}

/* The same, for a function that changes something: it is to be validated again. */
static state *changing(freehold_buddy *buddy, const char *function)
{
    state *s = checked(buddy, function);
    freehold__front_changed((freehold__front){&buddy->base, &operations});
    return s;
}

/* ---- what only a buddy can do -------------------------------------------------------------------- */

static void *refuse(freehold_buddy *buddy, freehold_error error, const char *function)
{
    freehold__front front = {&buddy->base, &operations};
    return freehold__front_refuse(front, error, function);
}

__attribute__((noinline)) static bool call_user_reclaim(freehold_buddy *buddy, size_t bytes)
{
    const freehold_policy *policy = buddy->base.policy;
    return policy->reclaim(policy->context, &buddy->base, bytes);
}

/* As freehold__front_retry, for a request that the table has no operation for. */
static uintptr_t retry(freehold_buddy *buddy, freehold__frame_request request, size_t bytes)
{
    const freehold_policy *policy = buddy->base.policy;
    uintptr_t address = 0;
    for (unsigned left = policy != NULL ? policy->retries : 0; left > 0 && address == 0; left--) {
        if (policy->reclaim != NULL && !call_user_reclaim(buddy, bytes))
            break;
        address = take_pages(state_of(&buddy->base), request, bytes);
        freehold__front_changed((freehold__front){&buddy->base, &operations});
    }
    return address;
}

void *freehold_buddy_take(freehold_buddy *buddy, const freehold_buddy_request *wanted)
{
    state *s = changing(buddy, "freehold_buddy_take");
    size_t alignment = wanted->alignment != 0 ? wanted->alignment : buddy->base.alignment;
    freehold__frame_request request = {
        .align = alignment, .limit = wanted->below, .kind = wanted->kind};
    if (wanted->bytes == 0)
        return NULL;
    if (!freehold__is_power_of_two(alignment) || wanted->kind >= FREEHOLD_BUDDY_KINDS)
        return refuse(buddy, FREEHOLD_INVALID, "freehold_buddy_take");
    if (!pages_of(s, wanted->bytes, &request.pages)) {
        count_failure(s);
        return refuse(buddy, FREEHOLD_NO_MEMORY, "freehold_buddy_take");
    }
    uintptr_t address = take_pages(s, request, wanted->bytes);
    if (address == 0)
        address = retry(buddy, request, wanted->bytes);
    return address != 0 ? (void *)address
                        : refuse(buddy, FREEHOLD_NO_MEMORY, "freehold_buddy_take");
}

static bool take_at_once(state *s, freehold__frame_place place, size_t pages, size_t bytes)
{
    freehold__lock_take(&s->lock);
    bool taken = freehold__frames_take_at(&s->frames, place, pages, 0);
    if (taken)
        count_taken(s, 1, bytes);
    freehold__lock_drop(&s->lock);
    return taken;
}

void *freehold_buddy_take_at(freehold_buddy *buddy, void *start, size_t bytes)
{
    state *s = changing(buddy, "freehold_buddy_take_at");
    freehold__frame_place place = freehold__frames_find(&s->frames, (uintptr_t)start);
    size_t pages;
    if (bytes == 0)
        return NULL;
    if (((uintptr_t)start & (page_bytes(s) - 1)) != 0)
        return refuse(buddy, FREEHOLD_INVALID, "freehold_buddy_take_at");
    bool there = place.range != NULL && pages_of(s, bytes, &pages);
    if (there && (take_at_once(s, place, pages, bytes) ||
                     (drain_all(s) != 0 && take_at_once(s, place, pages, bytes))))
        return start;
    count_failure(s);
    return refuse(buddy, FREEHOLD_NO_MEMORY, "freehold_buddy_take_at");
}

static size_t take_some(state *s, void **blocks, size_t count)
{
    size_t got = 0;
    freehold__lock_take(&s->lock);
    for (; got < count; got++) {
        freehold__frame_place place =
            freehold__frames_take(&s->frames, (freehold__frame_request){1, 1, 0, 0});
        if (place.range == NULL)
            break;
        blocks[got] = (void *)freehold__frame_address(&s->frames, place);
    }
    count_taken(s, got, got * page_bytes(s));
    freehold__lock_drop(&s->lock);
    return got;
}

size_t freehold_buddy_take_batch(freehold_buddy *buddy, void **blocks, size_t count)
{
    state *s = changing(buddy, "freehold_buddy_take_batch");
    size_t got = take_some(s, blocks, count);
    if (got < count && drain_all(s) != 0)
        got += take_some(s, blocks + got, count - got);
    return got;
}

/* Up to the first that is no live block; which one that is. */
static size_t put_some(state *s, void **blocks, size_t count)
{
    size_t at = 0;
    freehold__lock_take(&s->lock);
    for (; at < count; at++) {
        uintptr_t address = (uintptr_t)blocks[at];
        freehold__frame_place place = freehold__frames_find(&s->frames, address);
        if (address != 0 && (!is_live(s, place, address) || !put(s, place)))
            break;
    }
    freehold__lock_drop(&s->lock);
    return at;
}

void freehold_buddy_free_batch(freehold_buddy *buddy, void **blocks, size_t count)
{
    state *s = changing(buddy, "freehold_buddy_free_batch");
    size_t done = put_some(s, blocks, count);
    if (done < count)
        report_misuse(s, "freehold_buddy_free_batch", blocks[done]);
}

size_t freehold_buddy_split(freehold_buddy *buddy, void *block, size_t unit_bytes)
{
    state *s = changing(buddy, "freehold_buddy_split");
    freehold__frame_place place = find(s, block, "freehold_buddy_split");
    size_t pages = unit_bytes >> s->frames.shift, count = 0;
    if (unit_bytes == 0 || (unit_bytes & (page_bytes(s) - 1)) != 0)
        return 0;
    freehold__lock_take(&s->lock);
    bool live = is_live(s, place, (uintptr_t)block); /* still, or as a single page */
    if (freehold__likely(live)) {
        size_t most = freehold__frame_of(place)->pages;
        count = freehold__frames_split(place, (uint32_t)(pages < most ? pages : most));
        s->allocations += count - 1;
    }
    freehold__lock_drop(&s->lock);
    if (freehold__unlikely(!live))
        report_misuse(s, "freehold_buddy_split", block);
    return count;
}

/* ---- for heaps --------------------------------------------------------------------------------- */

void *freehold_buddy_map(freehold_buddy *buddy, size_t bytes, size_t alignment)
{
    state *s = changing(buddy, "freehold_buddy_map");
    freehold__frame_request request = {.align = alignment, .kind = FREEHOLD_BUDDY_MAPPED};
    if (bytes == 0 || !freehold__is_power_of_two(alignment) || !pages_of(s, bytes, &request.pages))
        return NULL;
    uintptr_t address = take(s, request, bytes);
    if (address == 0)
        return NULL;
    freehold__lock_take(&s->lock);
    s->allocations += freehold__frames_split(freehold__frames_find(&s->frames, address), 1) - 1;
    freehold__lock_drop(&s->lock);
    return memset((void *)address, 0, request.pages << s->frames.shift);
}

static bool is_mapped(const state *s, freehold__frame_place place, uintptr_t address)
{
    return is_live(s, place, address) && freehold__frame_of(place)->kind == FREEHOLD_BUDDY_MAPPED;
}

void freehold_buddy_unmap(freehold_buddy *buddy, void *base, size_t bytes)
{
    state *s = changing(buddy, "freehold_buddy_unmap");
    uintptr_t at = (uintptr_t)base; /* where they end may be where memory does */
    size_t page = page_bytes(s), left = bytes / page + (bytes % page != 0);
    freehold__lock_take(&s->lock);
    for (; left > 0; left--, at += page) {
        freehold__frame_place place = freehold__frames_find(&s->frames, at);
        if (!is_mapped(s, place, at) || !put(s, place))
            break;
    }
    freehold__lock_drop(&s->lock);
    if (left > 0)
        report_misuse(s, "freehold_buddy_unmap", (void *)at);
}

/* ---- what there is ----------------------------------------------------------------------------- */

freehold_buddy_usage freehold_buddy_get_usage(freehold_buddy *buddy)
{
    state *s = checked(buddy, "freehold_buddy_get_usage");
    size_t cached = lock_and_collect(s);
    freehold_buddy_usage usage = {
        .managed_bytes = s->frames.managed << s->frames.shift,
        .free_bytes = s->frames.free << s->frames.shift,
        .cached_bytes = cached << s->frames.shift,
        .state_bytes = s->frames.state_bytes,
        .ranges = s->frames.range_count,
    };
    for (unsigned kind = 0; kind < FREEHOLD_BUDDY_KINDS; kind++)
        usage.kind_bytes[kind] = s->frames.taken[kind] << s->frames.shift;
    usage.kind_bytes[0] -= usage.cached_bytes;
    unlock_all(s);
    return usage;
}

bool freehold_buddy_get_range(freehold_buddy *buddy, unsigned number, freehold_buddy_range *range)
{
    state *s = checked(buddy, "freehold_buddy_get_range");
    freehold__lock_take(&s->lock);
    const freehold__range *r = atomic_load_explicit(&s->frames.ranges, memory_order_acquire);
    for (; r != NULL && number > 0; number--)
        r = atomic_load_explicit(&r->next, memory_order_acquire);
    if (r != NULL)
        *range = (freehold_buddy_range){(void *)r->start, (size_t)r->pages << s->frames.shift,
            (size_t)r->free << s->frames.shift, r->physical};
    freehold__lock_drop(&s->lock);
    return r != NULL;
}

/* ---- beginning, ranges, end -------------------------------------------------------------------- */

static bool has_cpus(const freehold_cpus *cpus)
{
    return cpus != NULL && cpus->count != 0 && cpus->enter != NULL && cpus->leave != NULL;
}

void freehold_buddy_init(freehold_buddy *buddy, const freehold_buddy_options *options)
{
    static const freehold_buddy_options none = {0};
    const freehold_buddy_options *o = options != NULL ? options : &none;
    memset(buddy->state, 0, sizeof buddy->state);
    freehold__allocator_begin(&buddy->base, &operations, o->page != 0 ? o->page : 4096);
    state *s = state_of(&buddy->base);
    s->frames.shift = freehold__highest_bit(buddy->base.alignment);
    s->physical = o->physical;
    if (o->caches != NULL && has_cpus(o->cpus)) {
        s->cpus = *o->cpus;
        s->caches = (cache *)(void *)o->caches;
    }
}

static freehold_error add(
    freehold_buddy *buddy, state *s, void *start, size_t bytes, void *own, size_t own_bytes)
{
    freehold__lock_take(&s->lock);
    freehold_error error =
        freehold__frames_add(&s->frames, (uintptr_t)start, bytes, own, own_bytes, s->physical);
    freehold__lock_drop(&s->lock);
    if (error != FREEHOLD_OK)
        __atomic_store_n(&buddy->base.error, (uint32_t)error, __ATOMIC_RELAXED);
    return error;
}

freehold_error freehold_buddy_add(freehold_buddy *buddy, void *start, size_t bytes)
{
    return add(buddy, changing(buddy, "freehold_buddy_add"), start, bytes, NULL, 0);
}

freehold_error freehold_buddy_add_with(
    freehold_buddy *buddy, void *start, size_t bytes, void *own, size_t own_bytes)
{
    state *s = changing(buddy, "freehold_buddy_add_with");
    return own != NULL ? add(buddy, s, start, bytes, own, own_bytes) : FREEHOLD_INVALID;
}

size_t freehold_buddy_state_bytes(freehold_buddy *buddy, size_t bytes)
{
    state *s = checked(buddy, "freehold_buddy_state_bytes");
    return freehold__range_bytes(bytes >> s->frames.shift);
}

void freehold_buddy_deinit(freehold_buddy *buddy)
{
    if (buddy == NULL)
        return;
    checked(buddy, "freehold_buddy_deinit");
    freehold_allocator_deinit(&buddy->base);
    memset(buddy->state, 0, sizeof buddy->state);
}
