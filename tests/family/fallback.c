/* SPDX-License-Identifier: MIT */
/* Two allocators as one (F29, T1, T16, T17). */
#define AGREE_TYPE freehold_fallback
#include "agree.h"

static parent first, second;

static void start(freehold_fallback *both)
{
    parent_init(&first);
    parent_init(&second);
    freehold_fallback_init(both, &first.base, &second.base);
}

static void end(freehold_fallback *both)
{
    freehold_fallback_deinit(both);
    parent_end(&first);
    parent_end(&second);
}

/* F29: each block is the one's that it came from. */
static void the_secondary_is_asked_for_what_the_primary_refuses(void **unused)
{
    (void)unused;
    freehold_fallback both;
    start(&both);
    parent_fail(&first, 2, 4);
    char *a = freehold_alloc(&both, 100), *b = freehold_alloc(&both, 200);
    char *c = freehold_alloc_zeroed(&both.base, 300),
         *d = freehold_alloc_aligned(&both, 50, 256, 0);
    assert_int_equal(first.live, 100);
    assert_int_equal(second.live, 550);
    assert_int_equal(freehold_last_error(&both), FREEHOLD_OK);
    assert_int_equal((uintptr_t)d % 256, 0);
    assert_int_equal(c[0] | c[299], 0);
    assert_int_equal(freehold_usable_size(&both, a), 100);
    assert_int_equal(freehold_usable_size(&both.base, b), 200);
    assert_ptr_equal(freehold_base(&both, a + 99), a);
    assert_ptr_equal(freehold_base(&both, b + 199), b);
    assert_false(freehold_owns(&both, &both));
    assert_true(freehold_resize(&both, b, 150));
    assert_int_equal(second.live, 500);

    parent_fail(&first, 1, 1);
    parent_fail(&second, 1, 1);
    assert_null(freehold_alloc(&both, 10));
    assert_int_equal(freehold_last_error(&both), FREEHOLD_NO_MEMORY);
    freehold_statistics stats = freehold_stats(&both);
    assert_int_equal(stats.failures, 1);
    assert_int_equal(stats.allocations, 4);
    assert_int_equal(stats.live_bytes, 600);
    assert_int_equal(freehold_trim(&both), 2000);
    assert_int_equal(freehold_free_sized(&both, a, 100), 100);
    assert_int_equal(freehold_free(&both, b), 150);
    assert_int_equal(freehold_free(&both.base, c), 300);
    assert_int_equal(freehold_free_zeroed(&both, d), 50);
    end(&both);
}

/* Both ways. */
static void a_block_that_cannot_grow_moves_to_the_other(void **unused)
{
    (void)unused;
    freehold_fallback both;
    start(&both);
    first.moves = second.moves = true;
    char *block = freehold_alloc(&both, 100);
    memset(block, 7, 100);
    parent_fail(&first, 1, 10);
    block = freehold_realloc(&both, block, 500);
    assert_int_equal(first.live, 0);
    assert_int_equal(second.live, 500);
    assert_int_equal(block[99], 7);
    parent_fail(&first, 0, 0);
    parent_fail(&second, 1, 10);
    block = freehold_remap(&both.base, block, 900);
    assert_int_equal(first.live, 900);
    assert_int_equal(second.live, 0);
    assert_int_equal(block[99], 7);
    assert_int_equal(freehold_stats(&both).reallocations, 2);
    parent_fail(&first, 1, 10);
    assert_null(freehold_realloc(&both, block, 1000));
    assert_int_equal(freehold_stats(&both).failures, 1);
    assert_int_equal(first.live, 900);
    assert_int_equal(block[99], 7);
    assert_true(freehold_reset_stats(&both));
    assert_int_equal(freehold_stats(&both).failures, 0);
    assert_int_equal(freehold_stats(&both).reallocations, 0);
    assert_null(freehold_remap(&both, block, 0));
    end(&both);
}

static bool note(void *context, void *block, size_t bytes)
{
    (void)block;
    *(size_t *)context += bytes;
    return bytes != 77;
}

static void walks_see_both(void **unused)
{
    (void)unused;
    freehold_fallback both;
    start(&both);
    void *a = freehold_alloc(&both, 100);
    parent_fail(&first, 1, 2);
    void *b = freehold_alloc(&both, 10), *c = freehold_alloc(&both, 77);
    size_t sum = 0;
    assert_false(freehold_walk(&both, note, &sum)); /* the last one ends it */
    assert_int_equal(sum, 187);
    freehold_free(&both, c);
    sum = 0;
    assert_true(freehold_walk(&both.base, note, &sum));
    assert_int_equal(sum, 110);
    freehold_free(&both, a);
    freehold_free(&both, b);
    end(&both);
}

static void the_reason_is_that_of_the_last_one(void **unused)
{
    (void)unused;
    freehold_limit limit;
    freehold_fallback both;
    parent_init(&first);
    parent_init(&second);
    freehold_limit_init(&limit, &second.base, 100);
    freehold_fallback_init(&both, &first.base, &limit.base);
    parent_fail(&first, 1, 1);
    assert_null(freehold_alloc(&both, 101));
    assert_int_equal(freehold_last_error(&both), FREEHOLD_LIMIT);
    freehold_fallback swapped; /* the limit first: its refusal is none of the pair's */
    freehold_fallback_init(&swapped, &limit.base, &first.base);
    void *block = freehold_alloc(&swapped, 101);
    assert_non_null(block);
    assert_int_equal(freehold_last_error(&swapped), FREEHOLD_OK);
    freehold_free(&swapped, block);
    freehold_fallback_deinit(&swapped);
    end(&both);
}

