/* SPDX-License-Identifier: MIT */
/* Any allocator from any thread (F29, T1, T16, T17). */
#define AGREE_TYPE freehold_locked
#include "agree.h"

static parent below;
static freehold_locked locked;

static void start(void)
{
    parent_init(&below);
    freehold_locked_init(&locked, &below.base);
}

static void end(void)
{
    freehold_locked_deinit(&locked);
    parent_end(&below);
}

static bool note(void *context, void *block, size_t bytes)
{
    (void)block;
    *(size_t *)context += bytes;
    return true;
}

static void calls_are_the_parents(void **unused)
{
    (void)unused;
    start();
    char *a = freehold_alloc(&locked, 100), *b = freehold_alloc_zeroed(&locked.base, 50);
    char *c = freehold_alloc_aligned(&locked, 20, 512, 16);
    assert_int_equal(((uintptr_t)c + 16) % 512, 0);
    assert_int_equal(b[0] | b[49], 0);
    assert_int_equal(freehold_stats(&locked).live_bytes, 170);
    assert_true(freehold_resize(&locked, a, 60));
    memset(a, 5, 60);
    a = freehold_realloc(&locked, a, 600);
    assert_int_equal(a[59], 5);
    assert_int_equal(freehold_usable_size(&locked, a), 600);
    assert_ptr_equal(freehold_base(&locked, a + 599), a);
    assert_false(freehold_owns(&locked, &locked));
    size_t sum = 0;
    assert_true(freehold_walk(&locked, note, &sum));
    assert_int_equal(sum, 670);
    assert_int_equal(freehold_trim(&locked), 1000);
    assert_null(freehold_check(&locked));
    parent_fail(&below, 1, 1);
    assert_null(freehold_alloc(&locked, 10));
    assert_int_equal(freehold_last_error(&locked), FREEHOLD_NO_MEMORY);
    assert_int_equal(freehold_free_sized(&locked, a, 600), 600);
    assert_int_equal(freehold_free(&locked, b), 50);
    assert_null(freehold_remap(&locked, c, 0));
    end();
}

static void the_reason_is_the_parents(void **unused)
{
    (void)unused;
    freehold_limit limit;
    parent_init(&below);
    freehold_limit_init(&limit, &below.base, 100);
    freehold_locked_init(&locked, &limit.base);
    void *block = freehold_alloc(&locked, 100);
    assert_null(freehold_alloc(&locked, 1));
    assert_int_equal(freehold_last_error(&locked), FREEHOLD_LIMIT);
    assert_null(freehold_realloc(&locked, block, 101));
    assert_int_equal(freehold_last_error(&locked.base), FREEHOLD_LIMIT);
    freehold_free(&locked, block);
    end();
}

static void *work(void *argument)
{
    uint64_t state = (uintptr_t)argument;
    char *block[20] = {NULL};
    for (size_t step = 0; step < 3000; step++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        size_t i = (size_t)(state >> 40) % COUNT(block), bytes = (size_t)(state >> 33) % 500 + 1;
        switch (step % 5) {
        case 0:
        case 1:
            freehold_free(&locked, block[i]);
            block[i] = freehold_alloc(&locked, bytes);
            block[i][0] = (char)i;
            break;
        case 2:
            block[i] = freehold_realloc(&locked, block[i], bytes);
            block[i][0] = (char)i;
            break;
        case 3:
            if (block[i] != NULL && freehold_usable_size(&locked, block[i]) > 0 &&
                block[i][0] != (char)i)
                return argument;
            break;
        default:
            freehold_stats(&locked);
            freehold_owns(&locked, block[i]);
        }
    }
    for (size_t i = 0; i < COUNT(block); i++)
        freehold_free(&locked, block[i]);
    return NULL;
}

/* F29: two threads are never in the parent at once. */
static void from_any_thread(void **unused)
{
    (void)unused;
    start();
    pthread_t thread[4];
    for (size_t i = 0; i < COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(i + 1)), 0);
    for (size_t i = 0; i < COUNT(thread); i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
    assert_true(below.allocations > 4000);
    end(); /* looks whether they met */
}

