/* SPDX-License-Identifier: MIT */
/*
 * The object cache: slabs from a backing allocator, each cut into slots (objects/slots.h), with a
 * second bitmap that says which slots have a constructed object.
 *
 *     records, by address   | base, slab | base, slab | ...       where a pointer leads to its slab
 *     slab                  free 1 0 1 1 0 .., constructed 1 1 1 0 0 ..    live is constructed
 *     partial, empty        lists of slabs; a full one is in neither
 *
 * Objects come from partial slabs first, so that others become empty, which is what trim gives back.
 */
#include "freehold/object_cache.h"

#include <string.h>

#include "allocators/front.h"
#include "allocators/slots.h"

#define MAGIC         FREEHOLD_MAGIC('f', 'h', ' ', 'o', 'b', 'j', 'c', '1')
#define SLAB_BYTES    ((size_t)32 * 1024)
#define FIRST_RECORDS 8

typedef struct slab {
    freehold__slots slots;
    struct slab *next, *prev; /* in the list of its state */
    void *memory;             /* as the backing gave it: at or before the first slot */
    uint64_t *constructed;    /* a bit for each slot */
    uint64_t words[];         /* those of the free set, then `constructed` */
} slab;

typedef struct record {
    uintptr_t base;
    slab *slab;
} record;

/* What freehold_object_cache has in its words. */
typedef struct state {
    freehold_object_kind kind;
    freehold_allocator *backing;
    size_t size, slots; /* of a slot; in a slab. 0 when wrong */
    const char *wrong;  /* with what init was given; NULL: nothing */
    record *records;    /* ascending */
    size_t count, capacity;
    slab *partial, *empty;
    size_t empty_count;
    freehold__slots_counts counts;
    uint64_t purged;
    size_t peak_live, peak_slabs; /* objects in use, slabs with any */
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__OBJECT_CACHE_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of an object cache must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_object_cache *)(void *)self)->state;
}

static size_t live(const state *s)
{
    return (size_t)(s->counts.allocations - s->counts.frees);
}

