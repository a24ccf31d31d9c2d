/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: the hash against a shadow with many blocks, keeping, merging and cutting what is
 * freed, growth in place and by remap, alignment, sizes that cannot be (T1), what the report of a
 * misuse looks up.
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <sys/mman.h>

#include "pages/large.h"

static freehold__large large;

static int fresh(void **state)
{
    UNUSED_STATE(state);
    large = (freehold__large){.retain = FREEHOLD__RETAIN_DECAY};
    return 0;
}

static int release(void **state)
{
    UNUSED_STATE(state);
    freehold__large_release(&large);
    return 0;
}

static void sound(void)
{
    CHECK_SOUND(freehold__large_check(&large));
}

static char *take(size_t bytes, size_t align)
{
    bool zeroed = false;
    char *block = freehold__large_alloc(&large, bytes, align, &zeroed);
    CHECK(block != NULL && (uintptr_t)block % align == 0);
    CHECK(freehold__large_size(&large, block) >= bytes);
    if (zeroed)
        CHECK(block[0] == 0 && block[bytes - 1] == 0 && block[bytes / 2] == 0);
    sound();
    return block;
}

static size_t give(void *block)
{
    return freehold__large_free(&large, block, freehold__port_milliseconds());
}

static bool mapped(const void *at)
{
    unsigned char one;
    return mincore((void *)freehold__round_down((uintptr_t)at, freehold__port_page_size()), 1,
               &one) == 0;
}

static void blocks_are_found_and_nothing_else(void **state)
{
    UNUSED_STATE(state);
    char *a = take(1000000, 16), *b = take(3000000, 16);
    size_t page = freehold__port_page_size();
    assert_int_equal(freehold__large_size(&large, a), freehold__round_up(1000000, page));
    assert_int_equal(freehold__large_size(&large, NULL), 0);
    assert_int_equal(freehold__large_size(&large, a + 1), 0);
    assert_int_equal(freehold__large_size(&large, a + page), 0);
    assert_int_equal(give(a + page), 0);
    assert_int_equal(give(NULL), 0);
    assert_null(freehold__large_resize(&large, a + page, 100));
    assert_int_equal(freehold__large_around(&large, a + 999999).base, (uintptr_t)a);
    assert_int_equal(freehold__large_around(&large, b + 5).base, (uintptr_t)b);
    assert_int_equal(freehold__large_around(&large, &large).base, 0);
    assert_int_equal(freehold__large_kept_at(&large, a).base, 0);
    size_t bytes = freehold__large_size(&large, a);
    assert_int_equal(give(a), bytes);
    assert_int_equal(give(a), 0); /* twice is not */
    assert_true(freehold__large_kept_at(&large, a).base != 0);
    assert_int_equal(large.allocations, 2);
    assert_int_equal(large.frees, 1);
    assert_int_equal(large.live_bytes, freehold__large_size(&large, b));
    sound();
}

static void impossible_sizes_are_refused(void **state)
{
    UNUSED_STATE(state);
    bool zeroed;
    char *a = take(600000, 16);
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1,
        SIZE_MAX > UINT32_MAX ? (size_t)PTRDIFF_MAX : SIZE_MAX,
        SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_null(freehold__large_alloc(&large, sizes[i], 16, &zeroed));
        assert_null(freehold__large_resize(&large, a, sizes[i]));
        assert_null(freehold__large_alloc(&large, sizes[i], SIZE_MAX / 4 + 1, &zeroed));
        sound();
    }
    assert_null(freehold__large_resize(&large, a, 0));
    assert_null(freehold__large_alloc(&large, 600000, SIZE_MAX / 2 + 1, &zeroed));
    assert_int_equal(large.count, 1);
    assert_int_equal(large.allocations, 1);
}

/* T1: with 32 bits a size near the end of memory and the room for growth wrapped to less than what is kept behind
 * the block, which then seemed to be enough. */
static void no_block_grows_beyond_memory(void **state)
{
    UNUSED_STATE(state);
    size_t mib = (size_t)1 << 20;
    char *behind = take(120 * mib, 16), *live = take(160 * mib, 16); /* as Linux places them */
    give(behind);
    for (size_t less = 0; less < 5 * mib; less += 16 * 4096) {
        assert_false(freehold__large_resize_in_place(&large, live, SIZE_MAX - less));
        sound();
    }
}

