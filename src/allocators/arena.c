/* SPDX-License-Identifier: MIT */
/*
 * The arena: chunks from a backing allocator, each a bump engine (objects/bump.h).
 *
 *     chunks   | 0 | 1 | 2 | 3 | 4 | 5 |         records, never moved below `live` but by going back
 *              in use, in the order    kept,
 *              of their first block    empty
 *                        ^ current     ^ live      ^ count
 *
 * All small blocks come from the current chunk. When it has no room, the smallest kept chunk that
 * fits, or a new one, joins those in use, and becomes the current one if it then has more room than
 * the one before: so a chunk for one large block does not end the current one. A mark is (live,
 * current, used of the current chunk): behind it are all chunks from live on, and the current one
 * from used on. The others before it do not change but by frees.
 *
 * Which marks are stale is known by their serial numbers. To rewind to mark 5 when 9 was the last one
 * makes 6 to 9 stale; these ranges are kept, ascending, and one swallows those above it.
 */
#include "freehold/arena.h"

#include <string.h>

#include "allocators/front.h"
#include "objects/bump.h"

#define MAGIC         FREEHOLD_MAGIC('f', 'h', ' ', 'a', 'r', 'e', 'n', '1')
#define OWN           4    /* records, and stale ranges, that the structure has room for */
#define GROWTH        1024 /* the largest chunk, in chunks of the first size */
#define LEAST_CHUNK   ((size_t)256)
#define LARGEST_CHUNK (SIZE_MAX / 4)

/* Marks that are stale: first <= serial <= last. */
typedef struct range {
    uint64_t first, last;
} range;

/* What freehold_arena has in its words. */
typedef struct state {
    freehold_allocator *backing;
    freehold__bump *chunks; /* `own_chunks`, or a block of the backing */
    size_t live, count, capacity;
    size_t current;                 /* < live, or 0 */
    size_t chunk_bytes, next_bytes; /* of the first and of the next new chunk */

    uint64_t serial;           /* of the last mark that was set */
    freehold_arena_point last; /* the last good mark: all are at or before it; 0 when none is */
    range *stale;              /* `own_stale`, or a block of the backing */
    size_t stale_count, stale_capacity;

    uint64_t allocations, frees, reallocations, failures, requested, purged;
    size_t live_bytes, peak_live_bytes; /* of blocks */
    size_t used_bytes, peak_used_bytes; /* of chunks in use */
    size_t mapped_bytes;                /* of all chunks */

    freehold__bump own_chunks[OWN];
    range own_stale[OWN];
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__ARENA_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of an arena must fit its public structure");

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_arena *)(void *)self)->state;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* An array of `size` bytes an element becomes twice as long; false: it is as it was. */
static bool grow(state *s, void **array, size_t *capacity, size_t size, const void *own)
{
    size_t bytes = *capacity * size;
    void *longer = freehold_alloc(s->backing, 2 * bytes);
    if (longer == NULL)
        return false;
    memcpy(longer, *array, bytes);
    if (*array != own)
        freehold_free(s->backing, *array);
    *array = longer;
    *capacity *= 2;
    return true;
}

static bool grow_chunks(state *s)
{
    void *array = s->chunks;
    bool grown =
        s->count < s->capacity || grow(s, &array, &s->capacity, sizeof *s->chunks, s->own_chunks);
    s->chunks = array;
    return grown;
}

/* A chunk of so many bytes, or a few more that the backing gives with them. */
static bool get_chunk(state *s, size_t bytes, freehold__bump *chunk)
{
    void *memory = freehold_alloc(s->backing, bytes);
    if (memory == NULL)
        return false;
    size_t usable = freehold_usable_size(s->backing, memory); /* 0: it does not say */
    bytes = freehold__round_down(usable > bytes ? usable : bytes, FREEHOLD__BUMP_GRANULE);
    *chunk = (freehold__bump){.base = (uintptr_t)memory, .bytes = bytes};
    chunk->word = freehold_alloc(s->backing, freehold__bump_words(bytes) * sizeof *chunk->word);
    if (chunk->word == NULL)
        freehold_free(s->backing, memory);
    return chunk->word != NULL;
}

