/* SPDX-License-Identifier: MIT */
/* The arena (F24, T11; T1, T2, T4, T10, T15, T16, T17, T20), over a backing that fails on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backing.h"
#include "freehold/freehold.h"
#include "port/fault.h"
#include "memory.h"
#include "reports.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KIB          ((size_t)1024)

static backing memory;
static freehold_arena arena;

static int setup(void **unused)
{
    (void)unused;
    backing_init(&memory);
    memset(&arena, 0xA5, sizeof arena);
    freehold_arena_init_with(&arena, &memory.base, 4 * KIB, 0);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    const char *wrong = freehold_check(&arena);
    if (wrong != NULL)
        print_error("%s\n", wrong);
    freehold_arena_deinit(&arena);
    return wrong != NULL || memory.live != 0;
}

static uint64_t live(void)
{
    freehold_statistics s = freehold_stats(&arena);
    return s.allocations - s.frees;
}

/* F1 */
static void init_asks_for_nothing(void **unused)
{
    (void)unused;
    freehold_arena_point start = freehold_arena_mark(&arena);
    freehold_arena_rewind(&arena, start);
    freehold_arena_reset(&arena);
    assert_int_equal(freehold_trim(&arena), 0);
    assert_null(freehold_alloc(&arena, 0));
    assert_int_equal(freehold_free(&arena, NULL), 0);
    assert_null(freehold_base(&arena, &memory));
    assert_null(freehold_check(&arena));
    assert_int_equal(memory.calls, 0);
    freehold_arena_deinit(&arena);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&arena, 1),
        "freehold_alloc(%p): wrong type: the allocator was deinitialised", (void *)&arena);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_arena_mark(&arena),
        "freehold_arena_mark(%p): wrong type: the allocator was deinitialised", (void *)&arena);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_arena_reset(&arena),
        "freehold_arena_reset(%p): wrong type: the allocator was deinitialised", (void *)&arena);
    freehold_arena_deinit(NULL);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_arena_deinit((freehold_arena *)(void *)&memory),
        "freehold_arena_deinit(%p): wrong type: not an initialised arena", (void *)&memory);
    freehold_arena_init(&arena, NULL);
    assert_null(freehold_alloc(&arena, 1));
    assert_int_equal(freehold_last_error(&arena), FREEHOLD_INVALID);
    assert_string_equal(freehold_check(&arena), "the arena has no backing allocator");
    freehold_arena_deinit(&arena);
    setup(NULL);
}

static void blocks_lie_one_after_the_other(void **unused)
{
    (void)unused;
    unsigned char *block[100];
    size_t sum = 0;
    for (size_t i = 0; i < 20; i++) {
        block[i] = freehold_alloc(&arena, i * 7 + 1);
        size_t rounded = (i * 7 + 16) / 16 * 16;
        assert_int_equal((uintptr_t)block[i] % 16, 0);
        assert_int_equal(freehold_usable_size(&arena, block[i]), rounded);
        if (i > 0)
            assert_ptr_equal(block[i], block[i - 1] + freehold_usable_size(&arena, block[i - 1]));
        memset(block[i], (int)i, rounded);
        sum += rounded;
    }
    for (size_t i = 0; i < 20; i++)
        assert_true(all_bytes(block[i], (int)i, (i * 7 + 16) / 16 * 16));
    freehold_statistics s = freehold_stats(&arena);
    assert_int_equal(s.allocations, 20);
    assert_int_equal(s.live_bytes, sum);
    assert_int_equal(s.requested_bytes, 20 + 7 * 190);
    assert_int_equal(s.used_bytes, 4 * KIB);
    assert_int_equal(memory.live, 2); /* the chunk, and its bits */
}

/* T1 */
static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16,
        SIZE_MAX - 4096, SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2,
        SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX};
    for (size_t round = 0; round < 2; round++) {
        char *block = round ? freehold_alloc(&arena, 10) : NULL; /* first: no chunk at all */
        freehold_statistics before = freehold_stats(&arena);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            assert_null(freehold_alloc(&arena, sizes[i]));
            assert_null(freehold_alloc_zeroed(&arena, sizes[i]));
            for (size_t alignment = 1; alignment != 0; alignment *= 2)
                assert_null(freehold_alloc_aligned(&arena, sizes[i], alignment, 0));
            assert_false(freehold_resize(&arena, block, sizes[i]));
            assert_null(freehold_remap(&arena, block, sizes[i]));
            assert_null(freehold_realloc(&arena, block, sizes[i]));
        }
        assert_null(freehold_alloc_aligned(&arena, 1, SIZE_MAX / 2 + 1, 0));
        assert_null(freehold_alloc_aligned(&arena, 1, 64, 8));
        freehold_statistics after = freehold_stats(&arena);
        assert_true(after.failures >= before.failures + (4 + 8 * sizeof(size_t)) * COUNT(sizes));
        after.failures = before.failures;
        assert_memory_equal(&before, &after, sizeof before);
        assert_null(freehold_check(&arena));
    }
}

