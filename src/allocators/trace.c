/* SPDX-License-Identifier: MIT */
/*
 * Blocks counted by call site (freehold/trace.h). Two tables, under one lock: the sites, by a hash
 * of what they are, and the live blocks by address, each with its site.
 *
 * The parent is called without the lock when it allocates or moves, for it may call back; a record
 * is marked before its block can go, and put in when the block is there, so that no two blocks
 * ever have one address in the table. When it frees, the lock is held (held.h): a report of the
 * parent then finds the records as they were.
 */
#include "freehold/trace.h"

#include "allocators/front.h"
#include "allocators/held.h"
#include "allocators/stack.h"
#include "allocators/table.h"
#include "allocators/wrap.h"

#define MAGIC       FREEHOLD_MAGIC('f', 'h', ' ', 't', 'r', 'a', 'c', 'e')
#define MOST_BLOCKS 1000000
#define MOST_SITES  10000

typedef struct site {
    uintptr_t key;
    freehold_trace_site is;
} site;

typedef struct record {
    uintptr_t block, site; /* its key, which is odd; less by one while the block is resized */
    size_t bytes;
} record;

/* What freehold_trace has in its words. */
typedef struct state {
    freehold_allocator *parent;
    unsigned frames;
    freehold__lock lock; /* of all that follows */
    freehold__table sites, blocks;
    freehold_statistics counts;
    uint64_t unrecorded;
} state;

_Static_assert(sizeof(state) <= sizeof(uint64_t) * FREEHOLD__TRACE_WORDS &&
                   _Alignof(state) <= _Alignof(freehold_allocator),
    "the state of a trace must fit its public structure");

static const freehold_operations operations;

static state *state_of(freehold_allocator *self)
{
    return (state *)(void *)((freehold_trace *)(void *)self)->state;
}

/* ---- sites ----------------------------------------------------------------------------------- */

static freehold_trace_site site_here(const state *s)
{
    freehold_trace_site here = {.name = NULL};
    freehold__stack stack = freehold__stack_here(&operations, s->frames);
    here.count = stack.count;
    for (unsigned i = 0; i < stack.count; i++)
        here.frame[i] = stack.frame[i];
    return here;
}

static bool same(const freehold_trace_site *a, const freehold_trace_site *b)
{
    return a->name == b->name && a->count == b->count &&
           memcmp(a->frame, b->frame, sizeof a->frame) == 0;
}

static uintptr_t hash(const freehold_trace_site *is)
{
    uint64_t sum = (uintptr_t)is->name + is->count;
    for (unsigned i = 0; i < is->count; i++)
        sum = (sum ^ sum >> 29) * UINT64_C(0xBF58476D1CE4E5B9) + (uintptr_t)is->frame[i];
    return (uintptr_t)(sum | 1);
}

/* The record of a site, which is new or not; NULL: there is no room. */
static site *enter_site(state *s, const freehold_trace_site *is)
{
    uintptr_t key = hash(is);
    site *found;
    while ((found = freehold__table_find(&s->sites, key)) != NULL && !same(&found->is, is))
        key += 2;
    if (found == NULL && (found = freehold__table_add(&s->sites, key)) != NULL)
        found->is = *is;
    return found;
}

/* ---- blocks, under the lock ------------------------------------------------------------------ */

static void count_live(state *s, size_t gained, size_t lost)
{
    s->counts.live_bytes += gained;
    s->counts.live_bytes -= lost;
    if (s->counts.live_bytes > s->counts.peak_live_bytes)
        s->counts.peak_live_bytes = s->counts.live_bytes;
}

/* The sites that blocks have are there. */
static freehold_trace_site *site_of(state *s, const record *r)
{
    return &((site *)freehold__table_find(&s->sites, r->site | 1))->is;
}

static bool put(state *s, void *block, uintptr_t site_key, size_t bytes)
{
    record *r = freehold__table_add(&s->blocks, (uintptr_t)block);
    if (r == NULL) {
        s->unrecorded++;
        return false;
    }
    r->site = site_key;
    r->bytes = bytes;
    freehold_trace_site *is = site_of(s, r);
    is->live_blocks++;
    is->live_bytes += bytes;
    return true;
}

