/* SPDX-License-Identifier: MIT */
/*
 * The typed slab: one lane behind one lock (allocators/single.h), with a single size class of its
 * own, which is made here. Slots that are too large for a slab are large blocks.
 */
#include "freehold/slab.h"

#include <string.h>

#include "allocators/single.h"

#define MAGIC FREEHOLD_MAGIC('f', 'h', ' ', 's', 'l', 'a', 'b', '1')

/* What freehold_slab has in its words. */
typedef struct state {
    freehold__single single;
    size_t slot;                /* constant: bytes; SIZE_MAX: more than there can be */
    freehold__size_class class; /* constant; of no slots: they are large blocks */
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__SLAB_STATE_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a slab allocator must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_slab *)(void *)self)->state;
}

static freehold__single *single_of(freehold_allocator *self)
{
    return &state_of(self)->single;
}

/* ---- the class ------------------------------------------------------------------------------- */

#define SLOTS_SHARE 8 /* what is left behind the last slot: one part in this many */
#define SPAN_USUAL  ((size_t)64 * 1024) /* enough for some slots, so that slabs do not come and go */
/* A section has room for no span longer than half of it. */
#define SPAN_MOST                                                                                  \
    (FREEHOLD__SECTION / 2 < (size_t)256 * 1024 ? (size_t)(FREEHOLD__SECTION / 2)                  \
                                                : (size_t)256 * 1024)

/*
 * The span of slots up to 64 KiB: a power of two, so that spans fill memory without holes, with many
 * slots, at most FREEHOLD__MAX_SLOTS, and little behind the last one. Where no such span leaves
 * little, it is one of four slots.
 */
static size_t span_of(size_t slot)
{
    size_t span = FREEHOLD__GRANULE;
    while (span < SPAN_USUAL && 2 * span / slot <= FREEHOLD__MAX_SLOTS)
        span *= 2;
    while (span < SPAN_MOST && (span < slot || span % slot > span / SLOTS_SHARE))
        span *= 2;
    return span % slot <= span / SLOTS_SHARE ? span
                                             : freehold__round_up(4 * slot, FREEHOLD__GRANULE);
}

/* A slab begins at a multiple of the power of two that holds it, and so every slot at a multiple of
 * the alignment, of which its size is one. */
static freehold__size_class class_of(size_t slot)
{
    if (slot > FREEHOLD__SLOT_MAX)
        return (freehold__size_class){.slots = 0};
    size_t span = slot <= SPAN_USUAL ? span_of(slot) : freehold__round_up(slot, FREEHOLD__GRANULE);
    return (freehold__size_class){
        .reciprocal = UINT64_MAX / slot + 1,
        .size = (uint32_t)slot,
        .slots = (uint16_t)(span / slot),
        .granules = (uint16_t)(span >> FREEHOLD__GRANULE_SHIFT),
    };
}

static size_t slot_of(size_t bytes, size_t alignment)
{
    size_t slot;
    if (!freehold__round_up_checked(bytes != 0 ? bytes : 1, alignment, &slot) || slot > PTRDIFF_MAX)
        return SIZE_MAX;
    if (slot > FREEHOLD__SLOT_MAX &&
        !freehold__round_up_checked(slot, freehold__port_page_size(), &slot))
        return SIZE_MAX;
    return slot;
}

/* ---- allocating and freeing ------------------------------------------------------------------ */

static void *slab_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    bool known = false;
    if (freehold__unlikely(bytes > s->slot || alignment > self->alignment || offset != 0)) {
        freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
        return NULL;
    }
    void *block =
        freehold__likely(s->class.slots != 0)
            ? freehold__single_allocate_slot(&s->single, bytes, 0, &known)
            : freehold__single_allocate_large(&s->single, bytes, s->slot, alignment, &known);
    return !zeroed || known || block == NULL ? block : memset(block, 0, bytes);
}

static size_t slab_free(freehold_allocator *self, void *block)
{
    return freehold__single_release(single_of(self), block, "freehold_free");
}

