/* SPDX-License-Identifier: MIT */
/*
 * The contract of freehold/allocator.h (F1 to F13), on every allocator of rows.h, by the functions
 * of its type and by those of the base. What an allocator answers is compared with a shadow: every
 * block with its size and contents, every count of the statistics.
 *
 * Usage: conformance            every test, on every row
 *        conformance only NAME  the tests of that name alone
 *        conformance random N   the random test alone, N seeds; SEED=S begins with another one
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "memory.h"
#include "reports.h"
#include "rows.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- the functions of each type -------------------------------------------------------------- */

/* As if all types were the base: typed functions are called by way of a function that knows the
 * type, and chooses by _Generic. */
#define FIELD(T, result, name, parameters, arguments) result(*name) parameters;
typedef struct functions {
    FREEHOLD__EACH_FUNCTION(FIELD, allocator)
} functions;

#define DYNAMIC(T, result, name, parameters, arguments) .name = freehold_allocator_##name,
static const functions dynamic = {FREEHOLD__EACH_FUNCTION(DYNAMIC, allocator)};

/* The list of types is in use when it comes to _Generic, which needs it again: so the choice waits
 * for a second look. */
#define NOTHING()
#define AGAIN(...) __VA_ARGS__
#undef FREEHOLD__SELF
#define FREEHOLD__SELF typed
#define THUNK(T, result, name, parameters, arguments)                                              \
    static result T##_##name parameters                                                            \
    {                                                                                              \
        T##_type *typed = (T##_type *)(void *)self;                                                \
        return freehold_##name NOTHING() arguments;                                                \
    }
