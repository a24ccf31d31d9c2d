/* SPDX-License-Identifier: MIT */
/*
 * What is special about the buddy (F60 to F63): ranges that are registered, exact blocks that merge,
 * physical limits, addresses, batches, splits, caches of pages. What it has in common with the others
 * is in conformance.c. The defects that are named are those of an earlier kernel allocator.
 */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "reports.h"

#include "freehold/freehold.h"
#include "pages/frames.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PAGE         ((size_t)4096)
#define MIB          ((size_t)1024 * 1024)
#define MEMORY       (16 * MIB)

static freehold_buddy buddy;
static char *memory; /* at a multiple of 16 MiB */

static int setup(void **unused)
{
    (void)unused;
    char *base = mmap(NULL, 2 * MEMORY, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return 1;
    memory = (char *)(((uintptr_t)base + MEMORY - 1) / MEMORY * MEMORY);
    munmap(base, (size_t)(memory - base));
    munmap(memory + MEMORY, (size_t)(base + MEMORY - memory));
    freehold_buddy_init(&buddy, NULL);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    const char *wrong = freehold_check(&buddy);
    if (wrong != NULL)
        fprintf(stderr, "%s\n", wrong);
    freehold_buddy_deinit(&buddy);
    munmap(memory, MEMORY);
    return wrong != NULL;
}

static freehold_error add(size_t from, size_t bytes)
{
    return freehold_buddy_add(&buddy, memory + from, bytes);
}

static void add_all(void)
{
    assert_int_equal(add(0, MEMORY), FREEHOLD_OK);
}

/* State elsewhere, so that the range is whole. */
static void add_whole(size_t from, size_t bytes)
{
    static _Alignas(64) char own[8][65536 + 4096];
    static unsigned next;
    char *state = own[next++ % COUNT(own)];
    assert_true(freehold_buddy_state_bytes(&buddy, bytes) <= sizeof own[0]);
    memset(state, 1, sizeof own[0]); /* whatever is in it, and behind the state */
    assert_int_equal(
        freehold_buddy_add_with(&buddy, memory + from, bytes, state, sizeof own[0]), FREEHOLD_OK);
}

static size_t free_bytes(void)
{
    return freehold_buddy_get_usage(&buddy).free_bytes;
}

/* Everything is free again, and has merged: as much can be taken at once as at first. */
static void all_is_whole(size_t bytes)
{
    freehold_buddy_usage now = freehold_buddy_get_usage(&buddy);
    assert_int_equal(now.free_bytes + now.cached_bytes, now.managed_bytes);
    void *whole = freehold_alloc(&buddy, bytes);
    assert_non_null(whole);
    freehold_free(&buddy, whole);
}

/* ---- ranges ------------------------------------------------------------------------------------ */

/* T19, F60: what cannot be added has its code, and changes nothing. */
static void wrong_ranges_have_codes(void **unused)
{
    (void)unused;
    static _Alignas(64) char own[65536];
    size_t need = freehold_buddy_state_bytes(&buddy, 2 * MIB);
    assert_int_equal(add(2 * MIB, 2 * MIB), FREEHOLD_OK);
    static const struct {
        size_t from, bytes;
        freehold_error error;
    } cases[] = {{4 * MIB + 1, MIB, FREEHOLD_INVALID}, {4 * MIB, MIB + 1, FREEHOLD_INVALID},
        {4 * MIB + 2048, MIB, FREEHOLD_INVALID}, {4 * MIB, 0, FREEHOLD_INVALID},
        {4 * MIB, (size_t)0 - MIB, FREEHOLD_INVALID}, {4 * MIB, PAGE, FREEHOLD_TOO_SMALL},
        {2 * MIB, 2 * MIB, FREEHOLD_OVERLAP}, {MIB, 2 * MIB, FREEHOLD_OVERLAP},
        {MIB, MIB + PAGE, FREEHOLD_OVERLAP}, {3 * MIB, MIB, FREEHOLD_OVERLAP},
        {4 * MIB - PAGE, 2 * MIB, FREEHOLD_OVERLAP}, {MIB, 4 * MIB, FREEHOLD_OVERLAP},
        {2 * MIB, PAGE, FREEHOLD_OVERLAP} /* the state of the range */};
    freehold_buddy_usage before = freehold_buddy_get_usage(&buddy);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(add(cases[i].from, cases[i].bytes), cases[i].error);
        assert_int_equal(freehold_last_error(&buddy), cases[i].error);
    }
    char *at = memory + 6 * MIB;
    assert_int_equal(freehold_buddy_add(&buddy, NULL, 2 * MIB), FREEHOLD_INVALID);
    assert_int_equal(freehold_buddy_add_with(&buddy, at, 2 * MIB, own + 8, need), FREEHOLD_INVALID);
    assert_int_equal(
        freehold_buddy_add_with(&buddy, at, 2 * MIB, own, need - 1), FREEHOLD_TOO_SMALL);
    assert_int_equal(
        freehold_buddy_add_with(&buddy, at, 2 * MIB, at + MIB, need), FREEHOLD_OVERLAP);
    assert_int_equal(
        freehold_buddy_add_with(&buddy, at, 2 * MIB, memory + 3 * MIB, need), FREEHOLD_OVERLAP);
    freehold_buddy_usage after = freehold_buddy_get_usage(&buddy);
    assert_memory_equal(&before, &after, sizeof before);
    /* A range over the state of another one. */
    assert_int_equal(
        freehold_buddy_add_with(&buddy, at, 2 * MIB, memory + 8 * MIB, need), FREEHOLD_OK);
    assert_int_equal(add(8 * MIB, MIB), FREEHOLD_OVERLAP);
    assert_int_equal(add(8 * MIB + (need + PAGE) / PAGE * PAGE, MIB), FREEHOLD_OK);
}

/* A defect: up to 2 MiB of each range were lost. Here it is the state, and less than a page. */
static void no_page_is_lost(void **unused)
{
    (void)unused;
    size_t at = 0, managed = 0;
    for (size_t pages = 2; pages < 600; pages += 1 + pages / 7) {
        assert_int_equal(add(at, pages * PAGE), FREEHOLD_OK);
        at += (pages + 1) * PAGE;
        size_t most = freehold_buddy_get_usage(&buddy).managed_bytes - managed;
        assert_true(most + freehold_buddy_state_bytes(&buddy, most) + PAGE > pages * PAGE);
        managed += most;
    }
    size_t got = 0;
    while (freehold_alloc(&buddy, PAGE) != NULL)
        got += PAGE;
    assert_int_equal(got, managed);
    assert_int_equal(freehold_stats(&buddy).live_bytes, managed);
    assert_int_equal(free_bytes(), 0);
}

