/* SPDX-License-Identifier: MIT */
/*
 * F3: blocks of the heap with an offset that is no multiple of their alignment. Such a block is not
 * the first byte of its slot or mapping, and all else is as exact as with other blocks: misuse with
 * its exact text, sizes, resizing, looking, refusals. (T1, T2, T14, T16, T20)
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../family/memory.h"
#include "../family/reports.h"

#include "allocators/shifted.h"
#include "allocators/single.h"
#include "freehold/freehold.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t MIB = 1024 * 1024;
static freehold_heap heap;

static int setup(void **unused)
{
    (void)unused;
    note_mapped();
    freehold_heap_init(&heap);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    const char *wrong = freehold_check(&heap);
    freehold_heap_deinit(&heap);
    return all_is_well(wrong);
}

/* A block of each kind: a slot, a slot with a large alignment, a large block. */
static const struct {
    size_t bytes, alignment, offset;
} kinds[] = {{100, 64, 16}, {1000, 4096, 16}, {100, 2 * 1024 * 1024, 65536}, {1000000, 64, 48}};

static char *take(size_t kind)
{
    char *block =
        freehold_alloc_aligned(&heap, kinds[kind].bytes, kinds[kind].alignment, kinds[kind].offset);
    assert_non_null(block);
    assert_int_equal(((uintptr_t)block + kinds[kind].offset) % kinds[kind].alignment, 0);
    return block;
}

/* In functions of their own: a report leaves by longjmp. */
static void wrong(void *block, freehold_misuse what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void wrong(void *block, freehold_misuse what, const char *format, ...)
{
    char details[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(details, sizeof details, format, arguments);
    va_end(arguments);
    ASSERT_WRONG(&heap, block, what, "%s", details);
}

static void wrong_size(void *block, size_t given, size_t usable)
{
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&heap, block, given),
        "freehold_free_sized(%p): size mismatch: given %zu, but the block %p has %zu bytes", block,
        given, block, usable);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

static void such_a_block_is_freed_once(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char *block = take(i);
        size_t usable = freehold_usable_size(&heap, block);
        assert_int_equal(freehold_free(&heap, block), usable);
        for (int times = 0; times < 2; times++)
            wrong(block, FREEHOLD_DOUBLE_FREE, "double free: block of %zu bytes is already free",
                usable);
        char *others[2] = {take(i), take(i)}; /* while there are others of its kind as well */
        usable = freehold_usable_size(&heap, others[1]);
        freehold_free(&heap, others[1]);
        wrong(others[1], FREEHOLD_DOUBLE_FREE, "double free: block of %zu bytes is already free",
            usable);
        freehold_free(&heap, others[0]);
    }
}

static void such_a_block_has_one_address(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char *block = take(i);
        size_t usable = freehold_usable_size(&heap, block);
        size_t shift = kinds[i].alignment - kinds[i].offset;
        wrong(block + 16, FREEHOLD_INTERIOR_POINTER,
            "interior pointer: 16 bytes into the block %p of %zu bytes", block, usable);
        wrong(block + 1, FREEHOLD_MISALIGNED_POINTER,
            "misaligned pointer: 1 bytes into the block %p of %zu bytes", block, usable);
        /* Where its memory begins, which would be a block without the offset; and behind that. */
        wrong(block - shift, FREEHOLD_INVALID_POINTER,
            "invalid pointer: %zu bytes before the block %p of %zu bytes", shift, block, usable);
        wrong(block - 16, FREEHOLD_INVALID_POINTER,
            "invalid pointer: 16 bytes before the block %p of %zu bytes", block, usable);
        assert_int_equal(freehold_free(&heap, block), usable);
    }
}