static void give_chunk(state *s, freehold__bump *chunk)
{
    s->mapped_bytes -= chunk->bytes;
    freehold_free(s->backing, chunk->word);
    freehold_free(s->backing, (void *)chunk->base);
}

/* A new chunk with `needed` bytes, a multiple of 16, at the end of the records. */
static bool new_chunk(state *s, size_t needed)
{
    if (s->backing == NULL || !grow_chunks(s))
        return false;
    freehold__bump *chunk = &s->chunks[s->count];
    size_t wanted = needed > s->next_bytes ? needed : s->next_bytes;
    bool got = get_chunk(s, wanted, chunk);
    if (!got && needed < s->chunk_bytes && s->chunk_bytes < wanted)
        got = get_chunk(s, s->chunk_bytes, chunk);
    if (!got && needed < wanted)
        got = get_chunk(s, needed, chunk);
    if (!got)
        return false;
    s->count++;
    s->mapped_bytes += chunk->bytes;
    if (s->next_bytes / s->chunk_bytes < GROWTH && s->next_bytes <= LARGEST_CHUNK / 2)
        s->next_bytes *= 2;
    return true;
}

/* The smallest kept chunk that has `needed` bytes; count: there is none. */
static size_t kept_chunk(const state *s, size_t needed)
{
    size_t best = s->count;
    for (size_t k = s->live; k < s->count; k++)
        if (s->chunks[k].bytes >= needed &&
            (best == s->count || s->chunks[k].bytes < s->chunks[best].bytes))
            best = k;
    return best;
}

/* One more chunk in use, with room for `needed` bytes. NULL: nothing has changed. */
static freehold__bump *add_chunk(state *s, size_t needed)
{
    size_t k = kept_chunk(s, needed);
    if (k == s->count && !new_chunk(s, needed))
        return NULL;
    freehold__bump chunk = s->chunks[k];
    s->chunks[k] = s->chunks[s->live];
    s->chunks[s->live] = chunk;
    s->used_bytes += chunk.bytes;
    if (s->used_bytes > s->peak_used_bytes)
        s->peak_used_bytes = s->used_bytes;
    return &s->chunks[s->live++];
}

/* The last chunk in use is kept: nothing in it is live. */
static void drop_chunk(state *s)
{
    s->used_bytes -= s->chunks[--s->live].bytes;
}

/* ---- allocating ------------------------------------------------------------------------------ */

static freehold__cold void *allocate_in_new_chunk(
    state *s, size_t bytes, size_t alignment, size_t offset)
{
    size_t needed; /* the base of a chunk is at least a multiple of the granule */
    if (__builtin_add_overflow(bytes, alignment - FREEHOLD__BUMP_GRANULE, &needed) ||
        !freehold__round_up_checked(needed, FREEHOLD__BUMP_GRANULE, &needed))
        return NULL;
    freehold__bump *chunk = add_chunk(s, needed);
    if (chunk == NULL)
        return NULL;
    void *block = freehold__bump_take(chunk, bytes, alignment, offset);
    size_t k = s->live - 1;
    if (k == 0 || freehold__bump_room(chunk) > freehold__bump_room(&s->chunks[s->current]))
        s->current = k;
    return block;
}

static void *allocate(state *s, size_t bytes, size_t alignment, size_t offset)
{
    void *block = NULL;
    if (freehold__likely(s->live != 0))
        block = freehold__bump_take(&s->chunks[s->current], bytes, alignment, offset);
    if (freehold__unlikely(block == NULL))
        block = allocate_in_new_chunk(s, bytes, alignment, offset);
    if (freehold__unlikely(block == NULL)) {
        s->failures += s->backing != NULL;
        return NULL;
    }
    s->allocations++;
    s->live_bytes += freehold__round_up(bytes, FREEHOLD__BUMP_GRANULE);
    if (s->live_bytes > s->peak_live_bytes)
        s->peak_live_bytes = s->live_bytes;
    return block;
}