/* Its site no longer has the block; it keeps that it once had. */
static record take(state *s, const void *block)
{
    record *r = freehold__table_find(&s->blocks, (uintptr_t)block), copy = {0, 0, 0};
    if (r == NULL)
        return copy;
    copy = *r;
    copy.site |= 1;
    freehold_trace_site *is = site_of(s, r);
    is->live_blocks--;
    is->live_bytes -= r->bytes;
    freehold__table_remove(&s->blocks, r);
    return copy;
}

/* A block that began there and has not ended here: its parent ended it, with all that an arena had, for example.
 * Or it has just moved away, which is counted by whoever moves it. */
static void end_unseen(state *s, const void *block)
{
    const record *there = freehold__table_find(&s->blocks, (uintptr_t)block);
    bool moves = there != NULL && there->site % 2 == 0;
    record r = take(s, block);
    if (r.block == 0 || moves)
        return;
    count_live(s, 0, r.bytes);
    s->counts.frees++;
}

static void put_new(state *s, void *block, const freehold_trace_site *is, size_t bytes)
{
    site *at = enter_site(s, is);
    if (at == NULL)
        s->unrecorded++;
    else if (put(s, block, at->key, bytes)) {
        at->is.ever_blocks++;
        at->is.ever_bytes += bytes;
    }
}

/* ---- allocating and freeing ------------------------------------------------------------------ */

static freehold__cold void *refused(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold_error error = freehold__wrap_refused(self, s->parent);
    freehold__lock_take(&s->lock);
    s->counts.failures += freehold__is_failure(error);
    freehold__lock_drop(&s->lock);
    return NULL;
}

/* What counts for a block: its usable size, or, when the parent does not know that, its size. */
static size_t size_of(const state *s, const void *block, size_t bytes)
{
    size_t usable = freehold_usable_size(s->parent, block);
    return usable != 0 ? usable : bytes;
}

static void *granted(state *s, void *block, size_t bytes, const freehold_trace_site *is)
{
    size_t usable = size_of(s, block, bytes);
    freehold__lock_take(&s->lock);
    end_unseen(s, block);
    s->counts.requested_bytes += bytes;
    s->counts.allocations++;
    count_live(s, usable, 0);
    put_new(s, block, is, usable);
    freehold__lock_drop(&s->lock);
    return block;
}

__attribute__((noinline)) static void *trace_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    state *s = state_of(self);
    void *block = freehold__wrap_ask(s->parent, bytes, alignment, offset, zeroed);
    if (block == NULL)
        return refused(self);
    freehold_trace_site here = site_here(s);
    return granted(s, block, bytes, &here);
}

/* Under the lock, which a report of the parent drops before anything was changed. */
static size_t forget(state *s, const void *block, size_t bytes)
{
    record r = take(s, block);
    size_t size = r.block != 0 ? r.bytes : bytes; /* what was counted, as far as that is known */
    count_live(s, 0, size < s->counts.live_bytes ? size : s->counts.live_bytes);
    s->counts.frees++;
    return bytes;
}

static size_t trace_free(freehold_allocator *self, void *block)
{
    state *s = state_of(self);
    freehold__held held;
    freehold__hold(&held, &s->lock);
    size_t bytes = forget(s, block, freehold_free(s->parent, block));
    freehold__release(&held);
    return bytes;
}

