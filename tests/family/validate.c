/* SPDX-License-Identifier: MIT */
/*
 * F10: freehold_validate looks at nothing when no call has changed anything since it found all well. The
 * calls that every allocator has are in conformance.c; here are those that only one type has. A damage
 * that is done behind its back is found after each of them, and without one is not looked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "pages/frames.h"

#define PAGE  ((size_t)4096)
#define BYTES (64 * PAGE)

/* Whether the allocator would be looked at now; and it is as after a validation. */
static bool changed(freehold_allocator *a)
{
    bool is = a->changed != 0;
    assert_null(freehold_validate(a));
    assert_int_equal(a->changed, 0);
    return is;
}

#define CHANGES(a, call)                                                                           \
    do {                                                                                           \
        changed(a);                                                                                \
        (void)(call);                                                                              \
        if (!changed(a))                                                                           \
            fail_msg("not looked at after %s", #call);                                             \
    } while (0)

static void a_buddy(void **unused)
{
    (void)unused;
    static const freehold_buddy_request request = {.bytes = PAGE};
    freehold_buddy buddy;
    void *block[2];
    static _Alignas(4096) char memory[2 * BYTES];
    char *mapped, *four;
    freehold_buddy_init(&buddy, NULL);
    CHANGES(&buddy.base, freehold_buddy_add(&buddy, memory, BYTES));
    CHANGES(&buddy.base,
        freehold_buddy_add_with(&buddy, memory + BYTES, PAGE, memory + BYTES + PAGE, PAGE));
    CHANGES(&buddy.base, freehold_buddy_take(&buddy, &request));
    CHANGES(&buddy.base, freehold_buddy_take_at(&buddy, memory + 40 * PAGE, PAGE));
    CHANGES(&buddy.base, freehold_buddy_take_batch(&buddy, block, 2));
    CHANGES(&buddy.base, (freehold_buddy_free_batch(&buddy, block, 2), 0));
    four = freehold_alloc(&buddy, 4 * PAGE);
    CHANGES(&buddy.base, freehold_buddy_split(&buddy, four, PAGE));
    CHANGES(&buddy.base, mapped = freehold_buddy_map(&buddy, PAGE, PAGE));
    CHANGES(&buddy.base, (freehold_buddy_unmap(&buddy, mapped, PAGE), 0));

    /* And so that is found which nobody would look for otherwise. */
    assert_null(freehold_validate(&buddy));
    freehold__range *range = (freehold__range *)(void *)memory;
    range->free++;
    assert_null(freehold_validate(&buddy));
    freehold_buddy_take_batch(&buddy, block, 0);
    assert_non_null(freehold_validate(&buddy));
    range->free--;
    freehold_buddy_deinit(&buddy);
}

static void pages(void **unused)
{
    (void)unused;
    freehold_page page;
    freehold_page_init(&page);
    char *block = freehold_alloc(&page, 1);
    CHANGES(&page.base, freehold_page_protect(&page, block, 1, FREEHOLD_PROTECT_READ));
    freehold_page_deinit(&page);
}

static void an_arena(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_arena arena;
    freehold_heap_init(&heap);
    freehold_arena_init(&arena, &heap.base);
    freehold_alloc(&arena, 100);
    freehold_arena_point point;
    CHANGES(&arena.base, (point = freehold_arena_mark(&arena), 0));
    CHANGES(&arena.base, (freehold_arena_rewind(&arena, point), 0));
    CHANGES(&arena.base, (freehold_arena_reset(&arena), 0));
    freehold_arena_deinit(&arena);
    freehold_heap_deinit(&heap);
}

static void a_region(void **unused)
{
    (void)unused;
    static _Alignas(16) unsigned char memory[BYTES];
    const freehold_region_options options = {.max_bytes = BYTES};
    freehold_region region;
    assert_null(freehold_region_init_with(&region, memory, BYTES / 2, &options));
    CHANGES(&region.base, freehold_region_grow(&region, BYTES));
    void *block = freehold_alloc(&region, 100);
    CHANGES(&region.base, (freehold_region_set_root(&region, block), 0));
    freehold_region_deinit(&region);
}

static unsigned enter(void)
{
    return 0;
}

static void leave(unsigned cpu)
{
    (void)cpu;
}

static void a_heap_of_cpus(void **unused)
{
    (void)unused;
    static freehold_cpu_lane lanes[1];
    static const freehold_cpus cpus = {1, enter, leave};
    freehold_cpu_heap heap;
    freehold_cpu_heap_init(&heap, &cpus, lanes);
    freehold_free(&heap, freehold_alloc(&heap, 100));
    CHANGES(&heap.base, (freehold_cpu_heap_park(&heap), 0));
    freehold_cpu_heap_deinit(&heap);
}

static void a_trace(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_trace trace;
    freehold_heap_init(&heap);
    freehold_trace_init(&trace, &heap.base, NULL, NULL);
    CHANGES(&trace.base, freehold_trace_alloc_at(&trace, 100, "here"));
    freehold_trace_deinit(&trace);
    freehold_heap_deinit(&heap);
}

/* The hook of a policy gives the block up, and finds that all is well. */
static bool give_up(void *context, freehold_allocator *allocator, size_t bytes)
{
    void **block = context;
    (void)bytes;
    freehold_free(allocator, *block);
    *block = NULL;
    assert_null(freehold_validate(allocator));
    return true;
}

/* F7: what a retry allocates is looked at, too. */
static void a_retry(void **unused)
{
    (void)unused;
    static _Alignas(4096) char memory[2 * PAGE];
    static uint64_t words[FREEHOLD_BITMAP_WORDS(1)];
    static _Alignas(16) unsigned char own[1024];
    void *block;
    const freehold_policy policy = {.retries = 1, .reclaim = give_up, .context = &block};
    freehold_budget budget;
    freehold_budget_init(&budget, memory, 64, 64, words, 1);
    freehold_set_policy(&budget.base, &policy);
    block = freehold_alloc(&budget, 1);
    CHANGES(&budget.base, freehold_alloc(&budget, 1));
    assert_null(block);
    freehold_budget_deinit(&budget);

    freehold_trace trace;
    freehold_budget_init(&budget, memory, 64, 64, words, 1);
    freehold_trace_init(&trace, &budget.base, NULL, NULL);
    freehold_set_policy(&trace.base, &policy);
    block = freehold_alloc(&trace, 1);
    CHANGES(&trace.base, freehold_trace_alloc_at(&trace, 1, "here"));
    assert_null(block);
    freehold_trace_deinit(&trace);
    freehold_budget_deinit(&budget);

    static const freehold_buddy_request request = {.bytes = PAGE};
    freehold_buddy buddy;
    freehold_buddy_init(&buddy, NULL);
    assert_int_equal(freehold_buddy_add_with(&buddy, memory, PAGE, own, sizeof own), FREEHOLD_OK);
    freehold_set_policy(&buddy.base, &policy);
    block = freehold_alloc(&buddy, 1);
    CHANGES(&buddy.base, freehold_buddy_take(&buddy, &request));
    assert_null(block);
    freehold_buddy_deinit(&buddy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buddy),
        cmocka_unit_test(pages),
        cmocka_unit_test(an_arena),
        cmocka_unit_test(a_region),
        cmocka_unit_test(a_heap_of_cpus),
        cmocka_unit_test(a_trace),
        cmocka_unit_test(a_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