static void *arena_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    void *block = allocate(s, bytes, alignment, offset);
    if (block == NULL) {
        if (s->backing == NULL)
            freehold__allocator_says(self, FREEHOLD_INVALID);
        return NULL;
    }
    s->requested += bytes;
    return zeroed ? memset(block, 0, bytes) : block;
}

/* ---- finding blocks -------------------------------------------------------------------------- */

static bool has(const freehold__bump *chunk, const void *pointer)
{
    return (uintptr_t)pointer - chunk->base < chunk->bytes;
}

/* The chunk around a pointer, of the first `count` ones; NULL: there is none. */
static freehold__bump *chunk_around(const state *s, const void *pointer, size_t count)
{
    if (freehold__likely(s->current < count) && has(&s->chunks[s->current], pointer))
        return &s->chunks[s->current];
    for (size_t k = 0; k < count; k++)
        if (has(&s->chunks[k], pointer))
            return &s->chunks[k];
    return NULL;
}

static void add_block(freehold__text *text, const freehold__bump *chunk, size_t start)
{
    freehold__text_add(text, "the block ");
    freehold__text_hex(text, chunk->base + start);
    freehold__text_add(text, " of ");
    freehold__text_decimal(text, freehold__bump_size(chunk, start));
    freehold__text_add(text, " bytes");
}

static freehold_misuse explain_in_chunk(
    freehold__text *text, const freehold__bump *chunk, uintptr_t address)
{
    size_t start;
    freehold__bump_at at = freehold__bump_find(chunk, address, &start);
    if (at == FREEHOLD__BUMP_NONE) {
        freehold__text_add(text,
            "invalid pointer: in a chunk where no allocation is now (freed, rewound or reset "
            "before, or never allocated)");
        return FREEHOLD_INVALID_POINTER;
    }
    if (at == FREEHOLD__BUMP_FREED) {
        freehold__text_add(text, "double free: ");
        add_block(text, chunk, start);
        freehold__text_add(text, " is already free");
        return FREEHOLD_DOUBLE_FREE;
    }
    size_t bytes = address - chunk->base - start;
    bool misaligned = bytes % FREEHOLD_ALIGNMENT != 0;
    freehold__text_add(text, misaligned ? "misaligned pointer: " : "interior pointer: ");
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, " bytes into ");
    add_block(text, chunk, start);
    return misaligned ? FREEHOLD_MISALIGNED_POINTER : FREEHOLD_INTERIOR_POINTER;
}

static freehold__cold void report(const state *s, const void *pointer, const char *function)
{
    const freehold__bump *chunk = chunk_around(s, pointer, s->count);
    freehold__text text = freehold__report_begin(function, pointer);
    freehold_misuse kind = FREEHOLD_FOREIGN_POINTER;
    if (chunk != NULL)
        kind = explain_in_chunk(&text, chunk, (uintptr_t)pointer);
    else
        freehold__text_add(&text, "foreign pointer: not from this allocator");
    freehold__report_end(&text, kind, function, pointer);
}

/* A live block: chunk k, from start on. */
typedef struct found {
    size_t k, start, size;
} found;

/* Anything else is fatal. */
static found find(const state *s, const void *block, const char *function)
{
    found f = {0, 0, 0};
    freehold__bump *chunk = chunk_around(s, block, s->live);
    if (freehold__unlikely(chunk == NULL) ||
        freehold__unlikely(
            freehold__bump_find(chunk, (uintptr_t)block, &f.start) != FREEHOLD__BUMP_LIVE))
        report(s, block, function);
    f.k = (size_t)(chunk - s->chunks);
    f.size = freehold__bump_size(chunk, f.start);
    return f;
}

