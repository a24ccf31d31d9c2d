/* SPDX-License-Identifier: MIT */
/*
 * The debugging allocator (freehold/debug.h): its operations and its records, one lock for them.
 *
 * The parent and the port are called without the lock, for they may call back. A block is put on
 * record when it is there, and off it before it goes. What a misuse is, is found under the lock and
 * copied; the report comes when it is dropped, and nothing was changed.
 */
#include "freehold/debug.h"

#include "allocators/debug.h"
#include "allocators/front.h"
#include "allocators/held.h"
#include "allocators/wrap.h"

#define MAGIC            FREEHOLD_MAGIC('f', 'h', ' ', 'd', 'e', 'b', 'u', 'g')
#define FRAMES           8
#define CANARY           16
#define CANARY_MOST      4096
#define MOST_BLOCKS      1000000
#define MOST_FREED       1024
#define MOST_STACKS      100000
#define QUARANTINE_BYTES ((size_t)256 << 20)

typedef freehold__debug state;
typedef freehold__debug_block live_block;
typedef freehold__debug_freed freed_block;
typedef freehold__debug_found found;
typedef freehold__debug_told told;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__DEBUG_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a debugging allocator must fit its public structure");
_Static_assert(FREEHOLD_DEBUG_FRAMES == FREEHOLD__STACK_MOST, "the most frames are one number");

static const freehold_operations operations;

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_debug *)(void *)self)->state;
}

static void check_thread(const state *d, const char *function, const void *pointer)
{
    if (freehold__unlikely(d->options.one_thread) && d->thread != freehold__port_thread())
        freehold__debug_wrong_thread(function, pointer);
}

static freehold__stack stack_here(const state *d)
{
    if (d->options.no_stacks)
        return (freehold__stack){.count = 0};
    return d->inside_bytes != 0
               ? freehold__stack_outside(d->inside, d->inside_bytes, d->options.frames)
               : freehold__stack_here(&operations, d->options.frames);
}

/* ---- the record of live blocks, under the lock ----------------------------------------------- */

told freehold__debug_tell(const state *d, const live_block *block)
{
    return (told){.block = *block, .allocated = freehold__depot_get(&d->depot, block->allocated)};
}

told freehold__debug_tell_freed(const state *d, const freed_block *entry)
{
    told result = freehold__debug_tell(d, &entry->block);
    result.freed = freehold__depot_get(&d->depot, entry->freed);
    return result;
}

static void count_live(state *d, size_t gained, size_t lost)
{
    d->counts.live_bytes += gained;
    d->counts.live_bytes -= lost;
    if (d->counts.live_bytes > d->counts.peak_live_bytes)
        d->counts.peak_live_bytes = d->counts.live_bytes;
}

/* ---- the record of freed blocks, under the lock ---------------------------------------------- */

/* The i-th last, from 0. */
static freed_block *freed_before(const state *d, size_t i)
{
    size_t most = d->options.most_freed;
    return &d->freed[(d->next + most - 1 - i) % most];
}

const freed_block *freehold__debug_next_held(const state *d, size_t *at)
{
    while (*at < d->held) {
        const freed_block *entry = freed_before(d, (*at)++);
        if (entry->held)
            return entry;
    }
    return NULL;
}

static freed_block *oldest_held(state *d)
{
    while (d->held != 0 && !freed_before(d, d->held - 1)->held)
        d->held--;
    return d->held != 0 ? freed_before(d, d->held - 1) : NULL;
}

/* What is mapped for blocks on pages becomes less: it goes back to the system when the lock is dropped. */
static void count_unmapped(state *d, size_t bytes)
{
    d->mapped_bytes -= bytes;
    d->counts.purged_bytes += bytes;
}

/*
 * The oldest leaves the quarantine; the caller gives its place back, when the lock is dropped. `raw` is
 * NULL if there is none. If it was written to, that is reported, without the lock, and it stays.
 */