/* T12: in whichever order ranges come, they are asked from the highest down; blocks of one range do
 * not merge with those of its neighbour. */
static void ranges_come_in_any_order(void **unused)
{
    (void)unused;
    static const unsigned orders[][6] = {
        {0, 1, 2, 3, 4, 5}, {5, 4, 3, 2, 1, 0}, {3, 0, 5, 1, 4, 2}, {2, 5, 0, 4, 3, 1}};
    for (size_t o = 0; o < COUNT(orders); o++) {
        freehold_buddy_deinit(&buddy);
        freehold_buddy_init(&buddy, NULL);
        for (size_t i = 0; i < 6; i++)
            add_whole(orders[o][i] * MIB, MIB);
        freehold_buddy_range range;
        for (unsigned i = 0; i < 6; i++) {
            assert_true(freehold_buddy_get_range(&buddy, i, &range));
            assert_ptr_equal(range.start, memory + (5 - i) * MIB);
            assert_int_equal(range.bytes, MIB);
            assert_int_equal(range.free_bytes, MIB);
            assert_int_equal(range.physical, (uintptr_t)range.start);
        }
        assert_false(freehold_buddy_get_range(&buddy, 6, &range));
        assert_null(freehold_alloc(&buddy, MIB + 1));
        for (unsigned i = 0; i < 6; i++)
            assert_ptr_equal(freehold_alloc(&buddy, MIB), memory + (5 - i) * MIB);
        assert_null(freehold_check(&buddy));
    }
}

/* T8: its memory is the user's: what is free is neither read nor written, and nothing is unmapped.
 */
static void free_pages_are_not_touched(void **unused)
{
    (void)unused;
    assert_int_equal(mprotect(memory, MEMORY, PROT_NONE), 0);
    add_whole(0, MEMORY);
    void *block[200];
    for (size_t i = 0; i < 200; i++)
        assert_non_null(block[i] = freehold_alloc(&buddy, (i % 9 + 1) * PAGE));
    for (size_t i = 0; i < 200; i += 2)
        freehold_free(&buddy, block[i]);
    assert_null(freehold_check(&buddy));
    for (size_t i = 1; i < 200; i += 2)
        freehold_free(&buddy, block[i]);
    all_is_whole(MEMORY);
    freehold_buddy_deinit(&buddy);
    assert_int_equal(mprotect(memory, MEMORY, PROT_READ | PROT_WRITE), 0); /* it is there */
    freehold_buddy_init(&buddy, NULL);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

/* F60: a block has its exact pages, and the rest of the power of two is free for others. */
static void tails_go_back(void **unused)
{
    (void)unused;
    add_whole(0, MEMORY);
    for (size_t pages = 1; pages <= MEMORY / PAGE; pages += 1 + pages / 3) {
        char *block = freehold_alloc(&buddy, pages * PAGE - PAGE / 2);
        assert_int_equal(freehold_usable_size(&buddy, block), pages * PAGE);
        assert_int_equal(free_bytes(), MEMORY - pages * PAGE);
        if (pages < MEMORY / PAGE) { /* the page behind it is one */
            assert_ptr_equal(
                freehold_buddy_take_at(&buddy, block + pages * PAGE, PAGE), block + pages * PAGE);
            assert_int_equal(freehold_free(&buddy, block + pages * PAGE), PAGE);
        }
        assert_int_equal(freehold_free(&buddy, block), pages * PAGE);
        all_is_whole(MEMORY);
    }
}

static uint64_t random_state = 1;
static size_t below(size_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % limit;
}

/* F60: neighbours merge, in whichever order they are freed. */
static void everything_merges(void **unused)
{
    (void)unused;
    static char *block[MEMORY / PAGE];
    size_t count = MEMORY / PAGE;
    add_whole(0, MEMORY);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++)
            assert_non_null(block[i] = freehold_alloc(&buddy, PAGE));
        assert_null(freehold_alloc(&buddy, 1));
        for (size_t i = count; i-- > 0 && round > 0;) {
            size_t j = round == 1 ? i : below(i + 1);
            char *swap = block[i];
            block[i] = block[j];
            block[j] = swap;
        }
        for (size_t i = 0; i < count; i++)
            freehold_free(&buddy, block[i]);
        all_is_whole(MEMORY);
    }
}

/*
 * A defect: where memory did not begin at a multiple of it, blocks of 2 and 4 pages could not be had
 * aligned; and none is taken for alignment.
 */
static void alignment_costs_nothing(void **unused)
{
    (void)unused;
    for (size_t first = 0; first < 9; first++) {
        freehold_buddy_deinit(&buddy);
        freehold_buddy_init(&buddy, NULL);
        size_t bytes = 4 * MIB - first * PAGE;
        add_whole(first * PAGE, bytes);
        for (size_t pages = 1; pages <= 8; pages++)
            for (size_t align = PAGE; align <= MIB; align *= 2) {
                void *block = freehold_alloc_aligned(&buddy, pages * PAGE, align, 0);
                assert_non_null(block);
                assert_int_equal((uintptr_t)block % align, 0);
                assert_int_equal(free_bytes(), bytes - pages * PAGE);
                assert_int_equal(freehold_free_sized(&buddy, block, pages * PAGE), pages * PAGE);
            }
        /* As many as there are: 1, 2 and 3 MiB, and 0, which is in the range when all of it is. */
        for (size_t i = 0; i < (first == 0 ? 4 : 3); i++)
            assert_non_null(freehold_alloc_aligned(&buddy, PAGE, MIB, 0));
        assert_null(freehold_alloc_aligned(&buddy, PAGE, MIB, 0));
    }
}

/* Nothing behind a range is taken for a part of it, whatever there is behind its state. */
static void a_range_ends_anywhere(void **unused)
{
    (void)unused;
    for (size_t pages = 1; pages < 70; pages++) {
        static char *block[70];
        freehold_buddy_deinit(&buddy);
        freehold_buddy_init(&buddy, NULL);
        add_whole(pages % 5 * PAGE, pages * PAGE);
        for (size_t i = 0; i < pages; i++)
            assert_non_null(block[i] = freehold_alloc(&buddy, PAGE));
        for (size_t i = 0; i < pages; i++)
            freehold_free(&buddy, block[i]);
        assert_int_equal(free_bytes(), pages * PAGE);
        assert_null(freehold_check(&buddy));
    }
}

