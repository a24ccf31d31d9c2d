/* SPDX-License-Identifier: MIT */
/*
 * The typed heap and the base interface, over the port that fails on demand (F1 to F5, F11, F12,
 * F21, F31).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../family/memory.h"

#include "allocators/lane.h"
#include "freehold/freehold.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t MIB = 1024 * 1024;

/* Sizes around every border that there is. */
static const size_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 33, 100, 127, 128, 129, 160, 161, 1000,
    1023, 1024, 1025, 4095, 4096, 4097, 40000, 65535, 65536, 65537, 524287, 524288, 524289, 700000,
    1048576, 3000001};

/* Sizes that nothing can have. */
static const size_t impossible[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16,
    SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX / 2 + 1, SIZE_MAX / 2 + 2,
    SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX};

static uint64_t live(freehold_heap *heap)
{
    freehold_statistics stats = freehold_stats(heap);
    return stats.allocations - stats.frees;
}

/* F1: a heap begins without memory and ends without a trace. */
static void init_asks_for_nothing_and_deinit_leaves_nothing(void **unused)
{
    (void)unused;
    uint64_t mapped = freehold__fault_mapped();
    freehold__fault_set(1, UINT64_MAX); /* every call would fail */
    freehold_heap heap;
    memset(&heap, 0xA5, sizeof heap);
    freehold_heap_init(&heap);
    assert_int_equal(freehold__fault_calls(), 0);
    assert_int_equal(live(&heap), 0);
    assert_null(freehold_check(&heap));
    assert_int_equal(freehold_trim(&heap), 0);
    freehold_heap_deinit(&heap);
    assert_int_equal(freehold__fault_calls(), 0);
    freehold__fault_set(0, 0);

    freehold_heap_init(&heap); /* the same structure again */
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT(sizes); i++)
            assert_non_null(freehold_alloc(&heap, sizes[i]));
    assert_true(freehold__fault_mapped() > mapped);
    freehold_heap_deinit(&heap); /* all of it live */
    assert_int_equal(freehold__fault_mapped(), mapped);
    freehold_heap_deinit(NULL);
}

static void blocks_are_apart_and_have_their_size(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    unsigned char *block[COUNT(sizes)];
    size_t usable[COUNT(sizes)], sum = 0;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        block[i] = freehold_alloc(&heap, sizes[i]);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 16, 0);
        usable[i] = freehold_usable_size(&heap, block[i]);
        assert_in_range(usable[i], sizes[i], sizes[i] + sizes[i] / 4 + 4096);
        memset(block[i], (int)i, usable[i]);
        sum += usable[i];
    }
    freehold_statistics stats = freehold_stats(&heap);
    assert_int_equal(stats.allocations, COUNT(sizes));
    assert_int_equal(stats.frees, 0);
    assert_int_equal(stats.live_bytes, sum);
    assert_true(stats.used_bytes >= sum && stats.peak_bytes >= stats.used_bytes &&
                stats.mapped_bytes >= stats.used_bytes);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_true(all_bytes(block[i], (int)i, usable[i]));
        assert_int_equal(freehold_free(&heap, block[i]), usable[i]); /* the bytes released */
    }
    assert_int_equal(freehold_stats(&heap).live_bytes, 0);
    assert_int_equal(live(&heap), 0);
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

/* T1: sizes that cannot be are refused by every function, and nothing changes. */
static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    char *small = freehold_alloc(&heap, 100), *large = freehold_alloc(&heap, MIB);
    strcpy(small, "small");
    strcpy(large, "large");
    freehold_statistics before = freehold_stats(&heap);
    for (size_t i = 0; i < COUNT(impossible); i++) {
        size_t bytes = impossible[i];
        assert_null(freehold_alloc(&heap, bytes));
        assert_null(freehold_alloc_zeroed(&heap, bytes));
        for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 4)
            assert_null(freehold_alloc_aligned(&heap, bytes, alignment, 0));
        assert_false(freehold_resize(&heap, small, bytes));
        assert_false(freehold_resize(&heap, large, bytes));
        assert_null(freehold_remap(&heap, small, bytes));
        assert_null(freehold_remap(&heap, large, bytes));
        assert_null(freehold_remap(&heap, NULL, bytes));
        assert_null(freehold_realloc(&heap, small, bytes));
        assert_null(freehold_realloc(&heap, large, bytes));
    }
    freehold_statistics after = freehold_stats(&heap);
    assert_int_equal(after.allocations, before.allocations);
    assert_int_equal(after.frees, before.frees);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_true(after.failures >= before.failures + COUNT(impossible) * 18);
    assert_string_equal(small, "small");
    assert_string_equal(large, "large");
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