static void what_was_freed_is_used_again(void **state)
{
    UNUSED_STATE(state);
    bool zeroed = true;
    char *a = take(1 << 20, 16);
    memset(a, 1, 1 << 20);
    give(a);
    assert_int_equal(large.kept_bytes, 1 << 20);
    char *b = freehold__large_alloc(&large, 1 << 20, 16, &zeroed);
    assert_ptr_equal(b, a);
    assert_false(zeroed); /* it is not zero, and does not say so */
    assert_int_equal(b[77], 1);
    assert_int_equal(large.kept_bytes, 0);
    give(b);
    assert_true(mapped(b));
    freehold__large_retain(&large, 0, 0, NULL);
    assert_false(mapped(b));
    assert_int_equal(large.kept_bytes, 0);
    assert_int_equal(large.purged_bytes, 1 << 20);
    char *c = freehold__large_alloc(&large, 1 << 20, 16, &zeroed);
    assert_true(zeroed);
    assert_true(reads_zero(c, 1 << 20));
}

/* Neighbours merge whichever is freed first, a request is cut from them, and growth takes back what
 * is behind. */
static void kept_blocks_merge_and_are_cut(void **state)
{
    UNUSED_STATE(state);
    static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}};
    size_t mib = (size_t)1 << 20;
    for (unsigned i = 0; i < 4; i++) {
        fresh(NULL);
        char *whole = take(3 * mib, 16), *part[3];
        give(whole);
        for (unsigned k = 0; k < 3; k++) {
            part[k] = take(mib, 16);
            assert_ptr_equal(part[k], whole + k * mib);
        }
        assert_int_equal(large.kept_count, 0);
        for (unsigned k = 0; k < 3; k++) {
            give(part[orders[i][k]]);
            sound();
        }
        assert_int_equal(large.kept_count, 1);
        assert_int_equal(large.kept_bytes, 3 * mib);
        char *front = take(mib, 16);
        assert_ptr_equal(front, whole);
        assert_int_equal(freehold__large_kept_at(&large, whole + mib + 5).bytes, 2 * mib);
        assert_ptr_equal(freehold__large_resize(&large, front, 2 * mib), whole);
        assert_int_equal(large.kept_bytes, mib - 2 * mib / 16); /* it gets some room */
        assert_ptr_equal(freehold__large_resize(&large, front, 3 * mib), whole);
        assert_int_equal(large.kept_bytes, 0); /* as much as there is */
        sound();
        freehold__large_release(&large);
    }
    fresh(NULL);
}

/* A memo tells what it was told, until any block ends or changes. */
static void what_changes_is_not_remembered(void **state)
{
    UNUSED_STATE(state);
    char *a = take(1 << 20, 16), *b = take(5 << 20, 16);
    for (unsigned change = 0; change < 4; change++) {
        freehold__large_memo memo = {b, freehold__large_size(&large, b), large.changes};
        assert_int_equal(freehold__large_remembered(&large, &memo, b), memo.bytes);
        assert_int_equal(freehold__large_remembered(&large, &memo, b + 4096), 0);
        give(take(1 << 20, 16) + (change == 1 ? 0 : 4096)); /* of which only that one is freed */
        assert_int_equal(
            freehold__large_remembered(&large, &memo, b), change == 1 ? 0 : memo.bytes);
        memo.changes = large.changes;
        if (change == 0)
            assert_true(freehold__large_resize_in_place(&large, b, 3 << 20));
        else if (change == 1)
            b = freehold__large_resize(&large, b, 30 << 20);
        else if (change == 2)
            b = stays(b, freehold__large_resize(&large, b, 2 << 20));
        else
            give(b);
        assert_int_equal(freehold__large_remembered(&large, &memo, memo.base), 0);
        sound();
    }
    give(a);
}

/* A request that no kept block holds has the largest one resized, if that is half of it or more;
 * but not where zeroes are asked for. */
static void kept_blocks_are_resized_for_more(void **state)
{
    UNUSED_STATE(state);
    bool zeroed;
    size_t mib = (size_t)1 << 20;
    char *small = take(mib, 16), *beside = take(mib, 16), *old = take(3 * mib, 16);
    fill(old, 3 * mib, 5);
    give(small);
    give(old);
    char *fresh = freehold__large_alloc(&large, 4 * mib, 16, &zeroed);
    assert_true(zeroed && reads_zero(fresh, 4 * mib));
    assert_int_equal(large.kept_bytes, 4 * mib);
    char *much = freehold__large_alloc(&large, 7 * mib, 16, NULL); /* 3 are less than half of it */
    assert_int_equal(large.kept_bytes, 4 * mib);
    char *more = freehold__large_alloc(&large, 5 * mib, 16, NULL);
    assert_int_equal(large.kept_bytes, mib);
    assert_int_equal(freehold__large_size(&large, more), 5 * mib);
    CHECK(filled_as(more, 3 * mib, 3 * mib, 5));
    more[5 * mib - 1] = 1;
    sound();
    char *aligned = freehold__large_alloc(&large, 3 * mib / 2, 2 * mib, NULL);
    assert_int_equal(large.kept_bytes, mib); /* what is resized may move to any page */
    assert_int_equal(large.count, 5);
    CHECK(much != NULL && aligned != NULL && beside != NULL);
    sound();
}