/* A short block that happens to be aligned is found when there is no longer one. */
static void a_short_block_may_be_aligned(void **unused)
{
    (void)unused;
    add_whole(0, MIB);
    assert_non_null(freehold_alloc(&buddy, MIB));
    assert_int_equal(freehold_buddy_split(&buddy, memory, PAGE), MIB / PAGE);
    for (size_t page = 0; page < MIB / PAGE; page += 2)
        freehold_free(&buddy, memory + page * PAGE);
    assert_ptr_equal(freehold_alloc_aligned(&buddy, PAGE, MIB, 0), memory);
    char *next = freehold_alloc_aligned(&buddy, PAGE, MIB / 2, 0);
    assert_ptr_equal(next, memory + MIB / 2);
    assert_null(freehold_alloc_aligned(&buddy, PAGE, MIB / 2, 0));
    assert_null(freehold_alloc(&buddy, 2 * PAGE));
}

static void blocks_are_resized_in_place(void **unused)
{
    (void)unused;
    add_whole(0, MEMORY);
    char *block = freehold_alloc(&buddy, 3 * PAGE);
    assert_true(freehold_resize(&buddy, block, 100 * PAGE));
    assert_int_equal(free_bytes(), MEMORY - 100 * PAGE);
    char *wall = freehold_buddy_take_at(&buddy, block + 120 * PAGE, PAGE);
    assert_true(freehold_resize(&buddy, block, 120 * PAGE));
    assert_false(freehold_resize(&buddy, block, 120 * PAGE + 1));
    assert_true(freehold_resize(&buddy, block, 1));
    assert_int_equal(freehold_usable_size(&buddy, block), PAGE);
    assert_int_equal(free_bytes(), MEMORY - 2 * PAGE);
    memset(block, 'x', PAGE);
    char *moved = freehold_realloc(&buddy, block, 200 * PAGE);
    assert_ptr_not_equal(moved, block);
    assert_true(moved[0] == 'x' && moved[PAGE - 1] == 'x');
    freehold_free(&buddy, moved);
    freehold_free(&buddy, wall);
    all_is_whole(MEMORY);
}

/* ---- limits ------------------------------------------------------------------------------------ */

#define GIB4 FREEHOLD_BUDDY_4_GIB

/* 4 MiB at 3 GiB; 4 MiB around 4 GiB; the rest at 8 GiB. */
static uint64_t physical(const void *address)
{
    uint64_t offset = (uint64_t)((const char *)address - memory);
    return offset < 4 * MIB   ? 3 * GIB4 / 4 + offset
           : offset < 8 * MIB ? GIB4 - 6 * MIB + offset
                              : 2 * GIB4 + offset;
}

static void begin_physical(void)
{
    freehold_buddy_deinit(&buddy);
    freehold_buddy_init(&buddy, &(freehold_buddy_options){.physical = physical});
    add_whole(0, 4 * MIB);
    add_whole(8 * MIB, 8 * MIB);
    add_whole(4 * MIB, 4 * MIB);
}

static char *take_below(size_t bytes, uint64_t limit)
{
    return freehold_buddy_take(&buddy, &(freehold_buddy_request){.bytes = bytes, .below = limit});
}

/* F61: no byte at the limit or above it; and high memory goes first to those who do not care. */
static void limits_are_kept(void **unused)
{
    (void)unused;
    begin_physical();
    freehold_buddy_range range;
    assert_true(freehold_buddy_get_range(&buddy, 0, &range));
    assert_true(range.physical > 2 * GIB4);
    for (size_t i = 0; i < 8; i++)
        assert_true((char *)freehold_alloc(&buddy, MIB) >= memory + 8 * MIB);
    size_t low = 0, high = 0;
    for (char *at; (at = take_below(3 * PAGE, GIB4)) != NULL; low++) {
        assert_true(physical(at) + 3 * PAGE <= GIB4);
        high += at >= memory + 4 * MIB;
    }
    assert_true(low >= 6 * MIB / PAGE / 4 && high >= 2 * MIB / PAGE / 4);
    assert_null(
        freehold_buddy_take(&buddy, &(freehold_buddy_request){.bytes = 1, .below = 3 * GIB4 / 4}));
    assert_non_null(freehold_alloc(&buddy, 2 * MIB)); /* what lies above 4 GiB is still there */
    assert_int_equal(freehold_last_error(&buddy), FREEHOLD_NO_MEMORY);
}

/* Blocks over the limit are passed over, not split by luck: the lower part of one that lies on both
 * sides is taken, and up to its last byte. */
static void a_limit_may_lie_in_a_block(void **unused)
{
    (void)unused;
    begin_physical();
    for (size_t pages = 1; pages <= 512; pages *= 2) {
        uint64_t limit = GIB4 - 2 * MIB + pages * PAGE; /* as many at the start of the middle one */
        char *at = take_below(pages * PAGE, limit);
        assert_ptr_equal(at, memory + 4 * MIB);
        freehold_free(&buddy, at);
        at = take_below(pages * PAGE, limit - 1);
        assert_true(at < memory + 4 * MIB);
        freehold_free(&buddy, at);
    }
}

/* Its limit holds for all of a block's life. */
static void what_has_a_limit_stays_below_it(void **unused)
{
    (void)unused;
    begin_physical();
    char *block = take_below(4 * PAGE, GIB4);
    assert_false(freehold_resize(&buddy, block, 5 * PAGE));
    assert_null(freehold_realloc(&buddy, block, 5 * PAGE));
    assert_int_equal(freehold_last_error(&buddy), FREEHOLD_UNSUPPORTED);
    assert_true(freehold_resize(&buddy, block, 2 * PAGE));
    assert_ptr_equal(freehold_realloc(&buddy, block, PAGE), block);
    freehold_free(&buddy, block);
}

/* A range must be one range physically. */
static uint64_t torn(const void *address)
{
    uint64_t offset = (uint64_t)((const char *)address - memory);
    return offset < MIB ? offset : offset + PAGE;
}

static void a_torn_range_is_refused(void **unused)
{
    (void)unused;
    freehold_buddy_deinit(&buddy);
    freehold_buddy_init(&buddy, &(freehold_buddy_options){.physical = torn});
    assert_int_equal(add(0, 2 * MIB), FREEHOLD_INVALID);
    assert_int_equal(add(0, MIB), FREEHOLD_OK);
    assert_int_equal(add(MIB, MIB), FREEHOLD_OK);
}

/* ---- addresses, batches, splits ---------------------------------------------------------------- */