/* T2: with offsets; the backing has an alignment of 16 alone. */
static void any_alignment_and_offset(void **unused)
{
    (void)unused;
    for (size_t round = 0; round < 2; round++, freehold_arena_reset(&arena))
        for (size_t alignment = 1; alignment <= 1024 * KIB; alignment *= 2)
            for (size_t k = 0; k < 5; k++) {
                size_t offset = k * 48 % alignment / 16 * 16;
                unsigned char *block = freehold_alloc_aligned(&arena, 100, alignment, offset);
                assert_non_null(block);
                assert_int_equal(((uintptr_t)block + offset) & (alignment - 1), 0);
                assert_int_equal((uintptr_t)block % 16, 0);
                assert_int_equal(freehold_usable_size(&arena, block), 112);
                memset(block, 0xEE, 112);
                assert_null(freehold_check(&arena));
            }
    freehold_arena aligned;
    freehold_arena_init_with(&aligned, &memory.base, 0, 200);
    for (size_t i = 1; i < 100; i++) {
        assert_int_equal((uintptr_t)freehold_alloc(&aligned, i * 5) % 256, 0);
        assert_int_equal((uintptr_t)freehold_alloc_zeroed(&aligned, i * 500) % 256, 0);
        assert_int_equal((uintptr_t)freehold_alloc_aligned(&aligned, i, 16, 0) % 256, 0);
    }
    assert_null(freehold_check(&aligned));
    freehold_arena_deinit(&aligned);
}

/* T10: after reset, rewind and free; the backing's memory is never zero. */
static void zeroed_reads_zero(void **unused)
{
    (void)unused;
    for (size_t round = 0; round < 6; round++) {
        freehold_arena_point point = freehold_arena_mark(&arena);
        for (size_t bytes = 1; bytes < 20000; bytes = bytes * 3 + 5) {
            unsigned char *block = freehold_alloc_zeroed(&arena, bytes);
            assert_true(all_bytes(block, 0, bytes));
            memset(block, 0xEE, freehold_usable_size(&arena, block));
            if (round == 3)
                freehold_free(&arena, block);
        }
        if (round % 2)
            freehold_arena_rewind(&arena, point);
        else
            freehold_arena_reset(&arena);
    }
}

/* F24: in place both ways. */
static void the_last_block_is_resized_in_place(void **unused)
{
    (void)unused;
    char *first = freehold_alloc(&arena, 100), *last = freehold_alloc(&arena, 100);
    strcpy(first, "first");
    strcpy(last, "last");
    assert_false(freehold_resize(&arena, first, 113)); /* the last one is behind it */
    assert_true(freehold_resize(&arena, first, 112));
    assert_true(freehold_resize(&arena, first, 1));
    assert_int_equal(freehold_usable_size(&arena, first), 112);
    assert_true(freehold_resize(&arena, last, 3000));
    assert_int_equal(freehold_usable_size(&arena, last), 3008);
    assert_int_equal(freehold_stats(&arena).live_bytes, 112 + 3008);
    assert_false(freehold_resize(&arena, last, 4 * KIB)); /* more than is left of the chunk */
    assert_true(freehold_resize(&arena, last, 4 * KIB - 112));
    assert_true(freehold_resize(&arena, last, 17));
    assert_int_equal(freehold_usable_size(&arena, last), 32);
    assert_int_equal(freehold_stats(&arena).peak_live_bytes, 4 * KIB);
    char *next = freehold_alloc(&arena, 10);
    assert_ptr_equal(next, last + 32); /* what it gave up is used again */
    assert_ptr_equal(freehold_remap(&arena, next, 500), next);
    assert_ptr_equal(freehold_realloc(&arena.base, next, 10), next);

    /* One that cannot stay moves, with its contents; its place is not used before it is the last. */
    uint64_t count = freehold_stats(&arena).reallocations;
    char *moved = freehold_realloc(&arena, first, 200);
    assert_true(moved != first);
    assert_string_equal(moved, "first");
    moved = freehold_remap(&arena, moved, 20 * KIB); /* into a chunk of its own */
    assert_string_equal(moved, "first");
    assert_string_equal(last, "last");
    assert_int_equal(freehold_stats(&arena).reallocations, count + 2);
    assert_int_equal(live(), 3);
}

/* F24: the last one gives its place back, and with it what was freed before it. */
static void freeing_goes_back_from_the_end(void **unused)
{
    (void)unused;
    char *a = freehold_alloc(&arena, 100), *b = freehold_alloc(&arena, 100);
    char *c = freehold_alloc_aligned(&arena, 100, 1024, 0); /* a gap in front of it */
    char *d = freehold_alloc(&arena, 100);
    assert_int_equal(freehold_free(&arena, d), 112);
    assert_ptr_equal(freehold_alloc(&arena, 100), d);
    assert_int_equal(freehold_free(&arena, b), 112);
    assert_int_equal(freehold_free(&arena, c), 112);
    assert_int_equal(freehold_stats(&arena).live_bytes, 224);
    assert_null(freehold_check(&arena));
    /* d, c, the gap, b. */
    assert_int_equal(freehold_free_sized(&arena, d, 100), 112);
    assert_ptr_equal(freehold_alloc(&arena, 100), b);
    freehold_free(&arena, b);
    assert_int_equal(freehold_free(&arena, a), 112);
    assert_int_equal(live(), 0);
    assert_ptr_equal(freehold_alloc(&arena, 4 * KIB), a);
    freehold_free(&arena, a);
    assert_int_equal(freehold_stats(&arena).live_bytes, 0);

    /* A chunk of its own at the end goes back among the kept ones, and is used again. */
    uint64_t calls = memory.calls;
    char *small = freehold_alloc(&arena, 10), *large = freehold_alloc(&arena, 100 * KIB);
    assert_int_equal(freehold_free(&arena, large), 100 * KIB);
    assert_int_equal(freehold_stats(&arena).used_bytes, 4 * KIB);
    for (size_t i = 0; i < 10; i++) {
        assert_ptr_equal(freehold_alloc(&arena, 99 * KIB), large);
        freehold_free(&arena, large);
    }
    assert_int_equal(memory.calls, calls + 2);
    assert_ptr_equal(freehold_alloc(&arena, 10), small + 16); /* the current chunk stayed */
}