static void *other_thread(void *block)
{
    freehold_free(&locked, block);
    return NULL;
}

/* The report comes without the lock, however deep, and a handler may leave. */
static void misuse_is_reported_without_the_lock(void **unused)
{
    (void)unused;
    start();
    freehold_locked outer;
    freehold_locked_init(&outer, &locked.base);
    static const char *const foreign = "foreign pointer: not from this allocator";
    char *block = freehold_alloc(&outer, 100);
    freehold_allocator *base = &outer.base;
    void *wrong[] = {&outer, block + 16};
    for (size_t i = 0; i < COUNT(wrong); i++) {
#define EACH(name, typed, dynamic)                                                                 \
    FATAL(FREEHOLD_FOREIGN_POINTER, typed, name "(%p): %s", wrong[i], foreign);                    \
    FATAL(FREEHOLD_FOREIGN_POINTER, dynamic, name "(%p): %s", wrong[i], foreign)
        EACH("freehold_free", freehold_free(&outer, wrong[i]), freehold_free(base, wrong[i]));
        EACH("freehold_resize", freehold_resize(&outer, wrong[i], 10),
            freehold_resize(base, wrong[i], 10));
        EACH("freehold_remap", freehold_remap(&outer, wrong[i], 10),
            freehold_remap(base, wrong[i], 10));
        EACH("freehold_usable_size", freehold_usable_size(&outer, wrong[i]),
            freehold_usable_size(base, wrong[i]));
    }
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&outer, block, 101),
        "freehold_free_sized(%p): size mismatch: given 101, but the block has 100 bytes",
        (void *)block);
    pthread_t thread; /* would wait for ever */
    assert_int_equal(pthread_create(&thread, NULL, other_thread, block), 0);
    pthread_join(thread, NULL);
    assert_int_equal(below.live, 0);
    freehold_locked_deinit(&outer);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&outer, 1),
        "freehold_alloc(%p): wrong type: the allocator was deinitialised", (void *)&outer);
    memset(&outer, 0, sizeof outer);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&outer, 1),
        "freehold_alloc(%p): wrong type: not an initialised locked", (void *)&outer);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_locked_deinit(&outer),
        "freehold_locked_deinit(%p): wrong type: not an initialised locked", (void *)&outer);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_locked_init(&outer, &outer.base),
        "freehold_locked_init(%p): wrong type: not an initialised allocator", (void *)&outer);
    freehold_locked_deinit(NULL);
    end();
}

static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    start();
    REFUSES_IMPOSSIBLE(&locked);
    REFUSES_IMPOSSIBLE(&locked.base);
    end();
}

static void every_call_of_the_parent_may_fail(void **unused)
{
    (void)unused;
    for (uint64_t i = 1; i < 12; i++) {
        start();
        parent_fail(&below, i, 2);
        void *block[4];
        for (size_t k = 0; k < COUNT(block); k++) {
            block[k] = freehold_alloc(&locked, 100);
            void *moved = freehold_realloc(&locked, block[k], 200);
            block[k] = moved != NULL ? moved : block[k];
        }
        for (size_t k = 0; k < COUNT(block); k++)
            freehold_free(&locked, block[k]);
        end();
    }
}

static void typed_and_dynamic_calls_agree(void **unused)
{
    (void)unused;
    static parent other;
    freehold_locked dynamic;
    start();
    parent_init(&other);
    freehold_locked_init(&dynamic, &other.base);
    assert_agree(&locked, &dynamic.base, 2000);
    freehold_locked_deinit(&dynamic);
    parent_end(&other);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_the_parents),
        cmocka_unit_test(the_reason_is_the_parents),
        cmocka_unit_test(from_any_thread),
        cmocka_unit_test(misuse_is_reported_without_the_lock),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(every_call_of_the_parent_may_fail),
        cmocka_unit_test(typed_and_dynamic_calls_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
