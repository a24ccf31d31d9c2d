/* SPDX-License-Identifier: MIT */
/* The budget: a caller's buffer in equal blocks, and no more (F25, T1, T2, T8, T10, T14, T17, T20). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freehold/freehold.h"
#include "port/fault.h"
#include "reports.h"

#define SLOTS        100
#define SIZE         48
#define COUNT(array) (sizeof(array) / sizeof *(array))

static _Alignas(64) unsigned char buffer[SLOTS * SIZE + 20]; /* 20 that make no slot */
static uint64_t words[FREEHOLD_BITMAP_WORDS(SLOTS)];
static freehold_budget budget;

static int setup(void **unused)
{
    (void)unused;
    memset(buffer, 0xA5, sizeof buffer);
    memset(words, 0xA5, sizeof words);
    memset(&budget, 0xA5, sizeof budget);
    freehold_budget_init(&budget, buffer, sizeof buffer, 33, words, COUNT(words));
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    freehold_budget_deinit(&budget);
    return 0;
}

static void fill(unsigned char *block[SLOTS])
{
    for (size_t i = 0; i < SLOTS; i++)
        assert_non_null(block[i] = freehold_alloc(&budget, 40));
}

/* F25: every slot once, then NULL; the lowest free one first; nothing asks the system. */
static void hands_out_its_slots_and_no_more(void **unused)
{
    (void)unused;
    freehold__fault_set(1, UINT64_MAX);
    unsigned char *block[SLOTS];
    assert_int_equal(freehold_budget_slots(&budget), SLOTS);
    fill(block);
    for (size_t i = 0; i < SLOTS; i++) {
        assert_ptr_equal(block[i], buffer + i * SIZE);
        memset(block[i], 0xFF, freehold_usable_size(&budget, block[i]));
    }
    assert_null(freehold_alloc(&budget, 1));
    assert_null(freehold_alloc(&budget.base, 1));
    assert_int_equal(freehold_last_error(&budget), FREEHOLD_NO_MEMORY);
    assert_int_equal(freehold_free(&budget, block[70]), SIZE);
    assert_int_equal(freehold_free(&budget.base, block[7]), SIZE);
    assert_int_equal(freehold_free_sized(&budget, block[64], 33), SIZE);
    assert_ptr_equal(freehold_alloc(&budget, 1), block[7]);
    assert_ptr_equal(freehold_alloc(&budget, SIZE), block[64]);
    assert_ptr_equal(freehold_alloc(&budget.base, 1), block[70]);
    assert_null(freehold_alloc(&budget, 1));
    assert_null(freehold_check(&budget));
    freehold_statistics s = freehold_stats(&budget);
    assert_int_equal(s.allocations, SLOTS + 3);
    assert_int_equal(s.frees, 3);
    assert_int_equal(s.failures, 3);
    assert_int_equal(s.requested_bytes, SLOTS * 40 + 1 + SIZE + 1);
    assert_int_equal(s.live_bytes, SLOTS * SIZE);
    assert_int_equal(s.peak_live_bytes, SLOTS * SIZE);
    assert_int_equal(s.mapped_bytes, SLOTS * SIZE);
    assert_int_equal(freehold__fault_calls(), 0);
    freehold__fault_set(0, 0);
}

/* F11 */
static void counts_begin_anew(void **unused)
{
    (void)unused;
    void *a = freehold_alloc(&budget, 10), *b = freehold_alloc(&budget, 10);
    assert_true(freehold_resize(&budget, a, 20));
    freehold_free(&budget, b);
    assert_int_equal(freehold_stats(&budget).peak_live_bytes, 2 * SIZE);
    assert_int_equal(freehold_stats(&budget).reallocations, 1);
    assert_true(freehold_reset_stats(&budget));
    freehold_statistics s = freehold_stats(&budget);
    assert_int_equal(s.allocations, 1);
    assert_int_equal(s.frees + s.reallocations + s.failures + s.requested_bytes, 0);
    assert_int_equal(s.live_bytes, SIZE);
    assert_int_equal(s.peak_live_bytes, SIZE);
    assert_null(freehold_check(&budget));
}