static size_t slab_bytes(const state *s)
{
    return s->slots * s->size;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool is_full(const slab *b)
{
    return b->slots.free.members == 0;
}

static bool is_empty(const slab *b)
{
    return freehold__slots_live(&b->slots) == 0;
}

static void push(slab **list, slab *b)
{
    b->prev = NULL;
    b->next = *list;
    if (*list != NULL)
        (*list)->prev = b;
    *list = b;
}

static void unlink(slab **list, slab *b)
{
    if (b->prev != NULL)
        b->prev->next = b->next;
    else
        *list = b->next;
    if (b->next != NULL)
        b->next->prev = b->prev;
}

static void enlist(state *s, slab *b)
{
    s->empty_count += is_empty(b);
    if (!is_full(b))
        push(is_empty(b) ? &s->empty : &s->partial, b);
}

static void delist(state *s, slab *b)
{
    s->empty_count -= is_empty(b);
    if (!is_full(b))
        unlink(is_empty(b) ? &s->empty : &s->partial, b);
}

/* ---- slabs ----------------------------------------------------------------------------------- */

/* How many records have a base at or below the address. */
static size_t records_below(const state *s, uintptr_t address)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->records[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The slab around a pointer, or NULL. */
static slab *slab_around(const state *s, const void *pointer)
{
    size_t i = records_below(s, (uintptr_t)pointer);
    if (i == 0 || (uintptr_t)pointer - s->records[i - 1].base >= slab_bytes(s))
        return NULL;
    return s->records[i - 1].slab;
}

static bool grow_records(state *s)
{
    if (s->count < s->capacity)
        return true;
    size_t capacity = s->capacity != 0 ? 2 * s->capacity : FIRST_RECORDS;
    record *records = freehold_alloc(s->backing, capacity * sizeof *records);
    if (records == NULL)
        return false;
    if (s->count != 0)
        memcpy(records, s->records, s->count * sizeof *records);
    freehold_free(s->backing, s->records);
    s->records = records;
    s->capacity = capacity;
    return true;
}

static void insert_record(state *s, slab *b)
{
    size_t i = records_below(s, b->slots.base);
    memmove(s->records + i + 1, s->records + i, (s->count - i) * sizeof *s->records);
    s->records[i] = (record){b->slots.base, b};
    s->count++;
}

static size_t constructed_words(const state *s)
{
    return s->slots / 64 + 1;
}

/* A slab with no object yet, in no list. NULL: nothing has changed. */
static slab *get_slab(state *s, size_t alignment)
{
    if (!grow_records(s))
        return NULL;
    size_t free_words = freehold__bitmap_words(s->slots), more = constructed_words(s);
    /* It does not wrap: the size is a multiple of the alignment. */
    void *memory = freehold_alloc(s->backing, slab_bytes(s) + alignment - FREEHOLD_ALIGNMENT);
    slab *b = memory == NULL
                  ? NULL
                  : freehold_alloc(s->backing, sizeof *b + (free_words + more) * sizeof *b->words);
    if (b == NULL) {
        freehold_free(s->backing, memory);
        return NULL;
    }
    b->memory = memory;
    b->slots.base = freehold__round_up((uintptr_t)memory, alignment);
    b->slots.size = s->size;
    b->constructed = b->words + free_words;
    freehold__bitmap_init(&b->slots.free, b->words, s->slots);
    memset(b->constructed, 0, more * sizeof *b->constructed);
    insert_record(s, b);
    return b;
}

static bool is_constructed(const slab *b, size_t slot)
{
    return (b->constructed[slot / 64] >> (slot % 64) & 1) != 0;
}

__attribute__((noinline)) static void call_user_destroy(const state *s, const slab *b, size_t slot)
{
    s->kind.destroy(s->kind.context, freehold__slots_address(&b->slots, slot));
}

/* Destroys its objects and gives its memory back. Its record stays. */
static void give_slab(state *s, slab *b)
{
    for (size_t slot = 0; s->kind.destroy != NULL && slot < s->slots; slot++)
        if (is_constructed(b, slot))
            call_user_destroy(s, b, slot);
    freehold_free(s->backing, b->memory);
    freehold_free(s->backing, b);
}

/* ---- allocating ------------------------------------------------------------------------------ */

/* A slab with a free slot, in its list. */
static slab *find_slab(state *s, size_t alignment)
{
    slab *b = s->partial != NULL ? s->partial : s->empty;
    if (freehold__unlikely(b == NULL)) {
        b = get_slab(s, alignment);
        if (b != NULL)
            enlist(s, b);
    }
    return b;
}

__attribute__((noinline)) static bool call_user_construct(
    const state *s, const slab *b, size_t slot)
{
    return s->kind.construct(s->kind.context, freehold__slots_address(&b->slots, slot));
}

static bool construct(state *s, slab *b, size_t slot)
{
    if (s->kind.construct != NULL && !call_user_construct(s, b, slot))
        return false;
    b->constructed[slot / 64] = freehold__with_bit(b->constructed[slot / 64], slot);
    return true;
}

static void *take(state *s, slab *b, size_t bytes)
{
    size_t slot = freehold__bitmap_lowest(&b->slots.free);
    if (freehold__unlikely(!is_constructed(b, slot)) && !construct(s, b, slot))
        return NULL;
    bool moves = is_empty(b) || b->slots.free.members == 1;
    if (moves)
        delist(s, b);
    freehold__bitmap_remove(&b->slots.free, slot);
    if (moves)
        enlist(s, b);
    s->counts.allocations++;
    s->counts.requested += bytes;
    if (live(s) > s->peak_live)
        s->peak_live = live(s);
    if (s->count - s->empty_count > s->peak_slabs)
        s->peak_slabs = s->count - s->empty_count;
    return freehold__slots_address(&b->slots, slot);
}

/* Why a request cannot be granted at all; FREEHOLD_OK: it can. */
static freehold_error judge(const state *s, size_t bytes, bool unusual)
{
    if (s->wrong != NULL)
        return FREEHOLD_INVALID;
    if (bytes > s->size)
        return FREEHOLD_NO_MEMORY;
    return unusual ? FREEHOLD_UNSUPPORTED : FREEHOLD_OK;
}

static void *object_cache_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    bool unusual =
        alignment != self->alignment || offset != 0 || (zeroed && s->kind.construct != NULL);
    freehold_error error = judge(s, bytes, unusual);
    slab *b = freehold__likely(error == FREEHOLD_OK) ? find_slab(s, alignment) : NULL;
    void *object = freehold__likely(b != NULL) ? take(s, b, bytes) : NULL;
    if (freehold__unlikely(object == NULL)) {
        error = error != FREEHOLD_OK ? error : FREEHOLD_NO_MEMORY;
        s->counts.failures += freehold__is_failure(error);
        freehold__allocator_says(self, error);
        return NULL;
    }
    return zeroed ? memset(object, 0, bytes) : object;
}

/* ---- live objects ---------------------------------------------------------------------------- */

/* A live object: its slab and slot. */
typedef struct found {
    slab *slab;
    size_t slot;
} found;

/* Anything else is fatal. */
static found find(state *s, const void *object, const char *function)
{
    found f = {slab_around(s, object), 0};
    freehold__at at = FREEHOLD__AT_NONE;
    if (freehold__likely(f.slab != NULL))
        at = freehold__slots_at(&f.slab->slots, (uintptr_t)object, &f.slot);
    if (freehold__unlikely(at != FREEHOLD__AT_LIVE))
        freehold__slots_misuse(
            f.slab != NULL ? &f.slab->slots : NULL, at, f.slot, function, object);
    return f;
}

static size_t put(state *s, found f)
{
    bool moves = is_full(f.slab) || freehold__slots_live(&f.slab->slots) == 1;
    if (moves)
        delist(s, f.slab);
    freehold__bitmap_add(&f.slab->slots.free, f.slot);
    if (moves)
        enlist(s, f.slab);
    s->counts.frees++;
    return s->size;
}

static size_t object_cache_free(freehold_allocator *self, void *object)
{
    state *s = state_of(self);
    return put(s, find(s, object, "freehold_free"));
}

static size_t object_cache_free_sized(freehold_allocator *self, void *object, size_t bytes)
{
    state *s = state_of(self);
    found f = find(s, object, "freehold_free_sized");
    if (freehold__unlikely(bytes == 0 || bytes > s->size))
        freehold__slots_mismatch(&f.slab->slots, f.slot, "freehold_free_sized", object, bytes);
    return put(s, f);
}

static bool object_cache_resize(freehold_allocator *self, void *object, size_t bytes)
{
    state *s = state_of(self);
    find(s, object, "freehold_resize");
    return freehold__slots_fit(&s->counts, s->size, bytes);
}

static void *object_cache_remap(freehold_allocator *self, void *object, size_t bytes)
{
    state *s = state_of(self);
    find(s, object, "freehold_remap");
    return freehold__slots_remap(&s->counts, s->size, object, bytes);
}

static void *object_cache_realloc(freehold_allocator *self, void *object, size_t bytes)
{
    state *s = state_of(self);
    find(s, object, "freehold_realloc");
    return freehold__slots_remap(&s->counts, s->size, object, bytes);
}

static size_t object_cache_usable_size(freehold_allocator *self, const void *object)
{
    state *s = state_of(self);
    find(s, object, "freehold_usable_size");
    return s->size;
}

/* ---- looking --------------------------------------------------------------------------------- */

static void *object_cache_base(freehold_allocator *self, const void *pointer)
{
    const slab *b = slab_around(state_of(self), pointer);
    return b != NULL ? freehold__slots_around(&b->slots, (uintptr_t)pointer) : NULL;
}

static freehold_statistics object_cache_stats(freehold_allocator *self)
{
    const state *s = state_of(self);
    freehold_statistics stats = freehold__slots_stats(&s->counts);
    stats.live_bytes = live(s) * s->size;
    stats.peak_live_bytes = s->peak_live * s->size;
    stats.used_bytes = (s->count - s->empty_count) * slab_bytes(s);
    stats.peak_bytes = s->peak_slabs * slab_bytes(s);
    stats.mapped_bytes = s->count * slab_bytes(s);
    stats.retained_bytes = s->empty_count * slab_bytes(s);
    stats.purged_bytes = s->purged;
    return stats;
}

static void object_cache_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    s->peak_live = live(s);
    freehold__slots_reset(&s->counts, s->peak_live);
    s->peak_slabs = s->count - s->empty_count;
    s->purged = 0;
}