/* F24: what is freed in the reverse order gives everything back, also beyond the current chunk. */
static void the_reverse_order_gives_everything_back(void **unused)
{
    (void)unused;
    void *block[200];
    memory.largest = 4 * KIB;
    for (size_t round = 0; round < 5; round++) {
        for (size_t i = 0; i < COUNT(block); i++)
            assert_non_null(block[i] = freehold_alloc(&arena, 1000));
        for (size_t i = COUNT(block); i-- > 0;)
            freehold_free(&arena, block[i]);
        freehold_statistics s = freehold_stats(&arena);
        assert_int_equal(s.mapped_bytes, 50 * 4 * KIB); /* those of the first round */
        assert_int_equal(s.used_bytes, 4 * KIB);
        assert_null(freehold_check(&arena));
    }
    /* Nested calls, each of which keeps a little and has given back a chunk or more. */
    for (size_t depth = 0; depth < 100; depth++) {
        assert_non_null(freehold_alloc(&arena, 16));
        for (size_t i = 0; i < 6; i++)
            block[i] = freehold_alloc(&arena, 1000);
        for (size_t i = 6; i-- > 0;)
            freehold_free(&arena, block[i]);
    }
    assert_int_equal(freehold_stats(&arena).used_bytes, 4 * KIB);
}

/* F24: and behind a mark, whose chunk is the current one again. */
static void the_reverse_order_behind_a_mark(void **unused)
{
    (void)unused;
    void *block[12], *first = freehold_alloc(&arena, 1000);
    memory.largest = 4 * KIB;
    freehold_arena_point mark = freehold_arena_mark(&arena);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(block); i++)
            block[i] = freehold_alloc(&arena, 1000);
        for (size_t i = COUNT(block); i-- > 0;)
            freehold_free(&arena, block[i]);
        assert_int_equal(freehold_stats(&arena).mapped_bytes, 4 * 4 * KIB);
        assert_int_equal(freehold_stats(&arena).used_bytes, 4 * KIB);
        assert_null(freehold_check(&arena));
    }
    assert_ptr_equal(freehold_alloc(&arena, 1000), block[0]);
    freehold_arena_rewind(&arena, mark);
    assert_int_equal(live(), 1);
    freehold_free(&arena, first);
}

/* Chunks double, so that there are few of them; what is larger does not end the current one. */
static void chunks_grow(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 64 * KIB; i++)
        assert_non_null(freehold_alloc(&arena, 64)); /* 4 MiB: 4 KiB << 10 */
    assert_int_equal(memory.live, 11 * 2 + 2 - 1);   /* records: an array of 16 */
    assert_int_equal(freehold_stats(&arena).mapped_bytes, 4 * KIB * 2047);
    freehold_arena_reset(&arena);
    freehold_trim(&arena);
    char *small = freehold_alloc(&arena, 16), *large = freehold_alloc(&arena, 1024 * KIB);
    assert_ptr_equal(freehold_alloc(&arena, 16), small + 16);
    assert_int_equal(freehold_stats(&arena).mapped_bytes, 1028 * KIB);
    memset(large, 1, 1024 * KIB);
    /* Many of a middle size share chunks. */
    freehold_arena_reset(&arena);
    freehold_trim(&arena);
    uint64_t calls = memory.calls;
    for (size_t i = 0; i < 1000; i++)
        freehold_alloc(&arena, 20 * KIB);
    assert_in_range(memory.calls - calls, 10, 40);
}

/* F24: the first chunk has what was asked for, also where addresses have 32 bits. */
static void a_chunk_may_be_large(void **unused)
{
    (void)unused;
    freehold_arena large;
    freehold_arena_init_with(&large, &memory.base, 4096 * KIB, 0);
    assert_non_null(freehold_alloc(&large, 1));
    assert_int_equal(freehold_stats(&large).mapped_bytes, 4096 * KIB);
    freehold_arena_deinit(&large);
    freehold_arena_init_with(&large, &memory.base, SIZE_MAX, 0);
    memory.largest = 4096 * KIB;
    for (size_t i = 0; i < 3; i++)
        assert_non_null(freehold_alloc(&large, 1000));
    assert_null(freehold_alloc(&large, SIZE_MAX / 2));
    assert_null(freehold_check(&large));
    freehold_arena_deinit(&large);
}

