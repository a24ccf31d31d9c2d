/* SPDX-License-Identifier: MIT */
/*
 * T17: the same random calls of two allocators of one type, typed for the first and through the
 * table for the second, have the same results and statistics. To be included by a test that
 * defines AGREE_TYPE.
 */
#include "parent.h"

static uint64_t agree_state;

static size_t agree_below(size_t limit)
{
    agree_state = agree_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(agree_state >> 33) % limit;
}

static void assert_agree(AGREE_TYPE *typed, freehold_allocator *dynamic, size_t largest)
{
    enum { SLOTS = 60 };
    static void *a[SLOTS], *b[SLOTS];
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    agree_state = 12345;
    for (size_t step = 0; step < 5000; step++) {
        size_t i = agree_below(SLOTS), bytes = agree_below(largest), how = agree_below(4);
        if (agree_below(50) == 0)
            bytes = impossible[agree_below(COUNT(impossible))];
        void *x = NULL, *y = NULL;
        if (a[i] == NULL) {
            size_t alignment = (size_t)1 << agree_below(10);
            x = how == 0   ? freehold_alloc(typed, bytes)
                : how == 1 ? freehold_alloc_zeroed(typed, bytes)
                           : freehold_alloc_aligned(typed, bytes, alignment + (how == 3), 0);
            y = how == 0   ? freehold_alloc(dynamic, bytes)
                : how == 1 ? freehold_alloc_zeroed(dynamic, bytes)
                           : freehold_alloc_aligned(dynamic, bytes, alignment + (how == 3), 0);
        } else if (how == 0) {
            assert_int_equal(freehold_free(typed, a[i]), freehold_free(dynamic, b[i]));
        } else if (how == 1) {
            assert_int_equal(
                freehold_resize(typed, a[i], bytes), freehold_resize(dynamic, b[i], bytes));
            x = a[i];
            y = b[i];
        } else {
            x = how == 2 ? freehold_remap(typed, a[i], bytes)
                         : freehold_realloc(typed, a[i], bytes);
            y = how == 2 ? freehold_remap(dynamic, b[i], bytes)
                         : freehold_realloc(dynamic, b[i], bytes);
            assert_int_equal(x == a[i], y == b[i]);
            if (x == NULL && bytes != 0) {
                x = a[i];
                y = b[i];
            }
        }
        assert_int_equal(x == NULL, y == NULL);
        a[i] = x;
        b[i] = y;
        if (x != NULL) {
            assert_int_equal(freehold_usable_size(typed, x), freehold_usable_size(dynamic, y));
            assert_ptr_equal(freehold_base(typed, x), x);
            assert_true(freehold_owns(dynamic, y));
        }
        assert_int_equal(freehold_last_error(typed), freehold_last_error(dynamic));
    }
    freehold_statistics one = freehold_stats(typed), other = freehold_stats(dynamic);
    assert_true(one.allocations > 500 && one.frees > 400);
    assert_int_equal(one.requested_bytes, other.requested_bytes);
    assert_int_equal(one.allocations, other.allocations);
    assert_int_equal(one.frees, other.frees);
    assert_int_equal(one.reallocations, other.reallocations);
    assert_int_equal(one.failures, other.failures);
    assert_int_equal(one.live_bytes, other.live_bytes);
    assert_int_equal(one.peak_live_bytes, other.peak_live_bytes);
    assert_null(freehold_check(typed));
    assert_null(freehold_check(dynamic));
    for (size_t i = 0; i < SLOTS; i++) {
        freehold_free(typed, a[i]);
        freehold_free(dynamic, b[i]);
    }
}