static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    freehold_fallback both;
    start(&both);
    REFUSES_IMPOSSIBLE(&both);
    REFUSES_IMPOSSIBLE(&both.base);
    parent_fail(&first, 1, 1);
    REFUSES_IMPOSSIBLE(&both); /* the live block is the secondary's */
    end(&both);
}

static void every_call_of_the_parents_may_fail(void **unused)
{
    (void)unused;
    for (uint64_t i = 1; i < 12; i++)
        for (uint64_t k = 1; k < 12; k++) {
            freehold_fallback both;
            start(&both);
            parent_fail(&first, i, 3);
            parent_fail(&second, k, 2);
            char *block[6];
            size_t live = 0;
            for (size_t n = 0; n < COUNT(block); n++) {
                block[n] = freehold_alloc(&both, 100);
                char *moved = freehold_realloc(&both, block[n], 5000);
                block[n] = moved != NULL ? moved : block[n];
                live += freehold_usable_size(&both, block[n]);
                assert_int_equal(first.live + second.live, live);
            }
            for (size_t n = 0; n < COUNT(block); n++)
                freehold_free(&both, block[n]);
            end(&both);
        }
}

static void typed_and_dynamic_calls_agree(void **unused)
{
    (void)unused;
    static parent third, fourth;
    freehold_fallback both, dynamic;
    freehold_limit one, other; /* the primaries are soon full */
    parent_init(&first);
    parent_init(&second);
    parent_init(&third);
    parent_init(&fourth);
    freehold_limit_init(&one, &first.base, 8000);
    freehold_limit_init(&other, &third.base, 8000);
    freehold_fallback_init(&both, &one.base, &second.base);
    freehold_fallback_init(&dynamic, &other.base, &fourth.base);
    assert_agree(&both, &dynamic.base, 2000);
    assert_true(second.allocations > 100 && first.allocations > 100);
    end(&both);
    freehold_fallback_deinit(&dynamic);
    parent_end(&third);
    parent_end(&fourth);
}

static void misuse_is_reported(void **unused)
{
    (void)unused;
    freehold_fallback both, zero;
    start(&both);
    static const char *const foreign = "foreign pointer: not from this allocator";
    char *a = freehold_alloc(&both, 100);
    parent_fail(&first, 1, 1);
    char *b = freehold_alloc(&both, 100);
    freehold_allocator *base = &both.base;
    void *wrong[] = {&both, a + 16, b + 16};
    for (size_t i = 0; i < COUNT(wrong); i++) {
#define EACH(name, typed, dynamic)                                                                 \
    FATAL(FREEHOLD_FOREIGN_POINTER, typed, name "(%p): %s", wrong[i], foreign);                    \
    FATAL(FREEHOLD_FOREIGN_POINTER, dynamic, name "(%p): %s", wrong[i], foreign)
        EACH("freehold_free", freehold_free(&both, wrong[i]), freehold_free(base, wrong[i]));
        EACH("freehold_resize", freehold_resize(&both, wrong[i], 10),
            freehold_resize(base, wrong[i], 10));
        EACH("freehold_remap", freehold_remap(&both, wrong[i], 10),
            freehold_remap(base, wrong[i], 10));
        EACH("freehold_usable_size", freehold_usable_size(&both, wrong[i]),
            freehold_usable_size(base, wrong[i]));
    }
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&both, b, 101),
        "freehold_free_sized(%p): size mismatch: given 101, but the block has 100 bytes",
        (void *)b);
    freehold_free(&both, a);
    freehold_free(&both, b);
    memset(&zero, 0, sizeof zero);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&zero, 1),
        "freehold_alloc(%p): wrong type: not an initialised fallback", (void *)&zero);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_fallback_deinit(&zero),
        "freehold_fallback_deinit(%p): wrong type: not an initialised fallback", (void *)&zero);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_fallback_init(&zero, &first.base, &zero.base),
        "freehold_fallback_init(%p): wrong type: not an initialised allocator", (void *)&zero);
    end(&both);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_free(base, a),
        "freehold_free(%p): wrong type: the allocator was deinitialised", (void *)base);
    freehold_fallback_deinit(NULL);
}

/* The alignment is one that both have. */
static void over_two_heaps(void **unused)
{
    (void)unused;
    freehold_heap one, other;
    freehold_fallback both;
    freehold_heap_init_aligned(&one, 64);
    freehold_heap_init(&other);
    freehold_limit limit;
    freehold_limit_init(&limit, &one.base, 100000);
    freehold_fallback_init(&both, &limit.base, &other.base);
    assert_int_equal(both.base.alignment, 16);
    char *block = freehold_alloc_zeroed(&both, 100);
    assert_true(freehold_owns(&one, block));
    memset(block, 3, 100);
    block = freehold_realloc(&both, block, 200000);
    assert_true(freehold_owns(&other, block));
    assert_int_equal(block[99], 3);
    assert_int_equal(freehold_stats(&limit).live_bytes, 0);
    freehold_free(&both, block);
    assert_null(freehold_check(&both));
    freehold_fallback_deinit(&both);
    freehold_limit_deinit(&limit);
    freehold_heap_deinit(&one);
    freehold_heap_deinit(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_secondary_is_asked_for_what_the_primary_refuses),
        cmocka_unit_test(a_block_that_cannot_grow_moves_to_the_other),
        cmocka_unit_test(walks_see_both),
        cmocka_unit_test(the_reason_is_that_of_the_last_one),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(every_call_of_the_parents_may_fail),
        cmocka_unit_test(typed_and_dynamic_calls_agree),
        cmocka_unit_test(misuse_is_reported),
        cmocka_unit_test(over_two_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