static void no_bytes_are_no_block(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    assert_null(freehold_alloc(&heap, 0));
    assert_null(freehold_alloc_zeroed(&heap, 0));
    assert_null(freehold_alloc_aligned(&heap, 0, 64, 0));
    assert_null(freehold_remap(&heap, NULL, 0));
    assert_null(freehold_realloc(&heap, NULL, 0));
    assert_int_equal(freehold_free(&heap, NULL), 0);
    assert_int_equal(freehold_free_sized(&heap, NULL, 10), 0);
    assert_int_equal(freehold_usable_size(&heap, NULL), 0);
    assert_false(freehold_resize(&heap, NULL, 10));
    freehold_statistics stats = freehold_stats(&heap);
    assert_int_equal(stats.allocations, 0);
    assert_int_equal(stats.failures, 0);

    void *block = freehold_alloc(&heap, 10);
    assert_false(freehold_resize(&heap, block, 0));
    assert_int_equal(live(&heap), 1);
    assert_null(freehold_remap(&heap, block, 0)); /* frees */
    assert_int_equal(live(&heap), 0);
    block = freehold_alloc(&heap, MIB);
    assert_null(freehold_realloc(&heap, block, 0));
    assert_int_equal(live(&heap), 0);
    freehold_heap_deinit(&heap);
}

/* T2: also the second block, and blocks that are used again. */
static void alignments_are_kept(void **unused)
{
    (void)unused;
    static const size_t some[] = {1, 16, 24, 100, 1000, 5000, 100000, 600000};
    freehold_heap heap;
    freehold_heap_init(&heap);
    for (size_t alignment = 1; alignment <= 2 * MIB; alignment *= 2)
        for (size_t i = 0; i < COUNT(some); i++) {
            void *block[3];
            for (size_t k = 0; k < 3; k++) {
                block[k] = freehold_alloc_aligned(&heap, some[i], alignment, k * alignment);
                assert_non_null(block[k]);
                assert_int_equal((uintptr_t)block[k] & (alignment - 1), 0);
                assert_true(freehold_usable_size(&heap, block[k]) >= some[i]);
            }
            for (size_t k = 0; k < 3; k++)
                freehold_free(&heap, block[k]);
        }
    assert_int_equal(live(&heap), 0);
    assert_null(freehold_alloc_aligned(&heap, 10, 0, 0));
    assert_null(freehold_alloc_aligned(&heap, 10, 48, 0));
    assert_null(freehold_alloc_aligned(&heap, 10, SIZE_MAX, 0));
    assert_null(freehold_alloc_aligned(&heap, 10, SIZE_MAX / 2 + 1, 0));
    assert_null(freehold_alloc_aligned(
        &heap, 10, SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX / 2 + 1, 0));
    assert_null(freehold_alloc_aligned(&heap, 10, 16, 8));
    assert_non_null(freehold_alloc_aligned(&heap, 10, 8, 24));
    assert_int_equal(live(&heap), 1);
    freehold_heap_deinit(&heap);
}

static void an_instance_may_raise_the_alignment(void **unused)
{
    (void)unused;
    static const struct {
        size_t given, alignment;
    } cases[] = {{0, 16}, {3, 16}, {16, 16}, {17, 32}, {64, 64}, {100, 128}, {65536, 65536}};
    for (size_t c = 0; c < COUNT(cases); c++) {
        freehold_heap heap;
        freehold_heap_init_aligned(&heap, cases[c].given);
        assert_int_equal(heap.base.alignment, cases[c].alignment);
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *block = freehold_alloc(&heap, sizes[i]);
            assert_int_equal((uintptr_t)block & (cases[c].alignment - 1), 0);
            block = freehold_realloc(&heap, block, sizes[i] * 3 + 100);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block & (cases[c].alignment - 1), 0);
            block = freehold_alloc_aligned(&heap, sizes[i], 16, 0);
            assert_int_equal((uintptr_t)block & (cases[c].alignment - 1), 0);
            block = freehold_alloc_zeroed(&heap, sizes[i]);
            assert_int_equal((uintptr_t)block & (cases[c].alignment - 1), 0);
            assert_true(freehold_free_sized(&heap, block, sizes[i]) >= sizes[i]); /* F4 */
        }
        freehold_heap_deinit(&heap);
    }
}

