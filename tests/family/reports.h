/* SPDX-License-Identifier: MIT */
/* Catching the report of a misuse, to the letter. Include cmocka.h first. */
#ifndef FREEHOLD_TESTS_REPORTS_H
#define FREEHOLD_TESTS_REPORTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "freehold/fatal.h"

/* A namer that names frames by their address, for tests that look at it. */
static inline bool plain_frame(const void *frame, char *text, size_t room)
{
    return snprintf(text, room, "%p", frame) < (int)room;
}

static char report_text[1100];
static freehold_misuse report_kind;
static const void *report_pointer;
static jmp_buf report_back;

static void catch_report(const freehold_report *report)
{
    snprintf(report_text, sizeof report_text, "%s", report->message);
    report_kind = report->kind;
    report_pointer = report->pointer;
    longjmp(report_back, 1);
}

/* The statement is reported as `what`, and with this text: the arguments are for its format. */
#define FATAL(what, statement, ...)                                                                \
    do {                                                                                           \
        char wanted_[400];                                                                         \
        snprintf(wanted_, sizeof wanted_, "freehold: " __VA_ARGS__);                               \
        strcpy(report_text, "nothing was reported");                                               \
        freehold_fatal_handler before_ = freehold_set_fatal_handler(catch_report);                 \
        if (setjmp(report_back) == 0) {                                                            \
            statement;                                                                             \
        }                                                                                          \
        freehold_set_fatal_handler(before_);                                                       \
        assert_string_equal(report_text, wanted_);                                                 \
        assert_int_equal(report_kind, what);                                                       \
    } while (0)

/* Every function that takes a block finds the pointer wrong, typed and dynamic, in the same words,
 * and changes nothing (T17, T20). */
#define ASSERT_WRONG(a, block, what, ...)                                                          \
    do {                                                                                           \
        char details_[300];                                                                        \
        void *volatile p_ = (block);                                                               \
        freehold_allocator *base_ = &(a)->base;                                                    \
        freehold_statistics was_ = freehold_stats(a);                                              \
        snprintf(details_, sizeof details_, __VA_ARGS__);                                          \
        ASSERT_WRONG_BY("freehold_free", what, p_, freehold_free(a, p_));                          \
        ASSERT_WRONG_BY("freehold_free", what, p_, freehold_free(base_, p_));                      \
        ASSERT_WRONG_BY("freehold_free_sized", what, p_, freehold_free_sized(a, p_, 9));           \
        ASSERT_WRONG_BY("freehold_free_sized", what, p_, freehold_free_sized(base_, p_, 9));       \
        ASSERT_WRONG_BY("freehold_resize", what, p_, freehold_resize(a, p_, 9));                   \
        ASSERT_WRONG_BY("freehold_resize", what, p_, freehold_resize(base_, p_, 9));               \
        ASSERT_WRONG_BY("freehold_remap", what, p_, freehold_remap(a, p_, 9999));                  \
        ASSERT_WRONG_BY("freehold_remap", what, p_, freehold_remap(base_, p_, 9999));              \
        ASSERT_WRONG_BY("freehold_realloc", what, p_, freehold_realloc(a, p_, 9999));              \
        ASSERT_WRONG_BY("freehold_realloc", what, p_, freehold_realloc(base_, p_, 9999));          \
        ASSERT_WRONG_BY("freehold_usable_size", what, p_, freehold_usable_size(a, p_));            \
        ASSERT_WRONG_BY("freehold_usable_size", what, p_, freehold_usable_size(base_, p_));        \
        freehold_statistics is_ = freehold_stats(a);                                               \
        assert_memory_equal(&was_, &is_, sizeof was_);                                             \
        assert_null(freehold_check(a));                                                            \
    } while (0)
#define ASSERT_WRONG_BY(name, what, p, call) FATAL(what, call, name "(%p): %s", p, details_)

#endif
