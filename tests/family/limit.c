/* SPDX-License-Identifier: MIT */
/* Limits over any allocator (F28, T1, T16, T17). */
#define AGREE_TYPE freehold_limit
#include "agree.h"

static parent below;

static void *start(freehold_limit *limit, size_t hard)
{
    parent_init(&below);
    freehold_limit_init(limit, &below.base, hard);
    return limit;
}

static void end(freehold_limit *limit)
{
    assert_int_equal(freehold_stats(limit).live_bytes, 0);
    freehold_limit_deinit(limit);
    parent_end(&below);
}

/* F28: refused with its reason, and the parent is not asked. */
static void a_hard_limit_refuses(void **unused)
{
    (void)unused;
    freehold_limit limit;
    start(&limit, 1000);
    assert_int_equal(freehold_last_error(&limit), FREEHOLD_OK);
    void *first = freehold_alloc(&limit, 600), *second = freehold_alloc(&limit.base, 400);
    assert_non_null(first);
    assert_non_null(second);
    uint64_t calls = below.calls;
    assert_null(freehold_alloc(&limit, 1));
    assert_int_equal(freehold_last_error(&limit), FREEHOLD_LIMIT);
    assert_null(freehold_alloc_zeroed(&limit.base, 1));
    assert_null(freehold_alloc_aligned(&limit, 1, 64, 0));
    assert_null(freehold_alloc(&limit, SIZE_MAX));
    assert_false(freehold_resize(&limit, first, 601));
    assert_null(freehold_remap(&limit, first, 601));
    assert_null(freehold_realloc(&limit.base, first, 601));
    assert_int_equal(below.calls, calls);
    assert_int_equal(freehold_last_error(&limit.base), FREEHOLD_LIMIT);
    freehold_statistics stats = freehold_stats(&limit);
    assert_int_equal(stats.failures, 6);
    assert_int_equal(stats.allocations, 2);
    assert_int_equal(stats.requested_bytes, 1000);
    assert_int_equal(stats.live_bytes, 1000);
    assert_int_equal(stats.peak_live_bytes, 1000);
    assert_int_equal(freehold_free(&limit, second), 400);
    assert_non_null(second = freehold_alloc_zeroed(&limit, 400));
    assert_int_equal(freehold_free_sized(&limit, first, 600), 600);
    assert_int_equal(freehold_free_zeroed(&limit, second), 400);
    assert_int_equal(below.most_live, 1000);
    end(&limit);
}

/* What is charged is the usable size, and what does not fit with it goes back at once. */
static void what_the_parent_rounds_up_is_charged(void **unused)
{
    (void)unused;
    freehold_limit limit;
    start(&limit, 1000);
    below.round = 64;
    void *block = freehold_alloc(&limit, 65);
    assert_int_equal(freehold_stats(&limit).live_bytes, 128);
    void *rest = freehold_alloc(&limit, 832);
    assert_int_equal(freehold_stats(&limit).live_bytes, 960);
    assert_null(freehold_alloc(&limit, 40)); /* 64 */
    assert_int_equal(freehold_last_error(&limit), FREEHOLD_LIMIT);
    assert_int_equal(freehold_stats(&limit).live_bytes, 960);
    assert_int_equal(below.live, 960);
    assert_int_equal(below.most_live, 1024); /* for a moment, by the rounding of one request */
    below.room = 1000;
    assert_false(freehold_resize(&limit, block, 160)); /* 192 */
    assert_int_equal(freehold_usable_size(&limit, block), 128);
    assert_int_equal(freehold_stats(&limit).live_bytes, 960);
    assert_int_equal(freehold_stats(&limit).reallocations, 0);
    freehold_limit_set_hard(&limit, 1024);
    assert_true(freehold_resize(&limit, block, 160));
    assert_int_equal(freehold_stats(&limit).live_bytes, 1024);
    assert_int_equal(below.most_live, 1024);
    assert_int_equal(freehold_stats(&limit).reallocations, 1);
    assert_null(freehold_alloc(&limit, 1));
    assert_true(freehold_resize(&limit, block, 10));
    assert_int_equal(freehold_stats(&limit).live_bytes, 896);
    void *more = freehold_alloc(&limit, 128);
    assert_non_null(more);
    freehold_free(&limit, more);
    freehold_free(&limit, rest);
    freehold_free(&limit, block);
    freehold_limit_set_hard(&limit, 64);
    assert_non_null(block = freehold_alloc(&limit, 64)); /* nothing stayed charged */
    freehold_free(&limit, block);
    end(&limit);
}

