/* SPDX-License-Identifier: MIT */
/*
 * What is special about the page allocator (F20): whole pages, exact reuse of what was freed, and
 * protection. What it has in common with the others is in conformance.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"
#include "../traps.h"
#include "reports.h"

#include "freehold/freehold.h"

static freehold_page pages;
static size_t size; /* of a page */

static int setup(void **unused)
{
    (void)unused;
    note_mapped();
    size = freehold_page_size();
    freehold_page_init(&pages);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    const char *wrong = freehold_check(&pages);
    freehold_page_deinit(&pages); /* protected blocks too */
    return all_is_well(wrong);
}

static bool readable(char *at)
{
    return !traps(at, false);
}

static bool writable(char *at)
{
    return !traps(at, true);
}

static bool protect(void *start, size_t bytes, freehold_protection protection)
{
    return freehold_page_protect(&pages, start, bytes, protection);
}

/* ---- whole pages ----------------------------------------------------------------------------- */

static size_t system_page(void)
{
    const char *simulated = getenv("FREEHOLD_TEST_PAGE_SIZE"); /* tests/page_size */
#if defined(_WIN32)
    return simulated != NULL ? strtoul(simulated, NULL, 10) : 4096;
#else
    return simulated != NULL ? strtoul(simulated, NULL, 10) : (size_t)sysconf(_SC_PAGESIZE);
#endif
}

static void the_page_size_can_be_asked_for(void **unused)
{
    (void)unused;
    assert_true(size >= 4096 && (size & (size - 1)) == 0);
    assert_int_equal(size, system_page());
    assert_int_equal(pages.base.alignment, size);
}

static void blocks_are_whole_pages(void **unused)
{
    (void)unused;
    for (size_t bytes = 1; bytes < 40 * size; bytes += bytes / 3 + 1) {
        size_t exact = (bytes + size - 1) / size * size;
        char *block = freehold_alloc(&pages, bytes);
        assert_int_equal((uintptr_t)block % size, 0);
        assert_int_equal(freehold_usable_size(&pages, block), exact);
        block = freehold_remap(&pages, block, bytes + 10 * size); /* no more than asked for */
        assert_int_equal(freehold_usable_size(&pages, block), exact + 10 * size);
        assert_int_equal(freehold_free_sized(&pages, block, bytes + 10 * size), exact + 10 * size);
    }
}

/* What was freed is handed out again: one that has the size, else the smallest, cut to size. */
static void what_is_kept_is_used_again(void **unused)
{
    (void)unused;
    enum { BLOCKS = 20 };
    char *block[BLOCKS], *between[BLOCKS];
    freehold_free(&pages, freehold_alloc(&pages, (BLOCKS * (BLOCKS + 1) / 2 + BLOCKS) * size));
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = freehold_alloc(&pages, (i + 1) * size);
        between[i] = freehold_alloc(&pages, size); /* so that they do not merge */
    }
    size_t live = freehold_stats(&pages).live_bytes;
    for (size_t i = 0; i < BLOCKS; i++)
        freehold_free(&pages, block[i]);
    freehold_statistics now = freehold_stats(&pages);
    assert_int_equal(now.live_bytes, BLOCKS * size);
    assert_int_equal(now.retained_bytes, live - BLOCKS * size);
    assert_int_equal(now.mapped_bytes, live); /* the footprint */
    freehold__fault_set(1, UINT64_MAX);       /* the system is not asked */
    for (size_t i = BLOCKS; i-- > 0;)
        assert_ptr_equal(freehold_alloc(&pages, (i + 1) * size), block[i]);
    assert_int_equal(freehold_stats(&pages).retained_bytes, 0);
    freehold_free(&pages, block[19]);
    freehold_free(&pages, block[9]);
    assert_ptr_equal(freehold_alloc(&pages, 7 * size), block[9]); /* cut to size */
    assert_int_equal(freehold_usable_size(&pages, block[9]), 7 * size);
    assert_ptr_equal(freehold_alloc(&pages, 3 * size), block[9] + 7 * size);
    assert_int_equal(freehold_stats(&pages).retained_bytes, 20 * size);
    freehold__fault_set(0, 0);
    assert_int_equal(freehold_trim(&pages), 20 * size);
    now = freehold_stats(&pages);
    assert_int_equal(now.mapped_bytes, now.live_bytes);
    for (size_t i = 0; i < BLOCKS; i++)
        assert_int_equal(freehold_free(&pages, between[i]), size);
}