/* The backing may have blocks of one size alone (a budget), or very little. */
static void chunks_are_what_the_backing_has(void **unused)
{
    (void)unused;
    memory.largest = 4 * KIB;
    for (size_t i = 0; i < 20; i++)
        assert_non_null(freehold_alloc(&arena, 4000));
    assert_int_equal(freehold_stats(&arena).mapped_bytes, 20 * 4 * KIB);
    assert_null(freehold_alloc(&arena, 4 * KIB + 1));
    memory.largest = 1 * KIB;
    assert_non_null(freehold_alloc(&arena, 1000));
    assert_int_equal(freehold_stats(&arena).mapped_bytes, 20 * 4 * KIB + 1008);
    assert_null(freehold_alloc(&arena, 1025));

    static _Alignas(16) unsigned char buffer[64 * 1024];
    static uint64_t words[FREEHOLD_BITMAP_WORDS(16)];
    freehold_budget budget;
    freehold_arena over;
    freehold_budget_init(&budget, buffer, sizeof buffer, 4096, words, COUNT(words));
    freehold_arena_init_with(&over, &budget.base, 100, 0);
    size_t bytes = 0;
    while (freehold_alloc(&over, 240) != NULL)
        bytes += 240;
    /* 7 chunks, each of which takes all of its slot; the others are of bits and records. */
    assert_true(bytes > 6 * 4080 && bytes <= sizeof buffer);
    assert_null(freehold_check(&over));
    freehold_arena_deinit(&over);
    assert_int_equal(freehold_stats(&budget).live_bytes, 0);
}

/* ---- marks ----------------------------------------------------------------------------------- */

static void a_rewind_ends_what_came_after(void **unused)
{
    (void)unused;
    freehold_arena_point empty = freehold_arena_mark(&arena);
    char *before = freehold_alloc(&arena, 100);
    strcpy(before, "before");
    freehold_arena_point mark = freehold_arena_mark(&arena);
    for (size_t round = 0; round < 5; round++) { /* the mark stays good */
        char *after = freehold_alloc(&arena, 100);
        assert_ptr_equal(after, before + 112);
        for (size_t i = 0; i < 50; i++)
            freehold_alloc(&arena, 1000 * i + 1);
        assert_int_equal(live(), 52);
        freehold_arena_rewind(&arena, mark);
        assert_int_equal(live(), 1);
        assert_int_equal(freehold_stats(&arena).live_bytes, 112);
        assert_int_equal(freehold_stats(&arena).used_bytes, 4 * KIB);
        assert_null(freehold_check(&arena));
        ASSERT_WRONG(&arena, after, FREEHOLD_INVALID_POINTER,
            "invalid pointer: in a chunk where no allocation is now (freed, rewound or reset "
            "before, "
            "or never allocated)");
    }
    assert_string_equal(before, "before");
    freehold_arena_rewind(&arena, empty);
    assert_int_equal(live(), 0);
    assert_ptr_equal(freehold_alloc(&arena, 1), before);
}

/* A block from before a mark neither grows beyond it nor gives its place up. */
static void a_mark_holds(void **unused)
{
    (void)unused;
    char *block = freehold_alloc(&arena, 100), *middle = freehold_alloc(&arena, 100);
    freehold_arena_point mark = freehold_arena_mark(&arena);
    assert_false(freehold_resize(&arena, middle, 113));
    assert_true(freehold_resize(&arena, middle, 50));
    assert_int_equal(freehold_free(&arena, middle), 112);
    char *after = freehold_alloc(&arena, 100);
    assert_ptr_equal(after, middle + 112);
    assert_int_equal(freehold_free(&arena, block), 112);
    assert_int_equal(freehold_free(&arena, after), 112);
    assert_ptr_equal(freehold_alloc(&arena, 10), after);
    assert_non_null(freehold_alloc(&arena, 5000));
    freehold_arena_rewind(&arena, mark);
    assert_int_equal(live(), 0);
    assert_ptr_equal(freehold_alloc(&arena, 100), after);
    freehold_arena_reset(&arena);
    assert_ptr_equal(freehold_alloc(&arena, 100), block); /* no mark any more */
    assert_int_equal(freehold_free(&arena, block), 112);

    /* A chunk that became the current one behind a mark, and was given back. */
    for (size_t i = 0; i < 30; i++)
        freehold_alloc(&arena, 1000);
    mark = freehold_arena_mark(&arena);
    assert_true(mark.current > 1);
    freehold_free(&arena, freehold_alloc(&arena, 40 * KIB));
    freehold_free(&arena, freehold_alloc(&arena, 32 * KIB));
    assert_true(freehold_trim(&arena) >= 64 * KIB);
    assert_null(freehold_check(&arena));
    for (size_t i = 0; i < 3; i++)
        freehold_alloc(&arena, 10);
    freehold_arena_rewind(&arena, mark);
    assert_int_equal(live(), 30);
}

#define STALE(a, point)                                                                            \
    FATAL(FREEHOLD_WRONG_SCOPE, freehold_arena_rewind((a), (point)),                               \
        "freehold_arena_rewind(%p): stale mark: the arena was rewound or reset before",            \
        (void *)(a))