static bool object_cache_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    const state *s = state_of(self);
    for (size_t i = 0; i < s->count; i++)
        if (!freehold__slots_walk(&s->records[i].slab->slots, visit, context))
            return false;
    return true;
}

static size_t object_cache_trim(freehold_allocator *self)
{
    state *s = state_of(self);
    size_t kept = 0, bytes = s->empty_count * slab_bytes(s);
    for (size_t i = 0; i < s->count; i++) {
        record r = s->records[i];
        if (is_empty(r.slab))
            give_slab(s, r.slab);
        else
            s->records[kept++] = r;
    }
    s->count = kept;
    s->empty = NULL;
    s->empty_count = 0;
    s->purged += bytes;
    return bytes;
}

/* ---- the validator --------------------------------------------------------------------------- */

static const char *check_slab(const state *s, size_t i)
{
    const slab *b = s->records[i].slab;
    if (b->slots.base != s->records[i].base || b->slots.size != s->size ||
        b->slots.free.bits != s->slots)
        return freehold__corrupt("a slab of the object cache is not what its record says", b);
    if (i > 0 && b->slots.base - s->records[i - 1].base < slab_bytes(s))
        return freehold__corrupt("the slabs of the object cache overlap, or are not in order", b);
    for (size_t slot = 0; slot < s->slots; slot++)
        if (!freehold__bitmap_has(&b->slots.free, slot) && !is_constructed(b, slot))
            return freehold__corrupt("a live object was never constructed",
                (void *)freehold__slots_address(&b->slots, slot));
    return freehold__bitmap_check(&b->slots.free);
}

