/* SPDX-License-Identifier: MIT */
/*
 * Wrappers over wrappers, over a parent that is like an arena: it bumps, takes back only the last
 * block, and resizes only that one. (F26 to F29, T16)
 */
#include "parent.h"

/* ---- a bump allocator ------------------------------------------------------------------------ */

typedef struct bump {
    freehold_allocator base;
    _Alignas(64) char memory[200000];
    size_t used, last; /* where the last block begins */
    struct {
        size_t start, bytes;
        bool live;
    } block[1000];
    size_t count, live;
} bump;

static void *bump_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    bump *b = (bump *)(void *)self;
    uintptr_t first = (uintptr_t)b->memory + b->used + offset;
    size_t start =
        (size_t)((first + alignment - 1) / alignment * alignment - offset - (uintptr_t)b->memory);
    if (alignment > sizeof b->memory || start > sizeof b->memory ||
        bytes > sizeof b->memory - start || b->count == COUNT(b->block))
        return NULL;
    b->block[b->count].start = start;
    b->block[b->count].bytes = bytes;
    b->block[b->count++].live = true;
    b->live += bytes;
    b->used = start + bytes;
    return zeroed ? memset(b->memory + start, 0, bytes) : memset(b->memory + start, 0xAA, bytes);
}

static size_t bump_find(bump *b, const char *function, const void *pointer)
{
    for (size_t i = b->count; i-- > 0;)
        if (b->block[i].live && b->memory + b->block[i].start == (const char *)pointer)
            return i;
    freehold_misused(&b->base, function, pointer);
    abort();
}

static size_t bump_free(freehold_allocator *self, void *block)
{
    bump *b = (bump *)(void *)self;
    size_t i = bump_find(b, "freehold_free", block), bytes = b->block[i].bytes;
    b->block[i].live = false;
    b->live -= bytes;
    while (b->count > 0 && !b->block[b->count - 1].live)
        b->used = b->block[--b->count].start;
    return bytes;
}

static bool bump_resize(freehold_allocator *self, void *block, size_t bytes)
{
    bump *b = (bump *)(void *)self;
    size_t i = bump_find(b, "freehold_resize", block);
    if (i + 1 != b->count || bytes > sizeof b->memory - b->block[i].start)
        return false;
    b->live += bytes - b->block[i].bytes;
    b->block[i].bytes = bytes;
    b->used = b->block[i].start + bytes;
    return true;
}

static size_t bump_usable_size(freehold_allocator *self, const void *block)
{
    bump *b = (bump *)(void *)self;
    return b->block[bump_find(b, "freehold_usable_size", block)].bytes;
}

static void *bump_base(freehold_allocator *self, const void *pointer)
{
    bump *b = (bump *)(void *)self;
    for (size_t i = 0; i < b->count; i++) {
        char *start = b->memory + b->block[i].start;
        if (b->block[i].live && (uintptr_t)pointer - (uintptr_t)start < b->block[i].bytes)
            return start;
    }
    return NULL;
}

static const freehold_operations bump_operations = {
    .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'b', 'u', 'm', 'p'),
    .name = "bump",
    .allocate = bump_allocate,
    .free = bump_free,
    .resize = bump_resize,
    .usable_size = bump_usable_size,
    .base = bump_base,
};

static bump arena;

static freehold_allocator *arena_begin(void)
{
    memset(&arena, 0, sizeof arena);
    freehold_allocator_init(&arena.base, &bump_operations, 16);
    return &arena.base;
}

/* What a free is reported as begins like this; stacks follow. */
#define REPORTED(what, statement, pointer, details)                                                \
    do {                                                                                           \
        char begin_[300];                                                                          \
        snprintf(                                                                                  \
            begin_, sizeof begin_, "freehold: freehold_free(%p): %s", (void *)(pointer), details); \
        strcpy(report_text, "nothing was reported");                                               \
        freehold_set_fatal_handler(catch_report);                                                  \
        if (setjmp(report_back) == 0) {                                                            \
            statement;                                                                             \
        }                                                                                          \
        freehold_set_fatal_handler(NULL);                                                          \
        report_text[strlen(begin_)] = '\0';                                                        \
        assert_string_equal(report_text, begin_);                                                  \
        assert_int_equal(report_kind, what);                                                       \
    } while (0)

/* ---- a limit over debug over it -------------------------------------------------------------- */