/* F62: any pages that are free, also when they lie in several blocks; else nothing changes. */
static void pages_are_taken_by_address(void **unused)
{
    (void)unused;
    size_t pages = 64;
    add_whole(3 * PAGE, pages * PAGE);
    for (size_t first = 0; first < pages; first++)
        for (size_t count = 1; count <= pages - first; count += 1 + count / 4) {
            char *at = memory + (3 + first) * PAGE;
            assert_ptr_equal(freehold_buddy_take_at(&buddy, at, count * PAGE), at);
            assert_int_equal(free_bytes(), (pages - count) * PAGE);
            assert_null(freehold_buddy_take_at(&buddy, at, PAGE));
            assert_null(freehold_check(&buddy));
            assert_null(freehold_buddy_take_at(&buddy, at + (count - 1) * PAGE, 2 * PAGE));
            assert_int_equal(free_bytes(), (pages - count) * PAGE);
            freehold_free(&buddy, at);
        }
    freehold_reset_stats(&buddy);
    assert_null(freehold_buddy_take_at(&buddy, memory + 2 * PAGE, PAGE));
    assert_null(freehold_buddy_take_at(&buddy, memory + 66 * PAGE, 2 * PAGE));
    assert_null(freehold_buddy_take_at(&buddy, memory + 10 * PAGE, SIZE_MAX));
    assert_int_equal(freehold_last_error(&buddy), FREEHOLD_NO_MEMORY);
    assert_null(freehold_buddy_take_at(&buddy, memory + 10 * PAGE + 16, PAGE));
    assert_int_equal(freehold_last_error(&buddy), FREEHOLD_INVALID);
    assert_null(freehold_buddy_take_at(&buddy, memory + 10 * PAGE, 0));
    assert_int_equal(freehold_stats(&buddy).failures, 3); /* F11 */
    assert_null(freehold_buddy_take(&buddy, &(freehold_buddy_request){.bytes = SIZE_MAX}));
    assert_int_equal(freehold_stats(&buddy).failures, 4);
}

static void batches(void **unused)
{
    (void)unused;
    static void *block[MIB / PAGE + 1];
    add_whole(0, MIB);
    assert_int_equal(freehold_buddy_take_batch(&buddy, block, 100), 100);
    assert_int_equal(freehold_stats(&buddy).allocations, 100);
    assert_int_equal(freehold_buddy_take_batch(&buddy, block + 100, 200), MIB / PAGE - 100);
    assert_int_equal(freehold_buddy_take_batch(&buddy, block, 0), 0);
    assert_int_equal(free_bytes(), 0);
    block[256] = NULL; /* is no block */
    freehold_buddy_free_batch(&buddy, block, 257);
    assert_int_equal(freehold_stats(&buddy).frees, MIB / PAGE);
    all_is_whole(MIB);
}

static void blocks_are_split(void **unused)
{
    (void)unused;
    add_whole(0, MIB);
    char *block = freehold_alloc(&buddy, 11 * PAGE);
    assert_int_equal(freehold_buddy_split(&buddy, block, PAGE / 2), 0);
    assert_int_equal(freehold_buddy_split(&buddy, block, 0), 0);
    assert_int_equal(freehold_buddy_split(&buddy, block, 4 * PAGE), 3);
    assert_int_equal(freehold_usable_size(&buddy, block + 4 * PAGE), 4 * PAGE);
    assert_int_equal(freehold_usable_size(&buddy, block + 8 * PAGE), 3 * PAGE);
    assert_int_equal(freehold_buddy_split(&buddy, block + 8 * PAGE, SIZE_MAX - PAGE + 1), 1);
    assert_int_equal(freehold_stats(&buddy).allocations, 3);
    assert_int_equal(freehold_free(&buddy, block + 4 * PAGE), 4 * PAGE);
    assert_false(freehold_resize(&buddy, block, 9 * PAGE));
    assert_true(freehold_resize(&buddy, block, 8 * PAGE));
    freehold_free(&buddy, block);
    freehold_free(&buddy, block + 8 * PAGE);
    all_is_whole(MIB);
}

/* What heaps are given: zeroed, of a kind of its own, and given back in any parts. */
static void pages_for_heaps(void **unused)
{
    (void)unused;
    add_whole(0, MEMORY);
    memset(memory, 'x', MEMORY);
    char *mapped = freehold_buddy_map(&buddy, 10 * PAGE, 64 * PAGE);
    assert_int_equal((uintptr_t)mapped % (64 * PAGE), 0);
    for (size_t i = 0; i < 10 * PAGE; i++)
        assert_int_equal(mapped[i], 0);
    freehold_buddy_usage usage = freehold_buddy_get_usage(&buddy);
    assert_int_equal(usage.kind_bytes[FREEHOLD_BUDDY_MAPPED], 10 * PAGE);
    assert_int_equal(usage.kind_bytes[0], 0);
    freehold_buddy_unmap(&buddy, mapped + 3 * PAGE, 4 * PAGE);
    assert_int_equal(free_bytes(), MEMORY - 6 * PAGE);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_buddy_unmap(&buddy, mapped + 2 * PAGE, 2 * PAGE),
        "freehold_buddy_unmap(%p): double free: the page is free, in the free block %p of %zu "
        "bytes",
        (void *)(mapped + 3 * PAGE), (void *)(mapped + 2 * PAGE), 2 * PAGE);
    freehold_buddy_unmap(&buddy, mapped, 2 * PAGE);
    freehold_buddy_unmap(&buddy, mapped + 7 * PAGE, 3 * PAGE);
    all_is_whole(MEMORY);
    assert_null(freehold_buddy_map(&buddy, 0, PAGE));
    assert_null(freehold_buddy_map(&buddy, SIZE_MAX, PAGE)); /* T1 */
    assert_null(freehold_buddy_map(&buddy, PAGE, 0));
    assert_null(freehold_buddy_map(&buddy, PAGE, 3 * PAGE));
    assert_null(take_below(SIZE_MAX - 1, 0));
    assert_null(take_below(0, 0));
}

