/* SPDX-License-Identifier: MIT */
/*
 * The engine of malloc with a lane for each CPU. Where malloc's lane belongs to a thread, this one
 * belongs to whoever is on the CPU, from enter to leave: that nobody else is there meanwhile is what
 * the fast paths need of a thread, too. What the engine finds to be misuse is reported when the CPU
 * has been left.
 */
#include "freehold/cpu_heap.h"

#include <string.h>

#include "allocators/cpus.h"
#include "allocators/blocks.h"
#include "allocators/front.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 'c', 'p', 'u', 's', '1')

/* What freehold_cpu_lane has in its words: written by its CPU alone, and read by any. */
typedef struct cpu_lane {
    _Atomic(freehold__lane *) lane; /* NULL until the first allocation, and when parked */
    _Atomic uint64_t requested, reallocations, failures;
    _Atomic uint64_t passes; /* odd while the CPU is in a call; never the same again */
    uint64_t seen;           /* what it was when the sections that leave began to; their lock */
} cpu_lane;

/* What freehold_cpu_heap has in its words. */
typedef struct state {
    freehold_cpus cpus; /* constant */
    char *lanes;        /* constant; each has sizeof(freehold_cpu_lane) */
    const char *wrong;  /* with what init was given; NULL: nothing */
    /* What the engine had counted at the last reset. */
    _Atomic uint64_t frees_before, purged_before;
    freehold__lock leaving_lock; /* of who sees sections off; before that of the pages */
    bool leaving;                /* some wait for the CPUs that were in a call */
    freehold__heap heap;
    uint64_t nobodys[FREEHOLD__CPU_LANE_WORDS]; /* the only lane, if something is wrong */
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__CPU_HEAP_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a heap must fit its public structure");
_Static_assert(sizeof(cpu_lane) <= sizeof(freehold_cpu_lane), "a lane must fit its structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_cpu_heap *)(void *)self)->state;
}

static cpu_lane *lane_of(const state *s, unsigned cpu)
{
    return (cpu_lane *)(void *)(s->lanes + cpu * sizeof(freehold_cpu_lane));
}

/* ---- being on a CPU ---------------------------------------------------------------------------- */

typedef struct here {
    unsigned cpu;
    cpu_lane *mine;
    freehold__lane *lane; /* of this CPU, or NULL */
} here;

static inline here enter(state *s)
{
    unsigned cpu = call_user_enter(&s->cpus);
    cpu_lane *mine = lane_of(s, cpu);
    /* Odd, also when a report of misuse was left by a jump, from within. */
    uint64_t passes = atomic_load_explicit(&mine->passes, memory_order_relaxed);
    atomic_store_explicit(&mine->passes, (passes + 1) | 1, memory_order_relaxed);
    return (here){cpu, mine, atomic_load_explicit(&mine->lane, memory_order_relaxed)};
}

static inline void leave(state *s, here h)
{
    uint64_t passes = atomic_load_explicit(&h.mine->passes, memory_order_relaxed);
    atomic_store_explicit(&h.mine->passes, passes + 1, memory_order_release);
    call_user_leave(&s->cpus, h.cpu);
}

static freehold__cold freehold__lane *first_lane(state *s, here h)
{
    freehold__lane *lane = freehold__lane_acquire(&s->heap);
    atomic_store_explicit(&h.mine->lane, lane, memory_order_relaxed);
    return lane;
}

/* The counts have one writer. */
static inline void add(_Atomic uint64_t *count, uint64_t more)
{
    uint64_t before = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, before + more, memory_order_relaxed);
}

static inline void count(here h, const void *block, size_t bytes)
{
    if (freehold__likely(block != NULL))
        add(&h.mine->requested, bytes);
    else
        add(&h.mine->failures, 1);
}

/* ---- sections that leave ------------------------------------------------------------------------ */

/*
 * A section without a span goes back to the port when every CPU that was in a call then has left it. Until then a free
 * by another CPU may still write into a descriptor, once its bit was merged and the span was given back (DESIGN.md,
 * "Remote free"): that bit it has published after the CPU came in, so that who has seen it sees the CPU inside.
 */
static void note_who_is_inside(state *s)
{
    atomic_thread_fence(memory_order_seq_cst); /* the sections are in no map any more */
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++)
        lane_of(s, cpu)->seen =
            atomic_load_explicit(&lane_of(s, cpu)->passes, memory_order_acquire);
}