static void a_limit_over_debug_over_an_arena(void **unused)
{
    (void)unused;
    freehold_debug debug;
    freehold_limit limit;
    freehold_debug_init(&debug, arena_begin(), NULL, NULL);
    freehold_limit_init(&limit, &debug.base, 1000);
    static char *a, *b;
    a = freehold_alloc(&limit, 300);
    assert_true(freehold_resize(&limit, a, 400)); /* the last one */
    assert_int_equal(freehold_stats(&limit).live_bytes, 400);
    assert_int_equal(arena.live, 432);
    b = freehold_alloc(&limit, 500);
    memset(a, 1, 400);
    memset(b, 2, 500);
    assert_null(freehold_alloc(&limit, 101));
    assert_int_equal(freehold_last_error(&limit), FREEHOLD_LIMIT);
    assert_false(freehold_resize(&limit, a, 410)); /* not the last one */
    assert_null(freehold_realloc(&limit, a, 410)); /* no room for both */
    freehold_limit_set_hard(&limit, 2000);
    a = freehold_realloc(&limit, a, 410);
    assert_int_equal(a[399], 1);
    assert_int_equal(b[499], 2);
    assert_int_equal(freehold_stats(&limit).live_bytes, 910);
    assert_int_equal(freehold_stats(&debug).live_bytes, 910);
    assert_int_equal(arena.live, 910 + 4 * 16);
    assert_null(freehold_check(&limit));
    a[410] = 0;
    REPORTED(FREEHOLD_OVERFLOW, freehold_free(&limit, a), a,
        "overflow: offset 410 of the block of 410 bytes was written, bytes 00; allocated at 0x");
    assert_non_null(freehold_check(&limit));
    a[410] = (char)(unsigned char[]){0xC1, 0xD2, 0xE3, 0xF4}[(uintptr_t)(a + 410) % 4];
    freehold_free(&limit, a);
    REPORTED(FREEHOLD_DOUBLE_FREE, freehold_free(&limit, a), a,
        "double free: the block of 410 bytes, allocated at 0x");
    assert_int_equal(freehold_stats(&limit).live_bytes, 500);
    freehold_free(&limit, b);
    assert_int_equal(arena.used, 0);
    freehold_limit_deinit(&limit);
    freehold_debug_deinit(&debug);
}

/* ---- all of them ----------------------------------------------------------------------------- */

typedef struct tower {
    freehold_limit inner;
    freehold_debug debug;
    freehold_trace trace;
    freehold_fallback both;
    freehold_limit outer;
    freehold_locked locked;
} tower;

static void build(tower *t, freehold_allocator *parent, freehold_allocator *other)
{
    freehold_limit_init(&t->inner, parent, FREEHOLD_UNLIMITED);
    freehold_debug_init(&t->debug, &t->inner.base, NULL, NULL);
    freehold_trace_init(&t->trace, &t->debug.base, NULL, NULL);
    freehold_fallback_init(&t->both, &t->trace.base, other);
    freehold_limit_init(&t->outer, &t->both.base, 100000);
    freehold_locked_init(&t->locked, &t->outer.base);
}

static void tear_down(tower *t)
{
    assert_null(freehold_check(&t->locked));
    assert_int_equal(freehold_stats(&t->outer).live_bytes, 0);
    assert_int_equal(freehold_stats(&t->trace).live_bytes, 0);
    assert_int_equal(freehold_stats(&t->debug).live_bytes, 0);
    assert_int_equal(freehold_stats(&t->inner).live_bytes, 0);
    freehold_locked_deinit(&t->locked);
    freehold_limit_deinit(&t->outer);
    freehold_fallback_deinit(&t->both);
    freehold_trace_deinit(&t->trace);
    freehold_debug_deinit(&t->debug);
    freehold_limit_deinit(&t->inner);
}

static uint64_t state;

static size_t below(size_t limit)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (size_t)(state >> 33) % limit;
}

/* Random calls; each block keeps its contents, and all levels agree. */
static size_t exercise(tower *t, size_t steps)
{
    unsigned char *block[40] = {NULL};
    size_t bytes[40] = {0}, refused = 0, live = 0;
    for (size_t step = 0; step < steps; step++) {
        size_t i = below(40), n = below(3000) + 1, how = below(3);
        for (size_t k = 0; k < bytes[i]; k += 97)
            assert_int_equal(block[i][k], (unsigned char)i);
        unsigned char *now = block[i];
        if (now == NULL) {
            now = how == 0   ? freehold_alloc(&t->locked, n)
                  : how == 1 ? freehold_alloc_zeroed(&t->locked, n)
                             : freehold_alloc_aligned(&t->locked, n, 64, 0);
        } else if (how == 0) {
            assert_true(freehold_free(&t->locked, now) >= bytes[i]);
            block[i] = NULL;
            live -= bytes[i];
            bytes[i] = 0;
            continue;
        } else {
            now = freehold_realloc(&t->locked, now, n);
        }
        refused += now == NULL;
        if (now == NULL)
            continue;
        live += n - bytes[i];
        bytes[i] = n;
        memset(block[i] = now, (int)i, n);
        assert_true(freehold_stats(&t->outer).live_bytes >= live);
    }
    assert_null(freehold_check(&t->locked));
    for (size_t i = 0; i < 40; i++)
        freehold_free(&t->locked, block[i]);
    return refused;
}

