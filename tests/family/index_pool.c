/* SPDX-License-Identifier: MIT */
/* The index pool, and the tree of bitmaps below it and the budget (F30, T14, T16, T20). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backing.h"
#include "freehold/freehold.h"
#include "objects/bitmap.h"
#include "reports.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Around every border between levels. */
static const size_t counts[] = {
    1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 8192, 262143, 262144, 262145};

static uint64_t words[FREEHOLD_BITMAP_WORDS(262145)];

/* The macro counts as one who adds the levels up. */
static void words_for_every_level(void **unused)
{
    (void)unused;
    assert_int_equal(FREEHOLD_BITMAP_WORDS(0), 0);
    for (size_t i = 0; i < COUNT(counts); i++)
        for (size_t shift = 0; shift <= 24; shift += 6) {
            size_t count = counts[i] << shift, level = count, sum = 0;
            if (count >> shift != counts[i])
                continue;
            do
                sum += level = (level + 63) / 64;
            while (level > 1);
            assert_int_equal(FREEHOLD_BITMAP_WORDS(count), sum);
            assert_int_equal(freehold__bitmap_words(count), sum);
        }
    assert_int_equal(freehold__bitmap_words(FREEHOLD__BITMAP_MAX),
        SIZE_MAX > UINT32_MAX ? UINT64_C(0x41041041041) : UINT64_C(0x2082083));
    assert_int_equal(freehold__bitmap_words(FREEHOLD__BITMAP_MAX + 1), 0);
    assert_int_equal(freehold__bitmap_words(SIZE_MAX), 0);
}

/* F30: the lowest free one, always, of all of them and no more. */
static void hands_out_the_lowest(void **unused)
{
    (void)unused;
    for (size_t c = 0; c < COUNT(counts); c++) {
        size_t count = counts[c], index = 0;
        freehold_index_pool pool;
        memset(words, 0xA5, sizeof words);
        freehold_index_pool_init(&pool, count, words, FREEHOLD_BITMAP_WORDS(count));
        for (size_t i = 0; i < count; i++) {
            assert_true(freehold_index_pool_take(&pool, &index));
            assert_int_equal(index, i);
        }
        assert_false(freehold_index_pool_take(&pool, &index));
        assert_int_equal(freehold_index_pool_taken(&pool), count);
        freehold_index_pool_put(&pool, count - 1);
        if (count > 1)
            freehold_index_pool_put(&pool, count / 3);
        assert_null(freehold_index_pool_check(&pool));
        if (count > 1)
            assert_true(freehold_index_pool_take(&pool, &index) && index == count / 3);
        assert_true(freehold_index_pool_take(&pool, &index) && index == count - 1);
        assert_false(freehold_index_pool_take(&pool, &index));
        freehold_index_pool_deinit(&pool);
    }
}

/* Against a table, at random: taking, taking a chosen one, giving back. */
static void agrees_with_a_table(void **unused)
{
    (void)unused;
    enum { N = 5000 };
    static bool taken[N];
    size_t lowest = 0, live = 0, index;
    uint64_t seed = 12345;
    freehold_index_pool pool;
    freehold_index_pool_init(&pool, N, words, COUNT(words));
    for (size_t round = 0; round < 200000; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t i = (size_t)(seed >> 33) % N, choice = (size_t)(seed >> 20) % 8;
        /* It fills up for a while, and then empties. */
        if (choice < (round / 20000 % 2 ? 2 : 5)) {
            for (lowest = 0; lowest < N && taken[lowest];)
                lowest++;
            assert_int_equal(freehold_index_pool_take(&pool, &index), lowest < N);
            if (lowest < N) {
                assert_int_equal(index, lowest);
                taken[lowest] = true;
                live++;
            }
        } else if (choice == 5) {
            assert_int_equal(freehold_index_pool_take_at(&pool, i), !taken[i]);
            live += !taken[i];
            taken[i] = true;
        } else if (taken[i]) {
            freehold_index_pool_put(&pool, i);
            taken[i] = false;
            live--;
        }
        assert_int_equal(freehold_index_pool_is_taken(&pool, i), taken[i]);
        assert_int_equal(freehold_index_pool_taken(&pool), live);
        if (round % 1000 == 0)
            assert_null(freehold_index_pool_check(&pool));
    }
}

/* F30, T20 */
static void misuse_is_exact(void **unused)
{
    (void)unused;
    size_t index;
    freehold_index_pool pool;
    freehold_index_pool_init(&pool, 100, words, COUNT(words));
    void *p = &pool;
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_index_pool_put(&pool, 0),
        "freehold_index_pool_put(%p): double free: index 0 of 100 is already free", p);
    assert_true(freehold_index_pool_take(&pool, &index));
    freehold_index_pool_put(&pool, 0);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_index_pool_put(&pool, 0),
        "freehold_index_pool_put(%p): double free: index 0 of 100 is already free", p);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_index_pool_put(&pool, 99),
        "freehold_index_pool_put(%p): double free: index 99 of 100 is already free", p);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_index_pool_put(&pool, 100),
        "freehold_index_pool_put(%p): foreign index: 100 is not below 100", p);
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_index_pool_put(&pool, SIZE_MAX),
        "freehold_index_pool_put(%p): foreign index: %zu is not below 100", p, SIZE_MAX);
    assert_false(freehold_index_pool_is_taken(&pool, 100));
    assert_false(freehold_index_pool_is_taken(&pool, SIZE_MAX));
    assert_false(freehold_index_pool_take_at(&pool, 100));
    assert_int_equal(freehold_index_pool_taken(&pool), 0);
    assert_null(freehold_index_pool_check(&pool));
}

