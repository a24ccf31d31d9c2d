/* SPDX-License-Identifier: MIT */
/*
 * Misuse of typed heaps and of allocators: each case typed and through the table, with the exact
 * text, and nothing changed by it; then that a process without a handler ends by SIGABRT with that
 * line. (F1, F2, F4, T20)
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <cmocka.h>

#include "../family/reports.h"

#include "allocators/lane.h"
#include "freehold/freehold.h"

static freehold_heap heap, other;

static int setup(void **unused)
{
    (void)unused;
    freehold_heap_init(&heap);
    freehold_heap_init(&other);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    freehold_set_fatal_handler(NULL);
    /* A report leaves no lock held, and nothing changed. */
    const char *wrong = freehold_check(&heap);
    if (wrong == NULL)
        wrong = freehold_check(&other);
    if (wrong != NULL)
        print_error("%s\n", wrong);
    freehold_heap_deinit(&heap);
    freehold_heap_deinit(&other);
    return wrong != NULL;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Every function that takes a block finds the pointer wrong, typed and dynamic, in the same words.
 * */
static void assert_wrong(freehold_heap *h, void *pointer, freehold_misuse what, const char *details)
{
    freehold_allocator *base = &h->base;
    freehold_statistics before = freehold_stats(h);
#define EACH(name, typed, dynamic)                                                                 \
    FATAL(what, typed, name "(%p): %s", pointer, details);                                         \
    FATAL(what, dynamic, name "(%p): %s", pointer, details)
    EACH("freehold_free", freehold_free(h, pointer), freehold_free(base, pointer));
    EACH("freehold_free_sized", freehold_free_sized(h, pointer, 100),
        freehold_free_sized(base, pointer, 100));
    EACH("freehold_resize", freehold_resize(h, pointer, 50), freehold_resize(base, pointer, 50));
    EACH("freehold_remap", freehold_remap(h, pointer, 9999), freehold_remap(base, pointer, 9999));
    /* A remap to 0 bytes comes as a free. */
    FATAL(what, freehold_remap(h, pointer, 0), "freehold_free(%p): %s", pointer, details);
    FATAL(what, freehold_remap(base, pointer, 0), "freehold_free(%p): %s", pointer, details);
    EACH("freehold_realloc", freehold_realloc(h, pointer, 9999),
        freehold_realloc(base, pointer, 9999));
    EACH("freehold_usable_size", freehold_usable_size(h, pointer),
        freehold_usable_size(base, pointer));
#undef EACH
    freehold_statistics after = freehold_stats(h);
    assert_memory_equal(&before, &after, sizeof before);
    assert_null(freehold_check(h));
}

static const char *slot_text(const char *before, const void *pointer, const char *after)
{
    static char line[300];
    const freehold__slab *slab = freehold__page_map_find((uintptr_t)pointer);
    snprintf(line, sizeof line, "%sslot %u of %u, size %u, slab %p%s", before,
        (unsigned)freehold__slab_place(slab, (uintptr_t)pointer).slot, slab->slots, slab->size,
        (void *)slab->base, after);
    return line;
}

static void a_block_of_another_heap_is_foreign(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {100, 5000, 300000, 1000000};
    const char *foreign = "foreign pointer: not from this allocator";
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = freehold_alloc(&other, sizes[i]);
        assert_wrong(
            &heap, block, FREEHOLD_FOREIGN_POINTER, foreign); /* first: it has no memory at all */
        assert_wrong(&heap, block + 16, FREEHOLD_FOREIGN_POINTER, foreign);
        void *mine = freehold_alloc(&heap, sizes[i]);
        assert_wrong(&heap, block, FREEHOLD_FOREIGN_POINTER, foreign);
        assert_wrong(&other, mine, FREEHOLD_FOREIGN_POINTER, foreign);
        assert_true(freehold_free(&other, block) != 0);
        assert_true(freehold_free(&heap, mine) != 0);
    }
    int local;
    assert_wrong(&heap, &local, FREEHOLD_FOREIGN_POINTER, foreign);
    assert_wrong(&heap, &heap, FREEHOLD_FOREIGN_POINTER, foreign);
    void *system = malloc(100);
    assert_wrong(&heap, system, FREEHOLD_FOREIGN_POINTER, foreign);
    free(system);
    void *block = freehold_alloc(&heap, 100);
    assert_wrong(&heap, freehold__page_map_find((uintptr_t)block), FREEHOLD_INVALID_POINTER,
        "invalid pointer: its pages hold no allocation (freed before, or never allocated)");
}

static void a_block_is_freed_once(void **unused)
{
    (void)unused;
    void *keep = freehold_alloc(&heap, 100), *block = freehold_alloc(&heap, 100);
    assert_non_null(keep);
    freehold_free(&heap, block);
    assert_wrong(
        &heap, block, FREEHOLD_DOUBLE_FREE, slot_text("double free: ", block, ", is already free"));
    block = freehold_alloc(&heap, 1000000);
    freehold_free(&heap, block);
    assert_wrong(&heap, block, FREEHOLD_DOUBLE_FREE,
        "double free: large block of 1003520 bytes is already free");
}