static void old_blocks_go_and_young_ones_stay(void **state)
{
    UNUSED_STATE(state);
    static char *block[20];
    for (unsigned i = 0; i < 20; i++)
        block[i] = take(1 << 20, 16);
    for (unsigned i = 0; i < 20; i++)
        give(block[i]);
    sound();
    uint32_t now = freehold__port_milliseconds();
    freehold__large_retain(&large, 0, now, &(size_t){SIZE_MAX});
    assert_int_equal(large.kept_bytes, 20 << 20);
    /* a thread that read the clock before the blocks were freed, and came late to the lock */
    freehold__large_retain(&large, 0, now - 50, &(size_t){SIZE_MAX});
    assert_int_equal(large.kept_bytes, 20 << 20);
    /* an eighth of 800 MiB may stay */
    freehold__large_retain(&large, (size_t)800 << 20, now + 5000, &(size_t){SIZE_MAX});
    assert_int_equal(large.kept_bytes, 20 << 20);
    large.retain = FREEHOLD__RETAIN_NEVER;
    freehold__large_retain(&large, 0, now + 5000, &(size_t){SIZE_MAX});
    assert_int_equal(large.kept_bytes, 20 << 20);
    large.retain = FREEHOLD__RETAIN_DECAY;
    freehold__large_retain(&large, 0, now + 5000, &(size_t){SIZE_MAX});
    assert_true(large.kept_bytes <= FREEHOLD__RETAIN_FLOOR);
    sound();
    large.retain = FREEHOLD__RETAIN_IMMEDIATE;
    char *now_gone = take(1 << 20, 16);
    size_t kept = large.kept_bytes;
    give(now_gone);
    assert_int_equal(large.kept_bytes, kept);
}

/* F101: who comes by waits for one slice also where a long block is old. */
static void a_long_block_goes_a_slice_at_a_time(void **state)
{
    UNUSED_STATE(state);
    const size_t mib = (size_t)1 << 20;
    uint32_t now = freehold__port_milliseconds();
    char *block = freehold__large_alloc(&large, 100 * mib, 16, NULL);
    CHECK(block != NULL);
    memset(block, 1, 100 * mib);
    assert_int_equal(freehold__large_free(&large, block, now), 100 * mib);
    for (size_t kept = 100; kept > 4;) {
        size_t slice = FREEHOLD__RETAIN_SLICE;
        kept -= 8;
        freehold__large_retain(&large, 0, now + 5000, &slice);
        assert_int_equal(slice, 0);
        assert_int_equal(large.kept_bytes, kept * mib);
        assert_int_equal(large.purged_bytes, (100 - kept) * mib);
        sound();
    }
    freehold__large_retain(&large, 0, now + 5000, &(size_t){FREEHOLD__RETAIN_SLICE});
    assert_int_equal(large.kept_bytes, 4 * mib); /* so much may stay */
    char *again = freehold__large_alloc(&large, 4 * mib, 16, NULL);
    assert_ptr_equal(again, block);
    memset(again, 1, 4 * mib);
    sound();
}

static void many_kept_blocks_are_bounded(void **state)
{
    UNUSED_STATE(state);
    static char *block[4 * FREEHOLD__LARGE_KEPT];
    for (unsigned i = 0; i < 4 * FREEHOLD__LARGE_KEPT; i++)
        block[i] = take(600000 + 4096 * i, 16);
    /* no two neighbours: nothing merges */
    for (unsigned i = 0; i < 4 * FREEHOLD__LARGE_KEPT; i += 2) {
        give(block[i]);
        sound();
        assert_true(large.kept_count <= FREEHOLD__LARGE_KEPT);
    }
    for (unsigned i = 1; i < 4 * FREEHOLD__LARGE_KEPT; i += 2) {
        assert_true(mapped(block[i])); /* a live one was not given back with its neighbour */
        give(block[i]);
        sound();
    }
    char *huge = take(FREEHOLD__LARGE_KEPT_MAX + 1, 16);
    give(huge);
    assert_false(mapped(huge)); /* too long to keep */
}

static void growth_keeps_contents(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 7;
    size_t bytes = 600000;
    char *block = take(bytes, 16);
    fill(block, bytes, 99);
    for (unsigned i = 0; i < 200; i++) {
        size_t next = 520000 + random_below(&random, 20000000), low = next < bytes ? next : bytes;
        char *moved = freehold__large_resize(&large, block, next);
        CHECK(moved != NULL && freehold__large_size(&large, moved) >= next);
        CHECK(filled_as(moved, low, bytes, 99));
        sound();
        if (moved != block)
            CHECK(freehold__large_size(&large, block) == 0);
        block = moved;
        bytes = next;
        fill(block, bytes, 99);
        if (i % 10 == 0) { /* something kept beside it, now and then */
            char *other = take(1000000, 16);
            memset(other, 7, 1000000);
            give(other);
        }
    }
    assert_int_equal(large.count, 1);
    assert_int_equal(large.live_bytes, freehold__large_size(&large, block));
}