/* Before a request is refused, what is kept goes back: there may be memory in another shape then. */
static void what_is_kept_goes_back_before_a_refusal(void **unused)
{
    (void)unused;
    freehold_free(&pages, freehold_alloc(&pages, 3 * size));
    freehold__fault_set(1, 1);
    char *block = freehold_alloc(&pages, 50 * size);
    assert_non_null(block);
    memset(block, 1, 50 * size);
    assert_int_equal(freehold_stats(&pages).retained_bytes, 0);
    freehold__fault_set(1, 1); /* nothing is kept now */
    assert_null(freehold_alloc(&pages, 50 * size));
    assert_int_equal(freehold_stats(&pages).failures, 1);
}

static void a_block_grows_into_what_is_kept_behind_it(void **unused)
{
    (void)unused;
    char *whole = freehold_alloc(&pages, 20 * size);
    freehold_free(&pages, whole);
    char *first = freehold_alloc(&pages, 5 * size), *second = freehold_alloc(&pages, 15 * size);
    assert_ptr_equal(first, whole);
    assert_ptr_equal(second, whole + 5 * size);
    memset(first, 3, 5 * size);
    assert_false(freehold_resize(&pages, first, 6 * size));
    freehold_free(&pages, second);
    assert_true(freehold_resize(&pages, first, 6 * size));
    assert_int_equal(freehold_usable_size(&pages, first), 6 * size);
    assert_true(all_bytes(first, 3, 5 * size));
    memset(first, 4, 6 * size);
    assert_true(freehold_resize(&pages, first, 2 * size)); /* its end goes back */
    assert_int_equal(freehold_stats(&pages).live_bytes, 2 * size);
    assert_true(all_bytes(first, 4, 2 * size));
}

/* ---- protection ------------------------------------------------------------------------------ */

static void protection_is_as_said(void **unused)
{
    (void)unused;
    char *block = freehold_alloc(&pages, 4 * size);
    memset(block, 5, 4 * size);
    assert_true(protect(block, 4 * size, FREEHOLD_PROTECT_NONE));
    assert_true(!readable(block) && !writable(block) && !readable(block + 4 * size - 1));
    assert_true(protect(block, 4 * size, FREEHOLD_PROTECT_READ));
    assert_true(readable(block) && !writable(block) && !writable(block + 4 * size - 1));
    assert_true(all_bytes(block, 5, 4 * size)); /* contents are kept */
    assert_true(protect(block, 4 * size, FREEHOLD_PROTECT_READ_WRITE));
    assert_true(readable(block) && writable(block));
    *block = 5;
    assert_true(protect(block + size, size + 1, FREEHOLD_PROTECT_NONE)); /* two pages of it */
    assert_true(writable(block) && !readable(block + size) && !readable(block + 3 * size - 1));
    assert_true(writable(block + 3 * size));
    block[0] = block[3 * size] = 5;
    assert_true(protect(block + size, 1, FREEHOLD_PROTECT_READ_WRITE));
    assert_true(readable(block + size) && !readable(block + 2 * size));
    assert_true(protect(block, 4 * size, FREEHOLD_PROTECT_READ_WRITE));
    assert_true(all_bytes(block, 5, 4 * size));
}