static bool only_grow(freehold_allocator *self, void *block, size_t bytes)
{
    parent *p = (parent *)(void *)self;
    return bytes >= parent_around(p, block)->bytes && parent_resize(self, block, bytes);
}

/* F28: what cannot be given back is charged, so that its free has it to discharge. */
static void what_a_parent_does_not_take_back_is_charged(void **unused)
{
    (void)unused;
    freehold_limit limit;
    static freehold_operations grows;
    start(&limit, 1000);
    grows = *below.base.operations;
    grows.resize = only_grow;
    freehold_allocator_init(&below.base, &grows, below.base.alignment);
    below.round = 64;
    below.room = 1000;
    void *block = freehold_alloc(&limit, 128), *rest = freehold_alloc(&limit, 832);
    assert_false(freehold_resize(&limit, block, 160)); /* 192: too much, and not to be undone */
    assert_int_equal(freehold_usable_size(&limit, block), 192);
    assert_int_equal(freehold_stats(&limit).live_bytes, 1024);
    assert_int_equal(freehold_free(&limit, block), 192);
    assert_int_equal(freehold_free(&limit, rest), 832);
    assert_non_null(block = freehold_alloc(&limit, 960));
    assert_null(freehold_alloc(&limit, 41));
    freehold_free(&limit, block);
    end(&limit);
}

/* F28: a heap gives a block that grows in place an eighth more, and leaves one as it is that is to lose less than half. */
static void what_a_heap_gives_along_is_charged(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_limit limit;
    freehold_heap_init(&heap);
    freehold_free(&heap, freehold_alloc(&heap, 4000000)); /* room behind what follows */
    freehold_limit_init(&limit, &heap.base, 810000);
    void *block = freehold_alloc(&limit, 700000);
    bool resized = freehold_resize(&limit, block, 800000);
    size_t usable = freehold_usable_size(&limit, block);
    assert_true(resized ? usable <= 810000 : usable >= 700000);
    assert_int_equal(freehold_stats(&limit).live_bytes, usable);
    assert_int_equal(freehold_free(&limit, block), usable);
    assert_int_equal(freehold_stats(&limit).live_bytes, 0);
    assert_non_null(block = freehold_alloc(&limit, 700000));
    freehold_free(&limit, block);
    freehold_limit_deinit(&limit);
    freehold_heap_deinit(&heap);
}

/* F3, F28: an arena says what a block had, whether or not it can use that again, and not what lies in front of it. */
static void an_arena_can_be_limited(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_arena arena;
    freehold_limit limit;
    freehold_heap_init(&heap);
    freehold_arena_init(&arena, &heap.base);
    freehold_limit_init(&limit, &arena.base, 1000);
    for (size_t round = 0; round < 100; round++) {
        void *first = freehold_alloc(&limit, 100);
        void *second = freehold_alloc_aligned(&limit, 200, 4096, 0); /* behind a gap */
        void *third = freehold_alloc(&limit, 300);
        assert_int_equal(freehold_stats(&limit).live_bytes, 112 + 208 + 304);
        assert_int_equal(freehold_free(&limit, first), 112);
        assert_int_equal(freehold_free(&limit, third), 304);
        assert_int_equal(freehold_stats(&limit).live_bytes, 208);
        assert_int_equal(freehold_free(&limit, second), 208);
        assert_int_equal(freehold_stats(&limit).live_bytes, 0);
    }
    freehold_limit_deinit(&limit);
    freehold_arena_deinit(&arena);
    freehold_heap_deinit(&heap);
}

