/* SPDX-License-Identifier: MIT */
/*
 * A budget over any allocator (freehold/limit.h).
 *
 * Two sums are kept. `charged` is what the hard limit is about: it is raised before the parent is
 * asked, and lowered after the parent has answered or freed, so that it is never below what is live
 * in the parent. `level` is what is live, and whether that is above the soft limit, in one word: the
 * thread whose call makes it cross is the one that calls back.
 */
#include "freehold/limit.h"

#include "allocators/front.h"
#include "allocators/wrap.h"
#include "port/port.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'l', 'i', 'm', 'i', 't')

/* What freehold_limit has in its words. */
typedef struct state {
    freehold_allocator *parent;
    _Atomic size_t hard, soft;
    _Atomic size_t charged;
    _Atomic uint64_t level; /* live bytes * 2 + whether above the soft limit */
    _Atomic size_t peak;    /* of live bytes */
    _Atomic uint64_t requested, allocations, frees, reallocations, failures;
    freehold__lock lock;              /* for these two, which belong together */
    freehold_limit_callback callback; /* NULL: none */
    void *context;
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__LIMIT_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a limit must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_limit *)(void *)self)->state;
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

/* ---- the hard limit -------------------------------------------------------------------------- */

static bool charge(state *s, size_t bytes)
{
    size_t charged = atomic_load(&s->charged), hard;
    do {
        hard = atomic_load(&s->hard);
        if (charged > hard || bytes > hard - charged)
            return false;
    } while (!atomic_compare_exchange_weak(&s->charged, &charged, charged + bytes));
    return true;
}

static void discharge(state *s, size_t bytes)
{
    atomic_fetch_sub(&s->charged, bytes);
}

static freehold__cold void *refuse(freehold_allocator *self, freehold_error error)
{
    freehold__allocator_says(self, error);
    add(&state_of(self)->failures, freehold__is_failure(error));
    return NULL;
}

/* The parent has refused. */
static freehold__cold void *refused(freehold_allocator *self)
{
    return refuse(self, freehold__wrap_reason(state_of(self)->parent));
}

/* ---- what is live, and the soft limit -------------------------------------------------------- */

static size_t live_of(const state *s)
{
    return (size_t)(atomic_load(&s->level) >> 1);
}

static freehold__cold void call_user(freehold_allocator *self, size_t live)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    freehold_limit_callback callback = s->callback;
    void *context = s->context;
    freehold__lock_drop(&s->lock);
    if (callback != NULL)
        callback(context, (freehold_limit *)(void *)self, live);
}

static void raise_peak(state *s, size_t live)
{
    size_t peak = atomic_load_explicit(&s->peak, memory_order_relaxed);
    while (peak < live && !atomic_compare_exchange_weak(&s->peak, &peak, live))
        ;
}

/* Live bytes become more by `gained` and fewer by `lost`; *live is what they are. False: so many
 * were not live. Whether they have crossed the soft limit upwards is *crossed. */
static bool move_level(state *s, size_t gained, size_t lost, size_t *live, bool *crossed)
{
    uint64_t level = atomic_load(&s->level), next;
    do {
        *live = (size_t)(level >> 1) + gained;
        if (freehold__unlikely(*live < lost))
            return false;
        *live -= lost;
        bool above = *live > atomic_load(&s->soft);
        *crossed = above && (level & 1) == 0;
        next = (uint64_t)*live << 1 | above;
    } while (!atomic_compare_exchange_weak(&s->level, &level, next));
    return true;
}

static void settle(freehold_allocator *self, size_t gained, size_t lost, const void *block)
{
    state *s = state_of(self);
    size_t live;
    bool crossed;
    if (freehold__unlikely(!move_level(s, gained, lost, &live, &crossed))) {
        freehold_misused(self, "freehold_free", block);
        return;
    }
    raise_peak(s, live);
    if (freehold__unlikely(crossed))
        call_user(self, live);
}

/* ---- allocating and freeing ------------------------------------------------------------------ */

/* Charges what the parent has rounded a charged request up by. If that cannot be, the block goes
 * back, and the charge too. */
static void *charge_rest(freehold_allocator *self, void *block, size_t bytes, size_t *usable)
{
    state *s = state_of(self);
    *usable = freehold_usable_size(s->parent, block);
    if (freehold__likely(*usable >= bytes) && freehold__likely(charge(s, *usable - bytes)))
        return block;
    freehold_error error = *usable < bytes ? FREEHOLD_UNSUPPORTED : FREEHOLD_LIMIT;
    freehold_free(s->parent, block);
    discharge(s, bytes);
    return refuse(self, error);
}