/* T10: fresh, used before, and both mixed. */
static void zeroed_blocks_read_zero(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    for (size_t round = 0; round < 4; round++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *block[20];
            size_t count = sizes[i] < 100000 ? COUNT(block) : 2;
            for (size_t k = 0; k < count; k++) {
                block[k] = k % 3 == 2 ? freehold_alloc_zeroed(&heap.base, sizes[i])
                                      : freehold_alloc_zeroed(&heap, sizes[i]);
                assert_non_null(block[k]);
                assert_true(all_bytes(block[k], 0, sizes[i]));
                memset(block[k], 0xEE, freehold_usable_size(&heap, block[k]));
            }
            for (size_t k = round % 2; k < count; k++)
                freehold_free(&heap, block[k]);
        }
    freehold_heap_deinit(&heap);
}

static void resize_stays_in_its_place(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    char *block = freehold_alloc(&heap, 1500); /* a class of 1536 */
    strcpy(block, "contents");
    assert_true(freehold_resize(&heap, block, 1536));
    assert_true(freehold_resize(&heap, block, 1281));
    assert_true(freehold_resize(&heap, block, 768)); /* no more than twice too large */
    assert_false(freehold_resize(&heap, block, 767));
    assert_false(freehold_resize(&heap, block, 1537));
    assert_int_equal(freehold_usable_size(&heap, block), 1536);
    assert_ptr_equal(freehold_remap(&heap, block, 1400), block);
    assert_ptr_equal(freehold_realloc(&heap, block, 1500), block);
    assert_string_equal(block, "contents");
    assert_int_equal(freehold_free_sized(&heap, block, 1500), 1536);

    /* A large block gives its end back, and takes it again; it does not become a slot. */
    size_t page = freehold__port_page_size();
    char *large = freehold_alloc(&heap, 8 * MIB);
    memset(large, 7, 8 * MIB);
    uint64_t mapped = freehold__fault_mapped();
    assert_true(freehold_resize(&heap, large, 5 * MIB));
    assert_int_equal(
        freehold_usable_size(&heap, large), 8 * MIB); /* no more than twice too large */
    assert_true(freehold_resize(&heap, large, 3 * MIB + 1));
    assert_int_equal(freehold_usable_size(&heap, large), 3 * MIB + page);
    assert_int_equal(freehold__fault_mapped(), mapped - 5 * MIB + page);
    assert_int_equal(freehold_stats(&heap).live_bytes, 3 * MIB + page);
    assert_true(all_bytes(large, 7, 3 * MIB + page));
    assert_false(freehold_resize(&heap, large, 5 * MIB)); /* nothing behind it that is ours */
    assert_false(freehold_resize(&heap, large, 1000));
    assert_null(freehold_check(&heap));
    assert_int_equal(freehold_free_sized(&heap, large, 3 * MIB + 1), 3 * MIB + page);

    /* One cut in two out of kept memory: the first grows into the second when that is freed (T9).
     * */
    freehold_heap_deinit(&heap);
    freehold_heap_init(&heap);
    void *whole = freehold_alloc(&heap, 8 * MIB);
    freehold_free(&heap, whole);
    char *first = freehold_alloc(&heap, 2 * MIB), *second = freehold_alloc(&heap, 2 * MIB);
    assert_ptr_equal(first + 2 * MIB, second);
    memset(first, 3, 2 * MIB);
    assert_false(freehold_resize(&heap, first, 4 * MIB));
    freehold_free(&heap, second);
    assert_true(freehold_resize(&heap, first, 4 * MIB));
    assert_true(freehold_usable_size(&heap, first) >= 4 * MIB);
    assert_true(all_bytes(first, 3, 2 * MIB));
    memset(first, 4, 4 * MIB);
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

static void remap_keeps_the_contents(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t k = 0; k < COUNT(sizes); k++) {
            size_t least = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
            char *block = freehold_remap(&heap, NULL, sizes[i]);
            assert_non_null(block);
            memset(block, (int)i + 1, sizes[i]);
            block = k % 2 ? freehold_remap(&heap, block, sizes[k])
                          : freehold_realloc(&heap, block, sizes[k]);
            assert_non_null(block);
            assert_true(all_bytes(block, (int)i + 1, least));
            assert_true(freehold_usable_size(&heap, block) >= sizes[k]);
            assert_int_equal(live(&heap), 1);
            assert_true(freehold_free_sized(&heap, block, sizes[k]) >= sizes[k]);
        }
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

/* F5 */
static void any_pointer_leads_to_its_block(void **unused)
{
    (void)unused;
    freehold_heap heap, other;
    freehold_heap_init(&heap);
    freehold_heap_init(&other);
    static int global;
    int local;
    assert_false(freehold_owns(&heap, &local)); /* before it has any memory */
    assert_null(freehold_base(&heap, NULL));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *block = freehold_alloc(&heap, sizes[i]), *foreign = freehold_alloc(&other, sizes[i]);
        size_t usable = freehold_usable_size(&heap, block);
        const size_t at[] = {0, 1, 8, usable / 2, usable - 1};
        for (size_t k = 0; k < COUNT(at); k++) {
            assert_ptr_equal(freehold_base(&heap, block + at[k]), block);
            assert_ptr_equal(freehold_base(&heap.base, block + at[k]), block);
            assert_true(freehold_owns(&heap, block + at[k]));
            assert_false(freehold_owns(&other, block + at[k]));
            assert_false(freehold_owns(&other.base, block + at[k]));
            assert_ptr_equal(freehold_base(&other, foreign + at[k]), foreign);
        }
        assert_ptr_not_equal(freehold_base(&heap, block + usable), block);
        assert_ptr_not_equal(freehold_base(&heap, block - 1), block);
        freehold_free(&heap, block);
        assert_false(freehold_owns(&heap, block));
        assert_null(freehold_base(&heap, block + usable / 2));
    }
    assert_false(freehold_owns(&heap, &local));
    assert_false(freehold_owns(&heap, &global));
    assert_false(freehold_owns(&heap, &heap));
    assert_false(freehold_owns(&heap, (void *)UINTPTR_MAX));
    assert_false(freehold_owns(&heap, (void *)(uintptr_t)any_pointer_leads_to_its_block));
    freehold_heap_deinit(&heap);
    freehold_heap_deinit(&other);
}