#define ENTRY(T, result, name, parameters, arguments) .name = T##_##name,
#define TYPED(T, unused)                                                                           \
    typedef freehold_allocator freehold_as_##T; /* makes the parameters those of the base */       \
    typedef freehold_##T as_##T##_type;                                                            \
    FREEHOLD__EACH_FUNCTION(THUNK, as_##T)                                                         \
    static const functions T##_functions = {FREEHOLD__EACH_FUNCTION(ENTRY, as_##T)};
AGAIN(FREEHOLD__EACH_TYPE(TYPED, ))

/* Types of users have no functions of their own. */
#define checker_functions dynamic
#define least_functions   dynamic

/* ---- the rows -------------------------------------------------------------------------------- */

typedef struct row {
    const char *name;
    const functions *typed;
    void (*begin)(void *a, freehold_allocator *under, void *buffer);
    void (*end)(void *a);
    row_limits is;
} row;

#define ROW_BYTES 65536

#define BEGIN_AND_END(name, T, start, ...)                                                         \
    _Static_assert(sizeof(freehold_##T) <= ROW_BYTES, "too large for the fixture");                \
    static void begin_##name(void *memory, freehold_allocator *under, void *buffer)                \
    {                                                                                              \
        freehold_##T *a = memory;                                                                  \
        (void)under;                                                                               \
        (void)buffer;                                                                              \
        start;                                                                                     \
    }                                                                                              \
    static void end_##name(void *memory)                                                           \
    {                                                                                              \
        freehold_##T##_deinit(memory);                                                             \
    }
#define ROW(name, T, start, ...) {#name, &T##_functions, begin_##name, end_##name, {__VA_ARGS__}},
EACH_ROW(BEGIN_AND_END)
static const row rows[] = {EACH_ROW(ROW)};

/* One test on one row: in this way, with these functions. */
typedef struct run {
    const row *row;
    const functions *f;
} run;

static const size_t MIB = 1024 * 1024;

/* Sizes around every border that there is. */
static const size_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 33, 100, 127, 128, 129, 160, 161, 1000,
    1023, 1024, 1025, 4095, 4096, 4097, 40000, 65535, 65536, 65537, 524287, 524288, 524289, 700000,
    1048576, 3000001};

/* Sizes that nothing can have. */
static const size_t impossible[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16,
    SIZE_MAX - 31, SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX - 65536, SIZE_MAX / 2 + 1,
    SIZE_MAX / 2 + 2, SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX};

/* ---- random numbers -------------------------------------------------------------------------- */

static uint64_t seed = 1, random_state;

static size_t below(size_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % limit;
}

/* ---- reports of misuse ----------------------------------------------------------------------- */

/* Whether the statement was reported; it is in report_text then. */
#define REPORTS(statement)                                                                         \
    __extension__({                                                                                \
        freehold_fatal_handler before_ = freehold_set_fatal_handler(catch_report);                 \
        volatile bool reported_ = true;                                                            \
        if (setjmp(report_back) == 0) {                                                            \
            statement;                                                                             \
            reported_ = false;                                                                     \
        }                                                                                          \
        freehold_set_fatal_handler(before_);                                                       \
        reported_;                                                                                 \
    })

/* ---- an allocator and its shadow ------------------------------------------------------------- */

#define MOST_BLOCKS 512

typedef struct block {
    unsigned char *at;
    size_t bytes, usable; /* as asked for; as it may be written */
    unsigned char fill;
} block;

typedef struct fixture {
    const row *row;
    const functions *f;
    freehold_allocator *a;
    _Alignas(64) unsigned char memory[ROW_BYTES];
    freehold_heap under;
    freehold_statistics want;
    block blocks[MOST_BLOCKS];
    size_t count;
} fixture;

static void no_misuse_expected(const freehold_report *report)
{
    print_error("%s\n", report->message);
    fail();
}

static unsigned begun;           /* and not ended */
static uint64_t mapped_at_first; /* before the first of them */

/* Private and anonymous, as the region with pages wants it; and two of which what is aligned in one is in the
 * other. */
static void *buffer_of(unsigned which)
{
    static char *both;
    if (both == NULL)
        both = mmap(NULL, 2 * ROW_BUFFER, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(both, MAP_FAILED);
    return both + which * ROW_BUFFER;
}

/* A fresh one; there may be two at a time. */
static fixture *begin_other(const run *r, unsigned which)
{
    static fixture fixtures[2];
    fixture *x = &fixtures[which];
    x->row = r->row;
    x->f = r->f;
    x->a = (freehold_allocator *)(void *)x->memory;
    if (begun++ == 0)
        mapped_at_first = freehold__fault_mapped();
    x->want = (freehold_statistics){0};
    x->count = 0;
    freehold_set_fatal_handler(no_misuse_expected);
    freehold_heap_init(&x->under);
    memset(x->memory, 0xA5, sizeof x->memory); /* it needs nothing of what was there */
    freehold__fault_set(1 + r->row->is.asks, UINT64_MAX - r->row->is.asks);
    r->row->begin(x->memory, &x->under.base, buffer_of(which));
    assert_int_equal(freehold__fault_calls(), r->row->is.asks); /* and asks for nothing else */
    freehold__fault_set(0, 0);
    return x;
}

static fixture *begin(void **state)
{
    return begin_other(*state, 0);
}

/* Blocks that are mapped have whole pages, and a row says how many bytes that is with those of 4 KiB. */
static size_t in_pages(size_t bytes)
{
    size_t page = freehold_page_size();
    return bytes > (size_t)512 * 1024 ? (bytes + page - 1) / page * page : bytes;
}

static size_t usable_size(fixture *x, const void *at, size_t bytes)
{
    size_t usable = x->f->usable_size(x->a, at);
    if (x->row->is.no_usable) {
        assert_int_equal(usable, 0);
        return bytes;
    }
    assert_true(usable >= bytes);
    if (x->row->is.fixed != 0)
        assert_int_equal(usable, in_pages(x->row->is.fixed));
    return usable;
}

/* Whether there can be such a block: then there must be one, as long as memory is not out. */
static bool is_granted(const fixture *x, size_t bytes)
{
    return bytes != 0 && bytes <= PTRDIFF_MAX / 2 &&
           (x->row->is.largest == 0 || bytes <= x->row->is.largest);
}

/* All of the block becomes the test's. */
static void scribble(block *b)
{
    b->fill = (unsigned char)(b->fill % 255 + 1);
    memset(b->at, b->fill, b->usable);
}

static void enter(fixture *x, size_t i, void *at, size_t bytes)
{
    block *b = &x->blocks[i];
    assert_int_equal((uintptr_t)at % x->a->alignment, 0);
    *b = (block){at, bytes, usable_size(x, at, bytes), (unsigned char)(i + bytes)};
    for (size_t k = 0; k < x->count; k++)
        assert_true(k == i || b->at + b->usable <= x->blocks[k].at ||
                    x->blocks[k].at + x->blocks[k].usable <= b->at);
    scribble(b);
    x->want.live_bytes += b->usable;
    if (x->want.live_bytes > x->want.peak_live_bytes)
        x->want.peak_live_bytes = x->want.live_bytes;
}

/* A request was refused: for want of memory, or why else. */
static void refused(fixture *x)
{
    freehold_error error = x->f->last_error(x->a);
    assert_int_not_equal(error, FREEHOLD_OK);
    x->want.failures += error == FREEHOLD_NO_MEMORY || error == FREEHOLD_LIMIT;
}

typedef enum how_to_take {
    PLAIN,
    ZEROED,
    ALIGNED,
    REMAPPED,
    REALLOCATED,
    WAYS_TO_TAKE
} how_to_take;

static void *ask(fixture *x, how_to_take how, size_t bytes, size_t alignment, size_t offset)
{
    switch (how) {
    case PLAIN:
        return x->f->alloc(x->a, bytes);
    case ZEROED:
        return x->f->alloc_zeroed(x->a, bytes);
    case ALIGNED:
        return x->f->alloc_aligned(x->a, bytes, alignment, offset);
    case REMAPPED:
        return x->f->remap(x->a, NULL, bytes);
    default:
        return x->f->realloc(x->a, NULL, bytes);
    }
}

/* Allocates, and enters the block; NULL: it was refused. */
static block *take_aligned(
    fixture *x, how_to_take how, size_t bytes, size_t alignment, size_t offset)
{
    assert_true(x->count < MOST_BLOCKS);
    unsigned char *at = ask(x, how, bytes, alignment, offset);
    if (at == NULL) {
        if (bytes != 0)
            refused(x);
        return NULL;
    }
    assert_true(bytes != 0);
    if (how == ALIGNED)
        assert_int_equal(((uintptr_t)at + offset) % alignment, 0);
    if (how == ZEROED)
        assert_true(all_bytes(at, 0, bytes));
    enter(x, x->count, at, bytes);
    x->want.allocations++;
    x->want.requested_bytes += bytes;
    return &x->blocks[x->count++];
}

static block *take(fixture *x, how_to_take how, size_t bytes)
{
    return take_aligned(x, how, bytes, 1, 0);
}

static block *must_take(fixture *x, how_to_take how, size_t bytes)
{
    block *b = take(x, how, bytes);
    assert_non_null(b);
    return b;
}

typedef enum how_to_give { FREED, SIZED, WIPED, TO_NOTHING, WAYS_TO_GIVE } how_to_give;

/* Frees the block i, whose contents must be what they were. */
static void give(fixture *x, how_to_give how, size_t i)
{
    block b = x->blocks[i];
    size_t released = b.usable;
    assert_true(all_bytes(b.at, b.fill, b.usable));
    x->blocks[i] = x->blocks[--x->count];
    if (how == FREED)
        released = x->f->free(x->a, b.at);
    else if (how == SIZED)
        released = x->f->free_sized(x->a, b.at, b.bytes);
    else if (how == WIPED)
        released = x->f->free_zeroed(x->a, b.at);
    else
        assert_null(x->f->remap(x->a, b.at, 0));
    if (!x->row->is.no_usable)
        assert_int_equal(released, b.usable);
    x->want.frees++;
    x->want.live_bytes -= b.usable;
}

typedef enum how_to_change { RESIZED, MOVED, RESIZED_OR_MOVED, WAYS_TO_CHANGE } how_to_change;

/* Resizes the block i to bytes > 0; false: it is as it was. */
static bool change(fixture *x, how_to_change how, size_t i, size_t bytes)
{
    block b = x->blocks[i];
    void *at = b.at;
    if (how == RESIZED)
        at = x->f->resize(x->a, b.at, bytes) ? at : NULL;
    else
        at = how == MOVED ? x->f->remap(x->a, b.at, bytes) : x->f->realloc(x->a, b.at, bytes);
    if (at == NULL) {
        if (how != RESIZED)
            refused(x);
        assert_true(all_bytes(b.at, b.fill, b.usable));
        assert_int_equal(usable_size(x, b.at, b.bytes), b.usable);
        return false;
    }
    assert_true(all_bytes(at, b.fill, b.bytes < bytes ? b.bytes : bytes));
    x->want.live_bytes -= b.usable;
    enter(x, i, at, bytes);
    x->want.reallocations++;
    x->want.requested_bytes += bytes;
    if (at != b.at) { /* counts as a new one and a free */
        x->want.allocations++;
        x->want.frees++;
    }
    return true;
}

static void give_all(fixture *x)
{
    while (x->count > 0)
        give(x, (how_to_give)(x->count % WAYS_TO_GIVE), x->count - 1);
}

/* ---- what the allocator says of itself is what the shadow says ------------------------------- */

typedef struct seen {
    fixture *x;
    size_t count, limit;
} seen;

static bool is_mine(void *context, void *at, size_t bytes)
{
    seen *s = context;
    size_t i = 0;
    while (i < s->x->count && s->x->blocks[i].at != at)
        i++;
    assert_true(i < s->x->count); /* it is live */
    if (!s->x->row->is.no_usable)
        assert_int_equal(bytes, s->x->blocks[i].usable);
    return ++s->count != s->limit;
}

static void agree_in_statistics(fixture *x)
{
    freehold_statistics now = x->f->stats(x->a), want = x->want;
    if (x->row->is.no_stats) {
        assert_true(all_bytes(&now, 0, sizeof now));
        return;
    }
    assert_int_equal(now.requested_bytes, want.requested_bytes);
    assert_int_equal(now.allocations, want.allocations);
    assert_int_equal(now.frees, want.frees);
    if (!x->row->is.no_resizes)
        assert_int_equal(now.reallocations, want.reallocations);
    assert_int_equal(now.failures, want.failures);
    assert_int_equal(now.live_bytes, want.live_bytes);
    /* Both blocks of a move are live for a moment. */
    assert_true(now.peak_live_bytes == 0 || now.peak_live_bytes >= want.peak_live_bytes);
    assert_true(now.peak_bytes >= now.used_bytes);
}

static void agree(fixture *x)
{
    agree_in_statistics(x);
    assert_null(x->f->check(x->a));
    assert_null(x->f->validate(x->a));
    seen all = {x, 0, 0};
    assert_int_equal(x->f->walk(x->a, is_mine, &all), !x->row->is.no_walk);
    assert_int_equal(all.count, x->row->is.no_walk ? 0 : x->count);
    for (size_t i = 0; i < x->count; i++)
        assert_true(all_bytes(x->blocks[i].at, x->blocks[i].fill, x->blocks[i].usable));
}

/* Ends it with what is live: nothing stays behind, but for what is its parent's. */
static void end(fixture *x)
{
    agree(x);
    size_t below = x->row->is.ends_no_block ? freehold_stats(&x->under).live_bytes : 0;
    x->row->end(x->memory);
    x->row->end(NULL);
    assert_int_equal(freehold_stats(&x->under).live_bytes, below);
    assert_null(freehold_check(&x->under));
    freehold_heap_deinit(&x->under);
    if (--begun == 0)
        assert_int_equal(freehold__fault_mapped(), mapped_at_first);
    freehold_set_fatal_handler(NULL);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* F1: zeroed, garbage and copied structures are none, nor those of another type or that have
 * ended. */
static bool no_visit(void *context, void *at, size_t bytes)
{
    (void)context;
    (void)at;
    (void)bytes;
    return true;
}

static void every_function_refuses(const functions *f, freehold_allocator *a, const char *details)
{
    static char local[64];
    char wanted[200];
#define REFUSES(name, ...)                                                                         \
    do {                                                                                           \
        snprintf(wanted, sizeof wanted, "freehold: freehold_" #name "(0x%llx): wrong type: %s",    \
            (unsigned long long)(uintptr_t)a, details);                                            \
        assert_true(REPORTS(f->name(__VA_ARGS__)));                                                \
        assert_string_equal(report_text, wanted);                                                  \
        assert_int_equal(report_kind, FREEHOLD_WRONG_TYPE);                                        \
        assert_ptr_equal(report_pointer, a);                                                       \
    } while (0)
    REFUSES(alloc, a, 10);
    REFUSES(alloc, a, 0);
    REFUSES(alloc_zeroed, a, 10);
    REFUSES(alloc_aligned, a, 10, 16, 0);
    REFUSES(alloc_aligned, a, 10, 3, 0);
    REFUSES(resize, a, local, 10);
    REFUSES(remap, a, local, 10);
    REFUSES(remap, a, NULL, 0);
    REFUSES(realloc, a, local, 10);
    REFUSES(free, a, local);
    REFUSES(free, a, NULL);
    REFUSES(free_sized, a, local, 10);
    REFUSES(free_zeroed, a, local);
    REFUSES(usable_size, a, local);
    REFUSES(owns, a, local);
    REFUSES(base, a, local);
    REFUSES(stats, a);
    REFUSES(reset_stats, a);
    REFUSES(check, a);
    REFUSES(validate, a);
    REFUSES(walk, a, no_visit, NULL);
    REFUSES(trim, a);
    REFUSES(last_error, a);
#undef REFUSES
}

static void what_is_no_allocator_is_refused(void **state)
{
    static _Alignas(64) unsigned char other[ROW_BYTES];
    fixture *x = begin(state);
    freehold_allocator *none = (freehold_allocator *)(void *)other;
    bool dynamically = x->f == &dynamic;
    char wanted[100];
    snprintf(wanted, sizeof wanted, "not an initialised %s",
        dynamically ? "allocator" : x->a->operations->name);
    memset(other, 0, sizeof other);
    every_function_refuses(x->f, none, wanted);
    memcpy(other, x->memory, sizeof other); /* it must stay where it is */
    every_function_refuses(x->f, none, wanted);
    every_function_refuses(x->f, NULL, wanted);
    if (!dynamically) { /* (memory that was never initialised has no table to look at) */
        memset(other, 0xA5, sizeof other);
        every_function_refuses(x->f, none, wanted);
        static freehold_least another;
        freehold_least_init(&another, &x->under.base);
        every_function_refuses(x->f, &another.base, wanted);
    }
    must_take(x, PLAIN, 1);
    freehold_allocator *a = x->a;
    end(x);
    every_function_refuses(x->f, a, "the allocator was deinitialised");
}

static void no_bytes_are_no_block(void **state)
{
    fixture *x = begin(state);
    for (how_to_take how = 0; how < WAYS_TO_TAKE; how++)
        assert_null(take(x, how, 0));
    assert_null(x->f->alloc_aligned(x->a, 0, 3, 1)); /* whatever the rest says */
    assert_int_equal(x->f->free(x->a, NULL), 0);
    assert_int_equal(x->f->free_sized(x->a, NULL, 10), 0);
    assert_int_equal(x->f->free_zeroed(x->a, NULL), 0);
    assert_int_equal(x->f->usable_size(x->a, NULL), 0);
    assert_false(x->f->resize(x->a, NULL, 10));
    assert_false(x->f->owns(x->a, NULL));
    assert_null(x->f->base(x->a, NULL));
    assert_int_equal(x->f->last_error(x->a), FREEHOLD_OK); /* none was a failure */
    agree(x);
    block *b = must_take(x, PLAIN, 10);
    assert_false(x->f->resize(x->a, b->at, 0));
    agree(x);
    give(x, TO_NOTHING, 0);
    b = must_take(x, PLAIN, 10);
    x->count--;
    assert_null(x->f->realloc(x->a, b->at, 0));
    x->want.frees++;
    x->want.live_bytes -= b->usable;
    end(x);
}

/* T1: refused by every function, and nothing changes. */
static void impossible_sizes_are_refused(void **state)
{
    fixture *x = begin(state);
    freehold_error why = x->row->is.beyond != FREEHOLD_OK ? x->row->is.beyond : FREEHOLD_NO_MEMORY;
    must_take(x, PLAIN, 1);
    must_take(x, PLAIN, is_granted(x, MIB) ? MIB : 16);
    for (size_t i = 0; i < COUNT(impossible); i++) {
        size_t bytes = impossible[i];
        for (how_to_take how = 0; how < WAYS_TO_TAKE; how++) {
            assert_null(take(x, how, bytes));
            assert_int_equal(x->f->last_error(x->a), why);
        }
        for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 2)
            assert_null(take_aligned(x, ALIGNED, bytes, alignment, alignment * i));
        for (size_t alignment = 32; alignment <= 2 * MIB; alignment *= 2)
            assert_null(take_aligned(x, ALIGNED, bytes, alignment, alignment / 2));
        for (how_to_change how = 0; how < WAYS_TO_CHANGE; how++) {
            assert_false(change(x, how, 0, bytes));
            assert_false(change(x, how, 1, bytes));
        }
        agree(x);
    }
    size_t most = in_pages(x->row->is.largest);
    if (most != 0) { /* the border itself */
        assert_non_null(take(x, PLAIN, most));
        assert_null(take(x, PLAIN, most + 1));
        assert_int_equal(x->f->last_error(x->a), why);
    }
    must_take(x, PLAIN, 1);
    end(x);
}

/* ---- alignments ------------------------------------------------------------------------------ */

static bool is_aligned(const fixture *x, size_t alignment)
{
    return x->row->is.most_aligned == 0 || alignment <= x->row->is.most_aligned ||
           alignment <= x->a->alignment;
}

/* A request that is granted if it can be; or else perhaps, by a row that is so by chance. */
static void take_if(fixture *x, size_t bytes, size_t alignment, size_t offset, bool can)
{
    bool granted = take_aligned(x, ALIGNED, bytes, alignment, offset) != NULL;
    assert_true(granted == can || (granted && x->row->is.by_chance));
}

/* T2: also the second block, and blocks that are used again. */
static void alignments_are_kept(void **state)
{
    static const size_t some[] = {1, 16, 24, 100, 1000, 5000, 100000, 600000};
    fixture *x = begin(state);
    for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 2)
        for (size_t i = 0; i < COUNT(some); i++) {
            if (!is_granted(x, some[i]))
                continue;
            for (size_t k = 0; k < 3; k++) /* the offset is one modulo the alignment */
                take_if(x, some[i], alignment, k * alignment, is_aligned(x, alignment));
            agree(x);
            give_all(x);
        }
    end(x);
}

static void offsets_are_kept(void **state)
{
    static const size_t some[] = {1, 100, 4096, 70000};
    fixture *x = begin(state);
    size_t own = x->a->alignment;
    for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 4)
        for (size_t i = 0; i < COUNT(some); i++) {
            if (!is_granted(x, some[i]))
                continue;
            const size_t offsets[] = {own, alignment / 2, alignment - own, alignment + own};
            for (size_t k = 0; k < COUNT(offsets); k++) {
                size_t rest = offsets[k] & (alignment - 1),
                       whole = alignment > own ? own : alignment;
                if (alignment < own && rest != 0)
                    continue; /* below */
                bool can = is_aligned(x, alignment) && rest % whole == 0 &&
                           (x->row->is.any_offset || rest == 0);
                freehold_error before = x->f->last_error(x->a);
                size_t count = x->count;
                take_if(x, some[i], alignment, offsets[k], can);
                if (x->count != count)
                    assert_int_equal(x->f->last_error(x->a), before); /* only a refusal counts */
                else if (rest % whole == 0 && is_aligned(x, alignment) && !x->row->is.by_chance)
                    assert_int_equal(x->f->last_error(x->a),
                        x->row->is.by_user ? FREEHOLD_NO_MEMORY : FREEHOLD_UNSUPPORTED);
            }
            agree(x);
            give_all(x);
        }
    end(x);
}

/* What there cannot be is refused before the allocator is asked: it counts no failure. */
static void impossible_alignments_are_refused(void **state)
{
    static const struct {
        size_t alignment, offset;
    } wrong[] = {{0, 0}, {3, 0}, {48, 0}, {SIZE_MAX, 0}, {SIZE_MAX / 2 + 2, 0}, {1000, 16}, {64, 1},
        {64, 8}, {64, 63}, {32, 15}};
    fixture *x = begin(state);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_null(take_aligned(x, ALIGNED, 10, wrong[i].alignment, wrong[i].offset));
        assert_int_equal(x->f->last_error(x->a), FREEHOLD_INVALID);
    }
    assert_int_equal(x->want.failures, 0);
    agree(x);
    /* Powers of two, but beyond all memory. */
    size_t top = 8 * sizeof(size_t) - 1;
    for (size_t high = top; high >= (top == 63 ? 62 : top); high--) {
        assert_null(take_aligned(x, ALIGNED, 10, (size_t)1 << high, 0));
        assert_int_not_equal(x->f->last_error(x->a), FREEHOLD_INVALID);
    }
    end(x);
}