static void alignment_is_kept_among_kept_blocks(void **state)
{
    UNUSED_STATE(state);
    uint64_t random = 8;
    char *live[40] = {NULL};
    for (unsigned op = 0; op < 1000; op++) {
        unsigned i = (unsigned)random_below(&random, 40);
        if (live[i] != NULL) {
            CHECK(give(live[i]) != 0);
            live[i] = NULL;
        } else {
            live[i] =
                take(1 + random_below(&random, 3000000), (size_t)1 << random_below(&random, 26));
        }
        sound();
    }
}

static void many_blocks_against_a_shadow(void **state)
{
    UNUSED_STATE(state);
    enum { MANY = 1500 };
    static struct {
        char *at;
        size_t bytes;
    } live[MANY];
    uint64_t random = 9;
    size_t total = 0, count = 0;
    unsigned resized = 0, refused = 0;
    memset(live, 0, sizeof live);
    for (unsigned op = 0; op < 12000; op++) {
        unsigned i = (unsigned)random_below(&random, MANY);
        if (live[i].at == NULL || random_below(&random, 4) == 0) {
            if (live[i].at != NULL) {
                CHECK(give(live[i].at) == live[i].bytes);
                total -= live[i].bytes;
                count--;
            }
            bool zeroed;
            live[i].at = freehold__large_alloc(
                &large, 4096 * (1 + random_below(&random, 64)), 4096, &zeroed);
            count++;
        } else {
            /* It may be refused: a block that was merged from two mappings cannot be remapped as
             * one. */
            char *moved =
                freehold__large_resize(&large, live[i].at, 4096 * (1 + random_below(&random, 64)));
            refused += moved == NULL;
            resized++;
            if (moved == NULL)
                continue;
            total -= live[i].bytes;
            live[i].at = moved;
        }
        CHECK(live[i].at != NULL);
        live[i].bytes = freehold__large_size(&large, live[i].at);
        total += live[i].bytes;
        memcpy(live[i].at, &i, sizeof i);
        CHECK(large.live_bytes == total && large.count == count);
        if (op % 200 == 0)
            sound();
    }
    for (unsigned i = 0; i < MANY; i++)
        if (live[i].at != NULL) {
            CHECK(memcmp(live[i].at, &i, sizeof i) == 0); /* no block was given twice */
            CHECK(give(live[i].at) == live[i].bytes);
        }
    sound();
    print_message("%u of %u resizes were refused\n", refused, resized);
    assert_true(refused < resized / 4);
    assert_int_equal(large.count, 0);
    assert_int_equal(large.live_bytes, 0);
}

static void add_up(void *context, void *base, size_t bytes)
{
    (void)base;
    *(size_t *)context += bytes;
}

static void walks_see_live_blocks_only(void **state)
{
    UNUSED_STATE(state);
    char *a = take(600000, 16), *b = take(700000, 16), *c = take(800000, 16);
    give(b);
    size_t seen = 0;
    freehold__large_walk(&large, add_up, &seen);
    /* T13 */
    assert_int_equal(seen, freehold__large_size(&large, a) + freehold__large_size(&large, c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_are_found_and_nothing_else, fresh, release),
        cmocka_unit_test_setup_teardown(impossible_sizes_are_refused, fresh, release),
        cmocka_unit_test_setup_teardown(no_block_grows_beyond_memory, fresh, release),
        cmocka_unit_test_setup_teardown(what_was_freed_is_used_again, fresh, release),
        cmocka_unit_test_setup_teardown(kept_blocks_merge_and_are_cut, fresh, release),
        cmocka_unit_test_setup_teardown(what_changes_is_not_remembered, fresh, release),
        cmocka_unit_test_setup_teardown(kept_blocks_are_resized_for_more, fresh, release),
        cmocka_unit_test_setup_teardown(old_blocks_go_and_young_ones_stay, fresh, release),
        cmocka_unit_test_setup_teardown(a_long_block_goes_a_slice_at_a_time, fresh, release),
        cmocka_unit_test_setup_teardown(many_kept_blocks_are_bounded, fresh, release),
        cmocka_unit_test_setup_teardown(growth_keeps_contents, fresh, release),
        cmocka_unit_test_setup_teardown(alignment_is_kept_among_kept_blocks, fresh, release),
        cmocka_unit_test_setup_teardown(many_blocks_against_a_shadow, fresh, release),
        cmocka_unit_test_setup_teardown(walks_see_live_blocks_only, fresh, release),
    };
    return cmocka_run_group_tests_name("large", tests, NULL, NULL);
}
