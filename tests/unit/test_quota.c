/* SPDX-License-Identifier: MIT */
/*
 * F89: the quota of a page instance. Spans and large blocks are charged to one sum, exactly and
 * before they are taken; what is kept stays charged until it has gone back; what fails is not
 * charged; nothing is ever above it, with threads; the soft limit is noted once for each step over
 * it. (The validator compares the charge with what is held.)
 */
#define _GNU_SOURCE 1
#include "unit.h"

#include <pthread.h>
#include <string.h>

#include "base/corrupt.h"
#include "pages/pages.h"

#define MIB  ((size_t)1 << 20)
#define HARD (16 * MIB)

static freehold__pages pages;
static freehold__quota quota;

static int fresh(void **state)
{
    UNUSED_STATE(state);
    pages = (freehold__pages){.retain = FREEHOLD__RETAIN_DECAY};
    quota = (freehold__quota){.hard = HARD, .soft = HARD / 2};
    return 0;
}

static int release(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_release(&pages);
    return 0;
}

static void *large(size_t bytes)
{
    void *block = freehold__large_alloc(&pages.large, bytes, 16, NULL);
    CHECK_SOUND(freehold__pages_check(&pages));
    return block;
}

static void *resized(void *block, size_t bytes)
{
    void *moved = freehold__large_resize(&pages.large, block, bytes);
    CHECK_SOUND(freehold__pages_check(&pages));
    return moved;
}

static void drop(void *block)
{
    CHECK(freehold__large_free(&pages.large, block, 0) != 0);
    CHECK_SOUND(freehold__pages_check(&pages));
}

static uintptr_t span(unsigned granules)
{
    uintptr_t base = freehold__pages_take(&pages, granules).base;
    CHECK_SOUND(freehold__pages_check(&pages));
    return base;
}

static void give(uintptr_t base, bool dirty)
{
    freehold__pages_give(&pages, base, dirty);
    CHECK_SOUND(freehold__pages_check(&pages));
}

static void trim(void)
{
    freehold__pages_retain(&pages, 0, NULL);
    CHECK_SOUND(freehold__pages_check(&pages));
}

static void spans_and_blocks_are_one_sum(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    /* 4 MiB, or the longest that there is (with 32-bit addresses) */
    unsigned granules = FREEHOLD__BLOCK_MAX < 512 ? FREEHOLD__BLOCK_MAX : 512;
    uintptr_t first = span(granules);
    size_t spans = granules * FREEHOLD__GRANULE;
    void *block = large(HARD - spans);
    assert_true(first != 0 && block != NULL);
    assert_int_equal(quota.charged, HARD);
    assert_true(span(1) == 0 && large(1) == NULL);
    assert_int_equal(quota.misses, 2);
    give(first, true);
    trim();
    assert_int_equal(quota.charged, HARD - spans);
    assert_true(large(spans + 1) == NULL);
    assert_true(span(granules) != 0);
    drop(block);
    assert_true(span(1) == 0);
    trim();
    assert_int_equal(quota.charged, spans);
    assert_true(large(HARD - spans) != NULL && span(1) == 0);
}

/* What may be resident is charged, in use or not; what was never touched is not. */
static void free_spans_are_charged_while_dirty(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    uintptr_t clean = span(256), dirty = span(256);
    assert_int_equal(quota.charged, 4 * MIB);
    give(clean, false);
    assert_int_equal(quota.charged, 2 * MIB);
    give(dirty, true);
    assert_int_equal(quota.charged, 2 * MIB);
    void *block = large(HARD - 2 * MIB);
    assert_non_null(block);
    uintptr_t half = span(128); /* of the dirty ones: there is no room for others */
    assert_true(half != 0);
    assert_int_equal(quota.charged, HARD);
    assert_true(span(512) == 0); /* of which a half would be new */
    assert_true(span(128) != 0 && span(1) == 0);
}

/* No address space is taken for what there is no room for. */
static void refused_spans_map_nothing(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    assert_non_null(large(HARD));
    assert_true(span(1) == 0);
    assert_int_equal(pages.mapped, 0);
}

static void kept_blocks_are_charged(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    void *block = large(HARD);
    assert_non_null(block);
    drop(block);
    assert_int_equal(quota.charged, HARD);
    assert_true(span(1) == 0);
    block = large(HARD - MIB); /* and the rest goes along: nothing is charged for either */
    assert_non_null(block);
    assert_int_equal(quota.charged, HARD);
    drop(block);
    block = large(4 * MIB);
    assert_non_null(block);
    assert_int_equal(pages.large.kept_bytes, HARD - 4 * MIB);
    assert_null(large(HARD - 4 * MIB + 4096));
    trim();
    assert_int_equal(quota.charged, 4 * MIB);
}