static size_t trace_free_sized(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    freehold__held held;
    freehold__hold(&held, &s->lock);
    size_t freed = forget(s, block, freehold_free_sized(s->parent, block, bytes));
    freehold__release(&held);
    return freed;
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* The parent is called without the lock. The record as it was stays for as long, with a mark: when it is gone, another
 * thread has freed the block; when another one is there, the block has moved, and its place is another's. */
static record begin_resize(state *s, const void *block)
{
    record copy = {0, 0, 0};
    freehold__lock_take(&s->lock);
    record *r = freehold__table_find(&s->blocks, (uintptr_t)block);
    if (r != NULL) {
        copy = *r;
        copy.site |= 1;
        r->site = copy.site - 1;
    }
    freehold__lock_drop(&s->lock);
    return copy;
}

/* Takes the record out, if there was one. False: it is there no more. */
static bool take_resized(state *s, const record *r)
{
    if (r->block == 0)
        return true;
    freehold__lock_take(&s->lock);
    const record *now = freehold__table_find(&s->blocks, r->block);
    bool is_there = now != NULL && now->site == r->site - 1;
    if (is_there)
        take(s, (void *)r->block);
    freehold__lock_drop(&s->lock);
    return is_there;
}

/* The block is somewhere, or of another size, and belongs to the same site. */
static void put_back(state *s, record r, void *block, size_t usable)
{
    if (r.block == 0 || !put(s, block, r.site, usable))
        return;
    site *at = freehold__table_find(&s->sites, r.site);
    at->is.ever_bytes += usable > r.bytes ? usable - r.bytes : 0;
}

static void resized(state *s, record r, void *block, size_t bytes, size_t before, bool moved)
{
    size_t usable = size_of(s, block, bytes);
    freehold__lock_take(&s->lock);
    end_unseen(s, block);
    s->counts.requested_bytes += bytes;
    s->counts.reallocations++;
    s->counts.allocations += moved;
    s->counts.frees += moved;
    count_live(s, usable, before < s->counts.live_bytes + usable ? before : 0);
    put_back(s, r, block, usable);
    freehold__lock_drop(&s->lock);
}

/* The parent has done nothing. */
static void unchanged(state *s, record r, void *block)
{
    freehold__lock_take(&s->lock);
    end_unseen(s, block);
    put_back(s, r, block, r.bytes);
    freehold__lock_drop(&s->lock);
}

static bool trace_resize(freehold_allocator *self, void *block, size_t bytes)
{
    state *s = state_of(self);
    if (!freehold__wrap_has(s->parent, block))
        return freehold_resize(s->parent, block, bytes); /* reports it */
    record r = begin_resize(s, block);
    size_t before = r.block != 0 ? r.bytes : size_of(s, block, 0);
    bool done = freehold_resize(s->parent, block, bytes);
    if (!take_resized(s, &r) && !freehold__wrap_has(s->parent, block))
        return freehold_resize(s->parent, block, bytes);
    if (done)
        resized(s, r, block, bytes, before, false);
    else
        unchanged(s, r, block);
    return done;
}

static void *ask_to_move(const state *s, void *block, size_t bytes, bool remaps)
{
    return remaps ? freehold_remap(s->parent, block, bytes)
                  : freehold_realloc(s->parent, block, bytes);
}

static void *move(freehold_allocator *self, void *block, size_t bytes, bool remaps)
{
    state *s = state_of(self);
    if (!freehold__wrap_has(s->parent, block))
        return ask_to_move(s, block, bytes, remaps);
    record r = begin_resize(s, block);
    size_t before = r.block != 0 ? r.bytes : size_of(s, block, 0);
    void *now = ask_to_move(s, block, bytes, remaps);
    bool moved = now != NULL && now != block;
    if (!take_resized(s, &r) && !moved && !freehold__wrap_has(s->parent, block))
        return ask_to_move(s, block, bytes, remaps);
    if (now != NULL) {
        resized(s, r, now, bytes, before, moved);
        return now;
    }
    unchanged(s, r, block);
    return refused(self);
}

static void *trace_remap(freehold_allocator *self, void *block, size_t bytes)
{
    return move(self, block, bytes, true);
}

static void *trace_realloc(freehold_allocator *self, void *block, size_t bytes)
{
    return move(self, block, bytes, false);
}

/* ---- looking --------------------------------------------------------------------------------- */

static size_t trace_usable_size(freehold_allocator *self, const void *block)
{
    return freehold_usable_size(state_of(self)->parent, block);
}

static void *trace_base(freehold_allocator *self, const void *pointer)
{
    return freehold_base(state_of(self)->parent, pointer);
}

static freehold_statistics trace_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    freehold_statistics own = s->counts;
    freehold__lock_drop(&s->lock);
    return freehold__wrap_stats(s->parent, own);
}

static void trace_reset_stats(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    s->counts = (freehold_statistics){
        .allocations = s->counts.allocations - s->counts.frees,
        .live_bytes = s->counts.live_bytes,
        .peak_live_bytes = s->counts.live_bytes,
    };
    site *at = NULL;
    while ((at = freehold__table_next(&s->sites, at)) != NULL) {
        at->is.ever_blocks = at->is.live_blocks;
        at->is.ever_bytes = at->is.live_bytes;
    }
    freehold__lock_drop(&s->lock);
}

static const char *check_sums(const state *s)
{
    uint64_t blocks = 0;
    for (site *at = NULL; (at = freehold__table_next(&s->sites, at)) != NULL;)
        blocks += at->is.live_blocks;
    return freehold__corrupt_unless(
        "trace: the sites do not have all blocks", s, s->blocks.used, blocks);
}