/* When its memory is used again, the old address is inside what is there now. */
static void the_memory_is_used_again(void **unused)
{
    (void)unused;
    char *block = freehold_alloc_aligned(&heap, 100, 64, 16);
    size_t usable = freehold_usable_size(&heap, block);
    freehold_free(&heap, block);
    char *again = NULL;
    for (int i = 0; i < 5000 && again != block - 48; i++) {
        freehold_free(&heap, again);
        again = freehold_alloc_aligned(&heap, usable + 48, 64, 0);
    }
    assert_ptr_equal(again, block - 48);
    const freehold__slab *slab = freehold__page_map_find((uintptr_t)again);
    wrong(block, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 48 bytes into slot %u of %u, size %u, slab %p",
        (unsigned)freehold__slab_place(slab, (uintptr_t)again).slot, slab->slots, slab->size,
        (void *)slab->base);
    assert_true(freehold_free(&heap, again) != 0);
    wrong(block, FREEHOLD_DOUBLE_FREE, "double free: block of %zu bytes is already free", usable);
}

#define ALONE ((size_t)200000) /* in a slab */

/* When it has gone back, the old address is like any other there. */
static void the_memory_is_nobodys(void **unused)
{
    (void)unused;
    char *slot = freehold_alloc_aligned(&heap, ALONE, 64, 16), *large = take(3);
    freehold_free(&heap, slot);
    freehold_free(&heap, large);
    freehold_trim(&heap);
    wrong(slot, FREEHOLD_INVALID_POINTER,
        "invalid pointer: its pages hold no allocation (freed before, or never allocated)");
    wrong(large, FREEHOLD_FOREIGN_POINTER, "foreign pointer: not from this allocator");
}

/* When it is cut otherwise, it may lie in a block while there is a free one where its memory began. */
static void the_memory_has_other_blocks(void **unused)
{
    (void)unused;
    static char *others[4096];
    char *block = freehold_alloc_aligned(&heap, ALONE, 64, 16), *start = block - 48;
    freehold_free(&heap, block);
    freehold_trim(&heap);
    size_t first = COUNT(others);
    for (size_t i = 0; i < COUNT(others); i++) {
        others[i] = freehold_alloc(&heap, 32);
        if (others[i] == start)
            first = i;
    }
    assert_true(first < COUNT(others));
    freehold_free(&heap, others[first]);
    const freehold__slab *slab = freehold__page_map_find((uintptr_t)start);
    wrong(block, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 16 bytes into slot %u of %u, size 32, slab %p",
        (unsigned)freehold__slab_place(slab, (uintptr_t)start + 32).slot, slab->slots,
        (void *)slab->base);
}

/* F4 */
static void a_given_size_is_verified(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char *block = take(i);
        size_t usable = freehold_usable_size(&heap, block);
        const size_t sizes[] = {usable + 1, SIZE_MAX, SIZE_MAX - 40};
        for (size_t k = 0; k < COUNT(sizes); k++)
            wrong_size(block, sizes[k], usable);
        assert_int_equal(freehold_free_sized(&heap, block, kinds[i].bytes), usable);
    }
    char *block = freehold_alloc_aligned(&heap, 300, 64, 16);
    wrong_size(block, 20, freehold_usable_size(&heap, block));
}

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct seen {
    char *block;
    size_t bytes, times, others;
} seen;

static bool look(void *context, void *block, size_t bytes)
{
    seen *s = context;
    s->times += block == s->block && bytes == s->bytes;
    s->others += block != s->block;
    return true;
}