/* T1: what is given back ends where addresses end, or would go beyond. Nobody can touch this memory. */
static void memory_ends_with_a_range(void **unused)
{
    (void)unused;
    const size_t pages = 16;
    static _Alignas(16) char own[1024];
    char *start = (char *)(0 - (uintptr_t)pages * PAGE);
    assert_int_equal(
        freehold_buddy_add_with(&buddy, start, pages * PAGE, own, sizeof own), FREEHOLD_OK);
    freehold_buddy_request all = {.bytes = pages * PAGE, .kind = FREEHOLD_BUDDY_MAPPED};
    assert_ptr_equal(freehold_buddy_take(&buddy, &all), start);
    assert_true(freehold_resize(&buddy, start, 7 * PAGE));
    assert_true(freehold_resize(&buddy, start, pages * PAGE));
    assert_ptr_equal(freehold_base(&buddy, (char *)UINTPTR_MAX), start);
    assert_int_equal(freehold_buddy_split(&buddy, start, PAGE), pages);
    freehold_buddy_unmap(&buddy, start + 4 * PAGE, 12 * PAGE);
    assert_int_equal(free_bytes(), 12 * PAGE);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_buddy_unmap(&buddy, start + 2 * PAGE, SIZE_MAX),
        "freehold_buddy_unmap(%p): double free: the page is free, in the free block %p of %zu "
        "bytes",
        (void *)(start + 4 * PAGE), (void *)(start + 4 * PAGE), 4 * PAGE);
    assert_int_equal(free_bytes(), 14 * PAGE);
    freehold_buddy_unmap(&buddy, start, 2 * PAGE);
    assert_int_equal(free_bytes(), pages * PAGE);
    assert_ptr_equal(freehold_buddy_take_at(&buddy, start + 15 * PAGE, PAGE), start + 15 * PAGE);
    assert_null(freehold_buddy_take_at(&buddy, start + 14 * PAGE, 3 * PAGE));
    freehold_free(&buddy, start + 15 * PAGE);
}

static void usage_is_by_kind(void **unused)
{
    (void)unused;
    add_all();
    void *block[FREEHOLD_BUDDY_KINDS];
    for (unsigned kind = 0; kind < FREEHOLD_BUDDY_KINDS; kind++)
        block[kind] = freehold_buddy_take(
            &buddy, &(freehold_buddy_request){.bytes = (kind + 1) * PAGE, .kind = kind});
    assert_null(freehold_buddy_take(
        &buddy, &(freehold_buddy_request){.bytes = 1, .kind = FREEHOLD_BUDDY_KINDS}));
    assert_int_equal(freehold_last_error(&buddy), FREEHOLD_INVALID);
    assert_null(
        freehold_buddy_take(&buddy, &(freehold_buddy_request){.bytes = 1, .alignment = 3 * PAGE}));
    block[3] = freehold_realloc(&buddy, block[3], 50 * PAGE); /* a block keeps its kind */
    freehold_free(&buddy, block[5]);
    freehold_buddy_usage usage = freehold_buddy_get_usage(&buddy);
    size_t sum = usage.free_bytes + usage.cached_bytes;
    for (unsigned kind = 0; kind < FREEHOLD_BUDDY_KINDS; kind++) {
        size_t pages = kind == 5 ? 0 : kind == 3 ? 50 : kind + 1;
        assert_int_equal(usage.kind_bytes[kind], pages * PAGE);
        sum += usage.kind_bytes[kind];
    }
    assert_int_equal(sum, usage.managed_bytes);
    assert_int_equal(usage.managed_bytes + usage.state_bytes, MEMORY);
    assert_int_equal(usage.ranges, 1);
}

/* ---- caches ------------------------------------------------------------------------------------ */

static unsigned cpu_now, inside;

static unsigned enter(void)
{
    inside++;
    return cpu_now;
}

static void leave(unsigned cpu)
{
    inside -= cpu == cpu_now ? 1 : 1000;
}

static freehold_buddy_cache caches[2];

static void begin_cached(size_t bytes)
{
    static const freehold_cpus cpus = {2, enter, leave};
    memset(caches, 0, sizeof caches);
    cpu_now = inside = 0;
    freehold_buddy_deinit(&buddy);
    freehold_buddy_init(
        &buddy, &(freehold_buddy_options){.physical = physical, .cpus = &cpus, .caches = caches});
    add_whole(0, bytes);
}

/* F63, T13: pages come and go 32 at a time, and what is cached is not live. */
static void single_pages_are_cached(void **unused)
{
    (void)unused;
    static char *block[200];
    begin_cached(4 * MIB);
    for (size_t i = 0; i < 200; i++) {
        assert_non_null(block[i] = freehold_alloc(&buddy, PAGE));
        freehold_buddy_usage now = freehold_buddy_get_usage(&buddy);
        assert_int_equal(now.kind_bytes[0], (i + 1) * PAGE);
        assert_int_equal(now.cached_bytes, (31 - i % 32) * PAGE);
        assert_int_equal(now.free_bytes, 4 * MIB - (i / 32 + 1) * 32 * PAGE);
    }
    assert_ptr_equal(block[1], block[0] + PAGE); /* the lowest address first */
    cpu_now = 1;                                 /* freed on another CPU */
    size_t cached = freehold_buddy_get_usage(&buddy).cached_bytes, most = 0;
    for (size_t i = 0; i < 200; i++) {
        freehold_free(&buddy, block[i]);
        size_t now = freehold_buddy_get_usage(&buddy).cached_bytes - cached;
        most = now > most ? now : most;
    }
    assert_int_equal(most, 64 * PAGE);
    freehold_statistics stats = freehold_stats(&buddy);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.allocations, 200);
    assert_int_equal(stats.frees, 200);
    assert_int_equal(inside, 0);
    freehold_trim(&buddy);
    assert_int_equal(freehold_buddy_get_usage(&buddy).cached_bytes, 0);
    all_is_whole(4 * MIB);
}

/* All caches are drained before the answer is no: for a page, for many, for an address. */
/* T8: CPUs that cannot be entered have none, and nobody is called. */
static void without_hooks_there_are_no_caches(void **unused)
{
    (void)unused;
    static const freehold_cpus cpus[] = {{2, NULL, leave}, {2, enter, NULL}, {0, enter, leave}};
    for (size_t i = 0; i < COUNT(cpus); i++) {
        freehold_buddy_deinit(&buddy);
        freehold_buddy_init(&buddy, &(freehold_buddy_options){.cpus = &cpus[i], .caches = caches});
        add_whole(0, MIB);
        freehold_free(&buddy, freehold_alloc(&buddy, PAGE));
        assert_int_equal(freehold_buddy_get_usage(&buddy).cached_bytes, 0);
        all_is_whole(MIB);
    }
}