/* F24: also when the arena has come as far again. */
static void a_stale_or_foreign_mark_is_fatal(void **unused)
{
    (void)unused;
    freehold_arena other;
    freehold_arena_init(&other, &memory.base);
    freehold_arena_point foreign = freehold_arena_mark(&other), zero;
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_arena_rewind(&arena, foreign),
        "freehold_arena_rewind(%p): foreign mark: not of this arena", (void *)&arena);
    memset(&zero, 0, sizeof zero);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_arena_rewind(&arena, zero),
        "freehold_arena_rewind(%p): foreign mark: not of this arena", (void *)&arena);
    zero.arena = &arena;
    STALE(&arena, zero);
    freehold_arena_deinit(&other);

    freehold_alloc(&arena, 1);
    freehold_arena_point outer = freehold_arena_mark(&arena);
    freehold_alloc(&arena, 100);
    freehold_arena_point inner = freehold_arena_mark(&arena);
    freehold_alloc(&arena, 100);
    freehold_arena_rewind(&arena, outer);
    STALE(&arena, inner);
    freehold_alloc(&arena, 100);
    freehold_arena_point second = freehold_arena_mark(&arena);
    assert_int_equal(second.used, inner.used);
    freehold_statistics before = freehold_stats(&arena);
    STALE(&arena, inner);
    freehold_statistics after = freehold_stats(&arena);
    assert_memory_equal(&before, &after, sizeof before);
    freehold_arena_rewind(&arena, second);
    freehold_arena_rewind(&arena, outer);
    STALE(&arena, second);
    STALE(&arena, inner);
    freehold_arena_reset(&arena);
    STALE(&arena, outer);
    freehold_alloc(&arena, 1);
    STALE(&arena, outer);
    STALE(&arena, second);
}

/* Stale marks between good ones, as many as one likes. */
static void every_stale_mark_is_known(void **unused)
{
    (void)unused;
    enum { N = 1000 };
    static freehold_arena_point good[N], stale[N];
    for (size_t i = 0; i < N; i++) {
        good[i] = freehold_arena_mark(&arena);
        freehold_alloc(&arena, 100);
        stale[i] = freehold_arena_mark(&arena);
        freehold_alloc(&arena, 100);
        freehold_arena_rewind(&arena, good[i]);
        freehold_alloc(&arena, 300); /* and so it comes beyond the stale one */
    }
    assert_null(freehold_check(&arena));
    for (size_t i = 0; i < N; i++)
        STALE(&arena, stale[i]);
    for (size_t i = N; i-- > 0;) {
        freehold_arena_rewind(&arena, good[i]);
        assert_int_equal(live(), i);
        STALE(&arena, stale[i]);
        if (i + 1 < N)
            STALE(&arena, good[i + 1]);
    }
}

/* A mark of the life before, in the middle of a block of this one. */
static void a_mark_of_an_ended_arena_cuts_no_block(void **unused)
{
    (void)unused;
    freehold_alloc(&arena, 16);
    freehold_arena_point before = freehold_arena_mark(&arena);
    freehold_arena_deinit(&arena);
    freehold_arena_init_with(&arena, &memory.base, 4 * KIB, 0);
    freehold_alloc(&arena, 160);
    freehold_arena_point now = freehold_arena_mark(&arena);
    assert_int_equal(before.serial, now.serial);
    STALE(&arena, before);
    freehold_alloc(&arena, 10);
    freehold_arena_rewind(&arena, now);
    assert_int_equal(live(), 1);
}

/* Without memory for that, the oldest ranges are forgotten, but no block is cut; and the good marks stay good. */
static void marks_without_memory(void **unused)
{
    (void)unused;
    freehold_arena_point good[20], stale[20];
    freehold_alloc(&arena, 100);
    memory.failing_from = 1;
    for (size_t i = 0; i < 20; i++) {
        good[i] = freehold_arena_mark(&arena);
        freehold_alloc(&arena, 16);
        stale[i] = freehold_arena_mark(&arena);
        freehold_alloc(&arena, 16);
        freehold_arena_rewind(&arena, good[i]);
        freehold_alloc(&arena, 48);
    }
    assert_null(freehold_check(&arena));
    for (size_t i = 0; i < 20; i++) /* the others by their place */
        STALE(&arena, stale[i]);
    for (size_t i = 20; i-- > 0;) {
        freehold_arena_rewind(&arena, good[i]);
        assert_int_equal(live(), i + 1);
    }
}

/* ---- reset and trim -------------------------------------------------------------------------- */

/* T11: chunks in the middle of the list too, and those of large blocks. */
static void reset_uses_every_chunk_again(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {100, 4000, 30 * KIB, 200, 3000, 1024 * KIB, 16, 500 * KIB, 9000};
    uint64_t calls = 0;
    size_t mapped = 0;
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 400; i++) {
            size_t bytes = sizes[i % COUNT(sizes)] / (i < 40 ? 1 : 8) + 1;
            unsigned char *block = freehold_alloc(&arena, bytes);
            assert_non_null(block);
            memset(block, (int)round, bytes);
        }
        freehold_statistics s = freehold_stats(&arena);
        if (round == 0) {
            calls = memory.calls;
            mapped = s.mapped_bytes;
            assert_true(memory.live > 10);
        }
        assert_int_equal(memory.calls, calls); /* none, and none given back */
        assert_int_equal(s.mapped_bytes, mapped);
        freehold_arena_reset(&arena);
        s = freehold_stats(&arena);
        assert_int_equal(live(), 0);
        assert_int_equal(s.live_bytes + s.used_bytes, 0);
        assert_int_equal(s.retained_bytes, mapped);
        assert_null(freehold_check(&arena));
    }
    /* Small blocks alone fill all of them, also the large ones. */
    size_t bytes = 0;
    while (memory.calls == calls && freehold_alloc(&arena, 240) != NULL)
        bytes += 240;
    assert_true(bytes > mapped - 240 * 40 && bytes <= mapped + 240);
}