/* ---- contents -------------------------------------------------------------------------------- */

static void contents_are_kept(void **state)
{
    fixture *x = begin(state);
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t k = 0; k < COUNT(sizes); k++) {
            if (!is_granted(x, sizes[i]) || !is_granted(x, sizes[k]))
                continue;
            must_take(x, (how_to_take)(k % WAYS_TO_TAKE), sizes[i]);
            change(x, RESIZED, 0, sizes[k]);
            if (!x->row->is.no_usable)
                assert_true(change(x, k % 2 ? MOVED : RESIZED_OR_MOVED, 0, sizes[k]));
            give(x, (how_to_give)((i + k) % WAYS_TO_GIVE), 0);
        }
    end(x);
}

/* Without a usable size the interface cannot know how much to copy. */
static void what_cannot_be_moved_stays(void **state)
{
    fixture *x = begin(state);
    if (!x->row->is.no_usable)
        skip();
    must_take(x, PLAIN, 100);
    assert_false(change(x, MOVED, 0, 200));
    assert_false(change(x, RESIZED_OR_MOVED, 0, 200));
    end(x);
}

/* A resize to what it may write already stays, and so does one to the size that it has. */
static void the_same_size_stays(void **state)
{
    fixture *x = begin(state);
    if (x->row->is.no_usable)
        skip();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        if (!is_granted(x, sizes[i]))
            continue;
        block *b = must_take(x, PLAIN, sizes[i]);
        unsigned char *at = b->at;
        if (sizes[i] < b->usable / 2 && b->usable == freehold_page_size())
            continue; /* the least that a large block has: it may move to another as long */
        for (how_to_change how = 0; how < WAYS_TO_CHANGE; how++)
            if (how != MOVED) { /* which may move */
                assert_true(change(x, how, x->count - 1, sizes[i]));
                assert_true(change(x, how, x->count - 1, b->usable));
                assert_ptr_equal(b->at, at);
            }
    }
    end(x);
}