#define REFUSED(pool, why, name, call)                                                             \
    FATAL(FREEHOLD_WRONG_TYPE, call, name "(0x%llx): wrong type: %s",                              \
        (unsigned long long)(uintptr_t)(pool), why)

static void refuses_every_call(freehold_index_pool *pool, const char *why)
{
    size_t index;
    REFUSED(pool, why, "freehold_index_pool_take", freehold_index_pool_take(pool, &index));
    REFUSED(pool, why, "freehold_index_pool_take_at", freehold_index_pool_take_at(pool, 0));
    REFUSED(pool, why, "freehold_index_pool_put", freehold_index_pool_put(pool, 0));
    REFUSED(pool, why, "freehold_index_pool_is_taken", freehold_index_pool_is_taken(pool, 0));
    REFUSED(pool, why, "freehold_index_pool_taken", freehold_index_pool_taken(pool));
    REFUSED(pool, why, "freehold_index_pool_check", freehold_index_pool_check(pool));
}

static void what_is_no_pool_is_refused(void **unused)
{
    (void)unused;
    freehold_index_pool pool;
    memset(&pool, 0, sizeof pool);
    refuses_every_call(&pool, "not an initialised index pool");
    refuses_every_call(NULL, "not an initialised index pool");
    REFUSED(&pool, "not an initialised index pool", "freehold_index_pool_deinit",
        freehold_index_pool_deinit(&pool));
    freehold_index_pool_init(&pool, 100, words, COUNT(words));
    freehold_index_pool copy = pool;
    refuses_every_call(&copy, "not an initialised index pool");
    freehold_index_pool_deinit(&pool);
    refuses_every_call(&pool, "the index pool was deinitialised");
    freehold_index_pool_deinit(NULL);
}

static void unusable(freehold_index_pool *pool, const char *why)
{
    size_t index;
    assert_string_equal(freehold_index_pool_check(pool), why);
    assert_false(freehold_index_pool_take(pool, &index));
    assert_false(freehold_index_pool_take_at(pool, 0));
    assert_int_equal(freehold_index_pool_taken(pool), 0);
    freehold_index_pool_deinit(pool);
}

static void what_cannot_be_used_is_refused(void **unused)
{
    (void)unused;
    const char *none = "the index pool has no indices, or more than there can be";
    freehold_index_pool pool;
    backing memory;
    backing_init(&memory);
    freehold_index_pool_init(&pool, 0, words, COUNT(words));
    unusable(&pool, none);
    freehold_index_pool_init_from(&pool, SIZE_MAX, &memory.base);
    unusable(&pool, none);
    freehold_index_pool_init(&pool, 65, words, 2);
    unusable(&pool, "the index pool has too few words for its indices");
    freehold_index_pool_init(&pool, 65, NULL, 3);
    unusable(&pool, "the index pool has no words, or they are not aligned");
    freehold_index_pool_init(
        &pool, 65, (uint64_t *)(void *)((char *)words + _Alignof(uint64_t) / 2), 3);
    unusable(&pool, "the index pool has no words, or they are not aligned");
    freehold_index_pool_init_from(&pool, 65, NULL);
    unusable(&pool, "the index pool has no allocator for its words");
    assert_int_equal(memory.calls, 0);
}

/* T16, F1: init asks for nothing, a failure changes nothing, deinit gives all back. */
static void words_from_an_allocator(void **unused)
{
    (void)unused;
    size_t index;
    freehold_index_pool pool;
    backing memory;
    backing_init(&memory);
    freehold_index_pool_init_from(&pool, 3000000, &memory.base);
    assert_int_equal(memory.calls, 0);
    freehold_index_pool_deinit(&pool);
    freehold_index_pool_init_from(&pool, 3000000, &memory.base);
    memory.failing = 1;
    assert_false(freehold_index_pool_take(&pool, &index));
    assert_false(freehold_index_pool_is_taken(&pool, 0));
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_index_pool_put(&pool, 5),
        "freehold_index_pool_put(%p): double free: index 5 of 3000000 is already free",
        (void *)&pool);
    assert_null(freehold_index_pool_check(&pool));
    assert_true(freehold_index_pool_take_at(&pool, 2999999));
    for (size_t i = 0; i < 2999999; i++)
        assert_true(freehold_index_pool_take(&pool, &index) && index == i);
    assert_false(freehold_index_pool_take(&pool, &index));
    assert_null(freehold_index_pool_check(&pool));
    assert_int_equal(memory.live, 1);
    freehold_index_pool_deinit(&pool);
    assert_int_equal(memory.live, 0);
}

/* T14: every bit, of every level. */
static void the_validator_sees_a_flipped_bit(void **unused)
{
    (void)unused;
    size_t index;
    freehold_index_pool pool;
    freehold_index_pool_init(&pool, 4100, words, COUNT(words));
    for (size_t i = 0; i < 200; i++)
        freehold_index_pool_take(&pool, &index);
    for (size_t bit = 0; bit < 64 * FREEHOLD_BITMAP_WORDS(4100); bit++) {
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_non_null(freehold_index_pool_check(&pool));
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    assert_null(freehold_index_pool_check(&pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_for_every_level),
        cmocka_unit_test(hands_out_the_lowest),
        cmocka_unit_test(agrees_with_a_table),
        cmocka_unit_test(misuse_is_exact),
        cmocka_unit_test(what_is_no_pool_is_refused),
        cmocka_unit_test(what_cannot_be_used_is_refused),
        cmocka_unit_test(words_from_an_allocator),
        cmocka_unit_test(the_validator_sees_a_flipped_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