static void a_tower_over_an_arena_and_a_heap(void **unused)
{
    (void)unused;
    static tower t;
    freehold_heap heap;
    freehold_heap_init(&heap);
    state = 7;
    build(&t, arena_begin(), &heap.base);
    assert_int_equal(exercise(&t, 3000), 0);
    assert_true(freehold_stats(&heap).allocations > 10); /* the arena was full at times */
    assert_true(freehold_stats(&t.debug).allocations > 100);
    assert_int_equal(freehold_stats(&heap).live_bytes, 0);
    tear_down(&t);
    assert_int_equal(arena.live, 0);
    freehold_heap_deinit(&heap);
}

/* Each call of both parents fails in turn. */
static void every_call_of_the_parents_may_fail(void **unused)
{
    (void)unused;
    static tower t;
    static parent one, other;
    uint64_t calls, first = 1;
    size_t refused = 0;
    do {
        state = 11;
        parent_init(&one);
        parent_init(&other);
        build(&t, &one.base, &other.base);
        parent_fail(&one, first, 2);
        parent_fail(&other, 1, first % 2 ? 10000 : 1);
        refused += exercise(&t, 100);
        calls = one.calls;
        tear_down(&t);
        parent_end(&one);
        parent_end(&other);
    } while (first++ < calls);
    assert_true(first > 50 && refused > 20);
}

/* A misuse is reported by the one that knows best, through all of them, and no lock stays held. */
static void misuse_goes_through_a_tower(void **unused)
{
    (void)unused;
    static tower t;
    freehold_heap heap;
    freehold_heap_init(&heap);
    build(&t, arena_begin(), &heap.base);
    static char *block;
    block = freehold_alloc(&t.locked, 100);
    static char text[100];
    snprintf(text, sizeof text, "interior pointer: 32 bytes into the block %p of 100 bytes, ",
        (void *)block);
    REPORTED(FREEHOLD_INTERIOR_POINTER, freehold_free(&t.locked, block + 32), block + 32, text);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&t.locked, &t),
        "freehold_free(%p): foreign pointer: not from this allocator", (void *)&t);
    assert_int_equal(freehold_free(&t.locked, block), 100);
    tear_down(&t);
    freehold_heap_deinit(&heap);
}

/* F6: contents whose size nobody knows are not left behind: such a block does not move. */
static void a_block_of_unknown_size_stays(void **unused)
{
    (void)unused;
    static freehold_operations knows_no_size;
    freehold_allocator *below = arena_begin();
    knows_no_size = bump_operations;
    knows_no_size.usable_size = NULL;
    freehold_allocator_init(below, &knows_no_size, 16);
    freehold_heap heap;
    freehold_heap_init(&heap);
    freehold_trace trace;
    freehold_locked locked;
    freehold_trace_init(&trace, below, &heap.base, NULL);
    freehold_locked_init(&locked, below);
    freehold_allocator *over[] = {below, &trace.base, &locked.base};
    const freehold_policy policy = {.fallback = &heap.base};
    for (size_t i = 0; i < COUNT(over); i++) {
        freehold_set_policy(over[i], &policy);
        char *block = strcpy(freehold_alloc(over[i], 100), "kept");
        char *next = freehold_alloc(over[i], 100);
        assert_null(freehold_realloc(over[i], block, 1000));
        assert_null(freehold_remap(over[i], block, 1000));
        assert_string_equal(block, "kept");
        freehold_free(over[i], next);
        freehold_free(over[i], block);
        assert_int_equal(arena.live, 0);
        freehold_set_policy(over[i], NULL);
    }
    freehold_locked_deinit(&locked);
    freehold_trace_deinit(&trace);
    freehold_heap_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_over_debug_over_an_arena),
        cmocka_unit_test(a_tower_over_an_arena_and_a_heap),
        cmocka_unit_test(every_call_of_the_parents_may_fail),
        cmocka_unit_test(misuse_goes_through_a_tower),
        cmocka_unit_test(a_block_of_unknown_size_stays),
    };
    freehold_set_frame_namer(plain_frame);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
