/* SPDX-License-Identifier: MIT */
/*
 * F22, T15: where pages are longer than a granule, a free granule that shares its page with live ones cannot be
 * purged. It must not keep from it what has been free for less long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pages/pages.h"

static freehold__pages pages;

static uintptr_t take(unsigned granules)
{
    freehold__span span = freehold__pages_take(&pages, granules);
    assert_int_not_equal(span.base, 0);
    return (uintptr_t)memset((void *)span.base, 1, granules * FREEHOLD__GRANULE);
}

static void what_cannot_be_purged_stops_nothing(void **unused)
{
    (void)unused;
    enum { SINGLES = 16, MANY = 64 };
    uintptr_t single[SINGLES], many = take(MANY);
    for (int i = 0; i < SINGLES; i++)
        single[i] = take(1);
    freehold__pages_give(&pages, single[5], true); /* its neighbours stay */
    freehold__pages_give(&pages, many, true);
    freehold__pages_retain(&pages, freehold__port_milliseconds(), NULL);
    assert_true(pages.purged_bytes >= MANY * FREEHOLD__GRANULE);
    assert_true(pages.buddy.dirty <= 1);
    assert_null(freehold__pages_check(&pages));
    assert_int_equal(freehold__pages_take(&pages, MANY).zeroed, true);
    freehold__pages_release(&pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_cannot_be_purged_stops_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