static const char *trace_check(freehold_allocator *self)
{
    state *s = state_of(self);
    freehold__lock_take(&s->lock);
    const char *wrong = freehold__table_check(&s->sites);
    if (wrong == NULL)
        wrong = freehold__table_check(&s->blocks);
    if (wrong == NULL)
        wrong = check_sums(s);
    freehold__lock_drop(&s->lock);
    return wrong != NULL ? wrong : freehold_check(s->parent);
}

static bool trace_walk(freehold_allocator *self, freehold_visitor visit, void *context)
{
    return freehold_walk(state_of(self)->parent, visit, context);
}

static size_t trace_trim(freehold_allocator *self)
{
    return freehold_trim(state_of(self)->parent);
}

/* ---- the type -------------------------------------------------------------------------------- */

static const freehold_operations operations = {
    .magic = MAGIC,
    .name = "trace",
    .allocate = trace_allocate,
    .free = trace_free,
    .resize = trace_resize,
    .remap = trace_remap,
    .realloc = trace_realloc,
    .free_sized = trace_free_sized,
    .usable_size = trace_usable_size,
    .base = trace_base,
    .stats = trace_stats,
    .check = trace_check,
    .walk = trace_walk,
    .trim = trace_trim,
    .reset_stats = trace_reset_stats,
};

FREEHOLD__DEFINE(trace)

void freehold_trace_init(freehold_trace *trace, freehold_allocator *parent,
    freehold_allocator *records, const freehold_trace_options *options)
{
    freehold__allocator_check(parent, "freehold_trace_init");
    freehold_trace_options wanted = options != NULL ? *options : (freehold_trace_options){0};
    records = freehold__wrap_records(records, &trace->own, "freehold_trace_init");
    memset(trace->state, 0, sizeof trace->state);
    state *s = state_of(&trace->base);
    s->parent = parent;
    s->frames = wanted.frames == 0                      ? 1
                : wanted.frames < FREEHOLD_TRACE_FRAMES ? wanted.frames
                                                        : FREEHOLD_TRACE_FRAMES;
    freehold__table_init(
        &s->sites, records, sizeof(site), freehold__wrap_option(wanted.most_sites, MOST_SITES));
    freehold__table_init(&s->blocks, records, sizeof(record),
        freehold__wrap_option(wanted.most_blocks, MOST_BLOCKS));
    freehold_allocator_init(&trace->base, &operations, parent->alignment);
}

void freehold_trace_deinit(freehold_trace *trace)
{
    if (!freehold__wrap_ends(trace, MAGIC, "freehold_trace_deinit", "trace"))
        return;
    state *s = state_of(&trace->base);
    freehold_allocator_deinit(&trace->base);
    bool own = s->sites.memory == &trace->own.base;
    freehold__table_release(&s->sites);
    freehold__table_release(&s->blocks);
    if (own)
        freehold_heap_deinit(&trace->own);
    memset(trace->state, 0, sizeof trace->state);
}

static state *checked(freehold_trace *trace, const char *function)
{
    freehold__wrap_checked(trace, MAGIC, function, "trace");
    return state_of(&trace->base);
}

/* As freehold_alloc; what is granted by a retry of the policy has no site but that of the retry. */
void *freehold_trace_alloc_at(freehold_trace *trace, size_t bytes, const char *name)
{
    state *s = checked(trace, "freehold_trace_alloc_at");
    if (bytes == 0)
        return NULL;
    void *block = freehold__wrap_ask(s->parent, bytes, trace->base.alignment, 0, false);
    freehold_trace_site here = {.name = name};
    if (block == NULL) {
        refused(&trace->base);
        freehold__front front = {&trace->base, &operations};
        return freehold__front_retry(
            front, freehold__front_plain(front, bytes, false), "freehold_trace_alloc_at");
    }
    freehold__front_changed((freehold__front){&trace->base, &operations});
    return granted(s, block, bytes, &here);
}

uint64_t freehold_trace_unrecorded(freehold_trace *trace)
{
    state *s = checked(trace, "freehold_trace_unrecorded");
    freehold__lock_take(&s->lock);
    uint64_t unrecorded = s->unrecorded;
    freehold__lock_drop(&s->lock);
    return unrecorded;
}

/* ---- reports --------------------------------------------------------------------------------- */

