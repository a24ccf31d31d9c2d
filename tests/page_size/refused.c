/* SPDX-License-Identifier: MIT */
/* F22: the port with larger pages does what the others rely on: it has them, and refuses what is not whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fatal.h"
#include "port/port.h"

static jmp_buf back;

static void leave(const freehold_report *report)
{
    assert_non_null(strstr(report->message, "a call of the port is not for whole pages"));
    longjmp(back, 1);
}

#define REFUSED(call)                                                                              \
    do {                                                                                           \
        if (setjmp(back) == 0) {                                                                   \
            (void)(call);                                                                          \
            fail_msg("not refused: %s", #call);                                                    \
        }                                                                                          \
    } while (0)

static void pages_are_as_long_as_asked_for(void **unused)
{
    (void)unused;
    const char *wanted = getenv("FREEHOLD_TEST_PAGE_SIZE");
    size_t page = freehold__port_page_size();
    if (wanted != NULL)
        assert_int_equal(page, strtoul(wanted, NULL, 10));
    for (size_t i = 1; i < 20; i++) {
        char *base = freehold__port_map(i * page, 1);
        assert_non_null(base);
        assert_int_equal((uintptr_t)base % page, 0);
        base[0] = base[i * page - 1] = 1;
        base = freehold__port_remap(base, i * page, 2 * i * page);
        assert_non_null(base);
        assert_int_equal((uintptr_t)base % page, 0);
        assert_true(base[0] == 1 && base[i * page - 1] == 1 && base[2 * i * page - 1] == 0);
        freehold__port_unmap(base, 2 * i * page);
    }
}

static void halves_of_pages_are_refused(void **unused)
{
    (void)unused;
    size_t page = freehold__port_page_size();
    char *base = freehold__port_map(4 * page, page);
    freehold_fatal_handler before = freehold_set_fatal_handler(leave);
    REFUSED(freehold__port_map(page / 2, 1));
    REFUSED((freehold__port_unmap(base + page / 2, page), 0));
    REFUSED(freehold__port_purge(base, page / 2));
    REFUSED(freehold__port_purge(base + page / 2, page));
    REFUSED(freehold__port_protect(base, 2 * page + 1, FREEHOLD__PROTECT_NONE));
    REFUSED(freehold__port_protect(base + page / 2, page, FREEHOLD__PROTECT_NONE));
    REFUSED(freehold__port_remap(base, 4 * page, page / 2));
    freehold_set_fatal_handler(before);
    assert_true(freehold__port_purge(base + page, 2 * page));
    freehold__port_unmap(base, 4 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_as_long_as_asked_for),
        cmocka_unit_test(halves_of_pages_are_refused),
    };
    return cmocka_run_group_tests_name("page_size", tests, NULL, NULL);
}
