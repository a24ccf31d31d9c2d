/* SPDX-License-Identifier: MIT */
/*
 * What is special about the slab allocator (F23): one slot size, slots without gaps, each of them
 * aligned, and what free slots cost. What it has in common with the others is in conformance.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"
#include "reports.h"

#include "freehold/freehold.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static freehold_slab slab;

static int setup(void **unused)
{
    (void)unused;
    note_mapped();
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    return all_is_well(NULL);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;
    return (x > y) - (x < y);
}

static void end(void)
{
    assert_null(freehold_check(&slab));
    freehold_slab_deinit(&slab);
}

/* Not only slot 0 is aligned (a defect of an earlier system), whichever size and alignment. */
static void every_slot_is_aligned(void **unused)
{
    (void)unused;
    static const size_t slots[] = {1, 4, 16, 24, 48, 100, 1000, 4096, 5000, 50000, 70000, 600000};
    for (size_t alignment = 1; alignment <= 65536; alignment *= 4)
        for (size_t i = 0; i < COUNT(slots); i++) {
            enum { BLOCKS = 20 };
            static void *block[BLOCKS];
            freehold_slab_init_aligned(&slab, slots[i], alignment);
            size_t slot = freehold_slab_slot_size(&slab), least = alignment > 16 ? alignment : 16;
            assert_true(slot >= slots[i] && slot % least == 0);
            assert_true(slot < slots[i] + least || slot % freehold_page_size() == 0);
            for (size_t k = 0; k < BLOCKS; k++) {
                block[k] = freehold_alloc(&slab, slots[i]);
                assert_non_null(block[k]);
                assert_int_equal((uintptr_t)block[k] % least, 0);
                assert_int_equal(freehold_usable_size(&slab, block[k]), slot);
                memset(block[k], 1, slot);
            }
            qsort(block, BLOCKS, sizeof *block, by_address);
            for (size_t k = 1; k < BLOCKS; k++)
                assert_true((uintptr_t)block[k] - (uintptr_t)block[k - 1] >= slot);
            end();
        }
}

/* Little memory is lost: slots without gaps, and at most an eighth behind the last one. */
static void slots_lie_without_gaps(void **unused)
{
    (void)unused;
    for (size_t bytes = 16; bytes <= 65536; bytes += bytes < 2048 ? 16 : 1008) {
        freehold_slab_init(&slab, bytes);
        size_t slot = freehold_slab_slot_size(&slab);
        char *first = freehold_alloc(&slab, 1);
        size_t span = freehold_stats(&slab).used_bytes, slots = span / slot;
        assert_true(slots >= 1 && slots <= 512);
        assert_true(span - slots * slot <= span / 8);
        for (size_t k = 1; k < slots; k++) {
            char *next = freehold_alloc(&slab, 1);
            assert_true((size_t)(next - first) % slot == 0 && (size_t)(next - first) < span);
        }
        assert_int_equal(freehold_stats(&slab).used_bytes, span);
        assert_non_null(freehold_alloc(&slab, 1));
        assert_int_equal(freehold_stats(&slab).used_bytes, 2 * span);
        end();
    }
}

/* A larger request is refused, by every function, and nothing is clamped. */
static void a_request_for_more_is_refused(void **unused)
{
    (void)unused;
    freehold_slab_init(&slab, 100);
    assert_int_equal(freehold_slab_slot_size(&slab), 112);
    char *block = freehold_alloc(&slab, 112);
    assert_non_null(block);
    assert_null(freehold_alloc(&slab, 113));
    assert_int_equal(freehold_last_error(&slab), FREEHOLD_UNSUPPORTED);
    assert_null(freehold_alloc_aligned(&slab, 100, 32, 0)); /* though some slots are */
    assert_int_equal(freehold_last_error(&slab), FREEHOLD_UNSUPPORTED);
    assert_null(freehold_remap(&slab, block, 113));
    assert_false(freehold_resize(&slab, block, 113));
    assert_ptr_equal(freehold_realloc(&slab, block, 1), block); /* and every other size stays */
    assert_ptr_equal(freehold_remap(&slab, block, 112), block);
    freehold_statistics now = freehold_stats(&slab);
    assert_int_equal(now.failures, 0); /* none for want of memory */
    assert_int_equal(now.live_bytes, 112);
    end();
}