/* T10: fresh, used before, and both mixed. take looks at what is zeroed. */
static void zeroed_blocks_read_zero(void **state)
{
    fixture *x = begin(state);
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            size_t from = x->count;
            for (size_t k = 0; k < (sizes[i] < 100000 ? 12 : 2) && is_granted(x, sizes[i]); k++)
                must_take(x, k % 3 == 0 ? PLAIN : ZEROED, sizes[i]);
            while (x->count > from + round % 2)
                give(x, FREED, x->count - 1);
        }
    agree(x);
    end(x);
}

/* Whether a block lies in what another one was, or near it: canaries are not the user's. */
static bool overlaps(const block *old, const unsigned char *at, size_t usable, size_t near)
{
    return (uintptr_t)at < (uintptr_t)old->at + old->usable + near &&
           (uintptr_t)old->at < (uintptr_t)at + usable + near;
}

/* F13: what comes again after free_zeroed is zero, unless memory of it has served another block
 * meanwhile. (Slots take turns: it may come much later.) */
static void wiped_blocks_read_zero(void **state)
{
    fixture *x = begin(state);
    static block wiped[4096];
    size_t count = 0, again = 0;
    for (size_t step = 0; step < COUNT(wiped) && (step < 200 || again == 0); step++) {
        size_t bytes = sizes[step % 7 == 0 ? step / 7 % COUNT(sizes) : 8];
        if (!is_granted(x, bytes))
            bytes = 1;
        unsigned char *at = x->f->alloc(x->a, bytes);
        assert_non_null(at);
        size_t usable = x->row->is.no_usable ? bytes : x->f->usable_size(x->a, at);
        for (size_t i = count; i-- > 0;) {
            if (!overlaps(&wiped[i], at, usable, x->row->is.parents_pages ? 64 : 0))
                continue;
            if (wiped[i].at == at) {
                size_t both = usable < wiped[i].usable ? usable : wiped[i].usable;
                assert_true(x->row->is.no_usable || all_bytes(at, 0, both));
                again++;
            }
            wiped[i] = wiped[--count];
        }
        enter(x, x->count++, at, bytes);
        x->want.allocations++;
        x->want.requested_bytes += bytes;
        if (step % 2 == 0)
            wiped[count++] = x->blocks[0];
        give(x, step % 2 == 0 ? WIPED : FREED, 0);
    }
    assert_true(again != 0 || x->row->is.keeps || x->row->is.no_usable);
    end(x);
}

/* ---- pointers -------------------------------------------------------------------------------- */

static int global;

/* F5 */
static void any_pointer_leads_to_its_block(void **state)
{
    fixture *x = begin(state), *other = begin_other(*state, 1);
    const void *foreign[] = {NULL, &global, &x, x->a, x->memory + 5000, (void *)UINTPTR_MAX,
        (void *)(uintptr_t)16, (void *)(uintptr_t)no_visit, &x->under};
    for (size_t k = 0; k < COUNT(foreign); k++) /* before it has any memory */
        assert_false(x->f->owns(x->a, foreign[k]) || x->f->base(x->a, foreign[k]) != NULL);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        if (!is_granted(x, sizes[i]))
            continue;
        block b = *must_take(x, PLAIN, sizes[i]), o = *must_take(other, PLAIN, sizes[i]);
        const size_t at[] = {0, 1, 8, b.usable / 2, b.usable - 1};
        for (size_t k = 0; k < COUNT(at); k++) {
            size_t inside = at[k] < b.usable ? at[k] : 0;
            assert_ptr_equal(x->f->base(x->a, b.at + inside), x->row->is.no_base ? NULL : b.at);
            assert_int_equal(x->f->owns(x->a, b.at + inside), !x->row->is.no_base);
            assert_false(x->f->owns(x->a, o.at + (at[k] < o.usable ? at[k] : 0)));
        }
        assert_true(x->row->is.no_base || x->f->base(x->a, b.at + b.usable) != b.at);
        assert_true(x->row->is.no_base || x->f->base(x->a, b.at - 1) != b.at);
        give(x, FREED, x->count - 1);
        assert_false(x->f->owns(x->a, b.at) || x->f->base(x->a, b.at + b.usable / 2) != NULL);
        must_take(x, PLAIN, sizes[i]); /* later ones with more memory, and live blocks */
        if (x->count > 8)
            give(x, FREED, 0);
    }
    for (size_t k = 0; k < COUNT(foreign); k++)
        assert_false(x->f->owns(x->a, foreign[k]) || x->f->base(x->a, foreign[k]) != NULL);
    end(other);
    end(x);
}

/* T20: a report, before anything is changed. */
static void assert_reported(fixture *x, void *pointer, bool foreign)
{
    const functions *f = x->f;
    assert_true(REPORTS(f->free(x->a, pointer)));
    assert_true(!foreign || report_kind == FREEHOLD_FOREIGN_POINTER);
    assert_non_null(strstr(report_text, "freehold: freehold_"));
    agree(x);
    assert_true(REPORTS(f->free_sized(x->a, pointer, 8)));
    assert_true(REPORTS(f->remap(x->a, pointer, 0)));
    if (x->row->is.no_usable) /* cannot look at it: the rest does nothing */
        return;
    assert_true(REPORTS(f->free_zeroed(x->a, pointer)));
    assert_true(REPORTS(f->remap(x->a, pointer, 16)));
    assert_true(REPORTS(f->realloc(x->a, pointer, 16)));
    assert_true(REPORTS(f->usable_size(x->a, pointer)));
    assert_true(!foreign || report_kind == FREEHOLD_FOREIGN_POINTER);
    agree(x);
}

static void misuse_is_reported_and_changes_nothing(void **state)
{
    fixture *x = begin(state);
    if (x->row->is.no_misuse)
        skip();
    static _Alignas(16) char array[64];
    assert_reported(x, array, true); /* before it has any memory */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        if (!is_granted(x, sizes[i]))
            continue;
        block b = *must_take(x, PLAIN, sizes[i]);
        must_take(x, PLAIN, sizes[i]);
        assert_reported(x, array, true);
        assert_reported(x, &x->under, true);
        assert_reported(x, b.at + 8, false);
        if (b.usable > 16)
            assert_reported(x, b.at + 16, false);
        if (!x->row->is.no_usable)
            assert_reported(x, b.at + b.usable / 2 + 1, false);
        give(x, FREED, x->count - 2);
        assert_reported(x, b.at, false); /* freed twice */
        give_all(x);
    }
    end(x);
}

static void assert_mismatch(fixture *x, void *at, size_t bytes)
{
    char wanted[100];
    snprintf(wanted, sizeof wanted,
        "freehold: freehold_free_sized(%p): size mismatch: given %zu, but ", at, bytes);
    assert_true(REPORTS(x->f->free_sized(x->a, at, bytes)));
    assert_int_equal(report_kind, FREEHOLD_SIZE_MISMATCH);
    report_text[strlen(wanted)] = '\0';
    assert_string_equal(report_text, wanted);
}

/* F4 */
static void a_given_size_is_verified(void **state)
{
    fixture *x = begin(state);
    if (x->row->is.no_usable || x->row->is.no_misuse)
        skip();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        if (!is_granted(x, sizes[i]))
            continue;
        block b = *must_take(x, PLAIN, sizes[i]);
        assert_mismatch(x, b.at, b.usable + 1);
        assert_mismatch(x, b.at, b.usable * 2 + 16);
        assert_mismatch(x, b.at, SIZE_MAX / 2);
        assert_mismatch(x, b.at, SIZE_MAX);
        agree(x);
        give(x, SIZED, 0);
        b = *must_take(x, PLAIN, sizes[i]);
        x->blocks[0].bytes = b.usable; /* as if all of it had been asked for */
        give(x, SIZED, 0);
    }
    end(x);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* F11: agree compares every count. Here: after a reset what is live stays. */
