/* SPDX-License-Identifier: MIT */
/*
 * Heaps with a choice of size classes (F21): every size and every alignment of each preset, and of
 * tables of one's own, compared with the table; sized frees, resizing, and what is larger than all
 * classes. The classes are those of the systems that the presets are named after, as they are
 * written here once more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../family/reports.h"

#include "freehold/freehold.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const uint32_t every[] = {16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    448, 512, 640, 768, 896, 1024, 1152, 1280, 1408, 1536, 1664, 1792, 1920, 2048, 2304, 2560, 2816,
    3072, 3328, 3584, 3840, 4096, 4608, 5120, 5632, 6144, 6656, 7168, 7680, 8192};
static const uint32_t stepped[] = {
    16, 32, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 1536, 2048};
static const uint32_t powers[] = {16, 32, 64, 128, 256, 512, 1024, 2048};
static const uint32_t own[] = {112, 2048, 4608};
static const uint32_t own_given[] = {100, 0, 2048, 4100, UINT32_MAX};
static const freehold_size_classes own_classes = {COUNT(own_given), own_given};

/* A preset, and what it is to be; `ends` when what is larger is mapped by itself. */
static const struct preset {
    const freehold_size_classes *classes;
    const uint32_t *want;
    size_t count;
    bool ends;
} presets[] = {
    {NULL, every, COUNT(every), false},
    {&(freehold_size_classes){0, NULL}, every, COUNT(every), false},
    {&freehold_classes_stepped, stepped, COUNT(stepped), true},
    {&freehold_classes_powers, powers, COUNT(powers), true},
    {&own_classes, own, COUNT(own), true},
};

/* The smallest class that holds so many bytes, at multiples of an alignment; 0: there is none. */
static size_t class_of(const struct preset *p, size_t bytes, size_t alignment)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->want[i] >= bytes && p->want[i] % alignment == 0)
            return p->want[i];
    return 0;
}

static freehold_heap heap;

static void begin(const struct preset *p, size_t alignment)
{
    memset(&heap, 0xA5, sizeof heap);
    freehold_heap_init_classes(&heap, alignment, p->classes);
}

static void end(void)
{
    freehold_statistics stats = freehold_stats(&heap);
    assert_int_equal(stats.allocations, stats.frees);
    assert_null(freehold_check(&heap));
    freehold_heap_deinit(&heap);
}

static void every_size_has_its_class(void **unused)
{
    (void)unused;
    for (size_t k = 0; k < COUNT(presets); k++) {
        const struct preset *p = &presets[k];
        size_t last = p->want[p->count - 1];
        begin(p, 16);
        for (size_t bytes = 1; bytes <= last; bytes++) {
            void *block = freehold_alloc(&heap, bytes);
            size_t class = class_of(p, bytes, 16);
            assert_int_equal(freehold_usable_size(&heap, block), class);
            assert_int_equal(freehold_free_sized(&heap, block, bytes), class);
        }
        if (p->ends)
            for (size_t bytes = last + 1; bytes < 600000; bytes = bytes * 9 / 8) {
                void *block = freehold_alloc(&heap, bytes);
                size_t usable = freehold_usable_size(&heap, block);
                assert_true(usable % 4096 == 0 && usable >= bytes && usable < bytes + 4096 + 65536);
                assert_int_equal((uintptr_t)block % 4096, 0);
                assert_int_equal(freehold_free_sized(&heap, block, bytes), usable);
            }
        end();
    }
}

static void every_alignment_has_its_class(void **unused)
{
    (void)unused;
    for (size_t k = 0; k < COUNT(presets); k++)
        for (size_t alignment = 16; alignment <= 8192; alignment *= 2) {
            const struct preset *p = &presets[k];
            size_t last = p->want[p->count - 1];
            begin(p, alignment > 1024 ? alignment : 16); /* by the call, and by the instance */
            for (size_t bytes = 1; bytes <= last; bytes += bytes < 200 ? 1 : 23) {
                char *two[2];
                size_t class = class_of(p, bytes, alignment);
                for (int i = 0; i < 2; i++) { /* the second slot, too (T2) */
                    two[i] = freehold_alloc_aligned(&heap, bytes, alignment, 0);
                    assert_int_equal((uintptr_t)two[i] % alignment, 0);
                    if (class != 0)
                        assert_int_equal(freehold_usable_size(&heap, two[i]), class);
                    else
                        assert_true(freehold_usable_size(&heap, two[i]) >= bytes);
                }
                freehold_free_sized(&heap, two[0], bytes);
                freehold_free(&heap, two[1]);
            }
            end();
        }
}

static void wrong_size(void *block, size_t given, size_t usable)
{
    FATAL(FREEHOLD_SIZE_MISMATCH, freehold_free_sized(&heap, block, given),
        "freehold_free_sized(%p): size mismatch: given %zu, but the block %p has %zu bytes", block,
        given, block, usable);
}

/* F4: what another class would have been for. */
static void a_given_size_is_verified(void **unused)
{
    (void)unused;
    begin(&presets[4], 16);
    char *block = freehold_alloc(&heap, 2049);
    assert_int_equal(freehold_usable_size(&heap, block), 4608);
    wrong_size(block, 2048, 4608);
    wrong_size(block, 100, 4608);
    wrong_size(block, 0, 4608);
    wrong_size(block, 4609, 4608);
    assert_int_equal(freehold_free_sized(&heap, block, 2049), 4608);
    block = freehold_alloc(&heap, 113); /* the next class is 18 times as large as the one before */
    assert_int_equal(freehold_free_sized(&heap, block, 113), 2048);
    end();
}

static void blocks_grow_and_shrink(void **unused)
{
    (void)unused;
    if (sizeof(void *) == 4 && getenv("FREEHOLD_TEST_EMULATOR") != NULL)
        skip(); /* mremap by QEMU of what was mapped at two times: a place that cannot be read */
    for (size_t k = 0; k < COUNT(presets); k++) {
        begin(&presets[k], 16);
        char *block = freehold_alloc(&heap, 1);
        *block = 77;
        for (size_t bytes = 2; bytes < 3000000; bytes = bytes * 5 / 4 + 1) {
            size_t usable = freehold_usable_size(&heap, block);
            if (bytes <= usable && bytes * 2 >= usable)
                assert_true(freehold_resize(&heap, block, bytes));
            block = freehold_realloc(&heap, block, bytes);
            assert_true(freehold_usable_size(&heap, block) >= bytes);
            assert_int_equal(*block, 77);
        }
        for (size_t bytes = 3000000; bytes > 0; bytes = bytes * 3 / 4) {
            block = freehold_realloc(&heap, block, bytes);
            assert_int_equal(*block, 77);
        }
        freehold_free_sized(&heap, block, 1);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_its_class),
        cmocka_unit_test(every_alignment_has_its_class),
        cmocka_unit_test(a_given_size_is_verified),
        cmocka_unit_test(blocks_grow_and_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