/* T15 */
static void trim_gives_back_what_is_empty(void **unused)
{
    (void)unused;
    char *keep = freehold_alloc(&arena, 100);
    strcpy(keep, "kept");
    freehold_arena_point mark = freehold_arena_mark(&arena);
    for (size_t i = 0; i < 100; i++)
        freehold_alloc(&arena, 1000);
    assert_int_equal(freehold_trim(&arena), 0);
    freehold_arena_rewind(&arena, mark);
    size_t retained = freehold_stats(&arena).retained_bytes;
    assert_true(retained > 96 * KIB);
    assert_int_equal(freehold_trim(&arena), retained);
    freehold_statistics s = freehold_stats(&arena);
    assert_int_equal(s.purged_bytes, retained);
    assert_int_equal(s.mapped_bytes, 4 * KIB);
    assert_string_equal(keep, "kept");
    assert_non_null(freehold_alloc(&arena, 10 * KIB));
    freehold_arena_rewind(&arena, mark);
    /* Freed one by one, in any order: the current chunk goes back as well. */
    freehold_arena_reset(&arena);
    void *block[200];
    for (size_t i = 0; i < 200; i++)
        block[i] = freehold_alloc(&arena, 1000);
    for (size_t i = 0; i < 200; i++)
        freehold_free(&arena, block[i * 77 % 200]);
    freehold_trim(&arena);
    assert_null(freehold_check(&arena));
    assert_int_equal(freehold_stats(&arena).mapped_bytes, 0);
    assert_int_equal(memory.live, 1); /* the records */
    assert_non_null(freehold_alloc(&arena, 1000));
}