static live_block leave_quarantine(state *d, const char *function)
{
    freed_block *oldest = oldest_held(d);
    if (oldest == NULL)
        return (live_block){.raw = NULL};
    freehold__debug_damage damage = freehold__debug_look_freed(&oldest->block);
    if (freehold__unlikely(damage.any)) {
        found wrong = {FREEHOLD__FREED, freehold__debug_tell_freed(d, oldest)};
        freehold__lock_drop(&d->lock);
        freehold__debug_damaged(function, &wrong, damage);
    }
    oldest->held = false;
    d->held--;
    d->quarantine -= oldest->block.raw_bytes;
    count_unmapped(d, oldest->block.on_pages ? oldest->block.raw_bytes : 0);
    return oldest->block;
}

/* Without the lock: as many leave it as is too much, or all. Returns how many bytes of pages. */
static size_t end_quarantine(state *d, const char *function, size_t most)
{
    size_t unmapped = 0;
    for (;;) {
        live_block left = {.raw = NULL};
        freehold__lock_take(&d->lock);
        if (d->quarantine > most)
            left = leave_quarantine(d, function);
        freehold__lock_drop(&d->lock);
        if (left.raw == NULL)
            return unmapped;
        unmapped += left.on_pages ? left.raw_bytes : 0;
        freehold__debug_unplace(d, &left);
    }
}

/* NULL: there is no memory for the record. The oldest makes room. */
static freed_block *new_freed(state *d)
{
    if (d->freed == NULL)
        d->freed =
            freehold_alloc_zeroed(d->live.memory, d->options.most_freed * sizeof(freed_block));
    if (d->freed == NULL)
        return NULL;
    freehold__assert(d->held < d->options.most_freed);
    freed_block *entry = &d->freed[d->next];
    d->next = (d->next + 1) % d->options.most_freed;
    d->count += d->count < d->options.most_freed;
    d->held++;
    return entry;
}

/* Whether it is in quarantine now; otherwise its place is to be given back. */
static bool record_freed(state *d, const live_block *block, const freehold__stack *here)
{
    size_t bytes = block->raw_bytes, of_pages = block->on_pages ? bytes : 0;
    freed_block *entry = new_freed(d);
    if (entry != NULL) {
        *entry = (freed_block){.block = *block, .freed = freehold__depot_put(&d->depot, here)};
        entry->held = bytes <= d->options.quarantine_bytes && freehold__debug_hold(block);
    }
    bool held = entry != NULL && entry->held;
    freehold__debug_leave_pages(d, block);
    d->used_bytes -= of_pages;
    count_unmapped(d, held ? 0 : of_pages);
    d->quarantine += held ? bytes : 0;
    return held;
}

/* ---- finding, under the lock ----------------------------------------------------------------- */

static bool has(const live_block *block, uintptr_t address)
{
    return address - block->start < block->bytes;
}

/* The record of the live block that the pointer is in. Linear, but for its start. */
static live_block *record_around(const state *d, const void *pointer)
{
    live_block *record = freehold__table_find(&d->live, (uintptr_t)pointer);
    if (record != NULL)
        return record;
    while ((record = freehold__table_next(&d->live, record)) != NULL)
        if (has(record, (uintptr_t)pointer))
            return record;
    return NULL;
}

static bool is_around(const live_block *block, uintptr_t address)
{
    return address - (uintptr_t)block->raw < block->raw_bytes;
}

/* The newest of the freed blocks that the pointer is in, or, with `wide`, in the place of. */
static const freed_block *freed_around(const state *d, const void *pointer, bool wide)
{
    for (size_t i = 0; i < d->count; i++) {
        const freed_block *entry = freed_before(d, i);
        if (wide ? is_around(&entry->block, (uintptr_t)pointer)
                 : has(&entry->block, (uintptr_t)pointer))
            return entry;
    }
    return NULL;
}

static found find_any(const state *d, const void *pointer)
{
    found result = {.what = FREEHOLD__NOTHING};
    const live_block *record = record_around(d, pointer);
    const freed_block *entry = record == NULL ? freed_around(d, pointer, false) : NULL;
    if (record != NULL) {
        result.what = FREEHOLD__LIVE;
        result.told = freehold__debug_tell(d, record);
    } else if (entry != NULL) {
        result.what = FREEHOLD__FREED;
        result.told = freehold__debug_tell_freed(d, entry);
    }
    return result;
}