/* A block that moves is live twice for a moment, in the parent as well. */
static void a_move_needs_room_for_both(void **unused)
{
    (void)unused;
    freehold_limit limit;
    for (size_t round = 1; round <= 64; round *= 8) {
        start(&limit, 1024);
        below.moves = true;
        below.round = round;
        char *block = freehold_alloc(&limit, 192);
        memset(block, 7, 192);
        block = freehold_realloc(&limit, block, 384); /* with twice 384 */
        assert_non_null(block);
        block = freehold_remap(&limit, block, 640); /* exactly */
        assert_non_null(block);
        assert_int_equal(freehold_stats(&limit).live_bytes, 640);
        assert_null(freehold_realloc(&limit, block, 704));
        assert_int_equal(freehold_last_error(&limit), FREEHOLD_LIMIT);
        assert_null(freehold_remap(&limit, block, 512));
        for (int i = 0; i < 192; i++)
            assert_int_equal(block[i], 7);
        freehold_statistics stats = freehold_stats(&limit);
        assert_int_equal(stats.reallocations, 2);
        assert_int_equal(stats.allocations, 3);
        assert_int_equal(stats.frees, 2);
        assert_int_equal(stats.failures, 2);
        assert_int_equal(stats.peak_live_bytes, 640);
        assert_int_equal(below.most_live, 1024);
        assert_null(freehold_remap(&limit, block, 0));
        end(&limit);
    }
}

static void limits_can_be_changed(void **unused)
{
    (void)unused;
    freehold_limit limit;
    start(&limit, FREEHOLD_UNLIMITED);
    below.room = 1000;
    char *block = freehold_alloc(&limit, 500), *other = freehold_alloc(&limit, 500);
    memset(block, 1, 500);
    freehold_limit_set_hard(&limit, 600); /* below what is live */
    assert_int_equal(freehold_stats(&limit).live_bytes, 1000);
    assert_null(freehold_alloc(&limit, 1));
    assert_false(freehold_resize(&limit, block, 501));
    assert_null(freehold_realloc(&limit, block, 501));
    assert_true(freehold_resize(&limit, block, 500)); /* that is no growth */
    assert_true(freehold_resize(&limit, block, 400));
    assert_int_equal(freehold_stats(&limit).live_bytes, 900);
    assert_int_equal(block[399], 1);
    freehold_free(&limit, other);
    assert_non_null(other = freehold_alloc(&limit, 200));
    assert_null(freehold_alloc(&limit, 1));
    freehold_limit_set_hard(&limit, 0);
    assert_null(freehold_alloc(&limit, 1));
    freehold_limit_set_hard(&limit, 601);
    void *one = freehold_alloc(&limit, 1);
    assert_non_null(one);
    freehold_free(&limit, one);
    freehold_free(&limit, other);
    freehold_free(&limit, block);
    end(&limit);
}

/* ---- soft ------------------------------------------------------------------------------------ */

static struct {
    unsigned calls;
    size_t live;
    bool allocates;
    void *block;
} warned;

static void warn(void *context, freehold_limit *limit, size_t live_bytes)
{
    assert_ptr_equal(context, &warned);
    warned.calls++;
    warned.live = live_bytes;
    /* No lock is held: everything may be called. */
    freehold_limit_set_soft(limit, 100, warn, &warned);
    if (warned.allocates)
        assert_non_null(warned.block = freehold_alloc(limit, 16));
}