/* A number that no CPU has: in front of anything that is kept for a CPU. */
static void a_cpu_that_there_is_not_is_reported(void **unused)
{
    (void)unused;
    static const freehold_cpus cpus = {2, enter, leave};
    static freehold_cpu_lane lanes[2];
    static freehold_cpu_heap heap;
    begin_cached(MIB);
    void *page = freehold_alloc(&buddy, PAGE);
    freehold_cpu_heap_init(&heap, &cpus, lanes);
    void *block = freehold_alloc(&heap, 100);
    cpu_now = 2;
    const char *said = "corrupt: the number of a CPU is not less than how many there are";
    FATAL(FREEHOLD_CORRUPT, freehold_alloc(&buddy, PAGE), "%s", said);
    FATAL(FREEHOLD_CORRUPT, freehold_free(&buddy, page), "%s", said);
    FATAL(FREEHOLD_CORRUPT, freehold_alloc(&heap, 100), "%s", said);
    FATAL(FREEHOLD_CORRUPT, freehold_free(&heap, block), "%s", said);
    assert_int_equal(inside, 0); /* each was left */
    cpu_now = 1;
    freehold_free(&heap, block);
    freehold_free(&buddy, page);
    assert_null(freehold_check(&heap));
    freehold_cpu_heap_deinit(&heap);
    freehold_trim(&buddy);
    all_is_whole(MIB);
}

static void caches_are_drained_in_need(void **unused)
{
    (void)unused;
    static void *block[MIB / PAGE];
    begin_cached(MIB);
    for (int way = 0; way < 4; way++) {
        for (unsigned cpu = 0; cpu < 2; cpu++) { /* 31 pages in each cache */
            cpu_now = cpu;
            freehold_free(&buddy, freehold_alloc(&buddy, PAGE));
        }
        assert_int_equal(freehold_buddy_get_usage(&buddy).cached_bytes, 64 * PAGE);
        size_t got = 1;
        if (way == 0)
            assert_non_null(block[0] = freehold_alloc(&buddy, MIB));
        else if (way == 1)
            assert_non_null(block[0] = freehold_buddy_take_at(&buddy, memory, MIB));
        else if (way == 2)
            assert_int_equal(got = freehold_buddy_take_batch(&buddy, block, 256), 256);
        else
            for (got = 0; got < 256; got++)
                assert_non_null(block[got] = freehold_alloc(&buddy, PAGE));
        assert_null(freehold_alloc(&buddy, 1));
        freehold_buddy_free_batch(&buddy, block, got);
        all_is_whole(MIB);
    }
}

/* Pages below a limit never stay in a cache, where nobody who needs them would find them. */
static void low_pages_are_not_cached(void **unused)
{
    (void)unused;
    begin_cached(4 * MIB);
    char *low = take_below(PAGE, GIB4);
    freehold_free(&buddy, low);
    assert_int_equal(freehold_buddy_get_usage(&buddy).cached_bytes, 0);
    all_is_whole(4 * MIB);
}

#define ROUNDS 20000

static freehold_cpus thread_cpus;
static _Thread_local unsigned thread_cpu;
static unsigned enter_thread(void)
{
    return thread_cpu;
}
static void leave_thread(unsigned cpu)
{
    (void)cpu;
}

/* A page goes from one to the other by way of this. */
static _Atomic(char *) handed;

static void *work(void *argument)
{
    unsigned cpu = thread_cpu = (unsigned)(uintptr_t)argument;
    char *mine[64] = {NULL};
    uint64_t random = cpu + 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        unsigned slot = (unsigned)(random >> 40) % 64;
        if (mine[slot] != NULL) {
            if (*mine[slot] != (char)slot)
                return "a page changed under its owner";
            freehold_free(&buddy, mine[slot]);
            mine[slot] = NULL;
        } else if ((mine[slot] = freehold_alloc(&buddy, slot % 4 == 0 ? 3 * PAGE : PAGE)) != NULL) {
            *mine[slot] = (char)slot;
        }
        if (slot == 1) {
            char *page = atomic_exchange(&handed, freehold_alloc(&buddy, PAGE));
            freehold_free(&buddy, page);
        }
    }
    for (unsigned slot = 0; slot < 64; slot++)
        freehold_free(&buddy, mine[slot]);
    return NULL;
}