/* This CPU is at a place where it has no such descriptor. */
static bool have_left(const state *s, here h)
{
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++) {
        const cpu_lane *lane = lane_of(s, cpu);
        if (cpu != h.cpu && lane->seen % 2 != 0 &&
            atomic_load_explicit(&lane->passes, memory_order_acquire) == lane->seen)
            return false;
    }
    return true;
}

/* The trace of a double free that came when the slab was given back. */
typedef struct stray {
    bool any;
    unsigned slot;
    freehold__slab slab;
} stray;

static void look_for_stray(void *context, const void *descriptor)
{
    stray *found = context;
    unsigned slot;
    if (freehold__likely(!freehold__slab_any_remote(descriptor, &slot)) || found->any)
        return;
    found->any = true;
    found->slot = slot;
    memcpy(&found->slab, descriptor, sizeof found->slab);
}

#define WAIT_AT_MOST 1000 /* times, for those who are inside: one may have been left by a jump */

/* Under the lock. False: somebody is inside. */
static bool see_off(state *s, here h, unsigned most, stray *found)
{
    for (unsigned times = 0; !have_left(s, h); times++) {
        if (times == most)
            return false;
        freehold__port_pause(times);
    }
    freehold__pages_unmap_leaving(&s->heap.pages, look_for_stray, found);
    s->leaving = false;
    return true;
}

static freehold__cold void let_sections_leave(state *s, here h, unsigned most)
{
    stray found = {.any = false};
    if (!freehold__lock_try(&s->leaving_lock))
        return; /* somebody is at it */
    if (!s->leaving || see_off(s, h, most, &found)) {
        s->leaving = freehold__pages_begin_leaving(&s->heap.pages);
        if (s->leaving) {
            note_who_is_inside(s);
            see_off(s, h, most, &found);
        }
    }
    freehold__lock_drop(&s->leaving_lock);
    if (freehold__unlikely(found.any))
        freehold__heap_raced(&found.slab, found.slot);
}

/* On slow paths, before the CPU is left. */
static void tend_sections(state *s, here h)
{
    if (freehold__unlikely(freehold__pages_shedding(&s->heap.pages)))
        let_sections_leave(s, h, 0);
}

/* ---- allocating -------------------------------------------------------------------------------- */

/* Pages for one block. Sections that are about to leave hold nothing but pages. */
static freehold__cold void *take_pages(state *s, here h, size_t bytes, size_t align, bool *zeroed)
{
    void *block = freehold__large_alloc(&s->heap.pages.large, bytes, align, zeroed);
    if (block == NULL && freehold__pages_shedding(&s->heap.pages)) {
        let_sections_leave(s, h, WAIT_AT_MOST);
        block = freehold__large_alloc(&s->heap.pages.large, bytes, align, zeroed);
    }
    return block;
}

/*
 * No slab is to be had: a slot of a larger class, not twice as large as the block, that this CPU has; or pages, for
 * there may be memory that is too short for a section. (Such blocks are there after a resize as well.)
 */
static freehold__cold void *instead_of_slot(
    state *s, here h, size_t bytes, size_t align, unsigned index, bool *zeroed)
{
    while (++index < FREEHOLD__CLASSES && freehold__size_classes[index].size / 2 <= bytes) {
        void *slot = freehold__size_classes[index].size % align == 0
                         ? freehold__lane_spare(h.lane, index)
                         : NULL;
        if (slot != NULL) {
            *zeroed = freehold__bin_known_zero(&h.lane->bin[index], slot);
            return slot;
        }
    }
    size_t left = freehold__round_up(bytes, freehold__port_page_size()) - bytes;
    return left <= bytes / 2 ? take_pages(s, h, bytes, align, zeroed) : NULL;
}

static inline void *allocate_slot(
    state *s, size_t bytes, size_t align, unsigned index, bool *zeroed)
{
    here h = enter(s);
    void *slot = NULL;
    if (freehold__unlikely(h.lane == NULL))
        h.lane = first_lane(s, h);
    if (freehold__likely(h.lane != NULL)) {
        freehold__bin *bin = &h.lane->bin[index];
        slot = freehold__bin_pop(bin);
        if (freehold__unlikely(slot == NULL)) {
            slot = freehold__lane_refill(h.lane, index);
            tend_sections(s, h);
        }
        *zeroed = freehold__bin_known_zero(bin, slot);
        if (freehold__unlikely(slot == NULL))
            slot = instead_of_slot(s, h, bytes, align, index, zeroed);
    }
    count(h, slot, bytes);
    leave(s, h);
    return slot;
}