static void a_soft_limit_calls_once_for_a_crossing(void **unused)
{
    (void)unused;
    freehold_limit limit;
    start(&limit, 1000);
    below.room = 10000;
    memset(&warned, 0, sizeof warned);
    freehold_limit_set_soft(&limit, 100, warn, &warned);
    void *a = freehold_alloc(&limit, 100);
    assert_int_equal(warned.calls, 0); /* at the limit is not above */
    void *b = freehold_alloc(&limit, 1);
    assert_int_equal(warned.calls, 1);
    assert_int_equal(warned.live, 101);
    void *c = freehold_alloc(&limit, 500);
    assert_int_equal(warned.calls, 1);
    freehold_free(&limit, c); /* 101: still above */
    c = freehold_alloc(&limit, 50);
    assert_int_equal(warned.calls, 1);
    freehold_free(&limit, c);
    freehold_free(&limit, b); /* 100 */
    assert_null(freehold_alloc(&limit, 5000));
    parent_fail(&below, 1, 1);
    assert_null(freehold_alloc(&limit, 500)); /* what is refused was never live */
    assert_int_equal(freehold_last_error(&limit), FREEHOLD_NO_MEMORY);
    assert_int_equal(warned.calls, 1);
    warned.allocates = true;
    assert_true(freehold_resize(&limit, a, 101));
    assert_int_equal(warned.calls, 2);
    assert_int_equal(freehold_stats(&limit).live_bytes, 117);
    assert_true(freehold_resize(&limit, a, 10));
    warned.allocates = false;
    below.moves = true;
    a = freehold_realloc(&limit, a, 80); /* 16 + 80; with both 106 */
    assert_int_equal(warned.calls, 2);
    a = freehold_realloc(&limit, a, 90);
    assert_int_equal(warned.calls, 3);
    assert_int_equal(warned.live, 106);
    freehold_free(&limit, a);

    a = freehold_alloc(&limit, 300);
    assert_int_equal(warned.calls, 4);
    freehold_limit_set_soft(
        &limit, 200, warn, &warned); /* already above: not before it has fallen */
    b = freehold_alloc(&limit, 100);
    assert_int_equal(warned.calls, 4);
    freehold_limit_set_soft(&limit, 1000, warn, &warned); /* now it is below */
    freehold_limit_set_soft(&limit, FREEHOLD_UNLIMITED, NULL, NULL);
    c = freehold_alloc(&limit, 400);
    assert_int_equal(warned.calls, 4);
    freehold_free(&limit, c);
    freehold_free(&limit, b);
    freehold_free(&limit, a);
    freehold_free(&limit, warned.block);
    end(&limit);
}

static void take_all_the_rest(void *context, freehold_limit *limit, size_t live_bytes)
{
    void **rest = context;
    assert_int_equal(live_bytes, 600);
    assert_non_null(*rest = freehold_alloc(limit, 400));
    assert_null(freehold_alloc(limit, 1));
}

/* F28: at the end of the call that has moved a block, its old place is charged no more. */
static void a_soft_limit_calls_when_a_block_has_moved(void **unused)
{
    (void)unused;
    freehold_limit limit;
    for (size_t first = 100; first <= 400; first += 300) { /* moved by the parent, or by a copy */
        void *rest = NULL;
        start(&limit, 1000);
        void *held = first == 100 ? freehold_alloc(&limit, 400) : NULL;
        below.moves = true;
        freehold_limit_set_soft(&limit, 599, take_all_the_rest, &rest);
        void *block = freehold_alloc(&limit, first);
        assert_non_null(block = freehold_realloc(&limit, block, held != NULL ? 200 : 600));
        assert_non_null(rest);
        freehold_free(&limit, rest);
        freehold_free(&limit, block);
        freehold_free(&limit, held);
        end(&limit);
    }
}

/* ---- nested ---------------------------------------------------------------------------------- */

static void nested_limits_charge_every_level(void **unused)
{
    (void)unused;
    freehold_limit outer, inner, sibling;
    start(&inner, 1000);
    freehold_limit_init(&outer, &inner.base, 600);
    freehold_limit_init(&sibling, &inner.base, 600);
    void *a = freehold_alloc(&outer, 500), *b = freehold_alloc(&sibling, 300);
    assert_int_equal(freehold_stats(&outer).live_bytes, 500);
    assert_int_equal(freehold_stats(&sibling).live_bytes, 300);
    assert_int_equal(freehold_stats(&inner).live_bytes, 800);
    assert_null(freehold_alloc(&outer, 101)); /* its own limit: the inner one is not asked */
    assert_int_equal(freehold_stats(&inner).failures, 0);
    assert_int_equal(freehold_last_error(&outer), FREEHOLD_LIMIT);
    assert_null(freehold_alloc(&sibling, 201)); /* the inner one's */
    assert_int_equal(freehold_stats(&inner).failures, 1);
    assert_int_equal(freehold_stats(&sibling).failures, 1);
    assert_int_equal(freehold_last_error(&sibling), FREEHOLD_LIMIT);
    assert_int_equal(freehold_stats(&sibling).live_bytes, 300);
    assert_int_equal(freehold_stats(&inner).live_bytes, 800);
    parent_fail(&below, 1, 1);
    assert_null(freehold_alloc(&sibling, 10));
    assert_int_equal(freehold_last_error(&sibling), FREEHOLD_NO_MEMORY);
    void *c = freehold_alloc(&sibling, 200);
    assert_non_null(c);
    freehold_free(&outer, a);
    assert_int_equal(freehold_stats(&outer).live_bytes, 0);
    assert_int_equal(freehold_stats(&inner).live_bytes, 500);
    assert_int_equal(freehold_stats(&inner).frees, 1);
    freehold_free(&sibling, b);
    freehold_free(&sibling, c);
    freehold_limit_deinit(&sibling);
    freehold_limit_deinit(&outer);
    end(&inner);
}