/* T1; and a slot is all that a request can have. */
static void larger_than_a_slot_is_refused(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {
        SIZE + 1, 4096, SIZE_MAX / 2 + 1, SIZE_MAX - 47, SIZE_MAX - 1, SIZE_MAX};
    char *block = freehold_alloc(&budget, 10);
    strcpy(block, "contents");
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(freehold_alloc(&budget, sizes[i]));
        assert_null(freehold_alloc_zeroed(&budget, sizes[i]));
        assert_null(freehold_alloc_aligned(&budget, sizes[i], 64, 0));
        assert_false(freehold_resize(&budget, block, sizes[i]));
        assert_null(freehold_remap(&budget, block, sizes[i]));
        assert_null(freehold_realloc(&budget, block, sizes[i]));
    }
    assert_true(freehold_resize(&budget, block, SIZE)); /* T9 */
    assert_ptr_equal(freehold_realloc(&budget, block, 1), block);
    assert_ptr_equal(freehold_remap(&budget, block, SIZE), block);
    assert_string_equal(block, "contents");
    freehold_statistics s = freehold_stats(&budget);
    assert_int_equal(s.allocations, 1);
    assert_int_equal(s.failures, 5 * COUNT(sizes));
    assert_null(freehold_check(&budget));
}

/* T2: every slot has the instance's alignment (S2's slab aligned only the first). */
static void every_slot_is_aligned(void **unused)
{
    (void)unused;
    static _Alignas(4096) unsigned char pages[4096 * 4];
    freehold_budget aligned;
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
        freehold_budget_init_aligned(
            &aligned, pages, sizeof pages, 4, words, COUNT(words), alignment);
        size_t slots = sizeof pages / alignment;
        if (slots > 128) { /* more than the words are for */
            assert_non_null(freehold_check(&aligned));
            continue;
        }
        assert_null(freehold_check(&aligned));
        assert_int_equal(freehold_budget_slots(&aligned), slots);
        for (size_t i = 0; i < slots; i++)
            assert_int_equal((uintptr_t)freehold_alloc(&aligned, 1) % alignment, 0);
        assert_null(freehold_alloc(&aligned, 1));
        freehold_budget_deinit(&aligned);
    }
}

/* A larger alignment, with an offset: what happens to have it, all of that, and nothing else. */
static void alignments_that_a_slot_happens_to_have(void **unused)
{
    (void)unused;
    for (size_t alignment = 32; alignment <= 256; alignment *= 2)
        for (size_t offset = 0; offset < alignment; offset += 16) {
            size_t have = 0, got = 0;
            for (size_t i = 0; i < SLOTS; i++)
                have += ((uintptr_t)buffer + i * SIZE + offset) % alignment == 0;
            unsigned char *block, *last = NULL;
            for (; (block = freehold_alloc_aligned(&budget, 40, alignment, offset)) != NULL;
                 got++) {
                assert_int_equal(((uintptr_t)block + offset) % alignment, 0);
                assert_true(block > last); /* the lowest first */
                last = block;
            }
            assert_int_equal(got, have);
            for (size_t i = 0; i < SLOTS; i++)
                if (freehold_owns(&budget, buffer + i * SIZE))
                    freehold_free(&budget, buffer + i * SIZE);
        }
    assert_null(freehold_alloc_aligned(&budget, 1, SIZE_MAX / 2 + 1, 0));
    assert_null(freehold_alloc_aligned(&budget, 1, 64, 8));
    assert_int_equal(freehold_stats(&budget).live_bytes, 0);
}

/* T10 */
static void zeroed_reads_zero(void **unused)
{
    (void)unused;
    static const unsigned char zero[SIZE];
    for (size_t round = 0; round < 3; round++) {
        unsigned char *block = freehold_alloc_zeroed(&budget, 41);
        assert_memory_equal(block, zero, 41);
        memset(block, 0xEE, SIZE);
        freehold_free(&budget, block);
    }
}

static bool visit(void *context, void *block, size_t bytes)
{
    size_t *seen = context;
    assert_int_equal(bytes, SIZE);
    assert_int_equal(((unsigned char *)block - buffer) % SIZE, 0);
    return ++*seen != 3;
}

/* F5, F12 */
static void looks_at_live_blocks(void **unused)
{
    (void)unused;
    unsigned char *block[SLOTS];
    size_t seen = 0;
    assert_true(freehold_walk(&budget, visit, &seen));
    assert_int_equal(seen, 0);
    fill(block);
    freehold_free(&budget, block[5]);
    assert_ptr_equal(freehold_base(&budget, block[4] + SIZE - 1), block[4]);
    assert_ptr_equal(freehold_base(&budget.base, block[99]), block[99]);
    for (size_t i = 0; i < SIZE; i++)
        assert_false(freehold_owns(&budget, block[5] + i));
    assert_null(freehold_base(&budget, buffer + SLOTS * SIZE));
    assert_null(freehold_base(&budget, (void *)((uintptr_t)buffer - 1)));
    assert_null(freehold_base(&budget, NULL));
    assert_null(freehold_base(&budget, (void *)UINTPTR_MAX));
    assert_false(freehold_walk(&budget, visit, &seen));
    assert_int_equal(seen, 3);
    assert_true(freehold_walk(&budget, visit, &seen));
    assert_int_equal(seen, 3 + SLOTS - 1);
    assert_int_equal(freehold_trim(&budget), 0);
}