static freehold__cold void *allocate_large(state *s, size_t bytes, size_t align, bool *zeroed)
{
    here h = enter(s);
    void *block = freehold__heap_large(&s->heap, h.lane, bytes, align, zeroed);
    if (block == NULL)
        block = take_pages(s, h, bytes, align, zeroed);
    count(h, block, bytes);
    leave(s, h);
    return block;
}

/* bytes > 0; align >= 16, a power of two. *zeroed: whether the block is known to read zero. */
static void *allocate(state *s, size_t bytes, size_t align, bool *zeroed)
{
    unsigned index = FREEHOLD__CLASSES;
    if (freehold__unlikely(align > FREEHOLD__MIN_ALIGN))
        index = freehold__class_of_aligned(bytes, align);
    else if (freehold__likely(bytes <= FREEHOLD__SLOT_MAX))
        index = freehold__class_of(bytes);
    return freehold__likely(index < FREEHOLD__CLASSES)
               ? allocate_slot(s, bytes, align, index, zeroed)
               : allocate_large(s, bytes, align, zeroed);
}

static void *cpu_heap_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    bool known = false;
    if (freehold__unlikely(offset != 0)) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    if (freehold__unlikely(state_of(self)->wrong != NULL)) {
        freehold__allocator_says(self, FREEHOLD_INVALID);
        return NULL;
    }
    void *block = allocate(state_of(self), bytes, alignment, &known);
    return !zeroed || known || block == NULL ? block : memset(block, 0, bytes);
}

/* ---- freeing ----------------------------------------------------------------------------------- */

/* On the CPU. The size of the slot, or 0: misuse, and nothing was changed. */
static inline size_t put_slot(state *s, here h, uintptr_t address)
{
    freehold__slab *slab = freehold__page_map_find(address);
    size_t bytes = slab->size; /* before the event, which may give the slab back */
    freehold__put put;
    if (freehold__unlikely(h.lane == NULL || freehold__slab_owner(slab) != (uintptr_t)h.lane)) {
        freehold__lane *lane = h.lane != NULL ? h.lane : &freehold__no_lane;
        bool done = freehold__lane_free_elsewhere(&s->heap, lane, slab, address);
        tend_sections(s, h);
        return done ? bytes : 0;
    }
    put = freehold__slab_put(slab, address);
    if (freehold__unlikely(put == FREEHOLD__PUT_EVENT)) {
        freehold__lane_event(h.lane, slab);
        tend_sections(s, h);
    }
    return freehold__likely(put != FREEHOLD__PUT_MISUSE) ? bytes : 0;
}

/* False: the address is in no section, which is asked on the CPU, where none goes. */
static inline bool free_slot(state *s, uintptr_t address, size_t *bytes)
{
    here h = enter(s);
    bool in_section = freehold__page_map_has(address);
    if (freehold__likely(in_section))
        *bytes = put_slot(s, h, address);
    leave(s, h);
    return in_section;
}

static freehold__cold size_t free_large(state *s, void *block)
{
    uint32_t now = freehold__port_milliseconds();
    size_t bytes = freehold__large_free(&s->heap.pages.large, block, now);
    if (bytes != 0) {
        here h = enter(s);
        freehold__heap_tend_at(&s->heap, h.lane, now);
        tend_sections(s, h);
        leave(s, h);
    }
    return bytes;
}

static inline size_t release(state *s, void *block, const char *function)
{
    size_t bytes = 0;
    if (freehold__unlikely(!free_slot(s, (uintptr_t)block, &bytes)))
        bytes = free_large(s, block);
    if (freehold__unlikely(bytes == 0))
        freehold__heap_misuse(&s->heap, function, block);
    return bytes;
}

static size_t cpu_heap_free(freehold_allocator *self, void *block)
{
    return release(state_of(self), block, "freehold_free");
}

/* A live block; anything else is fatal. */
static freehold__found find(state *s, const void *block, const char *function)
{
    here h = enter(s);
    freehold__found found = freehold__heap_find(&s->heap, block);
    leave(s, h);
    if (freehold__unlikely(found.bytes == 0))
        freehold__heap_misuse(&s->heap, function, block);
    return found;
}

/*
 * Whether the block may have been asked for with so many bytes: with any alignment that its class
 * has, because which one it was is not known.
 */
static bool fits(freehold__found found, size_t bytes)
{
    bool result = freehold__found_fits(found, 0, bytes);
    size_t most = found.slab != NULL ? found.bytes & -found.bytes : 0;
    for (size_t align = FREEHOLD__MIN_ALIGN; !result && align <= most; align *= 2)
        result = freehold__found_fits(found, align, bytes);
    return result;
}