/* ---- failures, threads, misuse --------------------------------------------------------------- */

static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    freehold_limit limit, nested;
    start(&limit, FREEHOLD_UNLIMITED);
    freehold_limit_init(&nested, &limit.base, FREEHOLD_UNLIMITED);
    REFUSES_IMPOSSIBLE(&limit);
    REFUSES_IMPOSSIBLE(&limit.base);
    REFUSES_IMPOSSIBLE(&nested);
    freehold_limit_deinit(&nested);
    end(&limit);
    freehold_heap heap;
    freehold_heap_init(&heap);
    freehold_limit_init(&limit, &heap.base, FREEHOLD_UNLIMITED);
    REFUSES_IMPOSSIBLE(&limit);
    assert_int_equal(freehold_stats(&limit).live_bytes, 0);
    freehold_limit_deinit(&limit);
    freehold_heap_deinit(&heap);
}

/* T16: each call of the parent fails in turn; the charge is what is live, always. */
static void every_call_of_the_parent_may_fail(void **unused)
{
    (void)unused;
    uint64_t first = 1, calls;
    size_t refused = 0;
    do {
        freehold_limit limit;
        start(&limit, 10000);
        below.round = 32;
        below.moves = first % 2;
        below.room = 200;
        parent_fail(&below, first, 2);
        char *block[8];
        for (size_t i = 0; i < COUNT(block); i++)
            block[i] = i % 2 ? freehold_alloc(&limit, 100 + i) : freehold_alloc_zeroed(&limit, 50);
        for (size_t i = 0; i < COUNT(block); i++) {
            char *moved = freehold_realloc(&limit, block[i], 300 + i);
            refused += block[i] == NULL || moved == NULL;
            block[i] = moved != NULL ? moved : block[i];
            assert_int_equal(freehold_stats(&limit).live_bytes, below.live);
        }
        calls = below.calls;
        parent_fail(&below, 0, 0);
        freehold_limit_set_hard(&limit, below.live + 32);
        void *last = freehold_alloc(&limit, 32); /* exactly: nothing stayed charged */
        assert_non_null(last);
        freehold_free(&limit, last);
        for (size_t i = 0; i < COUNT(block); i++)
            freehold_free(&limit, block[i]);
        end(&limit);
    } while (first++ < calls);
    assert_true(first > 16 && refused > 8);
}

static void typed_and_dynamic_calls_agree(void **unused)
{
    (void)unused;
    static parent other;
    freehold_limit limit, dynamic;
    start(&limit, 20000);
    parent_init(&other);
    freehold_limit_init(&dynamic, &other.base, 20000);
    below.round = other.round = 16;
    assert_agree(&limit, &dynamic.base, 2000);
    assert_true(freehold_stats(&limit).failures > 50);
    assert_true(below.most_live <= 20000 + 16);
    freehold_limit_deinit(&dynamic);
    parent_end(&other);
    end(&limit);
}

static freehold_limit shared;
static unsigned crossings;

static void count_crossing(void *context, freehold_limit *limit, size_t live_bytes)
{
    (void)limit;
    assert_true(live_bytes > 3000);
    __atomic_add_fetch((unsigned *)context, 1, __ATOMIC_SEQ_CST);
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument;
    void *block[8] = {NULL};
    size_t *refused = malloc(sizeof *refused);
    *refused = 0;
    for (size_t step = 0; step < 6000; step++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        size_t i = (size_t)(state >> 40) % COUNT(block),
               bytes = (size_t)(state >> 33) % 60 * 16 + 16;
        if (block[i] == NULL) {
            block[i] = freehold_alloc(&shared, bytes);
            *refused += block[i] == NULL;
        } else if (step % 3 == 0) {
            void *moved = freehold_realloc(&shared, block[i], bytes);
            block[i] = moved != NULL ? moved : block[i];
        } else {
            freehold_free(&shared, block[i]);
            block[i] = NULL;
        }
    }
    for (size_t i = 0; i < COUNT(block); i++)
        freehold_free(&shared, block[i]);
    return refused;
}