/* A charged block that is not counted as live yet. */
static void *allocate(freehold_allocator *self, freehold__request request, size_t *usable)
{
    state *s = state_of(self);
    if (!charge(s, request.bytes))
        return refuse(self, FREEHOLD_LIMIT);
    void *block = freehold__wrap_ask(
        s->parent, request.bytes, request.alignment, request.offset, request.zeroed);
    if (block == NULL) {
        discharge(s, request.bytes);
        return refused(self);
    }
    return charge_rest(self, block, request.bytes, usable);
}

static void *limit_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    size_t usable;
    void *block = allocate(self, (freehold__request){bytes, alignment, offset, zeroed}, &usable);
    if (block == NULL)
        return NULL;
    add(&s->requested, bytes);
    add(&s->allocations, 1);
    settle(self, usable, 0, block);
    return block;
}

/* When nothing is live here, a block of the parent is none of ours. */
static void check_any(freehold_allocator *self, const char *function, const void *block)
{
    if (freehold__unlikely(live_of(state_of(self)) == 0) &&
        freehold__wrap_has(state_of(self)->parent, block))
        freehold_misused(self, function, block);
}

static size_t freed(freehold_allocator *self, const void *block, size_t bytes)
{
    state *s = state_of(self);
    settle(self, 0, bytes, block);
    discharge(s, bytes);
    add(&s->frees, 1);
    return bytes;
}

static size_t limit_free(freehold_allocator *self, void *block)
{
    check_any(self, "freehold_free", block);
    return freed(self, block, freehold_free(state_of(self)->parent, block));
}

static size_t limit_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    check_any(self, "freehold_free_sized", block);
    return freed(self, block, freehold_free_sized(state_of(self)->parent, block, bytes));
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* The block has another size where it is, and so much of its growth is charged. If the rest cannot
 * be, it gets its old size back; from a parent that keeps it as it is, it has the rest, which is charged then. */
static bool resized(freehold_allocator *self, void *block, size_t bytes, size_t old, size_t charged)
{
    state *s = state_of(self);
    size_t usable = freehold_usable_size(s->parent, block);
    bool fits = usable <= old + charged || charge(s, usable - old - charged);
    if (!fits) {
        freehold_resize(s->parent, block, old);
        usable = freehold_usable_size(s->parent, block);
        if (usable > old + charged)
            atomic_fetch_add(&s->charged, usable - old - charged);
    }
    if (usable < old + charged)
        discharge(s, old + charged - usable);
    add(&s->reallocations, fits);
    add(&s->requested, fits ? bytes : 0);
    settle(self, usable > old ? usable - old : 0, usable < old ? old - usable : 0, block);
    return fits;
}

static bool resize(freehold_allocator *self, void *block, size_t bytes, size_t old)
{
    state *s = state_of(self);
    size_t growth = bytes > old ? bytes - old : 0;
    if (growth != 0 && !charge(s, growth))
        return false;
    if (freehold_resize(s->parent, block, bytes))
        return resized(self, block, bytes, old, growth);
    discharge(s, growth);
    return false;
}

static bool limit_resize(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_allocator *parent = state_of(self)->parent;
    if (!freehold__wrap_has(parent, block))
        return freehold_resize(parent, block, bytes); /* reports it */
    return resize(self, block, bytes, freehold_usable_size(parent, block));
}

/* A block that moves counts as a new one and a free. */
static void count_move(state *s)
{
    add(&s->allocations, 1);
    add(&s->frees, 1);
}

/* A block was remapped, and what it has now is charged, beside what it had: not when the user is called, any more. */
static void *remapped(
    freehold_allocator *self, void *block, size_t bytes, size_t old, size_t usable)
{
    state *s = state_of(self);
    add(&s->requested, bytes);
    add(&s->reallocations, 1);
    discharge(s, old);
    settle(self, usable, old, block);
    return block;
}

/* By the parent, when twice the size can be charged: more than that it does not round up to. */
static void *move_in_parent(freehold_allocator *self, void *block, size_t bytes, size_t old)
{
    state *s = state_of(self);
    void *now = freehold_remap(s->parent, block, bytes);
    if (now == NULL) {
        discharge(s, 2 * bytes);
        return refused(self);
    }
    size_t usable = freehold_usable_size(s->parent, now);
    atomic_fetch_add(&s->charged, usable - 2 * bytes); /* it may wrap: what is meant is less */
    if (now != block)                                  /* it may have grown where it is */
        count_move(s);
    return remapped(self, now, bytes, old, usable);
}