/* T6: whatever was protected, and however much of it. */
static void a_protected_block_is_usable_when_used_again(void **unused)
{
    (void)unused;
    enum { BLOCKS = 300 }; /* so many that the table of blocks grows */
    static char *block[BLOCKS];
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            size_t bytes = (1 + i % 7) * size;
            block[i] = freehold_alloc(&pages, bytes);
            assert_true(writable(block[i]) && writable(block[i] + bytes - 1));
            memset(block[i], 1, bytes);
            if (i % 3 != 0)
                assert_true(protect(block[i] + (i % 7 / 2) * size, size,
                    i % 2 ? FREEHOLD_PROTECT_NONE : FREEHOLD_PROTECT_READ));
        }
        for (size_t i = 0; i < BLOCKS; i++)
            assert_int_equal(freehold_free(&pages, block[(i * 7 + round) % BLOCKS]),
                (1 + (i * 7 + round) % BLOCKS % 7) * size);
        char *all = freehold_alloc(&pages, 50 * size); /* of many, merged */
        memset(all, 2, 50 * size);
        freehold_free(&pages, all);
    }
}

/* The system is asked only for blocks that were protected; and what it refuses is not kept. */
static void the_system_may_refuse(void **unused)
{
    (void)unused;
    char *first = freehold_alloc(&pages, 2 * size), *second = freehold_alloc(&pages, 8 * size);
    freehold__fault_set(1, UINT64_MAX);
    assert_false(protect(first, size, FREEHOLD_PROTECT_NONE));
    assert_true(readable(first) && writable(first));
    freehold__fault_set(0, 0);
    assert_true(protect(first, 2 * size, FREEHOLD_PROTECT_READ));
    assert_true(protect(first, 2 * size, FREEHOLD_PROTECT_READ_WRITE));
    freehold__fault_set(1, UINT64_MAX);
    assert_int_equal(freehold_free(&pages, first), 2 * size);
    assert_int_equal(freehold__fault_calls(), 0);
    freehold__fault_set(0, 0);
    freehold_trim(&pages);

    assert_true(protect(second, 8 * size, FREEHOLD_PROTECT_NONE));
    assert_false(protect(second, 8 * size, (freehold_protection)77));
    assert_false(protect(second, 0, FREEHOLD_PROTECT_READ));
    assert_false(readable(second));
    uint64_t before = freehold__fault_mapped();
    freehold__fault_set(1, UINT64_MAX);
    assert_int_equal(freehold_free(&pages, second), 8 * size);
    assert_int_equal(freehold__fault_calls(), 1);
    freehold__fault_set(0, 0);
    assert_int_equal(freehold__fault_mapped(), before - 8 * size);
    assert_int_equal(freehold_stats(&pages).retained_bytes, 0);
}

static void a_protected_block_keeps_its_size(void **unused)
{
    (void)unused;
    char *block = freehold_alloc(&pages, 4 * size);
    memset(block, 6, 4 * size);
    assert_true(protect(block + size, size, FREEHOLD_PROTECT_READ));
    assert_false(freehold_resize(&pages, block, 2 * size));
    assert_null(freehold_remap(&pages, block, 9 * size));
    assert_int_equal(freehold_last_error(&pages), FREEHOLD_UNSUPPORTED);
    assert_null(freehold_realloc(&pages, block, size));
    assert_ptr_equal(freehold_realloc(&pages, block, 4 * size - 1), block); /* the size it has */
    assert_true(!writable(block + size) && all_bytes(block, 6, 4 * size));
    assert_true(protect(block + size, size, FREEHOLD_PROTECT_READ_WRITE));
    assert_null(freehold_remap(&pages, block, 9 * size)); /* there may be other parts */
    assert_true(protect(block, 4 * size, FREEHOLD_PROTECT_READ_WRITE));
    block = freehold_remap(&pages, block, 9 * size);
    assert_true(all_bytes(block, 6, 4 * size));
    memset(block, 7, 9 * size);
}