/* F11 */
static void counts_begin_anew(void **unused)
{
    (void)unused;
    void *a = freehold_alloc(&arena, 1000);
    freehold_free(&arena, freehold_alloc(&arena, 20000));
    freehold_resize(&arena, a, 900);
    memory.failing_from = 1;
    assert_null(freehold_alloc(&arena, 100000));
    memory.failing_from = 0;
    freehold_statistics s = freehold_stats(&arena);
    assert_int_equal(s.requested_bytes, 21900);
    assert_int_equal(s.allocations, 2);
    assert_int_equal(s.frees, 1);
    assert_int_equal(s.reallocations, 1);
    assert_int_equal(s.failures, 1);
    assert_int_equal(s.peak_live_bytes, 1008 + 20000);
    assert_true(freehold_reset_stats(&arena));
    s = freehold_stats(&arena);
    assert_int_equal(s.allocations, 1);
    assert_int_equal(s.requested_bytes + s.frees + s.reallocations + s.failures, 0);
    assert_int_equal(s.live_bytes, 912);
    assert_int_equal(s.peak_live_bytes, 912);
    assert_int_equal(s.peak_bytes, s.used_bytes);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

/* T20: all of it exact, unlike S2's, which frees any pointer into the arena. */
static void misuse_is_exact(void **unused)
{
    (void)unused;
    const char *none = "invalid pointer: in a chunk where no allocation is now (freed, rewound or "
                       "reset before, or never allocated)";
    const char *foreign = "foreign pointer: not from this allocator";
    char local;
    ASSERT_WRONG(&arena, &local, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    char *a = freehold_alloc(&arena, 100), *b = freehold_alloc_aligned(&arena, 2000, 1024, 0);
    char *c = freehold_alloc(&arena, 10), *large = freehold_alloc(&arena, 50000);
    ASSERT_WRONG(&arena, &local, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    ASSERT_WRONG(&arena, &arena, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    ASSERT_WRONG(&arena, a + 16, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 16 bytes into the block %p of 112 bytes", (void *)a);
    ASSERT_WRONG(&arena, b + 1999, FREEHOLD_MISALIGNED_POINTER,
        "misaligned pointer: 1999 bytes into the block %p of 2000 bytes", (void *)b);
    ASSERT_WRONG(&arena, large + 40000, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 40000 bytes into the block %p of 50000 bytes", (void *)large);
    if (b != a + 112) /* in the gap */
        ASSERT_WRONG(&arena, b - 16, FREEHOLD_INVALID_POINTER, "%s", none);
    ASSERT_WRONG(&arena, c + 16, FREEHOLD_INVALID_POINTER, "%s", none); /* never allocated */
    freehold_free(&arena, b);
    ASSERT_WRONG(&arena, b, FREEHOLD_DOUBLE_FREE,
        "double free: the block %p of 2000 bytes is already free", (void *)b);
    freehold_free(&arena, large);
    ASSERT_WRONG(&arena, large, FREEHOLD_INVALID_POINTER, "%s", none); /* its chunk is kept */
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&arena, a, 113),
        "freehold_free_sized(%p): size mismatch: given 113, but it is the block %p of 112 bytes",
        (void *)a, (void *)a);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&arena.base, a, 0),
        "freehold_free_sized(%p): size mismatch: given 0, but it is the block %p of 112 bytes",
        (void *)a, (void *)a);
    freehold_arena_reset(&arena);
    ASSERT_WRONG(&arena, a, FREEHOLD_INVALID_POINTER, "%s", none);
    freehold_trim(&arena);
    ASSERT_WRONG(&arena, a, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
}

typedef struct seen {
    size_t count, bytes, stop;
} seen;

static bool overwrite(void *context, void *block, size_t bytes)
{
    seen *s = context;
    memset(block, 0xFF, bytes);
    s->bytes += bytes;
    return ++s->count != s->stop;
}

/* F5, F12; T4: what is written into blocks, live or free, does not matter. */
static void looks_at_live_blocks(void **unused)
{
    (void)unused;
    char *block[300];
    for (size_t i = 0; i < 300; i++)
        block[i] = freehold_alloc_aligned(&arena, i * 13 + 1, i % 7 ? 16 : 256, 0);
    for (size_t i = 0; i < 300; i += 3) {
        freehold_free(&arena, block[i]);
        block[i] = NULL;
    }
    seen s = {0, 0, 0};
    assert_true(freehold_walk(&arena, overwrite, &s));
    assert_int_equal(s.count, 200);
    assert_int_equal(s.bytes, freehold_stats(&arena).live_bytes);
    assert_null(freehold_check(&arena));
    for (size_t i = 0; i < 300; i++) {
        if (block[i] == NULL)
            continue;
        size_t bytes = freehold_usable_size(&arena, block[i]);
        assert_ptr_equal(freehold_base(&arena, block[i]), block[i]);
        assert_ptr_equal(freehold_base(&arena.base, block[i] + bytes - 1), block[i]);
        assert_true(freehold_base(&arena, block[i] + bytes) != block[i]);
        if (i % 21 == 1) /* the one in front is free, and so is a gap */
            assert_null(freehold_base(&arena, block[i] - 1));
    }
    s = (seen){0, 0, 5};
    assert_false(freehold_walk(&arena, overwrite, &s));
    assert_int_equal(s.count, 5);
}

/* T14: a bit of what is known of a live block, out of line: the backing has just given that. */
static void the_validator_sees_a_flipped_bit(void **unused)
{
    (void)unused;
    freehold_alloc(&arena, 1);
    assert_int_equal(memory.last_bytes, (4 + 1) * 16);
    for (size_t i = 1; i < 40; i++)
        freehold_alloc(&arena, i * 3);
    size_t granules = freehold_stats(&arena).live_bytes / 16;
    assert_in_range(granules, 128, 256);
    for (size_t bit = 0; bit < 128 * 4; bit++) {
        size_t granule = bit / 128 * 64 + bit % 64; /* 64 that say begins, 64 that say live */
        if (granule >= granules)
            continue;
        ((uint64_t *)(void *)memory.last)[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_non_null(freehold_check(&arena));
        ((uint64_t *)(void *)memory.last)[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    assert_null(freehold_check(&arena));
}

/* ---- failures -------------------------------------------------------------------------------- */

/* T16: a failure of each call of the backing in turn: NULL, nothing changed, no leak. */
static void a_failure_changes_nothing(void **unused)
{
    (void)unused;
    size_t failed = 0;
    for (uint64_t failing = 1; failing < 40; failing++) {
        memory.calls = 0;
        memory.failing_from = failing;
        freehold_arena_point mark = freehold_arena_mark(&arena);
        for (size_t i = 0; i < 60; i++) {
            size_t bytes = i % 5 == 4 ? 30000 + i : 3000, blocks = memory.live;
            freehold_statistics before = freehold_stats(&arena);
            void *block = i % 2 ? freehold_alloc(&arena, bytes)
                                : freehold_alloc_aligned(&arena, bytes, 4096, 0);
            if (block == NULL) {
                freehold_statistics after = freehold_stats(&arena);
                assert_int_equal(after.failures, before.failures + 1);
                after.failures--;
                assert_memory_equal(&before, &after, sizeof before);
                assert_true(memory.live == blocks || memory.live == blocks + 1); /* records */
                assert_int_equal(freehold_last_error(&arena), FREEHOLD_NO_MEMORY);
                failed++;
                memory.failing_from = 0;
                assert_non_null(freehold_alloc(&arena, bytes));
                memory.failing_from = memory.calls + 2;
            }
            assert_null(freehold_check(&arena));
        }
        freehold_arena_rewind(&arena, mark);
        memory.failing_from = 0;
        freehold_arena_deinit(&arena);
        assert_int_equal(memory.live, 0);
        freehold_arena_init_with(&arena, &memory.base, 4 * KIB, 0);
    }
    assert_true(failed > 60);
}

/* The same over a heap, and the port below it. */
static void a_failure_of_the_system_changes_nothing(void **unused)
{
    (void)unused;
    uint64_t mapped = freehold__fault_mapped();
    for (uint64_t failing = 1; failing < 12; failing++) {
        freehold_heap heap;
        freehold_arena over;
        freehold_heap_init(&heap);
        freehold_arena_init(&over, &heap.base);
        freehold__fault_set(failing, UINT64_MAX);
        size_t granted = 0;
        for (size_t i = 0; i < 30; i++) {
            unsigned char *block = freehold_alloc_zeroed(&over, i * 50000 + 1);
            granted += block != NULL;
            if (block != NULL)
                assert_true(all_bytes(block, 0, i * 50000 + 1));
            assert_null(freehold_check(&over));
        }
        freehold__fault_set(0, 0);
        freehold_statistics s = freehold_stats(&over);
        assert_int_equal(s.allocations, granted);
        assert_int_equal(s.failures, 30 - granted);
        freehold_arena_deinit(&over);
        assert_int_equal(freehold_stats(&heap).live_bytes, 0);
        assert_null(freehold_check(&heap));
        freehold_heap_deinit(&heap);
        assert_int_equal(freehold__fault_mapped(), mapped);
    }
}

/* ---- at random ------------------------------------------------------------------------------- */

enum { MOST = 3000, MARKS = 16 };
static struct {
    unsigned char *block, fill;
    size_t bytes;
} table[MOST];
static size_t blocks, marks;
static struct {
    freehold_arena_point point;
    size_t blocks;
} marked[MARKS];

static uint64_t draw(uint64_t below)
{
    static uint64_t seed = 2463534242;
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (seed >> 33) % below;
}

static size_t draw_size(void)
{
    return 1 + draw(draw(20) == 0 ? 40000 : draw(3) == 0 ? 2000 : 100);
}

static void assert_filled(size_t i)
{
    assert_true(all_bytes(table[i].block, table[i].fill, table[i].bytes));
}

static void allocate_one(void)
{
    size_t bytes = draw_size(), alignment = (size_t)16 << (draw(8) == 0 ? draw(9) : 0);
    unsigned char *block = freehold_alloc_aligned(&arena, bytes, alignment, 0);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % alignment, 0);
    table[blocks].block = block;
    table[blocks].bytes = bytes;
    table[blocks].fill = (unsigned char)draw(256);
    memset(block, table[blocks].fill, bytes);
    blocks++;
}

/* One that was freed is a hole in the table, so that marks stay numbers of it. */
static void change_one(size_t i)
{
    if (table[i].block == NULL)
        return;
    assert_filled(i);
    assert_ptr_equal(freehold_base(&arena, table[i].block + draw(table[i].bytes)), table[i].block);
    if (draw(2) == 0) {
        freehold_free(&arena, table[i].block);
        table[i].block = NULL;
        return;
    }
    size_t bytes = draw_size(), least = bytes < table[i].bytes ? bytes : table[i].bytes;
    if (marks != 0 && i < marked[marks - 1].blocks) {
        if (freehold_resize(&arena, table[i].block, bytes)) /* a move would put it behind marks */
            table[i].bytes = bytes;
    } else {
        table[i].block = freehold_realloc(&arena, table[i].block, bytes);
        table[i].bytes = bytes;
    }
    assert_true(
        all_bytes(table[i].block, table[i].fill, least < table[i].bytes ? least : table[i].bytes));
    memset(table[i].block, table[i].fill, table[i].bytes);
}

static size_t count_live(void)
{
    size_t count = 0;
    for (size_t i = 0; i < blocks; i++)
        count += table[i].block != NULL;
    return count;
}

static void agrees_with_a_table(void **unused)
{
    (void)unused;
    for (size_t round = 0; round < 60000; round++) {
        uint64_t choice = draw(1000);
        if (choice < 550 && blocks < MOST) {
            allocate_one();
        } else if (choice < 970 && blocks != 0) {
            change_one(draw(3) == 0 ? blocks - 1 : draw(blocks));
        } else if (choice < 985 && marks < MARKS) {
            marked[marks].point = freehold_arena_mark(&arena);
            marked[marks++].blocks = blocks;
        } else if (choice < 997 && marks != 0) {
            marks -= draw(marks < 3 ? marks : 3);
            freehold_arena_rewind(&arena, marked[marks - 1].point);
            blocks = marked[marks - 1].blocks;
            marks -= draw(2);
        } else if (choice == 998) {
            freehold_trim(&arena);
        } else if (choice == 999 || blocks == MOST) {
            freehold_arena_reset(&arena);
            blocks = marks = 0;
        }
        if (round % 100 == 0) {
            assert_null(freehold_check(&arena));
            assert_int_equal(live(), count_live());
            for (size_t i = 0; i < blocks; i++)
                if (table[i].block != NULL)
                    assert_filled(i);
        }
    }
    assert_true(freehold_stats(&arena).allocations > 10000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(init_asks_for_nothing),
        TEST(blocks_lie_one_after_the_other),
        TEST(impossible_sizes_are_refused),
        TEST(any_alignment_and_offset),
        TEST(zeroed_reads_zero),
        TEST(the_last_block_is_resized_in_place),
        TEST(freeing_goes_back_from_the_end),
        TEST(the_reverse_order_gives_everything_back),
        TEST(the_reverse_order_behind_a_mark),
        TEST(chunks_grow),
        TEST(a_chunk_may_be_large),
        TEST(chunks_are_what_the_backing_has),
        TEST(a_rewind_ends_what_came_after),
        TEST(a_mark_holds),
        TEST(a_stale_or_foreign_mark_is_fatal),
        TEST(every_stale_mark_is_known),
        TEST(a_mark_of_an_ended_arena_cuts_no_block),
        TEST(marks_without_memory),
        TEST(reset_uses_every_chunk_again),
        TEST(trim_gives_back_what_is_empty),
        TEST(counts_begin_anew),
        TEST(misuse_is_exact),
        TEST(looks_at_live_blocks),
        TEST(the_validator_sees_a_flipped_bit),
        TEST(a_failure_changes_nothing),
        TEST(a_failure_of_the_system_changes_nothing),
        TEST(agrees_with_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
