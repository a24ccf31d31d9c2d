/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: cmocka, and CHECK for loops that run millions of times (it aborts,
 * with the place).
 */
#ifndef FREEHOLD_TESTS_UNIT_H
#define FREEHOLD_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "family.h"

#define UNUSED_STATE(state) ((void)(state))
#define assert_sound(call)                                                                         \
    do {                                                                                           \
        const char *wrong_ = (call);                                                               \
        if (wrong_ != NULL)                                                                        \
            fail_msg("%s", wrong_);                                                                \
    } while (0)

/* What is made smaller stays where it is; the kernel that QEMU plays moves it. */
static inline void *stays(void *before, void *after)
{
    CHECK(after != NULL && (after == before || getenv("FREEHOLD_TEST_EMULATOR") != NULL));
    return after;
}

#endif