typedef struct seen {
    void **block;
    size_t *bytes;
    size_t count, limit;
} seen;

static bool note(void *context, void *block, size_t bytes)
{
    seen *s = context;
    assert_true(s->count < s->limit);
    s->block[s->count] = block;
    s->bytes[s->count++] = bytes;
    return true;
}

static bool stop_at_limit(void *context, void *block, size_t bytes)
{
    (void)block;
    (void)bytes;
    seen *s = context;
    return ++s->count < s->limit;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;
    return (x > y) - (x < y);
}

/* F12, T13: what free has put back, and what waits to be handed out, is not visited. */
static void a_walk_sees_what_is_live(void **unused)
{
    (void)unused;
    enum { BLOCKS = 4000 };
    static void *block[BLOCKS], *found[BLOCKS];
    static size_t bytes[BLOCKS];
    freehold_heap heap;
    freehold_heap_init(&heap);
    seen none = {found, bytes, 0, BLOCKS};
    assert_true(freehold_walk(&heap, note, &none));
    assert_int_equal(none.count, 0);
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = freehold_alloc(&heap, i % 100 == 0 ? 600000 + i : sizes[i % 20]);
        assert_non_null(block[i]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        if (i % 7 < 3)
            freehold_free(&heap, block[i]);
        else
            block[kept++] = block[i];
    }
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        seen s = {found, bytes, 0, BLOCKS};
        assert_true(dynamic ? freehold_walk(&heap.base, note, &s) : freehold_walk(&heap, note, &s));
        assert_int_equal(s.count, kept);
        size_t sum = 0;
        for (size_t i = 0; i < kept; i++) {
            assert_int_equal(bytes[i], freehold_usable_size(&heap, found[i]));
            sum += bytes[i];
        }
        assert_int_equal(sum, freehold_stats(&heap).live_bytes);
        qsort(found, kept, sizeof *found, by_address);
        qsort(block, kept, sizeof *block, by_address);
        assert_memory_equal(found, block, kept * sizeof *block);
    }
    seen few = {found, bytes, 0, 10};
    assert_false(freehold_walk(&heap, stop_at_limit, &few));
    assert_int_equal(few.count, 10);
    few = (seen){found, bytes, 0, kept};
    assert_false(
        freehold_walk(&heap, stop_at_limit, &few)); /* in the large blocks, the last ones */
    assert_int_equal(few.count, kept);
    freehold_heap_deinit(&heap);
}