/* ---- checks before anything is changed ------------------------------------------------------- */

/* The lock is held for a live block, and then it returns its record; anything else is reported. */
static live_block *hold_live(freehold_allocator *self, const char *function, const void *block)
{
    state *d = state_of(self);
    check_thread(d, function, block);
    freehold__lock_take(&d->lock);
    live_block *record = freehold__table_find(&d->live, (uintptr_t)block);
    if (freehold__likely(record != NULL))
        return record;
    found what = find_any(d, block);
    freehold__lock_drop(&d->lock);
    freehold__stack here = stack_here(d);
    freehold__debug_misuse(self, function, block, &what, &here);
    return NULL;
}

/* The same for a block that is to change: its canaries are whole. */
static live_block *hold_whole(freehold_allocator *self, const char *function, const void *block)
{
    state *d = state_of(self);
    live_block *record = hold_live(self, function, block);
    freehold__debug_damage damage = freehold__debug_look(record);
    if (freehold__likely(!damage.any))
        return record;
    found wrong = {FREEHOLD__LIVE, freehold__debug_tell(d, record)};
    freehold__lock_drop(&d->lock);
    freehold__debug_damaged(function, &wrong, damage);
    return NULL;
}

/* ---- allocating ------------------------------------------------------------------------------ */

static freehold__cold void *refuse(freehold_allocator *self, freehold_error error)
{
    state *d = state_of(self);
    freehold__allocator_says(self, error);
    freehold__lock_take(&d->lock);
    d->counts.failures += freehold__is_failure(error);
    freehold__lock_drop(&d->lock);
    return NULL;
}

/* Why there is no room, or FREEHOLD_OK. */
static freehold_error put_on_record(state *d, const live_block *block, const freehold__stack *here)
{
    freehold__lock_take(&d->lock);
    bool full = d->live.used == d->live.most;
    live_block *record = freehold__table_add(&d->live, block->start);
    if (record != NULL) {
        *record = *block;
        record->allocated = freehold__depot_put(&d->depot, here);
        d->counts.requested_bytes += block->bytes;
        d->counts.allocations++;
        d->used_bytes += block->on_pages ? block->raw_bytes : 0;
        d->mapped_bytes += block->on_pages ? block->raw_bytes : 0;
        if (d->used_bytes > d->counts.peak_bytes)
            d->counts.peak_bytes = d->used_bytes;
        count_live(d, block->bytes, 0);
    }
    freehold__lock_drop(&d->lock);
    return record != NULL ? FREEHOLD_OK : full ? FREEHOLD_LIMIT : FREEHOLD_NO_MEMORY;
}

__attribute__((noinline)) static void *debug_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *d = state_of(self);
    live_block block;
    check_thread(d, "freehold_alloc", self);
    freehold_error error = freehold__debug_place(d, &block, bytes, alignment, offset, zeroed);
    if (error != FREEHOLD_OK)
        return refuse(self, error);
    freehold__stack here = stack_here(d);
    error = put_on_record(d, &block, &here);
    if (error == FREEHOLD_OK)
        return (void *)block.start;
    freehold__debug_leave_pages(d, &block);
    freehold__debug_unplace(d, &block);
    return refuse(self, error);
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* The lock is held, and dropped. Where all that is on record as freed is held, the oldest makes room first:
 * what is wrong with that is found before anything has changed. */
static size_t let_go(
    state *d, const char *function, live_block *record, const freehold__stack *here)
{
    live_block block = *record, left = {.raw = NULL};
    if (freehold__unlikely(d->held == d->options.most_freed))
        left = leave_quarantine(d, function);
    freehold__table_remove(&d->live, record);
    bool held = record_freed(d, &block, here);
    bool too_much = d->quarantine > d->options.quarantine_bytes;
    d->counts.frees++;
    count_live(d, 0, block.bytes);
    freehold__lock_drop(&d->lock);
    if (left.raw != NULL)
        freehold__debug_unplace(d, &left);
    if (!held)
        freehold__debug_unplace(d, &block);
    if (too_much)
        end_quarantine(d, function, d->options.quarantine_bytes);
    return block.bytes;
}

