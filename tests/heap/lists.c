/* SPDX-License-Identifier: MIT */
/*
 * F21: where a heap has what it knows. Descriptors lie apart from all that users hold; a slab is full, partial,
 * active or empty, as its slots come and go; a few empty ones are kept, and are the next ones in use; a large block
 * that was freed is the next one of its size; and one that grows takes its pages along.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "allocators/single.h"
#include "freehold/freehold.h"

#define BYTES ((size_t)1024) /* 64 slots of a slab of 64 KiB */
#define SLOTS 64
#define SLABS 10
#define KEPT  4 /* empty slabs of a class of many slots */
#define MIB   ((size_t)1 << 20)

static freehold_heap heap;
static unsigned char *block[SLABS][SLOTS];

static freehold__heap *inner(void)
{
    (void)freehold__single_allocate_large; /* of the header, and not wanted here */
    return &((freehold__single *)(void *)heap.state)->heap;
}

static int setup(void **unused)
{
    (void)unused;
    freehold_heap_init(&heap);
    for (unsigned slab = 0; slab < SLABS; slab++)
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            block[slab][slot] = freehold_alloc(&heap, BYTES);
            memset(block[slab][slot], (int)slab, BYTES);
        }
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    const char *wrong = freehold_check(&heap);
    freehold_heap_deinit(&heap);
    return wrong != NULL;
}

static void count_state(void *context, uintptr_t base, void *descriptor)
{
    unsigned *count = context;
    (void)base;
    count[((freehold__slab *)descriptor)->state]++;
}

/* How many slabs there are in each state. */
static void expect(unsigned full, unsigned active, unsigned partial, unsigned empty)
{
    unsigned count[FREEHOLD__SLAB_RESTING + 1] = {0};
    freehold__pages_walk(&inner()->pages, count_state, count);
    assert_int_equal(count[FREEHOLD__SLAB_FULL], full);
    assert_int_equal(count[FREEHOLD__SLAB_ACTIVE], active);
    assert_int_equal(count[FREEHOLD__SLAB_PARTIAL], partial);
    assert_int_equal(count[FREEHOLD__SLAB_EMPTY], empty);
    assert_null(freehold_check(&heap));
}

static void look_at_descriptor(void *context, uintptr_t base, void *descriptor)
{
    const freehold__slab *slab = descriptor;
    uintptr_t at = (uintptr_t)descriptor, section = freehold__round_down(base, FREEHOLD__SECTION);
    ++*(unsigned *)context;
    assert_int_equal(slab->base, base);
    assert_true(at >= section + FREEHOLD__GUARD);
    assert_true(at + sizeof *slab <= section + FREEHOLD__USER_OFFSET - FREEHOLD__GUARD);
    assert_true(base >= section + FREEHOLD__USER_OFFSET);
}

static void descriptors_lie_apart(void **unused)
{
    (void)unused;
    unsigned count = 0;
    freehold__pages_walk(&inner()->pages, look_at_descriptor, &count);
    assert_int_equal(count, SLABS);
}

static void slabs_change_their_lists(void **unused)
{
    (void)unused;
    expect(SLABS - 1, 1, 0, 0);
    for (unsigned slot = 0; slot < SLOTS / 8 - 1; slot++)
        freehold_free(&heap, block[0][slot]);
    expect(SLABS - 1, 1, 0, 0); /* too few to be worth a look */
    freehold_free(&heap, block[0][SLOTS / 8 - 1]);
    expect(SLABS - 2, 1, 1, 0);
    for (unsigned slot = SLOTS / 8; slot < SLOTS; slot++)
        freehold_free(&heap, block[0][slot]);
    expect(SLABS - 2, 1, 0, 1);
    freehold_free(&heap, block[1][7]); /* which is not looked for, as long as others have more */
    block[0][0] = freehold_alloc(&heap, BYTES);
    expect(SLABS - 1, 1, 0, 0); /* the one that was active is full, and the empty one is active */
}

static void a_few_empty_slabs_are_kept(void **unused)
{
    (void)unused;
    uint64_t spans = inner()->pages.span_allocations;
    for (unsigned slab = 0; slab < SLABS; slab++)
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            assert_int_equal(block[slab][slot][BYTES - 1], slab);
            freehold_free(&heap, block[slab][slot]);
        }
    expect(0, 1, 0, KEPT);
    for (unsigned i = 0; i < (KEPT + 1) * SLOTS; i++)
        assert_non_null(freehold_alloc(&heap, BYTES));
    expect(KEPT, 1, 0, 0);
    assert_int_equal(inner()->pages.span_allocations, spans);
}

static void large_blocks_are_used_again_and_grow(void **unused)
{
    (void)unused;
    struct rusage before, after;
    unsigned char *first = freehold_alloc(&heap, 3 * MIB), *other = freehold_alloc(&heap, 5 * MIB);
    freehold_free(&heap, first);
    assert_ptr_equal(freehold_alloc(&heap, 3 * MIB), first);
    freehold_free(&heap, other);
    assert_ptr_equal(freehold_alloc(&heap, 5 * MIB), other);

    unsigned char *grows = memset(freehold_alloc(&heap, 32 * MIB), 7, 32 * MIB);
    getrusage(RUSAGE_SELF, &before);
    grows = freehold_realloc(&heap, grows, 100 * MIB);
    getrusage(RUSAGE_SELF, &after);
    assert_non_null(grows);
    assert_true(after.ru_minflt - before.ru_minflt < 1000); /* a copy would have had 8,000 */
    for (size_t i = 0; i < 32 * MIB; i += 4096)
        assert_int_equal(grows[i], 7);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(descriptors_lie_apart),
        TEST(slabs_change_their_lists),
        TEST(a_few_empty_slabs_are_kept),
        TEST(large_blocks_are_used_again_and_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
