/* SPDX-License-Identifier: MIT */
/*
 * A system that takes no memory back (T16): a program in a sandbox, say. What retention finds to do it does not find done,
 * and does not come again every 4 ms for that, at the expense of every slow path.
 */
#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "allocators/lane.h"
#include "port/fault.h"

#define LONG                                                                                       \
    (FREEHOLD__BLOCK_MAX < 1024 ? FREEHOLD__BLOCK_MAX                                              \
                                : 1024) /* granules: 8 MiB, or what there is */

static freehold__heap heap;

static void a_refused_purge_is_no_reason_to_hurry(void **unused)
{
    (void)unused;
    freehold__span span[16];
    for (unsigned i = 0; i < 16; i++) {
        span[i] = freehold__pages_take(&heap.pages, LONG);
        assert_true(span[i].base != 0);
        memset((void *)span[i].base, 1, 1);
    }
    for (unsigned i = 0; i < 16; i++)
        freehold__pages_give(&heap.pages, span[i].base, true);
    uint32_t now = freehold__port_milliseconds() + 10000;
    freehold__fault_set(1, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++, now += FREEHOLD__RETAIN_HURRY)
        freehold__heap_tend_at(&heap, NULL, now);
    assert_in_range(freehold__fault_calls(), 1, 5); /* in 400 ms */
    assert_int_equal(heap.pages.purged_bytes, 0);
    assert_false(freehold__pace_hurries(&heap.pace));
    freehold__fault_set(0, 0);
    freehold__heap_tend_at(&heap, NULL, now + 10000);
    assert_true(heap.pages.purged_bytes != 0);
    assert_true(freehold__pace_hurries(&heap.pace));
    assert_null(freehold__heap_check(&heap));
    freehold__heap_release(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_purge_is_no_reason_to_hurry),
    };
    return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