static void statistics_begin_anew(void **state)
{
    fixture *x = begin(state);
    for (size_t i = 0; i < 100; i++)
        must_take(x, (how_to_take)(i % WAYS_TO_TAKE), is_granted(x, i * 37) ? i * 37 : 1);
    take(x, PLAIN, SIZE_MAX);
    for (size_t i = 0; i < 50; i++)
        give(x, FREED, i);
    agree(x);
    assert_int_equal(x->f->reset_stats(x->a), !x->row->is.no_stats);
    size_t live = x->want.live_bytes;
    x->want =
        (freehold_statistics){.allocations = x->count, .live_bytes = live, .peak_live_bytes = live};
    agree(x);
    freehold_statistics now = x->f->stats(x->a);
    assert_true(now.peak_live_bytes == 0 || now.peak_live_bytes == live);
    if (!x->row->is.no_stats && now.used_bytes != 0)
        assert_true(now.peak_bytes >= now.used_bytes);
    assert_true(now.purged_bytes == 0 || x->row->is.parents_pages);
    must_take(x, PLAIN, 10);
    take(x, PLAIN, SIZE_MAX);
    give(x, FREED, 0);
    agree(x);
    give_all(x);
    end(x);
}

/* F12, T13: agree compares all of it. Here: it ends when the visitor says so. */
static void a_walk_ends_early(void **state)
{
    fixture *x = begin(state);
    seen none = {x, 0, 0};
    assert_int_equal(x->f->walk(x->a, is_mine, &none), !x->row->is.no_walk);
    for (size_t i = 0; i < 60; i++)
        must_take(x, PLAIN, is_granted(x, sizes[i % COUNT(sizes)]) ? sizes[i % COUNT(sizes)] : 1);
    for (size_t i = 0; i < 20; i++)
        give(x, FREED, i);
    agree(x);
    for (size_t limit = 1; limit <= x->count && !x->row->is.no_walk; limit++) {
        seen few = {x, 0, limit};
        assert_false(x->f->walk(x->a, is_mine, &few)); /* by its visitor, at the last one too */
        assert_int_equal(few.count, limit);
    }
    end(x);
}

static void trim_gives_back_what_is_free(void **state)
{
    fixture *x = begin(state);
    size_t given = x->f->trim(x->a);
    assert_true(given == 0 || x->row->is.given); /* it has nothing */
    size_t bytes = is_granted(x, 70000) ? 70000 : x->row->is.largest;
    for (size_t round = 0; round < 2; round++) {
        while (x->count < MOST_BLOCKS - 1)
            must_take(x, PLAIN, bytes);
        uint64_t mapped = freehold__fault_mapped();
        for (size_t i = MOST_BLOCKS - 2; i > 0; i--)
            if (i % 100 != 0)
                give(x, FREED, i);
        size_t back = x->f->trim(x->a); /* and what was not kept before */
        back += (size_t)(mapped - freehold__fault_mapped());
        assert_true(x->row->is.no_trim || x->row->is.keeps || bytes < 4096 || back >= bytes * 200);
        agree(x);
    }
    give_all(x);
    x->f->trim(x->a);
    end(x);
}

/* F10: a validation is repeated only when a call may have changed something. */
static void validation_is_remembered(void **state)
{
    fixture *x = begin(state);
    freehold_checker *checker = NULL;
    if (strcmp(x->row->name, "checker") == 0)
        checker = (freehold_checker *)(void *)x->a;
    for (size_t i = 0; i < 10; i++) {
        if (x->count == 0 || i % 3 != 0)
            must_take(x, (how_to_take)(i % WAYS_TO_TAKE), 10 + i % 4);
        else
            give(x, (how_to_give)(i % WAYS_TO_GIVE), 0);
        assert_int_not_equal(x->a->changed, 0);
        size_t before = checker != NULL ? checker->checks : 0;
        for (size_t k = 0; k < 3; k++) {
            assert_null(x->f->validate(x->a));
            assert_int_equal(x->a->changed, 0);
        }
        if (checker != NULL)
            assert_int_equal(checker->checks, before + 1);
        /* What only looks changes nothing. */
        x->f->stats(x->a);
        x->f->owns(x->a, x);
        if (x->count > 0)
            x->f->usable_size(x->a, x->blocks[0].at);
        assert_int_equal(x->a->changed, 0);
    }
    if (checker != NULL) { /* what was found wrong is not forgotten */
        must_take(x, PLAIN, 10);
        checker->wrong = "wrong";
        assert_string_equal(x->f->validate(x->a), "wrong");
        assert_string_equal(x->f->validate(x->a), "wrong");
        checker->wrong = NULL;
        assert_null(x->f->validate(x->a));
    }
    end(x);
}

typedef struct lines {
    size_t count, blocks;
    char first[200];
    bool nothing_wrong;
} lines;

static void note_line(void *context, const char *line)
{
    lines *l = context;
    assert_null(strchr(line, '\n'));
    assert_true(strlen(line) < 300);
    if (l->count++ == 0)
        snprintf(l->first, sizeof l->first, "%s", line);
    l->blocks += strncmp(line, "  block ", 8) == 0;
    l->nothing_wrong |= strcmp(line, "  nothing is wrong") == 0;
}

/* T21 */
static void a_dump_ends(void **state)
{
    fixture *x = begin(state);
    for (size_t i = 0; i < 300; i++)
        must_take(x, PLAIN, is_granted(x, sizes[i % 23]) ? sizes[i % 23] : 1);
    char wanted[200];
    snprintf(wanted, sizeof wanted, "%s %p alignment %zu", x->a->operations->name, (void *)x->a,
        x->a->alignment);
    lines with = {0, 0, "", false}, without = {0, 0, "", false};
    freehold_dump(x->a, note_line, &with, true);
    freehold_dump(x->a, note_line, &without, false);
    assert_string_equal(with.first, wanted);
    assert_string_equal(without.first, wanted);
    assert_true(with.nothing_wrong && without.nothing_wrong);
    assert_int_equal(with.blocks, x->row->is.no_walk ? 0 : 300);
    assert_int_equal(without.blocks, 0);
    assert_true(with.count <= without.count + 300 + 64 && without.count < 20);
    end(x);
}

/* ---- what is done before a request is refused ------------------------------------------------ */

typedef struct reclaimer {
    fixture *x;
    size_t asked, bytes, no_at; /* says no when it is asked for the nth time */
    void *give_up;              /* frees this block, */
    bool end_fault;             /* or the system has memory again */
} reclaimer;

static bool reclaim(void *context, freehold_allocator *allocator, size_t bytes)
{
    reclaimer *r = context;
    assert_ptr_equal(allocator, r->x->a);
    assert_in_range(r->x->f->last_error(allocator), FREEHOLD_OK, FREEHOLD_TOO_SMALL); /* F8 */
    r->bytes = bytes;
    r->asked++;
    if (r->give_up != NULL)
        r->x->f->free(r->x->a, r->give_up);
    if (r->end_fault)
        freehold__fault_set(0, 0);
    r->give_up = NULL;
    return r->asked != r->no_at;
}

/* F6, F7: exactly as often as was said, for every function that allocates. */
static void retries_are_counted(void **state)
{
    fixture *x = begin(state);
    must_take(x, PLAIN, 100 < x->row->is.largest || x->row->is.largest == 0 ? 100 : 1);
    for (size_t retries = 0; retries < 5; retries++)
        for (size_t no_at = 0; no_at < 4; no_at++) {
            reclaimer r = {x, 0, 0, no_at, NULL, false};
            freehold_policy policy = {
                .retries = (unsigned)retries, .reclaim = reclaim, .context = &r};
            freehold_set_policy(x->a, &policy);
            bool says_no = no_at != 0 && no_at <= retries;
            size_t asked = says_no ? no_at : retries, tries = says_no ? no_at : 1 + retries;
            uint64_t one = 0;
            for (size_t way = 0; way < WAYS_TO_TAKE + 2; way++) {
                r.asked = 0;
                uint64_t before = x->want.failures;
                if (way < WAYS_TO_TAKE)
                    assert_null(take(x, (how_to_take)way, SIZE_MAX / 2 + 1));
                else
                    assert_false(change(
                        x, way == WAYS_TO_TAKE ? MOVED : RESIZED_OR_MOVED, 0, SIZE_MAX / 2 + 1));
                one = x->want.failures - before;
                assert_int_equal(r.asked, asked);
                assert_true(asked == 0 || r.bytes == SIZE_MAX / 2 + 1);
                x->want.failures += one * (tries - 1); /* each try is one */
            }
            /* An alignment that cannot be is not tried again, nor a resize in place. */
            r.asked = 0;
            assert_null(take_aligned(x, ALIGNED, 10, 3, 0));
            assert_false(change(x, RESIZED, 0, SIZE_MAX / 2));
            assert_int_equal(r.asked, 0);
            policy.reclaim = NULL; /* then it is simply tried again */
            assert_null(take(x, PLAIN, SIZE_MAX));
            x->want.failures += one * retries;
            agree_in_statistics(x);
        }
    freehold_set_policy(x->a, NULL);
    assert_null(take(x, PLAIN, SIZE_MAX));
    end(x);
}