static size_t cpu_heap_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    const char *function = "freehold_free_sized";
    if (!fits(find(s, block, function), bytes))
        freehold__heap_mismatch(&s->heap, function, block, bytes, 0);
    return release(s, block, function);
}

/* ---- resizing ---------------------------------------------------------------------------------- */

/* A new block of so many bytes would be no smaller either, or little so. */
static bool stays(freehold__found found, size_t bytes)
{
    return freehold__stays(found.bytes, bytes) ||
           (found.slab != NULL && bytes <= found.bytes &&
               freehold__class_of_aligned(bytes, FREEHOLD__MIN_ALIGN) == found.slab->index);
}

/* The bytes are counted already where a new block was allocated for it. */
static void count_reallocation(state *s, size_t bytes)
{
    here h = enter(s);
    add(&h.mine->requested, bytes);
    add(&h.mine->reallocations, 1);
    leave(s, h);
}

static bool cpu_heap_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    freehold__found found = find(s, block, "freehold_resize");
    bool resized = stays(found, bytes) ||
                   (found.slab == NULL && bytes > FREEHOLD__SLOT_MAX &&
                       freehold__large_resize_in_place(&s->heap.pages.large, block, bytes));
    if (resized)
        count_reallocation(s, bytes);
    return resized;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    freehold__found found = find(s, block, function);
    void *moved = stays(found, bytes) ? block : NULL;
    /* what the system moves is aligned to a page */
    if (moved == NULL && self->alignment <= freehold__port_page_size())
        moved = freehold__heap_remap(&s->heap, found, block, bytes);
    if (moved != NULL) {
        count_reallocation(s, bytes);
        return moved;
    }
    bool zeroed;
    moved = allocate(s, bytes, self->alignment, &zeroed);
    if (moved != NULL) {
        memcpy(moved, block, found.bytes < bytes ? found.bytes : bytes);
        release(s, block, function);
        count_reallocation(s, 0);
    }
    return moved;
}

static void *cpu_heap_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

static void *cpu_heap_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

/* ---- looking ----------------------------------------------------------------------------------- */

static size_t cpu_heap_usable_size(freehold_allocator *self, const void *block)
{
    return find(state_of(self), block, "freehold_usable_size").bytes;
}

/* Of a block in a section; NULL: there is none. */
static void *slot_around(state *s, uintptr_t address)
{
    const freehold__slab *slab = freehold__page_map_find(address);
    const freehold__lane *owner = freehold__block_owner_of(slab);
    freehold__place place = freehold__slab_place(slab, address);
    return owner != NULL && owner->heap == &s->heap && place.slot < slab->slots &&
                   freehold__block_is_live(slab, (unsigned)place.slot)
               ? (void *)(slab->base + (uintptr_t)place.slot * slab->size)
               : NULL;
}

static void *cpu_heap_base(freehold_allocator *self, const void *pointer)
{
    state *s = state_of(self);
    uintptr_t address = (uintptr_t)pointer;
    here h = enter(s);
    /* The address may be any: whoever sees the section off sees this CPU inside, or it sees no section. */
    atomic_thread_fence(memory_order_seq_cst);
    bool in_section = freehold__page_map_has(address);
    void *base = in_section ? slot_around(s, address) : NULL;
    leave(s, h);
    return in_section ? base : (void *)freehold__large_around(&s->heap.pages.large, pointer).base;
}

static freehold_statistics cpu_heap_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__heap_stats counted = freehold__heap_count(&s->heap);
    freehold_statistics result = {
        .allocations = counted.allocations - s->frees_before,
        .frees = counted.frees - s->frees_before,
        .live_bytes = counted.live_bytes,
        .used_bytes = counted.used_bytes,
        .peak_bytes = counted.peak_bytes,
        .mapped_bytes = counted.mapped_bytes,
        .retained_bytes = counted.retained_bytes,
        .purged_bytes = counted.purged_bytes - s->purged_before,
    };
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++) {
        cpu_lane *lane = lane_of(s, cpu);
        result.requested_bytes += lane->requested;
        result.reallocations += lane->reallocations;
        result.failures += lane->failures;
    }
    return result;
}