static void cpus_share_it(void **unused)
{
    (void)unused;
    thread_cpus = (freehold_cpus){2, enter_thread, leave_thread};
    memset(caches, 0, sizeof caches);
    freehold_buddy_deinit(&buddy);
    freehold_buddy_init(&buddy, &(freehold_buddy_options){.cpus = &thread_cpus, .caches = caches});
    add_whole(0, MIB / 2); /* so little that it is out at times */
    pthread_t thread[2];
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    for (int i = 0; i < 2; i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
    freehold_free(&buddy, atomic_exchange(&handed, NULL));
    assert_null(freehold_check(&buddy));
    freehold_statistics stats = freehold_stats(&buddy);
    assert_int_equal(stats.live_bytes, 0);
    assert_int_equal(stats.allocations, stats.frees);
    freehold_trim(&buddy);
    all_is_whole(MIB / 2);
}

/* What another CPU does with a page while this one frees it, behind its back. */
static struct late {
    char *page;
    bool splits;
    _Atomic bool calls;
} late;

static void *change_late(void *unused)
{
    thread_cpu = 1;
    strcpy(report_text, "nothing was reported");
    freehold_fatal_handler before = freehold_set_fatal_handler(catch_report);
    late.calls = true;
    if (setjmp(report_back) == 0) {
        if (late.splits)
            freehold_buddy_split(&buddy, late.page, PAGE);
        else
            freehold_resize(&buddy, late.page, 2 * PAGE);
    }
    freehold_set_fatal_handler(before);
    return unused;
}

/* A walk holds the lock that the other thread waits for, who has found the page live; a page goes into a cache
 * without that lock. */
static bool free_it_here(void *context, void *block, size_t bytes)
{
    (void)block;
    (void)bytes;
    assert_int_equal(pthread_create(context, NULL, change_late, NULL), 0);
    while (!late.calls)
        sched_yield();
    usleep(20000); /* if that is too short, the page is found free before the lock */
    freehold_free(&buddy, late.page);
    return false;
}

/* F63, F100: a page that another CPU frees at that moment is not resized, or cut, any more. */
static void a_page_that_goes_into_a_cache_stays_there(void **unused)
{
    (void)unused;
    thread_cpus = (freehold_cpus){2, enter_thread, leave_thread};
    memset(caches, 0, sizeof caches);
    freehold_buddy_deinit(&buddy);
    freehold_buddy_init(&buddy, &(freehold_buddy_options){.cpus = &thread_cpus, .caches = caches});
    add_whole(0, MIB);
    thread_cpu = 0;
    for (int splits = 0; splits < 2; splits++) {
        pthread_t thread;
        char *page = NULL;
        for (size_t i = 0; i < 32; i++) /* the last of a batch: what is behind it is free */
            page = freehold_alloc(&buddy, PAGE);
        late.page = page;
        late.splits = splits;
        late.calls = false;
        assert_false(freehold_walk(&buddy, free_it_here, &thread));
        pthread_join(thread, NULL);
        char wanted[100];
        snprintf(wanted, sizeof wanted,
            "freehold: freehold_%s(%p): double free: the page is free, in a cache",
            splits ? "buddy_split" : "resize", (void *)page);
        assert_string_equal(report_text, wanted);
        assert_int_equal(report_kind, FREEHOLD_DOUBLE_FREE);
        assert_null(freehold_check(&buddy));
    }
}

/* ---- misuse ------------------------------------------------------------------------------------ */

/* F100, T20: exact, and nothing changes. A defect: such checks were in the debug build alone. */
static void misuse_is_reported(void **unused)
{
    (void)unused;
    int local;
    add_all();
    char *block = freehold_alloc(&buddy, 3 * PAGE), *other = freehold_alloc(&buddy, PAGE);
    char *gone = freehold_alloc(&buddy, 4 * PAGE);
    freehold_free(&buddy, gone);
    char *wall = freehold_buddy_take_at(&buddy, gone + 4 * PAGE, PAGE);
    assert_non_null(wall);
    ASSERT_WRONG(&buddy, gone, FREEHOLD_DOUBLE_FREE,
        "double free: the page is free, in the free block %p of %zu bytes", (void *)gone, 4 * PAGE);
    ASSERT_WRONG(&buddy, gone + 2 * PAGE, FREEHOLD_DOUBLE_FREE,
        "double free: the page is free, in the free block %p of %zu bytes", (void *)gone, 4 * PAGE);
    ASSERT_WRONG(&buddy, gone + 100, FREEHOLD_INVALID_POINTER,
        "invalid pointer: its pages hold no allocation (freed before, or never allocated)");
    ASSERT_WRONG(&buddy, block + PAGE, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: %zu bytes into the block %p of %zu bytes", PAGE, (void *)block,
        3 * PAGE);
    ASSERT_WRONG(&buddy, block + 16, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 16 bytes into the block %p of %zu bytes", (void *)block, 3 * PAGE);
    ASSERT_WRONG(&buddy, block + PAGE + 1, FREEHOLD_MISALIGNED_POINTER,
        "misaligned pointer: %zu bytes into the block %p of %zu bytes", PAGE + 1, (void *)block,
        3 * PAGE);
    ASSERT_WRONG(&buddy, memory + 16, FREEHOLD_INVALID_POINTER,
        "invalid pointer: the state of a range is there");
    ASSERT_WRONG(&buddy, (void *)&local, FREEHOLD_FOREIGN_POINTER,
        "foreign pointer: not from this allocator");
    ASSERT_WRONG(&buddy, memory + MEMORY, FREEHOLD_FOREIGN_POINTER,
        "foreign pointer: not from this allocator");
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&buddy, block, 4 * PAGE),
        "freehold_free_sized(%p): size mismatch: given %zu, but this is the block %p of %zu bytes",
        (void *)block, 4 * PAGE, (void *)block, 3 * PAGE);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&buddy, block, 2 * PAGE),
        "freehold_free_sized(%p): size mismatch: given %zu, but this is the block %p of %zu bytes",
        (void *)block, 2 * PAGE, (void *)block, 3 * PAGE);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_buddy_split(&buddy, &local, PAGE),
        "freehold_buddy_split(%p): foreign pointer: not from this allocator", (void *)&local);
    void *batch[] = {other, wall, other};
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_buddy_free_batch(&buddy, batch, 3),
        "freehold_buddy_free_batch(%p): double free: the page is free, in the free block %p of "
        "%zu bytes",
        (void *)other, (void *)other, PAGE);
    assert_int_equal(freehold_free_sized(&buddy, block, 2 * PAGE + 1), 3 * PAGE);
    freehold_buddy none = {0};
    FATAL(FREEHOLD_WRONG_TYPE, freehold_buddy_add(&none, memory, MIB),
        "freehold_buddy_add(%p): wrong type: not an initialised buddy", (void *)&none);
}

static void misuse_of_cached_pages_is_reported(void **unused)
{
    (void)unused;
    begin_cached(MIB);
    char *page = freehold_alloc(&buddy, PAGE);
    freehold_free(&buddy, page);
    ASSERT_WRONG(&buddy, page, FREEHOLD_DOUBLE_FREE, "double free: the page is free, in a cache");
    cpu_now = 1;
    ASSERT_WRONG(&buddy, page + PAGE, FREEHOLD_DOUBLE_FREE,
        "double free: the page is free, in a cache"); /* never handed out */
    assert_int_equal(inside, 0);
}

/* ---- the model --------------------------------------------------------------------------------- */

#define MODEL_PAGES ((size_t)600)
#define MODEL_STEPS 30000

static unsigned owner[MODEL_PAGES]; /* of each page: its block, numbered from 1; 0: free */
static struct {
    char *at;
    size_t pages;
} live[MODEL_PAGES + 1];

static void model_set(unsigned block, char *at, size_t pages, unsigned before, unsigned after)
{
    size_t first = (size_t)(at - memory) / PAGE;
    for (size_t i = first; i < first + pages; i++) {
        assert_true(i < MODEL_PAGES && owner[i] == before);
        owner[i] = after;
    }
    live[block].at = at;
    live[block].pages = pages;
}

static bool model_free(char *at, size_t pages)
{
    size_t first = (size_t)(at - memory) / PAGE;
    for (size_t i = first; i < first + pages; i++)
        if (i >= 500 || owner[i] != 0) /* of the range that the address is in */
            return false;
    return true;
}

static void model_take(unsigned block)
{
    size_t pages = below(4) != 0 ? 1 + below(6) : 1 + below(60);
    size_t align = PAGE << (below(3) == 0 ? below(6) : 0);
    char *at;
    if (below(5) == 0) {
        at = memory + below(500) * PAGE;
        bool can = model_free(at, pages);
        char *got = freehold_buddy_take_at(&buddy, at, pages * PAGE);
        assert_ptr_equal(got, can ? at : NULL);
        at = got;
    } else if (below(6) == 0) {
        at = take_below(pages * PAGE, (uintptr_t)memory + 300 * PAGE);
        assert_true(at == NULL || at + pages * PAGE <= memory + 300 * PAGE);
    } else {
        at = freehold_alloc_aligned(&buddy, pages * PAGE, align, 0);
        assert_int_equal((uintptr_t)at % align, 0);
    }
    if (at != NULL)
        model_set(block, at, pages, 0, block);
}