/* ---- freeing --------------------------------------------------------------------------------- */

/* How far chunk k may go back: not below the last mark. */
static size_t floor_of(const state *s, size_t k)
{
    if (k >= s->last.chunks)
        return 0;
    return k == s->last.current ? s->last.used : s->chunks[k].used;
}

/* The chunk that is the current one again when the last one in use, which is it now, is dropped. */
static size_t current_before(const state *s)
{
    if (s->live == s->last.chunks + 1)
        return s->last.current;
    return s->live - 2;
}

/*
 * Chunks at the end that have become empty are kept for whoever needs one. The current one stays, for
 * the next block, until the one before it is empty as well, or is `given`, which has just got memory
 * back: from there on that is used again.
 */
static void drop_empty_chunks(state *s, size_t given)
{
    while (s->live > s->last.chunks && s->chunks[s->live - 1].used == 0) {
        if (s->live - 1 == s->current) {
            if (s->live == 1)
                return;
            size_t before = current_before(s);
            if (before != given && s->chunks[before].used != 0)
                return;
            s->current = before;
        }
        drop_chunk(s);
    }
}

/* Returns the block's size: what its allocator counts for it, whenever it can be used again. */
static size_t release(state *s, found f)
{
    freehold__bump *chunk = &s->chunks[f.k];
    size_t used = chunk->used;
    freehold__bump_put(chunk, f.start, f.size);
    freehold__bump_settle(chunk, floor_of(s, f.k));
    s->live_bytes -= f.size;
    s->frees++;
    drop_empty_chunks(s, chunk->used < used ? f.k : SIZE_MAX);
    return f.size;
}

static size_t arena_free(freehold_allocator *self, void *block)
{
    state *s = state_of(self);
    return release(s, find(s, block, "freehold_free"));
}

static size_t arena_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    found f = find(s, block, "freehold_free_sized");
    if (freehold__unlikely(bytes == 0 || bytes > f.size)) {
        freehold__text text = freehold__report_begin("freehold_free_sized", block);
        freehold__text_add(&text, "size mismatch: given ");
        freehold__text_decimal(&text, bytes);
        freehold__text_add(&text, ", but it is ");
        add_block(&text, &s->chunks[f.k], f.start);
        freehold__report_end(&text, FREEHOLD_SIZE_MISMATCH, "freehold_free_sized", block);
    }
    return release(s, f);
}

/* ---- resizing -------------------------------------------------------------------------------- */

static void count_reallocation(state *s, size_t bytes)
{
    s->reallocations++;
    s->requested += bytes;
}

static bool resize(state *s, found f, size_t bytes)
{
    freehold__bump *chunk = &s->chunks[f.k];
    bool last = f.start + f.size == chunk->used && f.start >= floor_of(s, f.k);
    if (!last)
        return bytes <= f.size;
    size_t before = chunk->live_bytes;
    if (!freehold__bump_resize_last(chunk, f.start, bytes))
        return false;
    s->live_bytes += chunk->live_bytes - before;
    if (s->live_bytes > s->peak_live_bytes)
        s->peak_live_bytes = s->live_bytes;
    return true;
}

static bool arena_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    if (!resize(s, find(s, block, "freehold_resize"), bytes))
        return false;
    count_reallocation(s, bytes);
    return true;
}

static void *remap(freehold_allocator *self, void *block, size_t bytes, const char *function)
{
    state *s = state_of(self);
    found f = find(s, block, function);
    void *moved = block;
    if (!resize(s, f, bytes)) {
        moved = allocate(s, bytes, self->alignment, 0);
        if (moved == NULL)
            return NULL;
        memcpy(moved, block, f.size < bytes ? f.size : bytes);
        release(s, f); /* chunks in use stay where they are among the records */
    }
    count_reallocation(s, bytes);
    return moved;
}