static void a_block_has_one_address(void **unused)
{
    (void)unused;
    char *block = freehold_alloc(&heap, 100);
    assert_wrong(&heap, block + 16, FREEHOLD_INTERIOR_POINTER,
        slot_text("interior pointer: 16 bytes into ", block, ""));
    assert_wrong(&heap, block + 1, FREEHOLD_MISALIGNED_POINTER,
        slot_text("misaligned pointer: 1 bytes into ", block, ""));
    char *large = freehold_alloc(&heap, 1000000), wanted[200];
    snprintf(wanted, sizeof wanted,
        "interior pointer: 4096 bytes into the large block %p of 1003520 bytes", large);
    assert_wrong(&heap, large + 4096, FREEHOLD_INTERIOR_POINTER, wanted);
    snprintf(wanted, sizeof wanted,
        "misaligned pointer: 8 bytes into the large block %p of 1003520 bytes", large);
    assert_wrong(&heap, large + 8, FREEHOLD_MISALIGNED_POINTER, wanted);
}

/* F4 */
static void a_given_size_is_verified(void **unused)
{
    (void)unused;
    freehold_allocator *base = &heap.base;
    char *block = freehold_alloc(&heap, 100), *large = freehold_alloc(&heap, 1000000);
    static const size_t wrong[] = {0, 1, 55, 113, 5000, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char before[100];
        snprintf(before, sizeof before, "size mismatch: given %zu, but ", wrong[i]);
        const char *details = slot_text(before, block, ", holds 97 to 112 bytes");
        FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&heap, block, wrong[i]),
            "freehold_free_sized(%p): %s", block, details);
        FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(base, block, wrong[i]),
            "freehold_free_sized(%p): %s", block, details);
    }
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&heap, large, 1003521),
        "freehold_free_sized(%p): size mismatch: given 1003521, but the large block %p "
        "has 1003520 bytes",
        large, large);
    assert_int_equal(freehold_free_sized(&heap, block, 100), 112);
    assert_int_equal(freehold_free_sized(base, large, 1000000), 1003520);
}

/* ---- allocators ------------------------------------------------------------------------------ */

static bool no_visit(void *context, void *block, size_t bytes)
{
    (void)context;
    (void)block;
    (void)bytes;
    return true;
}

/* Every function finds that the allocator is none. */
#define ASSERT_NO_ALLOCATOR(a, details)                                                            \
    do {                                                                                           \
        REFUSED(a, details, "freehold_alloc", freehold_alloc(a, 10));                              \
        REFUSED(a, details, "freehold_alloc", freehold_alloc(a, 0));                               \
        REFUSED(a, details, "freehold_alloc_zeroed", freehold_alloc_zeroed(a, 10));                \
        REFUSED(a, details, "freehold_alloc_aligned", freehold_alloc_aligned(a, 10, 16, 0));       \
        REFUSED(a, details, "freehold_resize", freehold_resize(a, &local, 10));                    \
        REFUSED(a, details, "freehold_remap", freehold_remap(a, &local, 10));                      \
        REFUSED(a, details, "freehold_realloc", freehold_realloc(a, &local, 10));                  \
        REFUSED(a, details, "freehold_free", freehold_free(a, &local));                            \
        REFUSED(a, details, "freehold_free", freehold_free(a, NULL));                              \
        REFUSED(a, details, "freehold_free_sized", freehold_free_sized(a, &local, 10));            \
        REFUSED(a, details, "freehold_usable_size", freehold_usable_size(a, &local));              \
        REFUSED(a, details, "freehold_owns", freehold_owns(a, &local));                            \
        REFUSED(a, details, "freehold_base", freehold_base(a, &local));                            \
        REFUSED(a, details, "freehold_stats", freehold_stats(a));                                  \
        REFUSED(a, details, "freehold_check", freehold_check(a));                                  \
        REFUSED(a, details, "freehold_walk", freehold_walk(a, no_visit, NULL));                    \
        REFUSED(a, details, "freehold_trim", freehold_trim(a));                                    \
    } while (0)
#define REFUSED(a, details, name, call)                                                            \
    FATAL(FREEHOLD_WRONG_TYPE, call, name "(0x%llx): wrong type: %s",                              \
        (unsigned long long)(uintptr_t)(a), details)

static char local;

static void use_of(freehold_heap *h, const char *typed, const char *dynamic)
{
    freehold_allocator *base = (freehold_allocator *)h;
    ASSERT_NO_ALLOCATOR(h, typed);
    ASSERT_NO_ALLOCATOR(base, dynamic);
}