/* Allocates blocks of a size until there is no memory for one more; they are not entered. The
 * system refuses everything from then on. */
static size_t exhaust(fixture *x, size_t bytes, void **blocks, size_t limit)
{
    size_t count = 0;
    must_take(x, PLAIN, bytes); /* so that there is one at least */
    freehold__fault_set(1, UINT64_MAX);
    while ((blocks[count] = x->f->alloc(x->a, bytes)) != NULL) {
        count++;
        assert_true(count < limit);
    }
    size_t usable = x->blocks[0].usable;
    x->want.allocations += count;
    x->want.requested_bytes += bytes * count;
    x->want.live_bytes += usable * count;
    refused(x);
    agree_in_statistics(x);
    return count;
}

static void free_exhausted(fixture *x, size_t count, void **blocks)
{
    freehold__fault_set(0, 0);
    for (size_t i = 0; i < count; i++)
        x->f->free(x->a, blocks[i]);
    x->want.frees += count;
    x->want.live_bytes -= x->blocks[0].usable * count;
}

#define EXHAUSTED 300000

static size_t usual_size(const fixture *x)
{
    return is_granted(x, 65536) ? 65536 : x->row->is.largest;
}

/* F7: memory is out, and the hook frees a block, or the system has memory again. */
static void reclaiming_helps(void **state)
{
    static void *blocks[EXHAUSTED];
    fixture *x = begin(state);
    size_t bytes = usual_size(x);
    size_t count = exhaust(x, bytes, blocks, EXHAUSTED);
    reclaimer r = {x, 0, 0, 0, NULL, false};
    freehold_policy policy = {.retries = 3, .reclaim = reclaim, .context = &r};
    freehold_set_policy(x->a, &policy);
    freehold_error before = x->f->last_error(x->a);
    if (!x->row->is.keeps) {
        block mine = x->blocks[0];
        r.give_up = mine.at;
        x->count = 0;
        x->want.frees++;
        x->want.live_bytes -= mine.usable;
        must_take(x, PLAIN, bytes);
        assert_int_equal(r.asked, 1);
        x->want.failures++;                               /* the first try */
        assert_int_equal(x->f->last_error(x->a), before); /* nothing was refused */
        assert_null(take(x, PLAIN, bytes));
        x->want.failures += 3;
        agree_in_statistics(x);
    }
    r.asked = 0;
    r.end_fault = true;
    if (x->row->is.largest == 0 && !x->row->is.given) {
        must_take(x, ZEROED, 300000);
        assert_int_equal(r.asked, 1);
        x->want.failures++;
    }
    freehold_set_policy(x->a, NULL);
    free_exhausted(x, count, blocks);
    end(x);
}

/* F6: blocks of the fallback are used by way of the allocator, and go back to the fallback. */
static void the_fallback_helps(void **state)
{
    static void *blocks[EXHAUSTED];
    fixture *x = begin(state);
    size_t bytes = usual_size(x);
    freehold_heap spare;
    freehold_heap_init(&spare);
    void *warm[8];
    for (size_t i = 0; i < COUNT(warm); i++) /* it has memory, and not all zero */
        warm[i] = memset(freehold_alloc(&spare, bytes), 0xEE, bytes);
    void *small = freehold_alloc(&spare, 100);
    for (size_t i = 0; i < COUNT(warm); i++)
        freehold_free(&spare, warm[i]);
    freehold_free(&spare, small);
    freehold_reset_stats(&spare);

    size_t count = exhaust(x, bytes, blocks, EXHAUSTED);
    const freehold_policy policy = {.fallback = &spare.base};
    assert_null(x->f->alloc_aligned(x->a, bytes, 3, 0)); /* a reason that is none of want */
    freehold_error before = x->f->last_error(x->a);
    assert_int_equal(before, FREEHOLD_INVALID);
    freehold_set_policy(x->a, &policy);
    if (x->row->is.no_base) { /* it could not tell whose a block is */
        assert_null(x->f->alloc(x->a, bytes));
        assert_int_equal(freehold_stats(&spare).allocations, 0);
    } else {
        unsigned char *other = x->f->alloc_zeroed(x->a, bytes);
        assert_non_null(other);
        assert_true(all_bytes(other, 0, bytes));
        assert_true(freehold_owns(&spare, other) && x->f->owns(x->a, other));
        assert_ptr_equal(x->f->base(x->a, other + bytes - 1), other);
        assert_int_equal(x->f->last_error(x->a), before); /* it was granted */
        size_t usable = freehold_usable_size(&spare, other);
        assert_int_equal(x->f->usable_size(x->a, other), usable);
        assert_true(x->f->resize(x->a, other, usable));
        memset(other, 7, usable);
        other = x->f->realloc(x->a, other, 100); /* it stays there */
        assert_true(freehold_owns(&spare, other) && all_bytes(other, 7, bytes < 100 ? bytes : 100));
        unsigned char *aligned = x->f->alloc_aligned(x->a, bytes, 64, 0);
        assert_true(freehold_owns(&spare, aligned) && (uintptr_t)aligned % 64 == 0);
        x->want.failures += is_aligned(x, 64) ? 2 : 1; /* what it cannot do is no failure */
        assert_int_equal(freehold_stats(&spare).live_bytes,
            freehold_usable_size(&spare, other) + freehold_usable_size(&spare, aligned));
        agree_in_statistics(x); /* they are the fallback's */
        assert_true(x->f->free(x->a, aligned) != 0);
        assert_int_equal(x->f->free_sized(x->a, other, 100), 112 > bytes ? usable : 112);
        other = x->f->alloc(x->a, bytes);
        x->want.failures++;
        assert_true(x->f->free_zeroed(x->a, other) >= bytes);
        assert_int_equal(freehold_stats(&spare).live_bytes, 0);

        static char nobody[16];
        assert_true(REPORTS(x->f->free(x->a, nobody)) || x->row->is.no_misuse);
        freehold_policy both = policy;
        reclaimer r = {x, 0, 0, 0, NULL, false};
        both.retries = 2; /* first all retries, then the fallback */
        both.reclaim = reclaim;
        both.context = &r;
        freehold_set_policy(x->a, &both);
        other = x->f->remap(x->a, NULL, bytes);
        assert_true(freehold_owns(&spare, other) && r.asked == 2);
        x->want.failures += 3;
        x->f->free(x->a, other);
        /* What even the fallback has not is refused. */
        assert_null(take(x, PLAIN, SIZE_MAX));
        x->want.failures += x->row->is.beyond != FREEHOLD_UNSUPPORTED ? 2 : 0;
    }
    freehold_set_policy(x->a, NULL);
    free_exhausted(x, count, blocks);
    freehold_heap_deinit(&spare);
    end(x);
}

/* A block that cannot grow where it is moves into the fallback. */
static void a_block_moves_to_the_fallback(void **state)
{
    static void *blocks[EXHAUSTED];
    fixture *x = begin(state);
    if (x->row->is.no_base || x->row->is.largest != 0 || x->row->is.no_usable)
        skip();
    freehold_heap spare;
    freehold_heap_init(&spare);
    freehold_free(&spare, freehold_alloc(&spare, 200000));
    size_t count = exhaust(x, 65536, blocks, EXHAUSTED);
    const freehold_policy policy = {.fallback = &spare.base};
    freehold_set_policy(x->a, &policy);
    block b = x->blocks[--x->count];
    unsigned char *moved = x->f->realloc(x->a, b.at, 200000);
    if (freehold_owns(&spare, moved)) { /* or there was room behind it */
        assert_true(all_bytes(moved, b.fill, 65536));
        assert_true(freehold_stats(&spare).live_bytes >= 200000);
    }
    assert_non_null(moved);
    assert_true(x->f->free(x->a, moved) >= 200000);
    assert_int_equal(freehold_stats(&spare).live_bytes, 0);
    freehold_set_policy(x->a, NULL);
    freehold__fault_set(0, 0);
    for (size_t i = 0; i < count; i++)
        x->f->free(x->a, blocks[i]);
    if (!x->row->is.no_stats)
        assert_int_equal(x->f->stats(x->a).live_bytes, 0);
    x->want = x->f->stats(x->a);
    freehold_heap_deinit(&spare);
    end(x);
}