static void cpu_heap_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__heap_stats counted = freehold__heap_count(&s->heap);
    s->frees_before = counted.frees;
    s->purged_before = counted.purged_bytes;
    for (unsigned cpu = 0; cpu < s->cpus.count; cpu++) {
        cpu_lane *lane = lane_of(s, cpu);
        lane->requested = lane->reallocations = lane->failures = 0;
    }
    freehold__heap_reset_peak(&s->heap);
}

static const char *cpu_heap_check(freehold_allocator *self)
{
    state *s = state_of(self);
    return s->wrong != NULL ? s->wrong : freehold__heap_check(&s->heap);
}

static bool cpu_heap_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    state *s = state_of(self);
    freehold__visit w = {visit, context, true};
    freehold__pages_walk(&s->heap.pages, freehold__block_walk_slab, &w);
    freehold__large_walk(&s->heap.pages.large, freehold__walk_block, &w);
    return w.goes_on;
}

static uint64_t purged(const state *s)
{
    return s->heap.pages.purged_bytes + s->heap.pages.large.purged_bytes;
}

static size_t cpu_heap_trim(freehold_allocator *self)
{
    state *s = state_of(self);
    uint64_t before = purged(s);
    here h = enter(s);
    freehold__heap_trim(&s->heap, h.lane);
    let_sections_leave(s, h, WAIT_AT_MOST);
    leave(s, h);
    return (size_t)(purged(s) - before);
}

/* ---- the type ---------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "cpu_heap",
    .allocate = cpu_heap_allocate,
    .free = cpu_heap_free,
    .resize = cpu_heap_resize,
    .remap = cpu_heap_remap,
    .realloc = cpu_heap_realloc,
    .free_sized = cpu_heap_free_sized,
    .usable_size = cpu_heap_usable_size,
    .base = cpu_heap_base,
    .stats = cpu_heap_stats,
    .check = cpu_heap_check,
    .walk = cpu_heap_walk,
    .trim = cpu_heap_trim,
    .reset_stats = cpu_heap_reset_stats,
};

FREEHOLD__DEFINE(cpu_heap)

/* ---- beginning, parking, end ------------------------------------------------------------------- */

static const char *judge(const freehold_cpus *cpus, const freehold_cpu_lane *lanes)
{
    if (cpus == NULL || cpus->count == 0)
        return "the heap has no CPUs";
    if (cpus->enter == NULL || cpus->leave == NULL)
        return "the heap has no functions to enter and leave a CPU";
    return lanes == NULL ? "the heap has no lanes for its CPUs" : NULL;
}

static unsigned enter_nothing(void)
{
    return 0;
}

static void leave_nothing(unsigned cpu)
{
    (void)cpu;
}

void freehold_cpu_heap_init(
    freehold_cpu_heap *heap, const freehold_cpus *cpus, freehold_cpu_lane *lanes)
{
    memset(heap->state, 0, sizeof heap->state);
    freehold__allocator_begin(&heap->base, &operations, FREEHOLD_ALIGNMENT);
    state *s = state_of(&heap->base);
    s->wrong = judge(cpus, lanes);
    s->cpus = s->wrong == NULL ? *cpus : (freehold_cpus){1, enter_nothing, leave_nothing};
    s->lanes = (char *)(s->wrong == NULL ? (void *)lanes : s->nobodys);
    memset(s->lanes, 0, s->cpus.count * sizeof(freehold_cpu_lane));
    s->heap.pages.sheds = FREEHOLD_FREESTANDING; /* there a section is more than addresses */
}

/* The heap's state, or a report. */
static state *checked(freehold_cpu_heap *heap, const char *function)
{
    freehold_allocator *self = (freehold_allocator *)(void *)heap; /* which may be NULL */
    check_type(self, function);
    return state_of(self);
}

void freehold_cpu_heap_park(freehold_cpu_heap *heap)
{
    state *s = checked(heap, "freehold_cpu_heap_park");
    here h = enter(s);
    if (h.lane != NULL) {
        atomic_store_explicit(&h.mine->lane, NULL, memory_order_relaxed);
        freehold__front_changed((freehold__front){&heap->base, &operations});
        freehold__lane_park(h.lane);
        tend_sections(s, h);
    }
    leave(s, h);
}

void freehold_cpu_heap_deinit(freehold_cpu_heap *heap)
{
    if (heap == NULL)
        return;
    state *s = checked(heap, "freehold_cpu_heap_deinit");
    freehold_allocator_deinit(&heap->base);
    freehold__heap_release(&s->heap);
    memset(s->lanes, 0, s->cpus.count * sizeof(freehold_cpu_lane));
    memset(heap->state, 0, sizeof heap->state);
}