/* F25, T20: exact, whatever the memory holds. */
static void misuse_is_exact(void **unused)
{
    (void)unused;
    unsigned char *block[SLOTS], local;
    const char *foreign = "foreign pointer: not from this allocator";
    ASSERT_WRONG(&budget, buffer, FREEHOLD_DOUBLE_FREE,
        "double free: slot 0 of 100, size 48, is already free");
    fill(block);
    freehold_free(&budget, block[99]);
    ASSERT_WRONG(&budget, block[99], FREEHOLD_DOUBLE_FREE,
        "double free: slot 99 of 100, size 48, is already free");
    ASSERT_WRONG(&budget, block[3] + 16, FREEHOLD_INTERIOR_POINTER,
        "interior pointer: 16 bytes into slot 3 of 100, size 48");
    ASSERT_WRONG(&budget, block[3] + 47, FREEHOLD_MISALIGNED_POINTER,
        "misaligned pointer: 47 bytes into slot 3 of 100, size 48");
    ASSERT_WRONG(&budget, buffer + SLOTS * SIZE, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    ASSERT_WRONG(
        &budget, (void *)((uintptr_t)buffer - 16), FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    ASSERT_WRONG(&budget, &local, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    ASSERT_WRONG(&budget, words, FREEHOLD_FOREIGN_POINTER, "%s", foreign);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&budget, block[3], 49),
        "freehold_free_sized(%p): size mismatch: given 49, but slot 3 of 100, size 48, holds 1 to "
        "48 bytes",
        (void *)block[3]);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&budget.base, block[3], 0),
        "freehold_free_sized(%p): size mismatch: given 0, but slot 3 of 100, size 48, holds 1 to "
        "48 bytes",
        (void *)block[3]);
    assert_int_equal(freehold_stats(&budget).live_bytes, 99 * SIZE);
}

/* S2's budget has its bitmap where an overflow may reach it; here all of the buffer may be written. */
static void no_write_in_the_buffer_reaches_the_state(void **unused)
{
    (void)unused;
    unsigned char *block[SLOTS];
    fill(block);
    for (size_t i = 0; i < SLOTS; i += 2)
        freehold_free(&budget, block[i]);
    memset(buffer, 0xFF, sizeof buffer);
    assert_null(freehold_check(&budget));
    for (size_t i = 0; i < SLOTS; i += 2)
        assert_ptr_equal(freehold_alloc(&budget, 1), block[i]);
    assert_null(freehold_alloc(&budget, 1));
    for (size_t i = 0; i < sizeof buffer; i++)
        assert_int_equal(buffer[i], 0xFF); /* nor did the budget write there */
}

static void refused(const char *why)
{
    assert_string_equal(freehold_check(&budget), why);
    assert_null(freehold_alloc(&budget, 1));
    assert_int_equal(freehold_last_error(&budget), FREEHOLD_INVALID);
    assert_null(freehold_alloc_zeroed(&budget.base, 1));
    assert_int_equal(freehold_stats(&budget).failures, 0);
    assert_int_equal(freehold_stats(&budget).mapped_bytes, 0);
    assert_int_equal(freehold_budget_slots(&budget), 0);
    assert_false(freehold_owns(&budget, buffer));
    assert_true(freehold_walk(&budget, visit, NULL));
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&budget, buffer),
        "freehold_free(%p): foreign pointer: not from this allocator", (void *)buffer);
}