/* Together they never have more than the limit, as the parent sees it. */
static void threads_share_a_limit(void **unused)
{
    (void)unused;
    start(&shared, 4000);
    below.shared = true;
    freehold_limit_set_soft(&shared, 3000, count_crossing, &crossings);
    pthread_t thread[4];
    size_t refused = 0;
    for (size_t i = 0; i < COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT(thread); i++) {
        void *result;
        pthread_join(thread[i], &result);
        refused += *(size_t *)result;
        free(result);
    }
    assert_true(below.most_live <= 4000 && below.most_live > 3000);
    assert_true(refused > 100 && crossings > 10);
    assert_int_equal(freehold_stats(&shared).live_bytes, 0);
    freehold_limit_set_hard(&shared, 16);
    void *block = freehold_alloc(&shared, 16);
    assert_non_null(block);
    freehold_free(&shared, block);
    end(&shared);
}

static void *no_size_allocate(freehold_allocator *self, size_t bytes, size_t a, size_t o, bool z)
{
    (void)self;
    (void)a;
    (void)o;
    (void)z;
    return malloc(bytes);
}

static size_t no_size_free(freehold_allocator *self, void *block)
{
    (void)self;
    free(block);
    return 0;
}

/* It could not be charged. */
static void a_parent_without_sizes_gives_nothing(void **unused)
{
    (void)unused;
    static const freehold_operations operations = {
        .magic = 77, .name = "no size", .allocate = no_size_allocate, .free = no_size_free};
    freehold_allocator none;
    freehold_limit limit;
    freehold_allocator_init(&none, &operations, 16);
    freehold_limit_init(&limit, &none, 1000);
    assert_null(freehold_alloc(&limit, 100));
    assert_int_equal(freehold_last_error(&limit), FREEHOLD_UNSUPPORTED);
    assert_int_equal(freehold_stats(&limit).failures, 0);
    freehold_limit_deinit(&limit);
}

/* F1, F2: the parent's reports, under the name of what was called. */
static void misuse_is_reported(void **unused)
{
    (void)unused;
    freehold_limit limit, zero;
    start(&limit, 1000);
    static const char *const foreign = "foreign pointer: not from this allocator";
    char *block = freehold_alloc(&limit, 100), *direct = freehold_alloc(&below.base, 200);
    freehold_allocator *base = &limit.base;
    void *wrong[] = {&limit, block + 16, block + 1};
    for (size_t i = 0; i < COUNT(wrong); i++) {
#define EACH(name, typed, dynamic)                                                                 \
    FATAL(FREEHOLD_FOREIGN_POINTER, typed, name "(%p): %s", wrong[i], foreign);                    \
    FATAL(FREEHOLD_FOREIGN_POINTER, dynamic, name "(%p): %s", wrong[i], foreign)
        EACH("freehold_free", freehold_free(&limit, wrong[i]), freehold_free(base, wrong[i]));
        EACH("freehold_resize", freehold_resize(&limit, wrong[i], 10),
            freehold_resize(base, wrong[i], 10));
        EACH("freehold_remap", freehold_remap(&limit, wrong[i], 10),
            freehold_remap(base, wrong[i], 10));
        EACH("freehold_usable_size", freehold_usable_size(&limit, wrong[i]),
            freehold_usable_size(base, wrong[i]));
    }
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&limit, block, 101),
        "freehold_free_sized(%p): size mismatch: given 101, but the block has 100 bytes",
        (void *)block);
    assert_int_equal(freehold_stats(&limit).live_bytes, 100);
    assert_int_equal(below.live, 300);
    freehold_free(&limit, block);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&limit, block), "freehold_free(%p): %s",
        (void *)block, foreign);
    /* A block of the parent's other users: before anything is changed when nothing is live here. */
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&limit, direct), "freehold_free(%p): %s",
        (void *)direct, foreign);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free_sized(base, direct, 200),
        "freehold_free_sized(%p): %s", (void *)direct, foreign);
    assert_int_equal(below.live, 200);
    freehold_free(&below.base, direct);

    memset(&zero, 0, sizeof zero);