static freehold__cold void report_size(freehold_allocator *self, const void *block, size_t bytes)
{
    const char *function = "freehold_free_sized";
    freehold__text text = freehold__report_begin(function, block);
    freehold__text_add(&text, "size mismatch: given ");
    freehold__text_decimal(&text, bytes);
    freehold__text_add(&text, ", but every slot of this slab holds 1 to ");
    freehold__text_decimal(&text, state_of(self)->slot);
    freehold__text_add(&text, " bytes");
    freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, function, block);
}

static size_t slab_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    freehold__single *s = single_of(self);
    freehold__single_find(s, block, "freehold_free_sized");
    if (freehold__unlikely(bytes == 0 || bytes > state_of(self)->slot))
        report_size(self, block, bytes);
    return freehold__single_release(s, block, "freehold_free_sized");
}

/* ---- resizing: every size that there is stays where it is ------------------------------------ */

static bool resize(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    freehold__single *s = single_of(self);
    freehold__single_find(s, block, function);
    bool fits = bytes <= state_of(self)->slot;
    if (fits)
        freehold__single_count_reallocation(s, block, bytes);
    return fits;
}

static bool slab_resize(freehold_allocator *self, void *block, size_t bytes)
{
    return resize(self, block, bytes, "freehold_resize");
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    if (resize(self, block, bytes, function))
        return block;
    freehold__allocator_says(self, FREEHOLD_UNSUPPORTED);
    return NULL;
}

static void *slab_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

static void *slab_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

/* ---- looking --------------------------------------------------------------------------------- */

static size_t slab_usable_size(freehold_allocator *self, const void *block)
{
    return freehold__single_find(single_of(self), block, "freehold_usable_size").bytes;
}

static void *slab_base(freehold_allocator *self, const void *pointer)
{
    return freehold__single_block_around(single_of(self), pointer);
}

static freehold_statistics slab_stats(freehold_allocator *self)
{
    return freehold__single_stats(single_of(self));
}

static void slab_reset_stats(freehold_allocator *self)
{
    freehold__single_reset_stats(single_of(self));
}

static const char *slab_check(freehold_allocator *self)
{
    return freehold__single_check(single_of(self));
}

static bool slab_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    return freehold__single_walk(single_of(self), visit, context);
}

static size_t slab_trim(freehold_allocator *self)
{
    return freehold__single_trim(single_of(self));
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "slab",
    .allocate = slab_allocate,
    .free = slab_free,
    .resize = slab_resize,
    .remap = slab_remap,
    .realloc = slab_realloc,
    .free_sized = slab_free_sized,
    .usable_size = slab_usable_size,
    .base = slab_base,
    .stats = slab_stats,
    .check = slab_check,
    .walk = slab_walk,
    .trim = slab_trim,
    .reset_stats = slab_reset_stats,
};

FREEHOLD__DEFINE(slab)

size_t freehold_slab_slot_size(freehold_slab *slab)
{
    freehold_allocator *self = (freehold_allocator *)(void *)slab; /* which may be NULL */
    check_type(self, "freehold_slab_slot_size");
    return state_of(self)->slot;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void freehold_slab_init_aligned(freehold_slab *slab, size_t slot_bytes, size_t alignment)
{
    memset(slab->state, 0, sizeof slab->state);
    freehold__allocator_begin(&slab->base, &operations, alignment);
    state *s = state_of(&slab->base);
    s->slot = slot_of(slot_bytes, slab->base.alignment);
    s->class = class_of(s->slot);
    s->single.heap.own_class = &s->class;
    s->single.heap.pages.large.exact = true;
}

void freehold_slab_init(freehold_slab *slab, size_t slot_bytes)
{
    freehold_slab_init_aligned(slab, slot_bytes, FREEHOLD_ALIGNMENT);
}

void freehold_slab_deinit(freehold_slab *slab)
{
    if (slab == NULL)
        return;
    check_type(&slab->base, "freehold_slab_deinit");
    freehold__single *s = single_of(&slab->base);
    freehold_allocator_deinit(&slab->base);
    freehold__heap_release(&s->heap);
    memset(slab->state, 0, sizeof slab->state);
}