/* F5, F11, F12 */
static void it_is_seen_as_it_was_handed_out(void **unused)
{
    (void)unused;
    void *plain = freehold_alloc(&heap, 100);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t live = freehold_stats(&heap).live_bytes;
        char *block = take(i);
        size_t usable = freehold_usable_size(&heap, block);
        assert_in_range(usable, kinds[i].bytes, kinds[i].bytes * 2 + 4096);
        memset(block, 0x5A, usable);
        assert_int_equal(freehold_stats(&heap).live_bytes, live + usable);
        assert_ptr_equal(freehold_base(&heap, block), block);
        assert_ptr_equal(freehold_base(&heap, block + usable - 1), block);
        assert_null(freehold_base(&heap, block - 1));
        assert_null(freehold_base(&heap, block - 16));
        assert_false(freehold_owns(&heap, block - 1));
        assert_ptr_equal(freehold_base(&heap, (char *)plain + 7), plain);
        seen s = {block, usable, 0, 0};
        assert_true(freehold_walk(&heap, look, &s));
        assert_true(s.times == 1 && s.others == 1);
        assert_int_equal(freehold_free_zeroed(&heap, block), usable);
        assert_int_equal(freehold_stats(&heap).live_bytes, live);
        assert_null(freehold_base(&heap, block));
    }
}

static void it_is_resized_and_moved(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char *block = take(i);
        memset(block, 0x11, kinds[i].bytes);
        size_t usable = freehold_usable_size(&heap, block);
        assert_true(freehold_resize(&heap, block, usable)); /* all that it has */
        assert_ptr_equal(freehold_realloc(&heap, block, kinds[i].bytes), block);
        assert_false(freehold_resize(&heap, block, SIZE_MAX - 30));
        assert_null(freehold_remap(&heap, block, SIZE_MAX - 30));
        char *moved = freehold_realloc(&heap, block, 3 * MIB);
        assert_non_null(moved);
        for (size_t k = 0; k < kinds[i].bytes; k += 16)
            assert_int_equal(moved[k], 0x11);
        if (moved != block) /* it is a plain one now, and the old address is none */
            wrong(block, FREEHOLD_DOUBLE_FREE, "double free: block of %zu bytes is already free",
                usable);
        moved = freehold_realloc(&heap, moved, 50);
        assert_int_equal(moved[49], 0x11);
        freehold_free_sized(&heap, moved, 50);
    }
}

/* T1 */
static void impossible_ones_are_refused(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096, SIZE_MAX / 2 + 1,
        SIZE_MAX > UINT32_MAX ? SIZE_MAX / 4 + 1 : SIZE_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t alignment = 32; alignment <= 2 * MIB; alignment *= 4)
            assert_null(freehold_alloc_aligned(&heap, sizes[i], alignment, 16));
    assert_null(freehold_alloc_aligned(&heap, 10, SIZE_MAX / 2 + 1, 16));
    freehold_statistics stats = freehold_stats(&heap);
    assert_true(stats.failures == COUNT(sizes) * 9 + 1 && stats.allocations == 0);
    assert_int_equal(freehold_last_error(&heap), FREEHOLD_NO_MEMORY);
}

/* ---- many, refusals, damage ------------------------------------------------------------------ */

/* The table grows; and forgets what was freed, when its memory is another's. */
static void many_come_and_go(void **unused)
{
    (void)unused;
    static char *block[3000];
    uint64_t after_first = 0;
    for (int round = 0; round < 6; round++) {
        for (size_t i = 0; i < COUNT(block); i++) {
            block[i] = freehold_alloc_aligned(&heap, 1 + (i * 37 + (size_t)round) % 700, 32, 16);
            assert_int_equal((uintptr_t)block[i] % 32, 16);
            *block[i] = (char)i;
        }
        size_t usable = freehold_usable_size(&heap, block[0]);
        for (size_t i = 0; i < COUNT(block); i++) {
            assert_int_equal(*block[i], (char)i);
            freehold_free(&heap, block[i]);
        }
        wrong(block[0], FREEHOLD_DOUBLE_FREE, "double free: block of %zu bytes is already free",
            usable);
        freehold_trim(&heap);
        if (round == 0)
            after_first = freehold__fault_mapped();
    }
    assert_true(freehold__fault_mapped() <= after_first + MIB);
}