static void *arena_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_remap");
}

static void *arena_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return remap(self, block, bytes, "freehold_realloc");
}

/* ---- looking --------------------------------------------------------------------------------- */

static size_t arena_usable_size(freehold_allocator *self, const void *block)
{
    return find(state_of(self), block, "freehold_usable_size").size;
}

static void *arena_base(freehold_allocator *self, const void *pointer)
{
    const state *s = state_of(self);
    const freehold__bump *chunk = chunk_around(s, pointer, s->live);
    size_t start;
    if (chunk == NULL ||
        freehold__bump_find(chunk, (uintptr_t)pointer, &start) == FREEHOLD__BUMP_NONE ||
        !freehold__bump_is_live(chunk, start))
        return NULL;
    return (void *)(chunk->base + start);
}

static freehold_statistics arena_stats(freehold_allocator *self)
{
    const state *s = state_of(self);
    return (freehold_statistics){
        .requested_bytes = s->requested,
        .allocations = s->allocations,
        .frees = s->frees,
        .reallocations = s->reallocations,
        .failures = s->failures,
        .live_bytes = s->live_bytes,
        .peak_live_bytes = s->peak_live_bytes,
        .used_bytes = s->used_bytes,
        .peak_bytes = s->peak_used_bytes,
        .mapped_bytes = s->mapped_bytes,
        .retained_bytes = s->mapped_bytes - s->used_bytes,
        .purged_bytes = s->purged,
    };
}

static void arena_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    s->allocations -= s->frees;
    s->frees = s->reallocations = s->failures = s->requested = s->purged = 0;
    s->peak_live_bytes = s->live_bytes;
    s->peak_used_bytes = s->used_bytes;
}

static bool walk_chunk(const freehold__bump *chunk, freehold_visitor visit, void *context)
{
    for (size_t start = 0; freehold__bump_next_live(chunk, &start); start += FREEHOLD__BUMP_GRANULE)
        if (!visit(context, (void *)(chunk->base + start), freehold__bump_size(chunk, start)))
            return false;
    return true;
}

static bool arena_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    const state *s = state_of(self);
    for (size_t k = 0; k < s->live; k++)
        if (!walk_chunk(&s->chunks[k], visit, context))
            return false;
    return true;
}

/* The current chunk as well, which freeing leaves: another one before it is the current one then. */
static void drop_all_empty_chunks(state *s)
{
    while (s->live > s->last.chunks && s->chunks[s->live - 1].used == 0) {
        if (s->live - 1 == s->current)
            s->current = s->live > 1 ? current_before(s) : 0;
        drop_chunk(s);
    }
}

static size_t arena_trim(freehold_allocator *self)
{
    state *s = state_of(self);
    size_t before = s->mapped_bytes;
    drop_all_empty_chunks(s);
    while (s->count > s->live)
        give_chunk(s, &s->chunks[--s->count]);
    if (s->count == 0)
        s->next_bytes = s->chunk_bytes;
    s->purged += before - s->mapped_bytes;
    return before - s->mapped_bytes;
}

/* ---- the validator --------------------------------------------------------------------------- */

static const char *check_chunks(const state *s)
{
    size_t live_bytes = 0, used_bytes = 0, mapped_bytes = 0;
    uint64_t blocks = 0;
    for (size_t k = 0; k < s->count; k++) {
        const freehold__bump *chunk = &s->chunks[k];
        const char *wrong = k < s->live ? freehold__bump_check(chunk) : NULL;
        if (wrong != NULL)
            return wrong;
        mapped_bytes += chunk->bytes;
        used_bytes += k < s->live ? chunk->bytes : 0;
        live_bytes += k < s->live ? chunk->live_bytes : 0;
        blocks += k < s->live ? chunk->blocks : 0;
    }
    const char *live =
        "the arena has more or fewer live blocks, or bytes of them, than were counted";
    const char *chunks = "the chunks of the arena have more or fewer bytes than were counted";
    const char *wrong = freehold__corrupt_unless(live, s, blocks, s->allocations - s->frees);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(live, s, live_bytes, s->live_bytes);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(chunks, s, used_bytes, s->used_bytes);
    if (wrong == NULL)
        wrong = freehold__corrupt_unless(chunks, s, mapped_bytes, s->mapped_bytes);
    return wrong;
}