/* F31 */
static void heaps_are_independent(void **unused)
{
    (void)unused;
    enum { BLOCKS = 1000 };
    static unsigned char *kept[BLOCKS];
    uint64_t mapped = freehold__fault_mapped();
    freehold_heap first, second;
    freehold_heap_init(&first);
    freehold_heap_init(&second);
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t bytes = sizes[i % 20];
        unsigned char *lost = freehold_alloc(&first, bytes);
        kept[i] = freehold_alloc(&second, bytes);
        memset(lost, 0xFF, bytes);
        memset(kept[i], (int)i, bytes);
    }
    uint64_t with_both = freehold__fault_mapped();
    freehold_heap_deinit(&first);
    assert_true(freehold__fault_mapped() < with_both && freehold__fault_mapped() > mapped);
    assert_int_equal(live(&second), BLOCKS);
    assert_null(freehold_check(&second));
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_true(all_bytes(kept[i], (int)i, sizes[i % 20]));
        freehold_free(&second, kept[i]);
    }
    assert_int_equal(live(&second), 0);
    freehold_heap_deinit(&second);
    assert_int_equal(freehold__fault_mapped(), mapped);
}

static void trim_gives_back_what_is_free(void **unused)
{
    (void)unused;
    enum { BLOCKS = 20000 };
    static void *block[BLOCKS];
    freehold_heap heap;
    freehold_heap_init(&heap);
    for (size_t i = 0; i < BLOCKS; i++)
        memset(block[i] = freehold_alloc(&heap, 1000), 1, 1000);
    freehold_free(&heap, memset(freehold_alloc(&heap, 10 * MIB), 1, 10 * MIB));
    for (size_t i = 0; i < BLOCKS; i++)
        if (i % 1000 != 0)
            freehold_free(&heap, block[i]);
    assert_true(freehold_stats(&heap).retained_bytes >= 10 * MIB);
    assert_true(freehold_trim(&heap) >= 20 * MIB);
    assert_int_equal(freehold_stats(&heap).retained_bytes, 0);
    assert_true(freehold_stats(&heap).purged_bytes >= 20 * MIB);
    assert_true(freehold_trim(&heap) <= 65536); /* but for the slab in use, nothing is left */
    freehold_free(&heap, memset(freehold_alloc(&heap, MIB), 1, MIB));
    assert_true(freehold_trim(&heap.base) >= MIB);
    for (size_t i = 0; i < BLOCKS; i += 1000)
        assert_true(all_bytes(block[i], 1, 1000));
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

static void check_finds_damage(void **unused)
{
    (void)unused;
    freehold_heap heap;
    freehold_heap_init(&heap);
    void *block = freehold_alloc(&heap, 100);
    assert_null(freehold_check(&heap));
    freehold__slab *slab = freehold__page_map_find((uintptr_t)block);
    slab->opened ^= 0x8000;
    assert_string_equal(freehold_check(&heap), "slab: more slots are open than there are");
    assert_string_equal(freehold_check(&heap.base), "slab: more slots are open than there are");
    slab->opened ^= 0x8000;
    slab->countdown++;
    assert_string_equal(freehold_check(&heap), "slab: used does not agree with the bitmap");
    slab->countdown--;
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

/*
 * T17: the same calls, typed and through the table, have the same results and statistics. (Large
 * blocks are left out: how long one is, and whether it must move, depends on what happens to lie
 * behind it.)
 */
#define SLOT_SIZES 27 /* of `sizes` */

static uint64_t random_state = 12345;

static size_t random_below(size_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % limit;
}

static void assert_same(void *typed, void *dynamic, freehold_heap *a, freehold_allocator *b)
{
    assert_int_equal(typed == NULL, dynamic == NULL);
    if (typed != NULL)
        assert_int_equal(freehold_usable_size(a, typed), freehold_usable_size(b, dynamic));
}

static void typed_and_dynamic_calls_agree(void **unused)
{
    (void)unused;
    enum { SLOTS = 200 };
    static void *typed[SLOTS], *dynamic[SLOTS];
    static size_t asked[SLOTS];
    freehold_heap heap, another;
    freehold_heap_init(&heap);
    freehold_heap_init(&another);
    freehold_allocator *base = &another.base;
    assert_int_equal(sizes[SLOT_SIZES - 1], FREEHOLD__SLOT_MAX);
    for (size_t step = 0; step < 20000; step++) {
        size_t i = random_below(SLOTS);
        size_t bytes = random_below(50) == 0 ? impossible[random_below(COUNT(impossible))]
                                             : sizes[random_below(SLOT_SIZES)];
        if (random_below(20) == 0)
            bytes = 0;
        if (typed[i] == NULL) {
            size_t alignment = (size_t)1 << random_below(16), how = random_below(3);
            typed[i] = how == 0 ? freehold_alloc(&heap, bytes)
                       : how == 1
                           ? freehold_alloc_zeroed(&heap, bytes)
                           : freehold_alloc_aligned(&heap, bytes, alignment + (step % 7 == 0), 0);
            dynamic[i] = how == 0 ? freehold_alloc(base, bytes)
                         : how == 1
                             ? freehold_alloc_zeroed(base, bytes)
                             : freehold_alloc_aligned(base, bytes, alignment + (step % 7 == 0), 0);
            asked[i] = how == 2 ? 0 : bytes;
            assert_same(typed[i], dynamic[i], &heap, base);
            continue;
        }
        void *old[2] = {typed[i], dynamic[i]}, *now[2];
        bool done;
        switch (random_below(5)) {
        case 0:
            assert_int_equal(freehold_free(&heap, typed[i]), freehold_free(base, dynamic[i]));
            typed[i] = dynamic[i] = NULL;
            break;
        case 1:
            if (asked[i] == 0)
                break;
            assert_int_equal(freehold_free_sized(&heap, typed[i], asked[i]),
                freehold_free_sized(base, dynamic[i], asked[i]));
            typed[i] = dynamic[i] = NULL;
            break;
        case 2:
            done = freehold_resize(&heap, typed[i], bytes);
            assert_int_equal(done, freehold_resize(base, dynamic[i], bytes));
            asked[i] = done ? bytes : asked[i];
            break;
        case 3:
            now[0] = freehold_remap(&heap, typed[i], bytes);
            now[1] = freehold_remap(base, dynamic[i], bytes);
            goto moved;
        default:
            now[0] = freehold_realloc(&heap, typed[i], bytes);
            now[1] = freehold_realloc(base, dynamic[i], bytes);
        moved:
            assert_int_equal(now[0] == NULL, now[1] == NULL);
            assert_int_equal(now[0] == old[0], now[1] == old[1]);
            if (now[0] != NULL || bytes == 0) {
                typed[i] = now[0];
                dynamic[i] = now[1];
                asked[i] = bytes;
            }
            break;
        }
    }
    freehold_statistics a = freehold_stats(&heap), b = freehold_stats(base);
    assert_true(a.allocations > 5000 && a.frees > 4000 && a.failures > 100);
    assert_int_equal(a.live_bytes, b.live_bytes);
    assert_int_equal(a.allocations, b.allocations);
    assert_int_equal(a.frees, b.frees);
    assert_int_equal(a.failures, b.failures);
    assert_null(freehold_check(&heap));
    assert_null(freehold_check(base));
    freehold_heap_deinit(&heap);
    freehold_heap_deinit(&another);
}

/* T16: each call of the port fails in turn. What was asked for is NULL, and the rest is as it was.
 * */
static void every_call_of_the_port_may_fail(void **unused)
{
    (void)unused;
    uint64_t mapped = freehold__fault_mapped();
    uint64_t first = 1, calls;
    size_t refused = 0;
    do {
        freehold_heap heap;
        freehold_heap_init(&heap);
        size_t refused_before = refused;
        freehold__fault_set(first, 2);
        void *block[COUNT(sizes)];
        for (size_t i = 0; i < COUNT(sizes); i++) {
            block[i] =
                i % 2 ? freehold_alloc(&heap, sizes[i]) : freehold_alloc_zeroed(&heap, sizes[i]);
            if (block[i] != NULL)
                memset(block[i], (int)i, sizes[i]);
            else
                refused++;
        }
        for (size_t i = 0; i < COUNT(sizes); i += 2) {
            size_t bytes = sizes[i] * 3;
            void *moved = block[i] != NULL ? freehold_realloc(&heap, block[i], bytes) : NULL;
            if (block[i] != NULL && moved == NULL)
                refused++;
            if (moved != NULL)
                block[i] = moved;
        }
        freehold_trim(&heap);
        calls = freehold__fault_calls();
        freehold__fault_set(0, 0);
        assert_null(freehold_check(&heap));
        uint64_t blocks = 0;
        for (size_t i = 0; i < COUNT(sizes); i++)
            if (block[i] != NULL) {
                blocks++;
                assert_true(all_bytes(block[i], (int)i, sizes[i]));
            }
        assert_int_equal(live(&heap), blocks);
        assert_int_equal(freehold_stats(&heap).failures, refused - refused_before);
        for (size_t i = 0; i < COUNT(sizes); i++)
            assert_non_null(
                block[i] = freehold_realloc(&heap, block[i], sizes[i])); /* it goes on */
        freehold_heap_deinit(&heap);
        assert_int_equal(freehold__fault_mapped(), mapped);
    } while (first++ < calls);
    assert_true(first > 15 && refused >= 5);
}

/* ---- the macros, and allocators of users ----------------------------------------------------- */

/* F2: each argument is evaluated once. */
static void arguments_are_evaluated_once(void **unused)
{
    (void)unused;
    freehold_heap heap[2];
    freehold_heap_init(&heap[0]);
    freehold_heap *h = heap;
    void *block[8] = {0}, **p = block;
    size_t n = 100, a = 32, o = 0;
    *p++ = freehold_alloc(h++, n++);
    assert_true(h-- == heap + 1 && n == 101);
    *p++ = freehold_alloc_zeroed(h++, n++);
    assert_true(h-- == heap + 1 && n == 102);
    *p++ = freehold_alloc_aligned(h++, n++, a++, o++);
    assert_true(h-- == heap + 1 && n == 103 && a == 33 && o == 1);
    p = block;
    assert_true(freehold_resize(h++, *p++, n++));
    assert_true(h-- == heap + 1 && p == block + 1 && n == 104);
    block[6] = freehold_remap(h++, *p++, n++);
    assert_true(h-- == heap + 1 && p == block + 2 && n == 105);
    block[7] = freehold_realloc(h++, *p++, n++);
    assert_true(h-- == heap + 1 && p == block + 3 && n == 106);
    p = block + 6;
    assert_true(freehold_usable_size(h++, *p++) == 112 && h-- == heap + 1 && p-- == block + 7);
    assert_true(freehold_owns(h++, *p++) && h-- == heap + 1 && p-- == block + 7);
    assert_true(freehold_base(h++, *p++) == block[6] && h-- == heap + 1 && p-- == block + 7);
    assert_true(freehold_free_sized(h++, *p++, --n) == 112 && h-- == heap + 1 && n == 105);
    assert_true(freehold_free(h++, *p++) != 0 && h-- == heap + 1 && p == block + 8);
    assert_true(freehold_stats(h++).allocations >= 3 && h-- == heap + 1);
    assert_true(freehold_check(h++) == NULL && h-- == heap + 1);
    seen s = {block, &n, 0, 100}, *sp = &s;
    freehold_walk(h++, stop_at_limit, sp++);
    assert_true(h-- == heap + 1 && sp == &s + 1 && s.count == 1);
    freehold_trim(h++);
    assert_true(h == heap + 1);
    freehold_heap_deinit(&heap[0]);
}

/* An allocator that asserts its side of the contract and answers from a buffer. */
typedef struct mine {
    freehold_allocator base;
    size_t used, bytes, alignment, offset;
    int allocated, freed, resized;
    bool zeroed, refuse;
    _Alignas(4096) char buffer[65536];
} mine;

static void *mine_allocate(
    freehold_allocator *self, size_t bytes, size_t alignment, size_t offset, bool zeroed)
{
    mine *m = (mine *)self;
    assert_true(bytes != 0 && freehold__is_power_of_two(alignment));
    assert_true(alignment >= self->alignment && offset < alignment);
    m->allocated++;
    m->bytes = bytes;
    m->alignment = alignment;
    m->offset = offset;
    m->zeroed = zeroed;
    size_t at = (m->used + offset + alignment - 1) / alignment * alignment - offset;
    if (m->refuse || bytes > sizeof m->buffer - at)
        return NULL;
    m->used = at + (bytes + 63) / 64 * 64; /* as mine_usable_size says */
    return memset(m->buffer + at, zeroed ? 0 : 0x55, bytes);
}

static size_t mine_free(freehold_allocator *self, void *block)
{
    mine *m = (mine *)self;
    assert_non_null(block);
    m->freed++;
    return 1234;
}

static bool mine_resize(freehold_allocator *self, void *block, size_t bytes)
{
    assert_true(block != NULL && bytes != 0);
    ((mine *)self)->resized++;
    return bytes <= 50;
}

static size_t mine_usable_size(freehold_allocator *self, const void *block)
{
    (void)self;
    assert_non_null(block);
    return 64;
}

#define MINE                                                                                       \
    .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'm', 'i', 'n', 'e'), .name = "mine",               \
    .allocate = mine_allocate, .free = mine_free

static void a_user_may_write_an_allocator(void **unused)
{
    (void)unused;
    static const freehold_operations least = {MINE};
    static const freehold_operations more = {
        MINE, .resize = mine_resize, .usable_size = mine_usable_size};
    static mine m;
    freehold_allocator *a = &m.base;
    freehold_allocator_init(a, &least, 20);
    assert_int_equal(a->alignment, 32);

    char *block = freehold_alloc(a, 10);
    assert_true(m.bytes == 10 && m.alignment == 32 && m.offset == 0 && !m.zeroed);
    assert_true(all_bytes(freehold_alloc_zeroed(a, 11), 0, 11) && m.bytes == 11 && m.zeroed);
    char *aligned = freehold_alloc_aligned(a, 12, 256, 64 + 256);
    assert_true(m.alignment == 256 && m.offset == 64 && !m.zeroed);
    assert_int_equal(((uintptr_t)aligned + 64) % 256, 0);
    assert_non_null(freehold_alloc_aligned(a, 12, 8, 16));
    assert_true(m.alignment == 32 && m.offset == 0);
    int calls = m.allocated;
    assert_null(freehold_alloc_aligned(a, 12, 8, 4));
    assert_null(freehold_alloc_aligned(a, 12, 64, 16)); /* the block would be off its own 32 */
    assert_null(freehold_alloc_aligned(a, 12, 24, 0));
    assert_null(freehold_alloc(a, 0));
    assert_int_equal(m.allocated, calls);

    /* What stands for the operations that are not there. */
    assert_false(freehold_resize(a, block, 5));
    assert_null(freehold_remap(a, block, 5)); /* the size is not known, so it cannot be copied */
    assert_null(freehold_realloc(a, block, 5));
    assert_int_equal(m.freed, 0);
    assert_int_equal(freehold_usable_size(a, block), 0);
    assert_false(freehold_owns(a, block));
    assert_null(freehold_base(a, block));
    assert_int_equal(freehold_stats(a).allocations, 0);
    assert_null(freehold_check(a));
    assert_false(freehold_walk(a, note, NULL));
    assert_int_equal(freehold_trim(a), 0);
    assert_int_equal(freehold_free(a, block), 1234);
    assert_int_equal(freehold_free_sized(a, block, 99), 1234);
    assert_int_equal(freehold_free(a, NULL), 0);
    assert_null(freehold_remap(a, block, 0));
    assert_int_equal(m.freed, 3);
    freehold_allocator_deinit(a);

    m = (mine){.used = 0};
    freehold_allocator_init(a, &more, 0);
    block = freehold_alloc(a, 40);
    strcpy(block, "contents");
    assert_true(freehold_resize(a, block, 50));
    assert_ptr_equal(freehold_realloc(a, block, 50), block);
    assert_false(freehold_resize(a, block, 51));
    calls = m.resized;
    assert_false(freehold_resize(a, NULL, 10));
    assert_false(freehold_resize(a, block, 0));
    assert_int_equal(m.resized, calls);
    char *moved = freehold_realloc(a, block, 80);
    assert_true(moved != NULL && moved != block && m.freed == 1 && m.bytes == 80);
    assert_string_equal(moved, "contents");
    m.refuse = true;
    assert_null(freehold_remap(a, moved, 90));
    assert_int_equal(m.freed, 1);
    assert_string_equal(moved, "contents");
    assert_int_equal(freehold_usable_size(a, moved), 64);
    assert_int_equal(freehold_free_sized(a, moved, 64), 1234);
    freehold_allocator_deinit(a);
    freehold_allocator_deinit(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_asks_for_nothing_and_deinit_leaves_nothing),
        cmocka_unit_test(blocks_are_apart_and_have_their_size),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(no_bytes_are_no_block),
        cmocka_unit_test(alignments_are_kept),
        cmocka_unit_test(an_instance_may_raise_the_alignment),
        cmocka_unit_test(zeroed_blocks_read_zero),
        cmocka_unit_test(resize_stays_in_its_place),
        cmocka_unit_test(remap_keeps_the_contents),
        cmocka_unit_test(any_pointer_leads_to_its_block),
        cmocka_unit_test(a_walk_sees_what_is_live),
        cmocka_unit_test(heaps_are_independent),
        cmocka_unit_test(trim_gives_back_what_is_free),
        cmocka_unit_test(check_finds_damage),
        cmocka_unit_test(typed_and_dynamic_calls_agree),
        cmocka_unit_test(every_call_of_the_port_may_fail),
        cmocka_unit_test(arguments_are_evaluated_once),
        cmocka_unit_test(a_user_may_write_an_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