/* Sites stay where they are among the others, unless the table grows: `place` counts them. */
static bool next_site(state *s, size_t *place, freehold_trace_site *is)
{
    freehold__lock_take(&s->lock);
    site *at = NULL;
    for (; *place < s->sites.places; ++*place) {
        at = (site *)(void *)(s->sites.records + *place * s->sites.record);
        if (at->key != 0)
            break;
    }
    bool found = *place < s->sites.places;
    if (found)
        *is = at->is;
    ++*place;
    freehold__lock_drop(&s->lock);
    return found;
}

__attribute__((noinline)) static bool call_user_visitor(
    bool (*visit)(void *context, const freehold_trace_site *site), void *context,
    const freehold_trace_site *is)
{
    return visit(context, is);
}

bool freehold_trace_sites(freehold_trace *trace,
    bool (*visit)(void *context, const freehold_trace_site *site), void *context)
{
    state *s = checked(trace, "freehold_trace_sites");
    freehold_trace_site is;
    for (size_t place = 0; next_site(s, &place, &is);)
        if (!call_user_visitor(visit, context, &is))
            return false;
    return true;
}

/* The order of a ranking: the more live, then the more ever; then some order. */
static bool ranks_before(const site *a, const site *b)
{
    if (a->is.live_bytes != b->is.live_bytes)
        return a->is.live_bytes > b->is.live_bytes;
    if (a->is.ever_bytes != b->is.ever_bytes)
        return a->is.ever_bytes > b->is.ever_bytes;
    return a->key < b->key;
}

/* The first one after `last` (key 0: the first of all). */
static site next_in_rank(state *s, const site *last, bool leaks)
{
    site best = {.key = 0};
    freehold__lock_take(&s->lock);
    for (site *at = NULL; (at = freehold__table_next(&s->sites, at)) != NULL;)
        if ((!leaks || at->is.live_blocks != 0) && (last->key == 0 || ranks_before(last, at)) &&
            (best.key == 0 || ranks_before(at, &best)))
            best = *at;
    freehold__lock_drop(&s->lock);
    return best;
}

static void add_sum(freehold__text *text, uint64_t bytes, uint64_t blocks, const char *when)
{
    freehold__text_decimal(text, bytes);
    freehold__text_add(text, " bytes in ");
    freehold__text_decimal(text, blocks);
    freehold__text_add(text, blocks == 1 ? " block " : " blocks ");
    freehold__text_add(text, when);
}

static freehold__text head_line(state *s)
{
    freehold__text text = {.length = 0};
    uint64_t bytes = 0;
    freehold__lock_take(&s->lock);
    for (site *at = NULL; (at = freehold__table_next(&s->sites, at)) != NULL;)
        bytes += at->is.live_bytes;
    freehold__text_add(&text, "trace: ");
    add_sum(&text, bytes, s->blocks.used, "live, from ");
    freehold__text_decimal(&text, s->sites.used);
    freehold__text_add(&text, s->sites.used == 1 ? " site" : " sites");
    if (s->unrecorded != 0) {
        freehold__text_add(&text, "; records are full: ");
        freehold__text_decimal(&text, s->unrecorded);
        freehold__text_add(&text, " not recorded");
    }
    freehold__lock_drop(&s->lock);
    return text;
}

static freehold__text site_line(const freehold_trace_site *is)
{
    freehold__text text = {.length = 0};
    freehold__text_add(&text, "  ");
    add_sum(&text, is->live_bytes, is->live_blocks, "live, ");
    add_sum(&text, is->ever_bytes, is->ever_blocks, "ever: ");
    freehold__text_add(&text, is->name != NULL ? is->name : is->count == 0 ? "unknown" : "at");
    freehold__stack_text(&text, is->frame, is->count, FREEHOLD__STACK_WHOLE);
    return text;
}

__attribute__((noinline)) static void call_user_writer(
    void (*write_line)(void *context, const char *line), void *context, freehold__text text)
{
    write_line(context, text.bytes);
}

void freehold_trace_report(freehold_trace *trace,
    void (*write_line)(void *context, const char *line), void *context, size_t most, bool leaks)
{
    state *s = checked(trace, "freehold_trace_report");
    call_user_writer(write_line, context, head_line(s));
    site last = {.key = 0};
    while (most-- != 0 && (last = next_in_rank(s, &last, leaks)).key != 0)
        call_user_writer(write_line, context, site_line(&last.is));
}