#define NONE(name, call)                                                                           \
    FATAL(FREEHOLD_WRONG_TYPE, call,                                                               \
        name "(%p): wrong type: not an initialised "                                               \
             "limit",                                                                              \
        (void *)&zero)
    NONE("freehold_alloc", freehold_alloc(&zero, 1));
    NONE("freehold_limit_set_hard", freehold_limit_set_hard(&zero, 1));
    NONE("freehold_limit_set_soft", freehold_limit_set_soft(&zero, 1, NULL, NULL));
    NONE("freehold_limit_deinit", freehold_limit_deinit(&zero));
    FATAL(FREEHOLD_WRONG_TYPE, freehold_limit_init(&zero, &zero.base, 1),
        "freehold_limit_init(%p): wrong type: not an initialised allocator", (void *)&zero);
    end(&limit);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(base, 1),
        "freehold_alloc(%p): wrong type: the allocator was deinitialised", (void *)base);
    freehold_limit_deinit(NULL);
}

static void more_freed_than_charged_is_reported(void **unused)
{
    (void)unused;
    freehold_limit limit;
    start(&limit, 1000);
    void *block = freehold_alloc(&limit, 100), *direct = freehold_alloc(&below.base, 200);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&limit, direct),
        "freehold_free(%p): foreign pointer: not from this allocator", direct);
    assert_int_equal(freehold_stats(&limit).live_bytes, 100);
    freehold_free(&limit, block);
    end(&limit);
}

static void over_a_heap(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_limit limit;
    freehold_heap_init_aligned(&heap, 64);
    freehold_limit_init(&limit, &heap.base, 8 << 20);
    assert_int_equal(limit.base.alignment, 64);
    char *block = freehold_alloc(&limit, 1000);
    assert_int_equal((uintptr_t)block % 64, 0);
    assert_int_equal(freehold_stats(&limit).live_bytes, freehold_usable_size(&heap, block));
    for (size_t bytes = 2000; block != NULL && bytes < 3 << 20; bytes *= 2) {
        block = freehold_realloc(&limit, block, bytes);
        assert_non_null(block);
        assert_int_equal(freehold_stats(&limit).live_bytes, freehold_stats(&heap).live_bytes);
    }
    assert_null(freehold_realloc(&limit, block, 16 << 20));
    assert_ptr_equal(freehold_base(&limit, block + 5000), block);
    assert_int_equal(freehold_stats(&limit).mapped_bytes, freehold_stats(&heap).mapped_bytes);
    assert_true(freehold_reset_stats(&limit));
    freehold_statistics stats = freehold_stats(&limit);
    assert_int_equal(stats.allocations, 1);
    assert_int_equal(stats.frees, 0);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.peak_live_bytes, stats.live_bytes);
    freehold_free(&limit, block);
    assert_int_equal(freehold_stats(&limit).live_bytes, 0);
    assert_null(freehold_check(&limit));
    freehold_limit_deinit(&limit);
    freehold_heap_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hard_limit_refuses),
        cmocka_unit_test(what_the_parent_rounds_up_is_charged),
        cmocka_unit_test(what_a_parent_does_not_take_back_is_charged),
        cmocka_unit_test(what_a_heap_gives_along_is_charged),
        cmocka_unit_test(an_arena_can_be_limited),
        cmocka_unit_test(a_move_needs_room_for_both),
        cmocka_unit_test(limits_can_be_changed),
        cmocka_unit_test(a_soft_limit_calls_once_for_a_crossing),
        cmocka_unit_test(a_soft_limit_calls_when_a_block_has_moved),
        cmocka_unit_test(nested_limits_charge_every_level),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(every_call_of_the_parent_may_fail),
        cmocka_unit_test(typed_and_dynamic_calls_agree),
        cmocka_unit_test(threads_share_a_limit),
        cmocka_unit_test(a_parent_without_sizes_gives_nothing),
        cmocka_unit_test(misuse_is_reported),
        cmocka_unit_test(more_freed_than_charged_is_reported),
        cmocka_unit_test(over_a_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