static size_t free_block(freehold_allocator *self, const char *function, void *block)
{
    state *d = state_of(self);
    freehold__stack here = stack_here(d);
    return let_go(d, function, hold_whole(self, function, block), &here);
}

static size_t free_sized(
    freehold_allocator *self, const char *function, void *block, size_t alignment, size_t bytes)
{
    state *d = state_of(self);
    freehold__stack here = stack_here(d);
    live_block *record = hold_whole(self, function, block);
    bool aligned = ((uintptr_t)block & (alignment - 1)) == 0;
    if (freehold__unlikely(record->bytes != bytes || !aligned)) {
        told copy = freehold__debug_tell(d, record);
        freehold__lock_drop(&d->lock);
        if (!aligned)
            freehold__debug_misaligned(function, &copy, alignment);
        freehold__debug_mismatch(function, &copy, bytes);
    }
    return let_go(d, function, record, &here);
}

__attribute__((noinline)) static size_t debug_free(freehold_allocator *self, void *block)
{
    return free_block(self, "freehold_free", block);
}

__attribute__((noinline)) static size_t debug_free_sized(
    freehold_allocator *self, void *block, size_t bytes)
{
    return free_sized(self, "freehold_free_sized", block, 1, bytes);
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* The block's record as it was, and in the table none of what is behind the block: for as long as
 * it is being resized, nobody looks there. */
static live_block begin_resize(freehold_allocator *self, const char *function, void *block)
{
    state *d = state_of(self);
    live_block *record = hold_whole(self, function, block);
    live_block copy = *record;
    record->behind = 0;
    freehold__lock_drop(&d->lock);
    return copy;
}

/* Another thread may have freed it meanwhile: that is reported. */
static void end_resize(freehold_allocator *self, const char *function, const live_block *block,
    size_t before, bool done)
{
    state *d = state_of(self);
    *hold_live(self, function, (void *)block->start) = *block;
    if (done) {
        d->counts.reallocations++;
        d->counts.requested_bytes += block->bytes;
        count_live(d, block->bytes, before);
    }
    freehold__lock_drop(&d->lock);
}

static bool resize(freehold_allocator *self, const char *function, void *block, size_t bytes)
{
    state *d = state_of(self);
    live_block record = begin_resize(self, function, block);
    size_t before = record.bytes;
    bool done = bytes == before || freehold__debug_resize(d, &record, bytes);
    end_resize(self, function, &record, before, done);
    return done;
}

static bool debug_resize(freehold_allocator *self, void *block, size_t bytes)
{
    return resize(self, "freehold_resize", block, bytes);
}

static size_t size_of(freehold_allocator *self, const char *function, const void *block)
{
    state *d = state_of(self);
    const live_block *record = hold_live(self, function, block);
    size_t bytes = record->bytes;
    freehold__lock_drop(&d->lock);
    return bytes;
}

static void *move(freehold_allocator *self, const char *function, void *block, size_t bytes)
{
    state *d = state_of(self);
    freehold__stack here = stack_here(d);
    hold_whole(self, function, block);
    freehold__lock_drop(&d->lock);
    size_t have = size_of(self, function, block);
    void *moved = debug_allocate(self, bytes, self->alignment, 0, false);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, have < bytes ? have : bytes);
    let_go(d, function, hold_live(self, function, block), &here);
    freehold__lock_take(&d->lock);
    d->counts.reallocations++;
    freehold__lock_drop(&d->lock);
    return moved;
}

__attribute__((noinline)) static void *debug_remap(
    freehold_allocator *self, void *block, size_t bytes)
{
    return move(self, "freehold_remap", block, bytes);
}

__attribute__((noinline)) static void *debug_realloc(
    freehold_allocator *self, void *block, size_t bytes)
{
    const char *function = "freehold_realloc";
    return resize(self, function, block, bytes) ? block : move(self, function, block, bytes);
}

/* ---- looking --------------------------------------------------------------------------------- */