/* F25: what init cannot use is said by the validator, and every request is refused (S2: fatal). */
static void what_cannot_be_used_is_refused(void **unused)
{
    (void)unused;
    static const struct {
        void *buffer;
        size_t bytes, slot;
        uint64_t *words;
        size_t count;
        const char *why;
    } cases[] = {
        {buffer, sizeof buffer, 0, words, 2, "the slots of the budget have 0 bytes"},
        {buffer, 47, 48, words, 2, "the buffer of the budget is smaller than a slot"},
        {buffer, 0, 1, words, 2, "the buffer of the budget is smaller than a slot"},
        {buffer, sizeof buffer, SIZE_MAX, words, 2,
            "the buffer of the budget is smaller than a slot"},
        {buffer, sizeof buffer, SIZE_MAX - 15, words, 2,
            "the buffer of the budget is smaller than a slot"},
        {NULL, sizeof buffer, 48, words, 2, "the budget has no buffer"},
        {buffer + 8, sizeof buffer - 8, 48, words, 2, "the buffer of the budget is not aligned"},
        {buffer, SIZE_MAX - 63, 48, words, 2, "the buffer of the budget is larger than memory"},
        {buffer, sizeof buffer, 48, NULL, 2, "the budget has no words, or they are not aligned"},
        {buffer, sizeof buffer, 48, words, 2, "the budget has too few words for its slots"},
        {buffer, sizeof buffer, 48, (uint64_t *)(buffer + 4800), 3,
            "the words of the budget lie in its buffer"},
        {buffer + 16, 4800, 48, (uint64_t *)buffer, 3, "the words of the budget lie in its buffer"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned char before[sizeof buffer];
        memcpy(before, buffer, sizeof buffer);
        freehold_budget_init(&budget, cases[i].buffer, cases[i].bytes, cases[i].slot,
            cases[i].words, cases[i].count);
        refused(cases[i].why);
        assert_memory_equal(before, buffer, sizeof buffer); /* T8: left alone */
    }
    freehold_budget_init_aligned(&budget, buffer + 16, 4000, 48, words, COUNT(words), 64);
    refused("the buffer of the budget is not aligned");
}

/* F6: when it is full a heap stands in, and each block goes back to where it came from. */
static void a_heap_stands_in_when_it_is_full(void **unused)
{
    (void)unused;
    unsigned char *block[SLOTS];
    freehold_heap heap;
    freehold_heap_init(&heap);
    freehold_policy policy = {.fallback = &heap.base};
    freehold_set_policy(&budget.base, &policy);
    fill(block);
    unsigned char *more = freehold_alloc(&budget, 40), *large = freehold_alloc(&budget.base, 4000);
    assert_true(freehold_owns(&heap, more) && freehold_owns(&heap, large));
    memset(block[9], 9, SIZE);
    block[9] = freehold_realloc(&budget, block[9], 100); /* too large for a slot: it moves */
    assert_true(freehold_owns(&heap, block[9]) && block[9][SIZE - 1] == 9);
    assert_ptr_equal(freehold_alloc(&budget, 1), buffer + 9 * SIZE);
    assert_true(freehold_free(&budget, more) >= 40);
    assert_true(freehold_free(&budget.base, large) >= 4000);
    assert_true(freehold_free(&budget, block[9]) >= 100);
    assert_int_equal(freehold_stats(&heap).live_bytes, 0);
    assert_int_equal(freehold_stats(&budget).live_bytes, SLOTS * SIZE);
    freehold_set_policy(&budget.base, NULL);
    freehold_heap_deinit(&heap);
}

/* F1, F10 */
static void its_life_is_that_of_any_allocator(void **unused)
{
    (void)unused;
    freehold_budget copy = budget, zero;
    memset(&zero, 0, sizeof zero);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&copy, 1),
        "freehold_alloc(%p): wrong type: not an initialised budget", (void *)&copy);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_budget_deinit(&zero),
        "freehold_budget_deinit(%p): wrong type: not an initialised budget", (void *)&zero);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_budget_slots(&zero),
        "freehold_budget_slots(%p): wrong type: not an initialised budget", (void *)&zero);
    freehold_budget_deinit(NULL);
    memset(buffer, 0x5A, sizeof buffer);
    freehold_alloc(&budget, 1);
    freehold_budget_deinit(&budget);
    for (size_t i = 0; i < sizeof buffer; i++)
        assert_int_equal(buffer[i], 0x5A); /* T8: the caller's again, as it was */
    FATAL(FREEHOLD_WRONG_TYPE, freehold_alloc(&budget, 1),
        "freehold_alloc(%p): wrong type: the allocator was deinitialised", (void *)&budget);
    setup(NULL);
}

/* T14 */
static void the_validator_sees_a_flipped_bit(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 30; i++)
        freehold_alloc(&budget, 1);
    for (size_t bit = 0; bit < 64 * COUNT(words); bit++) {
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_non_null(freehold_check(&budget));
        words[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    assert_null(freehold_check(&budget));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(hands_out_its_slots_and_no_more),
        TEST(counts_begin_anew),
        TEST(larger_than_a_slot_is_refused),
        TEST(every_slot_is_aligned),
        TEST(alignments_that_a_slot_happens_to_have),
        TEST(zeroed_reads_zero),
        TEST(looks_at_live_blocks),
        TEST(misuse_is_exact),
        TEST(no_write_in_the_buffer_reaches_the_state),
        TEST(what_cannot_be_used_is_refused),
        TEST(a_heap_stands_in_when_it_is_full),
        TEST(its_life_is_that_of_any_allocator),
        TEST(the_validator_sees_a_flipped_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