/* F7: the process ends with a report, instead of a NULL. */
static void a_refusal_may_be_fatal(void **state)
{
    static const char *const reasons[] = {
        [FREEHOLD_INVALID] = "there is no such alignment or offset",
        [FREEHOLD_NO_MEMORY] = "memory is out",
        [FREEHOLD_LIMIT] = "the limit is reached",
        [FREEHOLD_UNSUPPORTED] = "the allocator cannot do that",
    };
    fixture *x = begin(state);
    reclaimer r = {x, 0, 0, 0, NULL, false};
    const freehold_policy policy = {.abort = true, .retries = 2, .reclaim = reclaim, .context = &r};
    must_take(x, PLAIN, 1);
    freehold_set_policy(x->a, &policy);
    freehold_error why = x->row->is.beyond != FREEHOLD_OK ? x->row->is.beyond : FREEHOLD_NO_MEMORY;
    const size_t all = SIZE_MAX / 2 + 1;
    char wanted[300];
#define ABORTS(error, function, call)                                                              \
    do {                                                                                           \
        snprintf(wanted, sizeof wanted,                                                            \
            "freehold: " function                                                                  \
            "(0x%llx): allocation failed: %s, and the policy of this %s is to end the process",    \
            (unsigned long long)(uintptr_t)x->a, reasons[error], x->a->operations->name);          \
        r.asked = 0;                                                                               \
        assert_true(REPORTS(call));                                                                \
        assert_string_equal(report_text, wanted);                                                  \
        assert_int_equal(report_kind, FREEHOLD_ALLOCATION_FAILED);                                 \
        assert_int_equal(r.asked, (error) == FREEHOLD_INVALID ? 0 : 2);                            \
        assert_int_equal(x->f->last_error(x->a), error);                                           \
        if ((error) == FREEHOLD_NO_MEMORY || (error) == FREEHOLD_LIMIT)                            \
            x->want.failures += 3;                                                                 \
    } while (0)
    ABORTS(why, "freehold_alloc", x->f->alloc(x->a, all));
    ABORTS(why, "freehold_alloc_zeroed", x->f->alloc_zeroed(x->a, all));
    ABORTS(why, "freehold_alloc_aligned", x->f->alloc_aligned(x->a, all, 64, 0));
    ABORTS(why, "freehold_remap", x->f->remap(x->a, NULL, all));
    ABORTS(why, "freehold_realloc", x->f->realloc(x->a, NULL, all));
    ABORTS(why, "freehold_remap", x->f->remap(x->a, x->blocks[0].at, all));
    ABORTS(why, "freehold_realloc", x->f->realloc(x->a, x->blocks[0].at, all));
    ABORTS(FREEHOLD_INVALID, "freehold_alloc_aligned", x->f->alloc_aligned(x->a, 10, 3, 0));
#undef ABORTS
    assert_null(x->f->alloc(x->a, 0)); /* no refusals */
    assert_false(x->f->resize(x->a, x->blocks[0].at, all));
    must_take(x, PLAIN, 1);
    end(x); /* no lock was held */
}

/* F8 */
static void the_last_error_is_kept(void **state)
{
    fixture *x = begin(state);
    freehold_error why = x->row->is.beyond != FREEHOLD_OK ? x->row->is.beyond : FREEHOLD_NO_MEMORY;
    assert_int_equal(x->f->last_error(x->a), FREEHOLD_OK);
    must_take(x, PLAIN, 10);
    assert_int_equal(x->f->last_error(x->a), FREEHOLD_OK);
    take(x, PLAIN, SIZE_MAX);
    assert_int_equal(x->f->last_error(x->a), why);
    assert_int_equal(freehold_last_error(x->a), why);
    must_take(x, PLAIN, 10); /* a success says nothing */
    assert_int_equal(x->f->last_error(x->a), why);
    take_aligned(x, ALIGNED, 10, 5, 0);
    assert_int_equal(x->f->last_error(x->a), FREEHOLD_INVALID);
    take(x, REMAPPED, SIZE_MAX);
    assert_int_equal(x->f->last_error(x->a), why);
    end(x);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* From one of the sizes to the next, in a test that goes through them over and over. In QEMU that takes minutes. */
static size_t size_step(const fixture *x)
{
    bool emulated = getenv("FREEHOLD_TEST_EMULATOR") != NULL;
    return (x->row->is.few_sizes ? 4 : 1) * (emulated ? 4 : 1);
}

/* Some of everything; what is refused is refused. */
static void do_something(fixture *x)
{
    for (size_t i = 0; i < COUNT(sizes); i += size_step(x))
        if (is_granted(x, sizes[i]))
            take(x, (how_to_take)(i % WAYS_TO_TAKE), sizes[i]);
    for (size_t i = 0; i < x->count; i += 2) {
        size_t bytes = sizes[i * size_step(x) % COUNT(sizes)] * 3;
        if (is_granted(x, bytes))
            change(x, (how_to_change)(i / 2 % WAYS_TO_CHANGE), i, bytes);
    }
    for (size_t alignment = 32; alignment <= 2 * MIB; alignment *= 4)
        take_aligned(x, ALIGNED, 100, alignment, 0);
    for (size_t i = 0; i + 1 < x->count; i += 3)
        give(x, (how_to_give)(i / 3 % WAYS_TO_GIVE), i);
    x->f->trim(x->a);
}

/* T16: each call of the port fails in turn, by itself and with the next one. Nothing is lost. */
static void every_call_of_the_port_may_fail(void **state)
{
    uint64_t calls, first = 1;
    do {
        for (uint64_t together = 1; together <= 2; together++) {
            fixture *x = begin(state);
            freehold__fault_set(first, together);
            do_something(x);
            if (together == 1)
                calls = freehold__fault_calls();
            freehold__fault_set(0, 0);
            agree(x);
            do_something(x); /* it goes on */
            for (size_t i = 0; i < COUNT(sizes); i += size_step(x))
                if (is_granted(x, sizes[i]))
                    must_take(x, PLAIN, sizes[i]);
            end(x);
        }
    } while (first++ < calls);
}

/* ---- random calls ---------------------------------------------------------------------------- */

static size_t random_size(const fixture *x)
{
    size_t bytes = below(40) == 0 ? below(2 * MIB) : below((size_t)16 << below(12));
    size_t most = x->row->is.largest;
    if (below(100) == 0)
        return below(2) ? 0 : impossible[below(COUNT(impossible))];
    return most != 0 && bytes > most && below(10) != 0 ? bytes % (most + 1) : bytes;
}

static void random_take(fixture *x)
{
    size_t alignment = (size_t)1 << below(below(8) == 0 ? 22 : 8), bytes = random_size(x);
    size_t offset = below(3) == 0 ? below(8) * x->a->alignment : 0;
    how_to_take how = (how_to_take)below(WAYS_TO_TAKE);
    bool granted = take_aligned(x, how, bytes, alignment, offset) != NULL;
    if (how != ALIGNED)
        assert_int_equal(granted, is_granted(x, bytes));
}

static void random_step(fixture *x)
{
    size_t what = below(10), i = x->count != 0 ? below(x->count) : 0;
    if (x->count == 0 || (what < 4 && x->count < 200)) {
        random_take(x);
    } else if (what < 7) {
        size_t bytes = random_size(x);
        if (bytes != 0)
            change(x, (how_to_change)below(WAYS_TO_CHANGE), i, bytes);
    } else {
        give(x, (how_to_give)below(WAYS_TO_GIVE), i);
    }
    if (below(500) == 0)
        x->f->trim(x->a);
    if (below(200) == 0)
        agree(x);
}

static void random_calls_agree_with_the_shadow(void **state)
{
    fixture *x = begin(state);
    random_state = seed;
    for (size_t step = 0; step < 4000; step++)
        random_step(x);
    agree(x);
    if (below(2))
        give_all(x);
    end(x);
}

/* ---- typed and dynamic ----------------------------------------------------------------------- */

static void assert_same_answers(fixture *a, fixture *b, const reclaimer *r, const reclaimer *s)
{
    freehold_statistics x = a->f->stats(a->a), y = b->f->stats(b->a);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->blocks[i].bytes, b->blocks[i].bytes);
        assert_int_equal(a->blocks[i].usable, b->blocks[i].usable);
    }
    assert_int_equal(r->asked, s->asked);
    assert_int_equal(a->f->last_error(a->a), b->f->last_error(b->a));
    assert_int_equal(x.requested_bytes, y.requested_bytes);
    assert_int_equal(x.allocations, y.allocations);
    assert_int_equal(x.frees, y.frees);
    assert_int_equal(x.reallocations, y.reallocations);
    assert_int_equal(x.failures, y.failures);
    assert_int_equal(x.live_bytes, y.live_bytes);
}