static void a_range_is_inside_one_block(void **unused)
{
    (void)unused;
    freehold_page other;
    freehold_page_init(&other);
    char *whole = freehold_alloc(&pages, 8 * size);
    freehold_free(&pages, whole);
    char *block = freehold_alloc(&pages, 4 * size), *next = freehold_alloc(&pages, 4 * size);
    char *foreign = freehold_alloc(&other, size);
    assert_ptr_equal(next, block + 4 * size); /* no gap between the two */
    static char local;
#define WRONG(what, start, bytes, ...)                                                             \
    do {                                                                                           \
        char details[200];                                                                         \
        snprintf(details, sizeof details, __VA_ARGS__);                                            \
        FATAL(what, protect(start, bytes, FREEHOLD_PROTECT_NONE), "freehold_page_protect(%p): %s", \
            (void *)(start), details);                                                             \
        assert_true(writable(block) && writable(next) && writable(foreign));                       \
    } while (0)
    WRONG(FREEHOLD_FOREIGN_POINTER, &local, size, "foreign pointer: not from this allocator");
    WRONG(FREEHOLD_FOREIGN_POINTER, foreign, size, "foreign pointer: not from this allocator");
    WRONG(FREEHOLD_MISALIGNED_POINTER, block + 8, size,
        "misaligned pointer: 8 bytes into the large block %p of %zu bytes", (void *)block,
        4 * size);
    WRONG(FREEHOLD_INTERIOR_POINTER, block + 16, size,
        "interior pointer: 16 bytes into the large block %p of %zu bytes", (void *)block, 4 * size);
    const size_t too_many[] = {4 * size + 1, 8 * size, SIZE_MAX, SIZE_MAX - size};
    for (volatile size_t i = 0; i < 4; i++)
        WRONG(FREEHOLD_SIZE_MISMATCH, block, too_many[i],
            "size mismatch: given %zu, but from there the large block %p has %zu bytes",
            too_many[i], (void *)block, 4 * size);
    WRONG(FREEHOLD_SIZE_MISMATCH, block + 3 * size, size + 1,
        "size mismatch: given %zu, but from there the large block %p has %zu bytes", size + 1,
        (void *)block, size);
    freehold_free(&pages, next);
    FATAL(FREEHOLD_DOUBLE_FREE, protect(next, size, FREEHOLD_PROTECT_NONE),
        "freehold_page_protect(%p): double free: large block of %zu bytes is already "
        "free",
        (void *)next, 4 * size);
    freehold_page_deinit(&other);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_page_protect(&other, block, size, FREEHOLD_PROTECT_NONE),
        "freehold_page_protect(%p): wrong type: the allocator was deinitialised", (void *)&other);
    FATAL(FREEHOLD_WRONG_TYPE, freehold_page_protect(NULL, block, size, FREEHOLD_PROTECT_NONE),
        "freehold_page_protect(0x0): wrong type: not an initialised page");
}

/* F4: the size is known to the page. */
static void a_given_size_is_exact(void **unused)
{
    (void)unused;
    char *block = freehold_alloc(&pages, 3 * size);
    const size_t wrong[] = {0, 1, 2 * size, 3 * size + 1, SIZE_MAX};
    for (volatile size_t i = 0; i < 5; i++)
        FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&pages, block, wrong[i]),
            "freehold_free_sized(%p): size mismatch: given %zu, but the large block %p "
            "has %zu bytes",
            (void *)block, wrong[i], (void *)block, 3 * size);
    assert_int_equal(freehold_free_sized(&pages, block, 2 * size + 1), 3 * size);
    FATAL(FREEHOLD_DOUBLE_FREE, freehold_free(&pages, block),
        "freehold_free(%p): double free: large block of %zu bytes is already free", (void *)block,
        3 * size);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_page_size_can_be_asked_for),
        TEST(blocks_are_whole_pages),
        TEST(what_is_kept_is_used_again),
        TEST(what_is_kept_goes_back_before_a_refusal),
        TEST(a_block_grows_into_what_is_kept_behind_it),
        TEST(protection_is_as_said),
        TEST(a_protected_block_is_usable_when_used_again),
        TEST(the_system_may_refuse),
        TEST(a_protected_block_keeps_its_size),
        TEST(a_range_is_inside_one_block),
        TEST(a_given_size_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