/* A kept block that is too small is resized for a request: only what it lacks is charged. */
static void kept_blocks_come_along(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    drop(large(10 * MIB));
    assert_null(large(HARD + 4096));
    assert_int_equal(pages.large.kept_bytes, 10 * MIB); /* and stays when that cannot be */
    void *block = large(HARD);
    assert_non_null(block);
    assert_int_equal(pages.large.kept_bytes, 0);
    assert_int_equal(quota.charged, HARD);
    drop(block);
    pages.large.retain = FREEHOLD__RETAIN_IMMEDIATE;
    trim();
    drop(large(HARD));
    assert_int_equal(quota.charged, 0);
}

static void growth_is_charged_before(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    void *block = large(8 * MIB);
    block = resized(block, 15 * MIB); /* the eighth more that it would like does not fit */
    assert_non_null(block);
    assert_int_equal(quota.charged, 15 * MIB);
    assert_null(resized(block, HARD + 1));
    assert_int_equal(freehold__large_size(&pages.large, block), 15 * MIB);
    block = resized(block, HARD);
    assert_non_null(block);
    block = resized(block, 2 * MIB);
    assert_non_null(block);
    assert_int_equal(quota.charged, 2 * MIB);
    block = resized(block, 4 * MIB); /* with the eighth */
    assert_int_equal(quota.charged, 4 * MIB + MIB / 2);
    assert_int_equal(freehold__large_resize_in_place(&pages.large, block, MIB), true);
    assert_int_equal(quota.charged, MIB);
    drop(block);
}

/* A block that grows into kept memory behind it grows into what is charged. */
static void growth_into_kept_memory(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    void *whole = large(HARD);
    drop(whole);
    char *front = large(4 * MIB);
    assert_ptr_equal(front, whole); /* the kept rest is behind it */
    assert_int_equal(freehold__large_resize_in_place(&pages.large, front, HARD + 4096), false);
    assert_int_equal(freehold__large_resize_in_place(&pages.large, front, HARD), true);
    assert_int_equal(quota.charged, HARD);
    assert_sound(freehold__pages_check(&pages));
}

/* Where the system refuses, nothing stays charged. */
static void refusals_of_the_system(void **state)
{
    UNUSED_STATE(state);
    size_t never = SIZE_MAX > UINT32_MAX ? SIZE_MAX / 16 + 1 : SIZE_MAX / 2 + 1;
    quota.hard = SIZE_MAX;
    freehold__pages_limit(&pages, &quota);
    assert_null(large(never));
    assert_int_equal(quota.charged, 0);
    void *block = large(MIB);
    assert_null(resized(block, never));
    assert_int_equal(quota.charged, MIB);
    assert_true(span(FREEHOLD__BLOCK_MAX + 1) == 0);
    assert_int_equal(quota.charged, MIB);
    assert_int_equal(quota.misses, 0);
}

static void more_held_than_the_quota_says(void **state)
{
    UNUSED_STATE(state);
    void *block = large(HARD + 4096);
    quota.charged = 99;
    freehold__pages_limit(&pages, &quota);
    assert_int_equal(quota.charged, HARD + 4096);
    assert_int_equal(quota.passed, HARD + 4096);
    assert_true(span(1) == 0 && large(1) == NULL);
    assert_null(resized(block, HARD + 8192));
    block = stays(block, resized(block, HARD));
    assert_true(span(1) == 0);
    assert_non_null(resized(block, HARD - FREEHOLD__GRANULE));
    assert_true(span(1) != 0);
}

static void soft_steps(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    void *half = large(HARD / 2);
    assert_int_equal(quota.passed, 0); /* at it is not above it */
    uintptr_t one = span(1), two = span(1);
    assert_int_equal(quota.passed, HARD / 2 + FREEHOLD__GRANULE); /* once, at the step */
    quota.passed = 0;
    give(two, true);
    trim();
    assert_true(span(1) != 0);
    assert_int_equal(quota.passed, 0); /* never below it since */
    give(one, true);
    drop(half);
    trim();
    half = large(HARD / 2);
    assert_int_equal(quota.passed, HARD / 2 + FREEHOLD__GRANULE);
}

/* What a thread had charged, that a fork has left behind, is not the child's. */
static void charged_by_nobody(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_recharge(&pages); /* there is none yet */
    freehold__pages_limit(&pages, &quota);
    assert_non_null(large(MIB));
    give(span(1), true);
    assert_true(freehold__quota_charge(&quota, 14 * MIB));
    freehold__pages_recharge(&pages);
    assert_int_equal(quota.charged, MIB + FREEHOLD__GRANULE);
    trim();
    assert_non_null(large(15 * MIB));
}