/* The same step on both: the random numbers are drawn twice. */
static void same_step(fixture *x, uint64_t from)
{
    size_t most = x->row->is.same_up_to;
    random_state = from;
    size_t what = below(10), i = x->count != 0 ? below(x->count) : 0, bytes = random_size(x);
    if (most != 0 && bytes > most && bytes <= 3 * MIB)
        bytes %= most + 1;
    if (below(30) == 0)
        bytes = impossible[below(COUNT(impossible))];
    size_t alignment = (size_t)1 << below(14), offset = below(4) ? 0 : below(200);
    most = x->row->is.same_aligned;
    alignment = (most != 0 && alignment > most ? most : alignment) + (below(9) == 0);
    if (x->count == 0 || (what < 4 && x->count < 100))
        take_aligned(x, (how_to_take)below(WAYS_TO_TAKE), bytes, alignment, offset);
    else if (what < 7 && bytes != 0)
        change(x, (how_to_change)below(WAYS_TO_CHANGE), i, bytes);
    else
        give(x, (how_to_give)below(WAYS_TO_GIVE), i);
}

/* T17: result, error, statistics and retries. */
static void typed_and_dynamic_calls_agree(void **state)
{
    const row *row = ((const run *)*state)->row;
    const run typed = {row, row->typed}, untyped = {row, &dynamic};
    fixture *x = begin_other(&typed, 0), *y = begin_other(&untyped, 1);
    reclaimer r = {x, 0, 0, 0, NULL, false}, s = {y, 0, 0, 0, NULL, false};
    const freehold_policy first = {.retries = 2, .reclaim = reclaim, .context = &r};
    const freehold_policy second = {.retries = 2, .reclaim = reclaim, .context = &s};
    freehold_set_policy(x->a, &first);
    freehold_set_policy(y->a, &second);
    uint64_t from = seed + 12345;
    for (size_t step = 0; step < 5000; step++) {
        same_step(x, from);
        same_step(y, from);
        from = random_state;
        if (step % 100 == 0)
            assert_same_answers(x, y, &r, &s);
    }
    assert_same_answers(x, y, &r, &s);
    assert_true(r.asked > 20);
    freehold_set_policy(x->a, NULL);
    freehold_set_policy(y->a, NULL);
    /* (each of the tries was a failure) */
    x->want.failures = x->f->stats(x->a).failures;
    y->want.failures = y->f->stats(y->a).failures;
    end(y);
    end(x);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define THREADS 4

typedef struct letter { /* begins a block: its size */
    size_t bytes;
} letter;

static letter *_Atomic boxes[32];

static void *work(void *context)
{
    const fixture *x = context;
    uint64_t state = (uintptr_t)&state ^ seed;
    size_t most = x->row->is.largest == 0 ? 3000 : x->row->is.largest;
    for (size_t step = 0; step < 5000; step++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t bytes = sizeof(letter) + (size_t)(state >> 40) % (most - sizeof(letter) + 1);
        letter *new = x->f->alloc(x->a, step % 500 == 0 && x->row->is.largest == 0 ? MIB : bytes);
        if (new == NULL)
            return (void *)"memory is out";
        memset(new, (int)(bytes % 251), bytes);
        new->bytes = bytes;
        letter *old = atomic_exchange(&boxes[(state >> 33) % COUNT(boxes)], new);
        if (old == NULL)
            continue;
        bytes = old->bytes;
        if (!all_bytes(old + 1, (int)(bytes % 251), bytes - sizeof *old))
            return (void *)"a block was changed";
        if (!x->row->is.no_base && !x->f->owns(x->a, old))
            return (void *)"a block is not owned";
        x->f->free(x->a, old); /* by another thread than allocated it, mostly */
    }
    return NULL;
}

static void threads_may_share_it(void **state)
{
    fixture *x = begin(state);
    if (x->row->is.one_thread || (x->row->is.largest != 0 && x->row->is.largest < sizeof(letter)))
        skip();
    pthread_t thread[THREADS];
    void *wrong;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, x), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], &wrong), 0);
        assert_null(wrong);
    }
    for (size_t i = 0; i < COUNT(boxes); i++)
        x->f->free(x->a, atomic_exchange(&boxes[i], NULL));
    freehold_statistics now = x->f->stats(x->a);
    assert_int_equal(now.allocations, x->row->is.no_stats ? 0 : THREADS * 5000);
    assert_int_equal(now.allocations, now.frees);
    assert_int_equal(now.live_bytes, 0);
    x->want = now;
    end(x);
}

/* ---- all of it on each ----------------------------------------------------------------------- */

static int no_fault(void **state)
{
    (void)state;
    begun = 0;
    freehold__fault_set(0, 0);
    freehold_set_fatal_handler(NULL);
    return 0;
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
static const struct {
    const char *name;
    CMUnitTestFunction function;
} tests[] = {
    TEST(random_calls_agree_with_the_shadow), /* the first: see main */
    TEST(what_is_no_allocator_is_refused),
    TEST(no_bytes_are_no_block),
    TEST(impossible_sizes_are_refused),
    TEST(alignments_are_kept),
    TEST(offsets_are_kept),
    TEST(impossible_alignments_are_refused),
    TEST(contents_are_kept),
    TEST(what_cannot_be_moved_stays),
    TEST(the_same_size_stays),
    TEST(zeroed_blocks_read_zero),
    TEST(wiped_blocks_read_zero),
    TEST(any_pointer_leads_to_its_block),
    TEST(misuse_is_reported_and_changes_nothing),
    TEST(a_given_size_is_verified),
    TEST(statistics_begin_anew),
    TEST(a_walk_ends_early),
    TEST(trim_gives_back_what_is_free),
    TEST(validation_is_remembered),
    TEST(a_dump_ends),
    TEST(retries_are_counted),
    TEST(reclaiming_helps),
    TEST(the_fallback_helps),
    TEST(a_block_moves_to_the_fallback),
    TEST(a_refusal_may_be_fatal),
    TEST(the_last_error_is_kept),
    TEST(every_call_of_the_port_may_fail),
    TEST(typed_and_dynamic_calls_agree),
    TEST(threads_may_share_it),
};

static int run_all(size_t how_many)
{
    static struct CMUnitTest all[COUNT(rows) * 2 * COUNT(tests)];
    static char names[COUNT(all)][100];
    static run runs[COUNT(rows) * 2];
    size_t count = 0;
    for (size_t r = 0; r < COUNT(runs); r++) {
        const row *row = &rows[r / 2];
        runs[r] = (run){row, r % 2 == 0 ? row->typed : &dynamic};
        if (r % 2 == 0 && row->typed == &dynamic)
            continue; /* a type of users */
        for (size_t t = 0; t < how_many; t++) {
            snprintf(names[count], sizeof *names, "%s, %s: %s", row->name,
                runs[r].f == &dynamic ? "dynamic" : "typed", tests[t].name);
            all[count] =
                (struct CMUnitTest){names[count], tests[t].function, NULL, no_fault, &runs[r]};
            count++;
        }
    }
    return _cmocka_run_group_tests("conformance", all, count, NULL, NULL);
}

/* A type that is in no row is not tested. */
static int types_without_a_row(void)
{
    int missing = 0;
#define IN_A_ROW(T, unused)                                                                        \
    {                                                                                              \
        size_t i = 0;                                                                              \
        while (i < COUNT(rows) && rows[i].typed != &T##_functions)                                 \
            i++;                                                                                   \
        if (i == COUNT(rows)) {                                                                    \
            print_error("rows.h has no row for %s\n", #T);                                         \
            missing++;                                                                             \
        }                                                                                          \
    }
    FREEHOLD__EACH_TYPE(IN_A_ROW, )
    return missing;
}

int main(int argc, char **argv)
{
    const char *given = getenv("SEED");
    size_t rounds = argc == 3 && strcmp(argv[1], "random") == 0 ? strtoul(argv[2], NULL, 10) : 0;
    seed = given != NULL ? strtoull(given, NULL, 10) : 1;
    int failed = types_without_a_row();
    print_message("SEED=%llu\n", (unsigned long long)seed);
    static char pattern[200];
    if (argc == 3 && strcmp(argv[1], "only") == 0) {
        snprintf(pattern, sizeof pattern, "*: %s", argv[2]);
        cmocka_set_test_filter(pattern);
    }
    if (rounds == 0)
        return failed + run_all(COUNT(tests));
    for (size_t i = 0; i < rounds && failed == 0; i++, seed++) {
        print_message("SEED=%llu\n", (unsigned long long)seed);
        failed += run_all(1);
    }
    return failed;
}