/* Whether the arena has come as far as the point, and no block lies across it. */
static bool is_behind(const state *s, const freehold_arena_point *point)
{
    return point->chunks == 0 ||
           (point->chunks <= s->live && point->current < point->chunks &&
               freehold__bump_is_border(&s->chunks[point->current], point->used));
}

static const char *check_marks(const state *s)
{
    uint64_t before = 0;
    for (size_t i = 0; i < s->stale_count; i++) {
        if (s->stale[i].first <= before || s->stale[i].last < s->stale[i].first)
            return freehold__corrupt("the stale marks of the arena are not in order", &s->stale[i]);
        before = s->stale[i].last;
    }
    if (before > s->serial || s->last.serial > s->serial)
        return freehold__corrupt("the arena knows a mark that was never set", &s->last);
    if (!is_behind(s, &s->last))
        return freehold__corrupt("the last mark of the arena is beyond its end", &s->last);
    return NULL;
}

static const char *arena_check(freehold_allocator *self)
{
    const state *s = state_of(self);
    if (s->backing == NULL)
        return freehold__corrupt("the arena has no backing allocator", self);
    if (s->live > s->count || s->count > s->capacity || s->stale_count > s->stale_capacity ||
        (s->current != 0 && s->current >= s->live))
        return freehold__corrupt("the arena has more chunks than records", s);
    const char *wrong = check_chunks(s);
    return wrong != NULL ? wrong : check_marks(s);
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "arena",
    .allocate = arena_allocate,
    .free = arena_free,
    .resize = arena_resize,
    .remap = arena_remap,
    .realloc = arena_realloc,
    .free_sized = arena_free_sized,
    .usable_size = arena_usable_size,
    .base = arena_base,
    .stats = arena_stats,
    .check = arena_check,
    .walk = arena_walk,
    .trim = arena_trim,
    .reset_stats = arena_reset_stats,
};

FREEHOLD__DEFINE(arena)

/* The state of the arena, or a report. */
static state *checked(freehold_arena *arena, const char *function)
{
    freehold_allocator *base = (freehold_allocator *)(void *)arena;
    check_type(base, function);
    return state_of(base);
}

/* ---- marks ----------------------------------------------------------------------------------- */

static bool is_stale(const state *s, uint64_t serial)
{
    if (serial == 0 || serial > s->serial)
        return true;
    for (size_t i = s->stale_count; i-- > 0 && serial <= s->stale[i].last;)
        if (serial >= s->stale[i].first)
            return true;
    return false;
}

/* All marks from `first` on are stale. */
static void make_stale(state *s, uint64_t first)
{
    while (s->stale_count != 0 && s->stale[s->stale_count - 1].first >= first)
        s->stale_count--;
    if (first > s->serial)
        return;
    void *array = s->stale;
    if (s->stale_count == s->stale_capacity &&
        !grow(s, &array, &s->stale_capacity, sizeof *s->stale, s->own_stale))
        memmove(s->stale, s->stale + 1, --s->stale_count * sizeof *s->stale);
    s->stale = array;
    s->stale[s->stale_count++] = (range){first, s->serial};
}

static freehold__cold void report_mark(const freehold_arena *arena, bool foreign)
{
    const char *function = "freehold_arena_rewind";
    freehold__text text = freehold__report_begin(function, arena);
    freehold__text_add(&text, foreign ? "foreign mark: not of this arena"
                                      : "stale mark: the arena was rewound or reset before");
    freehold__report_end(
        &text, foreign ? FREEHOLD_FOREIGN_POINTER : FREEHOLD_WRONG_SCOPE, function, arena);
}