/* By allocating, copying and freeing, with a new block that is charged exactly. */
static void *move_by_copy(freehold_allocator *self, void *block, size_t bytes, size_t old)
{
    size_t usable;
    void *now = allocate(self, (freehold__request){bytes, self->alignment, 0, false}, &usable);
    if (now == NULL)
        return NULL;
    memcpy(now, block, old < bytes ? old : bytes);
    freehold_free(state_of(self)->parent, block);
    count_move(state_of(self));
    return remapped(self, now, bytes, old, usable);
}

static void *remap(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    size_t old = freehold_usable_size(s->parent, block);
    if (resize(self, block, bytes, old))
        return block;
    /* Of what it was to grow by it may have kept some. */
    old = freehold_usable_size(s->parent, block);
    bool room = bytes <= SIZE_MAX / 2 && charge(s, 2 * bytes);
    return room ? move_in_parent(self, block, bytes, old) : move_by_copy(self, block, bytes, old);
}

static void *limit_remap(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_allocator *parent = state_of(self)->parent;
    return freehold__wrap_has(parent, block) ? remap(self, block, bytes)
                                             : freehold_remap(parent, block, bytes);
}

static void *limit_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    freehold_allocator *parent = state_of(self)->parent;
    return freehold__wrap_has(parent, block) ? remap(self, block, bytes)
                                             : freehold_realloc(parent, block, bytes);
}

/* ---- looking --------------------------------------------------------------------------------- */

static size_t limit_usable_size(freehold_allocator *self, const void *block)
{
    return freehold_usable_size(state_of(self)->parent, block);
}

static void *limit_base(freehold_allocator *self, const void *pointer)
{
    return freehold_base(state_of(self)->parent, pointer);
}

static freehold_statistics limit_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold_statistics own = {
        .requested_bytes = atomic_load(&s->requested),
        .allocations = atomic_load(&s->allocations),
        .frees = atomic_load(&s->frees),
        .reallocations = atomic_load(&s->reallocations),
        .failures = atomic_load(&s->failures),
        .live_bytes = live_of(s),
        .peak_live_bytes = atomic_load(&s->peak),
    };
    return freehold__wrap_stats(s->parent, own);
}

static void limit_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    uint64_t frees = atomic_exchange(&s->frees, 0);
    atomic_fetch_sub(&s->allocations, frees);
    atomic_store(&s->requested, 0);
    atomic_store(&s->reallocations, 0);
    atomic_store(&s->failures, 0);
    atomic_store(&s->peak, live_of(s));
}

static const char *limit_check(freehold_allocator *self)
{
    return freehold_check(state_of(self)->parent);
}

static bool limit_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    return freehold_walk(state_of(self)->parent, visit, context);
}

static size_t limit_trim(freehold_allocator *self)
{
    return freehold_trim(state_of(self)->parent);
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "limit",
    .allocate = limit_allocate,
    .free = limit_free,
    .resize = limit_resize,
    .remap = limit_remap,
    .realloc = limit_realloc,
    .free_sized = limit_free_sized,
    .usable_size = limit_usable_size,
    .base = limit_base,
    .stats = limit_stats,
    .check = limit_check,
    .walk = limit_walk,
    .trim = limit_trim,
    .reset_stats = limit_reset_stats,
};

FREEHOLD__DEFINE(limit)

void freehold_limit_init(freehold_limit *limit, freehold_allocator *parent, size_t hard_bytes)
{
    freehold__allocator_check(parent, "freehold_limit_init");
    memset(limit->state, 0, sizeof limit->state);
    state *s = state_of(&limit->base);
    s->parent = parent;
    s->hard = hard_bytes;
    s->soft = FREEHOLD_UNLIMITED;
    freehold_allocator_init(&limit->base, &operations, parent->alignment);
}

void freehold_limit_deinit(freehold_limit *limit)
{
    if (!freehold__wrap_ends(limit, MAGIC, "freehold_limit_deinit", "limit"))
        return;
    freehold_allocator_deinit(&limit->base);
    memset(limit->state, 0, sizeof limit->state);
}

static state *checked(freehold_limit *limit, const char *function)
{
    freehold__wrap_checked(limit, MAGIC, function, "limit");
    return state_of(&limit->base);
}

void freehold_limit_set_hard(freehold_limit *limit, size_t bytes)
{
    atomic_store(&checked(limit, "freehold_limit_set_hard")->hard, bytes);
}

void freehold_limit_set_soft(
    freehold_limit *limit, size_t bytes, freehold_limit_callback callback, void *context)
{
    state *s = checked(limit, "freehold_limit_set_soft");
    freehold__lock_take(&s->lock);
    s->callback = callback;
    s->context = context;
    freehold__lock_drop(&s->lock);
    atomic_store(&s->soft, bytes);
    size_t live;
    bool crossed; /* the limit has, not what is live */
    move_level(s, 0, 0, &live, &crossed);
}