static void what_is_not_initialised_is_refused(void **unused)
{
    (void)unused;
    static freehold_heap zero;
    const char *typed = "not an initialised heap", *dynamic = "not an initialised allocator";
    FATAL(FREEHOLD_WRONG_TYPE, freehold_heap_deinit(&zero),
        "freehold_heap_deinit(%p): wrong type: %s", (void *)&zero, typed);
    use_of(&zero, typed, dynamic);
    freehold_heap copy = heap; /* a heap must stay where it is */
    use_of(&copy, typed, dynamic);
    freehold_heap *null = NULL;
    freehold_allocator *null_base = NULL;
    REFUSED(null, "not an initialised heap", "freehold_alloc", freehold_alloc(null, 10));
    REFUSED(null_base, "not an initialised allocator", "freehold_free",
        freehold_free(null_base, &local));
}

static void nothing_works_after_deinit(void **unused)
{
    (void)unused;
    freehold_heap h;
    freehold_heap_init(&h);
    assert_non_null(freehold_alloc(&h, 100));
    freehold_heap_deinit(&h);
    const char *details = "the allocator was deinitialised";
    FATAL(FREEHOLD_WRONG_TYPE, freehold_heap_deinit(&h), "freehold_heap_deinit(%p): wrong type: %s",
        (void *)&h, details);
    freehold_allocator *base = &h.base;
    ASSERT_NO_ALLOCATOR(&h, details);
    REFUSED(base, details, "freehold_alloc", freehold_alloc(base, 10));
    REFUSED(base, details, "freehold_free", freehold_free(base, &local));
    freehold_heap_init(&h);
    assert_non_null(freehold_alloc(&h, 100));
    freehold_heap_deinit(&h);
}

static void *allocate_nothing(freehold_allocator *self, size_t bytes, size_t a, size_t o, bool z)
{
    (void)self;
    (void)bytes;
    (void)a;
    (void)o;
    (void)z;
    return NULL;
}

static size_t free_nothing(freehold_allocator *self, void *block)
{
    freehold_misused(self, "freehold_free", block);
    return 0;
}

static size_t ten_bytes(freehold_allocator *self, const void *block)
{
    (void)self;
    (void)block;
    return 10;
}

static void another_type_is_no_heap(void **unused)
{
    (void)unused;
    static const freehold_operations operations = {
        .magic = FREEHOLD_MAGIC('t', 'e', 's', 't', 'n', 'o', 'n', 'e'),
        .name = "none",
        .allocate = allocate_nothing,
        .free = free_nothing,
        .usable_size = ten_bytes,
    };
    static const freehold_operations incomplete = {.magic = 1, .allocate = allocate_nothing};
    freehold_allocator none;
    freehold_allocator_init(&none, &operations, 16);
    assert_null(freehold_alloc(&none, 10));
    freehold_heap *cast = (freehold_heap *)(void *)&none;
    REFUSED(cast, "not an initialised heap", "freehold_alloc", freehold_alloc(cast, 10));
    FATAL(FREEHOLD_FOREIGN_POINTER, freehold_free(&none, &local),
        "freehold_free(%p): foreign pointer: not from this allocator", (void *)&local);
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&none, &local, 11),
        "freehold_free_sized(%p): size mismatch: given 11, but the block has 10 bytes",
        (void *)&local);
    freehold_allocator_deinit(&none);
    REFUSED(&none, "the allocator was deinitialised", "freehold_alloc", freehold_alloc(&none, 10));
    freehold_allocator_init(&none, &incomplete, 16); /* it has no free */
    REFUSED(&none, "not an initialised allocator", "freehold_alloc", freehold_alloc(&none, 10));
    freehold_allocator_init(&none, NULL, 16);
    REFUSED(&none, "not an initialised allocator", "freehold_alloc", freehold_alloc(&none, 10));
}

/* ---- without a handler ----------------------------------------------------------------------- */

#if !defined(_WIN32) /* there windows.fatal looks */
static void a_process_ends_with_the_line(void **unused)
{
    (void)unused;
    void *block = freehold_alloc(&other, 100);
    char wanted[200], found[400] = "";
    snprintf(wanted, sizeof wanted,
        "freehold: freehold_free(%p): foreign pointer: not from this allocator\n", block);
    int fd[2], status;
    assert_int_equal(pipe(fd), 0);
    freehold_set_fatal_handler(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fd[1], STDERR_FILENO);
        freehold_free(&heap, block);
        _exit(0);
    }
    close(fd[1]);
    ssize_t length, at = 0;
    while ((length = read(fd[0], found + at, sizeof found - 1 - (size_t)at)) > 0)
        at += length;
    close(fd[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char *of_qemu = strstr(found, "qemu: uncaught target signal 6 "); /* which says so as well */
    if (of_qemu != NULL)
        *of_qemu = '\0';
    assert_string_equal(found, wanted);
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_block_of_another_heap_is_foreign),
        TEST(a_block_is_freed_once),
        TEST(a_block_has_one_address),
        TEST(a_given_size_is_verified),
        TEST(what_is_not_initialised_is_refused),
        TEST(nothing_works_after_deinit),
        TEST(another_type_is_no_heap),
#if !defined(_WIN32)
        TEST(a_process_ends_with_the_line),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