freehold_arena_point freehold_arena_mark(freehold_arena *arena)
{
    state *s = checked(arena, "freehold_arena_mark");
    freehold_arena_point now = {.arena = arena, .chunks = s->live, .current = s->current};
    if (s->live != 0)
        now.used = s->chunks[s->current].used;
    bool same = s->last.serial != 0 && now.chunks == s->last.chunks &&
                now.current == s->last.current && now.used == s->last.used;
    if (!same) {
        now.serial = ++s->serial;
        s->last = now;
        freehold__front_changed((freehold__front){&arena->base, &operations});
    }
    return s->last;
}

/* The chunk ends at `to`; what was live behind it counts as freed. */
static void cut(state *s, size_t k, size_t to)
{
    freehold__bump *chunk = &s->chunks[k];
    size_t blocks = chunk->blocks, bytes = chunk->live_bytes;
    freehold__bump_cut(chunk, to);
    s->frees += blocks - chunk->blocks;
    s->live_bytes -= bytes - chunk->live_bytes;
}

static void go_back(state *s, size_t chunks, size_t current, size_t used)
{
    while (s->live > chunks) {
        cut(s, s->live - 1, 0);
        drop_chunk(s);
    }
    s->current = current;
    if (s->live != 0)
        cut(s, current, used);
}

void freehold_arena_rewind(freehold_arena *arena, freehold_arena_point point)
{
    state *s = checked(arena, "freehold_arena_rewind");
    if (freehold__unlikely(point.arena != arena))
        report_mark(arena, true);
    if (freehold__unlikely(is_stale(s, point.serial) || !is_behind(s, &point)))
        report_mark(arena, false);
    freehold__front_changed((freehold__front){&arena->base, &operations});
    go_back(s, point.chunks, point.current, point.used);
    make_stale(s, point.serial + 1);
    s->last = point;
}

void freehold_arena_reset(freehold_arena *arena)
{
    state *s = checked(arena, "freehold_arena_reset");
    freehold__front_changed((freehold__front){&arena->base, &operations});
    go_back(s, 0, 0, 0);
    make_stale(s, 1);
    s->last = (freehold_arena_point){0};
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void freehold_arena_init_with(
    freehold_arena *arena, freehold_allocator *backing, size_t chunk_bytes, size_t alignment)
{
    memset(arena->state, 0, sizeof arena->state);
    freehold_allocator_init(&arena->base, &operations, alignment);
    state *s = state_of(&arena->base);
    if (chunk_bytes == 0)
        chunk_bytes = FREEHOLD_ARENA_CHUNK_BYTES;
    if (chunk_bytes < LEAST_CHUNK)
        chunk_bytes = LEAST_CHUNK;
    if (chunk_bytes > LARGEST_CHUNK)
        chunk_bytes = LARGEST_CHUNK;
    s->backing = backing;
    s->chunk_bytes = s->next_bytes = freehold__round_up(chunk_bytes, FREEHOLD__BUMP_GRANULE);
    s->chunks = s->own_chunks;
    s->stale = s->own_stale;
    s->capacity = s->stale_capacity = OWN;
}

void freehold_arena_init(freehold_arena *arena, freehold_allocator *backing)
{
    freehold_arena_init_with(arena, backing, 0, 0);
}

void freehold_arena_deinit(freehold_arena *arena)
{
    if (arena == NULL)
        return;
    state *s = checked(arena, "freehold_arena_deinit");
    freehold_allocator_deinit(&arena->base);
    while (s->count > 0)
        give_chunk(s, &s->chunks[--s->count]);
    if (s->chunks != s->own_chunks)
        freehold_free(s->backing, s->chunks);
    if (s->stale != s->own_stale)
        freehold_free(s->backing, s->stale);
    memset(arena->state, 0, sizeof arena->state);
}