static size_t debug_usable_size(freehold_allocator *self, const void *block)
{
    return size_of(self, "freehold_usable_size", block);
}

static void *debug_base(freehold_allocator *self, const void *pointer)
{
    state *d = state_of(self);
    check_thread(d, "freehold_base", pointer);
    freehold__lock_take(&d->lock);
    const live_block *record = record_around(d, pointer);
    void *base = record != NULL ? (void *)record->start : NULL;
    freehold__lock_drop(&d->lock);
    return base;
}

static freehold_statistics debug_stats(freehold_allocator *self)
{
    state *d = state_of(self);
    check_thread(d, "freehold_stats", self);
    freehold__lock_take(&d->lock);
    freehold_statistics own = d->counts;
    own.used_bytes = d->used_bytes;
    own.mapped_bytes = d->mapped_bytes;
    freehold__lock_drop(&d->lock);
    if (d->parent == NULL)
        return own;
    freehold_statistics all = freehold__wrap_stats(d->parent, own);
    all.used_bytes += own.used_bytes;
    all.mapped_bytes += own.mapped_bytes;
    all.purged_bytes += own.purged_bytes;
    all.peak_bytes += own.peak_bytes; /* together they may have had less */
    return all;
}

static void debug_reset_stats(freehold_allocator *self)
{
    state *d = state_of(self);
    check_thread(d, "freehold_reset_stats", self);
    freehold__lock_take(&d->lock);
    d->counts = (freehold_statistics){
        .allocations = d->counts.allocations - d->counts.frees,
        .live_bytes = d->counts.live_bytes,
        .peak_live_bytes = d->counts.live_bytes,
        .peak_bytes = d->used_bytes,
    };
    freehold__lock_drop(&d->lock);
}

bool freehold__debug_next_wrong(
    const state *d, freehold__debug_walk *walk, found *wrong, freehold__debug_damage *damage)
{
    const freed_block *entry;
    while (!walk->past_live && (walk->live = freehold__table_next(&d->live, walk->live)) != NULL)
        if ((*damage = freehold__debug_look(walk->live)).any) {
            *wrong = (found){FREEHOLD__LIVE, freehold__debug_tell(d, walk->live)};
            return true;
        }
    walk->past_live = true;
    while ((entry = freehold__debug_next_held(d, &walk->held)) != NULL)
        if ((*damage = freehold__debug_look_freed(&entry->block)).any) {
            *wrong = (found){FREEHOLD__FREED, freehold__debug_tell_freed(d, entry)};
            return true;
        }
    return false;
}

/* Under the lock. The text stays until the next check. */
static const char *check_blocks(state *d)
{
    freehold__debug_walk walk = {0};
    freehold__debug_damage damage;
    found wrong;
    if (!freehold__debug_next_wrong(d, &walk, &wrong, &damage))
        return NULL;
    d->wrong.length = 0;
    freehold__text_add(&d->wrong, "debug: ");
    freehold__text_hex(&d->wrong, wrong.told.block.start);
    freehold__text_add(&d->wrong, ": ");
    freehold__debug_add_damage(&d->wrong, &wrong, damage);
    return freehold__corrupt(d->wrong.bytes, (void *)wrong.told.block.start);
}

static const char *debug_check(freehold_allocator *self)
{
    state *d = state_of(self);
    check_thread(d, "freehold_check", self);
    freehold__lock_take(&d->lock);
    const char *wrong = freehold__table_check(&d->live);
    if (wrong == NULL)
        wrong = check_blocks(d);
    freehold__lock_drop(&d->lock);
    return wrong != NULL || d->parent == NULL ? wrong : freehold_check(d->parent);
}

static bool debug_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    state *d = state_of(self);
    bool goes_on = true;
    freehold__held held;
    check_thread(d, "freehold_walk", self);
    freehold__hold(&held, &d->lock);
    live_block *record = NULL;
    while (goes_on && (record = freehold__table_next(&d->live, record)) != NULL)
        goes_on = visit(context, (void *)record->start, record->bytes);
    freehold__release(&held);
    return goes_on;
}