static void model_change(unsigned block)
{
    char *at = live[block].at;
    size_t pages = live[block].pages, more = 1 + below(40);
    switch (below(3)) {
    case 0:
        assert_int_equal(freehold_free_sized(&buddy, at, pages * PAGE), pages * PAGE);
        model_set(block, at, pages, block, 0);
        live[block].at = NULL;
        break;
    case 1:
        if (freehold_resize(&buddy, at, more * PAGE)) {
            model_set(block, at, pages, block, 0);
            model_set(block, at, more, 0, block);
        }
        break;
    default:
        assert_ptr_equal(freehold_base(&buddy, at + below(pages * PAGE)), at);
        assert_int_equal(freehold_usable_size(&buddy, at), pages * PAGE);
    }
}

/* F60, F62: random calls agree with a map of all pages. */
static void random_calls_agree_with_a_map(void **unused)
{
    (void)unused;
    static const freehold_cpus cpus = {2, enter, leave};
    memset(caches, 0, sizeof caches);
    memset(owner, 0, sizeof owner);
    memset(live, 0, sizeof live);
    freehold_buddy_deinit(&buddy);
    freehold_buddy_init(&buddy, &(freehold_buddy_options){.cpus = &cpus, .caches = caches});
    add_whole(0, 500 * PAGE); /* neither has the length of a power of two */
    add_whole(500 * PAGE, 100 * PAGE);
    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        unsigned block = 1 + (unsigned)below(70);
        cpu_now = step / 64 % 2;
        if (live[block].at == NULL)
            model_take(block);
        else
            model_change(block);
        if (step % 128 == 0) {
            size_t used = 0;
            for (size_t i = 0; i < MODEL_PAGES; i++)
                used += owner[i] != 0;
            assert_int_equal(freehold_stats(&buddy).live_bytes, used * PAGE);
            assert_null(freehold_check(&buddy));
        }
    }
    for (unsigned block = 1; block <= 70; block++)
        freehold_free(&buddy, live[block].at);
    freehold_trim(&buddy);
    assert_int_equal(free_bytes(), 600 * PAGE);
    assert_ptr_equal(freehold_alloc(&buddy, 256 * PAGE), memory); /* merged as far as it goes */
    assert_ptr_equal(freehold_alloc(&buddy, 128 * PAGE), memory + 256 * PAGE);
}

/* ---- the validator ----------------------------------------------------------------------------- */

/* T14: each field of the state, changed alone, is found. */
static void the_validator_finds_each_field(void **unused)
{
    (void)unused;
    static _Alignas(64) char own[65536];
    add_whole(MIB, MIB);
    assert_int_equal(freehold_buddy_add_with(&buddy, memory, MIB, own, sizeof own), FREEHOLD_OK);
    freehold_free(&buddy, freehold_alloc(&buddy, PAGE));
    char *taken = freehold_buddy_take_at(&buddy, memory + 5 * PAGE, 3 * PAGE);
    assert_ptr_equal(taken, memory + 5 * PAGE);
    freehold__range *range = (freehold__range *)(void *)own;
    freehold__frame *free_one = &range->frame[4], *block = &range->frame[5];
    assert_null(freehold_check(&buddy));
#define BROKEN(field, value)                                                                       \
    do {                                                                                           \
        __typeof__(field) was_ = (field);                                                          \
        (field) = (value);                                                                         \
        const char *wrong_ = freehold_check(&buddy);                                               \
        assert_non_null(wrong_);                                                                   \
        assert_ptr_equal(freehold_first_corrupt().what, wrong_);                                   \
        (field) = was_;                                                                            \
        assert_null(freehold_check(&buddy));                                                       \
    } while (0)
    BROKEN(free_one->next, 200);
    BROKEN(free_one->next, 100000);
    BROKEN(free_one->prev, 1);
    BROKEN(free_one->pages, 2);
    BROKEN(free_one->pages, 3);
    BROKEN(free_one->pages, 0);
    BROKEN(free_one->state, FREEHOLD__FRAME_TAKEN);
    BROKEN(free_one->state, FREEHOLD__FRAME_INSIDE);
    BROKEN(free_one->state, 4);
    BROKEN(block->pages, 2);
    BROKEN(block->pages, 4);
    BROKEN(block->pages, 0);
    BROKEN(block->pages, 100000);
    BROKEN(block->kind, 1);
    BROKEN(block->kind, 8);
    BROKEN(block->state, FREEHOLD__FRAME_FREE);
    BROKEN(block->state, FREEHOLD__FRAME_CACHED);
    BROKEN(range->frame[6].state, FREEHOLD__FRAME_TAKEN);
    BROKEN(range->free, range->free - 1);
    BROKEN(range->nonempty, range->nonempty ^ 1);
    BROKEN(range->first[0], 0);
    BROKEN(range->first[3], 1);
    BROKEN(range->pages, 255);
    BROKEN(range->physical, range->physical + 4 * MIB);
    freehold_free(&buddy, taken);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wrong_ranges_have_codes),
        TEST(no_page_is_lost),
        TEST(ranges_come_in_any_order),
        TEST(free_pages_are_not_touched),
        TEST(tails_go_back),
        TEST(everything_merges),
        TEST(alignment_costs_nothing),
        TEST(a_range_ends_anywhere),
        TEST(a_short_block_may_be_aligned),
        TEST(blocks_are_resized_in_place),
        TEST(limits_are_kept),
        TEST(a_limit_may_lie_in_a_block),
        TEST(what_has_a_limit_stays_below_it),
        TEST(a_torn_range_is_refused),
        TEST(pages_are_taken_by_address),
        TEST(batches),
        TEST(blocks_are_split),
        TEST(pages_for_heaps),
        TEST(memory_ends_with_a_range),
        TEST(usage_is_by_kind),
        TEST(single_pages_are_cached),
        TEST(without_hooks_there_are_no_caches),
        TEST(a_cpu_that_there_is_not_is_reported),
        TEST(caches_are_drained_in_need),
        TEST(low_pages_are_not_cached),
        TEST(cpus_share_it),
        TEST(a_page_that_goes_into_a_cache_stays_there),
        TEST(misuse_is_reported),
        TEST(misuse_of_cached_pages_is_reported),
        TEST(random_calls_agree_with_a_map),
        TEST(the_validator_finds_each_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
