/* SPDX-License-Identifier: MIT */
/* The current allocator of a thread: freehold_current, push, pop and FREEHOLD_WITH (F9). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "reports.h"

#include "freehold/freehold.h"

static freehold_heap heap[3];
static freehold_allocator *first; /* what is current where nothing was pushed */

static int setup(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 3; i++)
        freehold_heap_init(&heap[i]);
    first = freehold_current();
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    freehold_set_fatal_handler(NULL);
    for (size_t i = 0; i < 3; i++)
        freehold_heap_deinit(&heap[i]);
    return freehold_current() != first;
}

static void it_begins_as_a_heap_of_the_process(void **unused)
{
    (void)unused;
    assert_non_null(first);
    assert_ptr_equal(freehold_current(), first);
    void *block = freehold_alloc(freehold_current(), 100);
    assert_non_null(block);
    assert_true(freehold_owns(first, block));
    assert_int_equal(freehold_free(first, block), 112);
}

static void pushed_ones_nest(void **unused)
{
    (void)unused;
    freehold_scope scope[3];
    for (size_t i = 0; i < 3; i++) {
        freehold_push(&scope[i], &heap[i].base);
        assert_ptr_equal(freehold_current(), &heap[i].base);
    }
    assert_true(freehold_owns(&heap[2], freehold_alloc(freehold_current(), 10)));
    freehold_pop(&scope[2]);
    assert_ptr_equal(freehold_current(), &heap[1].base);
    freehold_push(&scope[2], &heap[1].base); /* the same twice */
    assert_ptr_equal(freehold_current(), &heap[1].base);
    for (size_t i = 3; i-- > 0;)
        freehold_pop(&scope[i]);
    assert_ptr_equal(freehold_current(), first);
}

static void a_wrong_pop_is_fatal(void **unused)
{
    (void)unused;
    const char *wrong = "wrong scope: not the last one that this thread has pushed";
    freehold_scope outer, inner;
    memset(&outer, 0, sizeof outer);
    FATAL(
        FREEHOLD_WRONG_SCOPE, freehold_pop(&outer), "freehold_pop(%p): %s", (void *)&outer, wrong);
    freehold_push(&outer, &heap[0].base);
    freehold_push(&inner, &heap[1].base);
    FATAL(
        FREEHOLD_WRONG_SCOPE, freehold_pop(&outer), "freehold_pop(%p): %s", (void *)&outer, wrong);
    FATAL(FREEHOLD_WRONG_SCOPE, freehold_pop(NULL), "freehold_pop(0x0): %s", wrong);
    assert_ptr_equal(freehold_current(), &heap[1].base); /* nothing has changed */
    freehold_pop(&inner);
    FATAL(
        FREEHOLD_WRONG_SCOPE, freehold_pop(&inner), "freehold_pop(%p): %s", (void *)&inner, wrong);
    freehold_pop(&outer);
}

static void what_is_no_allocator_is_not_pushed(void **unused)
{
    (void)unused;
    static freehold_heap none;
    freehold_scope scope;
    const char *wrong = "wrong type: not an initialised allocator";
    FATAL(FREEHOLD_WRONG_TYPE, freehold_push(&scope, &none.base), "freehold_push(%p): %s",
        (void *)&none, wrong);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_push(&scope, NULL), "freehold_push(0x0): %s", wrong);
    assert_ptr_equal(freehold_current(), first);
}

/* ---- FREEHOLD_WITH --------------------------------------------------------------------------- */

static int calls;

static freehold_allocator *counted(freehold_allocator *allocator)
{
    calls++;
    return allocator;
}

static freehold_allocator *returned_from_within(void)
{
    FREEHOLD_WITH(&heap[0].base)
    {
        FREEHOLD_WITH(&heap[1].base)
        return freehold_current();
    }
    return NULL;
}

static void the_block_has_its_own(void **unused)
{
    (void)unused;
    int times = 0;
    calls = 0;
    FREEHOLD_WITH(counted(&heap[0].base))
    {
        times++;
        assert_ptr_equal(freehold_current(), &heap[0].base);
        FREEHOLD_WITH(&heap[1].base)
        {
            times++;
            assert_ptr_equal(freehold_current(), &heap[1].base);
        }
        assert_ptr_equal(freehold_current(), &heap[0].base);
        FREEHOLD_WITH(&heap[2].base)
        assert_ptr_equal(freehold_current(), &heap[2].base); /* a statement */
        assert_ptr_equal(freehold_current(), &heap[0].base);
    }
    assert_int_equal(times, 2);
    assert_int_equal(calls, 1); /* its argument is evaluated once */
    assert_ptr_equal(freehold_current(), first);
}

static void it_ends_when_the_block_is_left(void **unused)
{
    (void)unused;
    assert_ptr_equal(returned_from_within(), &heap[1].base);
    assert_ptr_equal(freehold_current(), first);
    int rounds = 0;
    for (; rounds < 3; rounds++) {
        FREEHOLD_WITH(&heap[0].base)
        {
            if (rounds == 1)
                break; /* of the block, as of any loop */
            assert_ptr_equal(freehold_current(), &heap[0].base);
            continue;
        }
        assert_ptr_equal(freehold_current(), first);
    }
    assert_int_equal(rounds, 3);
    FREEHOLD_WITH(&heap[0].base)
    {
        FREEHOLD_WITH(&heap[1].base)
        goto out;
    }
    fail();
out:
    assert_ptr_equal(freehold_current(), first);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *in_a_thread(void *mine)
{
    if (freehold_current() != first) /* not what another thread has pushed */
        return (void *)"the current allocator is another thread's";
    FREEHOLD_WITH(mine)
    for (int i = 0; i < 1000; i++) {
        void *block = freehold_alloc(freehold_current(), 100);
        if (!freehold_owns((freehold_allocator *)mine, block))
            return (void *)"the block is not its own allocator's";
        freehold_free(freehold_current(), block);
    }
    return freehold_current() != first ? (void *)"it did not end" : NULL;
}

static void each_thread_has_its_own(void **unused)
{
    (void)unused;
    pthread_t thread[2];
    FREEHOLD_WITH(&heap[2].base)
    {
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, in_a_thread, &heap[i].base), 0);
        for (size_t i = 0; i < 2; i++) {
            void *wrong;
            assert_int_equal(pthread_join(thread[i], &wrong), 0);
            assert_null(wrong);
        }
        assert_ptr_equal(freehold_current(), &heap[2].base);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_begins_as_a_heap_of_the_process),
        TEST(pushed_ones_nest),
        TEST(a_wrong_pop_is_fatal),
        TEST(what_is_no_allocator_is_not_pushed),
        TEST(the_block_has_its_own),
        TEST(it_ends_when_the_block_is_left),
        TEST(each_thread_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