/* T14: what is wrong with the charge, and by how much. */
static void the_validator_compares(void **state)
{
    UNUSED_STATE(state);
    freehold__pages_limit(&pages, &quota);
    assert_non_null(large(MIB));
    quota.charged += 4096;
    const char *wrong = freehold__pages_check(&pages);
    assert_non_null(wrong);
    assert_string_equal(wrong, "pages: what is charged to the quota is not what is held");
    const freehold_corruption *note = freehold__thread_corruption();
    assert_ptr_equal(note->where, &pages);
    assert_int_equal(note->expected, MIB);
    assert_int_equal(note->found, MIB + 4096);
    quota.charged -= 4096;
    assert_sound(freehold__pages_check(&pages));
}

/* ---- threads --------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  20000

static _Atomic size_t in_use; /* by the threads' own count */

static void count_in(size_t bytes)
{
    CHECK(atomic_fetch_add(&in_use, bytes) + bytes <= HARD);
}

static void count_out(size_t bytes)
{
    atomic_fetch_sub(&in_use, bytes);
}

static void spans_at_work(uintptr_t *base, unsigned granules)
{
    if (*base != 0) {
        count_out((size_t)granules * FREEHOLD__GRANULE);
        freehold__pages_give(&pages, *base, true);
        *base = 0;
        return;
    }
    *base = freehold__pages_take(&pages, granules).base;
    if (*base == 0)
        freehold__pages_retain(&pages, 0, NULL);
    if (*base != 0)
        count_in((size_t)granules * FREEHOLD__GRANULE);
}

static void blocks_at_work(void **block, size_t bytes, int resize)
{
    freehold__large *of = &pages.large;
    size_t old = *block != NULL ? freehold__large_size(of, *block) : 0;
    count_out(old);
    if (*block == NULL) {
        *block = freehold__large_alloc(of, bytes, 16, NULL);
        CHECK(quota.charged <= HARD);
    } else if (resize) {
        void *moved = freehold__large_resize(of, *block, bytes);
        *block = moved != NULL ? moved : *block;
    } else {
        CHECK(freehold__large_free(of, *block, 0) == old);
        *block = NULL;
    }
    if (*block != NULL)
        count_in(freehold__large_size(of, *block));
}

static void *hammer(void *number)
{
    uint64_t random = (uintptr_t)number * 7919 + 1;
    uintptr_t base[8] = {0};
    void *block[4] = {NULL};
    for (int i = 0; i < ROUNDS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        unsigned r = (unsigned)(random >> 33);
        if (r % 4 == 0)
            blocks_at_work(&block[r / 4 % 4], MIB / 4 + r % (4 * MIB), r / 16 % 2);
        else
            spans_at_work(&base[r / 4 % 8], 16u << (r / 4 % 8 / 2));
    }
    for (unsigned i = 0; i < 8; i++)
        if (base[i] != 0)
            spans_at_work(&base[i], 16u << (i / 2));
    for (unsigned i = 0; i < 4; i++)
        if (block[i] != NULL)
            blocks_at_work(&block[i], 0, 0);
    return NULL;
}

static void threads_never_exceed_it(void **state)
{
    UNUSED_STATE(state);
    pthread_t thread[THREADS];
    freehold__pages_limit(&pages, &quota);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, hammer, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(in_use, 0);
    assert_true(quota.misses > 100);
    assert_sound(freehold__pages_check(&pages));
    trim();
    assert_int_equal(quota.charged, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spans_and_blocks_are_one_sum, fresh, release),
        cmocka_unit_test_setup_teardown(free_spans_are_charged_while_dirty, fresh, release),
        cmocka_unit_test_setup_teardown(refused_spans_map_nothing, fresh, release),
        cmocka_unit_test_setup_teardown(kept_blocks_are_charged, fresh, release),
        cmocka_unit_test_setup_teardown(kept_blocks_come_along, fresh, release),
        cmocka_unit_test_setup_teardown(growth_is_charged_before, fresh, release),
        cmocka_unit_test_setup_teardown(growth_into_kept_memory, fresh, release),
        cmocka_unit_test_setup_teardown(refusals_of_the_system, fresh, release),
        cmocka_unit_test_setup_teardown(more_held_than_the_quota_says, fresh, release),
        cmocka_unit_test_setup_teardown(soft_steps, fresh, release),
        cmocka_unit_test_setup_teardown(charged_by_nobody, fresh, release),
        cmocka_unit_test_setup_teardown(the_validator_compares, fresh, release),
        cmocka_unit_test_setup_teardown(threads_never_exceed_it, fresh, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