/* T1 */
static void impossible_slots_are_refused_when_asked_for(void **unused)
{
    (void)unused;
    const size_t slots[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < COUNT(slots); i++) {
        freehold_slab_init_aligned(&slab, slots[i], i % 2 ? 4096 : 16);
        assert_null(freehold_alloc(&slab, 1));
        assert_null(freehold_alloc_zeroed(&slab, slots[i]));
        assert_int_equal(freehold_last_error(&slab), FREEHOLD_NO_MEMORY);
        assert_int_equal(freehold_stats(&slab).failures, 2);
        end();
    }
    freehold_slab_init_aligned(&slab, 1, SIZE_MAX / 2 + 1);
    assert_null(freehold_alloc(&slab, 1));
    end();
    freehold_slab_init(&slab, 0);
    assert_int_equal(freehold_slab_slot_size(&slab), 16);
    assert_non_null(freehold_alloc(&slab, 16));
    end();
}

/* Down to the last one: also a slab with few free slots serves, when there is no other memory. */
static void every_free_slot_is_found(void **unused)
{
    (void)unused;
    enum { MOST = 40000 };
    static void *block[MOST];
    freehold_slab_init(&slab, 1000);
    size_t count = 1;
    block[0] = freehold_alloc(&slab, 1000);
    freehold__fault_set(1, UINT64_MAX);
    while ((block[count] = freehold_alloc(&slab, 1000)) != NULL)
        assert_true(++count < MOST);
    assert_true(count > (sizeof(void *) == 8 ? 1000 : 400)); /* the first part of a section */
    for (size_t step = 0; step < 100; step++) {
        size_t i = step * 7919 % count;
        assert_int_equal(freehold_free(&slab, block[i]), 1008);
        void *again = freehold_alloc(&slab, 1000);
        assert_ptr_equal(again, block[i]);
        assert_null(freehold_alloc(&slab, 1000));
    }
    end();
}

/* What is free goes back, also among used slots. */
static void free_pages_go_back(void **unused)
{
    (void)unused;
    enum { BLOCKS = 30000 };
    static char *block[BLOCKS];
    freehold_slab_init(&slab, 1000);
    for (size_t i = 0; i < BLOCKS; i++)
        memset(block[i] = freehold_alloc(&slab, 1000), (int)(i % 100), 1000);
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 1000 != 0)
            freehold_free(&slab, block[i]);
    assert_true(freehold_trim(&slab) >= 25 * 1024 * 1024);
    for (size_t i = 0; i < BLOCKS; i += 1000)
        assert_true(block[i][0] == (char)(i % 100) && block[i][999] == (char)(i % 100));
    end();
}

static void misuse_names_the_slot(void **unused)
{
    (void)unused;
    freehold_slab_init(&slab, 100);
    char *first = freehold_alloc(&slab, 100), *second = freehold_alloc(&slab, 100);
    assert_ptr_equal(second, first + 112);
    FATAL(FREEHOLD_INTERIOR_POINTER, freehold_free(&slab, second + 16),
        "freehold_free(%p): interior pointer: 16 bytes into slot 1 of 292, size 112, "
        "slab %p",
        (void *)(second + 16), (void *)first);
    freehold_free(&slab, second);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&slab, second),
        "freehold_free(%p): double free: slot 1 of 292, size 112, slab %p, is already "
        "free",
        (void *)second, (void *)first);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&slab, first, 113),
        "freehold_free_sized(%p): size mismatch: given 113, but every slot of this slab "
        "holds 1 to 112 bytes",
        (void *)first);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&slab, first, 0),
        "freehold_free_sized(%p): size mismatch: given 0, but every slot of this slab "
        "holds 1 to 112 bytes",
        (void *)first);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_slab_slot_size(NULL),
        "freehold_slab_slot_size(0x0): wrong type: not an initialised slab");
    end();
    FATAL(FREEHOLD_WRONG_TYPE, freehold_slab_slot_size(&slab),
        "freehold_slab_slot_size(%p): wrong type: the allocator was deinitialised", (void *)&slab);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_slot_is_aligned),
        TEST(slots_lie_without_gaps),
        TEST(a_request_for_more_is_refused),
        TEST(impossible_slots_are_refused_when_asked_for),
        TEST(every_free_slot_is_found),
        TEST(free_pages_go_back),
        TEST(misuse_names_the_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