/* The quarantine, and then the parent. */
static size_t debug_trim(freehold_allocator *self)
{
    state *d = state_of(self);
    check_thread(d, "freehold_trim", self);
    size_t bytes = end_quarantine(d, "freehold_trim", 0);
    return d->parent != NULL ? bytes + freehold_trim(d->parent) : bytes;
}

/* ---- for malloc's names ----------------------------------------------------------------------- */

void *freehold__debug_alloc(freehold_debug *debug, size_t bytes, size_t alignment, bool zeroed)
{
    return debug_allocate(&debug->base, bytes, alignment, 0, zeroed);
}

void freehold__debug_free(freehold_debug *debug, const char *function, void *block)
{
    free_block(&debug->base, function, block);
}

void freehold__debug_free_sized(
    freehold_debug *debug, const char *function, void *block, size_t alignment, size_t bytes)
{
    free_sized(&debug->base, function, block, alignment, bytes);
}

void *freehold__debug_realloc(
    freehold_debug *debug, const char *function, void *block, size_t bytes)
{
    return resize(&debug->base, function, block, bytes)
               ? block
               : move(&debug->base, function, block, bytes);
}

size_t freehold__debug_size(freehold_debug *debug, const char *function, const void *block)
{
    return size_of(&debug->base, function, block);
}

freehold__debug *freehold__debug_state(freehold_debug *debug)
{
    return state_of(&debug->base);
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "debug",
    .allocate = debug_allocate,
    .free = debug_free,
    .resize = debug_resize,
    .remap = debug_remap,
    .realloc = debug_realloc,
    .free_sized = debug_free_sized,
    .usable_size = debug_usable_size,
    .base = debug_base,
    .stats = debug_stats,
    .check = debug_check,
    .walk = debug_walk,
    .trim = debug_trim,
    .reset_stats = debug_reset_stats,
};

FREEHOLD__DEFINE(debug)

static freehold_debug_options complete(const freehold_debug_options *given)
{
    freehold_debug_options o = given != NULL ? *given : (freehold_debug_options){0};
    o.frames = (unsigned)freehold__wrap_option(o.frames, FRAMES);
    if (o.frames > FREEHOLD_DEBUG_FRAMES)
        o.frames = FREEHOLD_DEBUG_FRAMES;
    o.canary_bytes = (unsigned)freehold__wrap_option(o.canary_bytes, CANARY);
    o.canary_bytes = o.canary_bytes < CANARY_MOST ? (o.canary_bytes + 15) & ~15u : CANARY_MOST;
    o.most_blocks = freehold__wrap_option(o.most_blocks, MOST_BLOCKS);
    o.most_freed = freehold__wrap_option(o.most_freed, MOST_FREED);
    if (o.most_freed > SIZE_MAX / 2 / sizeof(freed_block))
        o.most_freed = SIZE_MAX / 2 / sizeof(freed_block);
    o.most_stacks = freehold__wrap_option(o.most_stacks, MOST_STACKS);
    o.most_on_pages = freehold__wrap_option(o.most_on_pages, SIZE_MAX);
    o.quarantine_bytes = freehold__wrap_option(o.quarantine_bytes, o.pages ? QUARANTINE_BYTES : 0);
    return o;
}

void freehold_debug_init(freehold_debug *debug, freehold_allocator *parent,
    freehold_allocator *records, const freehold_debug_options *options)
{
    const char *function = "freehold_debug_init";
    bool pages = options != NULL && options->pages;
    if (!pages || parent != NULL)
        freehold__allocator_check(parent, function);
    records = freehold__wrap_records(records, &debug->own, function);
    memset(debug->state, 0, sizeof debug->state);
    state *d = state_of(&debug->base);
    d->options = complete(options);
    d->parent = parent;
    d->thread = freehold__port_thread();
    freehold__table_init(&d->live, records, sizeof(live_block), d->options.most_blocks);
    freehold__depot_init(&d->depot, records, d->options.frames, d->options.most_stacks);
    freehold_allocator_init(
        &debug->base, &operations, parent != NULL ? parent->alignment : FREEHOLD_ALIGNMENT);
}