/* T16 */
static void every_call_of_the_port_may_fail(void **unused)
{
    (void)unused;
    uint64_t first = 1, calls;
    size_t refused = 0;
    do {
        freehold_heap h;
        uint64_t before = freehold__fault_mapped();
        freehold_heap_init(&h);
        size_t count = 0, none = 0;
        freehold__fault_set(first, 1);
        for (size_t i = 0; i < 120; i++) { /* the table grows on the way */
            size_t k = i % COUNT(kinds);
            void *block =
                freehold_alloc_aligned(&h, kinds[k].bytes, kinds[k].alignment, kinds[k].offset);
            count += block != NULL;
            none += block == NULL;
        }
        calls = freehold__fault_calls();
        freehold__fault_set(0, 0);
        assert_null(freehold_check(&h));
        freehold_statistics stats = freehold_stats(&h);
        assert_true(stats.allocations == count && stats.frees == 0 && stats.failures == none);
        refused += none;
        freehold_heap_deinit(&h);
        assert_int_equal(freehold__fault_mapped(), before);
    } while (first++ < calls && first < 150);
    assert_true(refused >= 5);
}

/* T14 */
static void damage_is_found(void **unused)
{
    (void)unused;
    freehold__shifted *shifted =
        (freehold__shifted *)(void *)((freehold__single *)(void *)heap.state + 1);
    (void)freehold__single_allocate_large; /* which single.h has for the allocators */
    take(0);
    assert_null(freehold_check(&heap));
    const char *counts = "blocks with an offset: their number or their bytes are wrong";
    shifted->live++;
    assert_string_equal(freehold_check(&heap), counts);
    shifted->live--;
    shifted->bytes += 16;
    assert_string_equal(freehold_check(&heap), counts);
    shifted->bytes -= 16;
    freehold__shifted_record *r = freehold__table_next(&shifted->table, NULL);
    uintptr_t other = r->other;
    r->other += 16;
    assert_string_equal(
        freehold_check(&heap), "blocks with an offset: a record has not its other one");
    r->other = other;
    r->key += 1;
    assert_string_equal(freehold_check(&heap), "records: one is not where its key leads");
    r->key -= 1;
    freehold__slab *slab = freehold__page_map_find(r->key);
    freehold__place place = freehold__slab_place(slab, r->key);
    assert_int_equal(freehold__slab_put(slab, slab->base + (uintptr_t)place.slot * slab->size),
        FREEHOLD__PUT_DONE);
    assert_string_equal(freehold_check(&heap), "blocks with an offset: one is in no memory");
    freehold_heap_deinit(&heap);
    freehold_heap_init(&heap);
}

static _Atomic bool ended;

static void *take_and_free(void *unused)
{
    while (!ended)
        freehold_free(&heap, freehold_alloc_aligned(&heap, 16, 4096, 16));
    return unused;
}

/* F11, F31: what is told of a moment is of one moment, so that no sum is below 0. */
static void counts_are_of_one_moment(void **unused)
{
    (void)unused;
    pthread_t thread;
    ended = false;
    assert_int_equal(pthread_create(&thread, NULL, take_and_free, NULL), 0);
    size_t most = 0;
    for (size_t i = 0; i < 1000000; i++) {
        size_t live = freehold_stats(&heap).live_bytes;
        most = live > most ? live : most;
    }
    ended = true;
    pthread_join(thread, NULL);
    assert_in_range(most, 0, 8192);
    assert_int_equal(freehold_stats(&heap).live_bytes, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(such_a_block_is_freed_once),
        TEST(such_a_block_has_one_address),
        TEST(the_memory_is_used_again),
        TEST(the_memory_is_nobodys),
        TEST(the_memory_has_other_blocks),
        TEST(a_given_size_is_verified),
        TEST(it_is_seen_as_it_was_handed_out),
        TEST(it_is_resized_and_moved),
        TEST(impossible_ones_are_refused),
        TEST(many_come_and_go),
        TEST(every_call_of_the_port_may_fail),
        TEST(counts_are_of_one_moment),
        TEST(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