/* The slabs of a list: all empty, or all partial; SIZE_MAX: something else is among them. */
static size_t count_list(const slab *b, bool empty)
{
    size_t count = 0;
    for (const slab *before = NULL; b != NULL; before = b, b = b->next, count++)
        if (b->prev != before || is_empty(b) != empty || is_full(b))
            return SIZE_MAX;
    return count;
}

static const char *object_cache_check(freehold_allocator *self)
{
    const state *s = state_of(self);
    size_t objects = 0, partial = 0, empty = 0;
    if (s->wrong != NULL)
        return freehold__corrupt(s->wrong, self);
    for (size_t i = 0; i < s->count; i++) {
        const char *wrong = check_slab(s, i);
        if (wrong != NULL)
            return wrong;
        const slab *b = s->records[i].slab;
        objects += freehold__slots_live(&b->slots);
        empty += is_empty(b);
        partial += !is_empty(b) && !is_full(b);
    }
    if (objects != live(s))
        return freehold_corrupted(
            "the object cache has more or fewer live objects than were counted", s, objects,
            live(s));
    if (empty != s->empty_count || count_list(s->empty, true) != empty ||
        count_list(s->partial, false) != partial)
        return freehold__corrupt("a slab of the object cache is in the wrong list", s);
    return NULL;
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "object cache",
    .allocate = object_cache_allocate,
    .free = object_cache_free,
    .resize = object_cache_resize,
    .remap = object_cache_remap,
    .realloc = object_cache_realloc,
    .free_sized = object_cache_free_sized,
    .usable_size = object_cache_usable_size,
    .base = object_cache_base,
    .stats = object_cache_stats,
    .check = object_cache_check,
    .walk = object_cache_walk,
    .trim = object_cache_trim,
    .reset_stats = object_cache_reset_stats,
};

FREEHOLD__DEFINE(object_cache)

/* ---- beginning and end ----------------------------------------------------------------------- */

void freehold_object_cache_init(
    freehold_object_cache *cache, freehold_allocator *backing, const freehold_object_kind *kind)
{
    memset(cache->state, 0, sizeof cache->state);
    freehold_allocator_init(&cache->base, &operations, kind->alignment);
    state *s = state_of(&cache->base);
    size_t size;
    s->kind = *kind;
    s->backing = backing;
    if (backing == NULL)
        s->wrong = "the object cache has no backing allocator";
    else if (kind->bytes == 0)
        s->wrong = "the objects of the cache have 0 bytes";
    else if (!freehold__round_up_checked(kind->bytes, cache->base.alignment, &size))
        s->wrong = "the objects of the cache are larger than memory";
    else {
        size_t slots = SLAB_BYTES / size;
        s->size = size;
        s->slots = slots != 0 ? slots : 1;
    }
}

void freehold_object_cache_deinit(freehold_object_cache *cache)
{
    if (cache == NULL)
        return;
    check_type(&cache->base, "freehold_object_cache_deinit");
    state *s = state_of(&cache->base);
    freehold_allocator_deinit(&cache->base);
    for (size_t i = 0; i < s->count; i++)
        give_slab(s, s->records[i].slab);
    if (s->backing != NULL)
        freehold_free(s->backing, s->records);
    memset(cache->state, 0, sizeof cache->state);
}