/* ---- the end --------------------------------------------------------------------------------- */

static state *checked(freehold_debug *debug, const char *function)
{
    freehold__wrap_checked(debug, MAGIC, function, "debug");
    check_thread(state_of(&debug->base), function, debug);
    return state_of(&debug->base);
}

static void report_damage(state *d, const char *function)
{
    freehold__debug_walk walk = {0};
    freehold__debug_damage damage;
    found wrong;
    if (freehold__debug_next_wrong(d, &walk, &wrong, &damage))
        freehold__debug_damaged(function, &wrong, damage);
}

static void release_all(state *d)
{
    for (void *r = NULL; (r = freehold__table_next(&d->live, r)) != NULL;)
        freehold__debug_unplace(d, r);
    for (const freed_block *oldest; (oldest = oldest_held(d)) != NULL; d->held--)
        freehold__debug_unplace(d, &oldest->block);
    freehold_free(d->live.memory, d->freed);
    freehold__depot_release(&d->depot);
    freehold__table_release(&d->live);
}

void freehold_debug_deinit(freehold_debug *debug)
{
    const char *function = "freehold_debug_deinit";
    if (!freehold__wrap_ends(debug, MAGIC, function, "debug"))
        return;
    state *d = checked(debug, function);
    report_damage(d, function);
    if (d->options.write_line != NULL)
        freehold_debug_leaks(debug, d->options.write_line, d->options.context);
    freehold_allocator_deinit(&debug->base);
    bool own = d->live.memory == &debug->own.base;
    release_all(d);
    if (own)
        freehold_heap_deinit(&debug->own);
    memset(debug->state, 0, sizeof debug->state);
}

__attribute__((noinline)) static void call_user_writer(
    freehold_debug_writer write_line, void *context, const told *block)
{
    freehold__text text = freehold__debug_leak_line(block);
    write_line(context, text.bytes);
}

size_t freehold_debug_leaks(freehold_debug *debug, freehold_debug_writer write_line, void *context)
{
    state *d = checked(debug, "freehold_debug_leaks");
    freehold__held held;
    freehold__hold(&held, &d->lock);
    size_t count = d->live.used;
    for (void *r = NULL; (r = freehold__table_next(&d->live, r)) != NULL;) {
        told block = freehold__debug_tell(d, r);
        call_user_writer(write_line, context, &block);
    }
    freehold__release(&held);
    return count;
}

/* Under the lock: also of what is beside a block. */
static found find_wide(const state *d, const void *pointer)
{
    found result = find_any(d, pointer);
    for (void *r = NULL;
         result.what == FREEHOLD__NOTHING && (r = freehold__table_next(&d->live, r)) != NULL;)
        if (is_around(r, (uintptr_t)pointer)) {
            result.what = FREEHOLD__LIVE;
            result.told = freehold__debug_tell(d, r);
        }
    const freed_block *entry =
        result.what == FREEHOLD__NOTHING ? freed_around(d, pointer, true) : NULL;
    if (entry != NULL) {
        result.what = FREEHOLD__FREED;
        result.told = freehold__debug_tell_freed(d, entry);
    }
    return result;
}

void freehold__debug_trapped(
    freehold_debug *debug, const void *pointer, const char *access, const freehold__stack *here)
{
    state *d = state_of(&debug->base);
    if (freehold__lock_is_mine(&d->lock))
        return; /* it is we who did it */
    freehold__lock_take(&d->lock);
    found what = find_wide(d, pointer);
    freehold__lock_drop(&d->lock);
    if (what.what != FREEHOLD__NOTHING)
        freehold__debug_trap(access, pointer, &what, here);
}

bool freehold_debug_explain(
    freehold_debug *debug, const void *pointer, freehold_debug_writer write_line, void *context)
{
    state *d = checked(debug, "freehold_debug_explain");
    freehold__lock_take(&d->lock);
    found what = find_wide(d, pointer);
    freehold__lock_drop(&d->lock);
    if (what.what == FREEHOLD__NOTHING)
        return false;
    freehold__debug_explain_lines(&what, pointer, write_line, context);
    return true;
}
